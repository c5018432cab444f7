"""Steady tones on signals whose truth is known; the rates on real speech are those of scripts/gate_thresholds.py."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce.voice.gate import MUSIC_TONES
from sottovoce.voice.music import HOP, WINDOW, SteadyTones, levels_db, peaks, steady_tones
from sottovoce.voice.resample_stream import to_16_khz

T = np.arange(8 * 16000) / 16000


def chord(bend_cents=0.0):
    """A triad with harmonics that changes every two seconds, with vibrato of that depth."""
    total = np.zeros(len(T))
    for k, ratio in enumerate((1, 5 / 4, 3 / 2)):
        base = 220 * ratio * 2 ** (np.floor(T / 2) % 3 * 5 / 12)
        phase = 2 * np.pi * np.cumsum(base * 2 ** (bend_cents / 1200 * np.sin(2 * np.pi * 5 * T + k))) / 16000
        total += sum(np.sin(h * phase) / h for h in range(1, 7))
    return 0.1 * total


def glide():
    """Partials that move like a voice: the pitch is never the same for 100 ms."""
    hz = 140 * 2 ** (0.5 * np.sin(2 * np.pi * 0.9 * T))
    phase = 2 * np.pi * np.cumsum(hz) / 16000
    return 0.1 * sum(np.sin(h * phase) / h for h in range(1, 20))


@pytest.mark.parametrize("bend_cents", [0, 15, 30])
def test_X22_chords_are_steady_tones(bend_cents):
    """Music of held chords is told from speech, also where it is played with some vibrato."""
    assert steady_tones(chord(bend_cents)) > MUSIC_TONES


def test_X22_speech_glides(jfk_path):
    """A real recording of speech is not taken for music."""
    samples, rate = soundfile.read(jfk_path)
    assert steady_tones(to_16_khz(samples, rate)) < MUSIC_TONES
    assert steady_tones(glide()) < MUSIC_TONES


@pytest.mark.parametrize("samples", [np.zeros(40000), np.full(40000, 0.5)], ids=["silence", "offset"])
def test_nothing_has_no_tones(samples):
    assert steady_tones(samples) == 0.0


def test_one_tone_is_not_five():
    assert steady_tones(0.3 * np.sin(2 * np.pi * 440 * T)) == pytest.approx(0.2, abs=0.01)


def test_noise_has_few_tones():
    assert steady_tones(0.1 * np.random.default_rng(3).standard_normal(len(T))) < 0.3


@pytest.mark.parametrize("count", [0, 100, 16 * HOP])
def test_a_second_is_too_short_to_say(count):
    assert steady_tones(np.zeros(count)) is None


def test_a_full_scale_sine_is_0_db():
    hz = 200 * 16000 / WINDOW  # in the middle of a bin
    levels = levels_db(np.sin(2 * np.pi * hz * T).astype(np.float32))
    assert levels.max() == pytest.approx(0, abs=0.02)
    assert peaks(levels)[:, 200 - 12].all()


def test_tones_below_the_floor_do_not_count():
    assert steady_tones(chord() * 1e-4) == 0.0


@settings(max_examples=8)
@given(st.lists(st.integers(0, len(T)), max_size=6))
def test_F8_the_cuts_change_nothing(cuts):
    """However a recording arrives in pieces, the answer whether it is music is the same."""
    signal = chord(10) + 0.01 * np.random.default_rng(1).standard_normal(len(T))
    meter = SteadyTones()
    for piece in np.split(signal, sorted(cuts)):
        meter.feed(piece)
    assert meter.result() == steady_tones(signal)


def test_a_partial_may_lean_to_the_bins_beside_it():
    wobble = 1.3 * np.sin(2 * np.pi * 0.4 * T)
    tones = [np.sin(2 * np.pi * np.cumsum((60 * k + wobble) * 16000 / WINDOW) / 16000) for k in range(1, 6)]
    assert steady_tones(0.1 * sum(tones)) > 0.95
