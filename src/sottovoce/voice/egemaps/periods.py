"""Jitter and shimmer: the periods of the waveform, one after the other (specification 8).

Correlations use the samples as whole 16-bit steps held in float64, so every sum of products is exact: the same
period measured from two overlapping frames gives the same number, and a window without energy is found by
comparing with 0. Amplitudes use the float32 signal: two that are equal in steps may differ there in the last bit,
which decides whether a shimmer of exactly 0 is dropped from the statistics.

Q17: a period is float32; the difference of a period measured twice is then exactly 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sottovoce.voice.egemaps import kernels
from sottovoce.voice.egemaps.frames import Stream
from sottovoce.voice.egemaps.numeric import F32, F64, as_float32, frozen, round_half_away

CORRELATION_GATE = 0.5
_LONGEST_EXTRA = 1024  # lags of one period, 0.2 of it
_LAGS = np.arange(4096, dtype=np.float64)  # 192 kHz at 55 Hz: 3840


@dataclass(frozen=True, slots=True, eq=False)
class Perturbation:
    """Frame values; 0 where unvoiced."""

    jitter: F32  # (frames,) mean difference of periods over mean period, at most 1
    shimmer_db: F32  # (frames,)


def measure(steps: F64, signal: F32, f0_hz: F32, stream: Stream) -> Perturbation:
    """(n,) samples as 16-bit steps and as float32, (frames,) F0 -> jitter and shimmer of each 60 ms frame."""
    values = Walk(stream).measure(steps, signal, f0_hz)
    return Perturbation(values[:, 0], values[:, 1])


def correlations(steps: F64, at: int, lags: range) -> F64:
    """Pearson correlation of steps[at : at+p] and steps[at+p : at+2p] for each lag p; NaN without energy."""
    return _correlations(_waveform(steps), at, lags)


def best_lag(correlation: list[float]) -> int | None:
    """Index of the largest strict local maximum, the first on ties; the last two are never candidates."""
    best, height = None, -math.inf
    for i in range(1, len(correlation) - 2):
        here = correlation[i]
        if correlation[i - 1] < here > correlation[i + 1] and here > height:
            best, height = i, here
    return best


def _correlations(y: _Waveform, at: int, lags: range) -> F64:
    first, stop = lags.start, lags.stop
    p, totals = _LAGS[first:stop], y.totals
    middle = totals[:, at + first : at + stop]
    a = middle - totals[:, at : at + 1]
    b = totals[:, at + 2 * first : at + 2 * stop - 1 : 2] - middle
    product = (p * a[1] - a[0] * a[0]) * (p * b[1] - b[0] * b[0])
    numerator = p * _cross(y.steps, y.windows, at, first, stop) - a[0] * b[0]
    if product.min() > 0:
        result: F64 = numerator / np.sqrt(product)
        return result
    energy = np.sqrt(np.maximum(product, 0))
    undefined = np.full(len(p), np.nan)
    np.divide(numerator, energy, out=undefined, where=energy > 0)
    return undefined


def _cross(steps: F64, windows: F64, at: int, first: int, stop: int) -> F64:
    """Sum of steps[at+i] * steps[at+p+i] over i < p, for each lag p: the shortest window for all, then the rest."""
    common: F64 = np.correlate(steps[at + first : at + stop - 1 + first], steps[at : at + first], "valid")
    extra = stop - 1 - first
    if extra:
        tail = steps[at + first : at + first + extra]
        shifted = windows[at + 2 * first : at + 2 * first + extra + 1, :extra]
        common += (shifted * _below(extra)) @ tail
    return common


@lru_cache(maxsize=256)
def _below(extra: int) -> F64:
    """(extra + 1, extra) ones below the diagonal: the k-th longer lag has k samples more."""
    return frozen(np.tri(extra + 1, extra, -1))


@dataclass(frozen=True, slots=True, eq=False)
class _Waveform:
    """Samples as steps, and what makes the sums over any stretch of them quick."""

    steps: F64
    totals: F64  # (2, n + 1): sum of the steps before each position, and of their squares
    windows: F64  # a view: row i begins at sample i


def _waveform(steps: F64) -> _Waveform:
    longest = np.concatenate((steps, np.zeros(_LONGEST_EXTRA)))
    return _Waveform(steps, _totals(steps), sliding_window_view(longest, _LONGEST_EXTRA))


def _totals(steps: F64) -> F64:
    """(2, n + 1) sums of the samples before each position, and of their squares: whole numbers, exact."""
    totals = np.zeros((2, len(steps) + 1))
    np.cumsum(steps, out=totals[0, 1:])
    np.cumsum(steps * steps, out=totals[1, 1:])
    return totals


class _Period(NamedTuple):
    """One period, found in the waveform."""

    lag: int  # samples
    period_s: np.float32  # refined
    height: float  # of the correlation
    first: float  # amplitude of this period
    second: float  # and of the next


@dataclass(slots=True)
class _Sums:
    """What one frame adds up."""

    periods: int = 0
    period_s: float = 0.0
    differences: int = 0
    difference_s: float = 0.0
    amplitude: float = 0.0
    amplitude_difference: float = 0.0


class Walk:
    """The reader of the waveform; what it remembers lasts through consecutive voiced frames."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.carry = 0  # samples before the next frame's start that no earlier frame has used up
        self._last_period_s = np.float32(0)
        self._last_jitter = self._last_shimmer = 0.0

    def measure(self, steps: F64, signal: F32, f0_hz: F32) -> F32:
        """(frames, 2) jitter and shimmer of the next frames; the samples begin `carry` before the first one."""
        compiled = kernels.library()
        if compiled is not None:
            found = self._measure_compiled(compiled, steps, signal, f0_hz)
            if found is not None:
                return as_float32(found)
        self._waveform, self._signal = _waveform(steps), signal
        start = self.carry
        values = np.zeros((len(f0_hz), 2))
        for t, f0 in enumerate(f0_hz.tolist()):
            values[t] = self._frame(start + t * self._stream.hop, f0)
        return as_float32(values)

    def _measure_compiled(self, compiled: kernels.Kernels, steps: F64, signal: F32, f0_hz: F32) -> F64 | None:
        stream = self._stream
        memory = np.array(
            [self.carry, self._last_jitter, self._last_shimmer, self._last_period_s], np.float64
        )
        sizes = (stream.sample_rate_hz, stream.hop, stream.length)
        found = compiled.periods((steps, _totals(steps)), signal, f0_hz, sizes, memory)
        if found is not None:
            self.carry, self._last_period_s = int(memory[0]), np.float32(memory[3])
            self._last_jitter, self._last_shimmer = memory[1:3].tolist()
        return found

    def _frame(self, start: int, f0_hz: float) -> tuple[float, float]:
        """Jitter and shimmer (dB) of the frame that starts there."""
        if f0_hz > 0:
            sums = self._voiced(start - self.carry, self._stream.sample_rate_hz / f0_hz)
            return self._jitter(sums), self._shimmer(sums)
        self.carry = 0
        self._last_period_s = np.float32(0)
        self._last_jitter = self._last_shimmer = 0.0
        return 0.0, 0.0

    def _voiced(self, start: int, period: float) -> _Sums:
        """Go from period to period, from sample `start` on, as far as this frame reaches."""
        lags = range(math.floor(0.9 * period), math.ceil(1.1 * period) + 1)
        need_least = self._stream.hop + self.carry
        need = min(max(need_least, 2 * lags[-1] + 2), self.carry + self._stream.length)
        sums, at, last = _Sums(), 0, 0
        while at < need - 2 * lags[-1] - 1:
            at += self._period(start + at, lags, round_half_away(period), sums)
            if at < need_least - 1:
                last = at
        self.carry = need_least - last
        return sums

    def _period(self, at: int, lags: range, nominal: int, sums: _Sums) -> int:
        """Measure the period that starts at sample `at`; how many samples to go on."""
        found = self._find(at, lags)
        if found is None:
            return nominal
        if found.height > CORRELATION_GATE:
            self._add(found, sums)
        return found.lag

    def _find(self, at: int, lags: range) -> _Period | None:
        correlation = _correlations(self._waveform, at, lags).tolist()
        peak = best_lag(correlation)
        if peak is None:
            return None
        lag = lags[peak]
        refined, height = _vertex(lag, *correlation[peak - 1 : peak + 2])
        # peak-to-peak amplitudes of two periods without their first and last sample; float32, as stored
        pair = self._signal[at : at + 2 * lag].reshape(2, lag)[:, 1:-1]
        first, second = (np.maximum.reduce(pair, axis=1) - np.minimum.reduce(pair, axis=1)).tolist()
        return _Period(lag, np.float32(abs(refined) / self._stream.sample_rate_hz), height, first, second)

    def _add(self, found: _Period, sums: _Sums) -> None:
        sums.periods += 1
        sums.period_s += float(found.period_s)
        if self._last_period_s > 0:
            sums.difference_s += float(abs(self._last_period_s - found.period_s))
            sums.differences += 1
        self._last_period_s = found.period_s
        sums.amplitude += (found.first + found.second) / 2
        sums.amplitude_difference += abs(found.first - found.second)

    def _jitter(self, sums: _Sums) -> float:
        if sums.periods and not sums.differences:
            return 0.0
        if sums.periods:
            mean_s = sums.period_s / sums.periods
            self._last_jitter = min(1.0, sums.difference_s / sums.differences / mean_s)
        return self._last_jitter

    def _shimmer(self, sums: _Sums) -> float:
        if sums.periods:
            ratio = sums.amplitude_difference / sums.amplitude if sums.amplitude else 0.0
            self._last_shimmer = min(1.0, ratio)
        return 20 * math.log10(1 + self._last_shimmer)


def _vertex(lag: int, left: float, top: float, right: float) -> tuple[float, float]:
    """Vertex of the parabola through three neighbouring lags, the middle one a strict maximum."""
    slope, curvature = (right - left) / 2, (left + right) / 2 - top
    return lag - slope / (2 * curvature), top - slope * slope / (4 * curvature)
