"""Mel bank, loudness and MFCC against slow loops written from the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sottovoce.voice.egemaps import frames, mel


def slow_bank(power, stream):
    """One bin at a time, straight from the definition."""
    low, high = 1127 * math.log(1 + 20 / 700), 1127 * math.log(1 + min(8000, stream.sample_rate_hz / 2) / 700)
    c = [float(np.float32(low + m * (high - low) / 27)) for m in range(28)]
    duration = 0.020 * (stream.fft_size / stream.length)
    bands = [0.0] * 26
    first = math.floor(20 * duration + 0.5)
    last = math.floor(min(8000, stream.sample_rate_hz / 2) * duration + 0.5)
    for k in range(first + 1, last):
        position = 1127 * math.log(1 + (k / duration) / 700)
        m = next(m for m in range(28) if c[m] >= position)
        w = (c[m] - position) / (c[m] - c[m - 1])
        if m - 2 >= 0:
            bands[m - 2] += w * power[k]
        if m - 1 <= 25:
            bands[m - 1] += (1 - w) * power[k]
    return bands, c


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_bank_against_a_slow_loop(rate):
    stream = frames.stream_20ms(rate)
    power = np.random.default_rng(2).random((4, stream.bins)).astype(np.float32)
    for row, bands in zip(power, mel.mel_bands(power, stream), strict=True):
        assert bands == pytest.approx(slow_bank(row.astype(float), stream)[0], rel=1e-6)


def test_bin_at_the_lower_edge_is_left_out():
    weights = mel.mel_weights(frames.stream_20ms(16000))
    assert not weights[:2].any()  # kLo = 1 itself is excluded
    assert weights[2].any()
    assert weights[255].any()
    assert not weights[256].any()


def test_loudness_and_mfcc_against_a_slow_loop():
    stream = frames.stream_20ms(16000)
    power = np.random.default_rng(3).random((1, stream.bins)).astype(np.float32)
    bands, c = slow_bank(power[0].astype(float), stream)
    total = 0.0
    for b in range(26):
        w = 2 * math.pi * 700 * (math.exp(c[b + 1] / 1127) - 1)
        curve = 1e32 * (w**2 + 56.8e6) * w**4 / ((w**2 + 6.3e6) ** 2 * (w**2 + 0.38e9) * (w**7 + 1.7e31))
        total += (max(bands[b], 9.3e-10) * curve) ** 0.33
    assert mel.loudness(mel.mel_bands(power, stream), stream)[0] == pytest.approx(total / 26, rel=1e-6)
    expected = [
        math.sqrt(2 / 26)
        * (1 + 11 * math.sin(math.pi * i / 22))
        * sum(
            math.log(max(32767**2 * bands[b], 1)) * math.cos(math.pi * i / 26 * (b + 0.5)) for b in range(26)
        )
        for i in range(1, 5)
    ]
    assert mel.mfcc(mel.mel_bands(power, stream))[0] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_M06_loudness_of_digital_silence_is_the_stated_constant():
    """Silence has the loudness that the specification states, which is small but not 0."""
    bands = np.zeros((1, 26), dtype=np.float32)
    assert mel.loudness(bands, frames.stream_20ms(16000))[0] == pytest.approx(0.00103397, abs=5e-9)
    assert mel.mfcc(bands)[0].tolist() == [0, 0, 0, 0]
