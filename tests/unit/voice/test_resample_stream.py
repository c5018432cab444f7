"""The streaming resampler: the same filter as for a whole recording, the same values however it is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce.errors import AudioRejected
from sottovoce.voice.resample import resample
from sottovoce.voice.resample_stream import BLOCK_S, Resampler, to_16_khz

RATES = (8000, 8001, 11025, 16000, 22050, 44100, 48000, 192000)


def noise(rate, seconds, seed=1):
    return np.random.default_rng(seed).standard_normal(int(rate * seconds))


def streamed(samples, rate, cuts):
    resampler = Resampler(rate)
    pieces = [resampler.feed(piece) for piece in np.split(samples, cuts)]
    return np.concatenate([*pieces, resampler.finish()])


@settings(max_examples=15)
@given(
    rate=st.sampled_from((8000, 11025, 44100, 48000)),
    seconds=st.floats(0.1, 2.3 * BLOCK_S),
    shares=st.lists(st.floats(0, 1), max_size=5),
)
def test_F8_the_cuts_change_no_bit(rate, seconds, shares):
    """However a recording arrives in pieces, the numbers computed from it are the same."""
    samples = noise(rate, seconds)
    cuts = sorted(int(share * len(samples)) for share in shares)
    assert np.array_equal(streamed(samples, rate, cuts), to_16_khz(samples, rate))


@pytest.mark.parametrize("rate", RATES)
def test_it_is_the_filter_of_the_whole_recording(rate):
    """To rounding: the order in which products are added depends on how many outputs are made at once."""
    samples = noise(rate, 1.3 * BLOCK_S)
    whole = resample(samples, rate)
    assert np.abs(to_16_khz(samples, rate) - whole).max() < 1e-13
    assert len(to_16_khz(samples, rate)) == len(whole) == -(-len(samples) * 16000 // rate)


@pytest.mark.parametrize("count", [0, 1, 2, 479, 480_000, 480_001])
def test_the_number_of_samples_is_that_of_the_duration(count):
    assert len(to_16_khz(np.ones(count), 48000)) == -(-count // 3)


def test_what_is_16_khz_stays_as_it_is():
    samples = noise(16000, 0.5)
    assert np.array_equal(streamed(samples, 16000, [10, 300]), samples)


@pytest.mark.parametrize("rate", [1, 7999, 192_001, 768_000])
def test_X20_impossible_rates_are_refused_at_once(rate):
    """A sample rate that no voice recording has is refused before anything is computed."""
    with pytest.raises(AudioRejected) as refused:
        Resampler(rate)
    assert refused.value.public_code == "sample_rate"
