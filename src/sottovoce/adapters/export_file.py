"""The file that a person takes along: written in one step and readable by its owner alone, or not at all.

Rules upheld here:
1. Mode 0600 from its first byte, and no name before it is complete and durable: an anonymous file (O_TMPFILE) is
   linked into the folder; a kill leaves nothing. Where the file system has none, a file of its own beside it.
2. Nothing is ever overwritten.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from sottovoce.durable import (
    create_anonymous,
    create_private,
    give_name,
    no_anonymous_files,
    sync_folder,
    write_all,
)
from sottovoce.errors import InputUnreadable, StorageError, UsageError


def write_new(path: Path, data: bytes) -> None:
    """UsageError where the file exists or its folder does not; StorageError where the disk refuses."""
    if path.exists() or path.is_symlink():
        raise _exists()
    folder = path.parent if str(path.parent) else Path()
    try:
        _link_new(folder, path, data)
    except FileExistsError:
        raise _exists() from None
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError("The folder for the file does not exist.", hint="Make it first.") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError("The disk is full; no file was left.", reason="storage_full") from None
        raise StorageError(
            "The file cannot be written there.",
            hint="Check the folder and its permissions.",
            reason="export_file",
        ) from None


def remove(path: Path) -> None:
    """Take a file back that was written a moment ago."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def read(path: Path, *, limit_bytes: int) -> bytes:
    """The bytes of a regular file; InputUnreadable else, or where it is larger than the limit."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        raise InputUnreadable(
            "The file does not exist or may not be read.", hint="Check the path and its permissions."
        ) from None
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise InputUnreadable(
                "This is not a regular file.", hint="Name a file, not a folder or a device."
            )
        if status.st_size > limit_bytes:
            raise InputUnreadable(f"The file is larger than {limit_bytes >> 20} MiB.")
        return file.read(limit_bytes)


def _link_new(folder: Path, path: Path, data: bytes) -> None:
    if not _linked(folder, path, data):
        _rename_new(folder, path, data)
    sync_folder(folder)


def _linked(folder: Path, path: Path, data: bytes) -> bool:
    """False where this file system or kernel has no anonymous files that can be given a name."""
    fd = create_anonymous(folder)
    if fd is None:
        return False
    try:
        _write(fd, data)
        give_name(fd, path)
    except OSError as error:
        if no_anonymous_files(error):
            return False
        raise
    finally:
        os.close(fd)
    return True


def _rename_new(folder: Path, path: Path, data: bytes) -> None:
    """Without anonymous files: a hidden one beside it, linked under its name when it is complete."""
    hidden = folder / f".{secrets.token_hex(8)}.part"
    fd = create_private(hidden)
    try:
        try:
            _write(fd, data)
        finally:
            os.close(fd)
        os.link(hidden, path)  # unlike a rename, it never replaces anything
    finally:
        hidden.unlink(missing_ok=True)


def _write(fd: int, data: bytes) -> None:
    os.fchmod(fd, 0o600)
    write_all(fd, data)
    os.fsync(fd)


def _exists() -> UsageError:
    return UsageError("The file exists already.", hint="Name another one, or remove it first.")
