"""The embedded database: one SQLite file, shared by threads and processes of one machine.

Do not carry an open database across os.fork(): open it in the child.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from sottovoce.adapters.database import engine as sqlite
from sottovoce.adapters.database import migrate
from sottovoce.adapters.database.faults import locked, of_os, translated
from sottovoce.adapters.database.reserve import RESERVE_BYTES, SLICE_BYTES, Reserve
from sottovoce.adapters.database.unit_of_work import SqlUnitOfWork
from sottovoce.errors import StorageError

BUSY_TIMEOUT_S = 5.0


class SqliteDatabase:
    """Port `Database` on an SQLite file.

    `offset` is added to the database's clock: a fixed timedelta, or a function asked once per transaction (for
    tests). `busy_timeout_s`: how long a writer waits for another, and tidy() for readers.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        offset: timedelta | Callable[[], timedelta] = timedelta(0),
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        """Open, after creating or migrating it where that is due.

        SchemaNewer; IntegrityError (reason `database_damaged`); StorageError (reasons `storage_locked`,
        `storage_full`, `storage`).
        """
        self._path = path.absolute()
        self._busy_timeout_s = busy_timeout_s
        self._offset = offset if callable(offset) else lambda: offset
        self._reserve = Reserve(path.with_name(path.name + ".reserve"), reserve_bytes)
        self._engine = self._opened()
        self._writing = sqlite.writing(self._engine)
        self._redoable = sqlite.redoable(self._engine)
        self._reading = sqlite.reading(self._engine)
        self._writer = threading.Lock()

    @property
    def path(self) -> Path:
        return self._path

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[SqlUnitOfWork]:
        engine = self._writing if durable else self._redoable
        with self._turn(), translated(self._path.parent), engine.begin() as connection:
            yield SqlUnitOfWork(connection, now=self._now)

    @contextmanager
    def read(self) -> Iterator[SqlUnitOfWork]:
        with translated(self._path.parent), self._reading.begin() as connection:
            yield SqlUnitOfWork(connection, now=self._now)

    def tidy(self) -> None:
        with translated(self._path.parent):
            if not sqlite.truncate_wal(self._engine):
                raise StorageError(
                    "Somebody is still reading the database, so deleted rows may remain in its files.",
                    reason="storage_busy",
                    hint="End the reader and try again; the erasure is resumed.",
                )

    def free_reserve(self) -> bool:
        return self._reserve.give()

    def close(self) -> None:
        """Idempotent. The last connection of the last process moves the WAL into the file and removes it."""
        with translated(self._path.parent):
            self._engine.dispose()

    def __repr__(self) -> str:
        return "SqliteDatabase(...)"  # the path may name a person

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One writer at a time within this process: who waits here is woken at once, while SQLite's own waiting
        sleeps up to 100 ms between two tries."""
        if not self._writer.acquire(timeout=self._busy_timeout_s):
            raise locked()
        try:
            yield
        finally:
            self._writer.release()

    def _now(self, connection: sa.Connection) -> datetime:
        return sqlite.database_now(connection) + self._offset()

    def _opened(self) -> sa.Engine:
        try:
            return self._open()
        except StorageError as error:
            # On a full disk SQLite cannot even be opened: a slice of the reserve pays for that, the rest stays.
            if error.reason != "storage_full" or not self._reserve.give(SLICE_BYTES):
                raise
        return self._open()

    def _open(self) -> sa.Engine:
        with translated(self._path.parent):
            try:
                if not self._path.exists():
                    self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    migrate.create(self._path, busy_timeout_s=self._busy_timeout_s)
            except OSError as error:
                raise of_os(error) from None
            engine = sqlite.sqlite_engine(self._path, busy_timeout_s=self._busy_timeout_s)
            try:
                migrate.bring_up_to_date(engine)
                self._reserve.refill()
            except BaseException:
                engine.dispose()
                raise
            return engine


if TYPE_CHECKING:
    from sottovoce import ports

    def _keeps_the_port(database: SqliteDatabase) -> ports.Database:
        return database
