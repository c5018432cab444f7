"""A home on the shipped fakes, which can be opened again on the same stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sottovoce.adapters.memory import (
    FixedClock,
    InlineExtractor,
    MemoryBlobs,
    MemoryDatabase,
    MemoryKeys,
    MemoryKeyStore,
    MemoryLiveness,
    SeededEntropy,
)
from sottovoce.app import Adapters, Platform, assemble
from sottovoce.settings import Settings


@pytest.fixture
def adapters() -> Adapters:
    clock = FixedClock()
    return Adapters(
        database=MemoryDatabase(clock=clock), keys=MemoryKeys(), long_lived=MemoryKeyStore(),
        short_lived=MemoryKeyStore(), bodies=MemoryBlobs(clock=clock.now),
        receipt_copies=MemoryBlobs(clock=clock.now), extractor=InlineExtractor(), liveness=MemoryLiveness(),
        clock=clock, entropy=SeededEntropy(7),
    )  # fmt: skip


@pytest.fixture
def opened(tmp_path: Path, adapters: Adapters) -> Callable[[], Platform]:
    home = tmp_path / "home"
    home.mkdir()
    return lambda: assemble(adapters, Settings(home=home))


@pytest.fixture
def platform(opened: Callable[[], Platform]) -> Iterator[Platform]:
    with opened() as made:
        yield made
