"""The resampler: length, delay, ripple, attenuation, memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import AudioRejected
from sottovoce.voice.resample import HALF_WIDTH, KAISER_BETA, filter_taps, prototype, resample, taps_each_side

RATES = [8000, 11025, 12000, 22050, 24000, 32000, 37800, 44100, 44101, 48000, 96000, 192000]


def cosine(frequency_hz, rate_hz, count):
    return np.cos(2 * np.pi * frequency_hz * np.arange(count) / rate_hz)


def inner(values):
    return values[400:-400]


def test_X56_16_khz_passes_through_bit_identical():
    """A recording that already has 16 kHz is not touched."""
    samples = np.random.default_rng(1).standard_normal(1000)
    assert (resample(samples, 16000) == samples).all()


@given(st.integers(8000, 192000), st.integers(1, 3000))
def test_length_is_that_of_the_same_time(rate_hz, count):
    assert len(resample(np.ones(count), rate_hz)) == -(-count * 16000 // rate_hz)


@pytest.mark.parametrize("rate_hz", RATES)
def test_X56_pass_band_is_flat_and_nothing_is_delayed(rate_hz):
    """Up to 0.45 of the slower rate a tone keeps its strength within 0.001 dB, and its place in time."""
    slower = min(rate_hz, 16000)
    for frequency_hz in (0, 50, 0.1 * slower, 0.3 * slower, 0.45 * slower):
        out = resample(cosine(frequency_hz, rate_hz, rate_hz // 2), rate_hz)
        error = np.abs(inner(out) - inner(cosine(frequency_hz, 16000, len(out)))).max()
        assert 20 * np.log10(1 + error) < 0.001


@pytest.mark.parametrize("rate_hz", [rate for rate in RATES if rate > 17600])
def test_X56_what_16_khz_cannot_hold_is_removed(rate_hz):
    """From 8.8 kHz upward a tone is weaker by more than 85 dB, so that nothing is folded into the voice."""
    for frequency_hz in np.linspace(8800, rate_hz / 2 - 1, 9):
        out = resample(cosine(frequency_hz, rate_hz, rate_hz // 2), rate_hz)
        assert 20 * np.log10(np.abs(inner(out)).max() + 1e-12) < -85


@pytest.mark.parametrize("rate_hz", [8000, 11025, 12000])
def test_images_of_a_slower_source_are_removed(rate_hz):
    out = inner(resample(cosine(0.3 * rate_hz, rate_hz, rate_hz), rate_hz))
    spectrum = np.abs(np.fft.rfft(out * np.blackman(len(out))))
    axis = np.fft.rfftfreq(len(out), 1 / 16000)
    assert spectrum[axis > 0.55 * rate_hz].max() < 10 ** (-85 / 20) * spectrum.max()


@pytest.mark.parametrize("rate_hz", [8000, 37800, 44101, 48000])
def test_outputs_against_the_sum_over_all_inputs(rate_hz):
    """Each output from the windowed sinc itself, without table, phases or blocks."""
    samples = np.random.default_rng(2).standard_normal(200)
    slower, positions = min(rate_hz, 16000), np.arange(200)
    out = resample(samples, rate_hz)
    for m in range(0, len(out), 7):
        u = (m * rate_hz / 16000 - np.arange(-3000, 3200)) * slower / rate_hz
        window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (u / HALF_WIDTH) ** 2, 0, None))) / np.i0(
            KAISER_BETA
        )
        taps = np.where(np.abs(u) < HALF_WIDTH, np.sinc(u) * window, 0)
        taps /= taps.sum()
        assert out[m] == pytest.approx((taps[3000 + positions] * samples).sum(), abs=1e-6)


def test_taps_add_up_to_one_and_are_symmetric_about_a_whole_position():
    taps = filter_taps(np.arange(160), 44100)
    assert taps.shape == (160, 2 * taps_each_side(44100))
    assert taps.sum(axis=1) == pytest.approx(1.0, abs=1e-14)
    assert taps[0][:-1] == pytest.approx(taps[0][:-1][::-1], abs=1e-15)


def test_table_is_whole_steps_from_one_to_zero():
    table = prototype()
    assert table.dtype == np.int64
    assert (table[0], table[-1]) == (1 << 31, 0)
    assert not table.flags.writeable


def test_an_odd_rate_needs_bounded_memory():
    samples = np.zeros(191999 * 2)
    tracemalloc.start()
    resample(samples, 191999)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 << 20


@pytest.mark.parametrize("rate_hz", [0, 7999, 192001])
def test_rates_outside_the_range_are_refused(rate_hz):
    with pytest.raises(AudioRejected) as refused:
        resample(np.zeros(10), rate_hz)
    assert refused.value.public_code == "sample_rate"


def test_nothing_in_nothing_out():
    assert len(resample(np.zeros(0), 44100)) == 0
