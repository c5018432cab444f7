"""What fsck has read of a home: plain values, so that each check is a look at them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sottovoce.model.record import Decision, SealedRecord, StoredReceipt
from sottovoce.model.recording import Recording
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.fsck.report import Finding


class FilesSeen(Protocol):
    """What the outside says of the files of the home (`adapters/home_scan.py`)."""

    @property
    def files(self) -> int: ...
    @property
    def looked_at_bytes(self) -> int: ...
    @property
    def audio(self) -> int: ...
    @property
    def unreadable(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Session:
    recording: Recording
    records: tuple[SealedRecord, ...]
    decisions: tuple[Decision, ...]
    receipts: tuple[StoredReceipt, ...]

    @property
    def sealed(self) -> tuple[SealedRecord | Decision, ...]:
        return (*self.records, *self.decisions)


@dataclass(slots=True)
class Seen:
    """Everything read in one go over the rows, so that each check is a look at plain values."""

    now: datetime
    bodies: dict[str, datetime] = field(default_factory=dict)  # finished ones
    parts: dict[str, datetime] = field(default_factory=dict)
    recording_keys: dict[str, tuple[str, datetime]] = field(default_factory=dict)  # id -> subject id, made at
    record_keys: dict[str, datetime] = field(default_factory=dict)
    key_rows: int = 0
    people: int = 0
    sessions: int = 0
    records: int = 0
    receipts: int = 0
    recipients: int = 0
    disclosures: int = 0
    feed_entries: int = 0
    known: set[str] = field(default_factory=set)  # ids of recordings
    found: dict[str, list[Finding]] = field(default_factory=dict)
    joined: int = 0
    sealed_entries: int = 0  # entries whose details no key opens any more
    archived_until: datetime | None = None  # older entries of the log may be in an archive

    def archived(self, at: datetime | None) -> bool:
        """Whether what was written at that time may be in an archive of the log."""
        return at is not None and self.archived_until is not None and at <= self.archived_until

    def add(self, invariant: str, code: str, what: str, ref: str = "", *, safe: bool = False) -> None:
        self.found.setdefault(invariant, []).append(Finding(code, what, ref, safe))


def read_session(tx: UnitOfWork, recording: Recording) -> Session:
    return Session(
        recording, tx.records.of_session(recording.id), tx.records.decisions_of_session(recording.id),
        tx.receipts.of_session(recording.id),
    )  # fmt: skip


def still_there(database: Database, record_id: str) -> bool:
    """Whether a record or decision is there now."""
    with database.read() as tx:
        return bool(tx.records.existing([record_id]))


def changed(database: Database, recording: Recording) -> bool:
    """Whether somebody has worked on the recording since it was read."""
    with database.read() as tx:
        return tx.recordings.get(recording.id) != recording
