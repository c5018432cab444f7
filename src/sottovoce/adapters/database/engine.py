"""SQLite, and only here: how a connection is made, how a transaction begins, what time it is.

Rules upheld here:
1. A writing transaction holds the write lock from its start (BEGIN IMMEDIATE): what it reads cannot change
   before it commits (law 1).
2. A commit is durable when it returns: WAL with synchronous=FULL. Only what can be done again (numbering the audit
   log) is committed with synchronous=NORMAL: a power cut may lose it, the next durable commit takes it along.
3. Deleted bytes are overwritten: secure_delete=ON, set explicitly, since a build's default may be OFF (X13).
4. A reading transaction cannot write: query_only.
5. The database is readable by its owner alone: mode 0600.
"""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sottovoce.adapters.database.schema import from_microseconds
from sottovoce.durable import create_private

_MODE = "sottovoce_mode"  # execution option of an engine: one of the keys of _BEGIN
_PRAGMAS = {  # said when a connection changes its mode
    "write": ("query_only=OFF", "synchronous=FULL"),
    "redoable": ("query_only=OFF", "synchronous=NORMAL"),
    "read": ("query_only=ON",),
}
_BEGIN = {"write": "BEGIN IMMEDIATE", "redoable": "BEGIN IMMEDIATE", "read": "BEGIN"}
# One statement reads one clock: SQLite keeps 'now' still within a statement. Resolution 1 ms.
_NOW = sa.text("SELECT CAST(strftime('%s', 'now') AS INTEGER), strftime('%f', 'now')")


def sqlite_engine(path: Path, *, busy_timeout_s: float) -> sa.Engine:
    """An engine on an existing file. Connections are pooled and shared by threads, one transaction each."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        hide_parameters=True,  # no bound value in an error or a log
        # No overflow limit: a caller waits for SQLite's lock, never for a connection.
        pool_size=4,
        max_overflow=-1,
        connect_args={"check_same_thread": False, "timeout": busy_timeout_s},
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    return engine


def writing(engine: sa.Engine) -> sa.Engine:
    """The same pool; its transactions hold the write lock from their start."""
    return engine.execution_options(**{_MODE: "write"})


def redoable(engine: sa.Engine) -> sa.Engine:
    """As `writing`, for what can be done again after a power cut."""
    return engine.execution_options(**{_MODE: "redoable"})


def reading(engine: sa.Engine) -> sa.Engine:
    """The same pool; its transactions see one snapshot and cannot write."""
    return engine.execution_options(**{_MODE: "read"})


def database_now(connection: sa.Connection) -> datetime:
    """The database's own clock, aware UTC."""
    seconds, fraction = connection.execute(_NOW).one()
    return from_microseconds(int(seconds) * 1_000_000 + int(fraction.partition(".")[2].ljust(6, "0")))


def truncate_wal(engine: sa.Engine) -> bool:
    """Move everything from the WAL into the file and cut the WAL to nothing; False where a reader was in the way.

    The checkpoint waits for readers as long as the busy timeout. Its result row is what counts: an open reader
    makes it return busy=1 without an error.
    """
    connection = engine.raw_connection()
    try:
        connection.info.pop(_MODE, None)
        cursor = connection.cursor()
        cursor.execute("PRAGMA query_only=OFF")
        busy, left, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return bool(busy == 0 and left <= 0)
    finally:
        connection.close()


def create_file(path: Path) -> None:
    """An empty file for a new database, mode 0600, in WAL mode from then on. The WAL inherits the mode."""
    os.close(create_private(path))


def _prepare(connection: Any, _record: object) -> None:
    # We send BEGIN ourselves (see _begin): the driver's own rule would open no transaction before a SELECT.
    connection.isolation_level = None
    for pragma in ("foreign_keys=ON", "secure_delete=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise sqlite3.OperationalError("no WAL")


def _begin(connection: sa.Connection) -> None:
    mode = connection.get_execution_options().get(_MODE, "write")
    if connection.info.get(_MODE) != mode:
        connection.info.pop(_MODE, None)  # unknown, should one of the statements fail
        for pragma in _PRAGMAS[mode]:
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        connection.info[_MODE] = mode
    connection.exec_driver_sql(_BEGIN[mode])
