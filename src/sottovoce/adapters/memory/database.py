"""Port `Database` in memory: every table a dictionary, every transaction on a copy of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sottovoce.adapters.memory.tables import Tables
from sottovoce.adapters.memory.unit_of_work import MemoryUnitOfWork
from sottovoce.errors import StorageError
from sottovoce.ports import (
    Clock,
)


class MemoryDatabase:
    """A whole database in memory: one writer at a time, snapshots for readers, real rollback.

    `clock` gives the database time (default: the system's); `offset` is added to it. Set `disk_full` to True and
    every writing transaction fails with `storage_full` at its end, until free_reserve() has given room once.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        offset: timedelta | Callable[[], timedelta] = timedelta(0),
        busy_timeout_s: float = 5.0,
    ) -> None:
        self.disk_full = False
        self._clock = clock
        self._offset = offset if callable(offset) else lambda: offset
        self._busy_timeout_s = busy_timeout_s
        self._writer = threading.Lock()
        self._reserve = True
        self._state: tuple[dict[str, dict[Any, Any]], dict[str, int]] = (
            {name: {} for name in Tables.NAMES}, {},
        )  # fmt: skip

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[MemoryUnitOfWork]:  # noqa: ARG002
        if not self._writer.acquire(timeout=self._busy_timeout_s):
            raise StorageError(
                "Another transaction is writing and did not finish in time.",
                reason="storage_locked",
                hint="Try again when the other one has finished.",
            )
        try:
            tables = Tables(*Tables(*self._state, writable=False).copy(), writable=True)
            yield MemoryUnitOfWork(tables, now=self._now)
            self._check_room()
            self._state = ({name: table.rows for name, table in tables.by_name.items()}, tables.counters)
        finally:
            self._writer.release()

    @contextmanager
    def read(self) -> Iterator[MemoryUnitOfWork]:
        # What is committed is never changed in place, so the snapshot is the state itself.
        yield MemoryUnitOfWork(Tables(*self._state, writable=False), now=self._now)

    def tidy(self) -> None:
        """Nothing to do: a deleted row is gone with the dictionary that held it."""

    def free_reserve(self) -> bool:
        was_there, self._reserve = self._reserve, False
        return was_there

    def close(self) -> None:
        """Nothing to do."""

    def _now(self) -> datetime:
        now = datetime.now(UTC) if self._clock is None else self._clock.now()
        return now + self._offset()

    def _check_room(self) -> None:
        if self.disk_full and self._reserve:
            raise StorageError("The disk is full; nothing was written.", reason="storage_full")
