"""The verbs of auditors: the audit log verified, shown, proved, archived and reported on."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from sottovoce.app.hall import LIBRARY, Hall
from sottovoce.app.offline import outside_checkpoints
from sottovoce.model.outcome import ArchiveOutcome, AuditLine, AuditProof, AuditReport, AuditSummary
from sottovoce.model.subject import Caller
from sottovoce.usecases.inspection import Filter


class AuditVerbs(Hall):
    """What happened in a home, and the proof of it."""

    def verify_audit(self, *, since: str | None = None) -> AuditReport:
        """Recompute the whole audit log. `since`: a text from outside the home with one signed checkpoint or many (a
        checkpoint, a witness's file, a receipt), which the log is compared with. IntegrityError, UnknownSigner."""
        report = self._inspection.verify(() if since is None else outside_checkpoints(since))
        if since is not None:
            self._heads.compare(since)  # a witness keeps heads of the tombstones as well
        return report

    def show_audit(
        self, *, subject: str | None = None, kind: str | None = None, since: datetime | None = None,
        until: datetime | None = None, limit: int = 50, caller: Caller = LIBRARY,
    ) -> tuple[AuditLine, ...]:  # fmt: skip
        """The last entries of the audit log: of one person, of one kind ("record.read") or family ("record"), from a
        time on, before a time. Looking is an entry too. NotFound."""
        wanted = Filter(subject=subject, kind=kind, since=since, until=until, limit=limit)
        return self._read(lambda: self._inspection.show(wanted, caller=caller))

    def checkpoint_audit(self) -> str:
        """The signed checkpoint of the log as it is now (C2SP tlog-checkpoint): keep it outside this home.
        KeyUnavailable; IntegrityError where the log does not continue its last checkpoint."""
        text = self._inspection.checkpoint().text
        self._deliver()
        return text

    def prove_audit(self, event_id: str, *, caller: Caller = LIBRARY) -> AuditProof:
        """A proof that an entry is in the log (C2SP tlog-proof), which anyone checks offline. NotFound."""
        return self._read(lambda: self._inspection.prove(event_id, caller=caller))

    def archive_audit(
        self, path: str | os.PathLike[str], *, before: datetime, caller: Caller = LIBRARY
    ) -> ArchiveOutcome:
        """Move the entries of the audit log that were written before that time to a new file, signed. Their hashes
        stay, so that checkpoints and proofs go on verifying. NotFound, IntegrityError, Conflict, StorageError."""
        from sottovoce.adapters.archive_file import LocalArchiveFile

        file = LocalArchiveFile(Path(path))
        return self._verb(lambda: self._archiving.archive(file, before=before, caller=caller))

    def verify_archive(self, path: str | os.PathLike[str]) -> ArchiveOutcome:
        """Check an archive of this home's log by itself and entry by entry against the log. IntegrityError,
        UnknownSigner, InputUnreadable."""
        from sottovoce.adapters.archive_file import LocalArchiveFile

        return self._archiving.verify(LocalArchiveFile(Path(path)))

    def report_audit(
        self, *, since: datetime | None = None, until: datetime | None = None, checkpoint: str | None = None
    ) -> AuditSummary:
        """Entries by kind and month, verification, witnesses, and what a person has to see to. `checkpoint`: as
        `since` of verify_audit."""
        outside = () if checkpoint is None else outside_checkpoints(checkpoint)
        return self._inspection.report(since=since, until=until, outside=outside)
