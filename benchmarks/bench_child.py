"""What the sealed child costs: start-up, overhead per recording against the bare pipeline, memory of long files.

    python benchmarks/bench_child.py [--clips 20] [--json] [--record]

Overhead: the same 30 s clip, turn about through the sealed child and through the pipeline in this process.
Memory: a 60-minute file at 16 and 48 kHz, by descriptor and as a sealed body; the resident memory of this process
and all its descendants is summed every few milliseconds (pages that parent and child share count twice in RSS, once
in PSS). Rates are lower bounds on a busy machine; ratios count.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.doors.cli.residue_search import family
from sottovoce.ports import Descriptor, ExtractOptions
from sottovoce.sealing.envelope import BodySealer

KEY, CONTEXT = bytes(range(32)), b"bench"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--record", action="store_true", help="write the figures into docs/reference/figures.md"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, Any] = {
            "conditions": conditions(),
            "start_s": start_up(Path(folder)),
            "clip_30_s": overhead(Path(folder), arguments.clips),
            "hour_peak_mb": [
                hour(Path(folder), rate, sealed=sealed)
                for rate in (16_000, 48_000)
                for sealed in (False, True)
            ],
        }
    print(json.dumps(figures, indent=None if arguments.json else 2))
    if arguments.record:
        write_down(figures)


def write_down(figures: dict[str, Any]) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
    from figures import record  # type: ignore[import-not-found]

    clip, start = figures["clip_30_s"], figures["start_s"]
    rows = [
        "| what | figure |",
        "|---|---|",
        f"| start of the parent to the first result | {start['first_result_median']:.2f} s (median of 3) |",
        f"| a 30 s clip in one process, min / median / max | {shown(clip['bare_ms'])} ms |",
        f"| the same through the sealed child | {shown(clip['sealed_ms'])} ms |",
        f"| difference, clip by clip | {shown(clip['extra_ms'])} ms |",
        f"| ratio of the medians | {clip['ratio_of_medians']} |",
        *(
            f"| 60-minute file, {peak['rate_hz']} Hz, {peak['source']}: peak of all processes "
            f"| {peak['rss_mb']} MB ({peak['pss_mb']} MB with shared pages counted once) |"
            for peak in figures["hour_peak_mb"]
        ),
    ]
    load = figures["conditions"]["load"]
    record(
        "bench-child",
        "Sealed child",
        "\n".join(rows),
        conditions=f"level {clip['level']}; load {load} at the start",
    )


def shown(values: dict[str, float]) -> str:
    return f"{values['min']} / {values['median']} / {values['max']}"


def conditions() -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
    }


def start_up(folder: Path) -> dict[str, float]:
    """Wall time from a new extractor to the level, and to the first result of a 1 s clip."""
    path = speech_like(folder / "start.wav", seconds=1.0, rate=16_000)
    ready, first = [], []
    for _ in range(3):
        with SealedExtractor() as extractor, descriptor(path) as fd:
            began = time.perf_counter()
            extractor.level()
            ready.append(time.perf_counter() - began)
            extractor.extract(Descriptor(fd), ExtractOptions())
            first.append(time.perf_counter() - began)
    return {"level_median": statistics.median(ready), "first_result_median": statistics.median(first)}


def overhead(folder: Path, clips: int) -> dict[str, object]:
    """Turn about, so that a busy neighbour slows both."""
    path = speech_like(folder / "clip.wav", seconds=30.0, rate=16_000)
    inline = InlineExtractor()
    with SealedExtractor() as sealed, descriptor(path) as fd:
        runs: dict[str, Callable[[], object]] = {
            "bare": lambda: inline.extract(Descriptor(fd), ExtractOptions()),
            "sealed": lambda: sealed.extract(Descriptor(fd), ExtractOptions()),
        }
        for run in runs.values():
            run()
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(clips):
            for name, run in runs.items():
                began = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - began)
        level = sealed.level()
    extra = [1000 * (s - b) for s, b in zip(times["sealed"], times["bare"], strict=True)]
    return {
        "level": level,
        **{f"{name}_ms": spread([1000 * value for value in values]) for name, values in times.items()},
        "extra_ms": spread(extra),
        "ratio_of_medians": round(statistics.median(times["sealed"]) / statistics.median(times["bare"]), 3),
    }


def spread(values: list[float]) -> dict[str, float]:
    return {
        "min": round(min(values), 1),
        "median": round(statistics.median(values), 1),
        "max": round(max(values), 1),
    }


def hour(folder: Path, rate: int, *, sealed: bool) -> dict[str, object]:
    """Peak memory of everything while a 60-minute file is analysed in a service of its own."""
    path = speech_like(folder / f"hour{rate}.wav", seconds=3600.0, rate=rate)
    offset = 0
    if sealed:
        path, offset = seal(path, folder / "body")
    program = f"""
import os, sys, time
sys.path[:] = {sys.path!r}
from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.ports import Descriptor, ExtractOptions, SealedBody
fd = os.open({str(path)!r}, os.O_RDONLY | os.O_NONBLOCK)
sealed = SealedBody(fd, {KEY!r}, {BodySealer(KEY, CONTEXT, "k").body_context!r}, {offset})
with SealedExtractor() as extractor:
    began = time.perf_counter()
    quality = extractor.extract(sealed if {sealed} else Descriptor(fd), ExtractOptions()).quality
    print(time.perf_counter() - began, "cut" in quality.flags)
"""
    service = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    peaks = {"rss": 0, "pss": 0}
    watcher = threading.Thread(target=watch, args=(service, peaks))
    watcher.start()
    output = service.communicate()[0].split()
    watcher.join()
    path.unlink()
    return {
        "rate_hz": rate,
        "source": "sealed body" if sealed else "descriptor",
        "rss_mb": round(peaks["rss"] / 1e6),
        "pss_mb": round(peaks["pss"] / 1e6),
        "wall_s": round(float(output[0]), 2),
        "flagged_cut": output[1] == "True",
    }


def watch(service: subprocess.Popen[str], peaks: dict[str, int]) -> None:
    """Sum RSS and PSS of the service and its descendants until it ends."""
    while service.poll() is None:
        pids = family(service.pid)
        peaks["rss"] = max(peaks["rss"], sum(memory(pid, "Rss:") for pid in pids))
        peaks["pss"] = max(peaks["pss"], sum(memory(pid, "Pss:") for pid in pids))
        time.sleep(0.005)


def memory(pid: int, field: str) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


def speech_like(path: Path, *, seconds: float, rate: int) -> Path:
    """A buzz with a moving pitch and pauses, 16 bit, written in pieces of a second."""
    dice = np.random.default_rng(7)
    time_s = np.arange(rate) / rate
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        for second in range(int(seconds)):
            pitch = 110 + 40 * np.sin(second / 3) + 5 * np.sin(2 * np.pi * 3 * time_s)
            phase = 2 * np.pi * np.cumsum(pitch) / rate
            voice = sum(np.sin(k * phase) / k for k in range(1, 12)) * (np.sin(2 * np.pi * time_s) > -0.3)
            file.writeframes(
                ((0.15 * voice + 0.002 * dice.standard_normal(rate)) * 32767).astype("<i2").tobytes()
            )
    return path


def seal(path: Path, target: Path) -> tuple[Path, int]:
    sealer = BodySealer(KEY, CONTEXT, "k")
    with path.open("rb") as source, target.open("wb") as out:
        out.write(sealer.header)
        while piece := source.read(1 << 16):
            out.write(sealer.update(piece))
        out.write(sealer.finalize())
    path.unlink()
    return target, sealer.body_offset


@contextmanager
def descriptor(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


if __name__ == "__main__":
    main()
