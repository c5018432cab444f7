"""What an ingest costs: two processes against one, one against a bare extractor loop, and the bytes that are kept.

    python benchmarks/bench_corpora.py [--clips 60] [--record]

Every clip is 30 s of the project's own recording at 16 kHz, rolled so that no two have the same content. The bare loop
sends the same files, one after the other, through the same sealed child and keeps nothing. Rounds of the three
alternate in one run; the figures are medians of the time per clip.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

import sottovoce
from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.adapters.source_file import open_source
from sottovoce.doors.cli import ingest_pool
from sottovoce.model.corpus import CorpusFile
from sottovoce.model.subject import Caller
from sottovoce.ports import Descriptor, ExtractOptions

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "src" / "sottovoce" / "data" / "jfk.flac"
RATE_HZ, CLIP_S, ROUNDS = 16_000, 30, 3
PURPOSES = ("voice_recording", "voice_analysis", "data_retention_30_days")
OF_THE_VOICE = ("features", "insight", "decision")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = clips(Path(folder), arguments.clips)
        times, kept = measured(Path(folder), files)
    one, two, bare = (statistics.median(times[name]) for name in ("one", "two", "bare"))
    rows = [
        "| what | figure | bar |",
        "|---|---|---|",
        f"| bare extractor loop in the sealed child | {bare * 1000:.1f} ms per 30 s clip | |",
        f"| ingest, one process | {one * 1000:.1f} ms per clip | |",
        f"| ingest, two processes | {two * 1000:.1f} ms per clip | |",
        f"| two processes against one | {one / two:.2f}x | {bar(one / two >= 1.8)} (>= 1.8) |",
        f"| one process against the bare loop | {bare / one:.2f}x | {bar(bare / one >= 0.9)} (>= 0.9) |",
        f"| kept of a voice per 30 s recording | {kept:.0f} B | {bar(kept <= 1200)} (<= 1,200) |",
    ]
    print("\n".join(rows))
    if arguments.record:
        sys.path.insert(0, str(ROOT / "scripts"))
        from figures import record  # type: ignore[import-not-found]

        record(
            "bench-corpora", "Taking in a corpus", "\n".join(rows),
            conditions=f"{arguments.clips} clips, {ROUNDS} rounds, medians",
        )  # fmt: skip


def bar(met: bool) -> str:
    return "met" if met else "MISSED"


def clips(folder: Path, count: int) -> list[str]:
    """Names of clips with contents that differ."""
    samples, rate = soundfile.read(CLIP, dtype="int16")
    tiled = np.tile(samples, -(-CLIP_S * rate // len(samples)))[: CLIP_S * rate]
    for number in range(count):
        soundfile.write(folder / f"{number}.wav", np.roll(tiled, 1009 * number), rate)
    return [f"{number}.wav" for number in range(count)]


def measured(folder: Path, names: list[str]) -> tuple[dict[str, list[float]], float]:
    """Seconds per clip of each way, and the bytes kept per clip."""
    times: dict[str, list[float]] = {"bare": [], "one": [], "two": []}
    kept = 0.0
    for number in range(ROUNDS):
        times["bare"].append(timed(lambda: bare_loop(folder, names), len(names)))
        for way, jobs in (("one", 1), ("two", 2)):
            home = folder / f"home-{way}-{number}"
            with sottovoce.open(home=home) as platform:
                platform.grant(subject="anna", purposes=PURPOSES)
                seconds = ingested(platform, folder, names, jobs)
                rows = {row.kind: row for row in platform.footprint()}
            times[way].append(seconds)
            kept = sum(rows[kind].size_bytes for kind in OF_THE_VOICE) / len(names)
    return times, kept


def ingested(platform: sottovoce.Platform, folder: Path, names: list[str], jobs: int) -> float:
    """Seconds per clip, from the first answer on: starting the processes is not what is measured."""
    request = ingest_pool.Request(str(folder), Caller(actor="bench", channel="bench"))
    files = [CorpusFile(name, "anna") for name in names]
    taken = (
        ingest_pool.side_by_side(platform.settings, files, request, jobs=jobs)
        if jobs > 1
        else ingest_pool.here(platform, files, request)
    )
    for _ in range(jobs):
        next(taken)
    started = time.perf_counter()
    for file, answer in taken:
        if getattr(answer, "status", None) != "taken":
            raise SystemExit(f"{file.path} was not taken in: {answer}")
    return (time.perf_counter() - started) / (len(names) - jobs)


def bare_loop(folder: Path, names: list[str]) -> None:
    for name in names:
        with open_source(folder / name) as source:
            EXTRACTOR.extract(Descriptor(source.fd), ExtractOptions())


def timed(work: Callable[[], None], count: int) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / count


EXTRACTOR = SealedExtractor()

if __name__ == "__main__":
    try:
        main()
    finally:
        EXTRACTOR.close()
