"""The octave-scale spectrum: enhancement, smoothing, spline, weights."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from sottovoce.voice.egemaps import frames, octave


def slow_enhanced(a):
    """The definition, one peak after the other."""
    n, out = len(a), list(a)
    peaks = [0] if a[0] > a[1] else []
    peaks += [i for i in range(1, n - 1) if a[i] > a[i - 1] and a[i] >= a[i + 1]]
    peaks += [n - 1] if a[n - 1] > a[n - 2] else []
    if len(peaks) == 1:
        out[3:] = [0.0] * (n - 3)
    for p, q in itertools.pairwise(peaks):
        for j in range(p + 3, q - 2):
            out[j] = 0.0
    return out


@given(st.lists(st.integers(0, 6), min_size=4, max_size=40))
def test_enhancement_against_the_definition(values):
    a = np.array(values, dtype=float)
    assert octave.enhanced(a[None, :])[0].tolist() == slow_enhanced(a)


def test_a_single_peak_empties_everything_from_bin_3_upward():
    a = np.array([1.0, 2, 3, 4, 5, 9, 5, 4, 3, 2])
    assert octave.enhanced(a[None, :])[0].tolist() == [1, 2, 3, 0, 0, 0, 0, 0, 0, 0]


def test_smoothing_keeps_the_last_bin_and_has_nothing_below_the_first():
    assert octave.smoothed(np.array([[4.0, 8, 12, 16]]))[0].tolist() == [4, 8, 12, 16]
    assert octave.smoothed(np.array([[0.0, 4, 0, 0, 4]]))[0].tolist() == [1, 2, 1, 1, 4]


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_spline_against_scipy(rate):
    stream = frames.stream_60ms(rate)
    axis = octave.octave_axis(stream)
    duration = float(np.float32(stream.duration_s))
    knots = np.log2(np.arange(1, stream.bins) / duration)
    knots = np.concatenate(([2 * knots[0] - knots[1]], knots))
    values = np.random.default_rng(5).random((3, stream.bins))
    oracle = CubicSpline(knots, values, axis=1, bc_type="natural")(axis.points)
    assert octave.natural_spline(knots, values, axis.points) == pytest.approx(oracle, rel=1e-9, abs=1e-9)


def test_axis_runs_from_25_hz_to_half_the_rate_in_equal_steps():
    axis = octave.octave_axis(frames.stream_60ms(16000))
    assert 2 ** axis.points[[0, -1]] == pytest.approx([25, 8000], rel=1e-6)
    assert np.diff(axis.points) == pytest.approx(axis.step)
    assert axis.points_per_octave == pytest.approx(513 / np.log2(8000 / 25), rel=1e-6)
    assert (np.diff(axis.weights) > 0).all()
    assert axis.weights[-1] < 1


def test_weighted_spectrum_is_never_negative():
    magnitude = np.zeros((4, 513), dtype=np.float32)
    magnitude[:, [40, 200]] = 100
    spectrum = octave.octave_spectrum(magnitude, frames.stream_60ms(16000))
    assert spectrum.shape == (4, 513)
    assert (spectrum >= 0).all()
    assert (spectrum == 0).any()  # an unclipped spline overshoots below zero


def test_exactly_two_bins_stay_on_each_side_of_a_peak():
    a = np.array([0.0, 9, 8, 7, 6, 5, 4, 3, 4, 5, 6, 7, 8, 9, 0])
    assert octave.enhanced(a[None, :])[0].tolist() == [0, 9, 8, 7, 0, 0, 0, 0, 0, 0, 0, 7, 8, 9, 0]
