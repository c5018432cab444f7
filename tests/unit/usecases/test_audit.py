"""The audit log in the hall: numbers and checkpoints, reads that commit together, witnesses, verification, proofs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce import app
from sottovoce.adapters.memory import MemoryDatabase, MemoryWitness
from sottovoce.audit.checkpoint import find_checkpoints, parse_checkpoint
from sottovoce.errors import (
    Conflict,
    ConsentRequired,
    IntegrityError,
    NotFound,
    SottovoceError,
    StorageError,
    UnknownSigner,
    UsageError,
)
from sottovoce.model.event import AuditEvent
from sottovoce.model.subject import Caller
from sottovoce.ports import UnitOfWork
from sottovoce.usecases.group import GroupCommit

Hall = Any
CALLER = Caller(actor="tester", channel="test")


def events_of(hall: Hall) -> list[AuditEvent]:
    with hall.database.read() as tx:
        return list(tx.events.iterate())


def tamper(hall: Hall, event_id: str, **changes: Any) -> None:
    """What somebody with access to the database can do."""
    with hall.database.begin() as tx:
        table = tx._tables.events
        table.put(event_id, replace(table.rows[event_id], **changes))


def many(hall: Hall, count: int) -> None:
    with hall.database.begin() as tx:
        scribe = hall.platform._trail.of(None, caller=CALLER)
        for _ in range(count):
            scribe.write(tx, "test.entry")
    hall.platform._number()


def receipt_body(text: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(text)["body"]
    return body


# --- numbers, tree, checkpoints ----------------------------------------------------------------------------


def test_I6_every_entry_has_its_number_and_place_after_each_verb(hall: Hall) -> None:
    """After each verb every entry of it has its number, its link and its place in the tree."""
    hall.platform.grant(subject="anna", purposes=["voice_recording"])
    with hall.database.read() as tx:
        assert tx.events.waiting(limit=9) == ()
        assert tx.events.head()[0] == len(list(tx.events.iterate())) == 1
    many(hall, 600)
    with hall.database.read() as tx:
        assert [(node.level, node.number) for node in tx.log.all_nodes()] == [(8, 0), (8, 1)]
    assert hall.platform.verify_audit().events == 601


def test_C29a_checkpoints_are_signed_at_intervals_and_at_the_end(hall: Hall) -> None:
    """This home signs its log while it grows, not at every entry, and once more when it closes."""
    for _ in range(3):
        many(hall, 2)
    with hall.database.read() as tx:
        assert [each.size for each in tx.log.checkpoints(limit=9)] == [0]  # the interval has not passed
    hall.advance(seconds=11)
    many(hall, 1)
    many(hall, 1)
    with hall.database.read() as tx:
        assert [each.size for each in tx.log.checkpoints(limit=9)] == [0, 7]
    text = hall.platform.checkpoint_audit()
    assert parse_checkpoint(text).size == 8
    assert hall.platform.checkpoint_audit() == text  # nothing was added: nothing is signed
    many(hall, 1)
    hall.platform.close()
    hall.platform.close()
    with hall.database.read() as tx:
        assert [each.size for each in tx.log.checkpoints(limit=9)] == [0, 7, 8, 9]


def test_another_process_goes_on_where_the_first_one_was(hall: Hall) -> None:
    many(hall, 300)
    other = app.Platform(hall.adapters, hall.platform.settings)
    with hall.database.begin() as tx:
        other._trail.of(None, caller=CALLER).write(tx, "test.entry")
    other._number()
    many(hall, 300)
    other._number()
    first, second = hall.platform.checkpoint_audit(), other.checkpoint_audit()
    assert first == second
    assert hall.platform.verify_audit().intact


def test_C29a_a_home_that_has_no_tree_yet_gets_one(hall: Hall) -> None:
    """The log of an older home gets its tree at the first start, from the entries that are there."""
    many(hall, 700)
    with hall.database.begin() as tx:
        for name in ("tree_nodes", "checkpoints"):
            tx._tables.by_name[name].drop_where(lambda row: True)
    assert not hall.platform.verify_audit().intact
    fresh = app.Platform(hall.adapters, hall.platform.settings)
    fresh._number()
    assert fresh.verify_audit().intact
    assert parse_checkpoint(fresh.checkpoint_audit()).size == 700


def test_C29a_a_home_never_signs_against_its_own_last_checkpoint(hall: Hall) -> None:
    """Where the log does not continue the last checkpoint, entries are still numbered, but nothing more is signed."""
    many(hall, 5)
    hall.platform.checkpoint_audit()
    tamper(hall, events_of(hall)[2].id, leaf=bytes(32))
    fresh = app.Platform(hall.adapters, hall.platform.settings)
    with hall.database.begin() as tx:
        fresh._trail.of(None, caller=CALLER).write(tx, "test.entry")
    fresh._number()
    assert events_of(hall)[-1].sequence == 6
    with pytest.raises(IntegrityError) as refused:
        fresh.checkpoint_audit()
    assert refused.value.reason == "log_contradicts"
    assert fresh.verify_audit().first_bad == 3


def test_without_a_key_entries_are_numbered_and_signed_later(hall: Hall) -> None:
    hall.advance(hours=1)
    hall.adapters.keys.available = False
    many(hall, 0)
    with hall.database.begin() as tx:
        entry = events_of(hall)
        assert entry == []
        tx.events.add(
            AuditEvent(
                id="evt_1", tenant="default", at=tx.now(), kind="x", actor="x", channel="x", pseudonym=None,
                purpose=None, outcome="ok", details_key_id=None, details=None, leaf=bytes(32),
            )
        )  # fmt: skip
    hall.platform._number()
    assert len(events_of(hall)) == 1
    with pytest.raises(SottovoceError):
        hall.platform.checkpoint_audit()
    hall.adapters.keys.available = True
    assert parse_checkpoint(hall.platform.checkpoint_audit()).size == 1


# --- receipts carry a checkpoint ---------------------------------------------------------------------------


def test_C29a_every_receipt_carries_the_newest_checkpoint(hall: Hall) -> None:
    """Each person who keeps a receipt keeps a signed head of the log with it, and so is a witness of what it says."""
    hall.platform.grant(subject="anna", purposes=["voice_recording", "voice_analysis"])
    hall.platform.checkpoint_audit()
    outcome = hall.platform.withdraw(subject="anna", purposes=["voice_analysis"])
    carried = receipt_body(outcome.receipt)["checkpoint"]
    assert parse_checkpoint(carried).size == 1
    erased = hall.platform.erase(subject="anna")
    assert "checkpoint" in receipt_body(erased.receipt)
    assert hall.platform.verify_audit(since=outcome.receipt).compared == 1
    assert hall.platform.verify_audit(since=erased.receipt).intact


def test_F26_the_answer_of_nothing_held_stays_the_same_for_everybody(hall: Hall) -> None:
    """Who is not known gets the same bytes whenever they ask: no checkpoint tells one answer from another."""
    first = hall.platform.erase(subject="nobody")
    many(hall, 4)
    hall.platform.checkpoint_audit()
    assert hall.platform.erase(subject="somebody else").receipt == first.receipt


# --- verification against what was kept outside ------------------------------------------------------------


def test_F34_a_cut_tail_shows_against_a_receipt_and_not_without(hall: Hall) -> None:
    """A log whose end was cut off verifies by itself, as it says, and fails against a receipt that somebody kept."""
    hall.platform.grant(subject="anna", purposes=["voice_recording"])
    many(hall, 9)
    hall.platform.checkpoint_audit()
    receipt = hall.platform.refuse(subject="anna", purposes=["voice_analysis"]).receipt
    with hall.database.begin() as tx:
        tx._tables.events.drop_where(lambda event: (event.sequence or 0) > 4)
        tx._tables.checkpoints.drop_where(lambda row: row.size > 4)
    alone = hall.platform.verify_audit()
    assert alone.intact
    assert "--since" in alone.evidence
    compared = hall.platform.verify_audit(since=receipt)
    assert not compared.intact
    assert compared.first_bad == 5
    assert "entries 5 to 10" in compared.problem


def test_F34_a_cut_tail_shows_against_a_checkpoint_that_was_left_in_the_home(hall: Hall) -> None:
    """Who cuts the log and leaves the checkpoints of the home is found without anything from outside."""
    many(hall, 9)
    hall.platform.checkpoint_audit()
    with hall.database.begin() as tx:
        tx._tables.events.drop_where(lambda event: (event.sequence or 0) > 4)
    report = hall.platform.verify_audit()
    assert (report.intact, report.first_bad) == (False, 5)


def test_F34_an_edit_is_named_and_a_forged_checkpoint_is_none(hall: Hall) -> None:
    """An edited entry is named; a checkpoint that this home did not sign is refused, one it signed is not editable."""
    many(hall, 9)
    text = hall.platform.checkpoint_audit()
    with pytest.raises(IntegrityError):
        hall.platform.verify_audit(since=text.replace("\n9\n", "\n8\n"))
    with pytest.raises(IntegrityError):
        hall.platform.verify_audit(since="no checkpoint at all")
    with pytest.raises(IntegrityError):
        hall.platform.verify_audit(since='{"format": "something else"}')
    tamper(hall, events_of(hall)[6].id, outcome="forged")
    report = hall.platform.verify_audit(since=text)
    assert (report.intact, report.first_bad) == (False, 7)


def test_F34_a_checkpoint_of_another_home_is_refused(new_hall: Callable[..., Hall], tmp_path: Path) -> None:
    """A checkpoint of another home says nothing about this one, and is not taken for one of it."""
    one = new_hall()
    text = one.platform.checkpoint_audit()
    document = one.platform.identity()
    other = document.replace("created_at", "created_at")
    assert app.verify_proof(text, key=other).size == 0
    foreign = app.open(home=tmp_path / "foreign")
    try:
        with pytest.raises((IntegrityError, UnknownSigner)):
            foreign.verify_audit(since=text)
        with pytest.raises(UnknownSigner):
            app.verify_proof(text, home=tmp_path / "nobody")
    finally:
        foreign.close()


def test_F34_a_stored_checkpoint_that_was_edited_is_found(hall: Hall) -> None:
    """Editing the checkpoints in the database is noticed too."""
    many(hall, 3)
    hall.platform.checkpoint_audit()
    with hall.database.begin() as tx:
        table = tx._tables.checkpoints
        table.put(3, replace(table.rows[3], text=table.rows[3].text.replace("\n3\n", "\n2\n")))
    report = hall.platform.verify_audit()
    assert not report.intact
    assert "stored checkpoint" in report.problem


def test_I6_the_window_without_numbers_is_named(hall: Hall) -> None:
    """Entries that have no number yet are checked, counted, and said since when they wait."""
    many(hall, 3)
    with hall.database.begin() as tx:
        hall.platform._trail.of(None, caller=CALLER).write(tx, "test.entry")
        at = tx.now()
    report = hall.platform.verify_audit()
    assert (report.intact, report.unsequenced, report.waiting_since) == (True, 1, at)
    assert (report.unwitnessed_from, report.unwitnessed_since) == (1, at)


def test_identity_replaced_the_log_goes_on(hall: Hall) -> None:
    many(hall, 3)
    before = hall.platform.checkpoint_audit()
    hall.platform.replace_identity()
    many(hall, 1)
    after = hall.platform.checkpoint_audit()
    assert after.split("\n")[0] == before.split("\n")[0]  # the same log
    assert hall.platform.verify_audit(since=before).intact
    assert hall.platform.verify_audit(since=f"{before}\n{after}").compared == 5
    assert app.verify_proof(after, key=hall.platform.identity()).size == 5


# --- showing, proving, summing up --------------------------------------------------------------------------


def test_show_filters_by_person_kind_and_time(hall: Hall) -> None:
    hall.platform.grant(subject="anna", purposes=["voice_recording"])
    hall.advance(days=1)
    hall.platform.grant(subject="berta", purposes=["voice_recording"])
    now = hall.clock.now()
    assert [line.kind for line in hall.platform.show_audit(subject="anna")] == [
        "consent.grant",
        "audit.shown",
    ]
    assert len(hall.platform.show_audit(kind="consent")) == 2
    assert len(hall.platform.show_audit(kind="consent.grant", since=now)) == 1
    assert len(hall.platform.show_audit(kind="consent.grant", until=now)) == 1
    assert hall.platform.show_audit(kind="nothing") == ()
    assert len(hall.platform.show_audit(limit=2)) == 2
    with pytest.raises(NotFound):
        hall.platform.show_audit(subject="nobody")
    with pytest.raises(UsageError):
        hall.platform.show_audit(limit=0)


def test_C29b_looking_at_the_log_is_an_entry_of_its_own(hall: Hall) -> None:
    """Whoever looks at the log is in it, before anything is shown."""
    hall.platform.show_audit()
    assert [line.kind for line in hall.platform.show_audit()] == ["audit.shown", "audit.shown"]


def test_C29a_an_entry_is_proven_to_anybody_offline(hall: Hall) -> None:
    """One entry is proven with the pinned key alone: no database, and no other entry is shown."""
    hall.platform.grant(subject="anna", purposes=["voice_recording"])
    many(hall, 300)
    line = hall.platform.show_audit(kind="consent.grant")[0]
    proof = hall.platform.prove_audit(line.event_id)
    said = app.verify_proof(proof.text, key=hall.platform.identity())
    assert (said.sequence, said.size) == (1, proof.size)
    assert said.entry["kind"] == "consent.grant"
    assert said.entry["id"] == line.event_id
    assert "anna" not in proof.text
    with pytest.raises(IntegrityError):
        app.verify_proof(proof.text.replace("index 0", "index 1"), key=hall.platform.identity())
    with pytest.raises(NotFound):
        hall.platform.prove_audit("evt_" + "a" * 24)
    assert hall.platform.verify_audit(since=proof.text).intact


def test_the_report_counts_by_month_and_names_alarms(hall: Hall) -> None:
    assert hall.platform.report_audit().verification.evidence == "no evidence"
    hall.platform.grant(subject="anna", purposes=["voice_recording"])
    hall.advance(days=40)
    many(hall, 2)
    found = hall.platform.report_audit()
    assert found.counts == {"2026-01": {"consent.grant": 1}, "2026-02": {"test.entry": 2}}
    assert (found.entries, found.quiet_days, found.alarms) == (3, 39, ())
    assert hall.platform.report_audit(since=hall.clock.now()).entries == 2
    text = hall.platform.checkpoint_audit()
    tamper(hall, events_of(hall)[0].id, outcome="forged")
    broken = hall.platform.report_audit(checkpoint=text)
    assert broken.verification.first_bad == 1
    assert len(broken.alarms) == 1


# --- witnesses ---------------------------------------------------------------------------------------------


@pytest.fixture
def witnessed(new_hall: Callable[..., Hall]) -> Iterator[tuple[Hall, MemoryWitness]]:
    hall = new_hall()
    witness = MemoryWitness("elsewhere")
    hall.platform = app.Platform(replace(hall.adapters, witnesses=(witness,)), hall.platform.settings)
    hall.platform.start()
    yield hall, witness
    hall.platform.close()


def sizes(witness: MemoryWitness) -> list[int]:
    return [parse_checkpoint(text).size for text in find_checkpoints("\n".join(witness.kept))]


def test_C29a_a_witness_gets_every_checkpoint_in_order(witnessed: tuple[Hall, MemoryWitness]) -> None:
    """Each signed checkpoint reaches the witness, in order, and the log is compared with what it kept."""
    hall, witness = witnessed
    for _ in range(3):
        many(hall, 2)
        hall.platform.checkpoint_audit()
    assert sizes(witness) == [0, 2, 4, 6]
    report = hall.platform.verify_audit(since="\n".join(witness.kept))
    assert (report.intact, report.compared, report.unwitnessed_from) == (True, 6, None)
    many(hall, 1)
    assert hall.platform.verify_audit().unwitnessed_from == 7


def test_F36_an_unreachable_witness_stops_nothing_and_is_noticed(
    witnessed: tuple[Hall, MemoryWitness],
) -> None:
    """While a witness is unreachable serving goes on and checkpoints queue; after a set delay it is an alarm, and
    `verify` says from which entry on nothing is witnessed."""
    hall, witness = witnessed
    many(hall, 2)
    hall.platform.checkpoint_audit()
    witness.reachable = False
    for _ in range(3):
        hall.advance(minutes=2)
        many(hall, 2)
    assert sizes(witness) == [0, 2]
    assert hall.platform.report_audit().alarms == ()
    report = hall.platform.verify_audit()
    assert (report.intact, report.unwitnessed_from) == (True, 3)
    assert report.unwitnessed_since is not None
    hall.advance(hours=2)
    found = hall.platform.report_audit()
    assert len(found.alarms) == 1
    assert found.witnesses[0].lags
    assert found.witnessed_age is not None
    assert found.witnessed_age > timedelta(hours=2)
    assert any(check.name == "witnesses" and check.state == "fail" for check in hall.platform.doctor())
    witness.reachable = True
    hall.advance(minutes=2)
    many(hall, 2)
    assert sizes(witness) == [0, 2, 4, 6, 8, 10]
    assert hall.platform.report_audit().alarms == ()
    assert any(check.name == "witnesses" and check.state == "ok" for check in hall.platform.doctor())


def test_F36_a_witness_that_failed_is_left_alone_for_a_while(witnessed: tuple[Hall, MemoryWitness]) -> None:
    """An unreachable witness is not asked again at every entry."""
    hall, witness = witnessed
    asked = 0

    def deliver(_: str) -> None:
        nonlocal asked
        asked += 1
        raise StorageError(reason="witness_unreachable")

    witness.deliver = deliver  # type: ignore[method-assign]
    for _ in range(5):
        hall.advance(seconds=11)
        many(hall, 1)
    assert asked == 1
    hall.advance(seconds=60)
    many(hall, 1)
    assert asked == 2


def test_a_new_witness_begins_with_the_newest(hall: Hall) -> None:
    for _ in range(3):
        many(hall, 1)
        hall.platform.checkpoint_audit()
    witness = MemoryWitness()
    with app.Platform(replace(hall.adapters, witnesses=(witness,)), hall.platform.settings) as platform:
        platform.start()
    assert sizes(witness) == [3]
    assert list(find_checkpoints("\n".join(witness.kept))) == witness.kept[:1]


# --- reads that are committed together ---------------------------------------------------------------------


class CountingDatabase(MemoryDatabase):
    """Counts commits; `gate` holds a commit back, `fails` makes the next ones fail."""

    def __init__(self) -> None:
        super().__init__(busy_timeout_s=5)
        self.commits = 0
        self.fails = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Any]:
        with super().begin(durable=durable) as tx:
            yield tx
            self.entered.set()
            self.gate.wait(5)
            if self.fails:
                self.fails -= 1
                raise StorageError("The disk is full.", reason="storage_full")
            self.commits += 1


class NoNumbers:
    """Stands for the sequencer; `broken` makes every numbering fail."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken

    @contextmanager
    def beside(self) -> Iterator[Callable[[UnitOfWork], None]]:
        def number(tx: UnitOfWork) -> None:
            if self.broken:
                raise Conflict("taken", reason="sequence_taken")

        yield number


def entry(n: int) -> AuditEvent:
    return AuditEvent(
        id=f"evt_{n}", tenant="default", at=datetime.fromisoformat("2026-01-01T00:00:00+00:00"), kind="x",
        actor="x", channel="x", pseudonym=None, purpose=None, outcome="ok", details_key_id=None, details=None,
    )  # fmt: skip


def together(group: GroupCommit, database: CountingDatabase, works: list[Any]) -> list[Any]:
    """Run all works at once: the first commits alone, behind a gate; the others gather meanwhile."""
    answers: list[Any] = [None] * len(works)

    def run(place: int) -> None:
        try:
            answers[place] = group.run(works[place])
        except SottovoceError as error:
            answers[place] = error

    database.gate.clear()
    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(works))]
    threads[0].start()
    assert database.entered.wait(5)
    for thread in threads[1:]:
        thread.start()
    while len(group._waiting) < len(works) - 1:
        pass
    database.gate.set()
    for thread in threads:
        thread.join(10)
    return answers


def adding(n: int) -> Callable[[UnitOfWork], int]:
    def work(tx: UnitOfWork) -> int:
        tx.events.add(entry(n))
        return n

    return work


def stored(database: CountingDatabase) -> set[str]:
    with database.read() as tx:
        return {row[0] for row in tx.events.waiting(limit=99)}


def test_C29b_readers_share_one_commit_and_each_gets_its_own_answer() -> None:
    """Many who read at the same time wait for one durable commit; nobody is answered before it."""
    database = CountingDatabase()
    group = GroupCommit(database=database, sequencer=NoNumbers())  # type: ignore[arg-type]
    answers = together(group, database, [adding(n) for n in range(9)])
    assert answers == list(range(9))
    assert database.commits == 2
    assert len(stored(database)) == 9


def test_F35_where_the_commit_fails_nobody_is_answered() -> None:
    """When the entries of a group cannot be committed, none of its readers gets anything."""
    database = CountingDatabase()
    group = GroupCommit(database=database, sequencer=NoNumbers())  # type: ignore[arg-type]
    database.fails = 2
    answers = together(group, database, [adding(n) for n in range(9)])
    assert all(isinstance(answer, StorageError) for answer in answers)
    assert stored(database) == set()
    assert group.run(adding(1)) == 1


def test_F35_one_refusal_harms_no_other_reader() -> None:
    """Where one reader is refused after it wrote, its entry is not kept, and all others get theirs."""

    def refused(tx: UnitOfWork) -> int:
        tx.events.add(entry(99))
        raise ConsentRequired

    database = CountingDatabase()
    group = GroupCommit(database=database, sequencer=NoNumbers())  # type: ignore[arg-type]
    works = [adding(n) for n in range(4)] + [refused] + [adding(n) for n in range(5, 9)]
    answers = together(group, database, works)
    assert isinstance(answers.pop(4), ConsentRequired)
    assert answers == [0, 1, 2, 3, 5, 6, 7, 8]
    assert stored(database) == {f"evt_{n}" for n in (0, 1, 2, 3, 5, 6, 7, 8)}
    with pytest.raises(ConsentRequired):
        group.run(refused)


def test_a_numbering_that_fails_stops_no_read() -> None:
    database = CountingDatabase()
    group = GroupCommit(database=database, sequencer=NoNumbers(broken=True))  # type: ignore[arg-type]
    assert together(group, database, [adding(n) for n in range(5)]) == list(range(5))
    assert len(stored(database)) == 5


def test_a_leader_that_is_interrupted_tells_the_others() -> None:
    def interrupt(tx: UnitOfWork) -> int:
        raise KeyboardInterrupt

    database = CountingDatabase()
    group = GroupCommit(database=database, sequencer=NoNumbers())  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        group.run(interrupt)
    assert group.run(adding(1)) == 1


def test_many_readers_at_once_on_a_whole_hall(hall: Hall) -> None:
    """No entry is lost or doubled, every one has its number, and the log verifies."""
    hall.grant()
    session = hall.analyze().session_id
    errors: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(5):
                assert hall.platform.show(session, purpose="subject_access").session_id == session
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    hall.platform._number()
    assert hall.kinds_of_events().count("record.read") == 40
    report = hall.platform.verify_audit()
    assert (report.intact, report.unsequenced) == (True, 0)


# --- expiry and erasure ------------------------------------------------------------------------------------


def test_C29c_after_2555_days_details_close_and_the_log_still_verifies(hall: Hall) -> None:
    """After 2,555 days the keys of details are destroyed; the entries stay, and the log still verifies."""
    hall.grant()
    receipt = hall.platform.checkpoint_audit()
    hall.advance(days=2554)
    assert hall.platform.sweep().details_expired == 0
    assert hall.platform.show_audit(kind="consent.grant")[0].details
    hall.advance(days=33)
    assert hall.platform.sweep().details_expired >= 1
    assert hall.platform.show_audit(kind="consent.grant")[0].details is None
    assert hall.platform.verify_audit(since=receipt).intact
    assert "audit.details_expired" in hall.kinds_of_events()
    assert hall.platform.sweep().details_expired == 0


def test_C29c_X39_no_stored_id_links_an_entry_to_an_erased_person(hall: Hall) -> None:
    """After an erasure nothing in the entries repeats an id that a receipt or a mark still holds."""
    hall.grant()
    hall.analyze()
    with hall.database.read() as tx:
        person = hall.platform._record.people.find(tx, "anna").id
    erased = hall.platform.erase(subject="anna")
    assert receipt_body(erased.receipt)["subject_id"] == person
    assert all(person not in repr(event) for event in events_of(hall))
    with hall.database.read() as tx:
        assert tx.requests.get(erased.request_id).pseudonym == ""
    assert hall.platform.verify_audit(since=erased.receipt).intact
