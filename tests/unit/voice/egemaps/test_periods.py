"""Jitter and shimmer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.voice.egemaps import frames, periods

STREAM = frames.stream_60ms(16000)


def pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    energy = math.sqrt((a * a).sum() * (b * b).sum())
    return (a * b).sum() / energy if energy else math.nan


@given(st.integers(0, 2**32 - 1), st.integers(0, 50), st.integers(4, 40))
def test_correlations_with_prefix_sums_against_plain_ones(seed, at, shortest):
    steps = np.random.default_rng(seed).integers(-32768, 32768, 400).astype(float)
    lags = range(shortest, shortest + 12)
    plain = [pearson(steps[at : at + p], steps[at + p : at + 2 * p]) for p in lags]
    assert periods.correlations(steps, at, lags) == pytest.approx(plain, rel=1e-9, abs=1e-12)


def test_a_window_without_energy_has_no_correlation():
    steps = np.full(300, 12345.0)
    assert np.isnan(periods.correlations(steps, 3, range(20, 40))).all()
    assert periods.best_lag(periods.correlations(steps, 3, range(20, 40)).tolist()) is None


def test_the_best_lag_is_the_largest_inner_maximum_the_first_on_ties():
    c = np.array
    assert periods.best_lag(c([0.0, 0.5, 0.0, 0.9, 0.0, 0.9, 0.0, 0.0])) == 3
    assert periods.best_lag(c([0.0, 0.1, 0.2, 0.3, 0.9, 0.1])) is None  # the last two are no candidates
    assert periods.best_lag(c([0.9, 0.1, 0.2, 0.2, 0.1, 0.0])) is None  # an end and a plateau are no maxima
    assert periods.best_lag(c([0.1, 0.5, np.nan, 0.7, 0.1, 0.0])) is None


class Plain:
    """The measurement as the specification writes it, step by step, with plain correlations."""

    def __init__(self, x, f0, fs=16000, hop=160, length=960):
        self.rows = []
        pos = carry = 0
        last_t, last_j, last_s = np.float32(0), 0.0, 0.0
        for t, pitch in enumerate(f0):
            start, need0 = t * hop, hop + carry
            need = need0
            if pitch > 0:
                tf = fs / float(pitch)
                t0, lo, hi = math.floor(tf + 0.5), math.floor(0.9 * tf), math.ceil(1.1 * tf)
                need = max(need, 2 * hi + 2)
            need = min(need, carry + length)
            if start - carry != pos:
                pos, need = start, min(need, length)
            if pitch <= 0:
                pos, carry, last_t, last_j, last_s = pos + need0, 0, np.float32(0), 0.0, 0.0
                self.rows.append((0.0, 0.0))
                continue
            y = x[pos : pos + need]
            s = last = n_p = n_j = 0
            sum_t = sum_j = sum_a = sum_d = 0.0
            while s < len(y) - 2 * hi - 1:
                c = [
                    pearson(y[s : s + p].astype(float), y[s + p : s + 2 * p].astype(float))
                    for p in range(lo, hi + 1)
                ]
                best = None
                for i in range(1, hi - lo - 1):
                    if c[i] > c[i - 1] and c[i] > c[i + 1] and (best is None or c[i] > c[best]):
                        best = i
                if best is None:
                    s += t0
                else:
                    pp = lo + best
                    a, b = (c[best - 1] + c[best + 1]) / 2 - c[best], (c[best + 1] - c[best - 1]) / 2
                    period, height = np.float32(abs(pp - b / (2 * a)) / fs), c[best] - b * b / (4 * a)
                    first, second = y[s + 1 : s + pp - 1], y[s + pp + 1 : s + 2 * pp - 1]
                    a0, a1 = float(first.max() - first.min()), float(second.max() - second.min())
                    s += pp
                    if height > 0.5:
                        n_p, sum_t = n_p + 1, sum_t + float(period)
                        if last_t > 0:
                            sum_j, n_j = sum_j + float(abs(last_t - period)), n_j + 1
                        last_t = period
                        sum_a, sum_d = sum_a + (a0 + a1) / 2, sum_d + abs(a0 - a1)
                if s < need0 - 1:
                    last = s
            carry, pos = need0 - last, pos + last
            jitter = last_j
            if n_p and n_j:
                jitter = last_j = min(1.0, (sum_j / n_j) / (sum_t / n_p))
            elif n_p:
                jitter = 0.0
            if n_p:
                last_s = min(1.0, sum_d / sum_a if sum_a else 0.0)
            self.rows.append((jitter, 20 * math.log10(1 + last_s)))


def pulses(f0_of_time, seconds=0.6):
    """A decaying oscillation per pulse; pitch may change from pulse to pulse, strength alternates a little."""
    x, position, k = np.zeros(int(16000 * seconds) + 400), 0.0, 0
    ring = np.exp(-np.arange(200) / 40) * np.sin(2 * np.pi * 700 * np.arange(200) / 16000)
    while position < 16000 * seconds:
        x[int(position) : int(position) + 200] += (1 + 0.1 * (k % 3)) * ring
        position += 16000 / f0_of_time(position / 16000)
        k += 1
    return frames.quantise(0.4 * x[: int(16000 * seconds)])


def f0_contour(steps, f0_hz, gaps=()):
    f0 = np.full(STREAM.count(len(steps)), f0_hz, dtype=np.float32)
    for start, end in gaps:
        f0[start:end] = 0
    return f0


@pytest.mark.parametrize("f0_hz", [62.0, 104.0, 178.0, 350.0, 800.0])
def test_jitter_and_shimmer_against_the_plain_loop(f0_hz):
    steps = pulses(lambda t: f0_hz * (1 + 0.04 * math.sin(40 * t)))
    f0 = f0_contour(steps, f0_hz, gaps=[(0, 2), (15, 18), (30, 31)])
    signal = frames.to_signal(steps)
    found, plain = periods.measure(steps, signal, f0, STREAM), np.array(Plain(signal, f0).rows)
    assert found.jitter == pytest.approx(plain[:, 0], rel=1e-4, abs=1e-7)
    assert found.shimmer_db == pytest.approx(plain[:, 1], rel=1e-4, abs=1e-7)
    assert (found.shimmer_db > 0).any()


def test_noise_that_was_called_voiced_is_handled_like_the_plain_loop():
    steps = frames.quantise(0.2 * np.random.default_rng(8).standard_normal(9600))
    signal, f0 = frames.to_signal(steps), f0_contour(steps, 140.0)
    found, plain = periods.measure(steps, signal, f0, STREAM), np.array(Plain(signal, f0).rows)
    assert found.jitter == pytest.approx(plain[:, 0], rel=1e-4, abs=1e-7)
    assert found.shimmer_db == pytest.approx(plain[:, 1], rel=1e-4, abs=1e-7)


def test_M06_a_perfectly_regular_voice_has_no_jitter_and_no_shimmer():
    """A signal that repeats exactly has a jitter and a shimmer of exactly 0, also where a period is seen twice."""
    steps = np.tile(frames.quantise(0.5 * np.sin(2 * np.pi * np.arange(100) / 100) ** 3), 100)
    found = periods.measure(steps, frames.to_signal(steps), f0_contour(steps, 160.0), STREAM)
    assert not found.jitter.any()
    assert not found.shimmer_db.any()


def test_known_alternation_of_periods_and_strengths():
    """Periods of 96 and 104 samples in turn differ by 8 of 100; strengths of 4 and 5 by 1 of 4.5."""
    ring = np.exp(-np.arange(60) / 12) * np.sin(2 * np.pi * 1000 * np.arange(60) / 16000)

    def measured(lengths, strengths):
        x, position = np.zeros(16000), 0
        for k in range(150):
            x[position : position + 60] += strengths[k % 2] * ring
            position += lengths[k % 2]
        steps = frames.quantise(x)
        return periods.measure(steps, frames.to_signal(steps), f0_contour(steps, 160.0), STREAM)

    assert np.median(measured((96, 104), (0.5, 0.5)).jitter[5:]) == pytest.approx(0.08, abs=0.01)
    shimmer_db = np.median(measured((100, 100), (0.5, 0.4)).shimmer_db[5:])
    assert shimmer_db == pytest.approx(20 * math.log10(1 + 0.1 / 0.45), abs=0.05)


def test_voiced_frames_without_energy_give_zero():
    steps = np.zeros(4000)
    found = periods.measure(steps, frames.to_signal(steps), f0_contour(steps, 120.0), STREAM)
    assert not found.jitter.any()
    assert not found.shimmer_db.any()


def test_no_frames_no_values():
    found = periods.measure(np.zeros(10), np.zeros(10, np.float32), np.zeros(0, np.float32), STREAM)
    assert found.jitter.shape == (0,)
