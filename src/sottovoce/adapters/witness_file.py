"""A witness that is a file: checkpoints appended, one after the other with an empty line between.

It is worth what its place is worth: on a disk of another machine, or append-only (`chattr +a`), or owned by an account
that the database's writer is not. The file is only ever appended to; each checkpoint is on the disk when deliver()
returns.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

from sottovoce.durable import write_all
from sottovoce.errors import StorageError


class FileWitness:
    """Port `Witness` on a file. Its folder has to be there: a folder that is missing is not mounted."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self.name = "file-" + hashlib.sha256(os.fsencode(self._path)).hexdigest()[:8]

    def deliver(self, checkpoint: str) -> None:
        try:
            self._append(checkpoint.encode())
        except OSError:
            raise StorageError(
                "The witness file cannot be written.",
                hint="Check that its folder is there, mounted and writable.",
                reason="witness_unreachable",
            ) from None

    def _append(self, note: bytes) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            write_all(fd, _gap(fd) + note)
            os.fsync(fd)
        finally:
            os.close(fd)


def _gap(fd: int) -> bytes:
    """The empty line before a note; also after a note that a full disk cut short, so that the next one is whole."""
    size = os.fstat(fd).st_size
    if not size:
        return b""
    return b"\n" if os.pread(fd, 1, size - 1) == b"\n" else b"\n\n"
