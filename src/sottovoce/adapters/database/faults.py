"""Errors of the driver in our words: nothing of a statement, a parameter or a path leaves this room."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from sottovoce.errors import IntegrityError, SottovoceError, StorageError, UsageError

# Primary result codes, https://www.sqlite.org/rescode.html (the low byte of the extended code).
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
# A full disk may show itself as this when the shared memory beside the WAL cannot grow.
_IOERR_SHMSIZE = 4874
_MINIMUM_FREE_BYTES = 256 << 10  # less than this on the file system: an I/O error means "full"


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn errors of SQLAlchemy and of the driver into ours; everything else passes unchanged.

    `folder` holds the database: an unclear I/O error is called "full" where nothing is free there.
    """
    try:
        yield
    except sa.exc.TimeoutError:
        raise locked() from None
    except sa.exc.StatementError as error:
        raise _of_statement(error, folder) from None
    except sa.exc.SQLAlchemyError as error:
        raise StorageError(f"The database did not do what was asked ({type(error).__name__}).") from None
    except sqlite3.Error as error:
        raise _of_driver(error, folder) from None


def storage_full() -> StorageError:
    return StorageError(
        "The disk is full; nothing was written.",
        reason="storage_full",
        hint="Free some space and try again. Erasing still works: space is kept aside for it.",
    )


def damaged() -> IntegrityError:
    return IntegrityError(
        "The file is not a database of sottovoce, or it is damaged.",
        reason="database_damaged",
        hint="Nothing was changed. Restore the data from a backup, or name another home.",
    )


def of_os(error: OSError) -> StorageError:
    """For the files that we open ourselves."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return storage_full()
    return StorageError(
        f"The folder of the database cannot be used ({errno.errorcode.get(error.errno or 0, '?')})."
    )


def locked() -> StorageError:
    return StorageError(
        "Another process is writing to the database and did not finish in time; nothing was written.",
        reason="storage_locked",
        hint="Try again when the other process has finished.",
    )


def _of_statement(error: sa.exc.StatementError, folder: Path) -> SottovoceError:
    if isinstance(error.orig, sqlite3.Error):
        return _of_driver(error.orig, folder)
    if isinstance(error.orig, ValueError):  # of schema.Instant
        return UsageError("A time to be stored must say its time zone.")
    return StorageError(f"The database did not do what was asked ({type(error).__name__}).")


def _of_driver(error: sqlite3.Error, folder: Path) -> SottovoceError:
    extended = getattr(error, "sqlite_errorcode", 0)
    primary = extended & 0xFF
    if primary in _LOCKED:
        return locked()
    if primary in _DAMAGED:
        return damaged()
    if primary == sqlite3.SQLITE_FULL or extended == _IOERR_SHMSIZE:
        return storage_full()
    if primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _nothing_free(folder):
        return storage_full()
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StorageError(f"The database did not do what was asked ({name}).")


def _nothing_free(folder: Path) -> bool:
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < _MINIMUM_FREE_BYTES
