"""Homes and machines that are not as they should be: a message, a hint, an exit code, and never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

GRANT = ("consent", "grant", "--subject", "anna", "--purpose", "voice_recording")


@pytest.fixture
def used(cli: Any) -> Any:
    """A home that has been used, impatient with locks."""
    cli(*GRANT)
    return cli.having(SOTTOVOCE_BUSY_TIMEOUT_S="0.2")


def explained(done: Any, *codes: str) -> None:
    """The error says what happened, has a stable code and says what to try."""
    first, _, rest = done.err.partition("\n")
    assert first.startswith("error: ")
    assert any(first.endswith(f"[{code}]") for code in codes), done.err
    assert rest.startswith("  try: ")


def test_a_locked_database(used: Any) -> None:
    with sqlite3.connect(used.home / "sottovoce.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        explained(used(*GRANT, code=7), "storage_locked")
        other.execute("ROLLBACK")
    other.close()
    used(*GRANT)


def test_a_missing_key_file(used: Any) -> None:
    for path in (used.home / "keys" / "kek").rglob("*"):
        if path.is_file():
            path.unlink()
    explained(used(*GRANT, code=6), "key_file_missing")


def test_a_missing_key_store(used: Any) -> None:
    for path in (used.home / "keys").glob("*.db*"):
        path.unlink()
    done = used(*GRANT, code=None)
    assert done.code in (5, 6, 7)


def test_a_wrong_passphrase(cli: Any) -> None:
    cli.having(SOTTOVOCE_PASSPHRASE="right words")(*GRANT)
    for wrong in ("wrong words", ""):
        done = cli.having(SOTTOVOCE_PASSPHRASE=wrong)(*GRANT, code=6)
        assert "words" not in done.err
        assert "  try: " in done.err
    assert "right words" not in cli.having(SOTTOVOCE_PASSPHRASE="right words")("doctor").out


def test_a_database_of_a_newer_version(used: Any) -> None:
    with sqlite3.connect(used.home / "sottovoce.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    explained(used("sessions", "--subject", "anna", code=7), "schema_newer")


def test_a_damaged_database(used: Any) -> None:
    for path in used.home.glob("sottovoce.db*"):
        path.write_bytes(os.urandom(8192))
    done = used(*GRANT, code=None)
    assert done.code in (5, 7)
    explained(done, "database_damaged", "integrity", "storage")


@pytest.mark.parametrize("content", ["= nonsense", 'sandbox = "none"', "unheard_of = 1", "\udcff"])
def test_settings_that_cannot_be_used(content: str, used: Any) -> None:
    (used.home / "sottovoce.toml").write_bytes(content.encode("utf-8", "surrogateescape"))
    done = used("doctor", code=2)
    assert "[configuration]" in done.err


@pytest.mark.parametrize("url", ["postgresql://db/x", "nonsense", "sqlite:///"])
def test_a_database_that_is_not_offered(url: str, cli: Any) -> None:
    assert "error: " in cli.having(SOTTOVOCE_DATABASE=url)("doctor", code=2).err


def test_a_home_that_is_a_file(cli: Any) -> None:
    cli.home.write_text("not a folder")
    explained(cli("doctor", code=7), "home", "storage")


def test_what_was_written_is_not_what_is_there(used: Any) -> None:
    used("audit", "verify")
    with sqlite3.connect(used.home / "sottovoce.db") as database:
        database.execute("UPDATE events SET outcome = 'refused' WHERE kind = 'consent.grant'")
    database.close()
    done = used("audit", "verify", "--json", code=5)
    assert json.loads(done.out.splitlines()[0])["intact"] is False


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b"[" * 100_000, b"null", b"{" * 10])
def test_what_is_no_receipt(content: bytes, used: Any, tmp_path: Path) -> None:
    (tmp_path / "receipt.json").write_bytes(content)
    explained(used("verify", tmp_path / "receipt.json", code=5), "receipt_malformed", "integrity")


def test_a_pin_that_is_damaged(used: Any) -> None:
    receipt = next((used.home / "receipts").rglob("*.json"))
    (used.home / "identity.json").write_bytes(b"\xff\xfe not json")
    used("verify", receipt, code=5)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 megabytes; skipped where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("mounting is refused here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as filler:
        for size_bytes in (1 << 20, 65536, 4096, 512, 1):
            while True:
                try:
                    if filler.write(bytes(size_bytes)) < size_bytes:
                        break
                except OSError:
                    break


def test_F10_a_full_disk_refuses_recordings_and_still_erases(
    small_disk: Path, cli_at: Callable[..., Any], jfk_path: Path
) -> None:
    """On a full disk a recording is refused with a plain message, and a person can still be erased."""
    cli = cli_at(small_disk / "home")
    cli.grant("anna")
    answer = cli("analyze", jfk_path, "--subject", "anna", "--json").json
    fill(small_disk)
    refused = cli("submit", jfk_path, "--subject", "anna", code=7)
    assert "storage_full" in refused.err
    assert not [path for path in (cli.home / "bodies").rglob("*") if path.is_file()]
    assert cli("erase", "--subject", "anna", "--json").json["result"] == "erased"
    (small_disk / "filler").unlink()
    cli("show", answer["session_id"], "--purpose", "subject_access", code=4)
    cli("audit", "verify")


def test_a_home_that_cannot_be_written(small_disk: Path, cli_at: Callable[..., Any]) -> None:
    cli = cli_at(small_disk / "home")
    cli(*GRANT)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = cli(*GRANT, code=7)
    assert "  try: " in done.err
    receipt = next((cli.home / "receipts").rglob("*.json"))
    cli("verify", receipt)
