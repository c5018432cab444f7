"""Every port as a working fake in memory: for our tests and for those of people who build on sottovoce.

They keep the promises written on the ports (the same suites run over them and over the real adapters); they
keep nothing when the process ends.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sottovoce.audit.rows import event_row
from sottovoce.errors import Conflict, InputUnreadable, KeyUnavailable, NotFound, StorageError, UsageError
from sottovoce.model.consent import ConsentEvent, NoticeVersion, material_ordinals
from sottovoce.model.corpus import FootprintRow
from sottovoce.model.event import AuditEvent
from sottovoce.model.features import Extraction, SandboxLevel
from sottovoce.model.ids import check_id, new_id
from sottovoce.model.job import Job, JobKind
from sottovoce.model.keys import EpochRow, KeyRow
from sottovoce.model.lineage import Departure, TrainingRound, TrainingUse
from sottovoce.model.log import ArchiveCut, ArchivedLeaf, EventRow, SignedCheckpoint, TreeNode, WitnessMark
from sottovoce.model.mark import Mark, MarkKind, keeps
from sottovoce.model.paths import PART, check_new_path, check_path
from sottovoce.model.recipient import Acknowledgement, Disclosure, FeedEntry, Recipient
from sottovoce.model.record import Decision, DueRecord, SealedRecord, StoredReceipt
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.request import Case, ErasureRequest, Tombstone
from sottovoce.model.retention import ClockMark, RetentionRule
from sottovoce.model.subject import Subject, SubjectState
from sottovoce.model.tombstones import TombstoneHead
from sottovoce.ports import (
    BlobInfo,
    Blobs,
    Clock,
    Database,
    Descriptor,
    ExtractOptions,
    Place,
    SealedBody,
    SealedExtraction,
    Witness,
)
from sottovoce.sealing.envelope import open_body, seal
from sottovoce.sealing.keytree import unwrap_key, wrap_key
from sottovoce.sealing.suites import SUITE_RSA, open_client_body

_SEALING_ROOM_BYTES = 16 << 20  # what sealing adds to the largest body, and more


class MemoryKeys:
    """A key provider that forgets everything when the process ends. Set `available` to False: it is "down"."""

    def __init__(self, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.available = True
        self._random_bytes = random_bytes
        self._keks: dict[int, bytes] = {}

    def create(self, epoch: int) -> None:
        self._check_available()
        self._keks.setdefault(epoch, self._random_bytes(32))

    def wrap(self, epoch: int, key: bytes, context: bytes) -> bytes:
        return wrap_key(self._kek(epoch), key, context, random_bytes=self._random_bytes)

    def unwrap(self, epoch: int, wrapped: bytes, context: bytes) -> bytes:
        return unwrap_key(self._kek(epoch), wrapped, context)

    def destroy(self, epoch: int) -> None:
        self._check_available()
        self._keks.pop(epoch, None)

    def epochs(self) -> tuple[int, ...]:
        self._check_available()
        return tuple(sorted(self._keks))

    def describe(self) -> dict[str, str]:
        return {
            "provider": "memory",
            "protection": "none: keys live in this process only",
            "destruction": "at once, with everything else, when the process ends",
        }

    def destruction_wait(self) -> timedelta:
        return timedelta(0)

    def _kek(self, epoch: int) -> bytes:
        self._check_available()
        if epoch not in self._keks:
            raise KeyUnavailable(f"The provider has no key for epoch {epoch}.", reason="key_file_missing")
        return self._keks[epoch]

    def _check_available(self) -> None:
        if not self.available:
            raise KeyUnavailable("The key provider does not answer.", reason="provider_down")


class MemoryKeyStore:
    """Rows of wrapped keys in two dictionaries, under one lock."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._epochs: dict[int, EpochRow] = {}
        self._rows: dict[str, KeyRow] = {}

    def epochs(self) -> tuple[EpochRow, ...]:
        with self._lock:
            return tuple(self._epochs[number] for number in sorted(self._epochs))

    def begin_epoch(
        self, epoch: int, wrapped_ek: bytes, *, at: datetime, ends_by: datetime | None = None
    ) -> None:
        with self._lock:
            if self._epochs and epoch <= max(self._epochs):
                raise Conflict("That epoch is not newer than those the key store has.", reason="epoch_exists")
            retired = {number: replace(row, current=False) for number, row in self._epochs.items()}
            self._epochs = {**retired, epoch: EpochRow(epoch, wrapped_ek, True, at, ends_by)}

    def insert(self, rows: Sequence[KeyRow]) -> None:
        with self._lock:
            if any(not self._is_current(row.epoch) for row in rows):
                raise Conflict("The epoch of a key row is not the current one.", reason="epoch_retired")
            new = {row.key_id: row for row in rows}
            if len(new) < len(rows) or new.keys() & self._rows.keys():
                raise Conflict("A key of that id exists already.", reason="key_exists")
            self._rows.update(new)

    def get(self, key_ids: Sequence[str]) -> dict[str, KeyRow]:
        with self._lock:
            return {key_id: self._rows[key_id] for key_id in key_ids if key_id in self._rows}

    def delete(self, key_ids: Sequence[str]) -> int:
        with self._lock:
            return sum(self._rows.pop(key_id, None) is not None for key_id in key_ids)

    def delete_subject(self, subject_id: str) -> int:
        with self._lock:
            return self.delete([row.key_id for row in self._rows.values() if row.subject_id == subject_id])

    def list(self, *, subject_id: str | None = None) -> Iterator[KeyRow]:
        with self._lock:
            rows = sorted(self._rows.values(), key=lambda row: row.key_id)
        return iter([row for row in rows if subject_id in (None, row.subject_id)])

    def rows_in_epoch(self, epoch: int, *, limit: int) -> tuple[KeyRow, ...]:
        with self._lock:
            return tuple(itertools.islice((r for r in self._rows.values() if r.epoch == epoch), limit))

    def rewrap(self, rows: Sequence[KeyRow], *, from_epoch: int) -> int:
        with self._lock:
            live = [row for row in rows if self._stands_in(row.key_id, from_epoch)]
            for row in live:
                self._rows[row.key_id] = replace(self._rows[row.key_id], epoch=row.epoch, wrapped=row.wrapped)
            return len(live)

    def drop_epoch(self, epoch: int) -> None:
        with self._lock:
            if self._is_current(epoch) or any(row.epoch == epoch for row in self._rows.values()):
                raise Conflict("That epoch is still in use.", reason="epoch_in_use")
            self._epochs.pop(epoch, None)

    def _is_current(self, epoch: int) -> bool:
        return epoch in self._epochs and self._epochs[epoch].current

    def _stands_in(self, key_id: str, epoch: int) -> bool:
        return key_id in self._rows and self._rows[key_id].epoch == epoch


class MemoryWitness:
    """A witness that keeps what it is given in a list. Set `reachable` to False: it is "down"."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.reachable = True
        self.kept: list[str] = []

    def deliver(self, checkpoint: str) -> None:
        if not self.reachable:
            raise StorageError("The witness does not answer.", reason="witness_unreachable")
        self.kept.append(checkpoint)


class FixedClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._at = at
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        return self._at

    def monotonic_s(self) -> float:
        return self._elapsed_s

    def since_boot(self) -> tuple[str, float]:
        return "fixed", self._elapsed_s

    def jump(self, by: timedelta) -> None:
        """Set the wall clock, as somebody might who may: no time passes."""
        self._at += by

    def advance(self, by: timedelta | float) -> None:
        """Move on by a timedelta or by seconds."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        self._at += step
        self._elapsed_s += step.total_seconds()


class SeededEntropy:
    """Reproducible bytes: SHA-256 over seed and counter. For tests only: whoever knows the seed knows the keys."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._counter = itertools.count()

    def __call__(self, size_bytes: int, /) -> bytes:
        blocks = (self._block() for _ in range(-(-size_bytes // 32)))
        return b"".join(blocks)[:size_bytes]

    def _block(self) -> bytes:
        return hashlib.sha256(f"sottovoce seed {self._seed} {next(self._counter)}".encode()).digest()


class MemoryLiveness:
    """Processes that share one set: whoever is in it runs. close() is the end of a process."""

    def __init__(
        self, running: set[str] | None = None, *, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._running = set() if running is None else running
        self._random_bytes = random_bytes
        self._own: str | None = None

    def owner(self) -> str:
        if self._own is None:
            self._own = new_id("owner", self._random_bytes)
            self._running.add(self._own)
        return self._own

    def alive(self, owner: str) -> bool:
        return owner in self._running or not _is_owner(owner)

    def close(self) -> None:
        if self._own is not None:
            self._running.discard(self._own)
            self._own = None


class MemoryBlobs:
    """Bodies in a dictionary; descriptors by memfd, so that even these never touch a disk."""

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bodies: dict[str, tuple[bytes, datetime]] = {}
        self._unfinished: dict[str, bytearray] = {}

    @contextmanager
    def writer(self, path: str) -> Iterator[_MemoryBody]:
        buffer = bytearray()
        with self._lock:
            if check_new_path(path) in self._bodies or path in self._unfinished:
                raise _blob_exists()
            self._unfinished[path] = buffer
        try:
            yield _MemoryBody(buffer)
            self._finish(path, buffer)
        finally:
            with self._lock:
                if self._unfinished.get(path) is buffer:
                    del self._unfinished[path]

    @contextmanager
    def reader(self, path: str) -> Iterator[int]:
        with self._lock:
            body = self._bodies.get(check_path(path))
        if body is None:
            raise NotFound("There is no body of that path.")
        fd = _memory_descriptor(body[0])
        try:
            yield fd
        finally:
            os.close(fd)

    def exists(self, path: str) -> bool:
        with self._lock:
            return check_path(path) in self._bodies

    def delete(self, path: str) -> bool:
        with self._lock:
            self._unfinished.pop(check_path(path), None)
            return self._bodies.pop(path, None) is not None

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        with self._lock:
            found = [BlobInfo(path, len(body), at) for path, (body, at) in self._bodies.items()]
            found += [
                BlobInfo(path + PART, len(buffer), self._clock(), finished=False)
                for path, buffer in self._unfinished.items()
            ]
        return iter(sorted((i for i in found if i.path.startswith(prefix)), key=lambda info: info.path))

    def _finish(self, path: str, buffer: bytearray) -> None:
        with self._lock:
            if self._unfinished.get(path) is not buffer:
                raise Conflict("The body was deleted while it was written.", reason="blob_deleted")
            self._bodies[path] = (bytes(buffer), self._clock())


class _MemoryBody:
    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        self._buffer += data


def _memory_descriptor(body: bytes) -> int:
    """A read-only descriptor of anonymous memory that holds the body."""
    writable = os.memfd_create("body", os.MFD_CLOEXEC)
    try:
        written = 0
        while written < len(body):
            written += os.write(writable, memoryview(body)[written:])
        return os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writable)


def _blob_exists() -> Conflict:
    return Conflict("There is a body of that path already, or one is being written.", reason="blob_exists")


def _is_owner(value: str) -> bool:
    try:
        return check_id(value, "owner") == value
    except UsageError:
        return False


# --- the database: every table a dictionary, every transaction on a copy of them -----------------------------

Row = TypeVar("Row")
SWAP_FIELDS = (
    "state", "lease_owner", "lease_until", "failure", "erase_request_id", "body_stored_at", "attempts",
)  # fmt: skip


class _Table(Generic[Row]):
    """One table. A transaction writes to its own copy; a snapshot refuses to be written."""

    def __init__(self, rows: dict[Any, Row], *, writable: bool) -> None:
        self.rows = rows
        self._writable = writable

    def put(self, key: Any, row: Row) -> None:
        self._check_writable()
        self.rows[key] = row

    def insert(self, key: Any, row: Row, *, taken: str) -> None:
        self._check_writable()
        if key in self.rows:
            raise _taken(taken)
        self.rows[key] = row

    def drop(self, keys: Iterable[Any]) -> int:
        self._check_writable()
        return sum(self.rows.pop(key, None) is not None for key in keys)

    def where(self, wanted: Callable[[Row], bool]) -> list[Row]:
        return [row for row in self.rows.values() if wanted(row)]

    def drop_where(self, wanted: Callable[[Row], bool]) -> int:
        return self.drop([key for key, row in self.rows.items() if wanted(row)])

    def _check_writable(self) -> None:
        if not self._writable:
            raise StorageError("A transaction for reading cannot write.")


class _Tables:
    """All tables of one transaction, with the rules that a database keeps by its keys."""

    NAMES = (
        "subjects", "notices", "consent_events", "recordings", "records", "decisions", "receipts", "requests",
        "tombstones", "marks", "recipients", "disclosures", "feed_entries",
        "acknowledgements", "cases", "events", "tree_nodes", "checkpoints", "witness_marks",
        "archived_leaves", "archive_cuts", "retention_rules", "clock_marks",
        "tombstones_applied", "training_rounds", "training_uses", "training_departures", "jobs",
    )  # fmt: skip

    def __init__(self, rows: dict[str, dict[Any, Any]], counters: dict[str, int], *, writable: bool) -> None:
        self.counters = counters
        tables: dict[str, _Table[Any]] = {name: _Table(rows[name], writable=writable) for name in self.NAMES}
        self.by_name = tables
        self.subjects: _Table[Subject] = tables["subjects"]
        self.notices: _Table[NoticeVersion] = tables["notices"]
        self.consents: _Table[ConsentEvent] = tables["consent_events"]
        self.recordings: _Table[Recording] = tables["recordings"]
        self.records: _Table[SealedRecord] = tables["records"]
        self.decisions: _Table[Decision] = tables["decisions"]
        self.receipts: _Table[StoredReceipt] = tables["receipts"]
        self.requests: _Table[ErasureRequest] = tables["requests"]
        self.tombstones: _Table[Tombstone] = tables["tombstones"]
        self.marks: _Table[Mark] = tables["marks"]
        self.cases: _Table[Case] = tables["cases"]
        self.recipients: _Table[Recipient] = tables["recipients"]
        self.disclosures: _Table[Disclosure] = tables["disclosures"]
        self.feed_entries: _Table[FeedEntry] = tables["feed_entries"]
        self.acknowledgements: _Table[Acknowledgement] = tables["acknowledgements"]
        self.events: _Table[AuditEvent] = tables["events"]
        self.tree_nodes: _Table[TreeNode] = tables["tree_nodes"]
        self.checkpoints: _Table[SignedCheckpoint] = tables["checkpoints"]
        self.witness_marks: _Table[WitnessMark] = tables["witness_marks"]
        self.archived_leaves: _Table[ArchivedLeaf] = tables["archived_leaves"]
        self.archive_cuts: _Table[ArchiveCut] = tables["archive_cuts"]
        self.retention_rules: _Table[RetentionRule] = tables["retention_rules"]
        self.clock_marks: _Table[ClockMark] = tables["clock_marks"]
        self.tombstones_applied: _Table[TombstoneHead] = tables["tombstones_applied"]
        self.training_rounds: _Table[TrainingRound] = tables["training_rounds"]
        self.training_uses: _Table[TrainingUse] = tables["training_uses"]
        self.training_departures: _Table[Departure] = tables["training_departures"]
        self.jobs: _Table[Job] = tables["jobs"]

    @property
    def sealed(self) -> tuple[_Table[SealedRecord] | _Table[Decision], ...]:
        return self.records, self.decisions

    def check_references(self, subject_id: str, session_id: str | None = None) -> None:
        """A person's row cannot exist without the person, a session's not without the recording."""
        known = session_id is None or session_id in self.recordings.rows
        if subject_id not in self.subjects.rows or not known:
            raise _unknown_reference()

    def copy(self) -> tuple[dict[str, dict[Any, Any]], dict[str, int]]:
        return {name: dict(table.rows) for name, table in self.by_name.items()}, dict(self.counters)


class MemoryDatabase:
    """A whole database in memory: one writer at a time, snapshots for readers, real rollback.

    `clock` gives the database time (default: the system's); `offset` is added to it. Set `disk_full` to True and
    every writing transaction fails with `storage_full` at its end, until free_reserve() has given room once.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        offset: timedelta | Callable[[], timedelta] = timedelta(0),
        busy_timeout_s: float = 5.0,
    ) -> None:
        self.disk_full = False
        self._clock = clock
        self._offset = offset if callable(offset) else lambda: offset
        self._busy_timeout_s = busy_timeout_s
        self._writer = threading.Lock()
        self._reserve = True
        self._state: tuple[dict[str, dict[Any, Any]], dict[str, int]] = (
            {name: {} for name in _Tables.NAMES}, {},
        )  # fmt: skip

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[MemoryUnitOfWork]:  # noqa: ARG002
        if not self._writer.acquire(timeout=self._busy_timeout_s):
            raise StorageError(
                "Another transaction is writing and did not finish in time.",
                reason="storage_locked",
                hint="Try again when the other one has finished.",
            )
        try:
            tables = _Tables(*_Tables(*self._state, writable=False).copy(), writable=True)
            yield MemoryUnitOfWork(tables, now=self._now)
            self._check_room()
            self._state = ({name: table.rows for name, table in tables.by_name.items()}, tables.counters)
        finally:
            self._writer.release()

    @contextmanager
    def read(self) -> Iterator[MemoryUnitOfWork]:
        # What is committed is never changed in place, so the snapshot is the state itself.
        yield MemoryUnitOfWork(_Tables(*self._state, writable=False), now=self._now)

    def tidy(self) -> None:
        """Nothing to do: a deleted row is gone with the dictionary that held it."""

    def free_reserve(self) -> bool:
        was_there, self._reserve = self._reserve, False
        return was_there

    def close(self) -> None:
        """Nothing to do."""

    def _now(self) -> datetime:
        now = datetime.now(UTC) if self._clock is None else self._clock.now()
        return now + self._offset()

    def _check_room(self) -> None:
        if self.disk_full and self._reserve:
            raise StorageError("The disk is full; nothing was written.", reason="storage_full")


class MemoryUnitOfWork:
    def __init__(self, tables: _Tables, *, now: Callable[[], datetime]) -> None:
        self._tables = tables
        self._read_now = now
        self._now: datetime | None = None
        self.subjects = _MemorySubjects(tables)
        self.consents = _MemoryConsents(tables)
        self.recordings = _MemoryRecordings(tables)
        self.records = _MemoryRecords(tables)
        self.receipts = _MemoryReceipts(tables)
        self.requests = _MemoryRequests(tables)
        self.marks = _MemoryMarks(tables)
        self.cases = _MemoryCases(tables)
        self.policy = _MemoryPolicy(tables)
        self.recipients = _MemoryRecipients(tables)
        self.events = _MemoryEvents(tables)
        self.log = _MemoryLog(tables)
        self.lineage = _MemoryLineage(tables)
        self.jobs = _MemoryJobs(tables)

    def now(self) -> datetime:
        if self._now is None:
            self._now = self._read_now()
        return self._now

    def erase_rows(self, subject_id: str) -> dict[str, int]:
        wanted = self._of_subject(subject_id)
        counts = {name: self._tables.by_name[name].drop_where(test) for name, test in wanted.items()}
        return {name: count for name, count in counts.items() if count}

    def rows_of(self, subject_id: str) -> dict[str, int]:
        wanted = self._of_subject(subject_id)
        counts = {name: len(self._tables.by_name[name].where(test)) for name, test in wanted.items()}
        return {name: count for name, count in counts.items() if count}

    def erase_session_rows(self, session_id: str) -> dict[str, int]:
        wanted: dict[str, Callable[[Any], bool]] = {
            "jobs": lambda row: row.ref == session_id,
            "receipts": lambda row: row.session_id == session_id,
            "marks": lambda row: row.session_id == session_id,
            "training_uses": lambda row: row.session_id == session_id,
            "disclosures": lambda row: row.session_id == session_id,
            "records": lambda row: row.session_id == session_id,
            "decisions": lambda row: row.session_id == session_id,
            "recordings": lambda row: row.id == session_id,
        }
        counts = {name: self._tables.by_name[name].drop_where(test) for name, test in wanted.items()}
        return {name: count for name, count in counts.items() if count}

    def footprint(self) -> tuple[FootprintRow, ...]:
        def row(kind: str, contents: Iterable[bytes | str | None]) -> FootprintRow:
            sizes = [len(content or b"") for content in contents]
            return FootprintRow(kind, len(sizes), sum(sizes))

        tables = self._tables
        records = tables.records.where(lambda _: True)
        kinds = sorted({record.kind for record in records})
        return (
            *(row(kind, (record.body for record in records if record.kind == kind)) for kind in kinds),
            row("decision", (one.body for one in tables.decisions.where(lambda _: True))),
            row("receipt", (one.text for one in tables.receipts.where(lambda _: True))),
            row("consent", (one.evidence for one in tables.by_name["consent_events"].where(lambda _: True))),
            row("person", (one.sealed_name for one in tables.subjects.where(lambda _: True))),
            row("audit", (one.details for one in tables.events.where(lambda _: True))),
        )

    def export_rows(self, subject_id: str, *, pseudonym: str | None) -> dict[str, list[dict[str, Any]]]:
        wanted = self._of_subject(subject_id)
        wanted |= dict.fromkeys(("cases", "requests"), lambda row: row.subject_id == subject_id)
        wanted["tombstones"] = lambda row: row.id == subject_id
        wanted["events"] = lambda row: pseudonym is not None and row.pseudonym == pseudonym
        package = {name: self._tables.by_name[name].where(test) for name, test in wanted.items()}
        return {name: [_plain_row(row) for row in rows] for name, rows in package.items() if rows}

    def sealed_columns(self) -> dict[str, tuple[str, ...]]:
        return dict(_SEALED_COLUMNS)

    def _of_subject(self, subject_id: str) -> dict[str, Callable[[Any], bool]]:
        sessions = {r.id for r in self._tables.recordings.where(lambda row: row.subject_id == subject_id)}
        owned = (
            "training_uses",
            "receipts",
            "marks",
            "disclosures",
            "decisions",
            "records",
            "recordings",
            "consent_events",
        )
        return {
            "jobs": lambda row: row.ref in sessions,
            **dict.fromkeys(owned, lambda row: row.subject_id == subject_id),
            "subjects": lambda row: row.id == subject_id,
        }


class _MemoryPolicy:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def rules(self) -> tuple[RetentionRule, ...]:
        return tuple(
            self._tables.retention_rules.rows[kind] for kind in sorted(self._tables.retention_rules.rows)
        )

    def set_rule(self, rule: RetentionRule) -> None:
        self._tables.retention_rules.put(rule.kind, rule)

    def clock(self, tenant: str) -> ClockMark | None:
        return self._tables.clock_marks.rows.get(tenant)

    def set_clock(self, mark: ClockMark) -> None:
        self._tables.clock_marks.put(mark.tenant, mark)


class _MemoryRecipients:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def add(self, recipient: Recipient) -> None:
        self._tables.recipients.insert(recipient.id, recipient, taken="recipient_exists")

    def get(self, recipient_id: str) -> Recipient | None:
        return self._tables.recipients.rows.get(recipient_id)

    lock = get

    def all(self, tenant: str) -> tuple[Recipient, ...]:
        found = self._tables.recipients.where(lambda one: one.tenant == tenant)
        return tuple(sorted(found, key=attrgetter("created_at", "id")))

    def end(self, recipient_id: str, *, at: datetime, destroyed: bool) -> None:
        found = self.get(recipient_id)
        if found is not None:
            stated = found.destroyed or destroyed
            ended = replace(found, ended_at=found.ended_at or at, destroyed=stated)
            self._tables.recipients.put(recipient_id, ended)

    def disclose(self, rows: Sequence[Disclosure]) -> None:
        for row in rows:
            self._tables.check_references(row.subject_id, row.session_id)
            if row.recipient_id not in self._tables.recipients.rows:
                raise _unknown_reference()
            self._tables.disclosures.insert(row.id, row, taken="disclosure_exists")

    def disclosures_of(self, subject_id: str) -> tuple[Disclosure, ...]:
        found = self._tables.disclosures.where(lambda row: row.subject_id == subject_id)
        return tuple(sorted(found, key=attrgetter("at", "id")))

    def disclosed_to(self, recipient_id: str) -> tuple[int, int]:
        found = self._tables.disclosures.where(lambda row: row.recipient_id == recipient_id)
        return len({row.subject_id for row in found}), len(found)

    def append(self, entry: FeedEntry) -> None:
        if entry.recipient_id not in self._tables.recipients.rows:
            raise _unknown_reference()
        key = entry.recipient_id, entry.number
        self._tables.feed_entries.insert(key, entry, taken="entry_exists")

    def head(self, recipient_id: str) -> FeedEntry | None:
        return max(self.entries(recipient_id, after=0), key=attrgetter("number"), default=None)

    def entry(self, recipient_id: str, number: int) -> FeedEntry | None:
        return self._tables.feed_entries.rows.get((recipient_id, number))

    def entries(self, recipient_id: str, *, after: int, limit: int | None = None) -> tuple[FeedEntry, ...]:
        found = self._tables.feed_entries.where(
            lambda one: one.recipient_id == recipient_id and one.number > after
        )
        return tuple(sorted(found, key=attrgetter("number"))[:limit])

    def told(self, cause: str) -> tuple[FeedEntry, ...]:
        found = self._tables.feed_entries.where(lambda one: one.cause == cause)
        return tuple(sorted(found, key=attrgetter("recipient_id", "number")))

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        if acknowledgement.recipient_id not in self._tables.recipients.rows:
            raise _unknown_reference()
        key = acknowledgement.recipient_id, acknowledgement.through
        self._tables.acknowledgements.insert(key, acknowledgement, taken="acknowledgement_exists")

    def acknowledgements(self, recipient_id: str) -> tuple[Acknowledgement, ...]:
        found = self._tables.acknowledgements.where(lambda one: one.recipient_id == recipient_id)
        return tuple(sorted(found, key=attrgetter("through")))


class _MemorySubjects:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def add(self, subject: Subject) -> None:
        if self.find(subject.tenant, subject.blind_index) is not None:
            raise _taken("subject_exists")
        self._tables.subjects.insert(subject.id, subject, taken="subject_exists")

    def find(self, tenant: str, blind_index: str) -> Subject | None:
        found = self._tables.subjects.where(lambda s: (s.tenant, s.blind_index) == (tenant, blind_index))
        return found[0] if found else None

    def get(self, subject_id: str) -> Subject | None:
        return self._tables.subjects.rows.get(subject_id)

    def lock(self, subject_id: str) -> Subject | None:
        return self._tables.subjects.rows.get(subject_id)

    def set_erasing(self, subject_id: str) -> None:
        subject = self.lock(subject_id)
        if subject is not None:
            self._tables.subjects.put(subject_id, replace(subject, state=SubjectState.ERASING))

    def rename(self, subject_id: str, *, blind_index: str, sealed_name: bytes) -> None:
        subject = self.get(subject_id)
        if subject is None:
            return
        same = self.find(subject.tenant, blind_index)
        if same is not None and same.id != subject_id:
            raise _taken("subject_exists")
        self._tables.subjects.put(
            subject_id, replace(subject, blind_index=blind_index, sealed_name=sealed_name)
        )

    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(self._tables.subjects.rows))


class _MemoryConsents:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def add_notice(self, notice: NoticeVersion) -> None:
        key = attrgetter("tenant", "purpose", "version", "locale")
        if self._tables.notices.where(lambda other: key(other) == key(notice)):
            raise _taken("notice_exists")
        self._tables.notices.insert(notice.id, notice, taken="notice_exists")

    def notices(self, tenant: str, purpose: str | None = None) -> tuple[NoticeVersion, ...]:
        found = self._tables.notices.where(lambda n: n.tenant == tenant and purpose in (None, n.purpose))
        return tuple(sorted(found, key=attrgetter("purpose", "ordinal", "locale")))

    def material(self, tenant: str) -> dict[str, int]:
        return material_ordinals(self.notices(tenant))

    def add(self, events: Sequence[ConsentEvent]) -> tuple[ConsentEvent, ...]:
        ids = [event.id for event in events]
        if len(set(ids)) < len(ids) or any(id in self._tables.consents.rows for id in ids):
            raise _taken("duplicate_event")
        for event in events:
            self._tables.check_references(event.subject_id)
            if event.notice_id is not None and event.notice_id not in self._tables.notices.rows:
                raise _unknown_reference()
        return tuple(self._add(event) for event in events)

    def of_subject(self, subject_id: str) -> tuple[ConsentEvent, ...]:
        found = self._tables.consents.where(lambda event: event.subject_id == subject_id)
        return tuple(sorted(found, key=attrgetter("sequence")))

    def _add(self, event: ConsentEvent) -> ConsentEvent:
        sequence = self._tables.counters.get("consent", 0) + 1
        numbered = replace(event, sequence=sequence)
        self._tables.consents.put(event.id, numbered)
        self._tables.counters["consent"] = sequence
        return numbered


class _MemoryRecordings:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def add(self, recording: Recording) -> None:
        self._tables.check_references(recording.subject_id)
        if recording.idempotency is not None and self.by_idempotency(
            recording.tenant, recording.subject_id, recording.idempotency
        ):
            raise _taken("recording_exists")
        self._tables.recordings.insert(recording.id, recording, taken="recording_exists")

    def get(self, session_id: str) -> Recording | None:
        return self._tables.recordings.rows.get(session_id)

    def by_idempotency(self, tenant: str, subject_id: str, idempotency: str) -> Recording | None:
        key = attrgetter("tenant", "subject_id", "idempotency")
        found = self._tables.recordings.where(lambda r: key(r) == (tenant, subject_id, idempotency))
        return found[0] if found else None

    def of_subject(self, subject_id: str) -> tuple[Recording, ...]:
        found = self._tables.recordings.where(lambda recording: recording.subject_id == subject_id)
        found.sort(key=attrgetter("id"))
        return tuple(sorted(found, key=attrgetter("received_at"), reverse=True))

    def swap(self, new: Recording, *, expected: Recording) -> bool:
        key = attrgetter(*SWAP_FIELDS)
        stored = self.get(expected.id)
        if stored is None or key(stored) != key(expected):
            return False
        self._tables.recordings.put(expected.id, new)
        return True

    def unfinished(self, *, limit: int) -> tuple[Recording, ...]:
        found = self._tables.recordings.where(lambda recording: not recording.ended)
        return tuple(sorted(found, key=attrgetter("discard_by", "id"))[:limit])

    def count_by_state(self) -> dict[RecordingState, int]:
        return dict(Counter(recording.state for recording in self._tables.recordings.rows.values()))


class _MemoryRecords:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def add(self, records: Sequence[SealedRecord], decisions: Sequence[Decision] = ()) -> None:
        key = attrgetter("session_id", "kind", "profile", "version")
        new: list[SealedRecord | Decision] = [*records, *decisions]
        for row in new:
            self._tables.check_references(row.subject_id, row.session_id)
        ids = [row.id for row in new]
        keys = [key(record) for record in (*records, *self._tables.records.rows.values())]
        if len(set(ids)) < len(ids) or self.existing(ids) or len(set(keys)) < len(keys):
            raise _taken("record_exists")
        for record in records:
            self._tables.records.put(record.id, record)
        for decision in decisions:
            self._tables.decisions.put(decision.id, decision)

    def of_session(self, session_id: str) -> tuple[SealedRecord, ...]:
        found = self._tables.records.where(lambda record: record.session_id == session_id)
        return tuple(sorted(found, key=attrgetter("created_at", "id")))

    def decisions_of_session(self, session_id: str) -> tuple[Decision, ...]:
        found = self._tables.decisions.where(lambda decision: decision.session_id == session_id)
        return tuple(sorted(found, key=attrgetter("at", "id")))

    def decision(self, decision_id: str) -> Decision | None:
        return self._tables.decisions.rows.get(decision_id)

    def ids_of_subject(self, subject_id: str) -> tuple[str, ...]:
        return tuple(
            sorted(
                row.id
                for table in self._tables.sealed
                for row in table.rows.values()
                if row.subject_id == subject_id
            )
        )

    def due(
        self, kind: str, *, promised_before: datetime, created_before: datetime, limit: int
    ) -> tuple[DueRecord, ...]:
        rows: list[tuple[datetime, datetime, SealedRecord | Decision]]
        if kind == "decision":
            rows = [(row.expires_at, row.at, row) for row in self._tables.decisions.rows.values()]
        else:
            of_kind = self._tables.records.where(lambda record: record.kind == kind)
            rows = [(row.expires_at, row.created_at, row) for row in of_kind]
        promised = sorted((r for r in rows if r[0] <= promised_before), key=lambda r: r[0])
        created = sorted((r for r in rows if r[1] <= created_before), key=lambda r: r[1])
        kept = {mark.subject_id for mark in self._tables.marks.where(lambda mark: keeps((mark,)))}
        swept = [row for _, _, row in promised + created if row.subject_id not in kept]
        found = dict.fromkeys(DueRecord(row.id, row.subject_id, row.session_id) for row in swept)
        return tuple(found)[:limit]

    def delete(self, ids: Sequence[str]) -> int:
        return sum(table.drop(ids) for table in self._tables.sealed)

    def expire_now(self, subject_id: str, at: datetime) -> int:
        tables = self._tables
        late = [r for r in tables.records.rows.values() if r.subject_id == subject_id and r.expires_at > at]
        said = [d for d in tables.decisions.rows.values() if d.subject_id == subject_id and d.expires_at > at]
        for record in late:
            tables.records.put(record.id, replace(record, expires_at=at))
        for decision in said:
            tables.decisions.put(decision.id, replace(decision, expires_at=at))
        return len(late) + len(said)

    def expire_decisions(self, subject_id: str, purposes: Sequence[str], at: datetime) -> tuple[str, ...]:
        rows = self._tables.decisions.rows.values()
        mine = [one for one in rows if one.subject_id == subject_id and one.purpose in purposes]
        for one in mine:
            if one.expires_at > at:
                self._tables.decisions.put(one.id, replace(one, expires_at=at))
        return tuple(sorted(one.id for one in mine))

    def existing(self, ids: Sequence[str]) -> frozenset[str]:
        proofs = {case.identity_key_id for case in self._tables.cases.rows.values()}
        return frozenset(
            id for id in ids if id in proofs or any(id in table.rows for table in self._tables.sealed)
        )


class _MemoryReceipts:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def add(self, receipt: StoredReceipt) -> None:
        self._tables.check_references(receipt.subject_id, receipt.session_id)
        self._tables.receipts.insert(receipt.id, receipt, taken="receipt_exists")

    def get(self, receipt_id: str) -> StoredReceipt | None:
        return self._tables.receipts.rows.get(receipt_id)

    def of_subject(self, subject_id: str) -> tuple[StoredReceipt, ...]:
        found = self._tables.receipts.where(lambda receipt: receipt.subject_id == subject_id)
        return tuple(sorted(found, key=attrgetter("at", "id")))

    def of_session(self, session_id: str) -> tuple[StoredReceipt, ...]:
        found = self._tables.receipts.where(lambda receipt: receipt.session_id == session_id)
        return tuple(sorted(found, key=attrgetter("at", "id")))


class _MemoryRequests:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def add(self, request: ErasureRequest, tombstone: Tombstone) -> None:
        if request.id in self._tables.requests.rows or tombstone.request_id in self._tables.tombstones.rows:
            raise _taken("request_exists")
        self._tables.requests.put(request.id, request)
        self._tables.tombstones.put(tombstone.request_id, tombstone)

    def get(self, request_id: str) -> ErasureRequest | None:
        return self._tables.requests.rows.get(request_id)

    def unfinished(self) -> tuple[ErasureRequest, ...]:
        found = self._tables.requests.where(lambda request: request.completed_at is None)
        return tuple(sorted(found, key=attrgetter("requested_at", "id")))

    def complete(self, request_id: str, *, at: datetime, receipt: str) -> None:
        request = self.get(request_id)
        if request is not None:
            self._tables.requests.put(
                request_id, replace(request, completed_at=at, receipt=receipt, pseudonym="", inventory=None)
            )

    def tombstones(self) -> tuple[Tombstone, ...]:
        return tuple(sorted(self._tables.tombstones.rows.values(), key=attrgetter("at", "request_id")))

    def applied(self) -> TombstoneHead | None:
        return self._tables.tombstones_applied.rows.get("")

    def set_applied(self, head: TombstoneHead) -> None:
        self._tables.tombstones_applied.put("", head)


class _MemoryMarks:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def add(self, mark: Mark) -> None:
        self._tables.check_references(mark.subject_id, mark.session_id)
        self._tables.marks.insert(mark.id, mark, taken="mark_exists")

    def get(self, mark_id: str) -> Mark | None:
        return self._tables.marks.rows.get(mark_id)

    def of_subject(self, subject_id: str) -> tuple[Mark, ...]:
        found = self._tables.marks.where(lambda mark: mark.subject_id == subject_id)
        return tuple(sorted(found, key=attrgetter("placed_at", "id")))

    def standing(self, kind: MarkKind) -> tuple[Mark, ...]:
        found = self._tables.marks.where(lambda mark: mark.kind is kind and mark.lifted_at is None)
        return tuple(sorted(found, key=attrgetter("placed_at", "id")))

    def lift(self, mark_id: str, *, at: datetime) -> bool:
        mark = self.get(mark_id)
        if mark is None or mark.lifted_at is not None:
            return False
        self._tables.marks.put(mark_id, replace(mark, lifted_at=at))
        return True


class _MemoryCases:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def add(self, case: Case) -> None:
        self._tables.cases.insert(case.id, case, taken="case_exists")

    def get(self, case_id: str) -> Case | None:
        return self._tables.cases.rows.get(case_id)

    def swap(self, new: Case, *, expected: Case) -> bool:
        stored, key = self.get(expected.id), attrgetter("state", "extended_at")
        if stored is None or key(stored) != key(expected):
            return False
        self._tables.cases.put(expected.id, new)
        return True

    def of_subject(self, subject_id: str) -> tuple[Case, ...]:
        return self._sorted(lambda case: case.subject_id == subject_id)

    def unfinished(self) -> tuple[Case, ...]:
        return self._sorted(lambda case: not case.ended)

    def latest(self, *, limit: int) -> tuple[Case, ...]:
        found = self._sorted(lambda _: True)
        return found[max(len(found) - limit, 0) :]

    def _sorted(self, wanted: Callable[[Case], bool]) -> tuple[Case, ...]:
        return tuple(sorted(self._tables.cases.where(wanted), key=attrgetter("received_at", "id")))


class _MemoryEvents:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def add(self, event: AuditEvent) -> None:
        unnumbered = replace(event, sequence=None, link=None)
        self._tables.events.insert(event.id, unnumbered, taken="duplicate_event")

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()  # an exception ends the transaction here, and nothing of it stays

    def get(self, event_id: str) -> AuditEvent | None:
        return self._tables.events.rows.get(event_id)

    def waiting(self, *, limit: int) -> tuple[EventRow, ...]:
        waiting = self._tables.events.where(lambda event: event.sequence is None)
        return tuple(event_row(event) for event in waiting[:limit])

    def head(self) -> tuple[int, bytes] | None:
        last = max(self._numbered(), key=lambda pair: pair[0], default=None)
        return None if last is None else (last[0], last[1].link or b"")

    def number(self, numbers: Sequence[tuple[str, int, bytes]]) -> None:
        stored = [self._tables.events.rows.get(id_) for id_, _, _ in numbers]
        given = [number for _, number, _ in numbers]
        taken = {number for number, _ in self._numbered()}
        unnumbered = [row for row in stored if row is not None and row.sequence is None]
        if len(unnumbered) < len(numbers) or len(set(given)) < len(given) or taken.intersection(given):
            raise _taken("sequence_taken")
        for row, (_, number, link) in zip(unnumbered, numbers, strict=True):
            self._tables.events.put(row.id, replace(row, sequence=number, link=link))

    def iterate(self, *, after: int = 0) -> Iterator[AuditEvent]:
        for number, event in sorted(self._numbered(), key=lambda pair: pair[0]):
            if number > after:
                yield event

    def pages(self, *, after: int = 0) -> Iterator[Sequence[EventRow]]:
        rows = [event_row(event) for event in self.iterate(after=after)]
        return iter([rows] if rows else [])

    def leaves(self, start: int, end: int) -> tuple[bytes, ...]:
        stored = {leaf.sequence: leaf.leaf for leaf in self._tables.archived_leaves.rows.values()}
        stored |= {number: event.leaf for number, event in self._numbered()}
        return tuple(stored[number] for number in range(start + 1, end + 1) if number in stored)

    def latest(
        self, *, limit: int, pseudonym: str | None = None, kind: str | None = None,
        since: datetime | None = None, until: datetime | None = None,
    ) -> tuple[AuditEvent, ...]:  # fmt: skip
        found = [
            event
            for event in self._within(since, until)
            if pseudonym in (None, event.pseudonym)
            and (kind in (None, event.kind) or event.kind.startswith(f"{kind}."))
        ]
        return tuple(found[max(len(found) - limit, 0) :])

    def counts(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[tuple[date, str, int], ...]:
        counted = Counter((e.at.astimezone(UTC).date(), e.kind) for e in self._within(since, until))
        return tuple((day, kind, count) for (day, kind), count in sorted(counted.items()))

    def of_pseudonym(self, pseudonym: str) -> tuple[AuditEvent, ...]:
        return tuple(self._tables.events.where(lambda event: event.pseudonym == pseudonym))

    def _within(self, since: datetime | None, until: datetime | None) -> list[AuditEvent]:
        return self._tables.events.where(
            lambda event: (since is None or event.at >= since) and (until is None or event.at < until)
        )

    def _numbered(self) -> list[tuple[int, AuditEvent]]:
        return [(e.sequence, e) for e in self._tables.events.rows.values() if e.sequence is not None]


class _MemoryLog:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def archive(self, cut: ArchiveCut) -> int:
        self._tables.archive_cuts.insert(cut.size, cut, taken="cut_exists")
        gone = self._tables.events.where(lambda event: (event.sequence or cut.size + 1) <= cut.size)
        for event in gone:
            number = event.sequence or 0
            self._tables.archived_leaves.put(number, ArchivedLeaf(number, event.leaf))
        return self._tables.events.drop(event.id for event in gone)

    def archived(self) -> int:
        return max(self._tables.archived_leaves.rows, default=0)

    def cuts(self) -> tuple[ArchiveCut, ...]:
        return tuple(sorted(self._tables.archive_cuts.rows.values(), key=attrgetter("size")))

    def nodes(self, level: int, start: int, end: int) -> tuple[bytes, ...]:
        stored = self._tables.tree_nodes.rows
        return tuple(stored[level, n].hash for n in range(start, end) if (level, n) in stored)

    def node_count(self, level: int) -> int:
        of_level = self._tables.tree_nodes.where(lambda node: node.level == level)
        return max((node.number for node in of_level), default=-1) + 1

    def all_nodes(self) -> tuple[TreeNode, ...]:
        return tuple(sorted(self._tables.tree_nodes.rows.values(), key=attrgetter("level", "number")))

    def add_nodes(self, nodes: Sequence[TreeNode]) -> None:
        for node in nodes:
            self._tables.tree_nodes.insert((node.level, node.number), node, taken="node_exists")

    def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        self._tables.checkpoints.insert(checkpoint.size, checkpoint, taken="checkpoint_exists")

    def newest_checkpoint(self) -> SignedCheckpoint | None:
        return max(self._tables.checkpoints.rows.values(), key=attrgetter("size"), default=None)

    def checkpoints(self, *, after: int = -1, limit: int) -> tuple[SignedCheckpoint, ...]:
        found = self._tables.checkpoints.where(lambda checkpoint: checkpoint.size > after)
        return tuple(sorted(found, key=attrgetter("size"))[:limit])

    def mark(self, witness: str) -> WitnessMark | None:
        return self._tables.witness_marks.rows.get(witness)

    def set_mark(self, mark: WitnessMark) -> None:
        self._tables.witness_marks.put(mark.witness, mark)


class _MemoryLineage:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def add(self, training: TrainingRound) -> None:
        same = lambda one: (one.tenant, one.model, one.number) == (  # noqa: E731
            training.tenant, training.model, training.number,
        )  # fmt: skip
        if self._tables.training_rounds.where(same):
            raise _taken("round_exists")
        self._tables.training_rounds.insert(training.id, training, taken="round_exists")

    def get(self, round_id: str) -> TrainingRound | None:
        return self._tables.training_rounds.rows.get(round_id)

    def rounds(self, tenant: str) -> tuple[TrainingRound, ...]:
        found = self._tables.training_rounds.where(lambda one: one.tenant == tenant)
        return tuple(sorted(found, key=attrgetter("model", "number")))

    def swap(self, new: TrainingRound, *, expected: TrainingRound) -> bool:
        stored = self.get(expected.id)
        if stored is None or stored.state is not expected.state:
            return False
        self._tables.training_rounds.put(expected.id, new)
        return True

    def add_uses(self, uses: Sequence[TrainingUse]) -> None:
        for use in uses:
            self._tables.check_references(use.subject_id, use.session_id)
            self._tables.training_uses.insert(use.label, use, taken="use_exists")

    def uses_of_round(self, round_id: str) -> tuple[TrainingUse, ...]:
        found = self._tables.training_uses.where(lambda use: use.round_id == round_id)
        return tuple(sorted(found, key=attrgetter("label")))

    def uses_of_subject(self, subject_id: str) -> tuple[TrainingUse, ...]:
        found = self._tables.training_uses.where(lambda use: use.subject_id == subject_id)
        return tuple(sorted(found, key=attrgetter("at", "label")))

    def drop_uses(self, labels: Sequence[str]) -> int:
        return self._tables.training_uses.drop(labels)

    def depart(self, departures: Sequence[Departure], *, at: datetime) -> None:
        for one in departures:
            if one.label not in self._tables.training_departures.rows:
                self._tables.training_departures.put(one.label, one)
            use = self._tables.training_uses.rows.get(one.label)
            if use is not None and use.left_at is None:
                self._tables.training_uses.put(one.label, replace(use, left_at=at))

    def departures(self, round_id: str) -> tuple[Departure, ...]:
        found = self._tables.training_departures.where(lambda one: one.round_id == round_id)
        return tuple(sorted(found, key=attrgetter("label")))

    def exclude(self, round_id: str) -> int:
        found = [one for one in self.departures(round_id) if not one.excluded]
        for one in found:
            self._tables.training_departures.put(one.label, replace(one, excluded=True))
        return len(found)


class _MemoryJobs:
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def put(self, job: Job) -> None:
        self._tables.jobs.put((job.kind, job.ref), job)

    def done(self, kind: JobKind, ref: str) -> bool:
        return self._tables.jobs.drop([(kind, ref)]) == 1

    def drop(self, ref: str) -> int:
        return self._tables.jobs.drop_where(lambda job: job.ref == ref)

    def due(self, kind: JobKind, *, at: datetime, limit: int) -> tuple[Job, ...]:
        found = self._tables.jobs.where(lambda job: job.kind == kind and job.due_at <= at)
        return tuple(sorted(found, key=attrgetter("due_at", "ref"))[:limit])


_SEALED_COLUMNS: dict[str, tuple[str, ...]] = {
    "subjects": ("sealed_name",), "consent_events": ("evidence",), "recordings": (), "records": ("body",),
    "decisions": ("body",), "receipts": (), "marks": ("detail",), "disclosures": ("note",),
    "cases": ("identity",), "requests": (),
    "tombstones": (), "events": ("details",), "training_uses": (), "jobs": (),
}  # fmt: skip


def _plain_row(row: Any) -> dict[str, Any]:
    """A row as a database exports it: column -> plain value."""
    return {field.name: _plain(getattr(row, field.name)) for field in fields(row)}


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return value.isoformat(timespec="microseconds")
        case str():
            return str(value)
        case _:
            return value


class InlineExtractor:
    """The extractor without a child: the same pipeline inside the calling process, the whole recording in memory.

    For tests and trusted recordings only: a hostile file meets native decoders in your own process, and what was
    opened may stay in its memory.
    """

    def level(self) -> SandboxLevel:
        return "rlimits"

    def extract(self, source: Descriptor | SealedBody, options: ExtractOptions) -> Extraction:
        # Imported late: whoever fakes a database should not load numpy for it.
        from sottovoce.voice.audio import Limits
        from sottovoce.voice.containers import BytesSource
        from sottovoce.voice.formats import load_formats
        from sottovoce.voice.pipeline import process

        if options.embedding_model is not None:
            raise UsageError("The in-process extractor makes no embeddings.")
        data = _whole_file(source.fd, limit_bytes=options.max_body_bytes + _SEALING_ROOM_BYTES)
        if isinstance(source, SealedBody):
            body = data[source.body_offset :]
            if source.suite == SUITE_RSA:
                data = open_client_body(source.key, body, suite=source.suite, body_context=source.context)
            else:
                data = open_body(source.key, body, source.context)
        return process(
            BytesSource(data),
            profile=options.profile,
            limits=Limits(max_body_bytes=options.max_body_bytes, max_analysed_s=options.max_analysed_s),
            channel=options.channel,
            accept_truncated=options.accept_truncated,
            formats=load_formats(),
        )

    def extract_sealed(
        self,
        source: Descriptor | SealedBody,
        options: ExtractOptions,
        places: Callable[[], Sequence[Place]],
    ) -> SealedExtraction:
        """As the port says, but for its point: here the numbers do pass through this process."""
        from sottovoce.voice.bodies import bodies_of, findings_of
        from sottovoce.voice.insight import voice_profile
        from sottovoce.voice.models.inference import infer

        extraction = self.extract(source, options)
        insight = voice_profile(extraction.features, extraction.quality)
        given = {place.kind: place for place in places()}
        said = {
            kind: infer(place.model, extraction.features, extraction.quality)
            for kind, place in given.items()
            if place.model is not None
        }
        plain = bodies_of(extraction, insight, said)
        if set(given) != set(plain):
            raise UsageError("The places are not those of the result.")
        sealed = {
            kind: seal(place.key, plain[kind], place.context, place.key_id) for kind, place in given.items()
        }
        return SealedExtraction(findings_of(extraction, insight), sealed)

    def close(self) -> None:
        """Nothing to end."""


def _whole_file(fd: int, *, limit_bytes: int) -> bytes:
    """From its start, whatever its offset; up to the limit, which is more than any recording that is accepted.

    InputUnreadable unless it is an open regular file.
    """
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise InputUnreadable("The recording is not a regular file.", reason="not_a_file")
        return os.pread(fd, min(status.st_size, limit_bytes), 0)
    except OSError:
        raise InputUnreadable(
            "The descriptor of the recording is not open.", reason="file_unreadable"
        ) from None


def _taken(reason: str) -> Conflict:
    return Conflict("This is already in the database; nothing was written.", reason=reason)


def _unknown_reference() -> Conflict:
    return Conflict(
        "This belongs to a person or a recording that is not there (any more); nothing was written.",
        reason="unknown_reference",
    )


if TYPE_CHECKING:

    def _keeps_the_port(
        database: MemoryDatabase, blobs: MemoryBlobs, witness: MemoryWitness
    ) -> tuple[Database, Blobs, Witness]:
        return database, blobs, witness
