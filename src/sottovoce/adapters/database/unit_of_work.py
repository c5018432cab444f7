"""One SQL transaction and what can be asked in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from sottovoce.adapters.database import registry
from sottovoce.adapters.database.events import SqlEvents
from sottovoce.adapters.database.footprint import footprint
from sottovoce.adapters.database.lineage import SqlLineage
from sottovoce.adapters.database.log import SqlLog
from sottovoce.adapters.database.oversight import SqlJobs, SqlRequests
from sottovoce.adapters.database.people import SqlConsents, SqlSubjects
from sottovoce.adapters.database.policy import SqlPolicy
from sottovoce.adapters.database.recipients import SqlRecipients
from sottovoce.adapters.database.rights import SqlCases, SqlMarks
from sottovoce.adapters.database.sessions import SqlReceipts, SqlRecordings, SqlRecords
from sottovoce.model.corpus import FootprintRow


class SqlUnitOfWork:
    """Made by the database for one transaction; useless after it."""

    def __init__(self, connection: sa.Connection, *, now: Callable[[sa.Connection], datetime]) -> None:
        self._connection = connection
        self._read_now = now
        self._now: datetime | None = None
        self.subjects = SqlSubjects(connection)
        self.consents = SqlConsents(connection)
        self.recordings = SqlRecordings(connection)
        self.records = SqlRecords(connection)
        self.receipts = SqlReceipts(connection)
        self.requests = SqlRequests(connection)
        self.marks = SqlMarks(connection)
        self.cases = SqlCases(connection)
        self.policy = SqlPolicy(connection)
        self.recipients = SqlRecipients(connection)
        self.events = SqlEvents(connection)
        self.log = SqlLog(connection)
        self.lineage = SqlLineage(connection)
        self.jobs = SqlJobs(connection)

    def now(self) -> datetime:
        if self._now is None:
            self._now = self._read_now(self._connection)
        return self._now

    def erase_rows(self, subject_id: str) -> dict[str, int]:
        return registry.erase_subject(self._connection, subject_id)

    def rows_of(self, subject_id: str) -> dict[str, int]:
        return registry.count_subject(self._connection, subject_id)

    def export_rows(self, subject_id: str, *, pseudonym: str | None) -> dict[str, list[dict[str, Any]]]:
        return registry.export_subject(self._connection, subject_id, pseudonym=pseudonym)

    def sealed_columns(self) -> dict[str, tuple[str, ...]]:
        return {
            entry.table.name: entry.sealed for entry in registry.REGISTRY if entry.subject or entry.session
        }

    def erase_session_rows(self, session_id: str) -> dict[str, int]:
        return registry.erase_session(self._connection, session_id)

    def footprint(self) -> tuple[FootprintRow, ...]:
        return footprint(self._connection)


if TYPE_CHECKING:
    from sottovoce import ports

    def _keeps_the_port(tx: SqlUnitOfWork) -> ports.UnitOfWork:
        return tx
