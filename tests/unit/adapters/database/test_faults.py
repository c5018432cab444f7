"""Errors of the driver in our words."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from sottovoce.adapters.database.faults import of_os, translated
from sottovoce.errors import IntegrityError, SottovoceError, StorageError, UsageError


def driver_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("canary in the driver's own text")
    error.sqlite_errorcode = code
    error.sqlite_errorname = f"SQLITE_{code}"
    return error


def raised(error: BaseException, folder: Path) -> SottovoceError:
    with pytest.raises(SottovoceError) as caught, translated(folder):
        raise error
    return caught.value


ANSWERS = [
    (sqlite3.SQLITE_BUSY, "storage_locked", StorageError),
    (sqlite3.SQLITE_BUSY | 2 << 8, "storage_locked", StorageError),  # BUSY_SNAPSHOT
    (sqlite3.SQLITE_LOCKED, "storage_locked", StorageError),
    (sqlite3.SQLITE_FULL, "storage_full", StorageError),
    (4874, "storage_full", StorageError),  # IOERR_SHMSIZE
    (sqlite3.SQLITE_IOERR, "storage", StorageError),
    (sqlite3.SQLITE_READONLY, "storage", StorageError),
    (sqlite3.SQLITE_CANTOPEN, "storage", StorageError),
    (sqlite3.SQLITE_NOTADB, "database_damaged", IntegrityError),
    (sqlite3.SQLITE_CORRUPT, "database_damaged", IntegrityError),
    (sqlite3.SQLITE_CORRUPT | 1 << 8, "database_damaged", IntegrityError),
]


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "by SQLAlchemy"])
@pytest.mark.parametrize(("code", "reason", "kind"), ANSWERS)
def test_a_code_of_sqlite_has_one_answer(
    tmp_path: Path, code: int, reason: str, kind: type[SottovoceError], wrapped: bool
) -> None:
    original = driver_error(code)
    error = sa.exc.OperationalError("SELECT canary", {"x": "canary"}, original) if wrapped else original
    answer = raised(error, tmp_path)
    assert type(answer) is kind
    assert answer.public_code == reason
    assert "canary" not in str(answer.to_dict())
    assert answer.__suppress_context__


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN])
def test_an_unclear_error_on_a_full_disk_is_called_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=10, f_frsize=4096))
    assert raised(driver_error(code), tmp_path).reason == "storage_full"


def test_an_unclear_error_in_a_folder_that_is_gone_is_not_called_full(tmp_path: Path) -> None:
    assert raised(driver_error(sqlite3.SQLITE_CANTOPEN), tmp_path / "gone").public_code == "storage"


def test_waiting_for_a_connection_is_called_locked(tmp_path: Path) -> None:
    assert raised(sa.exc.TimeoutError(), tmp_path).reason == "storage_locked"


def test_whatever_else_sqlalchemy_says_is_a_storage_error(tmp_path: Path) -> None:
    assert raised(sa.exc.InvalidRequestError("canary"), tmp_path).code == "storage"
    other = raised(sa.exc.StatementError("canary", "canary", {}, TypeError("canary")), tmp_path)
    assert other.code == "storage"
    assert "canary" not in str(other.to_dict())
    assert type(raised(sa.exc.StatementError("x", "x", {}, ValueError()), tmp_path)) is UsageError


def test_our_own_errors_and_those_of_the_caller_pass(tmp_path: Path) -> None:
    for error in (StorageError("x"), KeyboardInterrupt(), ZeroDivisionError()):
        with pytest.raises(type(error)) as caught, translated(tmp_path):
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.ENOSPC, "storage_full"), (errno.EDQUOT, "storage_full"), (errno.EACCES, "storage")],
)
def test_errors_of_our_own_files(code: int, reason: str) -> None:
    answer = of_os(OSError(code, "canary", "/canary"))
    assert answer.public_code == reason
    assert "canary" not in str(answer.to_dict())
