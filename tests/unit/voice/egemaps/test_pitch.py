"""Subharmonic summation, candidates, gate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.voice.egemaps import frames, octave, pitch

STREAM = frames.stream_60ms(16000)
AXIS = octave.octave_axis(STREAM)


def harmonic(f0_hz, count=20, seconds=0.5, level=0.3):
    t = np.arange(int(16000 * seconds)) / 16000
    signal = sum(np.cos(2 * np.pi * f0_hz * k * t) / k for k in range(1, count + 1) if k * f0_hz < 8000)
    return level * signal / np.abs(signal).max()


def track(samples):
    windowed = frames.gaussian(frames.split(frames.to_signal(frames.quantise(samples)), STREAM))
    return pitch.track(windowed, frames.magnitudes(windowed, STREAM), STREAM)


def test_summation_against_plain_sums():
    spectrum = np.random.default_rng(7).random((1, 513)).astype(np.float32)
    h, per_octave = spectrum[0].astype(float), float(np.float32(AXIS.points_per_octave))
    shifts = [math.floor(per_octave * math.log2(k)) for k in range(1, 16)]
    expected = [
        sum(0.85**k * h[i + shift] for k, shift in enumerate(shifts) if i + shift < 513) / 15
        for i in range(513)
    ]
    assert pitch.summation(spectrum, STREAM)[0] == pytest.approx(expected, rel=1e-5)


def bumps(*places):
    """A subharmonic sum with peaks (index, height) of three points each."""
    total = np.zeros((1, 513), dtype=np.float32)
    for index, height in places:
        total[0, index - 1 : index + 2] = (height / 2, height, height / 2)
    return total


def hz(index):
    return float(2 ** np.float32(AXIS.points[index]))


def test_six_largest_peaks_strongest_first_the_lower_one_on_ties():
    found = pitch.find_candidates(
        bumps((80, 3), (100, 5), (120, 4), (140, 3), (160, 2), (180, 2), (200, 2)), STREAM
    )
    places = [100, 120, 80, 140, 160, 180]
    assert found.frequency_hz[0] == pytest.approx([hz(i) for i in places], rel=1e-5)


def test_candidates_outside_55_to_1000_hz_are_dropped_and_the_list_closes_up():
    below, above = (
        int(np.searchsorted(AXIS.points, np.log2(50))),
        int(np.searchsorted(AXIS.points, np.log2(1100))),
    )
    found = pitch.find_candidates(bumps((below, 9), (above, 8), (150, 4), (120, 3)), STREAM)
    assert found.frequency_hz[0] == pytest.approx([hz(150), hz(120), 0, 0, 0, 0], rel=1e-5)


def test_voicing_is_one_minus_mean_over_score():
    total = bumps((100, 4), (150, 2))
    found = pitch.find_candidates(total, STREAM)
    assert found.voicing[0, :2] == pytest.approx(1 - total.mean() / np.array([4, 2]), rel=1e-5)
    assert not found.voicing[0, 2:].any()


def test_the_highest_refined_score_swaps_with_the_first():
    total = np.zeros((1, 513), dtype=np.float32)
    total[0, 99:102] = (1.0, 5.0, 1.0)
    total[0, 149:152] = (4.8, 4.9, 1.0)  # refined between its points, it rises above 5
    total[0, 119:122] = (1.0, 3.0, 1.0)
    found = pitch.find_candidates(total, STREAM)
    assert found.frequency_hz[0, 0] == pytest.approx(hz(150), rel=0.01)
    assert found.frequency_hz[0, 1:3] == pytest.approx([hz(100), hz(120)], rel=1e-5)


def test_two_equal_points_at_the_top_are_one_peak_and_not_none():
    """Frame 258 of wakeword/alexa_161: its only strong candidate has two equal float32 points at the top."""
    total = bumps((150, 2))
    total[0, 99:103] = (4.0, 5.0, 5.0, 3.0)
    found = pitch.find_candidates(total, STREAM)
    assert hz(100) < found.frequency_hz[0, 0] < hz(101)
    assert found.frequency_hz[0, 1] == pytest.approx(hz(150), rel=1e-5)
    assert not found.frequency_hz[0, 2:].any()


@pytest.mark.parametrize("slope", [(1.0, 3.0, 3.0, 5.0), (5.0, 3.0, 3.0, 1.0)])
def test_a_step_on_the_way_up_or_down_is_no_peak(slope):
    total = np.zeros((1, 513), dtype=np.float32)
    total[0, 99:103] = slope
    found = pitch.find_candidates(total, STREAM)
    assert np.count_nonzero(found.frequency_hz) == 1
    assert found.frequency_hz[0, 0] == pytest.approx(hz(99 + slope.index(5.0)), rel=0.01)


def test_two_equal_points_at_the_end_are_no_peak():
    total = np.zeros((1, 513), dtype=np.float32)
    total[0, -2:] = 5.0
    assert (pitch._highest(total) == -1).all()


@given(st.lists(st.integers(0, 3), min_size=2, max_size=40))
def test_the_six_largest_against_a_plain_search(values):
    total = np.array([values], dtype=np.float32)
    expected = [
        i
        for i in range(1, len(values) - 1)
        if values[i] > values[i - 1]
        and (
            values[i + 1] < values[i]
            or values[i + 1 : i + 2] == values[i : i + 1] > values[i + 2 : i + 3] != []
        )
    ]
    expected = sorted(expected, key=lambda i: -values[i])[:6]
    assert pitch._highest(total)[0].tolist() == expected + [-1] * (6 - len(expected))


def test_silence_has_no_candidates():
    found = pitch.find_candidates(np.zeros((2, 513), dtype=np.float32), STREAM)
    assert not found.frequency_hz.any()
    assert not found.voicing.any()


@pytest.mark.parametrize("f0", [80.0, 120.0, 233.0, 330.0])
def test_M06_pitch_of_a_harmonic_tone_is_found(f0):
    """The pitch of a clean tone is measured within one per cent in every frame."""
    contour = track(harmonic(f0))
    assert contour.voiced.all()
    assert contour.f0_hz == pytest.approx(f0, rel=0.01)
    assert contour.semitones == pytest.approx(12 * np.log2(f0 / 27.5), abs=0.18)


def test_a_frame_below_the_energy_gate_is_unvoiced():
    assert track(harmonic(150, level=0.02)).voiced.all()
    quiet = track(harmonic(150, level=0.0015))
    assert not quiet.voiced.any()
    assert not quiet.semitones.any()
