"""Formants: the map to 11 kHz, linear prediction, roots; the vowels of the specification."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from sottovoce.voice.egemaps import formants, frames, pitch

RATE_HZ = 16000
STREAM = frames.stream_20ms(RATE_HZ)
NO_F0 = np.zeros(0, dtype=np.float32)  # `compat` does without


def vowel(resonances, bandwidths=(60, 90, 120, 150), f0_hz=120, seconds=3.0):
    """The synthetic vowel of specification 16."""
    x = np.zeros(int(RATE_HZ * seconds))
    x[np.rint(np.arange(0, seconds * f0_hz) * RATE_HZ / f0_hz).astype(int)] = 1.0
    x = lfilter([1.0], [1.0, -0.95], x)
    for f, b in zip(resonances, bandwidths, strict=True):
        r = math.exp(-math.pi * b / RATE_HZ)
        x = lfilter([1.0], [1.0, -2 * r * math.cos(2 * math.pi * f / RATE_HZ), r * r], x)
    x *= 0.5 / np.abs(x).max()
    return x + 0.5e-4 * np.random.default_rng(9).standard_normal(len(x))


def voiced_frames(samples):
    signal, long = frames.to_signal(frames.quantise(samples)), frames.stream_60ms(RATE_HZ)
    windowed = frames.gaussian(frames.split(signal, long))
    contour = pitch.track(windowed, frames.magnitudes(windowed, long), long)
    return frames.hamming(frames.split(signal, STREAM))[np.flatnonzero(contour.voiced)]


@pytest.mark.parametrize(
    ("true", "expected"),
    [
        # The fourth resonance is stated (specification 16) for the first vowel only; it moves the others' values
        ((700, 1200, 2600, 3400), (433, 1310, 2541)),
        ((500, 1500, 2500, 3450), (404, 1377, 2463)),
        ((300, 2300, 3000, 3650), (484, 1856, 2877)),
    ],
)
def test_M99_compat_formants_of_vowels_are_the_stated_ones(true, expected):
    """The formants of synthetic vowels are those that the specification states for `compat`, wrong as they are."""
    found = formants.find_formants(voiced_frames(vowel(true)), NO_F0, STREAM)
    assert np.median(found.frequency_hz, axis=0) == pytest.approx(expected, rel=0.01)
    assert (np.median(found.bandwidth_hz, axis=0) > 300).all()


def test_M99_with_the_sign_of_the_polynomial_corrected_the_vowel_is_found():
    """The same prediction with the right sign finds the vowel's true resonances: the sign is the oddity."""
    resampled = voiced_frames(vowel((700, 1200, 2600, 3400))).astype(float) @ formants.resampling_map(STREAM)
    coefficients = formants.prediction_error_filter(formants.autocorrelation(resampled))
    found = formants.formants_of(formants.roots(-coefficients))
    assert np.median(found.frequency_hz, axis=0) == pytest.approx((710, 1195, 2644), rel=0.01)
    assert (np.median(found.bandwidth_hz, axis=0) < 400).all()


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_map_to_11_khz_against_the_sum_over_bins(rate):
    stream = frames.stream_20ms(rate)
    frame = np.random.default_rng(10).standard_normal(stream.length)
    size = stream.fft_size
    padded = np.zeros(size)
    padded[(size - stream.length) // 2 :][: stream.length] = frame
    spectrum = np.fft.fft(padded)
    duration = 0.020 * (size / stream.length)
    points = math.floor(size * (11000 / rate) * (0.020 / duration) + 0.5)
    period, limit = size * points / (size * 0.020 / duration), min(size, points) // 2 * 2
    i = np.arange(points)
    total = np.full(points, spectrum[0].real)
    for k in range(1, limit // 2):
        total += (spectrum[k] * np.exp(2j * np.pi * k * i / period)).real
    assert points == 220
    assert frame @ formants.resampling_map(stream) == pytest.approx(2 / size * total, rel=1e-9, abs=1e-9)


def test_autocorrelation_against_direct_sums():
    y = np.random.default_rng(11).standard_normal((2, 50))
    direct = [[sum(row[i] * row[i - lag] for i in range(lag, 50)) for lag in range(12)] for row in y]
    assert formants.autocorrelation(y) == pytest.approx(np.array(direct))


def test_durbin_against_a_toeplitz_solver():
    r = formants.autocorrelation(np.random.default_rng(12).standard_normal((5, 220)))
    for row, a in zip(r, formants.prediction_error_filter(r), strict=True):
        assert a == pytest.approx(solve_toeplitz(row[:11], -row[1:]), rel=1e-6, abs=1e-9)


def test_a_frame_without_energy_has_no_formants():
    found = formants.find_formants(np.zeros((2, 320), dtype=np.float32), NO_F0, STREAM)
    assert not found.frequency_hz.any()
    assert not found.bandwidth_hz.any()


def test_roots_solve_the_flipped_polynomial_and_lie_inside_the_circle():
    a = np.random.default_rng(13).standard_normal((4, 11)) * 0.6
    for row, z in zip(a, formants.roots(a), strict=True):
        assert (np.abs(z) <= 1 + 1e-12).all()
        polynomial = np.concatenate(([1.0], -row))
        size = np.polyval(np.abs(polynomial), 1.0)
        back = np.minimum(np.abs(np.polyval(polynomial, z)), np.abs(np.polyval(polynomial, 1 / np.conj(z))))
        assert (back < 1e-8 * size * np.maximum(1, np.abs(z) ** -11.0)).all()


def test_frequencies_are_limited_sorted_and_at_most_three():
    angle = 2 * np.pi * np.array([3000, 40, 500, 5460, 1500, 2000]) / 11000
    z = 0.9 * np.exp(1j * angle)
    row = np.concatenate((z, 0.9 * np.exp(-1j * angle[:4]), [0.5]))[None, :]
    found = formants.formants_of(row)
    assert found.frequency_hz[0] == pytest.approx([500, 1500, 2000], rel=1e-5)
    assert found.bandwidth_hz[0] == pytest.approx(-math.log(0.9) * 11000 / math.pi, rel=1e-5)
