"""The audit chain: every edit, drop and reorder of numbered entries is named; what a chain cannot show is stated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.audit.chain import GENESIS, chain_link, leaf_hash, linked, with_leaf
from sottovoce.audit.rows import rows_of
from sottovoce.audit.verification import LogReport, verify_log
from sottovoce.model.event import AuditEvent

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def entry(n: int, **changes: Any) -> AuditEvent:
    made = AuditEvent(
        id=f"evt_{n}", tenant="default", at=T0 + timedelta(seconds=n), kind="recording.received", actor="operator",
        channel="library", pseudonym="psn", purpose=None, outcome="ok", details_key_id=None, details=bytes([n % 256]),
    )  # fmt: skip
    return with_leaf(replace(made, **changes))


def log(length: int) -> list[AuditEvent]:
    return sequenced([entry(n) for n in range(length)], last_sequence=0, last_link=GENESIS)


def sequenced(events: Sequence[AuditEvent], *, last_sequence: int, last_link: bytes) -> list[AuditEvent]:
    numbers = linked([event.leaf for event in events], last_sequence=last_sequence, last_link=last_link)
    return [replace(event, sequence=n, link=link) for event, (n, link) in zip(events, numbers, strict=True)]


def verify_chain(events: Sequence[AuditEvent], waiting: Sequence[AuditEvent] = ()) -> LogReport:
    """Without checkpoints and stored nodes: what the chain alone can show."""
    return verify_log([list(rows_of(events))], rows_of(waiting))


def oracle_leaf(event: AuditEvent) -> bytes:
    """RFC 6962 2.1 over the entry's canonical form, put together a second time."""
    said = json.dumps(event.to_canonical(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(bytes([0]) + said.encode()).digest()


@given(length=st.integers(0, 12), cut=st.integers(0, 12))
def test_leaves_and_links_equal_a_second_computation(length: int, cut: int) -> None:
    events = [entry(n) for n in range(length)]
    first = sequenced(events[:cut], last_sequence=0, last_link=GENESIS)
    rest = sequenced(
        events[cut:], last_sequence=len(first), last_link=first[-1].link or b"" if first else GENESIS
    )
    link = bytes(32)
    for number, (given_event, made) in enumerate(zip(events, first + rest, strict=True), start=1):
        link = hashlib.sha256(b"\x02" + link + oracle_leaf(given_event)).digest()
        assert (made.sequence, made.link, made.leaf) == (number, link, oracle_leaf(given_event))
        assert replace(made, sequence=None, link=None) == given_event
    report = verify_chain(first + rest)
    assert (report.intact, report.events, report.head) == (True, length, link.hex())


def test_a_leaf_covers_the_rfc_6962_prefix() -> None:
    assert leaf_hash(entry(1)) == oracle_leaf(entry(1))
    assert chain_link(b"a" * 32, b"b" * 32) == hashlib.sha256(b"\x02" + b"a" * 32 + b"b" * 32).digest()


def test_I6_an_untouched_log_verifies() -> None:
    """A log that nobody touched verifies, entries that have no number yet included."""
    report = verify_chain(log(20), [entry(20), entry(21)])
    assert report.intact
    assert (report.events, report.unsequenced) == (20, 2)
    assert report.head == (log(20)[-1].link or b"").hex()


def test_X34_an_empty_log_has_nothing_to_show() -> None:
    """An empty log reports no entries at all, so that nobody can mistake it for evidence."""
    report = verify_chain([])
    assert (report.intact, report.events, report.unsequenced, report.agreed) == (True, 0, 0, 0)


EDITS: dict[str, Any] = {
    "id": "evt_x", "tenant": "other", "at": T0 - timedelta(days=1), "kind": "x", "actor": "x", "channel": "x",
    "pseudonym": None, "purpose": "x", "outcome": "x", "details_key_id": "x", "details": b"x",
}  # fmt: skip


@pytest.mark.parametrize("field", EDITS)
def test_F34_an_edited_entry_is_named_whatever_was_edited(field: str) -> None:
    """Whichever part of an entry somebody edits, verification fails and names that entry."""
    events = log(9)
    events[4] = replace(events[4], **{field: EDITS[field]})
    report = verify_chain(events)
    assert not report.intact
    assert report.first_bad == 5
    # and an editor who also computes the leaf anew breaks the chain there
    events[4] = with_leaf(events[4])
    assert verify_chain(events).first_bad == 5


@given(length=st.integers(2, 10), data=st.data())
def test_F34_dropping_swapping_or_doubling_an_entry_is_named(length: int, data: st.DataObject) -> None:
    """An entry taken out of the middle, moved or repeated is found at its place."""
    events = log(length)
    i = data.draw(st.integers(0, length - 2))
    dropped = events[:i] + events[i + 1 :]
    assert verify_chain(dropped).first_bad == i + 1
    swapped = [*events]
    swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
    assert verify_chain(swapped).first_bad == i + 1
    doubled = [*events[: i + 1], *events[i:]]
    assert verify_chain(doubled).first_bad == i + 2
    renumbered = [replace(event, sequence=n) for n, event in enumerate(dropped, start=1)]
    assert verify_chain(renumbered).first_bad == i + 1


@pytest.mark.parametrize(
    "changes", [{"link": None}, {"link": b""}, {"link": bytes(32)}, {"leaf": b""}, {"sequence": None}]
)
def test_a_missing_number_link_or_leaf_is_a_break(changes: dict[str, Any]) -> None:
    events = log(3)
    events[1] = replace(events[1], **changes)
    assert verify_chain(events).first_bad == 2


@pytest.mark.parametrize("number", [0, 3, 5, 400, -4])
def test_F34_a_changed_number_is_named(number: int) -> None:
    """An entry that is given another number is found, though its content and its link are untouched."""
    events = log(9)
    events[3] = replace(events[3], sequence=number)
    report = verify_chain(events)
    assert report.first_bad == 4
    assert "4" in report.problem


def test_F34_an_edited_entry_without_a_number_is_found() -> None:
    """Also the newest entries, which have no number yet, cannot be edited unseen."""
    report = verify_chain(log(3), [entry(3), replace(entry(4), outcome="forged")])
    assert not report.intact
    assert report.first_bad is None
    assert (report.events, report.unsequenced) == (3, 2)


def test_F34_what_a_chain_alone_cannot_show_is_not_claimed() -> None:
    """A cut tail and a re-chained log do verify: only a checkpoint held outside shows them, as the text says."""
    assert verify_chain(log(9)[:5]).intact
    forged = sequenced([entry(n, outcome="forged") for n in range(9)], last_sequence=0, last_link=GENESIS)
    assert verify_chain(forged).intact
    assert verify_chain(forged).head != verify_chain(log(9)).head


def test_numbering_nothing_gives_nothing() -> None:
    assert linked([], last_sequence=7, last_link=b"x" * 32) == []
