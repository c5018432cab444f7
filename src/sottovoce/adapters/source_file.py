"""The caller's own file: opened once, never copied, unlinked only while its name still means the same file.

Rules upheld here:
1. Opened O_RDONLY | O_NONBLOCK | O_CLOEXEC, so that a pipe or a device cannot make us wait; then refused unless it
   is a regular file.
2. `discard()` compares device, inode, size and time of change before it unlinks, fsyncs the folder, looks again.
3. No message names the file: names of files say who people are.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sottovoce.durable import sync_folder
from sottovoce.errors import InputUnreadable

_PIECE_BYTES = 1 << 18


@dataclass(frozen=True)
class SourceFile:
    """Port `Source` over a file of this machine."""

    path: Path = field(repr=False)
    fd: int
    size_bytes: int
    modified_ns: int

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer from where the last read ended; how many bytes, 0 at the end."""
        try:
            return os.readv(self.fd, [buffer])
        except OSError as error:
            raise _unreadable(error) from None

    def digest(self) -> str:
        """SHA-256 of the content, hexadecimal. One buffer, zeroed afterwards: it held audio."""
        summary, buffer, offset = hashlib.sha256(), bytearray(_PIECE_BYTES), 0
        view = memoryview(buffer)
        try:
            while count := os.preadv(self.fd, [view], offset):
                summary.update(view[:count])
                offset += count
        except OSError as error:
            raise _unreadable(error) from None
        finally:
            view[:] = bytes(_PIECE_BYTES)
        return summary.hexdigest()

    def discard(self) -> bool:
        """Unlink the file; True once its name is gone, False where it could not or must not be unlinked."""
        try:
            if not self._still_there() or not self.unchanged():
                return False
            self.path.unlink()
            sync_folder(self.path.parent)
            return not self._still_there()
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def identity(self) -> bytes:
        """What tells this version of this file from every other on this machine: its place, size and time of change.
        For who has to know what was done before without reading the whole of it again."""
        place = os.fsencode(self.path.resolve())
        return b"%d\0%d\0%b" % (self.size_bytes, self.modified_ns, place)

    def unchanged(self) -> bool:
        """Whether nobody has written to the file since it was opened: what was added is not ours to remove."""
        status = os.fstat(self.fd)
        return (status.st_size, status.st_mtime_ns) == (self.size_bytes, self.modified_ns)

    def _still_there(self) -> bool:
        try:
            named = self.path.lstat()
        except FileNotFoundError:
            return False
        opened = os.fstat(self.fd)
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


@contextmanager
def open_source(path: Path, *, follow: bool = True) -> Iterator[SourceFile]:
    """The file, open for the length of the block; a symbolic link is followed unless `follow` is False.

    InputUnreadable with reason `file_missing`, `not_a_file`, `file_forbidden` or `file_unreadable`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    except (OSError, ValueError) as error:
        raise _unreadable(error) from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise InputUnreadable(
                "This is not a regular file.", hint="Give the path of a recording.", reason="not_a_file"
            )
        yield SourceFile(path, fd, status.st_size, status.st_mtime_ns)
    finally:
        os.close(fd)


def _unreadable(error: OSError | ValueError) -> InputUnreadable:
    match getattr(error, "errno", None):
        case errno.ENOENT | errno.ENOTDIR:
            return InputUnreadable("There is no such file.", hint="Check the path.", reason="file_missing")
        case errno.EACCES | errno.EPERM:
            return InputUnreadable(
                "The file may not be read by this user.",
                hint="Check its permissions.",
                reason="file_forbidden",
            )
        case errno.EISDIR | errno.ENXIO | errno.ELOOP:
            return InputUnreadable(
                "This is not a regular file.", hint="Give the path of a recording.", reason="not_a_file"
            )
        case _:
            return InputUnreadable(
                "The file cannot be read.", hint="Check its disk.", reason="file_unreadable"
            )
