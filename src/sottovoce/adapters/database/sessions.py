"""Recordings and what was made of them: sealed records, decisions, receipts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter

import sqlalchemy as sa

from sottovoce.adapters.database.rows import chunks, fetch, fetch_one, insert, row_of
from sottovoce.adapters.database.schema import decisions, receipts, recordings, records
from sottovoce.model.record import Decision, DueRecord, SealedRecord, StoredReceipt
from sottovoce.model.recording import FINAL, Recording, RecordingState

# What swap() compares: everything that another worker, sweeper or erasure could have changed meanwhile.
SWAP_FIELDS = (
    "state", "lease_owner", "lease_until", "failure", "erase_request_id", "body_stored_at", "attempts",
)  # fmt: skip
_UNFINISHED = tuple(state for state in RecordingState if state not in FINAL)


class SqlRecordings:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, recording: Recording) -> None:
        insert(self._connection, recordings, row_of(recording), taken="recording_exists")

    def get(self, session_id: str) -> Recording | None:
        return fetch_one(self._connection, Recording, recordings, recordings.c.id == session_id)

    def by_idempotency(self, tenant: str, subject_id: str, idempotency: str) -> Recording | None:
        return fetch_one(
            self._connection, Recording, recordings, recordings.c.tenant == tenant,
            recordings.c.subject_id == subject_id, recordings.c.idempotency == idempotency,
        )  # fmt: skip

    def of_subject(self, subject_id: str) -> tuple[Recording, ...]:
        order = (recordings.c.received_at.desc(), recordings.c.id)
        return fetch(
            self._connection, Recording, recordings, recordings.c.subject_id == subject_id, order=order
        )

    def swap(self, new: Recording, *, expected: Recording) -> bool:
        # `is_not_distinct_from` is equality that also holds between two NULLs (SQLite: IS).
        same = [recordings.c[name].is_not_distinct_from(getattr(expected, name)) for name in SWAP_FIELDS]
        update = recordings.update().where(recordings.c.id == expected.id, *same).values(row_of(new))
        return self._connection.execute(update).rowcount == 1

    def unfinished(self, *, limit: int) -> tuple[Recording, ...]:
        # One indexed query per state: (state, discard_by) gives each its first `limit` rows without a sort.
        found = [recording for state in _UNFINISHED for recording in self._in_state(state, limit)]
        return tuple(sorted(found, key=attrgetter("discard_by", "id"))[:limit])

    def count_by_state(self) -> dict[RecordingState, int]:
        query = sa.select(recordings.c.state, sa.func.count()).group_by(recordings.c.state)
        return dict(tuple(row) for row in self._connection.execute(query))

    def _in_state(self, state: RecordingState, limit: int) -> tuple[Recording, ...]:
        order = (recordings.c.discard_by, recordings.c.id)
        return fetch(
            self._connection, Recording, recordings, recordings.c.state == state, order=order, limit=limit
        )


class SqlRecords:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, records: Sequence[SealedRecord], decisions: Sequence[Decision] = ()) -> None:
        with self._connection.begin_nested():
            _insert_all(self._connection, records, decisions)

    def of_session(self, session_id: str) -> tuple[SealedRecord, ...]:
        order = (records.c.created_at, records.c.id)
        return fetch(self._connection, SealedRecord, records, records.c.session_id == session_id, order=order)

    def decisions_of_session(self, session_id: str) -> tuple[Decision, ...]:
        order = (decisions.c.at, decisions.c.id)
        return fetch(self._connection, Decision, decisions, decisions.c.session_id == session_id, order=order)

    def ids_of_subject(self, subject_id: str) -> tuple[str, ...]:
        queries = (sa.select(table.c.id).where(table.c.subject_id == subject_id) for table in _SEALED)
        return tuple(sorted(row.id for query in queries for row in self._connection.execute(query)))

    def due(
        self, kind: str, *, promised_before: datetime, created_before: datetime, limit: int
    ) -> tuple[DueRecord, ...]:
        table, born, of_kind = (decisions, decisions.c.at, ()) if kind == "decision" else (
            records, records.c.created_at, (records.c.kind == kind,)
        )  # fmt: skip
        # Two queries instead of OR: each walks one index from its oldest end, O(expired).
        found: dict[DueRecord, None] = {}
        for column, before in ((table.c.expires_at, promised_before), (born, created_before)):
            where = (*of_kind, column <= before)
            rows = fetch(self._connection, DueRecord, table, *where, order=(column,), limit=limit)
            found |= dict.fromkeys(rows)
        return tuple(found)[:limit]

    def delete(self, ids: Sequence[str]) -> int:
        count = 0
        for part in chunks(ids):
            for table in _SEALED:
                count += self._connection.execute(table.delete().where(table.c.id.in_(part))).rowcount
        return count

    def expire_now(self, subject_id: str, at: datetime) -> int:
        count = 0
        for table in _SEALED:
            of_subject = (table.c.subject_id == subject_id, table.c.expires_at > at)
            count += self._connection.execute(
                table.update().where(*of_subject).values(expires_at=at)
            ).rowcount
        return count

    def existing(self, ids: Sequence[str]) -> frozenset[str]:
        found: set[str] = set()
        for part in chunks(ids):
            for table in _SEALED:
                rows = self._connection.execute(sa.select(table.c.id).where(table.c.id.in_(part)))
                found.update(row.id for row in rows)
        return frozenset(found)


_SEALED = (records, decisions)


class SqlReceipts:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, receipt: StoredReceipt) -> None:
        insert(self._connection, receipts, row_of(receipt), taken="receipt_exists")

    def get(self, receipt_id: str) -> StoredReceipt | None:
        return fetch_one(self._connection, StoredReceipt, receipts, receipts.c.id == receipt_id)

    def of_subject(self, subject_id: str) -> tuple[StoredReceipt, ...]:
        return self._where(receipts.c.subject_id == subject_id)

    def of_session(self, session_id: str) -> tuple[StoredReceipt, ...]:
        return self._where(receipts.c.session_id == session_id)

    def _where(self, condition: sa.ColumnElement[bool]) -> tuple[StoredReceipt, ...]:
        order = (receipts.c.at, receipts.c.id)
        return fetch(self._connection, StoredReceipt, receipts, condition, order=order)


def _insert_all(connection: sa.Connection, sealed: Sequence[SealedRecord], made: Sequence[Decision]) -> None:
    for record in sealed:
        insert(connection, records, row_of(record), taken="record_exists")
    for decision in made:
        insert(connection, decisions, row_of(decision), taken="record_exists")
