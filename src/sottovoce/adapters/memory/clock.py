"""Ports `Clock` and `Entropy` for tests: time that is told to move, bytes that come again."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime, timedelta


class FixedClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, at: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._at = at
        self._elapsed_s = 0.0

    def now(self) -> datetime:
        return self._at

    def monotonic_s(self) -> float:
        return self._elapsed_s

    def since_boot(self) -> tuple[str, float]:
        return "fixed", self._elapsed_s

    def jump(self, by: timedelta) -> None:
        """Set the wall clock, as somebody might who may: no time passes."""
        self._at += by

    def advance(self, by: timedelta | float) -> None:
        """Move on by a timedelta or by seconds."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        self._at += step
        self._elapsed_s += step.total_seconds()


class SeededEntropy:
    """Reproducible bytes: SHA-256 over seed and counter. For tests only: whoever knows the seed knows the keys."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._counter = itertools.count()

    def __call__(self, size_bytes: int, /) -> bytes:
        blocks = (self._block() for _ in range(-(-size_bytes // 32)))
        return b"".join(blocks)[:size_bytes]

    def _block(self) -> bytes:
        return hashlib.sha256(f"sottovoce seed {self._seed} {next(self._counter)}".encode()).digest()
