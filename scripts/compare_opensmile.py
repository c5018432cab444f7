"""Compare our `compat` features with an openSMILE that somebody has installed by hand; prints, writes nothing.

    python scripts/compare_opensmile.py [--clips 40] [--seconds 5] [--set emodb] [--rate 8000]

All speech of the shared recordings, unless told otherwise. Both sides get the same mono samples without resampling
(`native`), a reference instance per sample rate. The bounds are those of specification 17.1: relative differences
per group of features. Beside the 88 features the F0 contour is compared frame by frame.

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
from sottovoce.voice.egemaps import contours, frames, lowlevel
from sottovoce.voice.egemaps.extract import COMPAT, extract

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SPEECH = (
    "librispeech", "emodb", "fsdd", "vctk", "ivr", "wakeword", "meeting", "misc", "ljspeech", "spoof", "formats",
)  # fmt: skip
TINY_MEAN = 0.05  # of the standard deviation: below, deviations are compared, not the ratio
SAME_F0 = 1e-4  # relative
EQUAL, EQUAL_SHARE = 1e-4, 0.999  # of the features without formants
FORMANT_MEDIAN = 1e-3

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
OTHERS = tuple(i for i in range(len(FEATURE_NAMES)) if i not in FORMANTS)
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
    parser.add_argument("--clips", type=int, help="so many clips, drawn by chance (default: all)")
    parser.add_argument("--seconds", type=float, default=0.1, help="shortest clip used (default 0.1)")
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
class Contour:
    """How the F0 of single frames compares."""

    frames: int
    voicing_equal: int  # frames that both call voiced, or both unvoiced
    voiced: int  # by both
    f0_equal: int  # of those


@dataclass(frozen=True)
class Pair:
    clip: str
    ours: np.ndarray[Any, np.dtype[np.float64]]
    reference: np.ndarray[Any, np.dtype[np.float64]]
    contour: Contour
    seconds: float


def compare(clips: list[Path], opensmile: Any) -> list[Pair]:
    instances: dict[int, Any] = {}
    pairs = []
    for clip in clips:
        samples, rate_hz = soundfile.read(clip, dtype="float64", always_2d=True, frames=30 * 192000)
        mono = samples[: 30 * rate_hz, 0]
        smile = instances.setdefault(rate_hz, reference_instances(opensmile))
        try:
            ours = extract(mono, rate_hz, native=True)
        except SottovoceError as error:
            print(f"{clip.name}: {error.public_code}")
            continue
        values, frames_of = (side.process_signal(mono.astype(np.float32), rate_hz) for side in smile)
        if tuple(values.columns) != FEATURE_NAMES:
            raise SystemExit("The reference names its features otherwise.")
        name, reference = f"{clip.parent.name}/{clip.name}", values.to_numpy()[0].astype(float)
        contour = compare_f0(mono, rate_hz, frames_of["F0semitoneFrom27.5Hz_sma3nz"].to_numpy().astype(float))
        pairs.append(Pair(name, np.array(ours.values), reference, contour, len(mono) / rate_hz))
    return pairs


def compare_f0(mono: np.ndarray[Any, Any], rate_hz: int, reference: np.ndarray[Any, Any]) -> Contour:
    """Smoothed semitones, turned into Hz.

    The rows that the reference writes when the input has ended, for the frames it could not decide before, stand one
    row later and are smoothed otherwise; its functionals do not see them (Q14). They are left out here.
    """
    pitch = lowlevel.measure(frames.quantise(mono), rate_hz).pitch
    count = max(0, len(pitch.semitones) - pitch.undecided - 1)
    ours, theirs = contours.smooth_nonzero(pitch.semitones)[:count].astype(float), reference[:count]
    both = (ours > 0) & (theirs > 0)
    ratio = np.exp2((ours[both] - theirs[both]) / 12)
    return Contour(
        len(ours),
        int(np.sum((ours > 0) == (theirs > 0))),
        int(both.sum()),
        int(np.sum(abs(ratio - 1) <= SAME_F0)),
    )


def reference_instances(opensmile: Any) -> tuple[Any, Any]:
    """For the functionals, and for the contours."""
    levels = (opensmile.FeatureLevel.Functionals, opensmile.FeatureLevel.LowLevelDescriptors)
    first, second = (opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, level) for level in levels)
    return first, second


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
    minutes = sum(pair.seconds for pair in pairs) / 60
    print(f"{len(pairs)} clips, {minutes:.1f} minutes")
    print(f"{'group':20} {'median':>9} {'max':>9} {'<= 1e-4':>8} {'bound met':>10}")
    for group in GROUPS:
        print(line(group, table[:, group.indices]))
    verdict(table, pairs)
    worst("worst ten of the 68 without formants", pairs, table, OTHERS)
    worst("worst ten of the 20 that hang on formants", pairs, table, FORMANTS)


def verdict(table: np.ndarray[Any, Any], pairs: list[Pair]) -> None:
    others, formants = table[:, OTHERS], table[:, FORMANTS]
    share = float(np.mean(others <= EQUAL))
    print(
        f"\n68 without formants: {share:.4%} of {others.size} values within {EQUAL:g}"
        f" (asked: {EQUAL_SHARE:.1%}), {int(np.sum(others > EQUAL))} beyond"
        f"\n20 with formants: median {np.median(formants):.1e} (asked: {FORMANT_MEDIAN:g})"
    )
    count = [
        sum(getattr(pair.contour, name) for pair in pairs)
        for name in ("frames", "voicing_equal", "voiced", "f0_equal")
    ]
    print(
        f"F0 of frames: voicing equal in {count[1]} of {count[0]}, "
        f"F0 within {SAME_F0:g} in {count[3]} of {count[2]} voiced by both"
    )
    for pair in pairs:
        c = pair.contour
        if c.voicing_equal < c.frames or c.f0_equal < c.voiced:
            print(
                f"  {pair.clip}: voicing differs in {c.frames - c.voicing_equal}, F0 in {c.voiced - c.f0_equal} frames"
            )


def worst(title: str, pairs: list[Pair], table: np.ndarray[Any, Any], columns: Indices) -> None:
    print(f"\n{title}")
    part = table[:, columns]
    for flat in np.argsort(-part, axis=None)[:10]:
        row, column = divmod(int(flat), len(columns))
        pair, i = pairs[row], columns[column]
        print(
            f"{part[row, column]:.2e}  {FEATURE_NAMES[i]:45} {pair.clip}, {pair.seconds:.1f} s,"
            f" {pair.contour.voiced} voiced frames: ours {pair.ours[i]:.6g} reference {pair.reference[i]:.6g}"
        )


def line(group: Group, values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    bounds = [
        group.spread_bound if FEATURE_NAMES[i].endswith("_stddevNorm") else group.bound for i in group.indices
    ]
    met, close = np.mean(values <= bounds), np.mean(values <= 1e-4)
    return f"{group.title:20} {np.median(values):9.1e} {values.max():9.1e} {close:8.2%} {met:10.2%}"


if __name__ == "__main__":
    sys.exit(main())
