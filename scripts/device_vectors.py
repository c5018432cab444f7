"""Write `vectors/features/rates.json` and `refused.json`: for every implementation that takes samples at any rate.

    python scripts/device_vectors.py            # compare with the files
    python scripts/device_vectors.py --write    # write them anew

Signals are described as in vectors/features/README.md; the numbers are those of our own extractor.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))

from voice_vectors import VECTORS, VOWEL, as_text, make_signal

from sottovoce.errors import SottovoceError
from sottovoce.voice.egemaps.extract import analyse

Json = dict[str, Any]

_PERIODS = [301, 297, 299, 305, 310, 307, 303]
SIGNALS: list[tuple[int, Json]] = [
    (8000, {
        "name": "odd_length_8k", "samples": 9973, "periods": [61, 63, 62, 60], "voiced": [[700, 4100], [5300, 9600]],
        "filters": VOWEL, "gain": 0.002, "noise": 0.002, "seed": 21,
    }),
    (44100, {
        "name": "clipping_44k", "samples": 44101, "periods": _PERIODS, "voiced": [[1000, 20000], [26000, 43000]],
        "filters": VOWEL, "gain": 0.05, "noise": 0.001, "seed": 22,
    }),
    (48000, {
        "name": "phrase_48k", "samples": 50021, "periods": _PERIODS, "voiced": [[2000, 22000], [30000, 47000]],
        "filters": VOWEL, "gain": 0.002, "noise": 0.003, "seed": 23,
    }),
    (16000, {
        "name": "under_the_energy_gate", "samples": 12003, "periods": [100, 101], "voiced": [[0, 12000]],
        "filters": VOWEL, "gain": 0.00001,
    }),
    (11025, {"name": "all_unvoiced_11k", "samples": 12001, "noise": 0.1, "seed": 24}),
]  # fmt: skip
REFUSED: list[tuple[int, str, Json]] = [
    (16000, "compat", {"name": "nothing", "samples": 0}),
    (16000, "compat", {"name": "one_sample_short", "samples": 1599}),
    (44100, "corrected", {"name": "short_44k", "samples": 4409}),
    (16000, "compat", {"name": "not_a_number", "samples": 16000, "last": "nan"}),
    (16000, "compat", {"name": "infinite", "samples": 16000, "last": "inf"}),
    (7999, "compat", {"name": "slow", "samples": 16000}),
    (192001, "compat", {"name": "fast", "samples": 16000}),
    (0, "compat", {"name": "no_rate", "samples": 16000}),
    (16000, "best", {"name": "unknown_profile", "samples": 16000}),
]


def signal_of(description: Json) -> NDArray[np.float64]:
    """As `make_signal`; "last" replaces the last sample by something that is no number."""
    signal = make_signal(description)
    if "last" in description:
        signal[-1] = float(description["last"])
    return signal


def feature_case(rate_hz: int, description: Json, profile: str) -> Json:
    analysis = analyse(make_signal(description), rate_hz, profile=profile)
    vector = analysis.features
    return {
        "signal": description,
        "rate_hz": rate_hz,
        "profile": vector.profile,
        "version": vector.version,
        "sample_rate_hz": vector.sample_rate_hz,
        "frames": analysis.frames,
        "voiced_frames": analysis.voiced_frames,
        "features": vector.as_dict(),
    }


def refused_case(rate_hz: int, profile: str, description: Json) -> Json:
    code = "accepted"
    try:
        analyse(signal_of(description), rate_hz, profile=profile)
    except SottovoceError as error:
        code = error.public_code
    return {"signal": description, "rate_hz": rate_hz, "profile": profile, "code": code}


def documents() -> dict[str, Json]:
    """File name -> content."""
    rates = [
        feature_case(rate, signal, profile) for profile in ("compat", "corrected") for rate, signal in SIGNALS
    ]
    return {
        "rates.json": {"format": "sottovoce/features/1", "cases": rates},
        "refused.json": {
            "format": "sottovoce/features-refused/1", "cases": [refused_case(*case) for case in REFUSED]
        },
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the files instead of comparing")
    write = parser.parse_args().write
    different = 0
    for name, document in documents().items():
        file = VECTORS / "features" / name
        if write:
            file.write_text(as_text(document), encoding="utf-8")
        same = file.is_file() and file.read_text(encoding="utf-8") == as_text(document)
        different += not same
        print(f"features/{name}: {'same' if same else 'different'}")
    return min(different, 1)


if __name__ == "__main__":
    sys.exit(main())
