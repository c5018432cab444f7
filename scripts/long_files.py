"""Memory and time of `sottovoce features` on recordings of half an hour and of three hours.

    python scripts/long_files.py [--record] [--lld]

Makes a 16 kHz WAV and a 48 kHz FLAC of speech of ../shared/data in a temporary folder (800 MB), measures the command
on each as a process of its own (peak resident memory, CPU time), and removes them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile
from figures import record

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
HOURS = (0.5, 3.0)
BAR_MB = 500


@dataclass(frozen=True)
class Run:
    name: str
    hours: float
    peak_mb: float
    cpu_s: float
    wall_s: float


def speech() -> np.ndarray:
    """About twenty minutes of many readers at 16 kHz, float32."""
    files = sorted((DATA / "librispeech").rglob("*.flac"))[:120]
    return np.concatenate([soundfile.read(path, dtype="float32")[0] for path in files])


def threefold(samples: np.ndarray) -> np.ndarray:
    """To 48 kHz by straight lines: the content above 8 kHz does not matter here."""
    places = np.arange(3 * len(samples)) / 3
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def write(path: Path, rate_hz: int, hours: float) -> None:
    """Runs in a process of its own: what a process weighs when it starts another counts for that one too."""
    samples = speech() if rate_hz == 16_000 else threefold(speech())
    left = int(hours * 3600 * rate_hz)
    with soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_16") as file:
        while left > 0:
            file.write(samples[:left])
            left -= min(left, len(samples))


def measure(path: Path, hours: float, arguments: list[str]) -> Run:
    command = [sys.executable, "-m", "sottovoce", "features", str(path), "-o", str(path) + ".csv", *arguments]
    start_s = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the command failed on {path.name}")
    wall_s = time.monotonic() - start_s
    kind = f"{path.suffix[1:].upper()}, {soundfile.info(path).samplerate // 1000} kHz"
    name = " ".join((kind, *arguments))
    return Run(name, hours, usage.ru_maxrss * 1024 / 1e6, usage.ru_utime + usage.ru_stime, wall_s)


def table(runs: list[Run]) -> str:
    lines = ["| recording | hours | peak memory, MB | CPU s | CPU s per hour |", "|---|---:|---:|---:|---:|"]
    for run in runs:
        lines.append(
            f"| {run.name} | {run.hours:g} | {run.peak_mb:.0f} | {run.cpu_s:.1f} | {run.cpu_s / run.hours:.1f} |"
        )
    return "\n".join([*lines, "", f"Bar: below {BAR_MB} MB on three hours, in one process."])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--lld", action="store_true", help="frame by frame as well")
    parser.add_argument("--hours", type=float, action="append", help="instead of 0.5 and 3")
    chosen = parser.parse_args(arguments)
    if not DATA.is_dir():
        print("The shared recordings (../shared/data) are not beside this checkout.", file=sys.stderr)
        return 1
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, rate_hz in (("wav", 16_000), ("flac", 48_000)):
            for hours in chosen.hours or HOURS:
                path = Path(folder) / f"speech.{suffix}"
                writer = get_context("spawn").Process(target=write, args=(path, rate_hz, hours))
                writer.start()
                writer.join()
                for extra in [[], *([["--lld"]] if chosen.lld else [])]:
                    runs.append(measure(path, hours, extra))
                    print(runs[-1], flush=True)
    print(table(runs))
    if chosen.record:
        record(
            "long-files",
            "Long recordings",
            table(runs),
            conditions=f"load {os.getloadavg()[0]:.2f} at the end",
        )
    return int(any(run.peak_mb > BAR_MB for run in runs))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
