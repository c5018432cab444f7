"""Whether a process of this machine still runs, told by a lock that the kernel lets go of with the process.

Rules upheld here:
1. Whoever holds leases holds flock(LOCK_EX) on `<id>.lock` for the life of the process; SIGKILL ends it too.
2. "Ended" is said only where the lock could be taken or the file is gone; anything unclear counts as alive.
3. A lock file is removed only by who holds its lock, so nobody removes the file of a process that just starts.
4. A forked child is not its parent: it closes the descriptor and gets an id of its own. (A child that was made
   without Python's fork and keeps the descriptor open would keep the id alive; it is close-on-exec.)
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from sottovoce.errors import StorageError, UsageError
from sottovoce.model.ids import check_id, new_id

_SUFFIX = ".lock"


class FileLiveness:
    """Port `Liveness` on a folder of lock files."""

    def __init__(self, folder: Path, random_bytes: Callable[[int], bytes]) -> None:
        self._folder = folder
        self._random_bytes = random_bytes
        self._mutex = threading.Lock()
        self._own: tuple[str, int] | None = None  # id and descriptor
        forget = weakref.WeakMethod(self._forget)
        os.register_at_fork(after_in_child=lambda: (forget() or _nothing)())

    def owner(self) -> str:
        with self._mutex:
            if self._own is None:
                self._own = self._enter()
                self._remove_ended()
            return self._own[0]

    def alive(self, owner: str) -> bool:
        try:
            check_id(owner, "owner")
        except UsageError:
            return True  # not an id of ours: nothing is certain about it
        if self._own is not None and self._own[0] == owner:
            return True
        return not _ended(self._path(owner))

    def close(self) -> None:
        """Let go of the id; idempotent. A file that a failing disk keeps is free and is removed by a later process."""
        with self._mutex:
            own, self._own = self._own, None
            if own is not None:
                with contextlib.suppress(OSError):
                    self._path(own[0]).unlink(missing_ok=True)
                os.close(own[1])

    def _enter(self) -> tuple[str, int]:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            while True:
                own = new_id("owner", self._random_bytes)
                fd = os.open(self._path(own), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                fcntl.flock(fd, fcntl.LOCK_EX)
                if _is_the_file(fd, self._path(own)):
                    return own, fd
                os.close(fd)  # somebody tidied up between open and flock
        except OSError as error:
            raise _storage(error) from None

    def _remove_ended(self) -> None:
        """Lock files that killed processes left behind."""
        for path in self._folder.glob(f"own_*{_SUFFIX}"):
            _ended(path)

    def _forget(self) -> None:
        """In a forked child: the lock stays the parent's."""
        self._mutex = threading.Lock()
        if self._own is not None:
            os.close(self._own[1])
            self._own = None

    def _path(self, owner: str) -> Path:
        return self._folder / (owner + _SUFFIX)


def _ended(path: Path) -> bool:
    """Whether nobody holds the lock of that file; if so it is removed."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(OSError):  # whoever holds a free lock knows, whether or not the file can go
            if _is_the_file(fd, path):
                path.unlink(missing_ok=True)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


def _is_the_file(fd: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _storage(error: OSError) -> StorageError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    name = errno.errorcode.get(error.errno or 0, "?")
    return StorageError(
        f"The folder of running processes cannot be used ({name}).", reason="storage_full" if full else ""
    )


def _nothing() -> None:
    return None
