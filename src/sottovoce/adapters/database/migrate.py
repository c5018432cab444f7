"""Schema versions: a new database, an older one brought up to date, a newer one refused.

A database appears under its name only when it is complete: it is made beside it and renamed, under a lock, so
that two processes may open a new home at once and a kill leaves nothing half made. alembic is imported only
when there is something to do: opening an up-to-date database reads one row.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from sottovoce.adapters.database.engine import create_file, sqlite_engine, truncate_wal, writing
from sottovoce.adapters.database.faults import damaged
from sottovoce.adapters.database.schema import HEAD, REVISIONS
from sottovoce.durable import sync_folder
from sottovoce.errors import SchemaNewer

_MIGRATIONS = Path(__file__).parent / "migrations"


def create(path: Path, *, busy_timeout_s: float) -> None:
    """A new, empty, up-to-date database at `path`, unless another process was faster."""
    with _alone(path):
        if path.exists():
            return
        unfinished = path.with_name(path.name + ".new")
        for leftover in (unfinished, *_beside(unfinished)):  # of a process that was killed here
            leftover.unlink(missing_ok=True)
        create_file(unfinished)
        engine = sqlite_engine(unfinished, busy_timeout_s=busy_timeout_s)
        try:
            _upgrade(engine)
            truncate_wal(engine)
        finally:
            engine.dispose()  # the last connection removes the WAL
        unfinished.rename(path)
        sync_folder(path.parent)


def bring_up_to_date(engine: sa.Engine) -> None:
    """Nothing where the version is ours; else migrate. SchemaNewer, or IntegrityError (`database_damaged`) where
    this is not a database of ours."""
    with engine.connect() as connection:
        version = version_of(connection)
    if version != HEAD:
        _upgrade(engine)


def version_of(connection: sa.Connection) -> str:
    """The revision that the database is at; SchemaNewer where this release does not know it."""
    try:
        rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall()
    except sa.exc.OperationalError as error:
        if "no such table" in str(error.orig):
            raise damaged() from None
        raise
    if len(rows) != 1:
        raise damaged()
    version = str(rows[0][0])
    if version not in REVISIONS:
        raise SchemaNewer()
    return version


def _upgrade(engine: sa.Engine) -> None:
    """All pending migrations in one transaction, which holds the write lock: two processes come one after the
    other, and the second finds nothing to do."""
    with writing(engine).begin() as connection:
        upgrade(connection)


def upgrade(connection: sa.Connection) -> None:
    """All pending migrations in the transaction of this connection, which holds the write lock."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time. The lock is on a file of its own: opening and closing the database file itself
    would drop SQLite's POSIX locks in this process."""
    fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _beside(path: Path) -> tuple[Path, ...]:
    return tuple(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))
