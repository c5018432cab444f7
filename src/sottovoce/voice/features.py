"""The features alone, for people who want nothing else: of samples, of one window after the other, frame by frame.

    import sottovoce

    features = sottovoce.egemaps(samples, 16000)
    features.as_dict(), features.quality, features.numpy(), features.dataframe()

Nothing is stored, sealed or logged here. The numbers are personal data all the same.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sottovoce.errors import ExtraMissing, UsageError
from sottovoce.model.features import FEATURE_NAMES, MINIMUM_VOICED_FRAMES, FeatureVector, Quality
from sottovoce.voice import quality as judging
from sottovoce.voice.egemaps.extract import MINIMUM_S, Analysis, analyse, low_level
from sottovoce.voice.quality import Finding

HOP_S = 0.01
LLD_NAMES: tuple[str, ...] = (
    *(
        f"{name}_sma3"
        for name in ("Loudness", "alphaRatio", "hammarbergIndex", "slope0-500", "slope500-1500")
    ),
    *(f"{name}_sma3" for name in ("spectralFlux", "mfcc1", "mfcc2", "mfcc3", "mfcc4")),
    *(f"{name}_sma3nz" for name in ("F0semitoneFrom27.5Hz", "jitterLocal", "shimmerLocaldB", "HNRdBACF")),
    *(f"{name}_sma3nz" for name in ("logRelF0-H1-H2", "logRelF0-H1-A3")),
    *(f"F{k}{name}_sma3nz" for k in (1, 2, 3) for name in ("frequency", "bandwidth", "amplitudeLogRelF0")),
)


@dataclass(frozen=True, slots=True)
class Features(FeatureVector):
    """88 features with what tells how far to trust them; a FeatureVector wherever one is asked for."""

    quality: Quality

    def numpy(self) -> NDArray[np.float64]:
        """(88,) float64, in the order of `names`."""
        return np.array(self.values)

    def dataframe(self) -> Any:
        """One row with 88 named columns; ExtraMissing where pandas is not installed."""
        return _pandas().DataFrame([self.values], columns=list(self.names))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Silence, clipping, noise, ... in words, with the measured values."""
        return judging.gate(self.quality, self.values[FEATURE_NAMES.index("equivalentSoundLevel_dBp")])


@dataclass(frozen=True, slots=True, eq=False)
class LowLevel:
    """The smoothed contours, one row per 10 ms (60 ms frames, left-aligned); 0 where a frame has no voice."""

    values: NDArray[np.float32] = field(repr=False)  # (frames, 25)
    profile: str
    version: str

    @property
    def names(self) -> tuple[str, ...]:
        return LLD_NAMES

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(frames,) start of each frame."""
        return HOP_S * np.arange(len(self.values), dtype=np.float64)

    def dataframe(self) -> Any:
        """One row per frame; ExtraMissing where pandas is not installed."""
        return _pandas().DataFrame(self.values, columns=list(LLD_NAMES))


def egemaps(samples: NDArray[Any], sample_rate_hz: int, profile: str = "compat") -> Features:
    """88 eGeMAPS features of one channel.

    samples: (n,), floating point of -1..1 or int16, at 8,000 to 192,000 Hz (resampled to 16 kHz).

    Raises AudioRejected (`too_short`, `non_finite`, `sample_rate`), UsageError for another shape, type or profile.
    """
    signal = as_signal(samples)
    return _features(signal, sample_rate_hz, analyse(signal, sample_rate_hz, profile=profile))


def egemaps_per(
    samples: NDArray[Any],
    sample_rate_hz: int,
    seconds: float,
    *,
    hop_s: float | None = None,
    profile: str = "compat",
) -> Iterator[tuple[float, float, Features]]:
    """Start, end (s) and features of one window after the other; `hop_s` from start to start (default: `seconds`).

    A rest of less than 100 ms has no features. Errors as `egemaps`; UsageError for a window of less than 100 ms.
    """
    step_s = seconds if hop_s is None else hop_s
    if not (seconds >= MINIMUM_S and 0 < step_s < float("inf")):
        raise UsageError("A window has at least 100 ms, and a hop above 0.", hint="For example --per 3.")
    signal = as_signal(samples)
    length, least = len(signal) / sample_rate_hz, MINIMUM_S
    index = 0
    while index == 0 or length - index * step_s >= least:
        start = round(index * step_s * sample_rate_hz)
        piece = signal[start : start + round(seconds * sample_rate_hz)]
        start_s = start / sample_rate_hz
        yield start_s, start_s + len(piece) / sample_rate_hz, egemaps(piece, sample_rate_hz, profile)
        index += 1


def lld(samples: NDArray[Any], sample_rate_hz: int, profile: str = "compat") -> LowLevel:
    """The 25 low-level contours of one channel; arguments and errors as `egemaps`.

    Other than in openSMILE, formants of unvoiced frames are 0, and there is no row beyond the last complete frame.
    """
    table, chosen = low_level(as_signal(samples), sample_rate_hz, profile=profile)
    return LowLevel(table, chosen.name, chosen.version)


def as_signal(samples: NDArray[Any]) -> NDArray[np.float64]:
    """int16 or floating point (n,) -> float64; UsageError for anything else."""
    array = np.asarray(samples)
    if array.dtype == np.int16:
        array = array / 32768.0
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.floating):
        raise UsageError(
            "Samples are one channel: an array of shape (n,), floating point or int16.",
            hint="Choose a channel first, for example samples[:, 0].",
        )
    return array.astype(np.float64, copy=False)


def _features(signal: NDArray[np.float64], sample_rate_hz: int, analysis: Analysis) -> Features:
    vector = analysis.features
    measured = judging.measure(signal, sample_rate_hz)
    flags = set(measured.flags)
    if analysis.voiced_frames < MINIMUM_VOICED_FRAMES:
        flags.add("few_voiced_frames" if analysis.voiced_frames else "no_voice")
    quality = Quality(
        duration_s=len(signal) / sample_rate_hz,
        voiced_frames=analysis.voiced_frames,
        clipped_share=measured.clipped_share,
        snr_db=measured.snr_db,
        source_codec="samples",
        source_rate_hz=sample_rate_hz,
        source_channels=1,
        channel="0",
        flags=tuple(sorted(flags)),
    )
    return Features(vector.values, vector.profile, vector.version, vector.sample_rate_hz, quality)


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise ExtraMissing(
            "A dataframe needs pandas.", hint="Install pandas, or use numpy() or as_dict()."
        ) from None
