"""A recording heard piece by piece: the values of the whole, in bounded memory."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce.errors import AudioRejected, UsageError
from sottovoce.voice.egemaps.extract import extract, low_level
from sottovoce.voice.features import Windows, egemaps, egemaps_per, features_of
from sottovoce.voice.listening import Listener


def voice(seconds, rate=16000, seed=1):
    """A buzz whose pitch wanders, with pauses and noise."""
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(140 + 30 * np.sin(2 * np.pi * 0.7 * t)) / rate
    buzz = sum(np.sin(k * phase) / k for k in range(1, 12)) * (np.sin(2 * np.pi * 0.4 * t) > -0.5)
    return 0.1 * buzz + 0.001 * np.random.default_rng(seed).standard_normal(len(t))


@settings(max_examples=5)
@given(rate=st.sampled_from((16000, 44100)), shares=st.lists(st.floats(0, 1), max_size=4))
def test_F8_features_do_not_depend_on_the_pieces(rate, shares):
    """Features and quality of a recording that comes in pieces are those of the whole, to the last bit."""
    samples = voice(11.3, rate)
    listener = Listener(rate)
    for piece in np.split(samples, sorted(int(share * len(samples)) for share in shares)):
        listener.feed(piece)
    assert features_of(listener, listener.facts()) == egemaps(samples, rate)


def test_features_are_those_of_the_extractor():
    samples = voice(3)
    for profile in ("compat", "corrected"):
        assert egemaps(samples, 16000, profile).values == extract(samples, 16000, profile=profile).values
    listener = Listener(16000)
    listener.feed(samples)
    assert np.array_equal(listener.low_level(listener.facts())[0], low_level(samples, 16000)[0])


@settings(max_examples=5)
@given(
    seconds=st.floats(0.1, 1.5),
    hop_s=st.floats(0.05, 1.5),
    shares=st.lists(st.floats(0, 1), max_size=4),
)
def test_windows_are_the_features_of_their_pieces_however_it_is_cut(seconds, hop_s, shares):
    samples, rate = voice(2.2), 16000
    windows = Windows(rate, seconds, hop_s=hop_s)
    for piece in np.split(samples, sorted(int(share * len(samples)) for share in shares)):
        windows.feed(piece)
    windows.finish()
    found = windows.take()
    starts = [round(i * hop_s * rate) for i in range(1000)]
    expected = [s for s in starts if len(samples[s : s + round(seconds * rate)]) >= 0.1 * rate]
    assert [round(start_s * rate) for start_s, _, _ in found] == expected
    for start_s, end_s, features in found[::5]:
        piece = samples[round(start_s * rate) : round(end_s * rate)]
        assert features == egemaps(piece, rate)


@pytest.mark.parametrize(("seconds", "hop_s"), [(0.05, None), (float("nan"), None), (1, 0.001), (1, 0.0)])
def test_windows_that_make_no_sense_are_refused(seconds, hop_s):
    with pytest.raises(UsageError):
        next(egemaps_per(voice(1), 16000, seconds, hop_s=hop_s))


def test_X20_a_number_that_is_none_is_refused_in_any_piece():
    """A value that is no number is refused wherever in a long recording it stands."""
    listener = Listener(16000)
    listener.feed(voice(1))
    with pytest.raises(AudioRejected) as refused:
        listener.feed(np.array([0.0, np.nan]))
    assert refused.value.public_code == "non_finite"


@pytest.mark.slow
def test_F8_memory_grows_little_with_the_length():
    """Of a recording that is measured as it comes in, much less is kept in memory than its sound."""
    minute = voice(60)
    warm = Listener(16000)  # what is imported and cached at the first use is not the recording's
    warm.feed(voice(5))
    warm.features(warm.facts())
    listener = Listener(16000)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(3):
            listener.feed(minute)
        kept_bytes = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        listener.features(listener.facts())
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    sound_bytes = 3 * minute.nbytes
    assert kept_bytes < sound_bytes / 3
    assert peak_bytes < sound_bytes
