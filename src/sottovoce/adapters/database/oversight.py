"""Erasure requests, the audit log's rows and the outbox of jobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import sqlalchemy as sa

from sottovoce.adapters.database.rows import fetch, fetch_one, insert, row_of
from sottovoce.adapters.database.schema import events, jobs, requests, tombstones
from sottovoce.errors import Conflict
from sottovoce.model.event import AuditEvent
from sottovoce.model.job import Job, JobKind
from sottovoce.model.request import ErasureRequest, Tombstone

DEFAULT_TENANT = "default"  # of jobs: a job is machinery, what it refers to says whose it is
_PAGE = 500


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
        done = requests.update().where(requests.c.id == request_id).values(completed_at=at, receipt=receipt)
        self._connection.execute(done)

    def tombstones(self) -> tuple[Tombstone, ...]:
        return fetch(self._connection, Tombstone, tombstones, {}, order=("at", "request_id"))


class SqlEvents:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, event: AuditEvent) -> None:
        row = row_of(event) | {"sequence": None, "link": None}  # the sequencer's to give
        insert(self._connection, events, row, taken="duplicate_event")

    def unsequenced(self, *, limit: int) -> tuple[AuditEvent, ...]:
        where, order = {"sequence": None}, ("position",)
        return fetch(self._connection, AuditEvent, events, where, order=order, limit=limit)

    def head(self) -> tuple[int, bytes] | None:
        row = self._connection.execute(_HEAD).first()
        return None if row is None else (row.sequence, row.link)

    def set_sequence(self, events: Sequence[AuditEvent]) -> None:
        if events:
            _number(self._connection, events)

    def iterate(self, *, after: int = 0) -> Iterator[AuditEvent]:
        while True:
            where, order = {"sequence >": after}, ("sequence",)
            page = fetch(self._connection, AuditEvent, events, where, order=order, limit=_PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].sequence or 0

    def of_pseudonym(self, pseudonym: str) -> tuple[AuditEvent, ...]:
        where = {"pseudonym": pseudonym}
        return fetch(self._connection, AuditEvent, events, where, order=("position",))


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


_HEAD = (
    sa.select(events.c.sequence, events.c.link)
    .where(events.c.sequence.is_not(None))
    .order_by(events.c.sequence.desc())
    .limit(1)
)
_NUMBER = (
    events.update()
    .where(events.c.id == sa.bindparam("event_id"), events.c.sequence.is_(None))
    .values(sequence=sa.bindparam("number"), link=sa.bindparam("chain_link"))
)
_THIS_JOB = (jobs.c.kind == sa.bindparam("of_kind"), jobs.c.ref == sa.bindparam("of_ref"))
_MOVE = jobs.update().where(*_THIS_JOB)
_DROP = jobs.delete().where(jobs.c.ref == sa.bindparam("of_ref"))
_DONE = jobs.delete().where(*_THIS_JOB)


def _job_binds(kind: JobKind, ref: str) -> dict[str, object]:
    return {"of_kind": kind, "of_ref": ref}


def _number(connection: sa.Connection, numbered: Sequence[AuditEvent]) -> None:
    rows = [{"event_id": event.id, "number": event.sequence, "chain_link": event.link} for event in numbered]
    try:
        with connection.begin_nested():
            if connection.execute(_NUMBER, rows).rowcount != len(rows):
                raise _numbered()
    except sa.exc.IntegrityError:
        raise _numbered() from None


def _numbered() -> Conflict:
    return Conflict("An audit entry already has its number; nothing was changed.", reason="sequence_taken")
