"""88 eGeMAPS v02 functionals of a recording, profile `compat` (specification 2 to 15).

>>> import numpy as np
>>> silence = extract(np.zeros(16000), 16000)
>>> round(silence.as_dict()["equivalentSoundLevel_dBp"])
-120

The work is one pass over whole arrays: frames -> magnitudes -> low-level contours -> smoothing -> functionals.
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
from sottovoce.voice.egemaps import (
    balance,
    contours,
    formants,
    frames,
    functionals,
    harmonics,
    mel,
    periods,
    pitch,
)
from sottovoce.voice.egemaps.numeric import F32, F64
from sottovoce.voice.egemaps.peaks import measure_slopes
from sottovoce.voice.egemaps.segments import measure_segments
from sottovoce.voice.resample import MAXIMUM_RATE_HZ, MINIMUM_RATE_HZ, RATE_HZ, resample

MINIMUM_S = 0.1
VOICED_SEMITONE = 1e-6
NO_AMPLITUDE_DB = -201.0  # Q13


@dataclass(frozen=True, slots=True)
class Profile:
    """One exact definition of the 88 values; vectors of different profiles or versions are never mixed."""

    name: str
    version: str


COMPAT = Profile("compat", "egemaps-88/1")
PROFILES = {COMPAT.name: COMPAT}


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
    native rate without whole samples per 10 ms.
    """
    chosen = _profile(profile)
    checked = _checked(samples, sample_rate_hz)
    if native:
        _check_native(sample_rate_hz)
        signal, rate_hz = checked, sample_rate_hz
    else:
        signal, rate_hz = resample(checked, sample_rate_hz), RATE_HZ
    steps = frames.quantise(signal)
    low = _measure(steps, rate_hz)
    vector = FeatureVector(tuple(_functionals(low)), chosen.name, chosen.version, rate_hz)
    return Analysis(vector, voiced_frames=int(np.sum(low.pitch.voiced)), frames=len(low.pitch.voiced))


@dataclass(frozen=True, slots=True, eq=False)
class _Contours:
    """Low-level values before smoothing; the 20 ms stream has a few frames more than the 60 ms stream."""

    pitch: pitch.Pitch
    level_db: float
    loudness: F32  # (frames20,)
    balance: F32  # (frames20, 4): alpha ratio, Hammarberg index, two slopes
    flux_and_mfcc: F32  # (frames20, 5)
    voice: F32  # (frames60, 14): jitter, shimmer, HNR, H1-H2, H1-A3, then frequency, bandwidth, amplitude x 3


def _measure(steps: F64, rate_hz: int) -> _Contours:
    short, long = frames.stream_20ms(rate_hz), frames.stream_60ms(rate_hz)
    signal = frames.to_signal(steps)
    windowed = frames.hamming(frames.split(signal, short))
    magnitude = frames.magnitudes(windowed, short)
    power = magnitude * magnitude
    bands = mel.mel_bands(power, short)
    contour, voice = _measure_voice(steps, signal, windowed, long, short)
    return _Contours(
        contour,
        functionals.sound_level_db(frames.split(signal, short)),
        mel.loudness(bands, short),
        _columns(
            balance.alpha_ratio(power, short),
            balance.hammarberg_index(power, short),
            balance.spectral_slopes(power, short),
        ),
        _columns(balance.spectral_flux(magnitude, short), mel.mfcc(bands)),
        voice,
    )


def _measure_voice(
    steps: F64, signal: F32, windowed_20ms: F32, long: frames.Stream, short: frames.Stream
) -> tuple[pitch.Pitch, F32]:
    """The pitch contour, and the 14 contours that need it: 0 in unvoiced frames, but for the amplitudes (Q13)."""
    windowed = frames.gaussian(frames.split(signal, long))
    magnitude = frames.magnitudes(windowed, long)
    contour = pitch.track(windowed, magnitude, long)
    perturbation = periods.measure(steps, signal, contour.f0_hz, long)
    voice = np.zeros((len(windowed), 14), dtype=np.float32)
    voice[:, 0], voice[:, 1] = perturbation.jitter, perturbation.shimmer_db
    voice[:, 7::3] = NO_AMPLITUDE_DB
    at = np.flatnonzero(contour.voiced)
    if len(at):
        found = formants.find_formants(windowed_20ms[at], short)
        voice[at, 2:] = _spectral_voice(magnitude[at], contour.f0_hz[at], found, long)
    return contour, voice


def _spectral_voice(magnitude: F32, f0_hz: F32, found: formants.Formants, stream: frames.Stream) -> F32:
    """(voiced frames, 12): HNR, H1-H2, H1-A3, then frequency, bandwidth and amplitude of three formants."""
    peaks = harmonics.find_harmonics(magnitude, f0_hz, stream)
    amplitudes, present = harmonics.formant_amplitudes(peaks, found.frequency_hz)
    h1_h2, h1_a3 = harmonics.level_differences(peaks, amplitudes[:, 2], present[:, 2])
    per_formant = np.stack((found.frequency_hz, found.bandwidth_hz, amplitudes.astype(np.float32)), axis=2)
    hnr = harmonics.harmonics_to_noise(magnitude, f0_hz, stream)
    return _columns(hnr, h1_h2, h1_a3, per_formant.reshape(len(f0_hz), -1))


def _functionals(low: _Contours) -> list[float]:
    """The 88 values in canonical order (specification 14)."""
    semitones = low.pitch.semitones
    voiced = semitones > VOICED_SEMITONE
    # Q14: what hangs on the pitch is evaluated without the frames that an online decoder still holds. Where it
    # holds them all (a steady tone little longer than 100 ms) the specification leaves it open: all are used.
    kept = len(semitones) - low.pitch.undecided or len(semitones)
    pitch_contour = contours.smooth_nonzero(semitones)[:kept]
    voiced_pitch = pitch_contour[pitch_contour != 0]
    loudness = contours.smooth(low.loudness)
    loudness_slopes = measure_slopes(loudness)
    spectral = np.concatenate((low.balance, low.flux_and_mfcc), axis=1)[: len(voiced)]
    in_voice = contours.smooth_nonzero(contours.only_where(spectral, voiced))[:kept]
    in_rest = contours.smooth_nonzero(contours.only_where(spectral[:, :5], ~voiced))[:kept]
    return [
        *functionals.ten(voiced_pitch, measure_slopes(voiced_pitch)),
        *functionals.ten(loudness, loudness_slopes),
        *_each(contours.smooth(low.flux_and_mfcc), functionals.mean_and_spread),
        *_each(contours.smooth_nonzero(low.voice[:kept]), functionals.mean_and_spread_nonzero),
        *_each(in_voice, functionals.mean_and_spread_nonzero),
        *_each(in_rest, lambda values: functionals.mean_and_spread_nonzero(values)[:1]),
        loudness_slopes.peaks / (0.01 * len(loudness)),
        *_segments(pitch_contour),
        low.level_db,
    ]


def _segments(pitch_contour: F32) -> list[float]:
    voiced, unvoiced = measure_segments(pitch_contour != 0), measure_segments(pitch_contour == 0)
    return [voiced.per_second, voiced.mean_s, voiced.std_s, unvoiced.mean_s, unvoiced.std_s]


def _each(table: F32, functional: Callable[[F32], list[float]]) -> list[float]:
    return [value for column in table.T for value in functional(np.ascontiguousarray(column))]


def _columns(*parts: NDArray[np.floating]) -> F32:
    return np.column_stack(parts).astype(np.float32)


def _profile(name: str) -> Profile:
    if name not in PROFILES:
        known = ", ".join(sorted(PROFILES))
        raise UsageError("There is no feature profile of that name.", hint=f"Known profiles: {known}.")
    return PROFILES[name]


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
    return samples.astype(np.float64)


def _check_native(sample_rate_hz: int) -> None:
    if sample_rate_hz % 100:
        raise UsageError(
            "Without resampling the sample rate must be a multiple of 100 Hz.",
            hint="Leave `native` out: the recording is then resampled to 16 kHz.",
        )
