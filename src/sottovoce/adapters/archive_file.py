"""A file outside the home, named by the operator, for an old part of the audit log.

Rules upheld here:
1. It is a new file: what is there already is never overwritten, and no link is followed.
2. It is on the disk, under its name, before write() returns: the log gives up nothing before that. A writing that
   failed leaves no file.
3. It is readable by its owner alone: mode 0600. It holds pseudonyms and ciphertext.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from sottovoce.audit.archive import MAXIMUM_LINE_BYTES
from sottovoce.durable import create_private, sync_folder
from sottovoce.errors import Conflict, InputUnreadable, StorageError

_BUFFER_BYTES = 1 << 20


class LocalArchiveFile:
    """Port `ArchiveFile` on a path."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    def write(self, lines: Iterable[bytes]) -> None:
        fd = self._created()
        try:
            with os.fdopen(fd, "wb", buffering=_BUFFER_BYTES) as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._path.parent)
        except BaseException as error:
            with suppress(OSError):
                self._path.unlink()
            if isinstance(error, OSError):
                raise _not_written() from None
            raise

    def lines(self) -> Iterator[bytes]:
        with self._opened() as file:
            while line := file.readline(MAXIMUM_LINE_BYTES + 1):
                yield line

    def __repr__(self) -> str:
        return "LocalArchiveFile(...)"

    def _created(self) -> int:
        try:
            return create_private(self._path)
        except FileExistsError:
            raise Conflict(
                "The file exists already.", hint="Name another one, or remove it first.", reason="file_exists"
            ) from None
        except (OSError, ValueError):
            raise _not_written() from None

    def _opened(self) -> BinaryIO:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            raise InputUnreadable(
                "The file does not exist or may not be read.", hint="Check the path and its permissions."
            ) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InputUnreadable(
                "This is not a regular file.", hint="Name a file, not a folder or a device."
            )
        return os.fdopen(fd, "rb", buffering=_BUFFER_BYTES)


def _not_written() -> StorageError:
    return StorageError(
        "The archive cannot be written there; nothing was taken out of the log.",
        hint="Check the folder, its permissions and its free space.",
        reason="archive_not_written",
    )
