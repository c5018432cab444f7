"""Recordings and what was made of them: sealed records, decisions, receipts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from sottovoce.adapters.database.rows import chunks, fetch, fetch_one, insert, row_of
from sottovoce.adapters.database.schema import cases, decisions, marks, receipts, recordings, records
from sottovoce.model.mark import MarkKind
from sottovoce.model.record import Decision, DueRecord, SealedRecord, StoredReceipt
from sottovoce.model.recording import FINAL, Recording, RecordingState

# What swap() compares: everything that another worker, sweeper or erasure could have changed meanwhile.
SWAP_FIELDS = (
    "state", "lease_owner", "lease_until", "failure", "erase_request_id", "body_stored_at", "attempts",
)  # fmt: skip
# `is_not_distinct_from` is equality that also holds between two NULLs (SQLite: IS). The new values are bound by
# the names of their columns.
_SWAP = recordings.update().where(
    recordings.c.id == sa.bindparam("expected_id"),
    *(
        recordings.c[name].is_not_distinct_from(
            sa.bindparam(f"expected_{name}", type_=recordings.c[name].type)
        )
        for name in SWAP_FIELDS
    ),
)
_UNFINISHED = tuple(state for state in RecordingState if state not in FINAL)


class SqlRecordings:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, recording: Recording) -> None:
        insert(self._connection, recordings, row_of(recording), taken="recording_exists")

    def get(self, session_id: str) -> Recording | None:
        return fetch_one(self._connection, Recording, recordings, {"id": session_id})

    def by_idempotency(self, tenant: str, subject_id: str, idempotency: str) -> Recording | None:
        where = {"tenant": tenant, "subject_id": subject_id, "idempotency": idempotency}
        return fetch_one(self._connection, Recording, recordings, where)

    def of_subject(self, subject_id: str) -> tuple[Recording, ...]:
        where = {"subject_id": subject_id}
        return fetch(self._connection, Recording, recordings, where, order=("-received_at", "id"))

    def swap(self, new: Recording, *, expected: Recording) -> bool:
        compared = {f"expected_{name}": getattr(expected, name) for name in ("id", *SWAP_FIELDS)}
        return self._connection.execute(_SWAP, {**row_of(new), **compared}).rowcount == 1

    def unfinished(self, *, limit: int) -> tuple[Recording, ...]:
        # One indexed query per state: (state, discard_by) gives each its first `limit` rows without a sort.
        found = [recording for state in _UNFINISHED for recording in self._in_state(state, limit)]
        return tuple(sorted(found, key=attrgetter("discard_by", "id"))[:limit])

    def count_by_state(self) -> dict[RecordingState, int]:
        query = sa.select(recordings.c.state, sa.func.count()).group_by(recordings.c.state)
        return dict(tuple(row) for row in self._connection.execute(query))

    def _in_state(self, state: RecordingState, limit: int) -> tuple[Recording, ...]:
        order = ("discard_by", "id")
        return fetch(self._connection, Recording, recordings, {"state": state}, order=order, limit=limit)


class SqlRecords:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, records: Sequence[SealedRecord], decisions: Sequence[Decision] = ()) -> None:
        with self._connection.begin_nested():
            _insert_all(self._connection, records, decisions)

    def of_session(self, session_id: str) -> tuple[SealedRecord, ...]:
        where = {"session_id": session_id}
        return fetch(self._connection, SealedRecord, records, where, order=("created_at", "id"))

    def decisions_of_session(self, session_id: str) -> tuple[Decision, ...]:
        where = {"session_id": session_id}
        return fetch(self._connection, Decision, decisions, where, order=("at", "id"))

    def decision(self, decision_id: str) -> Decision | None:
        return fetch_one(self._connection, Decision, decisions, {"id": decision_id})

    def ids_of_subject(self, subject_id: str) -> tuple[str, ...]:
        queries = (sa.select(table.c.id).where(table.c.subject_id == subject_id) for table in _SEALED)
        return tuple(sorted(row.id for query in queries for row in self._connection.execute(query)))

    def due(
        self, kind: str, *, promised_before: datetime, created_before: datetime, limit: int
    ) -> tuple[DueRecord, ...]:
        table, born, of_kind = (
            (decisions, "at", {}) if kind == "decision" else (records, "created_at", {"kind": kind})
        )
        # Two queries instead of OR: each walks one index from its oldest end, O(expired).
        found: dict[DueRecord, None] = {}
        for column, before in (("expires_at", promised_before), (born, created_before)):
            query = _due_query(table, kind if of_kind else None, column)
            rows = self._connection.execute(query, {"before": before, "row_limit": limit})
            found |= dict.fromkeys(DueRecord(*row) for row in rows)
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

    def expire_decisions(self, subject_id: str, purposes: Sequence[str], at: datetime) -> tuple[str, ...]:
        mine = (decisions.c.subject_id == subject_id, decisions.c.purpose.in_(list(purposes)))
        later = decisions.update().where(*mine, decisions.c.expires_at > at)
        self._connection.execute(later.values(expires_at=at))
        return tuple(
            self._connection.scalars(sa.select(decisions.c.id).where(*mine).order_by(decisions.c.id))
        )

    def existing(self, ids: Sequence[str]) -> frozenset[str]:
        found: set[str] = set()
        for part in chunks(ids):
            for table in _SEALED:
                rows = self._connection.execute(sa.select(table.c.id).where(table.c.id.in_(part)))
                found.update(row.id for row in rows)
            proofs = sa.select(cases.c.identity_key_id).where(cases.c.identity_key_id.in_(part))
            found.update(self._connection.scalars(proofs))
        return frozenset(found)


_SEALED = (records, decisions)


@cache
def _due_query(table: sa.Table, kind: str | None, column: str) -> sa.Select[Any]:
    """What is due by one date, but for people whose data is restricted or held."""
    kept = sa.exists().where(
        marks.c.subject_id == table.c.subject_id,
        marks.c.kind.in_([MarkKind.RESTRICTION, MarkKind.HOLD]),
        marks.c.lifted_at.is_(None),
    )
    query = sa.select(table.c.id, table.c.subject_id, table.c.session_id)
    before = sa.bindparam("before", type_=table.c[column].type)
    query = query.where(table.c[column] <= before, ~kept).order_by(table.c[column])
    if kind is not None:
        query = query.where(table.c.kind == kind)
    return query.limit(sa.bindparam("row_limit", type_=sa.Integer))


class SqlReceipts:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, receipt: StoredReceipt) -> None:
        insert(self._connection, receipts, row_of(receipt), taken="receipt_exists")

    def get(self, receipt_id: str) -> StoredReceipt | None:
        return fetch_one(self._connection, StoredReceipt, receipts, {"id": receipt_id})

    def of_subject(self, subject_id: str) -> tuple[StoredReceipt, ...]:
        return self._where({"subject_id": subject_id})

    def of_session(self, session_id: str) -> tuple[StoredReceipt, ...]:
        return self._where({"session_id": session_id})

    def _where(self, where: dict[str, str]) -> tuple[StoredReceipt, ...]:
        return fetch(self._connection, StoredReceipt, receipts, where, order=("at", "id"))


def _insert_all(connection: sa.Connection, sealed: Sequence[SealedRecord], made: Sequence[Decision]) -> None:
    for record in sealed:
        insert(connection, records, row_of(record), taken="record_exists")
    for decision in made:
        insert(connection, decisions, row_of(decision), taken="record_exists")
