"""What privacy costs: everything of `analyze`, `submit` and `worker` but the child, decoding and features.

    python benchmarks/bench_path.py [--runs 40] [--record]

A real home (SQLite, key files, folders) on the disk of the temporary folder; the extractor answers at once, so what
is left is consent, promise, keys, sealing, commits, discard, receipt and audit. Bar: analyze <= 12 ms (median) for a
clip of 30 s; submit and worker are printed with their number of fsyncs (counted by strace where it is installed).
The disk's own price is printed beside: one durable commit of one row in an SQLite file of the same settings.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from figures import record

from sottovoce import app
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.model.features import Extraction, FeatureVector, Quality
from sottovoce.settings import Settings

BAR_MS = 12.0
PURPOSES = ("voice_recording", "voice_analysis", "data_retention_30_days")
SECONDS, RATE = 30, 16_000


class InstantExtractor(InlineExtractor):
    """Answers at once: what remains is everything else."""

    def level(self) -> str:
        return "rlimits"

    def extract(self, _source: Any, _options: Any) -> Extraction:
        values = tuple(20.0 + i for i in range(88))
        vector = FeatureVector(values=values, profile="compat", version="bench", sample_rate_hz=RATE)
        return Extraction(vector, Quality(SECONDS, 2000, 0.0, 30.0, "wav/pcm_16", RATE, 1, "0"))

    def close(self) -> None:
        return


def opened(home: Path) -> app.Platform:
    settings = Settings(home=home)
    adapters = app.connect(settings)
    adapters.extractor.close()
    return app.assemble(replace(adapters, extractor=InstantExtractor()), settings)


def clip(folder: Path) -> Path:
    path = folder / "clip.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(os.urandom(2 * SECONDS * RATE))
    return path


def timed_ms(work: Callable[[], Any]) -> float:
    before = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - before)


def durable_commit_ms(folder: Path, runs: int) -> float:
    """The disk's own price of one durable commit (WAL, synchronous=FULL)."""
    db = sqlite3.connect(folder / "probe.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE t (x)")
    return statistics.median(timed_ms(lambda: db.execute("INSERT INTO t VALUES (1)")) for _ in range(runs))


def row(name: str, values: list[float], note: str) -> str:
    return f"| {name} | {min(values):.2f} | {statistics.median(values):.2f} | {max(values):.2f} | {note} |"


def measure(runs: int) -> tuple[float, list[str]]:
    """Median of analyze in ms, and the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = clip(folder)
        with opened(folder / "home") as platform:
            platform.grant(subject="anna", purposes=PURPOSES)
            platform.analyze(source, subject="anna")  # first use: page cache, prepared statements
            inline = [timed_ms(lambda: platform.analyze(source, subject="anna")) for _ in range(runs)]
            queued = [timed_ms(lambda: platform.submit(source, subject="anna")) for _ in range(runs)]
            worked = [timed_ms(platform.work_next) for _ in range(runs)]
        commit_ms = durable_commit_ms(folder, runs)
    lines = [
        "| verb, without child, decoding and features | min ms | median ms | max ms | fsyncs |",
        "|---|---|---|---|---|",
        row(f"analyze (bar {BAR_MS:.0f} ms)", inline, fsyncs("analyze")),
        row("submit (30 s, 960 kB)", queued, fsyncs("submit")),
        row("worker", worked, fsyncs("work")),
        f"| for comparison: one durable SQLite commit | | {commit_ms:.2f} | | 1 |",
    ]
    return statistics.median(inline), lines


def fsyncs(verb: str) -> str:
    """fsync and fdatasync calls of one verb, counted by strace as the difference of a run with one more."""
    if shutil.which("strace") is None:
        return "not counted (strace is not installed)"
    return f"{_counted(verb, 2) - _counted(verb, 1)}"


def _counted(verb: str, times: int) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        log = Path(temporary) / "strace"
        command = ["strace", "-f", "-e", "trace=fsync,fdatasync", "-o", str(log), sys.executable, __file__]
        subprocess.run(
            [*command, "--once", verb, str(times), temporary], check=True, stdout=subprocess.DEVNULL
        )
        return sum("fsync(" in line or "fdatasync(" in line for line in log.read_text().splitlines())


def once(verb: str, times: int, folder: Path) -> None:
    source = clip(folder)
    with opened(folder / "home") as platform:
        platform.grant(subject="anna", purposes=PURPOSES)
        if verb == "work":
            for _ in range(2):
                platform.submit(source, subject="anna")
        verbs: dict[str, Callable[[], Any]] = {
            "analyze": lambda: platform.analyze(source, subject="anna"),
            "submit": lambda: platform.submit(source, subject="anna"),
            "work": platform.work_next,
        }
        for _ in range(times):
            verbs[verb]()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--record", action="store_true", help="write the table to docs/reference/figures.md")
    parser.add_argument("--once", nargs=3, metavar=("VERB", "TIMES", "FOLDER"))
    given = parser.parse_args()
    if given.once:
        once(given.once[0], int(given.once[1]), Path(given.once[2]))
        return
    median, lines = measure(given.runs)
    print("\n".join(lines))
    print(f"bar {'kept' if median <= BAR_MS else 'MISSED'}: {median:.2f} ms of {BAR_MS:.0f} ms")
    if given.record:
        record(
            "bench-path", "What privacy costs", "\n".join(lines),
            conditions=f"{given.runs} runs, SQLite {sqlite3.sqlite_version}, fsyncs counted by strace",
        )  # fmt: skip
    sys.exit(0 if median <= BAR_MS else 1)


if __name__ == "__main__":
    main()
