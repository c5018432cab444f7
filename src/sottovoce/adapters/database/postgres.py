"""PostgreSQL: the same tables and units of work on a server, for homes that several machines share.

Rules upheld here:
1. A writing transaction is alone from its start: it takes a lock of the whole database before it reads, so what it
   reads cannot change before it commits (law 1), and entries of the log get their places in the order of commits.
2. A commit is durable when it returns (synchronous_commit=on); only what can be done again is committed without
   waiting for the disk.
3. A reading transaction sees one snapshot and cannot write (REPEATABLE READ, READ ONLY).
4. Nothing of a statement, a value or an address leaves this module in an error.

What it cannot do: make deleted rows vanish. The server's write-ahead log, its replicas and backups keep them until they
are recycled; tidy() frees the pages and no more. What protects the content there is that its keys are destroyed, and
what is short-lived never stands here. There is no space kept aside for erasing either: that is the server's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from sottovoce.adapters.database import migrate
from sottovoce.adapters.database.faults import locked, storage_full
from sottovoce.adapters.database.schema import HEAD, REVISIONS, from_microseconds
from sottovoce.adapters.database.unit_of_work import SqlUnitOfWork
from sottovoce.errors import (
    ExtraMissing,
    IntegrityError,
    SchemaNewer,
    SottovoceError,
    StorageError,
    UsageError,
)

BUSY_TIMEOUT_S = 5.0
_LOCK = 0x736F74746F  # "sotto": key of the advisory lock of writers
_NOW = sa.text("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)")
# SQLSTATE: appendix A of the manual of PostgreSQL.
_LOCKED = {"55P03", "40001", "40P01"}
_FULL = {"53100"}


class PostgresDatabase:
    """Port `Database` on a PostgreSQL server, version 13 or later.

    `url`: as SQLAlchemy writes it, `postgresql+psycopg://user@host/name`. `offset` and `busy_timeout_s` as of
    SqliteDatabase.
    """

    def __init__(
        self,
        url: str,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        offset: timedelta | Callable[[], timedelta] = timedelta(0),
    ) -> None:
        """Open, after making or migrating the tables where that is due. ExtraMissing, SchemaNewer, StorageError;
        IntegrityError (reason `database_damaged`)."""
        self._busy_timeout_ms = int(busy_timeout_s * 1000)
        self._offset = offset if callable(offset) else lambda: offset
        with _translated():
            self._engine = _engine(url)
            try:
                self._bring_up_to_date()
            except BaseException:
                self._engine.dispose()
                raise

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[SqlUnitOfWork]:
        with _translated(), self._engine.begin() as connection:
            self._alone(connection, durable=durable)
            yield SqlUnitOfWork(connection, now=self._now)

    @contextmanager
    def read(self) -> Iterator[SqlUnitOfWork]:
        with _translated(), self._engine.begin() as connection:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield SqlUnitOfWork(connection, now=self._now)

    def tidy(self) -> None:
        with _translated(), self._engine.connect() as connection:
            free = connection.execution_options(isolation_level="AUTOCOMMIT")
            free.exec_driver_sql("VACUUM")

    def free_reserve(self) -> bool:
        return False

    def close(self) -> None:
        """Idempotent."""
        with _translated():
            self._engine.dispose()

    def __repr__(self) -> str:
        return "PostgresDatabase(...)"

    def _alone(self, connection: sa.Connection, *, durable: bool) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {self._busy_timeout_ms}")
        connection.exec_driver_sql(f"SET LOCAL synchronous_commit = {'on' if durable else 'off'}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")

    def _now(self, connection: sa.Connection) -> datetime:
        return from_microseconds(int(connection.execute(_NOW).scalar_one())) + self._offset()

    def _bring_up_to_date(self) -> None:
        with self._engine.begin() as connection:
            self._alone(connection, durable=True)
            if _version(connection) != HEAD:
                migrate.upgrade(connection)


def _engine(url: str) -> sa.Engine:
    try:
        return sa.create_engine(url, hide_parameters=True, pool_size=4, max_overflow=-1, pool_pre_ping=True)
    except ImportError:
        raise ExtraMissing(
            "PostgreSQL needs a driver that is not installed.", hint="pip install 'sottovoce[postgres]'"
        ) from None


def _version(connection: sa.Connection) -> str | None:
    """The revision of the tables; None for an empty database. SchemaNewer, IntegrityError."""
    tables = sa.inspect(connection).get_table_names()
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise _not_ours()
    rows = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall()
    if len(rows) != 1:
        raise _not_ours()
    if rows[0][0] not in REVISIONS:
        raise SchemaNewer()
    return str(rows[0][0])


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of SQLAlchemy and of the driver in our words."""
    try:
        yield
    except sa.exc.TimeoutError:
        raise locked() from None
    except sa.exc.StatementError as error:
        raise _of_statement(error) from None
    except sa.exc.SQLAlchemyError as error:
        raise StorageError(f"The database did not do what was asked ({type(error).__name__}).") from None


def _of_statement(error: sa.exc.StatementError) -> SottovoceError:
    state = getattr(error.orig, "sqlstate", None)
    if state in _LOCKED:
        return locked()
    if state in _FULL:
        return storage_full()
    if state == "25006":
        return StorageError("A transaction for reading cannot write.")
    if isinstance(error.orig, ValueError):  # of schema.Instant
        return UsageError("A time to be stored must say its time zone.")
    if state is None and isinstance(error, sa.exc.OperationalError):
        return StorageError(
            "The database server cannot be reached.",
            reason="storage_unreachable",
            hint="Check that it runs, and that this machine may connect to it.",
        )
    return StorageError(f"The database did not do what was asked ({state or type(error).__name__}).")


def _not_ours() -> IntegrityError:
    return IntegrityError(
        "The database holds tables, and is none of sottovoce.",
        reason="database_damaged",
        hint="Nothing was changed. Name another database.",
    )


if TYPE_CHECKING:
    from sottovoce import ports

    def _keeps_the_port(database: PostgresDatabase) -> ports.Database:
        return database
