"""The 88 functionals as a whole: stated constants and synthetic truths, borders, refusals, golden vectors."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
import soundfile

from sottovoce.errors import AudioRejected, UsageError
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.egemaps import extract as extraction
from sottovoce.voice.egemaps import lowlevel
from sottovoce.voice.egemaps.extract import analyse, extract

ROOTS = range(38, 58)  # features that depend on the roots of a polynomial: looser across platforms (17.2)
TIME = np.arange(32000) / 16000
VOICED = [name for name in FEATURE_NAMES if "sma3nz" in name and "UV" not in name and "slopeV" not in name]


def harmonic_signal():
    """The signal of specification 10.3: 200, 400, 600 Hz at 0, -6.02, -18.06 dB."""
    return 0.3 * sum(a * np.sin(2 * np.pi * f * TIME) for a, f in ((1, 200), (0.5, 400), (0.125, 600)))


def voice(samples=24000, f0_hz=130.0, seed=1):
    """Something like a voice, with noise and a pause, for tests that need all 88 values."""
    t = np.arange(samples) / 16000
    f0 = f0_hz * (1 + 0.1 * np.sin(2 * np.pi * 2 * t))
    phase = 2 * np.pi * np.cumsum(f0) / 16000
    tone = sum(np.sin(k * phase) / k for k in range(1, 20)) * (np.sin(2 * np.pi * 1.3 * t) > -0.5)
    return 0.2 * tone + 0.003 * np.random.default_rng(seed).standard_normal(samples)


def test_X22_digital_silence_gives_the_stated_constants():
    """A recording of silence has no voiced frame, 0 wherever the specification says 0, and its stated constants."""
    analysis = analyse(np.zeros(16000))
    found = analysis.features.as_dict()
    stated = {
        "loudness_sma3_amean": 0.00103397,
        "loudness_sma3_percentile20.0": 0.00103397,
        "loudness_sma3_percentile50.0": 0.00103397,
        "loudness_sma3_percentile80.0": 0.00103397,
        "F1amplitudeLogRelF0_sma3nz_amean": -201,
        "F2amplitudeLogRelF0_sma3nz_amean": -201,
        "F3amplitudeLogRelF0_sma3nz_amean": -201,
        "slopeUV0-500_sma3nz_amean": 0.112,
        "slopeUV500-1500_sma3nz_amean": 0.0763636,
        "MeanUnvoicedSegmentLength": 0.93,
        "equivalentSoundLevel_dBp": -120,
    }
    for name, value in found.items():
        assert value == pytest.approx(stated.get(name, 0.0), rel=1e-6, abs=5e-9), name
    assert all(value == 0 for name, value in found.items() if name not in stated)
    assert (analysis.voiced_frames, analysis.frames) == (0, 95)


@pytest.mark.parametrize(
    "samples",
    [
        np.full(32000, 0.5),
        np.full(32000, -1.0),
        0.1 * np.random.default_rng(17).standard_normal(32000),
        np.eye(1, 16000, 8000)[0],
    ],
    ids=["offset", "negative rail", "noise", "click"],
)
def test_X22_without_voice_every_voiced_value_is_zero_and_finite(samples):
    """What holds no voice has 0 in every voiced statistic (-201 for the three amplitudes), and never NaN."""
    analysis = analyse(samples)
    found = analysis.features.as_dict()
    assert analysis.voiced_frames == 0
    for name in VOICED:
        assert found[name] == (-201 if name.endswith("amplitudeLogRelF0_sma3nz_amean") else 0), name
    assert np.isfinite(analysis.features.values).all()


def test_M06_synthetic_truths_of_a_harmonic_signal():
    """Pitch and levels of a signal with known harmonics are those that the specification states."""
    found = extract(harmonic_signal(), 16000).as_dict()
    assert 27.5 * 2 ** (found["F0semitoneFrom27.5Hz_sma3nz_amean"] / 12) == pytest.approx(200.86, abs=0.1)
    assert found["logRelF0-H1-H2_sma3nz_amean"] == pytest.approx(12.13, abs=0.01)
    assert found["F1amplitudeLogRelF0_sma3nz_amean"] == pytest.approx(-6.22, abs=0.01)


def test_M06_level_of_a_full_scale_sine():
    """A sine at full scale has the stated level of -3.01 dB."""
    found = extract(np.sin(2 * np.pi * 500 * TIME), 16000).as_dict()
    assert found["equivalentSoundLevel_dBp"] == pytest.approx(-3.01, abs=0.005)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_X20_under_100_ms_is_refused_and_exactly_100_ms_is_not(rate):
    """A recording of less than 100 ms is an error with the reason `too_short`; from 100 ms on all values exist."""
    with pytest.raises(AudioRejected) as refused:
        extract(np.zeros(rate // 10 - 1), rate)
    assert refused.value.public_code == "too_short"
    assert len(extract(np.zeros(rate // 10), rate).values) == 88


@pytest.mark.parametrize("samples", range(1600, 1600 + 480, 37))
def test_every_length_around_100_ms_gives_finite_values(samples):
    analysis = analyse(voice(24000)[:samples])
    assert np.isfinite(analysis.features.values).all()
    assert analysis.frames == 1 + (samples - 960) // 160


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_X20_values_that_are_not_numbers_are_refused(bad):
    """One NaN or infinite sample is an error with the reason `non_finite`, never a NaN among the features."""
    samples = voice()
    samples[777] = bad
    with pytest.raises(AudioRejected) as refused:
        extract(samples, 16000)
    assert refused.value.public_code == "non_finite"


def test_requests_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="profile"):
        extract(np.zeros(16000), 16000, profile="other")
    with pytest.raises(UsageError, match="one channel"):
        extract(np.zeros((16000, 2)), 16000)
    with pytest.raises(UsageError, match="100 Hz"):
        extract(np.zeros(11025), 11025, native=True)
    for rate in (7999, 192001, 0):
        with pytest.raises(AudioRejected) as refused:
            extract(np.zeros(400000), rate)
        assert refused.value.public_code == "sample_rate"


def test_M06_two_runs_are_bit_identical_and_the_input_is_left_alone():
    """The same recording always gives exactly the same 88 values."""
    samples = voice()
    before = samples.copy()
    assert extract(samples, 16000).values == extract(samples, 16000).values
    assert (samples == before).all()
    assert extract(samples.astype(np.float32), 16000).profile == "compat"


def test_X56_any_rate_is_resampled_to_16_khz_and_the_rate_is_recorded():
    """A recording of another rate is brought to 16 kHz first, so that its features are those of a 16 kHz recording."""
    t = np.arange(48000) / 48000
    tone = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 15)) / 4
    at_48, at_16 = (
        extract(tone, 48000),
        extract(tone[::3], 16000),
    )  # nothing above 2.1 kHz: plain picking is exact
    assert at_48.sample_rate_hz == at_16.sample_rate_hz == 16000
    steady = [i for i, name in enumerate(FEATURE_NAMES) if name.endswith("_amean") and i not in ROOTS]
    assert np.array(at_48.values)[steady] == pytest.approx(np.array(at_16.values)[steady], rel=0.05, abs=0.02)
    native = extract(tone, 48000, native=True)
    assert native.sample_rate_hz == 48000
    differs = np.abs(np.array(native.values) - at_48.values) > 0.05 * np.abs(at_48.values)
    assert differs.sum() > 30


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_native_rates_work(rate):
    t = np.arange(rate // 2) / rate
    found = extract(0.5 * np.sign(np.sin(2 * np.pi * 140 * t)), rate, native=True)
    assert found.as_dict()["F0semitoneFrom27.5Hz_sma3nz_percentile50.0"] == pytest.approx(28.17, abs=0.3)


def test_what_hangs_on_the_pitch_leaves_out_the_frames_an_online_decoder_still_holds():
    """Q14: with one frame more still held, the segments end one frame earlier."""
    low = lowlevel.measure(np.zeros(16000), 16000)
    held = dataclasses.replace(low, pitch=dataclasses.replace(low.pitch, undecided=low.pitch.undecided + 1))
    where = FEATURE_NAMES.index("MeanUnvoicedSegmentLength")
    usual, later = (extraction._functionals(contours)[where] for contours in (low, held))
    assert later == pytest.approx(usual - 0.01)


def test_where_all_frames_are_still_held_all_of_them_count():
    analysis = analyse(0.3 * np.sin(2 * np.pi * 180 * TIME[:1600]))
    assert analysis.voiced_frames == analysis.frames == 5
    assert analysis.features.as_dict()["F0semitoneFrom27.5Hz_sma3nz_amean"] == pytest.approx(32.53, abs=0.1)


def test_M06_a_real_recording_has_plausible_values(jfk_path):
    """The bundled real recording gives 88 finite values, with a pitch, pauses and a pace that a speaker has."""
    samples, rate = soundfile.read(jfk_path)
    analysis = analyse(samples, rate)
    found = analysis.features.as_dict()
    assert tuple(found) == FEATURE_NAMES
    assert 300 < analysis.voiced_frames < analysis.frames
    assert 100 < 27.5 * 2 ** (found["F0semitoneFrom27.5Hz_sma3nz_percentile50.0"] / 12) < 300
    assert 0.5 < found["VoicedSegmentsPerSec"] < 6
    assert 0 < found["jitterLocal_sma3nz_amean"] < 0.1
    assert 0 < found["HNRdBACF_sma3nz_amean"] < 20


@pytest.fixture(scope="module")
def voice_vectors(load_script):
    return load_script("scripts/voice_vectors.py")


def test_M99_golden_vectors_of_our_own_extractor_still_hold(voice_vectors, repo_root):
    """Every published vector comes out again within the tolerance that other implementations are held to."""
    document = json.loads((repo_root / "vectors" / "features" / "compat.json").read_text())
    assert len(document["cases"]) >= 5
    for case in document["cases"]:
        analysis = analyse(voice_vectors.make_signal(case["signal"]))
        assert (analysis.frames, analysis.voiced_frames) == (case["frames"], case["voiced_frames"])
        assert (analysis.features.profile, analysis.features.version) == (case["profile"], case["version"])
        for i, (name, value) in enumerate(case["features"].items()):
            assert FEATURE_NAMES[i] == name
            tolerance = 1e-4 if i in ROOTS else 1e-6
            assert analysis.features.values[i] == pytest.approx(value, rel=tolerance, abs=1e-12), name


def test_X56_resampler_vectors_are_the_filter_in_use(voice_vectors, repo_root):
    """The published filter table is exactly the one in use, and its cases come out again."""
    folder = repo_root / "vectors" / "resampler"
    assert json.loads((folder / "prototype.json").read_text()) == voice_vectors.prototype_document()
    stored, made = json.loads((folder / "cases.json").read_text()), voice_vectors.resampler_cases_document()
    assert [case["rate_hz"] for case in stored["cases"]] == [case["rate_hz"] for case in made["cases"]]
    for old, new in zip(stored["cases"], made["cases"], strict=True):
        assert new["taps_of_output_1"] == pytest.approx(old["taps_of_output_1"], rel=1e-12, abs=1e-15)
        assert new["output"] == pytest.approx(old["output"], rel=1e-9, abs=1e-13)


def test_every_feature_is_described_in_the_reference(repo_root):
    text = (repo_root / "docs" / "reference" / "features.md").read_text(encoding="utf-8")
    bases = {re.sub(r"_sma3(nz)?_.*$", "", name) for name in FEATURE_NAMES}
    ranges = {"mfcc2", "mfcc3", "mfcc2V", "mfcc3V", "F2frequency", "F2bandwidth", "F2amplitudeLogRelF0"}
    text = text.replace("`-H1-A3`", "`logRelF0-H1-A3`")
    assert {base for base in bases - ranges if f"`{base}`" not in text} == set()


def test_voice_contours_are_cut_before_smoothing_and_spectral_ones_after():
    """The first frame left out is not seen by jitter, formants, ...; the spectral contours see it as a neighbour."""
    low = lowlevel.measure(extraction.frames.quantise(voice()), 16000)
    left_out = len(low.pitch.f0_hz) - low.pitch.undecided
    usual = extraction._functionals(low)
    changed = low.voice.copy()
    changed[left_out] += 5
    assert extraction._functionals(dataclasses.replace(low, voice=changed)) == usual
    changed = low.balance.copy()
    changed[left_out] += 5
    moved = np.array(extraction._functionals(dataclasses.replace(low, balance=changed))) != usual
    assert moved[58:66].any() != moved[76:80].any()  # the class of that frame, voiced or not
