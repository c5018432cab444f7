"""Jitter and shimmer: the periods of the waveform, one after the other (specification 8).

Correlations use the samples as whole 16-bit steps held in float64, so every sum of products is exact: the same
period measured from two overlapping frames gives the same number, and a window without energy is found by
comparing with 0. Amplitudes use the float32 signal: two that are equal in steps may differ there in the last bit,
which decides whether a shimmer of exactly 0 is dropped from the statistics.

Q17: a period is float32; the difference of a period measured twice is then exactly 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from sottovoce.voice.egemaps.frames import Stream
from sottovoce.voice.egemaps.numeric import F32, F64, as_float32, round_half_away

CORRELATION_GATE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Perturbation:
    """Frame values; 0 where unvoiced."""

    jitter: F32  # (frames,) mean difference of periods over mean period, at most 1
    shimmer_db: F32  # (frames,)


def measure(steps: F64, signal: F32, f0_hz: F32, stream: Stream) -> Perturbation:
    """(n,) samples as 16-bit steps and as float32, (frames,) F0 -> jitter and shimmer of each 60 ms frame."""
    walk = _Walk(steps, signal, stream)
    pairs = [walk.frame(t, float(f0)) for t, f0 in enumerate(f0_hz)]
    values = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return Perturbation(as_float32(values[:, 0]), as_float32(values[:, 1]))


def correlations(steps: F64, at: int, lags: range) -> F64:
    """Pearson correlation of steps[at : at+p] and steps[at+p : at+2p] for each lag p; NaN without energy."""
    y = steps[at : at + 2 * lags[-1]]
    sums, squares = (np.concatenate(([0.0], np.cumsum(values))) for values in (y, y * y))
    p = np.arange(lags.start, lags.stop)
    cross = np.array([np.dot(y[:lag], y[lag : 2 * lag]) for lag in lags])
    sum_a, sum_b = sums[p], sums[2 * p] - sums[p]
    energy_a, energy_b = p * squares[p] - sum_a**2, p * (squares[2 * p] - squares[p]) - sum_b**2
    energy = np.sqrt(energy_a) * np.sqrt(energy_b)
    result: F64 = np.divide(p * cross - sum_a * sum_b, energy, out=np.full(len(p), np.nan), where=energy > 0)
    return result


def best_lag(correlation: F64) -> int | None:
    """Index of the largest strict local maximum, the first on ties; the last two are never candidates."""
    inner = correlation[1:-2]
    peaks = np.flatnonzero((inner > correlation[:-3]) & (inner > correlation[2:-1]))
    return None if len(peaks) == 0 else int(peaks[np.argmax(inner[peaks])]) + 1


@dataclass(slots=True)
class _Sums:
    """What one frame adds up."""

    periods: int = 0
    period_s: float = 0.0
    differences: int = 0
    difference_s: float = 0.0
    amplitude: float = 0.0
    amplitude_difference: float = 0.0


@dataclass(slots=True)
class _Walk:
    """The reader of the waveform; what it remembers lasts through consecutive voiced frames."""

    steps: F64
    signal: F32
    stream: Stream
    carry: int = 0  # samples before the frame's start that no earlier frame has used up
    last_period_s: np.float32 = field(default_factory=lambda: np.float32(0))
    last_jitter: float = 0.0
    last_shimmer: float = 0.0

    def frame(self, t: int, f0_hz: float) -> tuple[float, float]:
        """Jitter and shimmer (dB) of frame t."""
        if f0_hz > 0:
            sums = self._voiced(t * self.stream.hop - self.carry, self.stream.sample_rate_hz / f0_hz)
            return self._jitter(sums), self._shimmer(sums)
        self.carry = 0
        self.last_period_s = np.float32(0)
        self.last_jitter = self.last_shimmer = 0.0
        return 0.0, 0.0

    def _voiced(self, start: int, period: float) -> _Sums:
        """Go from period to period, from sample `start` on, as far as this frame reaches."""
        lags = range(math.floor(0.9 * period), math.ceil(1.1 * period) + 1)
        need_least = self.stream.hop + self.carry
        need = min(max(need_least, 2 * lags[-1] + 2), self.carry + self.stream.length)
        sums, at, last = _Sums(), 0, 0
        while at < need - 2 * lags[-1] - 1:
            at += self._period(start + at, lags, round_half_away(period), sums)
            if at < need_least - 1:
                last = at
        self.carry = need_least - last
        return sums

    def _period(self, at: int, lags: range, nominal: int, sums: _Sums) -> int:
        """Measure the period that starts at sample `at`; how many samples to go on."""
        correlation = correlations(self.steps, at, lags)
        peak = best_lag(correlation)
        if peak is None:
            return nominal
        lag = lags[peak]
        refined, height = _vertex(lag, *correlation[peak - 1 : peak + 2].tolist())
        if height > CORRELATION_GATE:
            self._add(np.float32(abs(refined) / self.stream.sample_rate_hz), at, lag, sums)
        return lag

    def _add(self, period_s: np.float32, at: int, lag: int, sums: _Sums) -> None:
        sums.periods += 1
        sums.period_s += float(period_s)
        if self.last_period_s > 0:
            sums.difference_s += float(abs(self.last_period_s - period_s))
            sums.differences += 1
        self.last_period_s = period_s
        first, second = self._height(at, lag), self._height(at + lag, lag)
        sums.amplitude += (first + second) / 2
        sums.amplitude_difference += abs(first - second)

    def _height(self, at: int, lag: int) -> float:
        """Peak-to-peak amplitude of one period without its first and last sample."""
        inner = self.signal[at + 1 : at + lag - 1]
        return float(inner.max() - inner.min())  # float32, as stored

    def _jitter(self, sums: _Sums) -> float:
        if sums.periods and not sums.differences:
            return 0.0
        if sums.periods:
            mean_s = sums.period_s / sums.periods
            self.last_jitter = min(1.0, sums.difference_s / sums.differences / mean_s)
        return self.last_jitter

    def _shimmer(self, sums: _Sums) -> float:
        if sums.periods:
            ratio = sums.amplitude_difference / sums.amplitude if sums.amplitude else 0.0
            self.last_shimmer = min(1.0, ratio)
        return 20 * math.log10(1 + self.last_shimmer)


def _vertex(lag: int, left: float, top: float, right: float) -> tuple[float, float]:
    """Vertex of the parabola through three neighbouring lags, the middle one a strict maximum."""
    slope, curvature = (right - left) / 2, (left + right) / 2 - top
    return lag - slope / (2 * curvature), top - slope * slope / (4 * curvature)
