"""Paths of bodies: relative, made of ids, safe in a file system and in an object store's keys."""

from __future__ import annotations

import re

from sottovoce.errors import UsageError

PART = ".part"  # ends the name of a body that is still being written; no finished body has such a name
_PATTERN = re.compile(r"[a-z0-9_.-]+(?:/[a-z0-9_.-]+)*")
_LONGEST = 200  # characters; file systems take 255 bytes a name


def check_path(path: str) -> str:
    """The path itself; UsageError where it is not relative, of `[a-z0-9_./-]`, without `.` and `..` as parts."""
    parts = path.split("/")
    if len(path) > _LONGEST or not _PATTERN.fullmatch(path) or any(set(part) == {"."} for part in parts):
        raise UsageError(
            "This is not the path of a stored body.", hint="Paths are relative, of a-z, 0-9 and _ . / -"
        )
    return path


def is_part(path: str) -> bool:
    """Whether a body of that path is an unfinished one."""
    return path.endswith(PART)


def check_new_path(path: str) -> str:
    """Like check_path, for a body that is to be written."""
    if is_part(check_path(path)):
        raise UsageError(f"The path of a stored body does not end in {PART}.")
    return path
