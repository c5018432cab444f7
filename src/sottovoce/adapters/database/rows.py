"""Between rows and values: columns are named like fields, so a few functions serve every table.

A statement is built once per shape and kept: building it costs more than running it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa

from sottovoce.errors import Conflict

Value = TypeVar("Value")
DEFAULT_TENANT = "default"  # of machinery (jobs, the tree): what it refers to says whose it is

_Reader = tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]
_READERS: dict[type[Any], _Reader] = {}
_QUERIES: dict[tuple[Any, ...], sa.Select[Any]] = {}
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {"": operator.eq, "<=": operator.le, ">": operator.gt}


def row_of(value: Any) -> dict[str, Any]:
    """Column -> value of a dataclass (of two fields or more), not recursive."""
    known = _READERS.get(type(value)) or _reader(type(value))
    return dict(zip(known[0], known[1](value), strict=True))


def fetch(
    connection: sa.Connection, kind: type[Value], table: sa.Table, where: Mapping[str, Any], *,
    order: tuple[str, ...] = (), limit: int | None = None, lock: bool = False,
) -> tuple[Value, ...]:  # fmt: skip
    """The rows that fulfil every condition, as values.

    `where`: "column" (equal), "column <=" or "column >" -> value; None asks for NULL. `order`: columns, those
    that begin with "-" descending. `lock` holds the rows until the transaction ends, where the database has such
    locks (SQLite holds the whole database).
    """
    nulls = frozenset(name for name, value in where.items() if value is None)
    shape = (kind, table, tuple(where), nulls, order, limit is not None, lock)
    query = _QUERIES.get(shape)
    if query is None:
        query = _QUERIES[shape] = _query(*shape)
    binds = {_bind(name): value for name, value in where.items() if value is not None}
    rows = connection.execute(query, binds if limit is None else {**binds, "row_limit": limit})
    return tuple(kind(*row) for row in rows)


def fetch_one(
    connection: sa.Connection, kind: type[Value], table: sa.Table, where: Mapping[str, Any], *,
    lock: bool = False,
) -> Value | None:  # fmt: skip
    found = fetch(connection, kind, table, where, lock=lock)
    return found[0] if found else None


def insert(connection: sa.Connection, table: sa.Table, row: dict[str, Any], *, taken: str) -> Any:
    """Insert one row; its primary key. Conflict with reason `taken`, or `unknown_reference` where the person or
    recording that it belongs to is not there (any more)."""
    try:
        with _undone_alone(connection):
            key = connection.execute(_insert(table), row).inserted_primary_key
    except sa.exc.IntegrityError as error:
        raise _conflict(table, error, taken) from None
    return key[0] if key else None


def insert_all(
    connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]], *, taken: str
) -> None:
    """Insert rows of one shape with one statement; errors as of `insert`."""
    if not rows:
        return
    try:
        with _undone_alone(connection):
            connection.execute(_insert(table), rows)
    except sa.exc.IntegrityError as error:
        raise _conflict(table, error, taken) from None


def _undone_alone(connection: sa.Connection) -> AbstractContextManager[object]:
    """What is refused within does not end the transaction: SQLite undoes the statement, others need a savepoint."""
    return nullcontext() if connection.dialect.name == "sqlite" else connection.begin_nested()


def chunks(ids: Sequence[str], size: int = 500) -> list[list[str]]:
    """Lists that fit into the bound parameters of one statement, in any database."""
    return [list(ids[start : start + size]) for start in range(0, len(ids), size)]


def _reader(kind: type[Any]) -> _Reader:
    """Names of the fields of a dataclass, and a function that reads them all: found once for each kind."""
    names = tuple(field.name for field in fields(kind))
    _READERS[kind] = names, operator.attrgetter(*names)
    return _READERS[kind]


@cache
def _insert(table: sa.Table) -> sa.Insert:
    return sa.insert(table)


def _query(
    kind: type[Any], table: sa.Table, where: tuple[str, ...], nulls: frozenset[str], order: tuple[str, ...],
    limited: bool, lock: bool,
) -> sa.Select[Any]:  # fmt: skip
    query = sa.select(*(table.c[field.name] for field in fields(kind)))
    for condition in where:
        name, _, symbol = condition.partition(" ")
        column = table.c[name]
        bound = sa.bindparam(_bind(condition), type_=column.type)
        query = query.where(column.is_(None) if condition in nulls else _OPERATORS[symbol](column, bound))
    for name in order:
        column = table.c[name.removeprefix("-")]
        query = query.order_by(column.desc() if name.startswith("-") else column)
    if limited:
        query = query.limit(sa.bindparam("row_limit", type_=sa.Integer))
    return query.with_for_update() if lock else query


def _bind(condition: str) -> str:
    return "of_" + condition.partition(" ")[0]


def _conflict(table: sa.Table, error: sa.exc.IntegrityError, taken: str) -> Conflict:
    if "foreign key" in str(error.orig).lower():
        return Conflict(
            "This belongs to a person or a recording that is not there (any more); nothing was written.",
            reason="unknown_reference",
        )
    if "not null" in str(error.orig).lower().replace("-", " "):
        return Conflict(
            "A value that every row needs is missing; nothing was written.", reason="missing_value"
        )
    return Conflict(f"This is already in the table of {table.name}; nothing was written.", reason=taken)
