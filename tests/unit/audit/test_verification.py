"""Reading the whole log again: a thousand tamperings are found, untouched logs raise no alarm."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.audit.chain import GENESIS, linked, with_leaf
from sottovoce.audit.rows import canonical_row, event_row
from sottovoce.audit.tree import EMPTY_ROOT, Frontier
from sottovoce.audit.verification import Claim, LogReport, verify_log
from sottovoce.model.canonical import canonical_json
from sottovoce.model.event import AuditEvent
from sottovoce.model.log import EventRow, TreeNode

T0 = datetime(2026, 3, 1, tzinfo=UTC)
TAMPERINGS, UNTOUCHED, SEED = 1000, 50, 20260301


def entry(dice: random.Random, n: int) -> AuditEvent:
    return with_leaf(
        AuditEvent(
            id=f"evt_{n:06}{dice.randrange(1 << 32):08x}", tenant="default", at=T0 + timedelta(seconds=n),
            kind=dice.choice(["record.read", "recording.received", "consent.grant"]), actor="operator",
            channel="library", pseudonym=dice.choice([None, "p" * 64, "q" * 64]), purpose=None, outcome="ok",
            details_key_id=None, details=dice.choice([None, dice.randbytes(20)]),
        )
    )  # fmt: skip


@dataclass
class Log:
    """A whole database of the log, and what somebody kept elsewhere."""

    events: list[AuditEvent]
    nodes: list[TreeNode] = field(default_factory=list)
    stored: list[Claim] = field(default_factory=list)
    outside: list[Claim] = field(default_factory=list)

    def rechain(self, start: int = 0) -> None:
        """Number and link everything from `start` on; what stands before stays as it is."""
        before = self.events[start - 1] if start else None
        numbers = linked(
            [event.leaf for event in self.events[start:]],
            last_sequence=start, last_link=(before.link if before else None) or GENESIS,
        )  # fmt: skip
        self.events[start:] = [
            replace(event, sequence=n, link=link)
            for event, (n, link) in zip(self.events[start:], numbers, strict=True)
        ]

    def retree(self) -> None:
        frontier = Frontier()
        self.nodes = frontier.extend([event.leaf for event in self.events])

    def root(self, size: int) -> bytes:
        frontier = Frontier()
        frontier.extend([event.leaf for event in self.events[:size]])
        return frontier.root()

    def verify(self, page: int = 97) -> LogReport:
        rows = [event_row(event) for event in self.events]
        pages = [rows[i : i + page] for i in range(0, len(rows), page)]
        return verify_log(pages, claims=[*self.stored, *self.outside], nodes=self.nodes)


def a_log(dice: random.Random, size: int) -> Log:
    """Checkpoints were signed now and then; some of them, one at least, somebody kept."""
    log = Log([entry(dice, n) for n in range(size)])
    log.rechain()
    log.retree()
    sizes = sorted(dice.sample(range(1, size + 1), min(size, 6)))
    claims = [Claim(n, log.root(n)) for n in sizes]
    kept = sorted(dice.sample(claims, dice.randint(1, len(claims))), key=lambda claim: claim.size)
    log.stored = claims
    log.outside = [replace(claim, outside=True) for claim in kept]
    return log


# --- tamperings: each changes something that the largest outside checkpoint covers; returns the first bad number ----

Expected = tuple[
    int, bool
]  # the first entry that is not what was written, and whether it has to be named exactly


def edited(event: AuditEvent, dice: random.Random) -> AuditEvent:
    change: dict[str, Any] = dice.choice(
        [
            {"outcome": "forged"}, {"kind": "nothing"}, {"at": event.at - timedelta(microseconds=1)},
            {"actor": "nobody"}, {"pseudonym": "z" * 64}, {"details": b"forged"}, {"tenant": "other"},
            {"purpose": "marketing"}, {"channel": "x"}, {"details_key_id": "y"}, {"id": event.id + "x"},
        ]
    )  # fmt: skip
    return replace(event, **change)


def edit(log: Log, i: int, dice: random.Random) -> Expected:
    log.events[i] = edited(log.events[i], dice)
    if dice.random() < 0.5:  # the leaf as well: then the chain tells
        log.events[i] = with_leaf(log.events[i])
    return i + 1, True


def edit_hash(log: Log, i: int, dice: random.Random) -> Expected:
    wrong: dict[str, Any] = dice.choice(
        [{"leaf": dice.randbytes(32)}, {"link": dice.randbytes(32)}, {"link": None}]
    )
    log.events[i] = replace(log.events[i], **wrong)
    return i + 1, True


def drop(log: Log, i: int, dice: random.Random) -> Expected:
    del log.events[i]
    return i + 1, True


def drop_and_renumber(log: Log, i: int, dice: random.Random) -> Expected:
    del log.events[i]
    log.events[i:] = [replace(event, sequence=n) for n, event in enumerate(log.events[i:], start=i + 1)]
    return i + 1, True


def reorder(log: Log, i: int, dice: random.Random) -> Expected:
    j = dice.choice([n for n in range(len(log.events)) if n != i])
    log.events[i], log.events[j] = log.events[j], log.events[i]
    if dice.random() < 0.5:
        log.events = [replace(event, sequence=n) for n, event in enumerate(log.events, start=1)]
    return min(i, j) + 1, True


def insert(log: Log, i: int, dice: random.Random) -> Expected:
    log.events.insert(i, replace(entry(dice, 900_000), sequence=i + 1, link=dice.randbytes(32)))
    return i + 1, True


def cut_tail(log: Log, i: int, dice: random.Random) -> Expected:
    del log.events[i:]
    log.stored = [claim for claim in log.stored if claim.size <= i]
    log.retree()
    return i + 1, True


def rechain(log: Log, i: int, dice: random.Random) -> Expected:
    """Everything that stands in the database is made anew after an edit; only signatures cannot be."""
    log.events[i] = with_leaf(edited(log.events[i], dice))
    log.rechain()
    log.retree()
    log.stored = [claim for claim in log.stored if claim.size <= i]
    return i + 1, False


def drop_and_rechain(log: Log, i: int, dice: random.Random) -> Expected:
    """One entry less; enough new ones that no length gives it away."""
    del log.events[i]
    log.events += [entry(dice, 900_000 + n) for n in range(dice.randint(1, 5))]
    log.rechain()
    log.retree()
    log.stored = [claim for claim in log.stored if claim.size <= i]
    return i + 1, False


def rollback(log: Log, i: int, dice: random.Random) -> Expected:
    """An older state of the database comes back and grows on."""
    size = len(log.events)
    del log.events[i:]
    log.events += [entry(dice, 900_000 + n) for n in range(size - i + dice.randint(0, 9))]
    log.rechain(i)
    log.retree()
    log.stored = [claim for claim in log.stored if claim.size <= i]
    return i + 1, False


def fork(log: Log, i: int, dice: random.Random) -> Expected:
    """Another copy of the home, gone its own way from some entry on, with checkpoints that it signed itself."""
    first_bad, _ = rollback(log, i, dice)
    log.stored.append(Claim(len(log.events), log.root(len(log.events))))
    return first_bad, False


KINDS = (
    edit,
    edit_hash,
    drop,
    drop_and_renumber,
    reorder,
    insert,
    cut_tail,
    rechain,
    drop_and_rechain,
    rollback,
    fork,
)


def test_F34_C29a_a_thousand_tamperings_are_found_and_named() -> None:
    """A thousand random tamperings with what a checkpoint held outside covers (edits, drops, reorderings, cut tails,
    new chains, rollbacks, forks) are all found, and the first bad entry is named wherever there is one."""
    dice = random.Random(SEED)
    done: Counter[str] = Counter()
    for number in range(TAMPERINGS):
        log = a_log(dice, dice.choice([2, 5, 40, 200, 300, 600]))
        covered = log.outside[-1].size
        kind = KINDS[number % len(KINDS)]
        i = dice.randrange(covered)
        if kind is drop and i == len(log.events) - 1:
            kind = cut_tail  # dropping the last entry is cutting the tail
        first_bad, named = kind(log, i, dice)
        report = log.verify(page=dice.choice([1, 7, 97, 5000]))
        assert not report.intact, (number, kind.__name__)
        if named:
            assert report.first_bad == first_bad, (number, kind.__name__)
        else:
            assert report.first_bad is None
            assert report.between is not None
            assert report.between[0] < first_bad <= report.between[1], (number, kind.__name__)
            assert report.between[1] in {claim.size for claim in log.outside}
        done[kind.__name__] += 1
    assert sum(done.values()) == TAMPERINGS
    assert set(done) == {kind.__name__ for kind in KINDS}


def test_F34_untouched_logs_raise_no_alarm() -> None:
    """Fifty logs that nobody touched verify, against every checkpoint that anybody kept."""
    dice = random.Random(SEED + 1)
    for _ in range(UNTOUCHED):
        log = a_log(dice, dice.choice([1, 2, 255, 256, 257, 600]))
        report = log.verify()
        assert report.intact, report.problem
        assert report.events == len(log.events)
        assert report.root == log.root(len(log.events))
        assert report.agreed == log.stored[-1].size
        assert report.agreed_outside == log.outside[-1].size


def test_F34_without_an_outside_checkpoint_a_new_chain_is_not_called_found() -> None:
    """What nothing outside covers can be replaced as a whole: the log verifies, and nobody says otherwise."""
    dice = random.Random(1)
    log = a_log(dice, 40)
    log.outside = []
    rechain(log, 3, dice)
    log.stored = []
    report = log.verify()
    assert report.intact
    assert report.agreed_outside is None


def test_a_stored_checkpoint_contradicts_too() -> None:
    """Whoever rewrites the database cannot sign: a stored checkpoint that was forgotten there gives it away."""
    dice = random.Random(2)
    log = a_log(dice, 40)
    stored = log.stored
    log.outside = []
    rechain(log, 0, dice)
    log.stored = stored
    assert log.verify().between == (0, stored[0].size)
    assert "in this home" in log.verify().problem


@pytest.mark.parametrize("change", ["other", "missing"])
def test_a_stored_node_that_is_not_what_was_written_is_found(change: str) -> None:
    log = a_log(random.Random(3), 600)
    log.nodes[1:2] = [TreeNode(8, 1, bytes(32))] if change == "other" else []
    report = log.verify()
    assert report.between == (256, 512)
    assert "257 to 512" in report.problem


def test_a_claim_over_an_empty_log() -> None:
    assert verify_log([], claims=[Claim(0, EMPTY_ROOT, outside=True)]).agreed_outside == 0
    assert verify_log([], claims=[Claim(0, bytes(32))]).between == (0, 0)
    gone = verify_log([], claims=[Claim(4, bytes(32), outside=True)])
    assert (gone.first_bad, gone.intact) == (1, False)


SOME_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ODD = AuditEvent(
    id="evt_1", tenant="default", at=T0, kind="a", actor="a", channel="a", pseudonym=None, purpose=None, outcome="ok",
    details_key_id=None, details=None,
)  # fmt: skip


@given(
    texts=st.lists(SOME_TEXT, min_size=6, max_size=6),
    optional=st.lists(st.none() | SOME_TEXT, min_size=3, max_size=3),
    details=st.none() | st.binary(max_size=30),
    at=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_a_row_has_the_canonical_form_of_its_event(
    texts: list[str], optional: list[str | None], details: bytes | None, at: datetime
) -> None:
    """The quick way gives the bytes of model/event.py for whatever stands in an entry."""
    names = ("id", "tenant", "kind", "actor", "channel", "outcome")
    maybe = ("pseudonym", "purpose", "details_key_id")
    event = replace(ODD, **dict(zip(names, texts, strict=True)), **dict(zip(maybe, optional, strict=True)))  # type: ignore[arg-type]
    event = replace(event, details=details, at=at)
    assert canonical_row(event_row(event)) == canonical_json(event.to_canonical())


@pytest.mark.parametrize("column", range(14))
@pytest.mark.parametrize("value", [None, 7, "x", b"x", 1.5, 1 << 62])
def test_F34_a_value_of_another_type_is_a_tampering_and_not_a_crash(column: int, value: Any) -> None:
    """Whatever is put into a column, verification names the entry instead of failing."""
    log = a_log(random.Random(4), 5)
    rows: list[Any] = [list(event_row(event)) for event in log.events]
    if rows[2][column] == value:
        return
    rows[2][column] = value
    spoiled: list[EventRow] = [tuple(row) for row in rows]  # type: ignore[misc]
    assert verify_log([spoiled], nodes=log.nodes).first_bad == 3
    if column not in (12, 13):
        waiting = (*spoiled[2][:12], None, None)
        assert not verify_log([], [waiting]).intact  # type: ignore[list-item]
