"""Spectral ratios, slopes and flux."""

from __future__ import annotations

import numpy as np
import pytest

from sottovoce.voice.egemaps import balance, frames

STREAM = frames.stream_20ms(16000)


def flat(level=1.0):
    return np.full((1, STREAM.bins), level, dtype=np.float32)


def test_alpha_ratio_counts_the_bins_of_each_band():
    # 0..968.75 Hz are 32 bins with the one at 0 Hz, 1000..5000 Hz are 129
    assert balance.alpha_ratio(flat(), STREAM)[0] == pytest.approx(10 * np.log10(129 / 32), rel=1e-6)


def test_ratios_have_a_floor_above_and_zero_below():
    power = flat(0.0)
    power[0, 3] = 1.0
    assert balance.alpha_ratio(power, STREAM)[0] == pytest.approx(-140)
    assert balance.hammarberg_index(power, STREAM)[0] == 0
    power = flat(0.0)
    power[0, 100] = 1.0
    assert balance.alpha_ratio(power, STREAM)[0] == 0
    assert balance.hammarberg_index(power, STREAM)[0] == pytest.approx(-140)


def test_hammarberg_compares_the_two_strongest_bins():
    power = flat(1e-6)
    power[0, 10], power[0, 64], power[0, 160], power[0, 161] = (
        1.0,
        0.1,
        0.05,
        9.0,
    )  # 2000 and 5000 Hz are above
    assert balance.hammarberg_index(power, STREAM)[0] == pytest.approx(10.0, rel=1e-6)


def test_M06_slopes_of_digital_silence_are_the_stated_constants():
    """A flat spectrum at the floor has the two slopes that the specification states for this profile."""
    slopes = balance.spectral_slopes(flat(0.0), STREAM)[0]
    assert slopes == pytest.approx([0.112, 0.0763636], abs=5e-7)


@pytest.mark.parametrize("frame_count", [1, 2, 7, 40, 64, 65, 500])
def test_corrected_slopes_of_digital_silence_are_zero_however_many_frames_there_are(frame_count):
    """Not the rounding of a sum: that would count as a value, and differ with the length of the recording."""
    silence = np.zeros((frame_count, STREAM.bins), dtype=np.float32)
    assert not balance.spectral_slopes(silence, STREAM, corrected=True).any()


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_slopes_against_the_regression_written_out(rate):
    stream = frames.stream_20ms(rate)
    power = np.random.default_rng(4).random((1, stream.bins)).astype(np.float32)
    y, f = 10 * np.log10(power[0].astype(float)), stream.frequencies_hz()
    for band, (low, high) in enumerate([(0, 500), (500, 1500)]):
        ii = next(i for i in range(len(f)) if f[i] > low)
        left, wl = ii - 1, (f[ii] - low) / (f[ii] - f[ii - 1]) or 1.0
        ii = next(i for i in range(len(f)) if f[i] >= high)
        right, wr = (ii if f[ii] == high else ii - 1), (high - f[ii - 1]) / (f[ii] - f[ii - 1]) or 1.0
        n, inner = right - left, range(left + 1, right)
        sf = wl * f[left] + sum(f[k] for k in inner) + wr * f[right]
        sff = (wl * f[left]) ** 2 + sum(f[k] ** 2 for k in inner) + (wr * f[right]) ** 2
        sfy = wl * f[left] * y[left] + sum(f[k] * y[k] for k in inner) + wr * f[right] * y[right]
        sy = wl * y[left] + sum(y[k] for k in inner) + wr * y[right]
        expected = (n * sfy - sf * sy) / (n * sff - sf * sf)
        assert balance.spectral_slopes(power, stream)[0, band] == pytest.approx(expected, rel=1e-5)


def test_flux_is_zero_first_then_the_root_mean_square_change_below_5_khz():
    magnitude = np.zeros((3, STREAM.bins), dtype=np.float32)
    magnitude[1, 159] = 4.0
    magnitude[1:, 160] = 100.0  # 5000 Hz and above don't count
    assert balance.spectral_flux(magnitude, STREAM) == pytest.approx([0, 4 / np.sqrt(160), 4 / np.sqrt(160)])
