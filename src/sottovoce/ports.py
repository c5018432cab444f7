"""What the hall asks of the world: one Protocol per outside thing, with the exact meaning of "no" and "broken".

Every port has a working fake in `adapters/memory/` (shipped, for users' own tests too) and one test suite in
`tests/ports` that runs over the fake and every real adapter. Nothing here knows a third-party package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from sottovoce.model.consent import ConsentEvent, NoticeVersion
from sottovoce.model.corpus import FootprintRow
from sottovoce.model.event import AuditEvent
from sottovoce.model.features import Extraction, SandboxLevel
from sottovoce.model.findings import Findings
from sottovoce.model.inference import ModelUse
from sottovoce.model.job import Job, JobKind
from sottovoce.model.keys import EpochRow, KeyRow
from sottovoce.model.lineage import Departure, TrainingRound, TrainingUse
from sottovoce.model.log import ArchiveCut, EventRow, SignedCheckpoint, TreeNode, WitnessMark
from sottovoce.model.mark import Mark, MarkKind
from sottovoce.model.recipient import Acknowledgement, Disclosure, FeedEntry, Recipient
from sottovoce.model.record import Decision, DueRecord, SealedRecord, StoredReceipt
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.request import Case, ErasureRequest, Tombstone
from sottovoce.model.retention import ClockMark, RetentionRule
from sottovoce.model.subject import Subject
from sottovoce.model.tombstones import SignedHead, TombstoneEntry, TombstoneHead


class Clock(Protocol):
    """Time outside a transaction. Inside one only `tx.now()` counts."""

    def now(self) -> datetime:
        """Aware UTC wall-clock time."""
        ...

    def monotonic_s(self) -> float:
        """Seconds for in-process waits; never compared between processes."""
        ...

    def since_boot(self) -> tuple[str, float]:
        """Which run of the machine this is, and the seconds since it began, sleep included: what nobody can set."""
        ...


class Entropy(Protocol):
    """Randomness fit for keys and ids."""

    def __call__(self, size_bytes: int, /) -> bytes: ...


class Keys(Protocol):
    """The key provider: holds KEK(n), never gives it out.

    Every method raises KeyUnavailable where the provider cannot be used or the KEK is missing or wrong.
    """

    def create(self, epoch: int) -> None:
        """Make KEK(epoch), durably. Idempotent: an existing KEK(epoch) stays as it is."""
        ...

    def wrap(self, epoch: int, key: bytes, context: bytes) -> bytes: ...

    def unwrap(self, epoch: int, wrapped: bytes, context: bytes) -> bytes:
        """IntegrityError where `wrapped` or `context` are not those of wrap()."""
        ...

    def destroy(self, epoch: int) -> None:
        """Destroy KEK(epoch). Idempotent."""
        ...

    def epochs(self) -> tuple[int, ...]:
        """Numbers of the KEKs that exist, ascending."""
        ...

    def describe(self) -> dict[str, str]:
        """Plain words for status pages: `provider`, `protection`, `destruction` (what it guarantees, and when)."""
        ...

    def destruction_wait(self) -> timedelta:
        """How long after destroy() the KEK may still be brought back by the provider. Asks nobody."""
        ...


class KeyStore(Protocol):
    """Rows of wrapped keys, apart from the data. Every change is durable when the call returns."""

    def epochs(self) -> tuple[EpochRow, ...]:
        """All epochs, ascending; exactly one is current once the store is set up."""
        ...

    def begin_epoch(
        self, epoch: int, wrapped_ek: bytes, *, at: datetime, ends_by: datetime | None = None
    ) -> None:
        """In one transaction: retire the current epoch (if any) and make this one current; `ends_by` is kept with it.

        Conflict where the epoch exists already or is not greater than every other.
        """
        ...

    def insert(self, rows: Sequence[KeyRow]) -> None:
        """All rows or none. Locks the epoch row: Conflict (reason `epoch_retired`) where a row's epoch is not
        current; Conflict (reason `key_exists`) where a key_id is taken."""
        ...

    def get(self, key_ids: Sequence[str]) -> dict[str, KeyRow]:
        """Those that exist; what is missing is simply absent."""
        ...

    def delete(self, key_ids: Sequence[str]) -> int:
        """How many were there. When it returns, the bytes of the rows are gone from the store's files."""
        ...

    def delete_subject(self, subject_id: str) -> int:
        """Every row of the subject, its subject keys included; like delete()."""
        ...

    def list(self, *, subject_id: str | None = None) -> Iterator[KeyRow]:
        """All rows (of one subject), in order of key_id; reads in pages and never holds a lock between them."""
        ...

    def rows_in_epoch(self, epoch: int, *, limit: int) -> tuple[KeyRow, ...]:
        """At most `limit` rows still wrapped under that epoch."""
        ...

    def rewrap(self, rows: Sequence[KeyRow], *, from_epoch: int) -> int:
        """Replace epoch and wrapped bytes of rows that still exist and still stand in `from_epoch`; how many.
        A row deleted meanwhile stays deleted."""
        ...

    def drop_epoch(self, epoch: int) -> None:
        """Forget a retired epoch and its EK. Conflict while it is current or rows stand under it (checked under
        the same lock as insert). Idempotent."""
        ...

    def followed(self) -> TombstoneHead | None:
        """How far this store has followed the file of tombstones (port Tombstones); None: never. An old copy of the
        store that is put back says so by this."""
        ...

    def set_followed(self, head: TombstoneHead) -> None:
        """Every erasure up to this entry has been done in this store."""
        ...


class Blobs(Protocol):
    """Bodies by path. A path is relative, of `[a-z0-9_./-]`, without `..`."""

    def writer(self, path: str) -> AbstractContextManager[BlobWriter]:
        """Create-if-absent: Conflict where the path exists. Leaving the block normally makes the body durable
        (file and folder fsynced) and visible under its path in one step; leaving it by an exception leaves
        nothing."""
        ...

    def reader(self, path: str) -> AbstractContextManager[int]:
        """A read-only descriptor, open for the length of the block. NotFound where there is none."""
        ...

    def exists(self, path: str) -> bool: ...

    def delete(self, path: str) -> bool:
        """Whether it was there. When it returns, it is not (durably)."""
        ...

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Everything stored, unfinished writes included (`finished` False)."""
        ...


class BlobWriter(Protocol):
    def write(self, data: bytes | bytearray | memoryview, /) -> object: ...


@dataclass(frozen=True, slots=True)
class BlobInfo:
    path: str
    size_bytes: int
    modified_at: datetime
    finished: bool = True


@dataclass(frozen=True, slots=True)
class ExtractOptions:
    """What the sealed child is to do with a recording."""

    profile: str = "compat"
    max_analysed_s: float = 30.0
    channel: str = "0"  # "0".."7" or "mix"
    accept_truncated: bool = False
    max_body_bytes: int = 1 << 30
    embedding_model: str | None = None  # a local folder; None: no embedding
    wall_limit_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A regular file, opened O_RDONLY|O_NONBLOCK by the caller, who also closes it."""

    fd: int


@dataclass(frozen=True, slots=True)
class SealedBody:
    """The descriptor of a sealed body (from `body_offset` to its end), with its key and context."""

    fd: int
    key: bytes = field(repr=False)
    context: bytes = field(repr=False)
    body_offset: int = 0
    suite: int = 0  # 1: one AES-256-GCM message; else Cobblestone-256


@dataclass(frozen=True, slots=True)
class Place:
    """Where one kind of a result goes: the id, key and context that it is sealed under."""

    kind: str  # "features", "insight", "embedding", "decision", or "inference:ATTRIBUTE"
    key_id: str
    key: bytes = field(repr=False)
    context: bytes = field(repr=False)
    model: ModelUse | None = field(default=None, repr=False)  # of an inference: what is run for it


@dataclass(frozen=True, slots=True)
class SealedExtraction:
    """A result that nobody outside of short-lived processes has seen: ciphertext, and what may be known of it."""

    findings: Findings
    bodies: Mapping[str, bytes] = field(repr=False)  # kind -> envelope


class Source(Protocol):
    """The caller's own file, opened for one analysis; its name is not ours to keep."""

    @property
    def fd(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    def discard(self) -> bool:
        """Unlink the file where it is still the one that was opened; whether its name is gone now."""
        ...


class Extractor(Protocol):
    """The sealed child process: audio in by descriptor, numbers out."""

    def level(self) -> SandboxLevel:
        """The confinement in force."""
        ...

    def extract(self, source: Descriptor | SealedBody, options: ExtractOptions) -> Extraction:
        """AudioRejected (reason of faults.md section 5), IntegrityError (sealed body does not open) or
        ExtractionFailed (child died, ran out of time or memory). Safe to call from several threads."""
        ...

    def extract_sealed(
        self,
        source: Descriptor | SealedBody,
        options: ExtractOptions,
        places: Callable[[], Sequence[Place]],
    ) -> SealedExtraction:
        """extract(), the insight, what the models of the places say, and the sealing of it all: when it returns, no
        number of them is or was an object of this process (I1). `places` is asked once, after the recording was
        measured; what it raises is raised. A model without a place is not run.

        Errors of extract(); UsageError where the places are not those of the result."""
        ...

    def close(self) -> None:
        """End all children; idempotent."""
        ...


class Liveness(Protocol):
    """Whether the holder of a lease still runs: lets an embedded home take over at once from a killed process."""

    def owner(self) -> str:
        """The id of this process, held until it ends however it ends."""
        ...

    def alive(self, owner: str) -> bool:
        """False only where it is certain that the owner has ended."""
        ...


class Witness(Protocol):
    """Keeps checkpoints of the audit log where whoever can write to the database cannot."""

    @property
    def name(self) -> str:
        """Short, stable, and without anything secret: it stands in reports and in the database."""
        ...

    def deliver(self, checkpoint: str) -> None:
        """Hand over one signed checkpoint; it is kept when this returns. Delivering it again does no harm.
        StorageError (reason `witness_unreachable`) where it could not be handed over; never waits for long."""
        ...


class Tombstones(Protocol):
    """The append-only file of what must not come back: outside the database and outside every backup. Safe from several
    threads and processes. StorageError (reason `storage_full`, or `tombstones_unreachable`) where it cannot be used."""

    def append(self, entries: Sequence[TombstoneEntry]) -> TombstoneHead:
        """Add all of them after the last; they are durable when this returns. The head as it is then. Where the disk is
        full, space that was kept aside is used. UsageError for an entry that holds what none may hold."""
        ...

    def read(self, after: int = 0) -> Iterator[TombstoneEntry]:
        """Entries in order, those of a number above `after`; the chain is checked from the first one on.
        IntegrityError (reason `tombstones_damaged`); a last line that was never finished does not count."""
        ...

    def chain(self) -> Iterator[TombstoneHead]:
        """The head after each entry, in order, checked as by read(), without looking at the words of the entries."""
        ...

    def head(self) -> TombstoneHead:
        """Of the last entry; TombstoneHead() where there is no entry, or no file."""
        ...

    def legible(self) -> Iterator[TombstoneEntry]:
        """Every line that is an entry in itself, in the order of the lines: what can be read of a broken file, and of
        those that replace() has put aside. Nothing is checked but the form of each line."""
        ...

    def replace(self, entries: Sequence[TombstoneEntry]) -> TombstoneHead:
        """Put what is there aside, whatever it is, and begin anew with these entries, in one step and durably. What was
        put aside is never deleted. For who holds the write lock of the database, so that nobody appends meanwhile."""
        ...

    def add_signed(self, signed: SignedHead) -> None:
        """Keep a signed head with the entries. It may be lost by a power cut, and is signed again then."""
        ...

    def signed(self) -> Iterator[SignedHead]:
        """The signed heads that are kept, oldest first, unverified. IntegrityError where a line is none."""
        ...


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model file and its signed card as they are kept; nothing of it has been checked."""

    sha256: str  # under which it is kept
    data: bytes = field(repr=False)
    card: str = field(repr=False)
    # identity document that was pinned with it; None: the home's
    signer: str | None = field(default=None, repr=False)


class Models(Protocol):
    """Model files by the hash of their content."""

    def hashes(self) -> tuple[str, ...]:
        """Those that are there, in order; cheap, and nothing of a model is read."""
        ...

    def get(self, sha256: str) -> StoredModel | None: ...

    def add(self, model: StoredModel) -> None:
        """Durable when it returns; never half of it is there. Conflict (reason `model_exists`) where that hash is
        taken; StorageError."""
        ...

    def remove(self, sha256: str) -> bool:
        """Whether it was there."""
        ...


# --- the database -----------------------------------------------------------------------------------------


class Database(Protocol):
    """The data: ciphertext, states and times. One transaction per state change."""

    def begin(self, *, durable: bool = True) -> AbstractContextManager[UnitOfWork]:
        """A writing transaction that holds the write lock from its start (SQLite: BEGIN IMMEDIATE). Commits,
        durably, when the block is left normally; rolls back on any exception.

        `durable` False is for what can be done again (numbering the audit log): a power cut may lose the commit,
        never half of it and never one without those after it; the next durable commit makes it durable as well.

        StorageError with reason `storage_locked` (another writer for too long), `storage_full` or `storage`;
        IntegrityError with reason `database_damaged`.
        """
        ...

    def read(self) -> AbstractContextManager[UnitOfWork]:
        """A snapshot for reading that blocks no writer; writing through it is an error."""
        ...

    def tidy(self) -> None:
        """Make deleted rows vanish from every file of the database (SQLite: wal_checkpoint(TRUNCATE), its result
        row checked, retried while readers are busy). StorageError reason `storage_busy` where that fails.
        Nothing says `verified` of rows before this has succeeded."""
        ...

    def free_reserve(self) -> bool:
        """Give back the space kept for erasing, so that an erasure can go on where a write failed with
        `storage_full`; False where it is already spent. It is set aside again when the database is next opened
        with room to spare."""
        ...

    def close(self) -> None: ...


class UnitOfWork(Protocol):
    """One transaction and what can be asked in it.

    A row that belongs to a person or a recording that is not there (any more) is refused: Conflict (reason
    `unknown_reference`), so that nothing written late brings back somebody who was erased.
    """

    @property
    def subjects(self) -> Subjects: ...
    @property
    def consents(self) -> Consents: ...
    @property
    def recordings(self) -> Recordings: ...
    @property
    def records(self) -> Records: ...
    @property
    def receipts(self) -> Receipts: ...
    @property
    def requests(self) -> Requests: ...
    @property
    def marks(self) -> Marks: ...
    @property
    def cases(self) -> Cases: ...
    @property
    def policy(self) -> PolicyRows: ...
    @property
    def recipients(self) -> Recipients: ...
    @property
    def events(self) -> Events: ...
    @property
    def log(self) -> Log: ...
    @property
    def lineage(self) -> Lineage: ...
    @property
    def jobs(self) -> Jobs: ...

    def now(self) -> datetime:
        """Database time (aware UTC, microseconds), read once per transaction: leases and deadlines use nothing
        else."""
        ...

    def erase_rows(self, subject_id: str) -> dict[str, int]:
        """Delete every row of the subject in every table of the registry; table -> count. What the registry
        marks as kept (the erasure request with its receipt, tombstones, audit entries) stays. Jobs of the
        subject's recordings go too; tables without any row are left out."""
        ...

    def rows_of(self, subject_id: str) -> dict[str, int]:
        """How many rows of the subject each table of the registry holds that erase_rows would delete (the look
        again); tables without any are left out."""
        ...

    def export_rows(self, subject_id: str, *, pseudonym: str | None) -> dict[str, list[dict[str, Any]]]:
        """Every row of the subject in every table of the registry, kept ones included, as plain values by table and
        column: bytes as base64, times in ISO 8601. The audit log by the subject's pseudonym."""
        ...

    def sealed_columns(self) -> dict[str, tuple[str, ...]]:
        """Table -> columns that hold ciphertext, of every table of the registry that has a person's rows."""
        ...

    def erase_session_rows(self, session_id: str) -> dict[str, int]:
        """Delete every row of one session, the recording's row and its jobs included; table -> count."""
        ...

    def footprint(self) -> tuple[FootprintRow, ...]:
        """How many bytes of content are stored: sealed records by their kind, then `decision`, `receipt`, `consent`,
        `notice`, `person`, `mark`, `case`, `erasure`, `recipient`, `disclosure` and `audit`, zero where there is
        none. Ids, times, states and hashes are no content; a row without any content does not count."""
        ...


class Recipients(Protocol):
    """Who received what of whom, and what each was told since."""

    def add(self, recipient: Recipient) -> None:
        """Conflict (reason `recipient_exists`) where the id is taken."""
        ...

    def get(self, recipient_id: str) -> Recipient | None: ...

    def lock(self, recipient_id: str) -> Recipient | None:
        """The recipient, its row locked until the end of the transaction: its feed grows in one place at a time."""
        ...

    def all(self, tenant: str) -> tuple[Recipient, ...]:
        """Oldest first, ended ones too."""
        ...

    def end(self, recipient_id: str, *, at: datetime, destroyed: bool) -> None:
        """It receives nothing more; the first time counts. `destroyed` once said is not taken back."""
        ...

    def disclose(self, rows: Sequence[Disclosure]) -> None: ...

    def disclosures_of(self, subject_id: str) -> tuple[Disclosure, ...]:
        """Oldest first."""
        ...

    def disclosed_to(self, recipient_id: str) -> tuple[int, int]:
        """(people, disclosures) that the recipient has something of."""
        ...

    def append(self, entry: FeedEntry) -> None:
        """Conflict (reason `entry_exists`) where the number is taken. Nothing of a feed ever changes or goes."""
        ...

    def head(self, recipient_id: str) -> FeedEntry | None: ...

    def entry(self, recipient_id: str, number: int) -> FeedEntry | None: ...

    def entries(self, recipient_id: str, *, after: int, limit: int) -> tuple[FeedEntry, ...]:
        """Those with a greater number, by number."""
        ...

    def told(self, cause: str) -> tuple[FeedEntry, ...]:
        """What all recipients were told for one cause, by recipient and number."""
        ...

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Conflict (reason `acknowledgement_exists`) where there is one up to that number."""
        ...

    def acknowledgements(self, recipient_id: str) -> tuple[Acknowledgement, ...]:
        """By number."""
        ...


class PolicyRows(Protocol):
    """What an operator has set in this home, and the mark of its clock."""

    def rules(self) -> tuple[RetentionRule, ...]:
        """In order of kind."""
        ...

    def set_rule(self, rule: RetentionRule) -> None:
        """In place of an earlier one for the same kind."""
        ...

    def clock(self, tenant: str) -> ClockMark | None: ...

    def set_clock(self, mark: ClockMark) -> None: ...


class Subjects(Protocol):
    def add(self, subject: Subject) -> None:
        """Conflict where the id or (tenant, blind_index) is taken."""
        ...

    def find(self, tenant: str, blind_index: str) -> Subject | None: ...

    def get(self, subject_id: str) -> Subject | None: ...

    def lock(self, subject_id: str) -> Subject | None:
        """The subject, its row locked until the end of the transaction (SQLite: the whole database is)."""
        ...

    def set_erasing(self, subject_id: str) -> None: ...

    def rename(self, subject_id: str, *, blind_index: str, sealed_name: bytes) -> None:
        """Another outside id. Conflict (reason `subject_exists`) where it is taken in that tenant."""
        ...

    def ids(self) -> tuple[str, ...]:
        """Every subject's id, in order; for checks that look at everybody."""
        ...


class Consents(Protocol):
    def add_notice(self, notice: NoticeVersion) -> None: ...

    def notices(self, tenant: str, purpose: str | None = None) -> tuple[NoticeVersion, ...]:
        """All versions (of a purpose), by purpose and ordinal."""
        ...

    def material(self, tenant: str) -> dict[str, int]:
        """Purpose -> ordinal of its latest material notice (as `model.consent.material_ordinals`); no texts read."""
        ...

    def add(self, events: Sequence[ConsentEvent]) -> tuple[ConsentEvent, ...]:
        """Insert all or none, in order; returns them with their sequence. Conflict (reason `duplicate_event`)
        where an id is taken."""
        ...

    def of_subject(self, subject_id: str) -> tuple[ConsentEvent, ...]: ...


class Recordings(Protocol):
    def add(self, recording: Recording) -> None: ...

    def get(self, session_id: str) -> Recording | None: ...

    def by_idempotency(self, tenant: str, subject_id: str, idempotency: str) -> Recording | None: ...

    def of_subject(self, subject_id: str) -> tuple[Recording, ...]:
        """Newest first."""
        ...

    def swap(self, new: Recording, *, expected: Recording) -> bool:
        """Compare-and-swap: write `new` only where the stored row still equals `expected` in state, lease_owner,
        lease_until, failure, erase_request_id, body_stored_at and attempts. False: somebody else was first."""
        ...

    def unfinished(self, *, limit: int) -> tuple[Recording, ...]:
        """Every recording that is not in a final state, by discard_by."""
        ...

    def count_by_state(self) -> dict[RecordingState, int]: ...


class Records(Protocol):
    def add(self, records: Sequence[SealedRecord], decisions: Sequence[Decision] = ()) -> None:
        """Conflict where (session, kind, profile, version) is taken: exactly once (I4)."""
        ...

    def of_session(self, session_id: str) -> tuple[SealedRecord, ...]: ...

    def decisions_of_session(self, session_id: str) -> tuple[Decision, ...]: ...

    def decision(self, decision_id: str) -> Decision | None: ...

    def ids_of_subject(self, subject_id: str) -> tuple[str, ...]:
        """Ids (= key ids) of all sealed records and decisions."""
        ...

    def due(
        self, kind: str, *, promised_before: datetime, created_before: datetime, limit: int
    ) -> tuple[DueRecord, ...]:
        """Records of that kind ("decision" for decisions) with expires_at <= promised_before or
        created_at <= created_before, found by index, at most `limit`; none of a person whose data is restricted or
        under a legal hold (C10b)."""
        ...

    def delete(self, ids: Sequence[str]) -> int:
        """Records and decisions by id; how many were there."""
        ...

    def expire_now(self, subject_id: str, at: datetime) -> int:
        """Shorten the promise of every record and decision of the subject to `at` where it is later; how many."""
        ...

    def expire_decisions(self, subject_id: str, purposes: Sequence[str], at: datetime) -> tuple[str, ...]:
        """Shorten the promise of the subject's decisions for one of these purposes to `at` where it is later; the ids
        of all decisions for them, in order."""
        ...

    def existing(self, ids: Sequence[str]) -> frozenset[str]:
        """Those of the ids that have a record or decision, or seal what a case holds as proof of identity."""
        ...


class Receipts(Protocol):
    def add(self, receipt: StoredReceipt) -> None: ...
    def get(self, receipt_id: str) -> StoredReceipt | None: ...
    def of_subject(self, subject_id: str) -> tuple[StoredReceipt, ...]: ...
    def of_session(self, session_id: str) -> tuple[StoredReceipt, ...]: ...


class Requests(Protocol):
    def add(self, request: ErasureRequest, tombstone: Tombstone) -> None:
        """Conflict where the request id is taken."""
        ...

    def get(self, request_id: str) -> ErasureRequest | None: ...

    def unfinished(self) -> tuple[ErasureRequest, ...]: ...

    def complete(self, request_id: str, *, at: datetime, receipt: str) -> None:
        """Write down the end. The pseudonym is emptied: nothing of the row leads to audit entries any more (C29c)."""
        ...

    def tombstones(self) -> tuple[Tombstone, ...]: ...

    def applied(self) -> TombstoneHead | None:
        """How far this database has followed the file of tombstones (port Tombstones); None: never."""
        ...

    def set_applied(self, head: TombstoneHead) -> None: ...


class Marks(Protocol):
    def add(self, mark: Mark) -> None: ...

    def get(self, mark_id: str) -> Mark | None: ...

    def of_subject(self, subject_id: str) -> tuple[Mark, ...]:
        """All of them, lifted ones too, oldest first."""
        ...

    def standing(self, kind: MarkKind) -> tuple[Mark, ...]:
        """Those of a kind that are not lifted, of everybody, oldest first."""
        ...

    def lift(self, mark_id: str, *, at: datetime) -> bool:
        """False where it is lifted already, or not there."""
        ...


class Cases(Protocol):
    def add(self, case: Case) -> None: ...

    def get(self, case_id: str) -> Case | None: ...

    def swap(self, new: Case, *, expected: Case) -> bool:
        """Write `new` only where the stored row still equals `expected` in state and extended_at."""
        ...

    def of_subject(self, subject_id: str) -> tuple[Case, ...]:
        """Oldest first."""
        ...

    def unfinished(self) -> tuple[Case, ...]:
        """Open and closing ones, oldest first."""
        ...

    def latest(self, *, limit: int) -> tuple[Case, ...]:
        """The newest so many, oldest first."""
        ...


class Events(Protocol):
    def add(self, event: AuditEvent) -> None:
        """Append an event with its leaf, not yet numbered."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """What is added within the block is written in one statement at its end: nothing else is asked of the log
        meanwhile. An exception within the block writes nothing of it."""
        ...

    def get(self, event_id: str) -> AuditEvent | None: ...

    def waiting(self, *, limit: int) -> tuple[EventRow, ...]:
        """Entries without a number, in the order they were written."""
        ...

    def head(self) -> tuple[int, bytes] | None:
        """Number and link of the last numbered event."""
        ...

    def number(self, numbers: Sequence[tuple[str, int, bytes]]) -> None:
        """(id, number, link) of events that have none yet; nothing else of an event ever changes. Conflict (reason
        `sequence_taken`) where an event or a number is taken: the transaction has to be left by that error."""
        ...

    def iterate(self, *, after: int = 0) -> Iterator[AuditEvent]:
        """Numbered events in order, in pages."""
        ...

    def pages(self, *, after: int = 0) -> Iterator[Sequence[EventRow]]:
        """The same as plain rows, as they are stored, for who reads millions of them."""
        ...

    def leaves(self, start: int, end: int) -> tuple[bytes, ...]:
        """The stored leaf hashes of the entries numbered start + 1 to end, archived ones included."""
        ...

    def latest(
        self, *, limit: int, pseudonym: str | None = None, kind: str | None = None,
        since: datetime | None = None, until: datetime | None = None,
    ) -> tuple[AuditEvent, ...]:  # fmt: skip
        """The last so many entries that fit, numbered or not, oldest first. `kind`: "record.read", or "record" for
        every "record.*"; `since` is included, `until` is not."""
        ...

    def counts(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[tuple[date, str, int], ...]:
        """(day in UTC, kind, how many), numbered or not, by day and kind."""
        ...

    def of_pseudonym(self, pseudonym: str) -> tuple[AuditEvent, ...]: ...


class ArchiveFile(Protocol):
    """A file outside the home, named by the operator, for an old part of the audit log."""

    def write(self, lines: Iterable[bytes]) -> None:
        """Make it; it is durable when this returns (file and folder fsynced), and nothing is left of it after an
        exception. Conflict (reason `file_exists`); StorageError."""
        ...

    def lines(self) -> Iterator[bytes]:
        """Its lines, newlines included, read anew from the disk. InputUnreadable."""
        ...


class Log(Protocol):
    """What stands beside the entries: nodes of their tree, signed checkpoints, who has seen them, and archives."""

    def archive(self, cut: ArchiveCut) -> int:
        """Take the contents of all entries numbered up to `cut.size` out of the log and keep their leaf hashes; how
        many. Conflict (reason `cut_exists`)."""
        ...

    def archived(self) -> int:
        """Number of the last entry whose contents were taken out; 0 where there is none."""
        ...

    def cuts(self) -> tuple[ArchiveCut, ...]:
        """Oldest first."""
        ...

    def nodes(self, level: int, start: int, end: int) -> tuple[bytes, ...]:
        """The stored nodes start..end-1 of a level (8, 16, ...), in order."""
        ...

    def node_count(self, level: int) -> int:
        """How many nodes of a level are stored, without a hole from 0 on."""
        ...

    def all_nodes(self) -> tuple[TreeNode, ...]: ...

    def add_nodes(self, nodes: Sequence[TreeNode]) -> None:
        """Conflict (reason `node_exists`) where one is stored already."""
        ...

    def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        """Conflict (reason `checkpoint_exists`) where there is one of that size."""
        ...

    def newest_checkpoint(self) -> SignedCheckpoint | None: ...

    def checkpoints(self, *, after: int = -1, limit: int) -> tuple[SignedCheckpoint, ...]:
        """Those of more than `after` entries, by size."""
        ...

    def mark(self, witness: str) -> WitnessMark | None: ...

    def set_mark(self, mark: WitnessMark) -> None: ...


class Lineage(Protocol):
    """Rounds of training, whose results they used, and which rows have to be left out since."""

    def add(self, training: TrainingRound) -> None:
        """Conflict (reason `round_exists`) where the id or (tenant, model, number) is taken."""
        ...

    def get(self, round_id: str) -> TrainingRound | None: ...

    def rounds(self, tenant: str) -> tuple[TrainingRound, ...]:
        """By model and number."""
        ...

    def swap(self, new: TrainingRound, *, expected: TrainingRound) -> bool:
        """Write `new` only where the stored round still is in the state of `expected`."""
        ...

    def add_uses(self, uses: Sequence[TrainingUse]) -> None: ...

    def uses_of_round(self, round_id: str) -> tuple[TrainingUse, ...]:
        """By label: an order that says nothing."""
        ...

    def uses_of_subject(self, subject_id: str) -> tuple[TrainingUse, ...]:
        """By time and label."""
        ...

    def drop_uses(self, labels: Sequence[str]) -> int:
        """Forget uses that did not take place; how many."""
        ...

    def depart(self, departures: Sequence[Departure], *, at: datetime) -> None:
        """Write down which rows have to be left out, and mark their uses, where they are still there, as left at that
        time. A row that was written down before stays as it was."""
        ...

    def departures(self, round_id: str) -> tuple[Departure, ...]:
        """By label."""
        ...

    def exclude(self, round_id: str) -> int:
        """Mark all departures of a round as dropped before training; how many."""
        ...


class Jobs(Protocol):
    """The outbox: at most one job per kind and reference."""

    def put(self, job: Job) -> None:
        """Insert, or move the due time of the job that is there."""
        ...

    def done(self, kind: JobKind, ref: str) -> bool: ...

    def drop(self, ref: str) -> int:
        """Remove the jobs of every kind of a reference; how many."""
        ...

    def due(self, kind: JobKind, *, at: datetime, limit: int) -> tuple[Job, ...]:
        """Jobs due by then, earliest first."""
        ...
