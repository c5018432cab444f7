"""The recordings that `make models` learns from and is judged on: their features, speakers and labels.

Read from ../shared/data by its MANIFEST.csv. Features come from our own extractor, in the float32 form in which they
are stored; recordings without voice (fewer than 20 voiced frames) are left out and counted, as the product does.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

import sottovoce
from sottovoce.errors import SottovoceError
from sottovoce.learning.units import Speakers
from sottovoce.model.canonical import canonical_json

MOST_ANALYSED_S = 30


@dataclass(frozen=True, slots=True)
class Recordings:
    """Recordings with voice, in the order of the manifest."""

    rows: NDArray[np.float32] = field(repr=False)  # (n, 88)
    facts: tuple[dict[str, str], ...] = field(repr=False)  # the manifest's row of each
    asked: int  # how many there were before those without voice were left out

    def __len__(self) -> int:
        return len(self.facts)

    def column(self, name: str) -> list[str]:
        return [one[name] for one in self.facts]

    @property
    def speakers(self) -> Speakers:
        return Speakers.of(self.column("speaker"))

    def take(self, which: NDArray[np.intp]) -> Recordings:
        return Recordings(self.rows[which], tuple(self.facts[i] for i in which), len(which))

    def sha256(self, label: str) -> str:
        """Of file hash, speaker and label of every recording, in one order whatever the folder's is."""
        said = sorted((one["sha256"], one["speaker"], one[label]) for one in self.facts)
        return hashlib.sha256(canonical_json([list(one) for one in said])).hexdigest()


def manifest(data: Path) -> list[dict[str, str]]:
    with (data / "MANIFEST.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read(data: Path, wanted: Callable[[dict[str, str]], bool], *, profile: str) -> Recordings:
    """The bona fide recordings that are wanted, measured."""
    chosen = [row for row in manifest(data) if row["label"] == "bonafide" and wanted(row)]
    found = [
        (row, measured) for row in chosen if (measured := _measured(data / row["file"], profile)) is not None
    ]
    values = np.array([values for _, values in found], dtype=np.float32).reshape(-1, 88)
    return Recordings(values, tuple(row for row, _ in found), len(chosen))


def louder(data: Path, recordings: Recordings, gain_db: float, *, profile: str) -> Recordings:
    """The same recordings as a recorder would give them whose gain is `gain_db` higher; full scale is its end."""
    found = [(one, _measured(data / one["file"], profile, gain_db)) for one in recordings.facts]
    kept = [(one, values) for one, values in found if values is not None]
    rows = np.array([values for _, values in kept], dtype=np.float32).reshape(-1, 88)
    return Recordings(rows, tuple(one for one, _ in kept), len(found))


def of_set(name: str, *, known: str) -> Callable[[dict[str, str]], bool]:
    """Recordings of one set whose speaker is named and whose label `known` is."""
    return lambda row: row["file"].split("/")[0] == name and bool(row["speaker"]) and bool(row[known])


def together(parts: Sequence[Recordings]) -> Recordings:
    rows = np.concatenate([part.rows for part in parts])
    facts = tuple(fact for part in parts for fact in part.facts)
    return Recordings(rows, facts, sum(part.asked for part in parts))


def _measured(path: Path, profile: str, gain_db: float = 0.0) -> tuple[float, ...] | None:
    """The 88 values, or None where there is no voice or no measurable sound."""
    with soundfile.SoundFile(path) as file:
        samples = file.read(MOST_ANALYSED_S * file.samplerate, dtype="float32", always_2d=True)[:, 0]
        rate_hz = file.samplerate
    if gain_db:
        samples = np.clip(samples * np.float32(10 ** (gain_db / 20)), -1, 1)
    try:
        found = sottovoce.egemaps(samples, rate_hz, profile)
    except SottovoceError:
        return None
    return found.values if found.quality.has_voice else None
