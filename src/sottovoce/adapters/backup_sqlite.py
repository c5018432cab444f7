"""Copies of the home's SQLite files while others write, and a look into such copies without opening them for use.

Rules upheld here:
1. A copy is one consistent state (one read transaction, VACUUM INTO), in a single file: no WAL, no journal. It is
   built anew from the live rows, so that nothing of deleted ones comes along in a gap or on a free page.
2. A copy is looked at read-only and immutable: what may lie beside it (a planted WAL) is not read, and nothing is made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from sottovoce.errors import IntegrityError, SottovoceError, StorageError

_BUSY_TIMEOUT_S = 10.0
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}


def copy_store(source: Path, target: Path) -> None:
    """A consistent copy of an SQLite file into an empty file. StorageError (reasons `storage_full`, `storage_locked`,
    `storage`); IntegrityError (reason `backup_source_damaged`)."""
    with _our_errors(), closing(_connect(source)) as db:
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("VACUUM INTO ?", (str(target),))


def schema_of_data(path: Path) -> str:
    """The version of a copied database. IntegrityError (reason `backup_damaged`) where it is none."""
    with _our_errors(), closing(_immutable(path)) as db:
        rows = db.execute("SELECT version_num FROM alembic_version").fetchall()
    if len(rows) != 1:
        raise _damaged()
    return str(rows[0][0])


def schema_of_keys(path: Path) -> str:
    with _our_errors(), closing(_immutable(path)) as db:
        return str(db.execute("PRAGMA user_version").fetchone()[0])


def epochs_of(path: Path) -> tuple[int, ...]:
    """The epochs that a copied key store has rows or keys of, ascending."""
    with _our_errors(), closing(_immutable(path)) as db:
        return tuple(int(row[0]) for row in db.execute("SELECT epoch FROM epoch ORDER BY epoch"))


def check_whole(path: Path) -> None:
    """IntegrityError (reason `backup_damaged`) where SQLite finds the copy damaged."""
    with _our_errors(), closing(_immutable(path)) as db:
        if db.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
            raise _damaged()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None
    )


def _immutable(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF) from None


def _ours(code: int) -> SottovoceError:
    if code == sqlite3.SQLITE_FULL:
        return StorageError(
            "The disk of the backup is full; nothing was left there.",
            hint="Free some space, or name another folder.",
            reason="storage_full",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageError(
            "A store of the home is busy; no backup was made.", hint="Try again.", reason="storage_locked"
        )
    if code in _DAMAGED or code == sqlite3.SQLITE_ERROR:  # no such table: it is another kind of database
        return _damaged()
    return StorageError("A store could not be copied or read.", reason="storage")


def _damaged() -> IntegrityError:
    return IntegrityError(
        "A store is damaged, or is not one of sottovoce.",
        hint="Take another backup; `sottovoce fsck` checks the home.",
        reason="backup_damaged",
    )
