"""fsck on a home of n and of 4n recordings: linear in rows and bodies (faults.md, section 6; bar: a ratio of 6).

    python benchmarks/bench_fsck.py [--small 250] [--record]

Every home holds the same mixture: of four recordings three are worked off, with their records, receipts and entries,
and one waits with its sealed body; eight recordings belong to each person. The bodies are small: fsck reads no more
than the head of one, however large it is. Both homes are looked at in turn, and the best of several counts.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from figures import record

from sottovoce import app
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.settings import Settings

PURPOSES = ("voice_recording", "voice_analysis", "data_retention_30_days")
BAR = 6.0
# Making the homes is thousands of durable commits, and only looking at them is measured.
MEMORY = Path("/dev/shm")
EACH_PERSON, WAITING_OF = 8, 4


class InstantExtractor(InlineExtractor):
    """Answers at once."""

    def extract(self, _source: Any, _options: Any) -> Extraction:
        vector = FeatureVector(tuple(20.0 + i for i in range(88)), "compat", "bench", 16_000)
        return Extraction(vector, Quality(30.0, 2000, 0.0, 30.0, "wav/pcm_16", 16_000, 1, "0"))


def made(home: Path, recordings: int) -> app.Platform:
    """A home with so many recordings."""
    settings = Settings(home=home)
    adapters = app.connect(settings)
    adapters.extractor.close()
    platform = app.assemble(replace(adapters, extractor=InstantExtractor()), settings)
    source = home.parent / "clip.wav"
    source.write_bytes(os.urandom(4_000))
    for number in range(recordings):
        person = f"person-{number // EACH_PERSON}"
        if number % EACH_PERSON == 0:
            platform.grant(subject=person, purposes=PURPOSES)
        platform.submit(source, subject=person)
        if number % WAITING_OF:
            platform.work_next()
    return platform


def looked_at_s(platform: app.Platform) -> float:
    """CPU time of one whole look."""
    before = time.process_time()
    report = platform.fsck()
    spent_s = time.process_time() - before
    if not report.sound:
        raise SystemExit(f"the home is not sound: {report.findings[:3]}")
    return spent_s


def measure(small: int, runs: int) -> tuple[float, float]:
    """Best CPU seconds for `small` recordings and for four times as many, alternating in one run."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        (Path(folder) / "small").mkdir()
        (Path(folder) / "large").mkdir()
        with (
            made(Path(folder) / "small" / "home", small) as few,
            made(Path(folder) / "large" / "home", 4 * small) as many,
        ):
            pairs = [(looked_at_s(few), looked_at_s(many)) for _ in range(runs)]
    return min(one for one, _ in pairs), min(four for _, four in pairs)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", type=int, default=1_000, help="recordings of the smaller home")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--record", action="store_true", help="write the table to docs/reference/figures.md")
    given = parser.parse_args()
    one_s, four_s = measure(given.small, given.runs)
    ratio = four_s / one_s
    table = "\n".join((
        "| recordings in the home | CPU time of `fsck`, best |",
        "|---|---|",
        f"| {given.small:,} | {one_s:.2f} s |",
        f"| {4 * given.small:,} | {four_s:.2f} s |",
        f"| ratio (bar: at most {BAR:.0f}; {'met' if ratio <= BAR else '**missed**'}) | {ratio:.2f} |",
    ))  # fmt: skip
    print(table)
    if given.record:
        record(
            "fsck", "fsck: growth with the home", table,
            conditions=f"`python benchmarks/bench_fsck.py`, CPU time, best of {given.runs}, both homes in turn in one "
            "run, SQLite",
        )  # fmt: skip
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    raise SystemExit(main())
