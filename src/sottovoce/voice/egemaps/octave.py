"""The 60 ms spectrum on an octave scale: enhanced, smoothed, interpolated, weighted (specification 7.1).

Source: Hermes 1988. The natural cubic spline is one tridiagonal solve for all frames at once; its factors
depend on the stream only, so smoothing, spline and weights become one linear map.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sottovoce.voice.egemaps import kernels
from sottovoce.voice.egemaps.frames import Stream
from sottovoce.voice.egemaps.numeric import F32, F64, Bools, Ints, frozen

Spectrum = TypeVar("Spectrum", F32, F64)

LOWEST_HZ = 25.0
REACH = 40  # bins on each side of a point that the spline looks at
KEPT_BESIDE_PEAK = 2  # bins on each side of a peak that enhancement leaves as they are


@dataclass(frozen=True, slots=True, eq=False)
class OctaveAxis:
    """Equidistant points in log2(frequency), as many as there are bins, from 25 Hz to half the sample rate."""

    points: F64  # (n,) log2 Hz
    step: float  # octaves between two points
    points_per_octave: float
    weights: F64  # (n,) auditory weight


def octave_spectrum(magnitude: F32, stream: Stream, *, corrected: bool = False) -> F32:
    """(frames, bins) -> (frames, bins) weighted spectrum on `octave_axis(stream).points`; never negative."""
    compiled = kernels.library()
    enhance = compiled.enhanced if compiled is not None else enhanced
    spectrum = enhance(magnitude, corrected=corrected).astype(np.float64, copy=False)
    result = np.empty(magnitude.shape, dtype=np.float32)
    for points, bins, weights in _bands(stream):
        result[:, points] = np.maximum(spectrum[:, bins] @ weights, 0.0)
    return result


@lru_cache(maxsize=8)
def _bands(stream: Stream) -> tuple[tuple[slice, slice, F64], ...]:
    """Smoothing, spline and weights are linear: (points, bins, (bins, points)) of the map, in four bands.

    Most points lie among the lowest bins. A bin REACH bins away from a point has a share of 0.268^REACH, far below
    what float64 can tell apart.
    """
    axis, knots = octave_axis(stream), _knots(stream)
    spline = natural_spline(knots, smoothed(np.eye(stream.bins)), axis.points) * axis.weights
    edges = [stream.bins * share // 16 for share in (0, 8, 12, 14, 16)]
    bands = []
    for first, stop in pairwise(edges):
        low, high = np.searchsorted(knots, axis.points[[first, stop - 1]]).tolist()
        bins = slice(max(low - REACH, 0), min(high + REACH, stream.bins))
        bands.append((slice(first, stop), bins, frozen(np.ascontiguousarray(spline[bins, first:stop]))))
    return tuple(bands)


@lru_cache(maxsize=8)
def octave_axis(stream: Stream) -> OctaveAxis:
    n = stream.bins
    highest_hz = (n - 1) / float(np.float32(stream.duration_s))
    step = (np.log2(highest_hz) - np.log2(LOWEST_HZ)) / (n - 1)
    per_octave = n / np.log2(highest_hz / LOWEST_HZ)
    centre = per_octave * np.log2(65 / 50) - 1
    weights = 0.5 + np.arctan(3 * (np.arange(1, n + 1) - centre) / per_octave) / np.pi
    points = np.log2(LOWEST_HZ) + np.arange(n) * step
    return OctaveAxis(frozen(points), float(step), float(per_octave), frozen(weights))


def enhanced(spectrum: Spectrum, *, corrected: bool = False) -> Spectrum:
    """Zero what lies between two peaks and further than two bins from both; outside them nothing changes.

    Q4: with exactly one peak everything from bin 3 upward is zeroed; in `corrected` nothing changes then.
    """
    peaks = _peaks(spectrum)
    keep = _near(peaks) | ~_between_peaks(peaks)
    if not corrected:
        single = peaks.sum(axis=1) == 1
        keep[single, :3] = True
        keep[single, 3:] = False
    return spectrum * keep


def smoothed(spectrum: F64) -> F64:
    """Weights 1/4, 1/2, 1/4; nothing lies below the first bin, and the last one stays."""
    result = spectrum.copy()
    result[:, :-1] = (2 * spectrum[:, :-1] + spectrum[:, 1:]) / 4
    result[:, 1:-1] += spectrum[:, :-2] / 4
    return result


def natural_spline(knots: F64, values: F64, points: F64) -> F64:
    """Natural cubic spline through (knots, values[row]) at `points`, for each row; all inside the knots.

    knots (n,) ascending, values (rows, n), points (m,) -> (rows, m).
    """
    columns = np.ascontiguousarray(values.T)
    bends = _second_derivatives(np.diff(knots), columns)
    left = np.clip(np.searchsorted(knots, points, side="right") - 1, 0, len(knots) - 2)
    return _evaluate(knots, columns, bends, left, points).T


def _peaks(a: NDArray[np.floating]) -> Bools:
    peaks = np.zeros(a.shape, dtype=np.bool_)
    peaks[:, 0] = a[:, 0] > a[:, 1]
    peaks[:, 1:-1] = (a[:, 1:-1] > a[:, :-2]) & (a[:, 1:-1] >= a[:, 2:])
    peaks[:, -1] = a[:, -1] > a[:, -2]
    return peaks


def _near(peaks: Bools) -> Bools:
    near = peaks.copy()
    for distance in range(1, KEPT_BESIDE_PEAK + 1):
        near[:, distance:] |= peaks[:, :-distance]
        near[:, :-distance] |= peaks[:, distance:]
    return near


def _between_peaks(peaks: Bools) -> Bools:
    """From the first to the last peak of each row; none where there is no peak."""
    bins = np.arange(peaks.shape[1])
    first = peaks.argmax(axis=1)[:, None]
    last = len(bins) - 1 - peaks[:, ::-1].argmax(axis=1)[:, None]
    between: Bools = (bins >= first) & (bins <= last) & peaks.any(axis=1, keepdims=True)
    return between


@lru_cache(maxsize=8)
def _knots(stream: Stream) -> F64:
    """(bins,) log2 of the bins' frequencies; bin 0, which has none, continues the first step downward."""
    knots = np.empty(stream.bins)
    knots[1:] = np.log2(np.arange(1, stream.bins) / float(np.float32(stream.duration_s)))
    knots[0] = 2 * knots[1] - knots[2]
    return frozen(knots)


def _second_derivatives(gaps: F64, y: F64) -> F64:
    """Thomas algorithm down the knots, all columns at once; zero at both ends."""
    slopes = np.diff(y, axis=0) / gaps[:, None]
    bends = np.zeros_like(y)
    upper = np.zeros(len(y))
    for i in range(1, len(y) - 1):
        pivot = 2 * (gaps[i - 1] + gaps[i]) - gaps[i - 1] * upper[i - 1]
        upper[i] = gaps[i] / pivot
        bends[i] = (6 * (slopes[i] - slopes[i - 1]) - gaps[i - 1] * bends[i - 1]) / pivot
    for i in range(len(y) - 2, 0, -1):
        bends[i] -= upper[i] * bends[i + 1]
    return bends


def _evaluate(knots: F64, y: F64, bends: F64, left: Ints, points: F64) -> F64:
    gap = knots[left + 1] - knots[left]
    b = (points - knots[left]) / gap
    a = 1 - b
    cubic_a, cubic_b = (a**3 - a) * gap**2 / 6, (b**3 - b) * gap**2 / 6
    linear = a[:, None] * y[left] + b[:, None] * y[left + 1]
    result: F64 = linear + cubic_a[:, None] * bends[left] + cubic_b[:, None] * bends[left + 1]
    return result
