"""Port `Tombstones` in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from sottovoce.errors import IntegrityError, StorageError
from sottovoce.model.tombstones import (
    SignedHead,
    TombstoneEntry,
    TombstoneHead,
    decode,
    decode_alone,
    encode,
    follow,
    head_line,
    parse_head_line,
)


class MemoryTombstones:
    """Lines in a list. Set `disk_full` to True: the first append uses the space kept aside, the next one fails."""

    def __init__(self) -> None:
        self.disk_full = False
        self.lines: list[bytes] = []  # of entries
        self.signed_lines: list[bytes] = []
        self.put_aside: list[bytes] = []  # lines of entries of files that were replaced
        self._reserve = True
        self._lock = threading.RLock()

    def append(self, entries: Sequence[TombstoneEntry]) -> TombstoneHead:
        with self._lock:
            head, lines = self.head(), []
            for entry in entries:
                lines.append(encode(entry, head))
                head = follow(lines[-1], head)
            if lines and self.disk_full:
                self._use_reserve()
            self.lines += lines
            return head

    def read(self, after: int = 0) -> Iterator[TombstoneEntry]:
        head = TombstoneHead()
        for line in list(self.lines):
            entry = decode(line, head)
            head = entry.head
            if entry.number > after:
                yield entry

    def legible(self) -> Iterator[TombstoneEntry]:
        for line in [*self.put_aside, *self.lines]:
            with suppress(IntegrityError):
                yield decode_alone(line)

    def replace(self, entries: Sequence[TombstoneEntry]) -> TombstoneHead:
        with self._lock:
            head, lines = TombstoneHead(), []
            for entry in entries:
                lines.append(encode(entry, head))
                head = follow(lines[-1], head)
            self.put_aside += self.lines
            self.lines, self.signed_lines = lines, []
            return head

    def chain(self) -> Iterator[TombstoneHead]:
        head = TombstoneHead()
        for line in list(self.lines):
            head = follow(line, head)
            yield head

    def head(self) -> TombstoneHead:
        return max(self.chain(), key=lambda head: head.count, default=TombstoneHead())

    def add_signed(self, signed: SignedHead) -> None:
        with self._lock:
            self.signed_lines.append(head_line(signed))

    def signed(self) -> Iterator[SignedHead]:
        yield from map(parse_head_line, list(self.signed_lines))

    def _use_reserve(self) -> None:
        if not self._reserve:
            raise StorageError("There is no space left for the tombstones.", reason="storage_full")
        self._reserve = False


if TYPE_CHECKING:
    from sottovoce import ports

    def _keeps_the_port(tombstones: MemoryTombstones) -> ports.Tombstones:
        return tombstones
