"""The entries of the audit log: only ever added, then numbered once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from sottovoce.adapters.database.rows import fetch, fetch_one, insert, insert_all, row_of
from sottovoce.adapters.database.schema import events
from sottovoce.errors import Conflict
from sottovoce.model.event import AuditEvent
from sottovoce.model.log import EventRow

_PAGE = 500
_ROWS = 5000  # plain rows at once: about 2 MB
_DAY_US = 86_400_000_000
_COLUMNS = (
    "id, tenant, at, kind, actor, channel, pseudonym, purpose, outcome, "
    "details_key_id, details, leaf, sequence, link"
)


class SqlEvents:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._held: list[dict[str, Any]] | None = None

    def add(self, event: AuditEvent) -> None:
        row = row_of(event) | {"sequence": None, "link": None}  # the sequencer's to give
        if self._held is None:
            insert(self._connection, events, row, taken="duplicate_event")
        else:
            self._held.append(row)

    @contextmanager
    def together(self) -> Iterator[None]:
        self._held = []
        try:
            yield
            insert_all(self._connection, events, self._held, taken="duplicate_event")
        finally:
            self._held = None

    def get(self, event_id: str) -> AuditEvent | None:
        return fetch_one(self._connection, AuditEvent, events, {"id": event_id})

    def waiting(self, *, limit: int) -> tuple[EventRow, ...]:
        return self._rows(_WAITING, {"size": limit})

    def head(self) -> tuple[int, bytes] | None:
        row = self._connection.execute(_HEAD).first()
        return None if row is None else (row.sequence, row.link)

    def number(self, numbers: Sequence[tuple[str, int, bytes]]) -> None:
        if not numbers:
            return
        rows = [{"event_id": id_, "number": number, "chain_link": link} for id_, number, link in numbers]
        try:
            if self._connection.execute(_NUMBER, rows).rowcount != len(rows):
                raise _numbered()
        except sa.exc.IntegrityError:
            raise _numbered() from None

    def iterate(self, *, after: int = 0) -> Iterator[AuditEvent]:
        while True:
            where, order = {"sequence >": after}, ("sequence",)
            page = fetch(self._connection, AuditEvent, events, where, order=order, limit=_PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].sequence or 0

    def pages(self, *, after: int = 0) -> Iterator[Sequence[EventRow]]:
        while True:
            page = self._rows(_NUMBERED, {"after": after, "size": _ROWS})
            if page:
                yield page
            if len(page) < _ROWS:
                return
            after = page[-1][12] or 0

    def leaves(self, start: int, end: int) -> tuple[bytes, ...]:
        if start >= end:
            return ()
        rows = self._connection.execute(_LEAVES, {"start": start, "end": end})
        return tuple(row[0] for row in rows)

    def latest(
        self, *, limit: int, pseudonym: str | None = None, kind: str | None = None,
        since: datetime | None = None, until: datetime | None = None,
    ) -> tuple[AuditEvent, ...]:  # fmt: skip
        query = sa.select(*(events.c[name] for name in _FIELDS)).where(*_period(since, until))
        if pseudonym is not None:
            query = query.where(events.c.pseudonym == pseudonym)
        if kind is not None:
            family = events.c.kind.startswith(kind + ".", autoescape=True)
            query = query.where(sa.or_(events.c.kind == kind, family))
        rows = self._connection.execute(query.order_by(events.c.position.desc()).limit(limit)).all()
        return tuple(AuditEvent(*row) for row in reversed(rows))

    def counts(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[tuple[date, str, int], ...]:
        query = sa.select(_DAY, events.c.kind, sa.func.count()).where(*_period(since, until))
        rows = self._connection.execute(query.group_by(_DAY, events.c.kind).order_by(_DAY, events.c.kind))
        return tuple((_day(day), kind, count) for day, kind, count in rows)

    def of_pseudonym(self, pseudonym: str) -> tuple[AuditEvent, ...]:
        where = {"pseudonym": pseudonym}
        return fetch(self._connection, AuditEvent, events, where, order=("position",))

    def _rows(self, query: sa.TextClause, binds: dict[str, Any]) -> tuple[EventRow, ...]:
        """As they are stored: the driver's own tuples, without a conversion of types. What was tampered with is not
        converted but found, and a million rows take seconds less."""
        result = self._connection.execute(query, binds)
        rows = [] if result.cursor is None else result.cursor.fetchall()
        result.close()
        return tuple(rows)


_FIELDS = tuple(name for name in events.c.keys() if name != "position")  # noqa: SIM118
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
_WAITING = sa.text(f"SELECT {_COLUMNS} FROM events WHERE sequence IS NULL ORDER BY position LIMIT :size")  # noqa: S608
_NUMBERED = sa.text(f"SELECT {_COLUMNS} FROM events WHERE sequence > :after ORDER BY sequence LIMIT :size")  # noqa: S608
_PART = "WHERE sequence > :start AND sequence <= :end"
_LEAVES = sa.text(
    f"SELECT leaf FROM (SELECT sequence, leaf FROM archived_leaves {_PART} "  # noqa: S608
    f"UNION ALL SELECT sequence, leaf FROM events {_PART}) AS leaves ORDER BY sequence"
)
_DAY = sa.type_coerce(events.c.at, sa.BigInteger) // _DAY_US


def _period(since: datetime | None, until: datetime | None) -> tuple[sa.ColumnElement[bool], ...]:
    lower = () if since is None else (events.c.at >= since,)
    return lower if until is None else (*lower, events.c.at < until)


def _day(days: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=days)).date()


def _numbered() -> Conflict:
    return Conflict("An audit entry already has its number.", reason="sequence_taken")
