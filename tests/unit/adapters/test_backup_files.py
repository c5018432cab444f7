"""Folders of backups: whole or not there, private, and never one within the other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from sottovoce.adapters import backup_files
from sottovoce.adapters.backup_files import HalfFolder, Shelf, check_apart, halves
from sottovoce.errors import Conflict, InputUnreadable, StorageError, UsageError


def test_a_backup_appears_whole_and_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        shelf = Shelf(tmp_path / "deep" / "shelf")
        with shelf.writer("one") as writer:
            made = writer.write("text", b"content")
            copied = writer.copy("copy", lambda path: path.write_bytes(b"copied") and None)
            assert [path.name for path in halves(tmp_path / "deep" / "shelf")] == []
    finally:
        os.umask(before)
    folder = tmp_path / "deep" / "shelf" / "one"
    assert (folder / "text").read_text() == "content"
    assert HalfFolder(folder).digest("text") == made
    assert HalfFolder(folder).digest("copy") == copied
    assert HalfFolder(folder).digest("nothing") is None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_what_fails_leaves_nothing_and_what_is_there_stays(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    with pytest.raises(ZeroDivisionError), shelf.writer("one") as writer:
        writer.write("text", b"content")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with shelf.writer("one") as writer:
        writer.write("text", b"content")
    with pytest.raises(Conflict), shelf.writer("one"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    (tmp_path / "file").write_text("a file")
    with pytest.raises(StorageError) as error, Shelf(tmp_path / "file").writer("one"):
        pass
    assert error.value.reason == "backup_not_written"


def test_two_backups_at_once_do_not_disturb_each_other_and_leftovers_go(tmp_path: Path) -> None:
    (tmp_path / ".backup-0123").mkdir()
    (tmp_path / ".backup-0123" / "keys.db").write_bytes(b"of a backup that was killed")
    with Shelf(tmp_path).writer("one") as one:
        assert not (tmp_path / ".backup-0123").exists()
        one.write("text", b"1")
        with Shelf(tmp_path).writer("two") as two:
            two.write("text", b"2")
    assert [(tmp_path / name / "text").read_text() for name in ("one", "two")] == ["1", "2"]


def test_links_and_strange_things_are_not_read(tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    (tmp_path / "outside").write_text("{}")
    (half / "manifest.json").symlink_to(tmp_path / "outside")
    (half / "sottovoce.db").symlink_to(tmp_path / "outside")
    os.mkfifo(half / "keys.db")
    found = HalfFolder(half)
    with pytest.raises(InputUnreadable) as error:
        found.manifest()
    assert error.value.reason == "manifest_missing"
    assert found.digest("sottovoce.db") is None
    assert found.digest("keys.db") is None  # and nobody waited for a writer
    (tmp_path / "linked").symlink_to(half)
    shutil.rmtree(half)
    for wrong in (tmp_path / "nowhere", tmp_path / "outside", tmp_path / "linked"):
        with pytest.raises(InputUnreadable):
            halves(wrong)


@pytest.mark.parametrize(
    ("data", "keys", "fine"),
    [
        ("b/data", "b/keys", True), ("data", "keys", True), ("b", "b", False), ("b", "b/keys", False),
        ("b/data", "b", False), ("home/b", "keys", False), ("data", "home", False), (".", "keys", False),
        ("data", "mnt/keys/copies", False), ("b", "c/../b", False), ("link/data", "keys", False),
        ("homes", "keys", True),
    ],
)  # fmt: skip
def test_halves_and_home_lie_apart(data: str, keys: str, fine: bool, tmp_path: Path) -> None:
    for place in ("home", "mnt/keys"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "home")
    private = [tmp_path / "home", tmp_path / "mnt" / "keys"]
    if fine:
        check_apart(tmp_path / data, tmp_path / keys, private=private)
        return
    with pytest.raises(UsageError) as error:
        check_apart(tmp_path / data, tmp_path / keys, private=private)
    assert error.value.reason == "backup_folders"
    assert backup_files.halves(tmp_path / "mnt" / "keys") == ()
