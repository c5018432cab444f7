"""The hall on the shipped fakes: a whole platform in memory, with a clock that tests move."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce.adapters.clock_system import SystemClock
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
from sottovoce.model.features import Extraction, FeatureVector, Quality, SandboxLevel
from sottovoce.model.keys import KeyRow
from sottovoce.model.outcome import Analysis, Submission
from sottovoce.model.purpose import MODEL_TRAINING, RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import Recording
from sottovoce.model.subject import Caller
from sottovoce.ports import Descriptor, ExtractOptions, SealedBody
from sottovoce.settings import Settings
from sottovoce.usecases.keyring import Keyring, NewKey
from sottovoce.usecases.record import Ask

ALL = (VOICE_RECORDING, VOICE_ANALYSIS, RETENTION)
CALLER = Caller(actor="tester", channel="test")


def some_extraction(*, voiced_frames: int = 500) -> Extraction:
    features = FeatureVector(
        values=tuple(20.0 + i / 7 for i in range(88)),
        profile="compat",
        version="egemaps-88/1",
        sample_rate_hz=16000,
    )
    quality = Quality(
        duration_s=11.0, voiced_frames=voiced_frames, clipped_share=0.0, snr_db=31.5, source_codec="wav/pcm_16",
        source_rate_hz=16000, source_channels=1, channel="0", flags=(),
    )  # fmt: skip
    return Extraction(features, quality)


@dataclass
class ScriptedExtractor(InlineExtractor):
    """Answers with one extraction; `before` runs inside, to interleave; `failing` is raised instead."""

    extraction: Extraction = field(default_factory=some_extraction)
    failing: list[BaseException] = field(default_factory=list)
    before: Callable[[], None] | None = None
    sources: list[Descriptor | SealedBody] = field(default_factory=list)

    def level(self) -> SandboxLevel:
        return "rlimits"

    def extract(self, source: Descriptor | SealedBody, options: ExtractOptions) -> Extraction:
        self.sources.append(source)
        if self.before is not None:
            self.before()
        if self.failing:
            raise self.failing.pop(0)
        return self.extraction

    def close(self) -> None:
        return


@dataclass
class MemorySource:
    """A source whose bytes are in memory; `unlinked` tells what became of it."""

    data: bytes = b"RIFF" + bytes(range(256)) * 40
    fd: int = -1
    unlinked: bool = False

    def __post_init__(self) -> None:
        self._stream = io.BytesIO(self.data)

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def discard(self) -> bool:
        self.unlinked = True
        return True

    def read_into(self, buffer: memoryview) -> int:
        return self._stream.readinto(buffer)


@dataclass
class Hall:
    """A platform on fakes, with short words for what tests say often."""

    platform: Platform
    adapters: Adapters
    clock: FixedClock
    extractor: ScriptedExtractor
    database: MemoryDatabase
    bodies: MemoryBlobs

    caller = CALLER
    source = MemorySource

    def grant(self, subject: str = "anna", purposes: Sequence[str] = ALL) -> None:
        self.platform.grant(subject=subject, purposes=purposes, caller=CALLER)

    def analyze(self, subject: str = "anna", source: MemorySource | None = None, **ask: object) -> Analysis:
        wanted = Ask(subject=subject, **ask)  # type: ignore[arg-type]
        return self.platform._record.analyze(source or MemorySource(), wanted, caller=CALLER)

    def submit(self, subject: str = "anna", source: MemorySource | None = None, **ask: object) -> Submission:
        given = source or MemorySource()
        wanted = Ask(subject=subject, **ask)  # type: ignore[arg-type]
        return self.platform._record.submit(given.read_into, wanted, caller=CALLER)

    def recording(self, session_id: str) -> Recording | None:
        with self.database.read() as tx:
            return tx.recordings.get(session_id)

    def recordings(self, subject: str = "anna") -> tuple[Recording, ...]:
        with self.database.read() as tx:
            person = self.platform._record.people.find(tx, subject)
            return tx.recordings.of_subject(person.id) if person else ()

    def kinds_of_events(self) -> list[str]:
        self.platform._number()
        with self.database.read() as tx:
            return [event.kind for event in tx.events.iterate()]

    def advance(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))

    def person(
        self, name: str, *, recordings: int = 1, purposes: Sequence[str] = (*ALL, MODEL_TRAINING)
    ) -> list[str]:
        """Somebody who agrees to the training of models too, with some recordings; their sessions."""
        self.grant(name, purposes)
        return [self.analyze(name).session_id for _ in range(recordings)]

    def begin_round(
        self, folder: Path, model: str = "tone", name: str = "", **given: Any
    ) -> tuple[Any, list[dict[str, str]]]:
        """A round of training, and the rows of its table."""
        out = folder / (name or f"{model}-{len(list(folder.iterdir()))}.csv")
        done = self.platform.begin_training(model=model, out=out, caller=CALLER, **given)
        return done, list(csv.DictReader(io.StringIO(out.read_text())))

    @staticmethod
    def stored(vector: FeatureVector) -> FeatureVector:
        """What is left of a vector when it was stored: float32."""
        return FeatureVector.from_float32_bytes(
            vector.to_float32_bytes(), profile=vector.profile, version=vector.version,
            sample_rate_hz=vector.sample_rate_hz,
        )  # fmt: skip

    def audio_left(self) -> tuple[int, int]:
        """(bodies, keys of recordings) that still exist."""
        keys = [row for row in self.platform.keyring.rows() if row.kind == "recording"]
        return len(list(self.bodies.list())), len(keys)


def make_hall(home: Path, *, seed: int = 7, **settings: object) -> Hall:
    clock = FixedClock()
    database, bodies, extractor = (
        MemoryDatabase(clock=clock),
        MemoryBlobs(clock=clock.now),
        ScriptedExtractor(),
    )
    adapters = Adapters(
        database=database, keys=MemoryKeys(), long_lived=MemoryKeyStore(), short_lived=MemoryKeyStore(),
        bodies=bodies, receipt_copies=MemoryBlobs(clock=clock.now), extractor=extractor,
        liveness=MemoryLiveness(), clock=clock, entropy=SeededEntropy(seed),
    )  # fmt: skip
    home.mkdir(parents=True, exist_ok=True)
    platform = assemble(adapters, Settings(home=home, **settings))  # type: ignore[arg-type]
    return Hall(platform, adapters, clock, extractor, database, bodies)


@pytest.fixture
def new_hall(tmp_home: Path) -> Callable[..., Hall]:
    return lambda home=tmp_home, **settings: make_hall(home, **settings)


@pytest.fixture
def hall(new_hall: Callable[..., Hall]) -> Iterator[Hall]:
    made = new_hall()
    yield made
    made.platform.close()


# --- two keyrings at the same time ------------------------------------------------------------------------------


class HookedStore(MemoryKeyStore):
    """A key store in which something happens just before, or just after, a call of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.before_insert: list[Callable[[], object]] = []
        self.after_get: list[Callable[[], object]] = []
        self.before_begin: list[Callable[[], object]] = []
        self.after_page: list[Callable[[], object]] = []

    def insert(self, rows: Sequence[KeyRow]) -> None:
        happen(self.before_insert)
        super().insert(rows)

    def get(self, key_ids: Sequence[str]) -> dict[str, KeyRow]:
        rows = super().get(key_ids)
        happen(self.after_get)
        return rows

    def begin_epoch(
        self, epoch: int, wrapped_ek: bytes, *, at: datetime, ends_by: datetime | None = None
    ) -> None:
        happen(self.before_begin)
        super().begin_epoch(epoch, wrapped_ek, at=at, ends_by=ends_by)

    def rows_in_epoch(self, epoch: int, *, limit: int) -> tuple[KeyRow, ...]:
        rows = super().rows_in_epoch(epoch, limit=limit)
        happen(self.after_page)
        return rows


def happen(planned: list[Callable[[], object]]) -> None:
    if planned:
        planned.pop(0)()


@pytest.fixture
def pair() -> tuple[Keyring, Keyring, HookedStore]:
    """Two processes over one home with a key `r1` of `sub_anna`, and its long-lived store."""
    provider, store, short_lived = MemoryKeys(), HookedStore(), MemoryKeyStore()
    ours, other = (
        Keyring(
            provider=provider, long_lived=store, short_lived=short_lived, random_bytes=os.urandom,
            clock=SystemClock(), ek_cache_s=ek_cache_s,
        )
        for ek_cache_s in (0.0, 300.0)
    )  # fmt: skip
    ours.set_up()
    ours.make_subject("sub_anna")
    ours.new_key(NewKey("record", "features", "sub_anna", "r1"))
    return ours, other, store
