"""Harmonics-to-noise ratio and levels of harmonics, of voiced frames (specification 10).

Sources: Boersma 1993 (HNR from the autocorrelation; the window's own is not divided out here, so norms of
other HNR definitions don't apply); Eyben et al. 2016 (H1-H2, H1-A3, formant amplitudes; Q12: in `compat`
"H1" and "H2" are the second and third harmonic). In `corrected` they are the first and the second; all heights,
the first one's too, are read from a parabola through the logarithms, which is exact for a Gaussian window; and what
is missing is 0, never a level of -200 dB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sottovoce.voice.egemaps import kernels
from sottovoce.voice.egemaps.frames import Stream
from sottovoce.voice.egemaps.numeric import F32, F64, Bools, Ints, as_float32, local_maxima, parabola_vertex

HARMONICS = 100
ACF_BLOCK = 64  # frames whose autocorrelations are made at once: they fit into the cache
HIGHEST_HZ = 6600.0  # nothing asks for a harmonic beyond: 1.2 times the highest formant, and a bin
NOT_FOUND_DB = -200.0
EMPTY_DB = -201.0
LIMIT_DB = 201.0
NO_NOISE = 1e11
SMALLEST = 1e-30  # of a magnitude whose logarithm is taken


@dataclass(frozen=True, slots=True, eq=False)
class Harmonics:
    """Up to 100 harmonics of each voiced frame, as many as anything asks for; index 0 is F0 itself."""

    frequency_hz: F64  # (frames, n), 0 where none was found
    magnitude: F64  # (frames, n), not interpolated, 0 where none was found
    relative_db: F64  # (frames, n) level against the first


def harmonics_to_noise(magnitude: F32, f0_hz: F32, stream: Stream) -> F32:
    """(frames, bins) and (frames,) > 0 -> (frames,) HNR in dB."""
    # float32 as in the reference definition: ties between neighbouring lags decide which one is a maximum
    acf = np.empty(magnitude.shape, dtype=np.float32)
    for start in range(0, len(acf), ACF_BLOCK):
        part = magnitude[start : start + ACF_BLOCK]
        lags = np.fft.irfft((part * part).astype(np.complex128), n=stream.fft_size, axis=1)
        acf[start : start + ACF_BLOCK] = np.abs(lags[:, : stream.bins])
    expected = np.floor(2 * stream.frequencies_hz()[-1] / f0_hz.astype(np.float64)).astype(np.intp)
    compiled = kernels.library()
    nearest = compiled.nearest_maximum if compiled is not None else _nearest_maximum
    lag = nearest(acf, expected)
    rows = np.arange(len(acf))
    at_lag, at_zero = acf[rows, lag].astype(np.float64), acf[:, 0].astype(np.float64)
    noise = at_zero - at_lag
    ratio = np.divide(at_lag, noise, out=np.full_like(noise, NO_NOISE), where=noise != 0)
    return as_float32(np.where(lag > 0, 10 * np.log10(np.clip(ratio, 1e-9, NO_NOISE)), 0.0))


def find_harmonics(magnitude: F32, f0_hz: F32, stream: Stream, *, corrected: bool = False) -> Harmonics:
    """(frames, bins) and (frames,) > 0 -> the spectral peaks nearest to the multiples of F0."""
    bins, found, doubled = _find(magnitude, f0_hz.astype(np.float64), stream.frequencies_hz())
    frequency, interpolated = _interpolate(magnitude, bins, found, stream, logarithmic=corrected)
    rows = np.arange(len(bins))[:, None]
    mag = np.where(found, magnitude[rows, bins].astype(np.float64), 0.0)
    first = interpolated[:, 0] if corrected else mag[:, 0]
    return _without(doubled, Harmonics(frequency, mag, _relative_db(first, interpolated)))


def formant_amplitudes(harmonics: Harmonics, formant_hz: F32) -> tuple[F64, Bools]:
    """(frames, 3) level in dB of the strongest harmonic within 20 % of each formant, and whether there is one."""
    levels, present = np.zeros(formant_hz.shape), np.zeros(formant_hz.shape, dtype=np.bool_)
    rows = np.arange(len(formant_hz))
    for k in range(formant_hz.shape[1]):
        centre = formant_hz[:, [k]].astype(np.float64)
        within = (harmonics.frequency_hz >= 0.8 * centre) & (harmonics.frequency_hz <= 1.2 * centre)
        candidates = np.where(within, harmonics.magnitude, 0.0)
        best = candidates.argmax(axis=1)
        present[:, k] = candidates[rows, best] > 0
        levels[:, k] = np.where(present[:, k], harmonics.relative_db[rows, best], 0.0)
    return levels, present


def level_differences(harmonics: Harmonics, third_db: F64, third_present: Bools) -> tuple[F32, F32]:
    """(frames,) `logRelF0-H1-H2` and `logRelF0-H1-A3` in dB, limited to +-201 (Q12)."""
    first = harmonics.relative_db[:, 1]
    h1_h2 = first - harmonics.relative_db[:, 2]
    h1_a3 = first - np.where(third_present, third_db, LIMIT_DB)
    return _limited(h1_h2), _limited(h1_a3)


def level_differences_corrected(harmonics: Harmonics, third_db: F64, third_present: Bools) -> tuple[F32, F32]:
    """(frames,) levels of the first harmonic over the second and over the third formant; 0 where one is missing."""
    first = harmonics.magnitude[:, 0] > 0
    second = harmonics.magnitude[:, 1] > 0
    h1_h2 = np.where(first & second, -harmonics.relative_db[:, 1], 0.0)
    h1_a3 = np.where(first & third_present, -third_db, 0.0)
    return as_float32(h1_h2), as_float32(h1_a3)


def _limited(level_db: F64) -> F32:
    return as_float32(np.clip(level_db, -LIMIT_DB, LIMIT_DB))


def _nearest_maximum(acf: F32, expected: Ints) -> Ints:
    """(frames,) the local maximum nearest to the expected lag, the shorter of two; 0 where there is none."""
    lags = np.arange(acf.shape[1])
    usable = local_maxima(acf)
    usable[:, [0, -1]] = False
    offset = lags - expected[:, None]
    order = np.where(usable, 2 * np.abs(offset) + (offset > 0), 2 * len(lags) + 2)
    nearest = order.argmin(axis=1)
    return np.where(usable[np.arange(len(acf)), nearest], nearest, 0)


def _find(magnitude: F32, f0_hz: F64, axis_hz: F64) -> tuple[Ints, Bools, Bools]:
    """(frames, n) bins of the harmonics, whether each is a peak, whether it is the one before once more.

    n: as many as anything asks for, at least 3 and at most 100.
    """
    below = np.flatnonzero((np.arange(HARMONICS) + 0.5) * float(f0_hz.min()) > HIGHEST_HZ)
    most = max(3, int(below[0])) if len(below) else HARMONICS
    compiled = kernels.library()
    if compiled is not None:
        return compiled.harmonics(magnitude, f0_hz, axis_hz, most)
    bins, found = _Search(axis_hz, magnitude, f0_hz).peaks(most)
    return bins, found, _doubled(bins)


class _Search:
    """Where the harmonics of all frames lie; one step per harmonic number, all frames at once."""

    def __init__(self, axis_hz: F64, magnitude: F32, f0_hz: F64) -> None:
        self.axis_hz = axis_hz
        self.f0_hz = f0_hz
        self.rows = np.arange(len(magnitude))
        self.last_bin = len(axis_hz) - 1
        is_peak = local_maxima(magnitude)
        bins = np.arange(len(axis_hz))
        self.peak_below = np.maximum.accumulate(np.where(is_peak, bins, -1), axis=1)
        none = len(axis_hz)
        above = np.where(is_peak, bins, none)[:, ::-1]
        self.peak_above = np.minimum.accumulate(above, axis=1)[:, ::-1]

    def peaks(self, most: int) -> tuple[Ints, Bools]:
        """(frames, most) bin of each harmonic, and whether it is a peak; bin 0 beyond the spectrum."""
        shape = (len(self.rows), most)
        bins, found = np.zeros(shape, dtype=np.intp), np.zeros(shape, dtype=np.bool_)
        last = self._near(0.5, np.ones_like(self.rows))
        first = self._near(0.5, last)
        for i in range(most):
            centre = self._near(i + 1, last)
            if not centre.any():
                break
            peak = self._peak_near(i, centre, last)
            found[:, i] = (centre > 0) & (peak >= first) & (peak < self.last_bin)
            bins[:, i] = np.where(found[:, i], peak, centre)
            last = centre
        return bins, found

    def _near(self, multiple: float, start: Ints) -> Ints:
        """Nearest bin to a multiple of F0, at or after `start` (give or take one); 0 beyond the last bin."""
        f = multiple * self.f0_hz
        after = np.maximum(np.searchsorted(self.axis_hz, f, side="right"), np.maximum(start, 1))
        inside = np.minimum(after, self.last_bin)
        lower = self.axis_hz[inside] - f > f - self.axis_hz[inside - 1]
        return np.where(after > self.last_bin, 0, inside - lower)

    def _peak_near(self, i: int, centre: Ints, last: Ints) -> Ints:
        """The peak at the centre, else the nearest one within half a harmonic (right wins); -1 if none."""
        right = self.peak_above[self.rows, np.minimum(centre, self.last_bin)]
        left = self.peak_below[self.rows, centre]
        right_ok = right <= np.maximum(self._near(i + 1.5, centre), np.where(right == centre, centre, 0))
        left_ok = left >= self._near(i + 0.5, last)
        right_first = right_ok & (~left_ok | (right - centre <= centre - left))
        return np.where(right_first, right, np.where(left_ok, left, -1))


def _interpolate(
    magnitude: F32, bins: Ints, found: Bools, stream: Stream, *, logarithmic: bool = False
) -> tuple[F64, F64]:
    """(frames, n) frequency and height of the parabola through each found peak; 0 elsewhere."""
    frequency, height = np.zeros((2, *bins.shape))
    row, _ = np.nonzero(found)
    at = bins[found]
    f = stream.frequencies_hz()
    y = tuple(magnitude[row, at + offset].astype(np.float64) for offset in (-1, 0, 1))
    if logarithmic:
        y = tuple(np.log(np.maximum(values, SMALLEST)) for values in y)
    vertex, top = parabola_vertex((f[at - 1], f[at], f[at + 1]), (y[0], y[1], y[2]))
    frequency[found], height[found] = vertex, np.exp(top) if logarithmic else top
    return frequency, height


def _relative_db(first: F64, interpolated: F64) -> F64:
    """(frames, n) level of each interpolated height against the first peak, which is not interpolated."""
    reference = np.where(first > 0, first, 1.0)[:, None]
    positive = interpolated > 0
    level = 20 * (np.log10(np.where(positive, interpolated, 1.0)) - np.log10(reference))
    relative = np.where(positive, np.maximum(level, NOT_FOUND_DB), NOT_FOUND_DB)
    relative[first <= 0] = EMPTY_DB
    relative[:, 0] = 0.0
    return relative


def _doubled(bins: Ints) -> Bools:
    """Whether a harmonic fell on the bin of the one before; the comparison sees those already emptied."""
    bins = bins.copy()
    double = np.zeros(bins.shape, dtype=np.bool_)
    for i in range(1, bins.shape[1]):
        double[:, i] = bins[:, i] == bins[:, i - 1]
        bins[double[:, i], i] = 0
    return double


def _without(double: Bools, harmonics: Harmonics) -> Harmonics:
    """Those harmonics emptied."""
    return Harmonics(
        np.where(double, 0.0, harmonics.frequency_hz),
        np.where(double, 0.0, harmonics.magnitude),
        np.where(double, EMPTY_DB, harmonics.relative_db),
    )
