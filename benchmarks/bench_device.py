"""Time of the features in a browser beside Python's, the same 30 s in the same run: `bench_device.py [--record]`.

The browser side is measured in the page, from handing the samples to the worker to having the features; the first
run, which compiles, is printed apart. Python's side is one process with one thread. Medians of five.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import chromium  # noqa: E402
import numpy as np  # noqa: E402
import soundfile  # noqa: E402
from compare_device import DATA, PROFILES, device_page  # noqa: E402
from figures import record  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from sottovoce.voice.egemaps.extract import analyse  # noqa: E402
from sottovoce.voice.models.network import About, make_network  # noqa: E402
from sottovoce.voice.models.write_tflite import write_tflite  # noqa: E402

SECONDS = 30
RATES_HZ = (16000, 48000)
LIMIT_S = 1.0


def speech() -> NDArray[np.float64]:
    """30 s of real speech at 16 kHz: LibriSpeech where the shared recordings are, else the bundled recording again."""
    files = sorted((DATA / "librispeech").rglob("*.flac"))[:20] or [ROOT / "src/sottovoce/data/jfk.flac"] * 3
    samples = np.concatenate([soundfile.read(file)[0] for file in files])
    return samples[: SECONDS * 16000]


def at_rate(samples: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    times = np.arange(SECONDS * rate_hz) / rate_hz
    return np.interp(times, np.arange(len(samples)) / 16000, samples)


def by_python(samples: NDArray[np.float64], rate_hz: int, profile: str) -> list[float]:
    took = []
    for _ in range(6):
        start = time.perf_counter()
        analyse(samples, rate_hz, profile=profile)
        took.append(time.perf_counter() - start)
    return took


def sizes() -> str:
    """What the browser loads: together as one compressed stream, and file by file."""
    sdk = ROOT / "sdk"
    modules = sorted((sdk / "egemaps").glob("*.js")) + [
        sdk / n for n in ("errors.js", "names.js", "resample.js")
    ]
    contents = [path.read_bytes() for path in modules]
    together = len(gzip.compress(b"".join(contents), 9, mtime=0))
    apart = sum(len(gzip.compress(content, 9, mtime=0)) for content in contents)
    return (
        f"{len(modules)} feature modules, with their comments: {together / 1000:.1f} kB gzip as one stream, "
        f"{apart / 1000:.1f} kB as separate files."
    )


def model_time(page: chromium.Chromium, folder: Path) -> float:
    """Milliseconds of one inference in the page; the weights are pseudo-random."""
    dice = np.random.default_rng(31)
    widths = pairwise((88, 128, 64, 1))
    layers: list[Any] = [(dice.normal(size=(b, a)) / np.sqrt(a), np.zeros(b)) for a, b in widths]
    about = About("nothing", ("no", "yes"), "compat", "egemaps-88/1")
    network = make_network(mean=np.zeros(88), scale=np.ones(88), layers=layers, output="sigmoid", about=about)
    (folder / "model.f64").write_bytes(write_tflite(network))
    _, *five = page.evaluate("timedModel('/samples/model.f64')")
    return float(statistics.median(five))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="write the table to docs/reference/figures.md")
    keep = parser.parse_args().record
    if chromium.find() is None:
        print("no Chromium is installed: nothing to compare with")
        return 0
    lines = [
        f"| {SECONDS} s of speech | profile | Chromium, first | Chromium | Python |",
        "|---|---|---|---|---|",
    ]
    slowest = 0.0
    samples = speech()
    with tempfile.TemporaryDirectory() as name, device_page(Path(name)) as page:
        for rate_hz in RATES_HZ:
            piece = samples if rate_hz == 16000 else at_rate(samples, rate_hz)
            piece.astype("<f8").tofile(Path(name) / f"{rate_hz}.f64")
            for profile in PROFILES:
                first, *five = page.evaluate(f"timed('/samples/{rate_hz}.f64', {rate_hz}, '{profile}')")
                _, *ours = by_python(piece, rate_hz, profile)
                median, python = statistics.median(five), statistics.median(ours)
                slowest = max(slowest, median)
                cells = f"{first:.2f} s | {median:.2f} s | {python:.2f} s"
                lines.append(f"| at {rate_hz / 1000:g} kHz | {profile} | {cells} |")
        inference_ms = model_time(page, Path(name))
    report = (
        "\n".join(lines) + f"\n\n{sizes()}\nOne inference by a model of 88-128-64-1: {inference_ms:.3f} ms."
    )
    load = f"load average {os.getloadavg()[0]:.1f}"
    print(report, f"\n{load}")
    if keep:
        record(
            "bench-device",
            "Features on the device",
            report,
            conditions=f"headless Chromium; medians of 5; {load}",
        )
    return 0 if slowest <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
