"""Quality findings on signals whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sottovoce.voice.quality import Meter, clipped_share, estimate_snr_db, has_offset, measure

RATE = 16000
TIME = np.arange(3 * RATE) / RATE


def bursts(snr_db, seed=1):
    """Tone with pauses over white noise: the signal's mean power while it sounds, over the noise's, is known."""
    t = np.arange(6 * RATE) / RATE
    tone = np.sqrt(2) * np.sin(2 * np.pi * 150 * t) * (np.sin(2 * np.pi * 2 * t) > -0.3)
    return 0.05 * (tone + 10 ** (-snr_db / 20) * np.random.default_rng(seed).standard_normal(len(t)))


def test_X22_full_scale_square_is_flagged_clipped():
    """A recording whose samples all stand at full scale is flagged `clipped`."""
    found = measure(np.sign(np.sin(2 * np.pi * 150 * TIME) + 1e-9), RATE)
    assert found.clipped_share == 1.0
    assert "clipped" in found.flags


def test_clipped_share_counts_runs_at_the_rails_only():
    samples = np.zeros(100)
    samples[10:15], samples[20:23], samples[30:32], samples[40] = 1.0, -1.0, 1.0, 1.0
    assert clipped_share(samples) == pytest.approx(0.08)
    assert clipped_share(np.full(100, 0.5)) == 0
    assert clipped_share(np.clip(1.3 * np.sin(2 * np.pi * 200 * TIME), -0.98, 0.98)) > 0.3
    assert clipped_share(np.zeros(0)) == 0


def test_a_sine_that_just_reaches_full_scale_is_not_clipped():
    assert clipped_share(np.sin(2 * np.pi * 220 * TIME) * 32767 / 32768) == 0


def test_samples_beyond_full_scale_count_as_clipped():
    samples = 0.1 * np.sin(2 * np.pi * 220 * TIME)
    samples[100:110] = np.linspace(1.1, 1.5, 10)
    assert clipped_share(samples) == pytest.approx(10 / len(samples))


def test_offset():
    tone = 0.3 * np.sin(2 * np.pi * 220 * TIME)
    assert not has_offset(tone)
    assert has_offset(tone + 0.03)
    assert has_offset(np.full(1000, 0.005))
    assert not has_offset(np.full(1000, 0.0005))
    assert not has_offset(np.zeros(0))
    assert measure(np.full(RATE, 1.0), RATE).flags == ("clipped", "dc")


@pytest.mark.parametrize("snr_db", [5, 10, 20, 30, 40])
def test_snr_of_bursts_over_noise_is_estimated_within_2_db(snr_db):
    assert estimate_snr_db(bursts(snr_db), RATE) == pytest.approx(snr_db, abs=2)
    assert estimate_snr_db(bursts(snr_db) + 0.3, RATE) == pytest.approx(
        snr_db, abs=2
    )  # an offset is no signal


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(RATE),
        np.full(RATE, 0.4),
        0.1 * np.sin(2 * np.pi * 200 * TIME),
        bursts(20)[: RATE // 3],
        np.zeros(0),
    ],
    ids=["silence", "offset", "steady tone", "too short", "empty"],
)
def test_snr_is_none_where_it_cannot_be_estimated(samples):
    assert estimate_snr_db(samples, RATE) is None


def test_digital_silence_between_words_is_not_taken_for_the_noise():
    samples = bursts(20)
    samples[::RATE] = 0
    padded = np.concatenate((np.zeros(5 * RATE), samples, np.zeros(5 * RATE)))
    padded[: 5 * RATE] = padded[-5 * RATE :] = samples.mean()
    assert estimate_snr_db(padded - padded.mean(), RATE) == pytest.approx(20, abs=2)


@pytest.mark.parametrize(("seconds", "short"), [(0.1, True), (0.499, True), (0.5, False)])
def test_short_is_less_than_half_a_second(seconds, short):
    assert ("short" in measure(np.zeros(round(seconds * RATE)), RATE).flags) is short


@pytest.mark.parametrize(("rate", "narrow"), [(8000, True), (8001, False), (16000, False)])
def test_narrow_band_is_8_khz_and_less(rate, narrow):
    assert ("narrow_band" in measure(np.zeros(rate), rate).flags) is narrow


def test_a_clean_real_recording_has_no_flags(jfk_path):
    samples, rate = soundfile.read(jfk_path)
    found = measure(samples, rate)
    assert found.flags == ()
    assert found.snr_db is not None
    assert 15 < found.snr_db < 60


def naive_clipped_share(samples):
    """The definition, sample by sample, in steps of 16 bits."""
    total = 0
    for side in (samples, -samples):
        level = np.floor(np.clip(side, -1, 1) * 32768)
        if level.max() / 32768 < 0.97:
            continue
        run = 0
        for at_rail in [*(level >= level.max() - 1), False]:
            if not at_rail:
                total += run if run >= 3 else 0
            run = run + 1 if at_rail else 0
    return total / len(samples)


def in_pieces(samples, rate, cuts):
    meter = Meter(rate)
    for piece in np.split(samples, sorted(cuts)):
        meter.feed(piece)
    return meter.result()


@given(
    steps=st.lists(
        st.sampled_from((0, 31783, 31784, 31785, 32765, 32766, 32767, -32766, -32767, -32768)), min_size=1
    ),
    repeat=st.lists(st.integers(1, 5), min_size=1, max_size=20),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_clipping_is_counted_by_its_definition_however_it_is_cut(steps, repeat, cuts):
    samples = np.repeat(steps, np.resize(repeat, len(steps))) / 32768
    meter = Meter(400)
    meter._block = 8  # samples: runs cross many blocks
    for piece in np.split(samples, sorted(min(cut, len(samples)) for cut in cuts)):
        meter.feed(piece)
    assert meter.result().clipped_share == pytest.approx(naive_clipped_share(samples), abs=1e-12)


@settings(max_examples=5)
@given(
    rate=st.sampled_from((8000, 11025, 44100)),
    shares=st.lists(st.floats(0, 1), max_size=5),
    offset=st.sampled_from((0.0, 0.3)),
)
def test_F8_the_findings_do_not_depend_on_the_pieces(rate, shares, offset):
    """What is found of a recording that comes in pieces is what is found of the whole."""
    samples = np.clip(np.resize(4 * bursts(15), 11 * rate) + offset, -1, 1)
    whole = measure(samples, rate)
    assert in_pieces(samples, rate, [int(share * len(samples)) for share in shares]) == whole
    length, hop = rate // 50, rate // 100
    centred = samples - samples.mean()
    energies = [np.mean(centred[i : i + length] ** 2) for i in range(0, len(samples) - length + 1, hop)]
    quiet, loud = np.percentile([e for e in energies if e > 1e-12], (10, 90))
    assert whole.snr_db == pytest.approx(10 * np.log10((loud - quiet) / quiet), abs=1e-6)
    assert ("dc" in whole.flags) is bool(abs(samples.mean()) >= 0.02)
