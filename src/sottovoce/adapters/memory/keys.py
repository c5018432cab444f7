"""Ports `Keys` and `KeyStore` in memory."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sottovoce.errors import Conflict, KeyUnavailable
from sottovoce.model.keys import EpochRow, KeyRow
from sottovoce.model.tombstones import TombstoneHead
from sottovoce.sealing.keytree import unwrap_key, wrap_key


class MemoryKeys:
    """A key provider that forgets everything when the process ends. Set `available` to False: it is "down"."""

    def __init__(self, *, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self.available = True
        self._random_bytes = random_bytes
        self._keks: dict[int, bytes] = {}

    def create(self, epoch: int) -> None:
        self._check_available()
        self._keks.setdefault(epoch, self._random_bytes(32))

    def wrap(self, epoch: int, key: bytes, context: bytes) -> bytes:
        return wrap_key(self._kek(epoch), key, context, random_bytes=self._random_bytes)

    def unwrap(self, epoch: int, wrapped: bytes, context: bytes) -> bytes:
        return unwrap_key(self._kek(epoch), wrapped, context)

    def destroy(self, epoch: int) -> None:
        self._check_available()
        self._keks.pop(epoch, None)

    def epochs(self) -> tuple[int, ...]:
        self._check_available()
        return tuple(sorted(self._keks))

    def describe(self) -> dict[str, str]:
        return {
            "provider": "memory",
            "protection": "none: keys live in this process only",
            "destruction": "at once, with everything else, when the process ends",
        }

    def destruction_wait(self) -> timedelta:
        return timedelta(0)

    def _kek(self, epoch: int) -> bytes:
        self._check_available()
        if epoch not in self._keks:
            raise KeyUnavailable(f"The provider has no key for epoch {epoch}.", reason="key_file_missing")
        return self._keks[epoch]

    def _check_available(self) -> None:
        if not self.available:
            raise KeyUnavailable("The key provider does not answer.", reason="provider_down")


class MemoryKeyStore:
    """Rows of wrapped keys in two dictionaries, under one lock."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._epochs: dict[int, EpochRow] = {}
        self._rows: dict[str, KeyRow] = {}
        self._followed: TombstoneHead | None = None

    def epochs(self) -> tuple[EpochRow, ...]:
        with self._lock:
            return tuple(self._epochs[number] for number in sorted(self._epochs))

    def begin_epoch(
        self, epoch: int, wrapped_ek: bytes, *, at: datetime, ends_by: datetime | None = None
    ) -> None:
        with self._lock:
            if self._epochs and epoch <= max(self._epochs):
                raise Conflict("That epoch is not newer than those the key store has.", reason="epoch_exists")
            retired = {number: replace(row, current=False) for number, row in self._epochs.items()}
            self._epochs = {**retired, epoch: EpochRow(epoch, wrapped_ek, True, at, ends_by)}

    def insert(self, rows: Sequence[KeyRow]) -> None:
        with self._lock:
            if any(not self._is_current(row.epoch) for row in rows):
                raise Conflict("The epoch of a key row is not the current one.", reason="epoch_retired")
            new = {row.key_id: row for row in rows}
            if len(new) < len(rows) or new.keys() & self._rows.keys():
                raise Conflict("A key of that id exists already.", reason="key_exists")
            self._rows.update(new)

    def get(self, key_ids: Sequence[str]) -> dict[str, KeyRow]:
        with self._lock:
            return {key_id: self._rows[key_id] for key_id in key_ids if key_id in self._rows}

    def delete(self, key_ids: Sequence[str]) -> int:
        with self._lock:
            return sum(self._rows.pop(key_id, None) is not None for key_id in key_ids)

    def delete_subject(self, subject_id: str) -> int:
        with self._lock:
            return self.delete([row.key_id for row in self._rows.values() if row.subject_id == subject_id])

    def list(self, *, subject_id: str | None = None) -> Iterator[KeyRow]:
        with self._lock:
            rows = sorted(self._rows.values(), key=lambda row: row.key_id)
        return iter([row for row in rows if subject_id in (None, row.subject_id)])

    def rows_in_epoch(self, epoch: int, *, limit: int) -> tuple[KeyRow, ...]:
        with self._lock:
            return tuple(itertools.islice((r for r in self._rows.values() if r.epoch == epoch), limit))

    def rewrap(self, rows: Sequence[KeyRow], *, from_epoch: int) -> int:
        with self._lock:
            live = [row for row in rows if self._stands_in(row.key_id, from_epoch)]
            for row in live:
                self._rows[row.key_id] = replace(self._rows[row.key_id], epoch=row.epoch, wrapped=row.wrapped)
            return len(live)

    def drop_epoch(self, epoch: int) -> None:
        with self._lock:
            if self._is_current(epoch) or any(row.epoch == epoch for row in self._rows.values()):
                raise Conflict("That epoch is still in use.", reason="epoch_in_use")
            self._epochs.pop(epoch, None)

    def followed(self) -> TombstoneHead | None:
        return self._followed

    def set_followed(self, head: TombstoneHead) -> None:
        self._followed = head

    def _is_current(self, epoch: int) -> bool:
        return epoch in self._epochs and self._epochs[epoch].current

    def _stands_in(self, key_id: str, epoch: int) -> bool:
        return key_id in self._rows and self._rows[key_id].epoch == epoch
