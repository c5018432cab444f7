"""Facts of the machine that matter to a promise: swap, core dumps, permissions, free space."""

from __future__ import annotations

import os
import resource
import stat
from pathlib import Path

_SWAPS = Path("/proc/swaps")


def active_swaps() -> tuple[str, ...]:
    """Swap areas in use that are not known to be encrypted (a dm-crypt device counts as encrypted)."""
    try:
        lines = _SWAPS.read_text().splitlines()[1:]
    except OSError:
        return ()
    areas = [line.split()[0] for line in lines if line.strip()]
    return tuple(area for area in areas if not _encrypted(area))


def on_another_disk(folder: Path, home: Path) -> bool:
    """Whether a folder is on another file system than the home; False where either cannot be looked at."""
    try:
        return folder.stat().st_dev != home.stat().st_dev
    except OSError:
        return False


def free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def open_to_others(folder: Path) -> tuple[str, ...]:
    """Names directly below the folder (and the folder itself, as ".") that group or others may read."""
    shared = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
    found = ["."] if folder.stat().st_mode & shared else []
    return tuple(found + sorted(p.name for p in folder.iterdir() if p.stat().st_mode & shared))


def core_dumps_possible() -> bool:
    """Whether this process could leave its memory in a core file (the sealed child forbids it for itself)."""
    return resource.getrlimit(resource.RLIMIT_CORE)[0] != 0


def _encrypted(area: str) -> bool:
    """Whether a swap area is a dm-crypt mapping: /sys/block/dm-N/dm/uuid begins with CRYPT-."""
    device = Path(area).resolve().name
    try:
        return Path(f"/sys/block/{device}/dm/uuid").read_text().startswith("CRYPT-")
    except OSError:
        return False
