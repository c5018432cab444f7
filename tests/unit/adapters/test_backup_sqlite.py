"""Copies of SQLite files: consistent, whole, without what was deleted, and looked at without touching them."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from sottovoce.adapters import backup_sqlite
from sottovoce.adapters.database import SqliteDatabase
from sottovoce.adapters.database.schema import HEAD
from sottovoce.adapters.keystore_sqlite import SCHEMA_VERSION, SqliteKeyStore
from sottovoce.errors import IntegrityError, StorageError


def empty(path: Path) -> Path:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return path


def test_a_copy_made_while_others_write_is_of_one_moment(tmp_path: Path) -> None:
    source = tmp_path / "a.db"
    db = sqlite3.connect(source, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE pair (a INTEGER, b INTEGER)")
    db.execute("INSERT INTO pair VALUES (0, 0)")
    stop = threading.Event()

    def write() -> None:
        own = sqlite3.connect(source, isolation_level=None, timeout=10)
        number = 0
        while not stop.is_set():
            number += 1
            own.execute("BEGIN IMMEDIATE")
            own.execute("UPDATE pair SET a = ?", (number,))
            own.execute("UPDATE pair SET b = ?", (number,))
            own.execute("COMMIT")
        own.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(20):
            target = empty(tmp_path / f"copy-{number}")
            backup_sqlite.copy_store(source, target)
            backup_sqlite.check_whole(target)
            with sqlite3.connect(f"file:{target}?mode=ro&immutable=1", uri=True) as copy:
                a, b = copy.execute("SELECT a, b FROM pair").fetchone()
            assert a == b
            assert not list(tmp_path.glob(f"copy-{number}-*"))
            assert target.stat().st_mode & 0o777 == 0o600
    finally:
        stop.set()
        writer.join()
        db.close()


def test_M20_nothing_of_deleted_rows_comes_along(tmp_path: Path) -> None:
    """A backup is built from what lives; bytes that a deletion left in the file of the home stay behind."""
    source = tmp_path / "a.db"
    db = sqlite3.connect(source, isolation_level=None)
    db.execute("PRAGMA secure_delete = OFF")
    db.execute("CREATE TABLE t (b BLOB)")
    db.executemany("INSERT INTO t VALUES (?)", [(b"deleted-canary" * 9,) for _ in range(200)])
    db.execute("DELETE FROM t")
    db.close()
    assert b"deleted-canary" in source.read_bytes()
    backup_sqlite.copy_store(source, empty(tmp_path / "copy"))
    assert b"deleted-canary" not in (tmp_path / "copy").read_bytes()


def test_copies_say_what_they_are(tmp_path: Path) -> None:
    SqliteDatabase(tmp_path / "data.db").close()
    SqliteKeyStore(tmp_path / "keys.db").close()
    for name in ("data", "keys"):
        backup_sqlite.copy_store(tmp_path / f"{name}.db", empty(tmp_path / name))
    before = {path.name for path in tmp_path.iterdir()}
    assert backup_sqlite.schema_of_data(tmp_path / "data") == HEAD
    assert backup_sqlite.schema_of_keys(tmp_path / "keys") == str(SCHEMA_VERSION)
    assert backup_sqlite.epochs_of(tmp_path / "keys") == ()
    assert {path.name for path in tmp_path.iterdir()} == before
    for wrong in (tmp_path / "keys", empty(tmp_path / "nothing")):
        with pytest.raises(IntegrityError):
            backup_sqlite.schema_of_data(wrong)


def test_a_planted_wal_beside_a_copy_is_not_read(tmp_path: Path) -> None:
    source = tmp_path / "a.db"
    db = sqlite3.connect(source, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE alembic_version (version_num TEXT)")
    db.execute("INSERT INTO alembic_version VALUES ('0001')")
    backup_sqlite.copy_store(source, empty(tmp_path / "copy"))
    db.execute("UPDATE alembic_version SET version_num = '9999'")
    (tmp_path / "copy-wal").write_bytes((tmp_path / "a.db-wal").read_bytes())
    db.close()
    assert backup_sqlite.schema_of_data(tmp_path / "copy") == "0001"


def test_damage_and_what_is_no_database_are_told(tmp_path: Path) -> None:
    source = tmp_path / "a.db"
    SqliteDatabase(source).close()
    backup_sqlite.copy_store(source, empty(tmp_path / "copy"))
    data = bytearray((tmp_path / "copy").read_bytes())
    data[4096 : 4096 + 2000] = os.urandom(2000)
    (tmp_path / "copy").write_bytes(bytes(data))
    with pytest.raises(IntegrityError):
        backup_sqlite.check_whole(tmp_path / "copy")
    (tmp_path / "text").write_text("not a database, whatever its name is" * 100)
    with pytest.raises(IntegrityError):
        backup_sqlite.copy_store(tmp_path / "text", empty(tmp_path / "copy-2"))
    with pytest.raises(StorageError):
        backup_sqlite.copy_store(tmp_path / "nowhere", empty(tmp_path / "copy-3"))
