"""Files that are whole, private and on the medium: the few steps that every adapter takes alike.

Rules upheld here:
1. A new file is for its owner alone (0600) from its first byte, never replaces another and follows no link.
2. A write that the system cuts short is continued: all bytes, or an error.
3. A file is durable when it was fsynced; its name, when its folder was.

Plain OSError comes out of here: what a failed step means is for the adapter to say, in its own words.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

_ZEROS = memoryview(bytes(1 << 20))
# What the systems answer where O_TMPFILE, or linking such a file, is not to be had (open(2), linkat(2)).
_NO_ANONYMOUS = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.EXDEV, errno.EPERM, errno.ENOENT)


def create_private(path: Path) -> int:
    """Descriptor of a new, empty file, for reading and writing. FileExistsError where the name is taken."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)


def create_anonymous(folder: Path) -> int | None:
    """The same without a name, gone with its descriptor unless give_name() is called; None where the file system has
    no such files."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if no_anonymous_files(error):
            return None
        raise


def give_name(fd: int, path: Path) -> None:
    """Link the open file under a name. FileExistsError where that is taken: nothing is ever replaced."""
    # With a descriptor of a folder Python calls linkat(AT_SYMLINK_FOLLOW), as proc(5) has it; it is not used otherwise.
    os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)


def no_anonymous_files(error: OSError) -> bool:
    return error.errno in _NO_ANONYMOUS


def write_all(fd: int, data: bytes | bytearray | memoryview, /) -> None:
    left = memoryview(data).cast("B")
    while left:
        left = left[os.write(fd, left) :]


def sync_file(path: Path) -> None:
    _sync(path, os.O_NOFOLLOW)


def sync_folder(folder: Path) -> None:
    """Names that were given, taken or changed in the folder stay so."""
    _sync(folder, os.O_DIRECTORY)


def fill_with_zeros(path: Path) -> None:
    """Zeros in the place of every byte, durably. FileNotFoundError. It holds for the file; blocks that an SSD or a
    copy-on-write file system keeps are not reached."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        left = os.fstat(fd).st_size
        while left > 0:
            left -= os.write(fd, _ZEROS[: min(left, len(_ZEROS))])
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
