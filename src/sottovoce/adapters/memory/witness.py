"""Port `Witness` in memory."""

from __future__ import annotations

from sottovoce.errors import StorageError


class MemoryWitness:
    """A witness that keeps what it is given in a list. Set `reachable` to False: it is "down"."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.reachable = True
        self.kept: list[str] = []

    def deliver(self, checkpoint: str) -> None:
        if not self.reachable:
            raise StorageError("The witness does not answer.", reason="witness_unreachable")
        self.kept.append(checkpoint)
