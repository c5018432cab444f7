"""What it costs to run a model on a recording.

    python benchmarks/bench_inference.py [--rounds 40] [--record]

The model alone, of the two usual sizes, read before and read anew; the same inside the sealing child (a worked-off
recording with a model against one without, alternating, so that other work on the machine meets both); and what a home
pays that has nothing set. Medians; absolute figures depend on the machine.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from figures import record

from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.model.inference import ModelUse
from sottovoce.ports import Descriptor, ExtractOptions, Place
from sottovoce.voice.containers import BytesSource
from sottovoce.voice.models import inference as bench
from sottovoce.voice.models.network import About, make_network
from sottovoce.voice.models.write_tflite import write_tflite
from sottovoce.voice.pipeline import process

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"88-1": (), "88-128-64-1": (128, 64)}
KINDS = ("features", "insight", "decision")


def use_of(widths: tuple[int, ...]) -> ModelUse:
    dice = np.random.default_rng(1)
    layers, before = [], 88
    for width in (*widths, 1):
        layers.append((dice.normal(size=(width, before)) / before, dice.normal(size=width)))
        before = width
    network = make_network(
        mean=np.zeros(88), scale=np.full(88, 50.0), layers=layers, output="sigmoid",
        about=About("apparent_sex", ("female", "male"), "compat", "egemaps-88/1"),
    )  # fmt: skip
    data = write_tflite(network)
    return ModelUse(
        attribute="apparent_sex", sha256=hashlib.sha256(data).hexdigest(), card_sha256="0" * 64,
        feature_profile="compat", feature_version="egemaps-88/1", threshold=0.5, percent=90, guarantee="none",
        not_for="any use", demonstration=True, data=data,
    )  # fmt: skip


def median_us(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1e6)
    return statistics.median(taken)


def alone(rounds: int) -> list[tuple[str, str]]:
    result = process(BytesSource((ROOT / "src/sottovoce/data/jfk.flac").read_bytes()))
    rows = []
    for name, widths in SIZES.items():
        use = use_of(widths)

        def again(use: ModelUse = use) -> object:
            return bench.infer(use, result.features, result.quality)

        def anew(use: ModelUse = use) -> object:
            bench._network.cache_clear()
            return bench.infer(use, result.features, result.quality)

        again()
        rows.append(
            (f"{name} ({len(use.data):,} bytes), read before", f"{median_us(again, 5 * rounds):.0f} µs")
        )
        rows.append((f"{name}, read anew, as a child does", f"{median_us(anew, 5 * rounds):.0f} µs"))
    return rows


def sealed(rounds: int) -> list[tuple[str, str]]:
    """A clip of 1 s through both children, with and without a model."""
    clip = io.BytesIO()
    tone = np.sin(np.arange(16_000) * 2 * np.pi * 150 / 16_000) * 0.2
    soundfile.write(clip, tone, 16_000, format="WAV", subtype="PCM_16")
    plain = [Place(kind, "key", bytes(32), b"context") for kind in KINDS]
    taken: dict[bool, list[float]] = {False: [], True: []}
    model = Place("inference:apparent_sex", "key", bytes(32), b"context", use_of(SIZES["88-128-64-1"]))
    with tempfile.NamedTemporaryFile(suffix=".wav") as file, SealedExtractor() as extractor:
        file.write(clip.getvalue())
        file.flush()
        fd = os.open(file.name, os.O_RDONLY)
        extractor.level()
        for number in range(2 * rounds + 4):
            with_model = bool(number % 2)
            places = [*plain, model] if with_model else plain
            began = time.perf_counter()
            extractor.extract_sealed(Descriptor(fd), ExtractOptions(), lambda places=places: places)
            if number >= 4:
                taken[with_model].append((time.perf_counter() - began) * 1e3)
        os.close(fd)
    rows = [
        (f"1 s of audio through both children, {'with' if one else 'without'} a model of 88-128-64-1",
         f"{statistics.median(taken[one]):.1f} ms (fastest {min(taken[one]):.1f} ms)")
        for one in (False, True)
    ]  # fmt: skip
    more = statistics.median(b - a for a, b in zip(taken[False], taken[True], strict=True))
    return [*rows, ("the difference, median of the pairs", f"{more:+.1f} ms")]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    rows = [*alone(given.rounds), *sealed(given.rounds)]
    table = "\n".join(["| what | median |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    print(table)
    if given.record:
        record(
            "bench-inference", "Running a model on a recording", table,
            conditions=f"{given.rounds} rounds, single-threaded numpy, other work ran beside",
        )  # fmt: skip


if __name__ == "__main__":
    main()
