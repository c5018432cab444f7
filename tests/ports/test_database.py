"""Port `Database`: one suite over the fake and SQLite; what only SQLite can show is in the second half."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce.adapters.database import SqliteDatabase
from sottovoce.adapters.database.postgres import PostgresDatabase
from sottovoce.adapters.memory import FixedClock, MemoryDatabase
from sottovoce.audit.rows import event_row
from sottovoce.errors import Conflict, IntegrityError, SchemaNewer, SottovoceError, StorageError
from sottovoce.model.consent import ConsentAction, ConsentEvent, NoticeVersion, material_ordinals
from sottovoce.model.event import AuditEvent
from sottovoce.model.job import Job
from sottovoce.model.log import ArchiveCut, EventRow, SignedCheckpoint, TreeNode, WitnessMark
from sottovoce.model.record import Decision, SealedRecord, StoredReceipt
from sottovoce.model.recording import FINAL, Recording, RecordingState
from sottovoce.model.request import ErasureRequest, Tombstone
from sottovoce.model.retention import ClockMark, RetentionRule
from sottovoce.model.subject import Subject, SubjectState
from sottovoce.model.tombstones import TombstoneHead
from sottovoce.ports import Database, UnitOfWork

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@dataclass
class Shift:
    """What the test adds to the database's clock."""

    by: timedelta = timedelta(0)

    def __call__(self) -> timedelta:
        return self.by


@pytest.fixture
def shift() -> Shift:
    return Shift()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, shift: Shift) -> Iterator[Database]:
    opened: Database
    if request.param == "memory":
        opened = MemoryDatabase(offset=shift, busy_timeout_s=0.2)
    elif request.param == "postgresql":
        make = request.getfixturevalue("new_postgres")
        opened = PostgresDatabase(make(), offset=shift, busy_timeout_s=0.2)
    else:
        opened = SqliteDatabase(tmp_path / "data.db", offset=shift, busy_timeout_s=0.2, reserve_bytes=1 << 16)
    yield opened
    opened.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteDatabase]:
    opened = SqliteDatabase(tmp_path / "data.db", busy_timeout_s=0.2, reserve_bytes=1 << 16)
    yield opened
    opened.close()


def test_rules_are_replaced_and_the_mark_of_the_clock_too(database: Database) -> None:
    with database.begin() as tx:
        assert tx.policy.rules() == ()
        assert tx.policy.clock("default") is None
        tx.policy.set_rule(RetentionRule("insight", "default", 20, T0))
        tx.policy.set_rule(RetentionRule("features", "default", 10, T0))
        tx.policy.set_rule(RetentionRule("insight", "default", 5, T0 + DAY))
        tx.policy.set_clock(ClockMark("default", "one", T0))
        tx.policy.set_clock(ClockMark("default", "two", T0 + HOUR))
    with database.read() as tx:
        assert tx.policy.rules() == (
            RetentionRule("features", "default", 10, T0),
            RetentionRule("insight", "default", 5, T0 + DAY),
        )
        assert tx.policy.clock("default") == ClockMark("default", "two", T0 + HOUR)
        assert tx.policy.clock("other") is None


def test_the_footprint_of_an_empty_database_names_every_kind(database: Database) -> None:
    with database.read() as tx:
        rows = {row.kind: (row.count, row.size_bytes) for row in tx.footprint()}
    kinds = ("decision", "receipt", "consent", "notice", "person", "mark", "case", "erasure", "recipient",
             "disclosure", "audit")  # fmt: skip
    assert rows == dict.fromkeys(kinds, (0, 0))


def test_the_footprint_counts_bytes_of_everything_that_is_stored(database: Database) -> None:
    text = '{"of": "Žofie"}'  # 15 characters, 16 bytes
    with database.begin() as tx:
        plant(tx)
        tx.consents.add([consent(2, evidence=None)])
        tx.receipts.add(receipt(2, text=text))
        tx.events.add(event(2, details=None))
        tx.requests.add(request(1), tombstone(1))
        tx.requests.add(request(2), tombstone(2))
        tx.requests.complete("req_2", receipt=text, at=T0)
    with database.read() as tx:
        rows = {row.kind: (row.count, row.size_bytes) for row in tx.footprint()}
    assert {kind: row for kind, row in rows.items() if row != (0, 0)} == {
        "features": (1, 40), "decision": (1, 40), "receipt": (2, len('{"signed": "text"}') + 16),
        # what each says, whether or not sealed evidence stands beside it
        "consent": (2, 2 * len("voice_analysis" + "web") + 2), "notice": (1, len("notice 1")),
        "person": (1, len("sealed?")),
        "erasure": (1, 16),  # of the one that is not done yet there is neither an inventory nor a receipt
        "audit": (1, len("sealed")),  # the other entry has no details
    }  # fmt: skip


# --- values ----------------------------------------------------------------------------------------


def subject(n: int = 1, **changes: Any) -> Subject:
    made = Subject(
        id=f"sub_{n}", tenant="default", blind_index=f"blind-{n}", sealed_name=b"sealed" + bytes([n]),
        state=SubjectState.ACTIVE, created_at=T0,
    )  # fmt: skip
    return replace(made, **changes)


def notice(n: int = 1, **changes: Any) -> NoticeVersion:
    text = f"notice {n}".encode()
    made = NoticeVersion(
        id=f"ntc_{n}", tenant="default", purpose="voice_analysis", version=f"v{n}", ordinal=n, locale="en",
        material=True, sha256=hashlib.sha256(text).hexdigest(), text=text, published_at=T0,
    )  # fmt: skip
    return replace(made, **changes)


def consent(n: int = 1, **changes: Any) -> ConsentEvent:
    made = ConsentEvent(
        id=f"con_{n}", tenant="default", subject_id="sub_1", sequence=0, batch_id="bat_1",
        purpose="voice_analysis", action=ConsentAction.GRANT, notice_id=None, notice_ordinal=1, channel="web",
        evidence=b"\x00\xff", occurred_at=T0, recorded_at=T0,
    )  # fmt: skip
    return replace(made, **changes)


def recording(n: int = 1, **changes: Any) -> Recording:
    made = Recording(
        id=f"ses_{n}", tenant="default", subject_id="sub_1", shape="submit", state=RecordingState.RECEIVED,
        received_at=T0 + n * timedelta(seconds=1), discard_by=T0 + n * HOUR, keep=True,
    )  # fmt: skip
    return replace(made, **changes)


def record(n: int = 1, **changes: Any) -> SealedRecord:
    made = SealedRecord(
        id=f"rec_{n}", tenant="default", subject_id="sub_1", session_id="ses_1", kind="features",
        profile="compat", version=f"egemaps-88/{n}", body=b"\x01" * 40, created_at=T0, expires_at=T0 + 30 * DAY,
    )  # fmt: skip
    return replace(made, **changes)


def decision(n: int = 1, **changes: Any) -> Decision:
    made = Decision(
        id=f"dec_{n}", tenant="default", subject_id="sub_1", session_id="ses_1", purpose="voice_analysis",
        model="voice_profile", model_sha256="00" * 32, body=b"\x02" * 40, at=T0, expires_at=T0 + 30 * DAY,
    )  # fmt: skip
    return replace(made, **changes)


def receipt(n: int = 1, **changes: Any) -> StoredReceipt:
    made = StoredReceipt(
        id=f"rct_{n}", tenant="default", subject_id="sub_1", session_id="ses_1", kind="discard",
        text='{"signed": "text"}', at=T0,
    )  # fmt: skip
    return replace(made, **changes)


def request(n: int = 1, **changes: Any) -> ErasureRequest:
    made = ErasureRequest(
        id=f"req_{n}",
        tenant="default",
        subject_id="sub_1",
        session_id=None,
        pseudonym="psn_1",
        requested_at=T0,
    )
    return replace(made, **changes)


def tombstone(n: int = 1, **changes: Any) -> Tombstone:
    return replace(Tombstone(id="sub_1", tenant="default", request_id=f"req_{n}", at=T0), **changes)


def event(n: int = 1, **changes: Any) -> AuditEvent:
    made = AuditEvent(
        id=f"evt_{n}", tenant="default", at=T0, kind="recording.received", actor="operator", channel="library",
        pseudonym="psn_1", purpose=None, outcome="ok", details_key_id=None, details=b"sealed",
        leaf=bytes([n % 256]) * 32,
    )  # fmt: skip
    return replace(made, **changes)


def plant(tx: UnitOfWork) -> None:
    """One person with one of everything."""
    tx.subjects.add(subject())
    tx.consents.add_notice(notice())
    tx.consents.add([consent(notice_id="ntc_1")])
    tx.recordings.add(recording())
    tx.records.add([record()], [decision()])
    tx.receipts.add(receipt())
    tx.events.add(event())
    tx.jobs.put(Job("discard", "ses_1", T0 + HOUR))


def plant_neighbour(tx: UnitOfWork) -> None:
    """Another person, who must not notice anything."""
    tx.subjects.add(subject(2))
    tx.recordings.add(recording(2, subject_id="sub_2"))
    tx.records.add([record(2, subject_id="sub_2", session_id="ses_2")])
    tx.jobs.put(Job("discard", "ses_2", T0 + HOUR))


# --- transactions ----------------------------------------------------------------------------------


def test_a_block_left_normally_is_committed(database: Database) -> None:
    with database.begin() as tx:
        tx.subjects.add(subject())
    with database.read() as tx:
        assert tx.subjects.find("default", "blind-1") == subject()


def test_a_block_left_by_an_exception_leaves_nothing(database: Database) -> None:
    with pytest.raises(KeyboardInterrupt), database.begin() as tx:
        plant(tx)
        raise KeyboardInterrupt
    with database.begin() as tx:
        assert tx.rows_of("sub_1") == {}
        assert tx.events.waiting(limit=10) == ()
        assert tx.consents.notices("default") == ()
        plant(tx)  # nothing of the first attempt is in the way


def test_an_error_of_ours_passes_the_transaction_unchanged(database: Database) -> None:
    error = Conflict("x", reason="y")
    with pytest.raises(Conflict) as caught, database.begin():
        raise error
    assert caught.value is error


def test_what_is_written_can_be_read_in_the_same_transaction(database: Database) -> None:
    with database.begin() as tx:
        plant(tx)
        assert tx.recordings.get("ses_1") == recording()


def test_a_snapshot_neither_sees_a_later_commit_nor_blocks_it(database: Database) -> None:
    with database.begin() as tx:
        plant(tx)
    with database.read() as before:
        assert before.recordings.count_by_state() == {RecordingState.RECEIVED: 1}
        with database.begin() as tx:
            tx.recordings.add(recording(2))
        assert before.recordings.get("ses_2") is None
    with database.read() as after:
        assert after.recordings.get("ses_2") is not None


def test_a_snapshot_does_not_see_what_is_not_committed(database: Database) -> None:
    with database.begin() as writing:
        writing.subjects.add(subject())
        with database.read() as reading:
            assert reading.subjects.get("sub_1") is None


def test_writing_through_a_snapshot_is_an_error(database: Database) -> None:
    with database.begin() as tx:
        plant(tx)
    writes: list[Callable[[UnitOfWork], object]] = [
        lambda tx: tx.subjects.add(subject(2)),
        lambda tx: tx.jobs.put(Job("erase", "req_1", T0)),
        lambda tx: tx.erase_rows("sub_1"),
        lambda tx: tx.subjects.set_erasing("sub_1"),
    ]
    for write in writes:
        with pytest.raises(StorageError), database.read() as snapshot:
            write(snapshot)
    with database.begin() as tx:  # and the connection is fit for writing afterwards
        assert tx.rows_of("sub_1")["subjects"] == 1
        tx.subjects.add(subject(2))


def test_a_second_writer_waits_and_then_gives_up(database: Database) -> None:
    with database.begin() as first:
        first.subjects.add(subject())
        with pytest.raises(StorageError) as caught, database.begin():
            pytest.fail("two writers at once")
    assert caught.value.reason == "storage_locked"
    assert caught.value.hint
    with database.begin() as tx:
        assert tx.subjects.get("sub_1") is not None


def test_a_writer_that_waits_sees_what_the_first_one_committed(database: Database) -> None:
    """Law 1: what a transaction reads cannot change before it commits; ten writers count to ten."""
    with database.begin() as tx:
        plant(tx)

    def count_up() -> None:
        for _ in range(200):
            try:
                with database.begin() as tx:
                    stored = tx.recordings.get("ses_1")
                    assert stored is not None
                    new = replace(stored, attempts=stored.attempts + 1)
                    assert tx.recordings.swap(new, expected=stored)
                return
            except StorageError:
                continue  # waited too long: try again

    threads = [threading.Thread(target=count_up) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as tx:
        stored = tx.recordings.get("ses_1")
    assert stored is not None
    assert stored.attempts == 10


def test_time_is_read_once_per_transaction_and_moves_between_them(database: Database, shift: Shift) -> None:
    with database.begin() as tx:
        first = tx.now()
        shift.by = HOUR
        assert tx.now() == first
    assert first.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=1)
    with database.read() as tx:
        assert HOUR <= tx.now() - first < HOUR + timedelta(minutes=1)


def test_tidy_of_an_idle_database_succeeds(database: Database) -> None:
    with database.begin() as tx:
        plant(tx)
    database.tidy()
    with database.read() as tx:
        assert tx.subjects.get("sub_1") == subject()


def test_the_reserve_is_given_back_once(database: Database) -> None:
    if isinstance(database, PostgresDatabase):
        pytest.skip("a server's space is not ours to keep aside")
    assert database.free_reserve()
    assert not database.free_reserve()


# --- subjects and consents -------------------------------------------------------------------------


def test_a_subject_is_found_by_blind_index_within_a_tenant(database: Database) -> None:
    with database.begin() as tx:
        tx.subjects.add(subject())
        tx.subjects.add(subject(2, tenant="other", blind_index="blind-1"))
        assert tx.subjects.find("default", "blind-1") == subject()
        assert tx.subjects.find("default", "blind-2") is None
        assert tx.subjects.get("sub_9") is None
        assert tx.subjects.lock("sub_1") == subject()
        assert tx.subjects.lock("sub_9") is None


@pytest.mark.parametrize("other", [subject(1, blind_index="new"), subject(2, blind_index="blind-1")])
def test_a_subject_is_not_added_twice(database: Database, other: Subject) -> None:
    with database.begin() as tx:
        tx.subjects.add(subject())
        with pytest.raises(Conflict):
            tx.subjects.add(other)


def test_a_subject_that_is_being_erased_says_so(database: Database) -> None:
    with database.begin() as tx:
        tx.subjects.add(subject())
        tx.subjects.add(subject(2))
        tx.subjects.set_erasing("sub_1")
        assert tx.subjects.get("sub_1") == subject(state=SubjectState.ERASING)
        assert tx.subjects.get("sub_2") == subject(2)


def test_notices_come_by_purpose_and_ordinal(database: Database) -> None:
    second, german = notice(2), notice(3, version="v1", ordinal=1, locale="de")
    other = notice(4, purpose="embedding")
    with database.begin() as tx:
        for each in (second, notice(), german, other):
            tx.consents.add_notice(each)
        assert tx.consents.notices("default", "voice_analysis") == (german, notice(), second)
        assert tx.consents.notices("default") == (other, german, notice(), second)
        assert tx.consents.notices("another tenant") == ()
        with pytest.raises(Conflict):
            tx.consents.add_notice(notice(9, version="v2"))


def test_C3a_the_latest_material_notice_is_known_per_purpose(database: Database) -> None:
    """Which text asks everybody again is read from the published notices; a mere correction does not count."""
    published = [
        notice(1), notice(2), notice(3, material=False), notice(4, purpose="embedding", material=False),
        notice(5, purpose="model_training"), notice(6, tenant="other"),
    ]  # fmt: skip
    with database.begin() as tx:
        for each in published:
            tx.consents.add_notice(each)
        assert tx.consents.material("default") == {"voice_analysis": 2, "model_training": 5}
        assert tx.consents.material("default") == material_ordinals(tx.consents.notices("default"))
        assert tx.consents.material("nobody") == {}


def test_consent_events_get_ascending_numbers_in_order(database: Database) -> None:
    with database.begin() as tx:
        plant(tx)
        added = tx.consents.add([consent(2), consent(3, action=ConsentAction.WITHDRAW, evidence=None)])
        assert [event.id for event in added] == ["con_2", "con_3"]
        assert added[0].sequence < added[1].sequence
        stored = tx.consents.of_subject("sub_1")
    assert stored[1:] == added
    assert stored[0].sequence < added[0].sequence
    assert replace(stored[0], sequence=0) == consent(notice_id="ntc_1")


def test_C1a_a_batch_of_consents_is_written_whole_or_not_at_all(database: Database) -> None:
    """When one of several consents given together cannot be stored, none of them is."""
    with database.begin() as tx:
        plant(tx)
        with pytest.raises(Conflict):
            tx.consents.add([consent(2), consent(3), consent(1), consent(4)])
        assert [event.id for event in tx.consents.of_subject("sub_1")] == ["con_1"]
    with database.read() as tx:  # also not by the commit of a caller who caught the error
        assert [event.id for event in tx.consents.of_subject("sub_1")] == ["con_1"]


def test_C1d_a_duplicate_consent_event_is_refused_and_changes_nothing(database: Database) -> None:
    """The same consent event sent twice is refused the second time, and what was recorded stays as it was."""
    with database.begin() as tx:
        plant(tx)
        before = tx.consents.of_subject("sub_1")
        with pytest.raises(Conflict) as caught:
            tx.consents.add([consent(1, action=ConsentAction.WITHDRAW)])
        assert caught.value.reason == "duplicate_event"
        assert tx.consents.of_subject("sub_1") == before


def test_X05_a_thousand_events_in_one_instant_are_a_thousand_rows(database: Database) -> None:
    """A thousand consents recorded while the clock stands still are all kept, in the order they came."""
    events = [consent(n) for n in range(1, 1001)]
    with database.begin() as tx:
        tx.subjects.add(subject())
        tx.consents.add(events)
        stored = tx.consents.of_subject("sub_1")
    assert [event.id for event in stored] == [event.id for event in events]
    assert len({event.sequence for event in stored}) == 1000
    assert {event.recorded_at for event in stored} == {T0}


def test_a_number_is_never_given_twice_even_after_an_erasure(database: Database) -> None:
    with database.begin() as tx:
        tx.subjects.add(subject())
        last = tx.consents.add([consent(1), consent(2)])[-1].sequence
        tx.erase_rows("sub_1")
        tx.subjects.add(subject(2))
        assert tx.consents.add([consent(3, subject_id="sub_2")])[0].sequence > last


# --- recordings ------------------------------------------------------------------------------------


def full_recording() -> Recording:
    return recording(
        1, shape="analyze", state=RecordingState.HELD, keep=False, discard_source=True, profile="corrected",
        channel="mix", accept_truncated=True, idempotency="idem", body_stored_at=T0, body_bytes=1 << 40,
        lease_owner="own_1", lease_until=T0 + HOUR, attempts=3, failure="decode_failed", hold_until=T0 + DAY,
        erase_request_id="req_1", committed_at=T0, ended_at=T0, receipt_id="rct_1",
    )  # fmt: skip


@pytest.mark.parametrize("value", [recording(), full_recording()], ids=["plain", "every field set"])
def test_a_recording_comes_back_as_it_was_written(database: Database, value: Recording) -> None:
    with database.begin() as tx:
        tx.subjects.add(subject())
        tx.recordings.add(value)
    with database.read() as tx:
        stored = tx.recordings.get("ses_1")
        assert tx.recordings.get("ses_2") is None
    assert stored == value
    assert stored is not None
    assert isinstance(stored.state, RecordingState)


def test_a_recording_is_not_added_twice(database: Database) -> None:
    with database.begin() as tx:
        tx.subjects.add(subject())
        tx.recordings.add(recording(1, idempotency="same"))
        for other in (recording(1), recording(2, idempotency="same")):
            with pytest.raises(Conflict):
                tx.recordings.add(other)
        tx.recordings.add(recording(3))
        tx.recordings.add(recording(4))  # without a key of the caller's nothing collides


def test_a_retry_finds_its_recording_by_the_callers_key(database: Database) -> None:
    with database.begin() as tx:
        tx.subjects.add(subject())
        tx.subjects.add(subject(2))
        tx.recordings.add(recording(1, idempotency="key"))
        assert tx.recordings.by_idempotency("default", "sub_1", "key") == recording(1, idempotency="key")
        assert tx.recordings.by_idempotency("default", "sub_2", "key") is None
        assert tx.recordings.by_idempotency("other", "sub_1", "key") is None


def test_recordings_of_a_subject_come_newest_first(database: Database) -> None:
    with database.begin() as tx:
        tx.subjects.add(subject())
        for n in (2, 3, 1):
            tx.recordings.add(recording(n))
        assert [r.id for r in tx.recordings.of_subject("sub_1")] == ["ses_3", "ses_2", "ses_1"]
        assert tx.recordings.of_subject("sub_2") == ()


SWAPPED: list[dict[str, Any]] = [
    {"state": RecordingState.COMMITTED}, {"lease_owner": "own_2"}, {"lease_until": T0}, {"failure": "x"},
    {"erase_request_id": "req_2"}, {"body_stored_at": T0 + HOUR}, {"attempts": 4},
]  # fmt: skip


@pytest.mark.parametrize("start", [recording(), full_recording()], ids=["plain", "every field set"])
@pytest.mark.parametrize("changed", SWAPPED, ids=lambda changed: next(iter(changed)))
def test_a_swap_fails_when_somebody_else_was_first(
    database: Database, start: Recording, changed: dict[str, Any]
) -> None:
    with database.begin() as tx:
        tx.subjects.add(subject())
        tx.recordings.add(start)
        assert tx.recordings.swap(replace(start, **changed), expected=start)
        assert not tx.recordings.swap(replace(start, receipt_id="rct_9"), expected=start)
        assert tx.recordings.get("ses_1") == replace(start, **changed)
        assert tx.recordings.swap(start, expected=replace(start, **changed))  # back to NULL, too
        assert tx.recordings.get("ses_1") == start


def test_a_swap_of_what_is_gone_fails(database: Database) -> None:
    with database.begin() as tx:
        assert not tx.recordings.swap(recording(), expected=recording())
        assert tx.recordings.get("ses_1") is None


def test_unfinished_recordings_come_by_their_deadline(database: Database) -> None:
    with database.begin() as tx:
        tx.subjects.add(subject())
        for n, state in enumerate(RecordingState, start=1):
            tx.recordings.add(recording(n, state=state))
            tx.recordings.add(recording(10 + n, state=state, discard_by=T0 - n * HOUR))
        found = tx.recordings.unfinished(limit=100)
        assert {r.state for r in found} == set(RecordingState) - FINAL
        assert len(found) == 6
        assert list(found) == sorted(found, key=lambda r: r.discard_by)
        assert tx.recordings.unfinished(limit=2) == found[:2]
        assert tx.recordings.count_by_state() == dict.fromkeys(RecordingState, 2)


# --- records ---------------------------------------------------------------------------------------


def test_records_and_decisions_come_back_as_they_were_written(database: Database) -> None:
    with database.begin() as tx:
        plant(tx)
    with database.read() as tx:
        assert tx.records.of_session("ses_1") == (record(),)
        assert tx.records.decisions_of_session("ses_1") == (decision(),)
        assert tx.records.ids_of_subject("sub_1") == ("dec_1", "rec_1")
        assert tx.records.existing(["rec_1", "dec_1", "rec_2"]) == {"rec_1", "dec_1"}
        assert tx.records.of_session("ses_2") == ()
        assert tx.records.ids_of_subject("sub_2") == ()


def test_I4_one_result_per_recording_kind_and_version(database: Database) -> None:
    """A recording that is processed twice leaves its result exactly once; the second write changes nothing."""
    with database.begin() as tx:
        plant(tx)
        second = record(2, version=record().version, body=b"other")
        with pytest.raises(Conflict) as caught:
            tx.records.add([record(3, version="new"), second], [decision(2)])
        assert caught.value.reason == "record_exists"
        assert tx.records.of_session("ses_1") == (record(),)
        assert tx.records.decisions_of_session("ses_1") == (decision(),)
        tx.records.add([record(4, version=record().version, profile="corrected")])
        tx.records.add([record(5, version=record().version, kind="insight")])


def test_F24_nothing_can_be_written_for_somebody_who_was_erased(database: Database) -> None:
    """After a person is erased, a late worker cannot bring any row of theirs back."""
    with database.begin() as tx:
        plant(tx)
        tx.erase_rows("sub_1")
    late: list[Callable[[UnitOfWork], object]] = [
        lambda tx: tx.records.add([record()]),
        lambda tx: tx.records.add([], [decision()]),
        lambda tx: tx.recordings.add(recording()),
        lambda tx: tx.receipts.add(receipt()),
        lambda tx: tx.consents.add([consent()]),
    ]
    for write in late:
        with pytest.raises(Conflict) as caught, database.begin() as tx:
            write(tx)
        assert caught.value.reason == "unknown_reference"
    with database.read() as tx:
        assert tx.rows_of("sub_1") == {}


def test_a_record_needs_its_recording_and_a_consent_its_notice(database: Database) -> None:
    with database.begin() as tx:
        plant(tx)
        for write in (
            lambda: tx.records.add([record(2, session_id="ses_9")]),
            lambda: tx.receipts.add(receipt(2, session_id="ses_9")),
            lambda: tx.consents.add([consent(2, notice_id="ntc_9")]),
        ):
            with pytest.raises(Conflict) as caught:
                write()
            assert caught.value.reason == "unknown_reference"


@pytest.mark.parametrize("kind", ["features", "decision"])
def test_due_is_what_was_promised_or_what_the_policy_says_now(database: Database, kind: str) -> None:
    promised = T0 + 30 * DAY
    with database.begin() as tx:
        tx.subjects.add(subject())
        tx.recordings.add(recording())
        for n in range(1, 6):
            at, until = T0 + n * DAY, promised + n * DAY
            if kind == "features":
                tx.records.add([record(n, created_at=at, expires_at=until)])
                tx.records.add([record(10 + n, kind="insight", created_at=at, expires_at=until)])
                tx.records.add([], [decision(n, at=at, expires_at=until)])
            else:
                tx.records.add([], [decision(n, at=at, expires_at=until)])
                tx.records.add([record(n, created_at=at, expires_at=until)])
        never = T0 - DAY

        def due(promised_before: datetime, created_before: datetime, limit: int = 10) -> list[int]:
            found = tx.records.due(
                kind, promised_before=promised_before, created_before=created_before, limit=limit
            )
            assert all((each.subject_id, each.session_id) == ("sub_1", "ses_1") for each in found)
            return sorted(int(each.id.partition("_")[2]) for each in found)

        assert due(promised + 2 * DAY, never) == [1, 2]  # the very instant counts
        assert due(promised + 2 * DAY - timedelta(microseconds=1), never) == [1]
        assert due(never, T0 + 3 * DAY) == [1, 2, 3]
        assert due(promised + 2 * DAY, T0 + 3 * DAY) == [1, 2, 3]
        assert due(never, never) == []
        assert due(promised + 9 * DAY, T0 + 9 * DAY, limit=2) == [1, 2]


def test_records_are_deleted_by_id(database: Database) -> None:
    with database.begin() as tx:
        plant(tx)
        plant_neighbour(tx)
        assert tx.records.delete(["rec_1", "dec_1", "rec_9"]) == 2
        assert tx.records.delete(["rec_1"]) == 0
        assert tx.records.delete([]) == 0
        assert tx.records.existing(["rec_1", "dec_1", "rec_2"]) == {"rec_2"}


def test_a_thousand_ids_fit_into_one_call(database: Database) -> None:
    ids = [f"rec_{n}" for n in range(1, 1201)]
    with database.begin() as tx:
        tx.subjects.add(subject())
        tx.recordings.add(recording())
        tx.records.add([record(n) for n in range(1, 1201)])
        assert tx.records.existing(ids) == set(ids)
        assert tx.records.delete(ids) == 1200


def test_expiry_can_be_brought_forward_but_never_put_off(database: Database) -> None:
    with database.begin() as tx:
        plant(tx)
        plant_neighbour(tx)
        tx.records.add([record(3, expires_at=T0)])
        assert tx.records.expire_now("sub_1", T0 + DAY) == 2
        assert [r.expires_at for r in tx.records.of_session("ses_1")] == [T0 + DAY, T0]
        assert tx.records.decisions_of_session("ses_1")[0].expires_at == T0 + DAY
        assert tx.records.of_session("ses_2")[0].expires_at == T0 + 30 * DAY
        assert tx.records.expire_now("sub_1", T0 + 2 * DAY) == 0


def test_decisions_for_one_purpose_are_ended_and_the_others_stay(database: Database) -> None:
    inferred = decision(2, purpose="infer_age")
    ended = decision(3, purpose="infer_age", expires_at=T0)
    with database.begin() as tx:
        plant(tx)
        plant_neighbour(tx)
        tx.records.add([], [inferred, ended])
        assert tx.records.expire_decisions("sub_1", ["infer_age", "infer_accent"], T0 + DAY) == (
            inferred.id, ended.id,
        )  # fmt: skip
        assert tx.records.decision(inferred.id) == replace(inferred, expires_at=T0 + DAY)
        assert tx.records.decision(ended.id) == ended
        assert tx.records.decision(decision().id) == decision()
        assert tx.records.expire_decisions("sub_2", ["infer_age"], T0) == ()
        assert tx.records.expire_decisions("sub_1", [], T0) == ()
        assert tx.records.decision("dec_9") is None


# --- receipts, requests, audit, jobs ---------------------------------------------------------------


def test_receipts_are_found_by_id_subject_and_session(database: Database) -> None:
    consent_receipt = receipt(2, session_id=None, kind="consent", at=T0 + HOUR)
    with database.begin() as tx:
        plant(tx)
        tx.receipts.add(consent_receipt)
        with pytest.raises(Conflict):
            tx.receipts.add(receipt())
    with database.read() as tx:
        assert tx.receipts.get("rct_1") == receipt()
        assert tx.receipts.get("rct_9") is None
        assert tx.receipts.of_subject("sub_1") == (receipt(), consent_receipt)
        assert tx.receipts.of_session("ses_1") == (receipt(),)


def test_an_erasure_request_is_unfinished_until_it_is_completed(database: Database) -> None:
    later = request(2, session_id="ses_1", requested_at=T0 + HOUR)
    with database.begin() as tx:
        tx.requests.add(later, tombstone(2, id="ses_1", at=T0 + HOUR))
        tx.requests.add(request(), tombstone())
        with pytest.raises(Conflict):
            tx.requests.add(request(), tombstone())
        assert tx.requests.unfinished() == (request(), later)
        tx.requests.complete("req_1", at=T0 + DAY, receipt="signed")
        assert tx.requests.unfinished() == (later,)
        assert tx.requests.get("req_1") == request(completed_at=T0 + DAY, receipt="signed", pseudonym="")
        assert tx.requests.get("req_2") == later
        assert tx.requests.get("req_9") is None
        assert tx.requests.tombstones() == (tombstone(), tombstone(2, id="ses_1", at=T0 + HOUR))


def test_how_far_the_tombstones_were_followed_is_one_value(database: Database) -> None:
    first, second = TombstoneHead(1, b"1" * 32), TombstoneHead(70_000_000_000, b"2" * 32)
    with database.begin() as tx:
        assert tx.requests.applied() is None
        tx.requests.set_applied(first)
        assert tx.requests.applied() == first
    with pytest.raises(KeyError), database.begin() as tx:
        tx.requests.set_applied(second)
        raise KeyError
    with database.begin() as tx:
        assert tx.requests.applied() == first
        tx.requests.set_applied(second)
    with database.read() as tx:
        assert tx.requests.applied() == second


def numbered(n: int, sequence: int) -> AuditEvent:
    return replace(event(n), sequence=sequence, link=bytes([sequence]) * 32)


def numbers(n: int, sequence: int) -> tuple[str, int, bytes]:
    return f"evt_{n}", sequence, bytes([sequence]) * 32


def rows(*events: AuditEvent) -> tuple[EventRow, ...]:
    return tuple(event_row(each) for each in events)


def test_audit_entries_are_numbered_in_the_order_of_writing(database: Database) -> None:
    with database.begin() as tx:
        for n in (3, 1, 2):
            tx.events.add(event(n))
        assert tx.events.head() is None
        assert tx.events.waiting(limit=10) == rows(event(3), event(1), event(2))
        assert tx.events.waiting(limit=1) == rows(event(3))
        tx.events.number([numbers(3, 1), numbers(1, 2)])
        assert tx.events.waiting(limit=10) == rows(event(2))
        assert tx.events.head() == (2, bytes([2]) * 32)
        assert list(tx.events.iterate()) == [numbered(3, 1), numbered(1, 2)]
        assert list(tx.events.iterate(after=1)) == [numbered(1, 2)]
        assert tx.events.of_pseudonym("psn_1") == (numbered(3, 1), numbered(1, 2), event(2))
        assert tx.events.of_pseudonym("psn_2") == ()
        assert [list(page) for page in tx.events.pages()] == [list(rows(numbered(3, 1), numbered(1, 2)))]
        assert [list(page) for page in tx.events.pages(after=2)] == []
        assert tx.events.leaves(0, 2) == (bytes([3]) * 32, bytes([1]) * 32)
        assert tx.events.leaves(1, 9) == (bytes([1]) * 32,)
        assert tx.events.leaves(2, 2) == ()
        assert tx.events.get("evt_1") == numbered(1, 2)
        assert tx.events.get("evt_9") is None
        tx.events.number([])


def test_an_audit_entry_gets_its_number_once(database: Database) -> None:
    with database.begin() as tx:
        for n in (1, 2, 3):
            tx.events.add(event(n))
        tx.events.number([numbers(1, 1)])
    for again in ([numbers(2, 2), numbers(1, 3)], [numbers(2, 1)], [numbers(9, 9)]):
        with pytest.raises(Conflict), database.begin() as tx:
            tx.events.number(again)
        with database.read() as tx:
            assert tx.events.waiting(limit=10) == rows(event(2), event(3))
    with pytest.raises(Conflict), database.begin() as tx:
        tx.events.add(event(1))


def test_entries_added_together_are_written_at_the_end_of_the_block(database: Database) -> None:
    with database.begin() as tx:
        with tx.events.together():
            for n in (2, 1):
                tx.events.add(replace(event(n), sequence=7, link=b"x"))
        assert tx.events.waiting(limit=9) == rows(event(2), event(1))
        with tx.events.together():
            pass
        tx.events.add(event(3))
    with pytest.raises(Conflict), database.begin() as tx, tx.events.together():
        tx.events.add(event(4))
        tx.events.add(event(1))
    with pytest.raises(KeyboardInterrupt), database.begin() as tx, tx.events.together():
        tx.events.add(event(5))
        raise KeyboardInterrupt
    with database.read() as tx:
        assert tx.events.waiting(limit=9) == rows(event(2), event(1), event(3))


def test_only_number_and_link_of_an_audit_entry_are_ever_written(database: Database) -> None:
    with database.begin() as tx:
        tx.events.add(replace(event(1), sequence=7, link=b"x"))  # the sequencer's to give
        assert tx.events.waiting(limit=1) == rows(event(1))
        tx.events.number([numbers(1, 1)])
        assert list(tx.events.iterate()) == [numbered(1, 1)]


def test_the_audit_log_is_read_in_pages_to_its_end(database: Database) -> None:
    ids = [f"evt_{n}" for n in range(1100)]
    with database.begin() as tx:
        for n in range(1100):
            tx.events.add(event(n))
        tx.events.number([(f"evt_{n}", n + 1, b"link") for n in range(1100)])
    with database.read() as tx:
        assert [entry.id for entry in tx.events.iterate()] == ids
        assert [entry.id for entry in tx.events.iterate(after=500)] == ids[500:]
        assert [row[0] for page in tx.events.pages(after=3) for row in page] == ids[3:]


def test_the_latest_entries_are_found_by_person_kind_and_time(database: Database) -> None:
    """`audit show`: filters together, the last so many, oldest first, numbered or not."""
    made = [
        event(1, kind="record.read"),
        event(2, kind="record.read", pseudonym="psn_2", at=T0 + HOUR),
        event(3, kind="record.expired", at=T0 + 2 * HOUR),
        event(4, kind="records", pseudonym=None, at=T0 + DAY),
        event(5, kind="record_read", at=T0 + DAY),
    ]
    with database.begin() as tx:
        for each in made:
            tx.events.add(each)
        tx.events.number([numbers(1, 1), numbers(2, 2)])

    def found(limit: int = 9, **wanted: Any) -> list[str]:
        with database.read() as tx:
            return [each.id for each in tx.events.latest(limit=limit, **wanted)]

    assert found() == [f"evt_{n}" for n in (1, 2, 3, 4, 5)]
    assert found(2) == ["evt_4", "evt_5"]
    assert found(pseudonym="psn_1", limit=2) == ["evt_3", "evt_5"]
    assert found(kind="record") == ["evt_1", "evt_2", "evt_3"]
    assert found(kind="record.read") == ["evt_1", "evt_2"]
    assert found(kind="record.read", pseudonym="psn_2") == ["evt_2"]
    assert found(kind="%") == []
    assert found(since=T0 + HOUR, until=T0 + DAY) == ["evt_2", "evt_3"]
    with database.read() as tx:
        assert tx.events.counts() == (
            (T0.date(), "record.expired", 1), (T0.date(), "record.read", 2),
            ((T0 + DAY).date(), "record_read", 1), ((T0 + DAY).date(), "records", 1),
        )  # fmt: skip
        assert tx.events.counts(since=T0 + HOUR, until=T0 + 2 * HOUR) == ((T0.date(), "record.read", 1),)


def test_nodes_checkpoints_and_marks_stand_beside_the_log(database: Database) -> None:
    nodes = [TreeNode(8, n, bytes([n]) * 32) for n in range(3)] + [TreeNode(16, 0, b"x" * 32)]
    with database.begin() as tx:
        assert tx.log.newest_checkpoint() is None
        assert (tx.log.node_count(8), tx.log.all_nodes()) == (0, ())
        tx.log.add_nodes(nodes)
        assert (tx.log.node_count(8), tx.log.node_count(16)) == (3, 1)
        assert tx.log.nodes(8, 1, 3) == (nodes[1].hash, nodes[2].hash)
        assert tx.log.nodes(8, 2, 9) == (nodes[2].hash,)
        assert tx.log.nodes(24, 0, 1) == ()
        assert tx.log.all_nodes() == tuple(nodes)
        with pytest.raises(Conflict):
            tx.log.add_nodes([nodes[0]])
        signed = [SignedCheckpoint(size, T0, f"signed {size}") for size in (0, 10, 9)]
        for each in signed:
            tx.log.add_checkpoint(each)
        with pytest.raises(Conflict):
            tx.log.add_checkpoint(signed[0])
        assert tx.log.newest_checkpoint() == signed[1]
        assert tx.log.checkpoints(limit=9) == (signed[0], signed[2], signed[1])
        assert tx.log.checkpoints(after=0, limit=1) == (signed[2],)
        assert tx.log.mark("file-1") is None
        for size in (9, 10):
            tx.log.set_mark(WitnessMark("file-1", size, T0))
    with database.read() as tx:
        assert tx.log.mark("file-1") == WitnessMark("file-1", 10, T0)


def test_C29a_an_archive_takes_contents_out_and_leaves_the_hashes(database: Database) -> None:
    """Of archived entries the log keeps the leaf hash and nothing else; those after them stay as they are."""
    with database.begin() as tx:
        for n in range(1, 8):
            tx.events.add(event(n))
        tx.events.number([(f"evt_{n}", n, bytes([n]) * 32) for n in range(1, 7)])
    with database.begin() as tx:
        assert (tx.log.archived(), tx.log.cuts()) == (0, ())
        assert tx.log.archive(first := ArchiveCut(2, T0, T0 - HOUR, "signed 2")) == 2
    with database.begin() as tx:
        assert tx.log.archive(second := ArchiveCut(5, T0, T0, "signed 5")) == 3
        with pytest.raises(Conflict):
            tx.log.archive(ArchiveCut(5, T0, T0, "again"))
    with database.read() as tx:
        assert (tx.log.archived(), tx.log.cuts()) == (5, (first, second))
        assert tx.events.leaves(0, 7) == tuple(event(n).leaf for n in range(1, 7))
        assert tx.events.leaves(1, 3) == (event(2).leaf, event(3).leaf)
        assert tx.events.leaves(4, 6) == (event(5).leaf, event(6).leaf)
        assert tx.events.leaves(3, 3) == ()
        assert [one.id for one in tx.events.iterate()] == ["evt_6"]
        assert [one.id for one in tx.events.latest(limit=9)] == ["evt_6", "evt_7"]
        assert tx.events.get("evt_3") is None
        assert tx.events.head() == (6, bytes([6]) * 32)


def test_what_can_be_done_again_is_committed_too(database: Database) -> None:
    """The next durable commit finds it; a block left by an exception leaves nothing here either."""
    with database.begin(durable=False) as tx:
        tx.events.add(event())
    with pytest.raises(KeyboardInterrupt), database.begin(durable=False) as tx:
        tx.events.add(event(2))
        raise KeyboardInterrupt
    with database.begin() as tx:
        assert tx.events.waiting(limit=9) == rows(event())


def test_there_is_one_job_per_kind_and_reference(database: Database) -> None:
    with database.begin() as tx:
        tx.jobs.put(Job("discard", "ses_1", T0 + HOUR))
        tx.jobs.put(Job("discard", "ses_1", T0))
        tx.jobs.put(Job("extract", "ses_1", T0))
        tx.jobs.put(Job("discard", "ses_2", T0 - HOUR))
        assert tx.jobs.due("discard", at=T0, limit=9) == (
            Job("discard", "ses_2", T0 - HOUR), Job("discard", "ses_1", T0),
        )  # fmt: skip
        assert tx.jobs.due("discard", at=T0, limit=1) == (Job("discard", "ses_2", T0 - HOUR),)
        assert tx.jobs.due("discard", at=T0 - timedelta(microseconds=1), limit=9)[-1].ref == "ses_2"
        assert tx.jobs.done("discard", "ses_1")
        assert not tx.jobs.done("discard", "ses_1")
        assert tx.jobs.due("extract", at=T0, limit=9) == (Job("extract", "ses_1", T0),)
        tx.jobs.put(Job("discard", "ses_1", T0))
        assert tx.jobs.drop("ses_1") == 2
        assert tx.jobs.drop("ses_1") == 0
        assert tx.jobs.due("discard", at=T0, limit=9) == (Job("discard", "ses_2", T0 - HOUR),)


# --- erasing ---------------------------------------------------------------------------------------


def test_erasing_a_subject_leaves_only_what_is_kept_for_a_reason(database: Database) -> None:
    with database.begin() as tx:
        plant(tx)
        plant_neighbour(tx)
        tx.requests.add(request(), tombstone())
        tx.jobs.put(Job("erase", "req_1", T0))
        before = tx.rows_of("sub_1")
        assert before == {
            "subjects": 1, "consent_events": 1, "recordings": 1, "records": 1, "decisions": 1, "receipts": 1,
            "jobs": 1,
        }  # fmt: skip
        assert tx.erase_rows("sub_1") == before
        assert tx.rows_of("sub_1") == {}
        assert tx.erase_rows("sub_1") == {}
    with database.read() as tx:
        assert tx.rows_of("sub_2") == {"subjects": 1, "recordings": 1, "records": 1, "jobs": 1}
        assert tx.requests.unfinished() == (request(),)
        assert tx.requests.tombstones() == (tombstone(),)
        assert tx.events.waiting(limit=9) == rows(event())
        assert tx.jobs.due("erase", at=T0, limit=9) == (Job("erase", "req_1", T0),)
        assert tx.consents.notices("default") == (notice(),)


def test_erasing_one_session_leaves_the_others(database: Database) -> None:
    with database.begin() as tx:
        plant(tx)
        tx.recordings.add(recording(2))
        tx.records.add([record(2, session_id="ses_2")])
        tx.receipts.add(receipt(2, session_id=None))
        tx.requests.add(request(session_id="ses_1"), tombstone(id="ses_1"))
        assert tx.erase_session_rows("ses_1") == {
            "recordings": 1, "records": 1, "decisions": 1, "receipts": 1, "jobs": 1
        }  # fmt: skip
        assert tx.erase_session_rows("ses_1") == {}
        assert tx.recordings.get("ses_1") is None
        assert tx.rows_of("sub_1") == {
            "subjects": 1, "consent_events": 1, "recordings": 1, "records": 1, "receipts": 1
        }  # fmt: skip
        assert tx.requests.get("req_1") is not None


# --- SQLite alone ----------------------------------------------------------------------------------


def test_files_are_readable_by_their_owner_alone(sqlite: SqliteDatabase) -> None:
    with sqlite.begin() as tx:
        plant(tx)
    files = list(sqlite.path.parent.iterdir())
    assert {path.name for path in files} >= {"data.db", "data.db-wal", "data.db-shm", "data.db.reserve"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_every_connection_is_durable_and_overwrites_what_it_deletes(sqlite: SqliteDatabase) -> None:
    """WAL, synchronous FULL (2), secure_delete on, foreign keys on: on each connection of the pool."""
    seen = set()
    with sqlite.read() as one, sqlite.read() as two, sqlite.begin() as three:
        for tx in (one, two, three):
            connection = tx._connection
            seen.add(
                tuple(
                    connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                    for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
                )
            )
    assert seen == {("wal", 2, 1, 1)}


def test_two_databases_on_one_file_take_turns(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    other = SqliteDatabase(tmp_path / "data.db", busy_timeout_s=0.1)
    with sqlite.begin() as tx:  # nothing written yet: the lock is there from the start
        with pytest.raises(StorageError) as caught, other.begin():
            pytest.fail("two writers at once")
        assert caught.value.reason == "storage_locked"
        with other.read() as snapshot:  # readers are not kept out
            assert snapshot.subjects.get("sub_1") is None
        tx.subjects.add(subject())
    with other.begin() as tx:
        assert tx.subjects.get("sub_1") == subject()
    other.close()


def test_law1_a_withdrawal_cannot_slip_in_between_check_and_write(tmp_path: Path) -> None:
    """Two connections interleave: the withdrawal waits until the writer, who has checked consent, has committed."""
    one = SqliteDatabase(tmp_path / "data.db")
    two = SqliteDatabase(tmp_path / "data.db")
    with one.begin() as tx:
        tx.subjects.add(subject())
        tx.consents.add([consent()])
    checked, order = threading.Event(), []

    def withdraw() -> None:
        checked.wait()
        with two.begin() as tx:
            tx.subjects.lock("sub_1")
            order.append("withdrawn")
            tx.consents.add([consent(2, action=ConsentAction.WITHDRAW)])

    thread = threading.Thread(target=withdraw)
    thread.start()
    with one.begin() as tx:
        tx.subjects.lock("sub_1")
        assert len(tx.consents.of_subject("sub_1")) == 1
        checked.set()
        thread.join(0.2)
        assert thread.is_alive()
        assert len(tx.consents.of_subject("sub_1")) == 1
        tx.recordings.add(recording())
        order.append("written")
    thread.join()
    assert order == ["written", "withdrawn"]
    one.close()
    two.close()


def test_tidy_says_so_when_a_reader_is_in_the_way(sqlite: SqliteDatabase) -> None:
    with sqlite.begin() as tx:
        plant(tx)
    with sqlite.read() as snapshot:
        snapshot.subjects.get("sub_1")
        with sqlite.begin() as tx:
            tx.erase_rows("sub_1")
        with pytest.raises(StorageError) as caught:
            sqlite.tidy()
        assert caught.value.reason == "storage_busy"
    sqlite.tidy()
    assert sqlite.path.with_name("data.db-wal").stat().st_size == 0


def _found(folder: Path, windows: list[bytes]) -> int:
    """How many of the windows stand in any file of the folder."""
    contents = [path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".reserve")]
    return sum(any(window in content for content in contents) for window in windows)


@pytest.mark.parametrize("body_bytes", [600, 9000], ids=["in the row", "in overflow pages"])
def test_X13_deleted_rows_are_in_no_file_after_tidying(
    sqlite: SqliteDatabase, tmp_path: Path, body_bytes: int
) -> None:
    """What was deleted from the database is found in none of its files afterwards, though it was found before."""
    dice = random.Random(13)
    bodies = [dice.randbytes(body_bytes) for _ in range(80)]
    windows = [body[start : start + 64] for body in bodies for start in range(0, 480, 96)]
    with sqlite.begin() as tx:
        plant(tx)
        tx.records.add([record(100 + n, body=body) for n, body in enumerate(bodies)])
    assert _found(tmp_path, windows) == 400  # the control: these can be found
    sqlite.tidy()
    assert _found(tmp_path, windows) == 400  # and in the file itself, too
    with sqlite.begin() as tx:
        tx.records.delete([f"rec_{100 + n}" for n in range(40)])
    with sqlite.begin() as tx:
        tx.erase_rows("sub_1")
    sqlite.tidy()
    assert _found(tmp_path, windows) == 0
    with sqlite.read() as tx:  # while the database is still open and sound
        assert tx.rows_of("sub_1") == {}


def test_a_file_that_is_no_database_is_named_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(IntegrityError) as caught:
        SqliteDatabase(path)
    assert caught.value.reason == "database_damaged"


@pytest.mark.parametrize("statements", [[], ["CREATE TABLE notes (id)"]])
def test_somebody_elses_database_is_not_touched(tmp_path: Path, statements: list[str]) -> None:
    path = tmp_path / "data.db"
    foreign = sqlite3.connect(path)
    for statement in statements:
        foreign.execute(statement)
    foreign.close()
    path.touch()
    with pytest.raises(IntegrityError) as caught:
        SqliteDatabase(path)
    assert caught.value.reason == "database_damaged"


def test_a_damaged_page_is_named_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    database = SqliteDatabase(path)
    with database.begin() as tx:
        plant(tx)
        tx.records.add([record(n) for n in range(2, 400)])
    database.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 :] = os.urandom(len(content) - 4096 * 3)
    path.write_bytes(content)
    with pytest.raises(SottovoceError) as caught:
        damaged = SqliteDatabase(path)
        try:
            with damaged.read() as tx:
                tx.rows_of("sub_1")
        finally:
            damaged.close()
    assert caught.value.reason == "database_damaged"


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    SqliteDatabase(path).close()
    newer = sqlite3.connect(path)
    newer.execute("UPDATE alembic_version SET version_num = '9999'")
    newer.commit()
    newer.close()
    before = path.read_bytes()
    with pytest.raises(SchemaNewer):
        SqliteDatabase(path)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_used_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        SqliteDatabase(tmp_path / "file" / "data.db")
    assert str(tmp_path) not in str(caught.value)


def test_no_stored_value_or_path_is_in_an_error_or_a_repr(sqlite: SqliteDatabase, tmp_path: Path) -> None:
    secret = "blind-index-canary"
    with pytest.raises(Conflict) as caught, sqlite.begin() as tx:
        tx.subjects.add(subject(1, blind_index=secret))
        tx.subjects.add(subject(2, blind_index=secret))
    said = f"{caught.value} {caught.value!r} {caught.value.to_dict()} {sqlite!r}"
    assert secret not in said
    assert str(tmp_path) not in said


def test_a_naive_time_is_refused(sqlite: SqliteDatabase) -> None:
    with pytest.raises(SottovoceError) as caught, sqlite.begin() as tx:
        tx.subjects.add(subject(created_at=datetime(2026, 1, 1)))  # noqa: DTZ001
    assert caught.value.code == "usage"


def test_I9_a_commit_survives_the_death_of_its_process(tmp_path: Path) -> None:
    """What the database has acknowledged is there after the process is killed, and half a transaction is not."""
    script = (
        "import os, sys; from pathlib import Path; from datetime import *;"
        "from sottovoce.adapters.database import SqliteDatabase; from sottovoce.model.job import Job;"
        "at = datetime(2026, 1, 1, tzinfo=UTC); database = SqliteDatabase(Path(sys.argv[1]));\n"
        "with database.begin() as tx: tx.jobs.put(Job('discard', 'ses_1', at))\n"
        "with database.begin() as tx: tx.jobs.put(Job('discard', 'ses_2', at)); os._exit(137)"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path / "data.db")], check=False, timeout=60)
    assert ended.returncode == 137
    database = SqliteDatabase(tmp_path / "data.db")
    with database.read() as tx:
        assert [job.ref for job in tx.jobs.due("discard", at=T0, limit=9)] == ["ses_1"]
    database.close()


def test_two_processes_may_open_a_new_home_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from sottovoce.adapters.database import SqliteDatabase;"
        "from sottovoce.model.job import Job; database = SqliteDatabase(Path(sys.argv[1]), busy_timeout_s=30);\n"
        "with database.begin() as tx: tx.jobs.put(Job('discard', 'ses_' + sys.argv[2], tx.now()))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "data.db"), str(n)]) for n in range(4)
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0, 0]
    database = SqliteDatabase(tmp_path / "data.db")
    with database.read() as tx:
        assert len(tx.jobs.due("discard", at=tx.now() + HOUR, limit=9)) == 4
    database.close()
    assert not list(tmp_path.glob("*.new*"))


# --- a full disk -----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("not run: cannot mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(folder: Path) -> None:
    with (folder / "filler").open("ab", buffering=0) as filler:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while filler.write(b"x" * size) == size:
                    pass
            except OSError:
                continue


def _plant_many(database: SqliteDatabase) -> None:
    with database.begin() as tx:
        plant(tx)
        tx.records.add([record(n, body=bytes(1000)) for n in range(2, 100)])
    database.tidy()


def test_F10_erasing_works_on_a_full_disk(small_disk: Path) -> None:
    """When the disk is full nothing new is accepted, but a person can still be erased."""
    database = SqliteDatabase(small_disk / "data.db", reserve_bytes=1 << 20)
    _plant_many(database)
    _fill(small_disk)
    with pytest.raises(StorageError) as caught, database.begin() as tx:
        tx.records.add([record(n, body=bytes(1000)) for n in range(200, 1200)])
    assert caught.value.reason == "storage_full"
    with pytest.raises(StorageError) as caught, database.begin() as tx:
        tx.erase_rows("sub_1")
    assert caught.value.reason == "storage_full"
    with database.read() as tx:  # old data are readable, no half record
        assert tx.rows_of("sub_1")["records"] == 99
    assert database.free_reserve()
    with database.begin() as tx:
        tx.requests.add(request(), tombstone())
        assert tx.erase_rows("sub_1")["records"] == 99
    database.tidy()
    with database.read() as tx:
        assert tx.rows_of("sub_1") == {}
    database.close()


def test_F10_a_full_disk_can_be_opened_and_erased_from(small_disk: Path) -> None:
    """Also a process that starts while the disk is full can erase a person."""
    database = SqliteDatabase(small_disk / "data.db", reserve_bytes=1 << 20)
    _plant_many(database)
    database.close()
    _fill(small_disk)
    database = SqliteDatabase(small_disk / "data.db", reserve_bytes=1 << 20)
    with database.read() as tx:
        assert tx.rows_of("sub_1")["records"] == 99
    _fill(small_disk)
    assert database.free_reserve()
    with database.begin() as tx:
        assert tx.erase_rows("sub_1")["records"] == 99
    database.tidy()
    database.close()


def test_the_reserve_is_set_aside_again_when_there_is_room(small_disk: Path) -> None:
    reserve = small_disk / "data.db.reserve"
    database = SqliteDatabase(small_disk / "data.db", reserve_bytes=1 << 20)
    assert reserve.stat().st_blocks * 512 >= 1 << 20  # really allocated
    _fill(small_disk)
    assert database.free_reserve()
    database.close()  # which gives back the space of WAL and shared memory
    _fill(small_disk)
    with pytest.raises(StorageError) as caught:  # nothing is left to open it with
        SqliteDatabase(small_disk / "data.db", reserve_bytes=1 << 20)
    assert caught.value.reason == "storage_full"
    (small_disk / "filler").unlink()
    database = SqliteDatabase(small_disk / "data.db", reserve_bytes=1 << 20)
    assert reserve.stat().st_blocks * 512 >= 1 << 20
    assert database.free_reserve()
    database.close()


# --- the fake alone --------------------------------------------------------------------------------


def test_the_fake_can_play_a_full_disk_and_a_still_clock() -> None:
    clock = FixedClock(T0)
    database = MemoryDatabase(clock=clock, offset=HOUR)
    with database.begin() as tx:
        assert tx.now() == T0 + HOUR
        plant(tx)
    clock.advance(2)
    database.disk_full = True
    with pytest.raises(StorageError) as caught, database.begin() as tx:
        assert tx.now() == T0 + HOUR + timedelta(seconds=2)
        tx.erase_rows("sub_1")
    assert caught.value.reason == "storage_full"
    assert database.free_reserve()
    with database.begin() as tx:
        assert tx.erase_rows("sub_1")
