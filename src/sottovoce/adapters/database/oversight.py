"""Erasure requests and the outbox of jobs."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from sottovoce.adapters.database.rows import DEFAULT_TENANT, fetch, fetch_one, insert, row_of
from sottovoce.adapters.database.schema import jobs, requests, tombstones, tombstones_applied
from sottovoce.model.job import Job, JobKind
from sottovoce.model.request import ErasureRequest, Tombstone
from sottovoce.model.tombstones import TombstoneHead


class SqlRequests:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, request: ErasureRequest, tombstone: Tombstone) -> None:
        with self._connection.begin_nested():
            insert(self._connection, requests, row_of(request), taken="request_exists")
            insert(self._connection, tombstones, row_of(tombstone), taken="request_exists")

    def get(self, request_id: str) -> ErasureRequest | None:
        return fetch_one(self._connection, ErasureRequest, requests, {"id": request_id})

    def unfinished(self) -> tuple[ErasureRequest, ...]:
        order = ("requested_at", "id")
        return fetch(self._connection, ErasureRequest, requests, {"completed_at": None}, order=order)

    def complete(self, request_id: str, *, at: datetime, receipt: str) -> None:
        done = (
            requests.update()
            .where(requests.c.id == request_id)
            .values(completed_at=at, receipt=receipt, pseudonym="", inventory=None)
        )
        self._connection.execute(done)

    def tombstones(self) -> tuple[Tombstone, ...]:
        return fetch(self._connection, Tombstone, tombstones, {}, order=("at", "request_id"))

    def applied(self) -> TombstoneHead | None:
        return fetch_one(self._connection, TombstoneHead, tombstones_applied, {})

    def set_applied(self, head: TombstoneHead) -> None:
        if self._connection.execute(tombstones_applied.update().values(row_of(head))).rowcount == 0:
            row = row_of(head) | {"tenant": DEFAULT_TENANT}
            insert(self._connection, tombstones_applied, row, taken="head_exists")


class SqlJobs:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def put(self, job: Job) -> None:
        binds = _job_binds(job.kind, job.ref) | {"due_at": job.due_at}
        if self._connection.execute(_MOVE, binds).rowcount == 0:
            row = row_of(job) | {"tenant": DEFAULT_TENANT}
            insert(self._connection, jobs, row, taken="job_exists")

    def done(self, kind: JobKind, ref: str) -> bool:
        return self._connection.execute(_DONE, _job_binds(kind, ref)).rowcount == 1

    def drop(self, ref: str) -> int:
        return self._connection.execute(_DROP, {"of_ref": ref}).rowcount

    def due(self, kind: JobKind, *, at: datetime, limit: int) -> tuple[Job, ...]:
        where, order = {"kind": kind, "due_at <=": at}, ("due_at", "ref")
        return fetch(self._connection, Job, jobs, where, order=order, limit=limit)


_THIS_JOB = (jobs.c.kind == sa.bindparam("of_kind"), jobs.c.ref == sa.bindparam("of_ref"))
_MOVE = jobs.update().where(*_THIS_JOB)
_DROP = jobs.delete().where(jobs.c.ref == sa.bindparam("of_ref"))
_DONE = jobs.delete().where(*_THIS_JOB)


def _job_binds(kind: JobKind, ref: str) -> dict[str, object]:
    return {"of_kind": kind, "of_ref": ref}
