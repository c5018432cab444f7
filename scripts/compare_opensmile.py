"""Compare our `compat` features with an openSMILE that somebody has installed by hand; prints, writes nothing.

    python scripts/compare_opensmile.py --clips 40 --seconds 5 [--set emodb] [--rate 8000]

Both sides get the same mono samples without resampling (`native`), a reference instance per sample rate. The
bounds are those of specification 17.1: relative differences per group of features.

openSMILE is under the audEERING Research License: commercial use of it, or of features made with it, needs a
licence of its own. Its values appear here on the terminal only and are written to no file.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from sottovoce.errors import SottovoceError
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.egemaps.extract import COMPAT, extract

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SPEECH = ("librispeech", "emodb", "fsdd", "vctk", "ivr", "wakeword", "meeting", "misc", "ljspeech")
TINY_MEAN = 0.05  # of the standard deviation: below, deviations are compared, not the ratio

Indices = tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Features that share a bound (specification 17.1)."""

    title: str
    indices: Indices
    bound: float  # of means and everything else
    spread_bound: float  # of stddevNorm


def span(*ranges: tuple[int, int]) -> Indices:
    return tuple(i for first, last in ranges for i in range(first, last + 1))


FORMANTS = span((38, 57))
BANDWIDTHS = tuple(i for i in FORMANTS if "bandwidth" in FEATURE_NAMES[i])
GROUPS = (
    Group("F0, segments", span((0, 9), (82, 86)), 1e-4, 1e-4),
    Group("loudness, level", span((10, 19), (81, 81), (87, 87)), 1e-4, 1e-4),
    Group("flux, MFCC (all)", span((20, 29)), 1e-4, 1e-4),
    Group("jitter, shimmer", span((30, 33)), 1e-4, 1e-4),
    Group("HNR", span((34, 35)), 1e-4, 1e-4),
    Group("H1-H2", span((36, 37)), 1e-4, 1e-4),
    Group("H1-A3, formants", tuple(i for i in FORMANTS if i not in BANDWIDTHS), 2e-2, 3e-2),
    Group("bandwidths", BANDWIDTHS, 2e-2, 15e-2),
    Group("balance (voiced)", span((58, 75)), 1e-4, 1e-4),
    Group("balance (unvoiced)", span((76, 80)), 5e-4, 5e-4),
)


def main() -> int:
    options = arguments()
    try:
        import opensmile
    except ImportError:
        print("The package opensmile is not installed here: nothing to compare with.", file=sys.stderr)
        return 2
    print(
        "openSMILE: audEERING Research License; commercial use of it or of its features needs its own licence."
    )
    print(
        f"opensmile {importlib.metadata.version('opensmile')}, ours {COMPAT.version}, numpy {np.__version__}\n"
    )
    clips = choose(options)
    pairs = compare(clips, opensmile)
    report(pairs)
    return 0


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=40, help="how many clips (default 40)")
    parser.add_argument("--seconds", type=float, default=5.0, help="shortest clip used (default 5)")
    parser.add_argument("--set", action="append", choices=SPEECH, help="only this set; may be given again")
    parser.add_argument("--rate", type=int, help="only clips of this sample rate")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of recordings")
    parser.add_argument("--seed", type=int, default=1, help="which clips are drawn")
    return parser.parse_args(words)


def choose(options: argparse.Namespace) -> list[Path]:
    files = [
        f for name in options.set or SPEECH for f in sorted((options.data / name).rglob("*")) if f.is_file()
    ]
    random.Random(options.seed).shuffle(files)
    return [f for f in files if usable(f, options)][: options.clips]


def usable(file: Path, options: argparse.Namespace) -> bool:
    try:
        info = soundfile.info(file)
    except soundfile.LibsndfileError:
        return False
    rate_ok = options.rate in (None, info.samplerate) and info.samplerate % 100 == 0
    return rate_ok and info.frames >= options.seconds * info.samplerate


@dataclass(frozen=True)
class Pair:
    clip: str
    ours: np.ndarray[Any, np.dtype[np.float64]]
    reference: np.ndarray[Any, np.dtype[np.float64]]


def compare(clips: list[Path], opensmile: Any) -> list[Pair]:
    instances: dict[int, Any] = {}
    pairs = []
    for clip in clips:
        samples, rate_hz = soundfile.read(clip, dtype="float64", always_2d=True, frames=30 * 192000)
        mono = samples[: 30 * rate_hz, 0]
        smile = instances.setdefault(rate_hz, reference_instance(opensmile))
        try:
            ours = extract(mono, rate_hz, native=True)
        except SottovoceError as error:
            print(f"{clip.name}: {error.public_code}")
            continue
        values = smile.process_signal(mono.astype(np.float32), rate_hz)
        if tuple(values.columns) != FEATURE_NAMES:
            raise SystemExit("The reference names its features otherwise.")
        pairs.append(
            Pair(f"{clip.parent.name}/{clip.name}", np.array(ours.values), values.to_numpy()[0].astype(float))
        )
    return pairs


def reference_instance(opensmile: Any) -> Any:
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )


def differences(pair: Pair) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(88,) relative; where the mean is tiny, of the standard deviation instead of its ratio to the mean."""
    ours, reference = pair.ours.copy(), pair.reference.copy()
    scale = np.abs(reference)
    for i, name in enumerate(FEATURE_NAMES):
        if name.endswith("_stddevNorm") and abs(reference[i]) > 1 / TINY_MEAN:
            scale[i - 1] = abs(reference[i] * reference[i - 1])  # the mean, on the scale of its deviation
            ours[i], reference[i] = ours[i] * ours[i - 1], reference[i] * reference[i - 1]
            scale[i] = abs(reference[i])
    return np.asarray(np.abs(ours - reference) / np.where(scale == 0, 1.0, scale))


def report(pairs: list[Pair]) -> None:
    if not pairs:
        print("No clip was compared.")
        return
    table = np.array([differences(pair) for pair in pairs])
    print(f"{len(pairs)} clips\n{'group':20} {'median':>9} {'max':>9} {'<= 1e-4':>8} {'bound met':>10}")
    for group in GROUPS:
        print(line(group, table[:, group.indices]))
    print("\nworst ten")
    for flat in np.argsort(-table, axis=None)[:10]:
        row, column = divmod(int(flat), len(FEATURE_NAMES))
        pair = pairs[row]
        print(
            f"{table[row, column]:.2e}  {FEATURE_NAMES[column]:45} {pair.clip}"
            f"  ours {pair.ours[column]:.6g} reference {pair.reference[column]:.6g}"
        )


def line(group: Group, values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    bounds = [
        group.spread_bound if FEATURE_NAMES[i].endswith("_stddevNorm") else group.bound for i in group.indices
    ]
    met, close = np.mean(values <= bounds), np.mean(values <= 1e-4)
    return f"{group.title:20} {np.median(values):9.1e} {values.max():9.1e} {close:8.2%} {met:10.2%}"


if __name__ == "__main__":
    sys.exit(main())
