"""Moving an old part of the audit log to a file: its contents go, its hashes stay.

Rules upheld here, in order:
1. Only a log that verifies, checkpoints and all, is archived.
2. The file is durable, and has been read back and verified as a stranger would, before anything leaves the log. A kill
   at any moment leaves the entries in the log, or in the file, or in both.
3. What leaves the log and the signed statement of it (`audit/archive.py`) are one transaction; leaf hashes, links and
   tree stay, so every checkpoint and proof from before goes on verifying.
4. Parts follow each other without a gap: each begins where the last one ended. The newest entry always stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sottovoce.audit import archive
from sottovoce.audit.archive import Archive, Place
from sottovoce.errors import Conflict, IntegrityError, NotFound, StorageError, UsageError
from sottovoce.model.log import ArchiveCut, EventRow
from sottovoce.model.outcome import ArchiveOutcome
from sottovoce.model.subject import Caller
from sottovoce.ports import ArchiveFile, Database, UnitOfWork
from sottovoce.usecases.inspection import Inspection, Pinned
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.trail import Trail

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Part:
    """What is to go: where it begins and ends, and when its last entry was written."""

    start: Place
    end: Place
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Archiving:
    database: Database
    keyring: Keyring
    trail: Trail
    inspection: Inspection
    pinned: Callable[[], Pinned]

    def archive(self, file: ArchiveFile, *, before: datetime, caller: Caller) -> ArchiveOutcome:
        """Move every entry that was written before that time, from the oldest on, to a new file.

        NotFound (reason `nothing_to_archive`), IntegrityError (reason `log_damaged`), Conflict (reason `file_exists`,
        or `archived_meanwhile`), StorageError, KeyUnavailable.
        """
        pinned = self.pinned()
        self._check_intact()
        with self.database.read() as tx:
            part = self._part(tx, before, pinned)
            statement = self._signed(part, pinned)
            pages = _pages(tx, part.start.size, part.end.size)
            file.write(archive.archive_lines(statement, pages))
        self.verify(file)
        self._take_out(part, statement, caller=caller)
        # Where a reader is in the way, pseudonyms and ciphertext go with the next tidying.
        with suppress(StorageError):
            self.database.tidy()
        return ArchiveOutcome(part.start.size + 1, part.end.size, part.until, part.end.root().hex())

    def verify(self, file: ArchiveFile) -> ArchiveOutcome:
        """Check an archive by itself and entry by entry against this log. UnknownSigner, IntegrityError."""
        pinned = self.pinned()
        with self.database.read() as tx:
            found = archive.verify_archive(
                file.lines(), origin=pinned.origin, trusted=pinned.keys, log=tx.events.leaves
            )
            newest = tx.events.head() or (tx.log.archived(), b"")
        if newest[0] < found.cut.end.size:
            raise IntegrityError(
                f"The archive goes up to entry {found.cut.end.size}, and the log ends before.",
                hint="The log was cut off or put back: `sottovoce audit verify --since` compares it with checkpoints.",
                reason="log_damaged",
            )
        return outcome_of(found)

    def _check_intact(self) -> None:
        report = self.inspection.verify()
        if not report.intact:
            raise IntegrityError(
                f"The log is not what was written, so nothing is archived: {report.problem}.",
                hint="Keep a copy of this home as it is; `sottovoce audit verify` says more.",
                reason="log_damaged",
            )

    def _part(self, tx: UnitOfWork, before: datetime, pinned: Pinned) -> _Part:
        """The entries from the last cut on, up to the first that is not older."""
        if before > tx.now():
            raise UsageError(
                "The time lies in the future.", hint="Name a day that has passed.", reason="before"
            )
        start = _last_cut(tx, pinned)
        head = tx.events.head()
        end, until_us = start, 0
        for page in tx.events.pages(after=start.size):
            old = [row for row in page if row[12] is not None and head is not None and row[12] < head[0]]
            young = next((i for i, row in enumerate(old) if _at(row) >= before), len(old))
            end = end.after(row[11] for row in old[:young])
            until_us = max([until_us, *(row[2] for row in old[:young])])
            if young < len(page):
                break
        if end.size == start.size:
            raise NotFound(
                "No entry is older than that, or only the newest one.",
                hint="`sottovoce audit report` counts the entries of each month.",
                reason="nothing_to_archive",
            )
        return _Part(start, end, _EPOCH + timedelta(microseconds=until_us))

    def _signed(self, part: _Part, pinned: Pinned) -> str:
        identity = self.keyring.identity()
        return archive.sign_cut(
            pinned.origin, part.start, part.end,
            public_key=identity.public_key, sign_bytes=identity.sign_bytes,
        )  # fmt: skip

    def _take_out(self, part: _Part, statement: str, *, caller: Caller) -> None:
        with self.database.begin() as tx:
            if tx.log.archived() != part.start.size:
                raise Conflict(
                    "Somebody else has archived a part of the log meanwhile.",
                    hint="This file is sound, and holds entries that another archive holds as well.",
                    reason="archived_meanwhile",
                )
            gone = tx.log.archive(ArchiveCut(part.end.size, tx.now(), part.until, statement))
            if gone != part.end.size - part.start.size:
                raise IntegrityError("The log changed while it was archived.", reason="log_damaged")
            self.trail.of(None, caller=caller).write(
                tx, "audit.archived",
                details={"from": part.start.size + 1, "to": part.end.size, "root": part.end.root().hex()},
            )  # fmt: skip


def outcome_of(found: Archive) -> ArchiveOutcome:
    cut = found.cut
    return ArchiveOutcome(cut.start.size + 1, cut.end.size, found.last_at, cut.end.root().hex())


def _last_cut(tx: UnitOfWork, pinned: Pinned) -> Place:
    """Where the last archive ended. IntegrityError where that is not what was signed."""
    cuts = tx.log.cuts()
    if not cuts:
        return Place()
    return archive.verify_cut(cuts[-1].text, origin=pinned.origin, trusted=pinned.keys).end


def _pages(tx: UnitOfWork, after: int, up_to: int) -> Iterator[Sequence[EventRow]]:
    for page in tx.events.pages(after=after):
        rows = [row for row in page if row[12] is not None and row[12] <= up_to]
        yield rows
        if len(rows) < len(page):
            return


def _at(row: EventRow) -> datetime:
    return _EPOCH + timedelta(microseconds=row[2])
