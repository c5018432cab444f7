"""Files that are whole, private and on the medium."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from sottovoce import durable


def test_a_new_file_is_private_whatever_the_umask_and_replaces_nothing(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        fd = durable.create_private(tmp_path / "new")
    finally:
        os.umask(before)
    durable.write_all(fd, b"first")
    os.close(fd)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        durable.create_private(tmp_path / "new")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        durable.create_private(tmp_path / "link")
    assert (tmp_path / "new").read_bytes() == b"first"
    assert not (tmp_path / "elsewhere").exists()


def test_an_anonymous_file_has_no_name_until_it_is_given_one(tmp_path: Path) -> None:
    fd = durable.create_anonymous(tmp_path)
    if fd is None:
        pytest.skip("this file system has no anonymous files")
    try:
        durable.write_all(fd, b"whole")
        assert list(tmp_path.iterdir()) == []
        durable.give_name(fd, tmp_path / "named")
        (tmp_path / "taken").write_bytes(b"older")
        with pytest.raises(FileExistsError):
            durable.give_name(fd, tmp_path / "taken")
    finally:
        os.close(fd)
    assert (tmp_path / "named").read_bytes() == b"whole"
    assert stat.S_IMODE((tmp_path / "named").stat().st_mode) == 0o600
    assert (tmp_path / "taken").read_bytes() == b"older"


@pytest.mark.parametrize(
    ("code", "there"), [(errno.EOPNOTSUPP, False), (errno.EISDIR, False), (errno.EACCES, True)]
)
def test_a_file_system_without_anonymous_files_is_told_from_one_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, there: bool
) -> None:
    def without(*_: object) -> int:
        raise OSError(code, "no")

    monkeypatch.setattr(os, "open", without)
    if there:
        with pytest.raises(PermissionError):
            durable.create_anonymous(tmp_path)
    else:
        assert durable.create_anonymous(tmp_path) is None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_write_that_is_cut_short_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[memoryview]
) -> None:
    honest = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: honest(fd, data[:3]))
    with (tmp_path / "file").open("wb", buffering=0) as file:
        durable.write_all(file.fileno(), kind(b"0123456789"))
        durable.write_all(file.fileno(), kind(b""))
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_zeros_stand_in_the_place_of_every_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, path, size_bytes = os.write, tmp_path / "secret", (1 << 20) + 5
    path.write_bytes(b"s" * size_bytes)
    monkeypatch.setattr(os, "write", lambda fd, data: honest(fd, data[: 1 << 19]))
    durable.fill_with_zeros(path)
    assert path.read_bytes() == bytes(size_bytes)
    with pytest.raises(FileNotFoundError):
        durable.fill_with_zeros(tmp_path / "nothing")
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        durable.fill_with_zeros(tmp_path / "link")


def test_what_is_made_durable_is_the_file_and_the_folder_that_were_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink()))
    (tmp_path / "file").touch()
    durable.sync_file(tmp_path / "file")
    durable.sync_folder(tmp_path)
    durable.fill_with_zeros(tmp_path / "file")
    assert synced == [tmp_path / "file", tmp_path, tmp_path / "file"]
    with pytest.raises(NotADirectoryError):
        durable.sync_folder(tmp_path / "file")
