"""Port `UnitOfWork` in memory: one transaction over all tables."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from typing import Any

from sottovoce.adapters.memory.footprint import footprint
from sottovoce.adapters.memory.lineage import MemoryLineage
from sottovoce.adapters.memory.oversight import MemoryEvents, MemoryLog
from sottovoce.adapters.memory.people import MemoryConsents, MemorySubjects
from sottovoce.adapters.memory.policy import MemoryPolicy
from sottovoce.adapters.memory.recipients import MemoryRecipients
from sottovoce.adapters.memory.rights import MemoryCases, MemoryMarks, MemoryRequests
from sottovoce.adapters.memory.sessions import MemoryJobs, MemoryReceipts, MemoryRecordings, MemoryRecords
from sottovoce.adapters.memory.tables import Tables
from sottovoce.model.corpus import FootprintRow


class MemoryUnitOfWork:
    def __init__(self, tables: Tables, *, now: Callable[[], datetime]) -> None:
        self._tables = tables
        self._read_now = now
        self._now: datetime | None = None
        self.subjects = MemorySubjects(tables)
        self.consents = MemoryConsents(tables)
        self.recordings = MemoryRecordings(tables)
        self.records = MemoryRecords(tables)
        self.receipts = MemoryReceipts(tables)
        self.requests = MemoryRequests(tables)
        self.marks = MemoryMarks(tables)
        self.cases = MemoryCases(tables)
        self.policy = MemoryPolicy(tables)
        self.recipients = MemoryRecipients(tables)
        self.events = MemoryEvents(tables)
        self.log = MemoryLog(tables)
        self.lineage = MemoryLineage(tables)
        self.jobs = MemoryJobs(tables)

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
        return footprint(self._tables)

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
