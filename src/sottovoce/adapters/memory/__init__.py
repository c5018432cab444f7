"""Every port as a working fake in memory: for our tests and for those of people who build on sottovoce.

They keep the promises written on the ports (the same suites run over them and over the real adapters); they
keep nothing when the process ends. A file per port; those of the database by the tables that they are about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sottovoce.adapters.memory.blobs import MemoryBlobs
from sottovoce.adapters.memory.clock import FixedClock, SeededEntropy
from sottovoce.adapters.memory.database import MemoryDatabase
from sottovoce.adapters.memory.extractor import InlineExtractor
from sottovoce.adapters.memory.keys import MemoryKeys, MemoryKeyStore
from sottovoce.adapters.memory.liveness import MemoryLiveness
from sottovoce.adapters.memory.models import MemoryModels
from sottovoce.adapters.memory.tombstones import MemoryTombstones
from sottovoce.adapters.memory.unit_of_work import MemoryUnitOfWork
from sottovoce.adapters.memory.witness import MemoryWitness

__all__ = [
    "FixedClock",
    "InlineExtractor",
    "MemoryBlobs",
    "MemoryDatabase",
    "MemoryKeyStore",
    "MemoryKeys",
    "MemoryLiveness",
    "MemoryModels",
    "MemoryTombstones",
    "MemoryUnitOfWork",
    "MemoryWitness",
    "SeededEntropy",
]

if TYPE_CHECKING:
    from sottovoce import ports

    def _keep_the_ports(
        database: MemoryDatabase, blobs: MemoryBlobs, witness: MemoryWitness, models: MemoryModels
    ) -> tuple[ports.Database, ports.Blobs, ports.Witness, ports.Models]:
        return database, blobs, witness, models
