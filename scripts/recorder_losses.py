"""Count what a browser's recorder loses on a busy machine: recordings of a known file, compared bit for bit.

    python scripts/recorder_losses.py [--recordings 40] [--busy 6] [--record]

Chromium's fake microphone plays real speech; sdk/record.js records three seconds of it, again and again, while so many
processes do nothing but keep the processors busy. Each block of 10 ms is looked for in the file that was played: a
piece that was lost, changed or repeated shows. `--record` writes the result to docs/reference/figures.md.
"""

from __future__ import annotations

import argparse
import base64
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import compare_device  # scripts/compare_device.py, beside this file
import figures  # scripts/figures.py, beside this file
import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
BLOCK = 441  # samples: 10 ms of the fake microphone
RATE_HZ = 44100
SECONDS = 3


def spoken(file: Path, source: Path, *, seconds: float = 8.0) -> None:
    """Real speech as 16-bit WAVE at 44.1 kHz: what the fake microphone plays."""
    samples, rate_hz = soundfile.read(source)
    times = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    louder = 0.8 * samples / np.abs(samples).max()
    soundfile.write(
        file, np.interp(times, np.arange(len(samples)) / rate_hz, louder), RATE_HZ, subtype="PCM_16"
    )


def arguments(wav: Path) -> tuple[str, ...]:
    """Of a Chromium whose microphone plays this file once."""
    return (
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={wav}%noloop",
    )  # fmt: skip


def recorded(page: Any) -> tuple[dict[str, Any], np.ndarray]:
    """What the recorder says of some seconds, and the samples as float32."""
    told = page.evaluate(f"record({SECONDS})")
    return told, np.frombuffer(base64.b64decode(page.evaluate("recordedBytes()")), "<f4")


def steps(samples: np.ndarray) -> np.ndarray:
    """The 16-bit steps that Chromium turned into floats by 1/32767 above and 1/32768 below zero."""
    whole: np.ndarray = np.rint(samples * np.where(samples > 0, 32767.0, 32768.0)).astype("<i2")
    return whole


def places(recording: np.ndarray, played: np.ndarray) -> list[int | None]:
    """By how many samples each block lags behind the file, found bit for bit and in order; None where it is not."""
    lags: list[int | None] = []
    file, at = played.astype("<i2").tobytes(), 0
    for start in range(0, len(recording) - BLOCK + 1, BLOCK):
        block = recording[start : start + BLOCK].tobytes()
        found = file.find(block, at)
        while found % 2 and found > 0:
            found = file.find(block, found + 1)
        lags.append(found // 2 - start if found >= 0 else None)
        at = max(at, found)
    return lags


def losses(lags: Sequence[int | None]) -> int:
    """How often a piece is missing between two blocks."""
    return len({lag for lag in lags if lag is not None}) - 1


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that keep the processors busy; they end by themselves after ten minutes at most."""
    loop = "import time\nend = time.time() + 600\nwhile time.time() < end: pass"
    started = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=int, default=40)
    parser.add_argument("--busy", type=int, default=6, help="processes that keep the processors busy")
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sottovoce-recorder-") as folder:
        wav = Path(folder) / "spoken.wav"
        spoken(wav, ROOT / "src" / "sottovoce" / "data" / "jfk.flac")
        played, _ = soundfile.read(wav, dtype="int16")
        counted = lossy = strange = 0
        with busy(given.busy), compare_device.device_page(Path(folder), arguments(wav)) as page:
            for number in range(given.recordings):
                told, samples = recorded(page)
                lags = places(steps(samples), played)
                counted += told["dropouts"] > 0
                lossy += losses(lags) > told["dropouts"]
                strange += lags.count(None) > losses(lags) + told["dropouts"]
                print(f"\r{number + 1} of {given.recordings}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    table = (
        "| recordings of 3 s | gaps that the recorder counts | losses that it cannot see | changed samples |\n"
        f"| ---: | ---: | ---: | ---: |\n| {given.recordings} | {counted} | {lossy} | {strange} |"
    )
    print(table)
    if given.record:
        conditions = (
            f"{given.busy} processes that keep the processors busy beside it; Chromium's fake microphone"
        )
        figures.record("recorder-losses", "What the browser's recorder loses", table, conditions=conditions)
    return int(strange > 0)


if __name__ == "__main__":
    raise SystemExit(main())
