"""The file of an archive: new, whole, durable, readable by its owner alone."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sottovoce.adapters.archive_file import LocalArchiveFile
from sottovoce.errors import Conflict, InputUnreadable, StorageError


def test_what_was_written_is_read_back_from_the_disk(tmp_path: Path) -> None:
    file = LocalArchiveFile(tmp_path / "old.archive")
    file.write([b"one\n", b"two\n"])
    assert list(file.lines()) == [b"one\n", b"two\n"]
    assert stat.S_IMODE((tmp_path / "old.archive").stat().st_mode) == 0o600


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    """An archive never replaces a file, nor follows a link to one."""
    there = tmp_path / "there"
    there.write_bytes(b"mine")
    (tmp_path / "link").symlink_to(there)
    for name in ("there", "link"):
        with pytest.raises(Conflict):
            LocalArchiveFile(tmp_path / name).write([b"x\n"])
    assert there.read_bytes() == b"mine"


def test_a_writing_that_failed_leaves_nothing(tmp_path: Path) -> None:
    def lines(error: BaseException) -> Iterator[bytes]:
        yield b"one\n"
        raise error

    for error in (KeyboardInterrupt(), StorageError(), OSError(28, "full")):
        with pytest.raises((KeyboardInterrupt, StorageError)):
            LocalArchiveFile(tmp_path / "old").write(lines(error))
        assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_opened_is_told_apart(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputUnreadable):
            list(LocalArchiveFile(path).lines())
    with pytest.raises(StorageError):
        LocalArchiveFile(tmp_path / "no folder" / "x").write([])
    assert "tmp" not in repr(LocalArchiveFile(tmp_path))
