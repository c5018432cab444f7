"""Streams, quantisation, windows, spectra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.voice.egemaps import frames


@pytest.mark.parametrize(
    ("rate", "short", "long"),
    [
        (8000, (160, 80, 256), (480, 80, 512)),
        (16000, (320, 160, 512), (960, 160, 1024)),
        (44100, (882, 441, 1024), (2646, 441, 4096)),
        (48000, (960, 480, 1024), (2880, 480, 4096)),
    ],
)
def test_sizes_of_the_streams(rate, short, long):
    for stream, expected in ((frames.stream_20ms(rate), short), (frames.stream_60ms(rate), long)):
        assert (stream.length, stream.hop, stream.fft_size) == expected


def test_the_axis_hits_the_limits_that_are_compared_for_equality():
    f = frames.stream_20ms(16000).frequencies_hz()
    assert (f[16], f[32], f[48], f[160]) == (500.0, 1000.0, 1500.0, 5000.0)


@given(st.integers(960, 5000))
def test_only_complete_frames_left_aligned(length):
    stream = frames.stream_60ms(16000)
    found = frames.split(np.arange(length, dtype=np.float32), stream)
    starts = [start for start in range(0, length, 160) if start + 960 <= length]
    assert found[:, 0].tolist() == starts
    assert found.shape == (stream.count(length), 960)


def test_M06_samples_are_truncated_toward_zero_and_clipped_at_full_scale():
    """A sample at or beyond full scale stays at full scale and never wraps to the opposite sign."""
    samples = np.array([0.0, 1.9 / 32768, -1.9 / 32768, 1.0, 2.0, -1.0, -2.0])
    assert frames.quantise(samples).tolist() == [0, 1, -1, 32767, 32767, -32768, -32768]
    assert frames.to_signal(frames.quantise(samples))[3] == np.float32(1.0)


def test_windows_are_symmetric_with_gain_one():
    for window in (frames.hamming_window(320), frames.gaussian_window(960)):
        assert window == pytest.approx(window[::-1])
        assert window[len(window) // 2] == pytest.approx(1.0, abs=1e-4)
    assert frames.hamming_window(320)[0] == pytest.approx(0.08)
    assert frames.gaussian_window(960)[0] == pytest.approx(np.exp(-0.5 / 0.16))


def test_magnitudes_against_a_direct_transform():
    stream = frames.stream_20ms(8000)
    x = np.random.default_rng(1).standard_normal((3, stream.length)).astype(np.float32)
    k, m = np.arange(stream.bins), np.arange(stream.length)
    direct = np.abs(x.astype(float) @ np.exp(-2j * np.pi * np.outer(m, k) / stream.fft_size))
    assert frames.magnitudes(x, stream) == pytest.approx(direct, rel=1e-5, abs=1e-5)
