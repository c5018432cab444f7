"""The space kept aside for erasing."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from sottovoce.adapters.database.reserve import Reserve
from sottovoce.errors import StorageError

SIZE = 1 << 20


@pytest.fixture
def reserve(tmp_path: Path) -> Reserve:
    return Reserve(tmp_path / "data.db.reserve", SIZE)


def _size(tmp_path: Path) -> int:
    return (tmp_path / "data.db.reserve").stat().st_size


def test_it_is_allocated_and_not_sparse(reserve: Reserve, tmp_path: Path) -> None:
    assert reserve.refill()
    assert (tmp_path / "data.db.reserve").stat().st_blocks * 512 >= SIZE
    assert reserve.refill()  # whole already


def test_it_is_given_by_the_slice_or_whole(reserve: Reserve, tmp_path: Path) -> None:
    reserve.refill()
    assert reserve.give(SIZE // 4)
    assert _size(tmp_path) == SIZE * 3 // 4
    assert reserve.give()
    assert _size(tmp_path) == 0
    assert not reserve.give()
    assert not reserve.give(1)
    assert reserve.refill()
    assert reserve.give(2 * SIZE)
    assert _size(tmp_path) == 0


def test_there_is_nothing_to_give_before_it_is_made(reserve: Reserve) -> None:
    assert not reserve.give()


def test_it_is_not_made_where_room_is_short(
    reserve: Reserve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = SimpleNamespace(f_bavail=2 * SIZE // 4096 - 1, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda path: room)
    assert not reserve.refill()
    assert not (tmp_path / "data.db.reserve").exists()
    room.f_bavail += 1
    assert reserve.refill()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_what_it_had_it_keeps_when_the_rest_does_not_fit(
    reserve: Reserve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    reserve.refill()
    reserve.give(SIZE // 2)

    def full(fd: int, offset: int, length: int) -> None:
        os.ftruncate(fd, SIZE - 1)  # some of it was there before the disk was full
        raise OSError(code, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert not reserve.refill()
    assert _size(tmp_path) == SIZE // 2


def test_another_trouble_is_not_hidden(reserve: Reserve, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "posix_fallocate", broken)
    with pytest.raises(StorageError) as caught:
        reserve.refill()
    assert "EIO" in caught.value.message
