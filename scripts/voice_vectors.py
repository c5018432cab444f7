"""Write `vectors/resampler` and `vectors/features`: our own numbers, for every implementation of the extractor.

    python scripts/voice_vectors.py            # compare with the files
    python scripts/voice_vectors.py --write    # write them anew

Signals are described by numbers and made with + and * alone, so that every language makes identical samples.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sottovoce.voice.egemaps.extract import analyse
from sottovoce.voice.resample import HALF_WIDTH, PER_SAMPLE, SCALE, filter_taps, prototype, resample

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
RESAMPLED_RATES_HZ = (8000, 11025, 22050, 37800, 44100, 48000)

# Two-pole resonators a1 = 2 r cos(2 pi f / fs), a2 = -r^2, r = exp(-pi b / fs), rounded to six decimals, for
# f/b = 700/60, 1200/90, 2600/120, 3400/150 Hz at 16 kHz; the first filter is the slope of a voice.
VOWEL = [
    [0.95, 0.0],
    [1.902366, -0.976713],
    [1.750799, -0.965274],
    [1.020663, -0.953969],
    [0.45334, -0.942796],
]

Json = dict[str, Any]

SIGNALS: list[Json] = [
    {"name": "silence", "samples": 16000},
    {"name": "noise", "samples": 12000, "noise": 0.05, "seed": 7},
    {
        "name": "vowel", "samples": 24000, "periods": [133, 134, 133], "voiced": [[0, 24000]],
        "filters": VOWEL, "gain": 0.002, "noise": 0.0001, "seed": 1,
    },
    {
        "name": "phrase", "samples": 38400, "periods": [100, 101, 99, 102, 104, 106, 108, 105, 103, 100, 97, 95],
        "voiced": [[1600, 8000], [10400, 17600], [20000, 23200], [27200, 35200]],
        "filters": VOWEL, "gain": 0.002, "noise": 0.004, "seed": 2,
    },
    {
        "name": "hundred_milliseconds", "samples": 1600, "periods": [80, 81], "voiced": [[0, 1600]],
        "filters": VOWEL, "gain": 0.002, "noise": 0.0001, "seed": 3,
    },
]  # fmt: skip


def make_signal(description: Json) -> NDArray[np.float64]:
    """Pulses of height 1, one per period inside the voiced stretches; filters; gain; noise."""
    signal = [0.0] * description["samples"]
    for start, end in description.get("voiced", []):
        position, periods = start, cycle(description["periods"])
        while position < end:
            signal[position] = 1.0
            position += next(periods)
    for a1, a2 in description.get("filters", []):
        signal = filtered(signal, a1, a2)
    noise = noise_values(description["samples"], description.get("seed", 0))
    gain, level = description.get("gain", 1.0), description.get("noise", 0.0)
    return np.array([gain * x + level * e for x, e in zip(signal, noise, strict=True)])


def filtered(signal: list[float], a1: float, a2: float) -> list[float]:
    """y[i] = x[i] + (a1 * y[i-1] + a2 * y[i-2])."""
    last = before = 0.0
    result = []
    for x in signal:
        last, before = x + (a1 * last + a2 * before), last
        result.append(last)
    return result


def noise_values(count: int, seed: int) -> list[float]:
    """s = (1664525 s + 1013904223) mod 2^32, e = s / 2^31 - 1; the seed itself is not a value."""
    values, state = [], seed
    for _ in range(count):
        state = (1664525 * state + 1013904223) % (1 << 32)
        values.append(state / (1 << 31) - 1)
    return values


def prototype_document() -> Json:
    return {
        "format": "sottovoce/resampler/1",
        "half_width": HALF_WIDTH,
        "per_sample": PER_SAMPLE,
        "scale": SCALE,
        "prototype": prototype().tolist(),
    }


def resampler_cases_document() -> Json:
    noise = 0.5 * np.array(noise_values(300, 11))
    cases = [
        {
            "rate_hz": rate_hz,
            "taps_of_output_1": filter_taps(np.array([1]), rate_hz)[0].tolist(),
            "output": resample(noise, rate_hz).tolist(),
        }
        for rate_hz in RESAMPLED_RATES_HZ
    ]
    return {
        "format": "sottovoce/resampler-cases/1",
        "input": {"count": 300, "seed": 11, "gain": 0.5},
        "cases": cases,
    }


def features_document(profile: str) -> Json:
    return {"format": "sottovoce/features/1", "cases": [_feature_case(signal, profile) for signal in SIGNALS]}


def _feature_case(description: Json, profile: str) -> Json:
    analysis = analyse(make_signal(description), profile=profile)
    vector = analysis.features
    return {
        "signal": description,
        "profile": vector.profile,
        "version": vector.version,
        "sample_rate_hz": vector.sample_rate_hz,
        "frames": analysis.frames,
        "voiced_frames": analysis.voiced_frames,
        "features": vector.as_dict(),
    }


def documents() -> dict[str, Json]:
    """Path below `vectors/` -> content."""
    return {
        "resampler/prototype.json": prototype_document(),
        "resampler/cases.json": resampler_cases_document(),
        "features/compat.json": features_document("compat"),
        "features/corrected.json": features_document("corrected"),
    }


def as_text(document: Json) -> str:
    compact = json.dumps(document, separators=(",", ":"))
    return compact.replace(',"', ',\n"').replace("},{", "},\n{") + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write the files instead of comparing")
    write = parser.parse_args().write
    different = 0
    for name, document in documents().items():
        file = VECTORS / name
        if write:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(as_text(document), encoding="utf-8")
        same = file.is_file() and file.read_text(encoding="utf-8") == as_text(document)
        different += not same
        print(f"{name}: {'same' if same else 'different'}")
    return min(different, 1)


if __name__ == "__main__":
    sys.exit(main())
