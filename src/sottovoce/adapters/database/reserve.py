"""Space kept aside so that erasing works on a full disk (F10, I10).

Deleting a row from SQLite writes first: the zeroed pages go to the WAL. So a file of really allocated blocks
lies beside the database; giving it back makes room for the WAL of an erasure. 4 MiB hold the zeroed pages of
about a thousand rows; what does not fit is tried again when there is room, its keys already destroyed.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from sottovoce.adapters.database.faults import of_os

RESERVE_BYTES = 4 << 20
SLICE_BYTES = 256 << 10  # for opening alone: SQLite needs a WAL and 32 KiB of shared memory to be opened


class Reserve:
    """The file `<database>.reserve`."""

    def __init__(self, path: Path, size_bytes: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size_bytes = size_bytes

    def refill(self) -> bool:
        """Allocate it in full, where at least as much again stays free; whether it is whole now."""
        if self._held_bytes() >= self._size_bytes:
            return True
        try:
            if not self._room():
                return False
            self._allocate(self._held_bytes())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return False
            raise of_os(error) from None
        return True

    def give(self, size_bytes: int | None = None) -> bool:
        """Give back so much of it, or all; False where nothing was left."""
        held = self._held_bytes()
        if held == 0:
            return False
        left = 0 if size_bytes is None else max(0, held - size_bytes)
        try:
            os.truncate(self._path, left)
        except OSError as error:
            raise of_os(error) from None
        return True

    def _held_bytes(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _room(self) -> bool:
        room = os.statvfs(self._path.parent)
        return room.f_bavail * room.f_frsize >= 2 * self._size_bytes

    def _allocate(self, held_bytes: int) -> None:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(fd, 0, self._size_bytes)
        except OSError:
            with suppress(OSError):
                os.ftruncate(fd, held_bytes)  # what it had, it keeps
            raise
        finally:
            os.close(fd)
