"""The tables of the database in memory, with the rules that a database keeps by its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from sottovoce.errors import Conflict, StorageError
from sottovoce.model.consent import ConsentEvent, NoticeVersion
from sottovoce.model.event import AuditEvent
from sottovoce.model.job import Job
from sottovoce.model.lineage import Departure, TrainingRound, TrainingUse
from sottovoce.model.log import ArchiveCut, ArchivedLeaf, SignedCheckpoint, TreeNode, WitnessMark
from sottovoce.model.mark import Mark
from sottovoce.model.recipient import Acknowledgement, Disclosure, FeedEntry, Recipient
from sottovoce.model.record import Decision, SealedRecord, StoredReceipt
from sottovoce.model.recording import Recording
from sottovoce.model.request import Case, ErasureRequest, Tombstone
from sottovoce.model.retention import ClockMark, RetentionRule
from sottovoce.model.subject import Subject
from sottovoce.model.tombstones import TombstoneHead

Row = TypeVar("Row")


class Table(Generic[Row]):
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
            raise already_there(taken)
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


class Tables:
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
        tables: dict[str, Table[Any]] = {name: Table(rows[name], writable=writable) for name in self.NAMES}
        self.by_name = tables
        self.subjects: Table[Subject] = tables["subjects"]
        self.notices: Table[NoticeVersion] = tables["notices"]
        self.consents: Table[ConsentEvent] = tables["consent_events"]
        self.recordings: Table[Recording] = tables["recordings"]
        self.records: Table[SealedRecord] = tables["records"]
        self.decisions: Table[Decision] = tables["decisions"]
        self.receipts: Table[StoredReceipt] = tables["receipts"]
        self.requests: Table[ErasureRequest] = tables["requests"]
        self.tombstones: Table[Tombstone] = tables["tombstones"]
        self.marks: Table[Mark] = tables["marks"]
        self.cases: Table[Case] = tables["cases"]
        self.recipients: Table[Recipient] = tables["recipients"]
        self.disclosures: Table[Disclosure] = tables["disclosures"]
        self.feed_entries: Table[FeedEntry] = tables["feed_entries"]
        self.acknowledgements: Table[Acknowledgement] = tables["acknowledgements"]
        self.events: Table[AuditEvent] = tables["events"]
        self.tree_nodes: Table[TreeNode] = tables["tree_nodes"]
        self.checkpoints: Table[SignedCheckpoint] = tables["checkpoints"]
        self.witness_marks: Table[WitnessMark] = tables["witness_marks"]
        self.archived_leaves: Table[ArchivedLeaf] = tables["archived_leaves"]
        self.archive_cuts: Table[ArchiveCut] = tables["archive_cuts"]
        self.retention_rules: Table[RetentionRule] = tables["retention_rules"]
        self.clock_marks: Table[ClockMark] = tables["clock_marks"]
        self.tombstones_applied: Table[TombstoneHead] = tables["tombstones_applied"]
        self.training_rounds: Table[TrainingRound] = tables["training_rounds"]
        self.training_uses: Table[TrainingUse] = tables["training_uses"]
        self.training_departures: Table[Departure] = tables["training_departures"]
        self.jobs: Table[Job] = tables["jobs"]

    @property
    def sealed(self) -> tuple[Table[SealedRecord] | Table[Decision], ...]:
        return self.records, self.decisions

    def check_references(self, subject_id: str, session_id: str | None = None) -> None:
        """A person's row cannot exist without the person, a session's not without the recording."""
        known = session_id is None or session_id in self.recordings.rows
        if subject_id not in self.subjects.rows or not known:
            raise unknown_reference()

    def copy(self) -> tuple[dict[str, dict[Any, Any]], dict[str, int]]:
        return {name: dict(table.rows) for name, table in self.by_name.items()}, dict(self.counters)


def already_there(reason: str) -> Conflict:
    return Conflict("This is already in the database; nothing was written.", reason=reason)


def unknown_reference() -> Conflict:
    return Conflict(
        "This belongs to a person or a recording that is not there (any more); nothing was written.",
        reason="unknown_reference",
    )
