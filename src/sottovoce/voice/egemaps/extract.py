"""88 eGeMAPS v02 functionals of a recording, profiles `compat` and `corrected` (specification 2 to 15).

>>> import numpy as np
>>> silence = extract(np.zeros(16000), 16000)
>>> round(silence.as_dict()["equivalentSoundLevel_dBp"])
-120

The work: frames -> magnitudes -> low-level contours (`lowlevel`) -> smoothing -> functionals.
Everything is deterministic: two runs are bit-identical. Nothing is imported late, written or started, so that
it runs inside the sealed child.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sottovoce.errors import AudioRejected, UsageError
from sottovoce.model.features import FeatureVector
from sottovoce.voice.egemaps import contours, frames, functionals
from sottovoce.voice.egemaps.lowlevel import Contours, Measurement
from sottovoce.voice.egemaps.numeric import F32, F64
from sottovoce.voice.egemaps.peaks import measure_slopes
from sottovoce.voice.egemaps.segments import measure_segments
from sottovoce.voice.resample import MAXIMUM_RATE_HZ, MINIMUM_RATE_HZ, RATE_HZ, resample

MINIMUM_S = 0.1
PIECE = 1 << 19  # samples that are rounded to 16 bits at once: bounds the memory
VOICED_SEMITONE = 1e-6


@dataclass(frozen=True, slots=True)
class Profile:
    """One exact definition of the 88 values; vectors of different profiles or versions are never mixed."""

    name: str
    version: str
    corrected: bool  # the defects Q3 to Q16 of the reference definition are repaired


COMPAT = Profile("compat", "egemaps-88/1", corrected=False)
CORRECTED = Profile("corrected", "egemaps-88/c1", corrected=True)
PROFILES = {profile.name: profile for profile in (COMPAT, CORRECTED)}


@dataclass(frozen=True, slots=True)
class Analysis:
    """The features, and what is needed to judge them."""

    features: FeatureVector
    voiced_frames: int  # 10 ms frames with F0 > 0
    frames: int  # 10 ms frames in all (of the 60 ms stream)


def extract(
    samples: NDArray[np.floating], sample_rate_hz: int, *, profile: str = COMPAT.name, native: bool = False
) -> FeatureVector:
    """Features of a recording; arguments and errors as `analyse`."""
    return analyse(samples, sample_rate_hz, profile=profile, native=native).features


def analyse(
    samples: NDArray[np.floating],
    sample_rate_hz: int = RATE_HZ,
    *,
    profile: str = COMPAT.name,
    native: bool = False,
) -> Analysis:
    """Features and frame counts of one recording.

    samples: (n,) mono, -1..1, at `sample_rate_hz`; anything but 16 kHz is resampled, unless `native` (for
    comparisons only: most features depend on the rate).

    Raises AudioRejected with reason `non_finite` for NaN or infinity, `too_short` for less than 100 ms,
    `sample_rate` for a rate outside 8..192 kHz; UsageError for an unknown profile, a shape that is not (n,), or a
    native rate without whole samples per 10 ms, or other than 16 kHz with `corrected` (Q2).
    """
    low, rate_hz, chosen = _measured(samples, sample_rate_hz, profile, native)
    return analysis_of(low, rate_hz, chosen)


def low_level(
    samples: NDArray[np.floating], sample_rate_hz: int, *, profile: str = COMPAT.name
) -> tuple[F32, Profile]:
    """(frames, 25) smoothed contours in the order of specification 14; arguments and errors as `analyse`."""
    low, _, chosen = _measured(samples, sample_rate_hz, profile, False)
    return table_of(low), chosen


def analysis_of(low: Contours, rate_hz: int, chosen: Profile) -> Analysis:
    """The features of measured contours, for those who feed a `Measurement` themselves."""
    values = tuple(_functionals(low, corrected=chosen.corrected))
    vector = FeatureVector(values, chosen.name, chosen.version, rate_hz)
    return Analysis(vector, voiced_frames=int(np.sum(low.pitch.voiced)), frames=len(low.pitch.voiced))


def table_of(low: Contours) -> F32:
    """(frames, 25) measured contours, smoothed, in the order of specification 14."""
    count = len(low.pitch.f0_hz)
    table = np.empty((count, 25), dtype=np.float32)
    table[:, 0] = contours.smooth(low.loudness)[:count]
    table[:, 1:5] = contours.smooth(low.balance)[:count]
    table[:, 5:10] = contours.smooth(low.flux_and_mfcc)[:count]
    table[:, 10] = contours.smooth_nonzero(low.pitch.semitones)
    table[:, 11:] = contours.smooth_nonzero(low.voice)
    return table


def profile_of(name: str) -> Profile:
    """The profile of that name; UsageError where there is none."""
    if name not in PROFILES:
        known = ", ".join(sorted(PROFILES))
        raise UsageError("There is no feature profile of that name.", hint=f"Known profiles: {known}.")
    return PROFILES[name]


def _measured(
    samples: NDArray[np.floating], sample_rate_hz: int, profile: str, native: bool
) -> tuple[Contours, int, Profile]:
    chosen = profile_of(profile)
    checked = _checked(samples, sample_rate_hz)
    if native:
        _check_native(sample_rate_hz, chosen)
        signal, rate_hz = checked, sample_rate_hz
    else:
        signal, rate_hz = resample(checked, sample_rate_hz), RATE_HZ
    measurement = Measurement(rate_hz, corrected=chosen.corrected)
    for start in range(0, len(signal), PIECE):
        measurement.feed(frames.quantise(signal[start : start + PIECE]))
    return measurement.finish(), rate_hz, chosen


def _functionals(low: Contours, *, corrected: bool = False) -> list[float]:
    """The 88 values in canonical order (specification 14)."""
    semitones = low.pitch.semitones
    voiced = semitones > VOICED_SEMITONE
    # Q14: what hangs on the pitch is evaluated without the frames that an online decoder still holds. Where it
    # holds them all (a steady tone little longer than 100 ms) the specification leaves it open: all are used.
    kept = len(semitones) - low.pitch.undecided * (not corrected) or len(semitones)
    pitch_contour = contours.smooth_nonzero(semitones)[:kept]
    voiced_pitch = pitch_contour[pitch_contour != 0]
    loudness = contours.smooth(low.loudness)
    loudness_slopes = measure_slopes(loudness, corrected=corrected)
    spectral = np.concatenate((low.balance, low.flux_and_mfcc), axis=1)[: len(voiced)]
    in_voice = _smooth_each(contours.only_where(spectral, voiced), kept)
    in_rest = _smooth_each(contours.only_where(spectral[:, :5], ~voiced), kept)[::2]
    del spectral  # of a long recording: the memory is needed below
    return [
        *functionals.ten(voiced_pitch, measure_slopes(voiced_pitch, corrected=corrected)),
        *functionals.ten(loudness, loudness_slopes),
        *_each(contours.smooth(low.flux_and_mfcc), functionals.mean_and_spread),
        *_each(contours.smooth_nonzero(low.voice[:kept]), functionals.mean_and_spread_nonzero),
        *in_voice,
        *in_rest,
        loudness_slopes.peaks / (0.01 * len(loudness)),
        *_segments(pitch_contour, corrected),
        low.level_db,
    ]


def _segments(pitch_contour: F32, corrected: bool) -> list[float]:
    voiced = measure_segments(pitch_contour != 0, corrected=corrected)
    unvoiced = measure_segments(pitch_contour == 0, corrected=corrected)
    return [voiced.per_second, voiced.mean_s, voiced.std_s, unvoiced.mean_s, unvoiced.std_s]


def _smooth_each(table: F32, kept: int) -> list[float]:
    """Mean and spread of what is not 0 in each column, smoothed."""
    return _each(contours.smooth_nonzero(table)[:kept], functionals.mean_and_spread_nonzero)


def _each(table: F32, functional: Callable[[F32], list[float]]) -> list[float]:
    return [value for column in table.T for value in functional(np.ascontiguousarray(column))]


def _checked(samples: NDArray[np.floating], sample_rate_hz: int) -> F64:
    if samples.ndim != 1:
        raise UsageError(
            "Samples are one channel, an array of shape (n,).", hint="Choose or mix a channel first."
        )
    if not MINIMUM_RATE_HZ <= sample_rate_hz <= MAXIMUM_RATE_HZ:
        raise AudioRejected("The sample rate is outside 8,000 to 192,000 Hz.", reason="sample_rate")
    if not np.isfinite(samples).all():
        raise AudioRejected("The recording holds values that are not numbers.", reason="non_finite")
    if len(samples) < MINIMUM_S * sample_rate_hz:
        raise AudioRejected(
            "The recording is shorter than 100 ms.", reason="too_short", hint="Record a longer one."
        )
    return samples.astype(np.float64, copy=False)


def _check_native(sample_rate_hz: int, profile: Profile) -> None:
    if profile.corrected and sample_rate_hz != RATE_HZ:
        raise UsageError(
            "The profile `corrected` is defined at 16 kHz only.", hint="Leave `native` out, or use `compat`."
        )
    if sample_rate_hz % 100:
        raise UsageError(
            "Without resampling the sample rate must be a multiple of 100 Hz.",
            hint="Leave `native` out: the recording is then resampled to 16 kHz.",
        )
