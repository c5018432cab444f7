"""Small text files that a person names: receipts, identities, notices."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sottovoce.errors import InputUnreadable, UsageError

MAXIMUM_BYTES = 1 << 20
MAXIMUM_LOG_BYTES = 1 << 28


def read_small(path: Path, *, maximum_bytes: int = MAXIMUM_BYTES) -> bytes:
    """The bytes of a regular file of at most 1 MiB; InputUnreadable else (never waits on a pipe)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        raise InputUnreadable(
            "The file does not exist or may not be read.", hint="Check the path and its permissions."
        ) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise InputUnreadable("This is not a regular file.", hint="Name a file, not a folder or a device.")
    with os.fdopen(fd, "rb") as file:
        data = file.read(maximum_bytes + 1)
    if len(data) > maximum_bytes:
        raise InputUnreadable(
            f"The file is larger than {maximum_bytes >> 20} MiB.",
            hint="Receipts, identities and notices are small.",
        )
    return data


def read_text(path: Path) -> str:
    """Like read_small, as text; bytes that are no UTF-8 are kept as they are for the verifier to refuse."""
    return read_small(path).decode("utf-8", errors="surrogateescape")


def read_log(path: Path) -> str:
    """What a witness kept: a file that grows, of at most 256 MiB; else like read_text."""
    return read_small(path, maximum_bytes=MAXIMUM_LOG_BYTES).decode("utf-8", errors="surrogateescape")


def write_new(path: Path, content: str | bytes) -> None:
    """Write a file that does not exist yet; UsageError where it does or cannot be made."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise UsageError("The file exists already.", hint="Name another one, or remove it first.") from None
    except OSError:
        raise UsageError(
            "The file cannot be written there.", hint="Check the folder and its permissions."
        ) from None


def make_folder(folder: Path) -> None:
    """The folder, where it is not there yet; UsageError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise UsageError(
            "The folder cannot be made there.", hint="Check the path and its permissions."
        ) from None
