"""The inventory of tables: whose rows they hold, how they are exported, how they are erased.

Rules upheld here:
1. Every table of the schema has an entry; a table with a column that names a person (or a pseudonym) has an
   exporter, and an eraser or a reason why its rows stay (C13b). `faults()` names what somebody forgot, and a
   test fails on it.
2. Erasing goes by this inventory and nothing else, children before parents, in one transaction.
3. What stays after an erasure stays for a reason that is written here: the request with its receipt, the
   tombstone, the audit log (unlinked from the person when the audit key is destroyed).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sottovoce.adapters.database import schema

PERSON_COLUMNS = ("subject_id", "pseudonym")  # a column of such a name says: these rows are somebody's


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One table. `subject` holds the subject's id (or pseudonym), `session` the session's."""

    table: sa.Table
    what: str  # its rows in plain words
    subject: str | None = None
    session: str | None = None
    sealed: tuple[str, ...] = ()  # columns that hold ciphertext
    nobody: str = ""  # why no column names a person
    kept: str = ""  # why an erasure leaves the rows; empty: it deletes them

    @property
    def by_session_only(self) -> bool:
        """The rows are a person's through the recording that they refer to."""
        return self.subject is None and self.session is not None

    def export(self, connection: sa.Connection, person: str) -> list[dict[str, Any]]:
        """The rows of a person (the subject id; for the audit log their pseudonym) as plain values: bytes as
        base64, times in ISO 8601."""
        if self.subject is None and self.session is None:
            return []
        rows = connection.execute(sa.select(self.table).where(self._of(person))).mappings()
        return [{name: _plain(value) for name, value in row.items()} for row in rows]

    def count(self, connection: sa.Connection, person: str) -> int:
        query = sa.select(sa.func.count()).select_from(self.table).where(self._of(person))
        return int(connection.execute(query).scalar_one())

    def erase(self, connection: sa.Connection, person: str) -> int:
        return connection.execute(self.table.delete().where(self._of(person))).rowcount

    def erase_session(self, connection: sa.Connection, session_id: str) -> int:
        column = self.table.c[self.session or ""]
        return connection.execute(self.table.delete().where(column == session_id)).rowcount

    def _of(self, person: str) -> sa.ColumnElement[bool]:
        if self.subject is not None:
            return self.table.c[self.subject] == person
        own = sa.select(schema.recordings.c.id).where(schema.recordings.c.subject_id == person)
        return self.table.c[self.session or ""].in_(own)


REGISTRY: tuple[Entry, ...] = (
    Entry(
        table=schema.subjects, subject="id", sealed=("sealed_name",),
        what="the person: a random id, a blind index, the operator's own id for them (sealed)",
    ),
    Entry(
        table=schema.notices, nobody="texts for everybody",
        what="the exact notices that people were shown",
    ),
    Entry(
        table=schema.consent_events, subject="subject_id", sealed=("evidence",),
        what="each grant, refusal and withdrawal",
    ),
    Entry(
        table=schema.recordings, subject="subject_id", session="id",
        what="each recording: its states, times and sizes; no audio, no name of a file",
    ),
    Entry(
        table=schema.records, subject="subject_id", session="session_id", sealed=("body",),
        what="features, insights and embeddings that are kept",
    ),
    Entry(
        table=schema.decisions, subject="subject_id", session="session_id", sealed=("body",),
        what="which rule or model said something of a recording",
    ),
    Entry(
        table=schema.receipts, subject="subject_id", session="session_id",
        what="signed receipts as they were handed out",
    ),
    Entry(
        table=schema.marks, subject="subject_id", session="session_id", sealed=("detail",),
        what="restrictions, objections, legal holds, corrections",
    ),
    Entry(
        table=schema.recipients, sealed=("sealed_name",), nobody="organisations and teams, never a natural person",
        what="who may receive data",
    ),
    Entry(
        table=schema.disclosures, subject="subject_id", session="session_id", sealed=("note",),
        what="which recipient received what of the person, for which purpose",
    ),
    Entry(
        table=schema.feed_entries, nobody="opaque names that one recipient alone can place",
        what="what each recipient was told to undo",
    ),
    Entry(
        table=schema.acknowledgements, nobody="a recipient is an organisation or a team",
        what="up to where each recipient has done so",
    ),
    Entry(
        table=schema.cases, subject="subject_id", sealed=("identity",),
        what="requests of the person as cases, with their clocks",
        kept="the log of requests, with internal ids only; no proof of identity is left when a case has ended",
    ),
    Entry(
        table=schema.requests, subject="subject_id", session="session_id",
        what="requests to be erased, with the receipt",
        kept="the proof that the erasure took place: internal ids, times and the receipt",
    ),
    Entry(
        table=schema.tombstones, subject="id",
        what="marks of what was erased",
        kept="internal ids that must not come back from a backup",
    ),
    Entry(
        table=schema.events, subject="pseudonym", sealed=("details",),
        what="the audit log, under a pseudonym",
        kept="the log has to verify; with the subject's audit key destroyed, nothing links the entries to them",
    ),
    Entry(
        table=schema.tree_nodes, nobody="hashes over the audit log",
        what="nodes of the tree over the audit log",
    ),
    Entry(
        table=schema.archived_leaves, nobody="hashes of entries of the audit log",
        what="leaf hashes of audit entries whose contents are in an archive",
    ),
    Entry(
        table=schema.archive_cuts, nobody="says how many entries went to archives, and their hashes",
        what="signed statements of where old entries of the audit log were cut off",
    ),
    Entry(
        table=schema.checkpoints, nobody="says how many entries there are, and their hash",
        what="signed checkpoints of the audit log",
    ),
    Entry(
        table=schema.witness_marks, nobody="a witness is a file, a log or a program, never a person's row",
        what="how far each witness of the audit log has kept up",
    ),
    Entry(
        table=schema.retention_rules, nobody="one policy for everybody",
        what="how many days each kind of record is kept, where the operator has set it",
    ),
    Entry(
        table=schema.clock_marks, nobody="a reading of this machine's clock",
        what="by which a clock that was set is noticed",
    ),
    Entry(
        table=schema.tombstones_applied, nobody="a number and a hash",
        what="how far the database has followed the file of tombstones",
    ),
    Entry(
        table=schema.training_rounds, nobody="counts and hashes of a round of training, never who",
        what="rounds of training: the model, how many people, the hash of the table and of the model",
    ),
    Entry(
        table=schema.training_uses, subject="subject_id", session="session_id",
        what="in which rounds of training the results of a session were used",
    ),
    Entry(
        table=schema.training_departures,
        nobody="labels of rows in a table that is not here; whose they were is erased with the person",
        what="rows that a data team has to leave out of its table",
    ),
    Entry(
        table=schema.jobs, session="ref", nobody="a job names a recording or a request, never a person",
        what="work that has still to be done",
    ),
)  # fmt: skip


def faults(tables: Sequence[sa.Table], entries: Sequence[Entry] = REGISTRY) -> list[str]:
    """What somebody forgot: tables without an entry, people's columns without exporter or eraser."""
    by_name = {entry.table.name: entry for entry in entries}
    found = [f"{table.name}: not in the registry" for table in tables if table.name not in by_name]
    known = {table.name for table in tables}
    found += [f"{name}: in the registry, but no table" for name in by_name if name not in known]
    for table in tables:
        entry = by_name.get(table.name)
        if entry is not None:
            found += [f"{table.name}: {problem}" for problem in _problems(table, entry)]
    return found


def count_subject(connection: sa.Connection, subject_id: str) -> dict[str, int]:
    """Rows that erase_subject would delete, by table; tables without any are left out."""
    counts = {entry.table.name: entry.count(connection, subject_id) for entry in _erasable()}
    return {table: count for table, count in counts.items() if count}


def erase_subject(connection: sa.Connection, subject_id: str) -> dict[str, int]:
    """Delete every row of the subject that is not kept; how many, by table, tables without any left out."""
    counts = {entry.table.name: entry.erase(connection, subject_id) for entry in _erasable()}
    return {table: count for table, count in counts.items() if count}


def erase_session(connection: sa.Connection, session_id: str) -> dict[str, int]:
    """Delete every row of one session that is not kept; how many, by table, tables without any left out."""
    of_session = [entry for entry in _erasable() if entry.session is not None]
    counts = {entry.table.name: entry.erase_session(connection, session_id) for entry in of_session}
    return {table: count for table, count in counts.items() if count}


def export_subject(
    connection: sa.Connection, subject_id: str, *, pseudonym: str | None
) -> dict[str, list[dict[str, Any]]]:
    """Every row of the subject in every table, kept ones included; the audit log by the subject's pseudonym."""
    package: dict[str, list[dict[str, Any]]] = {}
    for entry in REGISTRY:
        person = pseudonym if entry.subject == "pseudonym" else subject_id
        rows = [] if person is None else entry.export(connection, person)
        if rows:
            package[entry.table.name] = rows
    return package


def _problems(table: sa.Table, entry: Entry) -> list[str]:
    named = [name for name in PERSON_COLUMNS if name in table.c]
    problems = []
    if named and entry.subject not in named:
        problems.append(f"column {named[0]} has no exporter and no eraser")
    if entry.subject is None and not entry.nobody:
        problems.append("neither a subject column nor the reason why there is none")
    for name in (entry.subject, entry.session, *entry.sealed):
        if name is not None and name not in table.c:
            problems.append(f"there is no column {name}")
    return problems


def _erasable() -> list[Entry]:
    """Entries whose rows an erasure deletes: jobs first (found through recordings), then children before
    parents."""
    order = {table.name: place for place, table in enumerate(schema.metadata.sorted_tables)}
    mine = [entry for entry in REGISTRY if not entry.kept and (entry.subject or entry.session)]
    return sorted(mine, key=lambda entry: (not entry.by_session_only, -order[entry.table.name]))


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
