"""Formants: spectral resampling to 11 kHz, linear prediction, roots (specification 9).

Source: Makhoul 1975. In `compat` these are not the resonances of the voice (Q8 to Q11): 9.5 of the
specification gives the evidence. No insight is made from them. In `corrected` the whole windowed frame is used, with
all that lies below 5.5 kHz, and the polynomial is the error filter's own. Its autocorrelation at 11 kHz is then the
cosine transform of the power spectrum (Wiener-Khinchin): nothing wraps around, as the zeros behind a frame are
longer than the largest lag. A lag window as broad as the pitch asks for keeps the roots from settling on single
harmonics of high voices (Tohkura, Itakura and Hashimoto 1978).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sottovoce.voice.egemaps.frames import Stream
from sottovoce.voice.egemaps.numeric import F32, F64, as_float32, frozen, round_half_away

RATE_HZ = 11000.0
ORDER = 11
FORMANTS = 3
LOWEST_HZ, HIGHEST_HZ = 50.0, 5450.0
SMOOTHING = 0.35  # of F0; chosen on synthetic vowels of 98 to 214 Hz: from 0.33 to 0.4 none loses a formant


@dataclass(frozen=True, slots=True, eq=False)
class Formants:
    """The three lowest, ascending; 0 where there is none."""

    frequency_hz: F32  # (frames, 3)
    bandwidth_hz: F32  # (frames, 3)


def find_formants(windowed: F32, _f0_hz: F32, stream: Stream) -> Formants:
    """(frames, length) Hamming-windowed 20 ms frames -> formants of `compat`, which do without the F0."""
    resampled = windowed.astype(np.float64) @ resampling_map(stream)
    polynomials = prediction_error_filter(autocorrelation(resampled))
    return formants_of(roots(polynomials))


def find_formants_corrected(power: F32, f0_hz: F32, stream: Stream) -> Formants:
    """(frames, bins) power of the 20 ms frames and (frames,) F0 -> formants of the profile `corrected`."""
    cosines = autocorrelation_map(stream)
    r = power[:, : len(cosines)].astype(np.float64) @ cosines
    r *= lag_window(f0_hz.astype(np.float64))
    return formants_of(roots(-prediction_error_filter(r)))


@lru_cache(maxsize=8)
def autocorrelation_map(stream: Stream) -> F64:
    """(bins below 5.5 kHz, 12): power spectrum -> autocorrelation at 11 kHz, lags 0 to 11."""
    limit = int(RATE_HZ / 2 * stream.duration_s + 1e-9)
    k = np.arange(limit + 1)
    cosines = 2 * np.cos(2 * np.pi * np.outer(k / stream.duration_s / RATE_HZ, np.arange(ORDER + 1)))
    cosines[0] /= 2  # DC has no mirror image; nor has half the rate, where a bin lies on it
    if limit == RATE_HZ / 2 * stream.duration_s:
        cosines[-1] /= 2
    return frozen(cosines / stream.fft_size)


def lag_window(f0_hz: F64) -> F64:
    """(frames, 12) Gaussian over the lags; in the spectrum it smooths with a deviation of SMOOTHING * F0."""
    lag_s = np.arange(ORDER + 1) / RATE_HZ
    window: F64 = np.exp(-0.5 * (2 * np.pi * SMOOTHING * np.outer(f0_hz, lag_s)) ** 2)
    return window


@lru_cache(maxsize=8)
def resampling_map(stream: Stream) -> F64:
    """(length, points): windowed frame -> its signal at nominally 11 kHz, as one linear map (9.1)."""
    size, shrink = stream.fft_size, stream.frame_s / stream.duration_s
    points = round_half_away(size * (RATE_HZ / stream.sample_rate_hz) * shrink)
    period = size * points / (size * shrink)
    limit = min(size, points) // 2  # Q9: this many bins only
    k = np.arange(1, limit)
    sample = (size - stream.length) // 2 + np.arange(stream.length)
    forward = np.exp(-2j * np.pi * np.outer(sample, k) / size)
    backward = np.exp(2j * np.pi * np.outer(k, np.arange(points)) / period)
    return frozen(2 / size * (1 + (forward @ backward).real))  # Q8: DC with double weight


def autocorrelation(frames: F64) -> F64:
    """(frames, n) -> (frames, 12) sums of lagged products, neither windowed nor normalised."""
    n = frames.shape[1]
    lags = [np.einsum("ij,ij->i", frames[:, lag:], frames[:, : n - lag]) for lag in range(ORDER + 1)]
    return np.stack(lags, axis=1)


def prediction_error_filter(r: F64) -> F64:
    """(frames, 12) -> (frames, 11) coefficients a of 1 + sum a_i z^-i by Durbin; 0 where there is no energy."""
    r = np.ascontiguousarray(r.T)  # one row per lag: each step is one sweep over all frames
    a, error = np.zeros((ORDER, r.shape[1])), r[0].copy()
    for m in range(1, ORDER + 1):
        rest = r[m] + np.add.reduce(a[: m - 1] * r[m - 1 : 0 : -1], axis=0)
        k = np.divide(-rest, error, out=np.zeros_like(error), where=error != 0)
        a[: m - 1] += k * a[: m - 1][::-1]
        a[m - 1] = k
        error *= 1 - k * k
    return np.ascontiguousarray(a.T)


def roots(a: F64) -> NDArray[np.complex128]:
    """(frames, 11) -> (frames, 11) roots of z^11 - sum a_i z^(11-i), reflected into the unit circle.

    Q11: the sign of each a_i is flipped against the error filter; `corrected` passes -a. Rows of zeros have no
    roots: all 0.
    """
    companion = np.zeros((len(a), ORDER, ORDER))
    companion[:, 0, :] = a
    companion[:, np.arange(1, ORDER), np.arange(ORDER - 1)] = 1.0
    found = np.zeros((len(a), ORDER), dtype=np.complex128)
    present = a.any(axis=1)
    found[present] = np.linalg.eigvals(companion[present])
    outside = np.abs(found) > 1
    return np.where(outside, 1 / np.conj(np.where(outside, found, 1.0)), found)


def formants_of(z: NDArray[np.complex128]) -> Formants:
    """(frames, 11) roots -> the three lowest frequencies of 50..5450 Hz, with their bandwidths."""
    frequency = np.angle(z) * RATE_HZ / (2 * np.pi)
    distance = np.where(z == 0, 1.0, np.abs(z))
    bandwidth = -np.log(distance) * RATE_HZ / np.pi
    keep = (z.imag >= 0) & (frequency >= LOWEST_HZ) & (frequency <= HIGHEST_HZ)
    order = np.argsort(np.where(keep, frequency, np.inf), axis=1, kind="stable")[:, :FORMANTS]
    lowest = (
        np.take_along_axis(np.where(keep, values, 0.0), order, axis=1) for values in (frequency, bandwidth)
    )
    return Formants(*(as_float32(values) for values in lowest))
