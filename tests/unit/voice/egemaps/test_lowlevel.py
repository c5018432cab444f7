"""The contours in blocks: the same to the bit, however the samples come in."""

from __future__ import annotations

import numpy as np
import pytest

from sottovoce.voice.egemaps import frames, lowlevel, octave, pitch, viterbi

TABLES = ("loudness", "balance", "flux_and_mfcc", "voice")


def speech_like(seconds):
    """A gliding tone with pauses and noise."""
    t = np.arange(int(16000 * seconds)) / 16000
    phase = 2 * np.pi * np.cumsum(130 * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * t))) / 16000
    tone = sum(np.sin(k * phase) / k for k in range(1, 15)) * (np.sin(2 * np.pi * 0.9 * t) > -0.3)
    noise = np.random.default_rng(3).standard_normal(len(t))
    return frames.quantise(0.2 * tone + 0.003 * noise)


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("piece", [777, 16000, 41000])
def test_pieces_of_any_length_give_the_same_contours_to_the_bit(corrected, piece):
    steps = speech_like(14)
    whole = lowlevel.measure(steps, 16000, corrected=corrected)
    measurement = lowlevel.Measurement(16000, corrected=corrected)
    for start in range(0, len(steps), piece):
        measurement.feed(steps[start : start + piece])
    found = measurement.finish()
    assert (found.pitch.f0_hz == whole.pitch.f0_hz).all()
    assert (found.pitch.undecided, found.level_db) == (whole.pitch.undecided, whole.level_db)
    for name in TABLES:
        assert (getattr(found, name) == getattr(whole, name)).all(), name
    assert len(found.pitch.f0_hz) == 1 + (len(steps) - 960) // 160
    assert len(found.loudness) == 1 + (len(steps) - 320) // 160


def test_samples_that_nothing_needs_any_more_are_forgotten():
    """A long recording is never held as a whole."""
    steps, measurement = speech_like(12), lowlevel.Measurement(16000)
    for start in range(0, len(steps), 8000):
        measurement.feed(steps[start : start + 8000])
        assert len(measurement._steps) < 160 * (lowlevel.VOICE_BLOCK + 2 * lowlevel.BLOCK) + 8000


def test_a_path_in_blocks_is_the_path_as_a_whole():
    rng = np.random.default_rng(5)
    frequency = np.sort(rng.uniform(60, 400, (300, 6)), axis=1).astype(np.float32)
    voicing = rng.uniform(0.4, 1, (300, 6)).astype(np.float32)
    for corrected in (False, True):
        whole, undecided = viterbi.best_path(frequency, voicing, corrected=corrected)
        path = viterbi.Path(corrected=corrected)
        parts = [path.feed(frequency[i : i + 7], voicing[i : i + 7]) for i in range(0, 300, 7)]
        rest, left = path.finish()
        assert (np.concatenate((*parts, rest)) == whole).all()
        assert left == undecided == len(rest)


def test_the_octave_spectrum_is_one_linear_map_of_the_enhanced_spectrum():
    """Oracle: smoothing, natural spline and weights one after the other."""
    stream = frames.stream_60ms(16000)
    magnitude = np.random.default_rng(6).uniform(0, 1, (4, stream.bins)).astype(np.float32)
    smooth = octave.smoothed(octave.enhanced(magnitude.astype(np.float64)))
    axis = octave.octave_axis(stream)
    plain = axis.weights * np.maximum(octave.natural_spline(octave._knots(stream), smooth, axis.points), 0)
    assert octave.octave_spectrum(magnitude, stream) == pytest.approx(plain, rel=1e-6, abs=1e-12)


def test_a_tracker_without_frames_decides_nothing():
    f0_hz, undecided = pitch.Tracker(frames.stream_60ms(16000)).finish()
    assert (len(f0_hz), undecided) == (0, 0)


def test_rows_are_joined_in_the_order_they_came():
    rows, pieces = (
        lowlevel.Rows[np.float32](),
        [np.full((n, 2), n, dtype=np.float32) for n in (3, 1, 40, 0, 7)],
    )
    for piece in pieces:
        rows.append(piece)
    assert np.array_equal(rows.joined(), np.concatenate(pieces))
