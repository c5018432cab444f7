"""Port `Liveness` in memory."""

from __future__ import annotations

import os
from collections.abc import Callable

from sottovoce.errors import UsageError
from sottovoce.model.ids import check_id, new_id


class MemoryLiveness:
    """Processes that share one set: whoever is in it runs. close() is the end of a process."""

    def __init__(
        self, running: set[str] | None = None, *, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._running = set() if running is None else running
        self._random_bytes = random_bytes
        self._own: str | None = None

    def owner(self) -> str:
        if self._own is None:
            self._own = new_id("owner", self._random_bytes)
            self._running.add(self._own)
        return self._own

    def alive(self, owner: str) -> bool:
        return owner in self._running or not _is_owner(owner)

    def close(self) -> None:
        if self._own is not None:
            self._running.discard(self._own)
            self._own = None


def _is_owner(value: str) -> bool:
    try:
        return check_id(value, "owner") == value
    except UsageError:
        return False
