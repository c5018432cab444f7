"""Between rows and values: columns are named like fields, so one function serves every table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import sqlalchemy as sa

from sottovoce.errors import Conflict

Value = TypeVar("Value")


def columns_of(table: sa.Table, kind: type[Any]) -> list[sa.Column[Any]]:
    """The columns that hold the fields of a dataclass, in the order of its fields."""
    return [table.c[field.name] for field in fields(kind)]


def row_of(value: Any) -> dict[str, Any]:
    """Column -> value of a dataclass, not recursive."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def fetch(
    connection: sa.Connection, kind: type[Value], table: sa.Table, *where: sa.ColumnElement[bool],
    order: Sequence[Any] = (), limit: int | None = None,
) -> tuple[Value, ...]:  # fmt: skip
    """The rows that fulfil every condition, as values."""
    query = sa.select(*columns_of(table, kind)).where(*where).order_by(*order)
    if limit is not None:
        query = query.limit(limit)
    return tuple(kind(*row) for row in connection.execute(query))


def fetch_one(
    connection: sa.Connection, kind: type[Value], table: sa.Table, *where: sa.ColumnElement[bool]
) -> Value | None:
    found = fetch(connection, kind, table, *where, limit=1)
    return found[0] if found else None


def insert(connection: sa.Connection, table: sa.Table, row: dict[str, Any], *, taken: str) -> Any:
    """Insert one row; its primary key. Conflict with reason `taken`, or `unknown_reference` where the person or
    recording that it belongs to is not there (any more)."""
    try:
        key = connection.execute(table.insert().values(row)).inserted_primary_key
    except sa.exc.IntegrityError as error:
        raise _conflict(table, error, taken) from None
    return key[0] if key else None


def chunks(ids: Sequence[str], size: int = 500) -> list[list[str]]:
    """Lists that fit into the bound parameters of one statement, in any database."""
    return [list(ids[start : start + size]) for start in range(0, len(ids), size)]


def _conflict(table: sa.Table, error: sa.exc.IntegrityError, taken: str) -> Conflict:
    if "foreign key" in str(error.orig).lower():
        return Conflict(
            "This belongs to a person or a recording that is not there (any more); nothing was written.",
            reason="unknown_reference",
        )
    if "not null" in str(error.orig).lower():
        return Conflict(
            "A value that every row needs is missing; nothing was written.", reason="missing_value"
        )
    return Conflict(f"This is already in the table of {table.name}; nothing was written.", reason=taken)
