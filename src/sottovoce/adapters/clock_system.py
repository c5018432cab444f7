"""Time and randomness of the operating system."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path


class SystemClock:
    """The wall clock for people, the monotonic one for waiting. Inside a transaction only `tx.now()` counts."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()

    def since_boot(self) -> tuple[str, float]:
        return _boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class OsEntropy:
    """getrandom(2): fit for keys and ids."""

    def __call__(self, size_bytes: int, /) -> bytes:
        return os.urandom(size_bytes)
