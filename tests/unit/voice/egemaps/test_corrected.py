"""Profile `corrected`: true resonances, levels, slopes and lengths on signals whose truth is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.signal import lfilter

from sottovoce.errors import UsageError
from sottovoce.model.features import FEATURE_NAMES, mean_of
from sottovoce.voice.egemaps import (
    balance,
    formants,
    frames,
    harmonics,
    lowlevel,
    octave,
    peaks,
    segments,
    viterbi,
)
from sottovoce.voice.egemaps.extract import analyse, extract

RATE = 16000
VOWELS = ((500, 1500, 2500), (700, 1200, 2600), (300, 2300, 3000))
BANDWIDTHS = (60, 90, 120, 150)
PITCHES = (101.3, 131.7, 209.1)


def vowel(f0_hz, resonances, seconds=1.0):
    """Pulses at a pitch, a source slope, four resonances, noise at -80 dB."""
    count = int(seconds * RATE)
    signal = np.zeros(count)
    signal[np.flatnonzero(np.diff(np.floor(np.arange(count) * f0_hz / RATE)))] = 1.0
    signal = lfilter([1], [1, -0.95], signal)
    for f, b in zip((*resonances, max(3400, resonances[2] + 600)), BANDWIDTHS, strict=True):
        r = np.exp(-np.pi * b / RATE)
        signal = lfilter([1], [1, -2 * r * np.cos(2 * np.pi * f / RATE), r * r], signal)
    noise = np.random.default_rng(0).standard_normal(count)
    return 0.5 * signal / np.abs(signal).max() + 5e-5 * noise


def formants_of(samples, corrected):
    low = lowlevel.measure(frames.quantise(samples), RATE, corrected=corrected)
    voiced = low.voice[low.pitch.voiced].astype(np.float64)
    return np.median(voiced[:, 5::3], axis=0), np.median(voiced[:, 6::3], axis=0)


@pytest.fixture(scope="module")
def nine_vowels():
    cases = [(f0, truth) for f0 in PITCHES for truth in VOWELS]
    signals = [vowel(*case) for case in cases]
    return cases, *([formants_of(signal, corrected) for signal in signals] for corrected in (True, False))


def test_M06_formants_of_nine_synthetic_vowels_are_the_true_resonances(nine_vowels):
    """Nine synthetic vowels have, in the corrected profile, the formants that they were made with."""
    cases, corrected, _ = nine_vowels
    errors = np.array(
        [np.abs(found / np.array(truth) - 1) for (_, truth), (found, _) in zip(cases, corrected, strict=True)]
    )
    assert np.median(errors) <= 0.02
    highest = np.array([f0 == max(PITCHES) for f0, _ in cases])
    assert errors[~highest].max() <= 0.08
    assert errors[highest, 0].max() <= 0.15
    assert errors[highest, 1:].max() <= 0.08


def test_M06_bandwidths_are_nearer_to_the_truth_than_those_of_compat(nine_vowels):
    """On every vowel each bandwidth is nearer to the true one in the corrected profile than in compat."""
    _, corrected, compat = nine_vowels
    truth = np.array(BANDWIDTHS[:3])
    for (_, better), (_, worse) in zip(corrected, compat, strict=True):
        assert (np.abs(better - truth) < np.abs(worse - truth)).all()


@pytest.mark.parametrize("f0_hz", [110.0, 137.0, 200.0, 263.0])
@pytest.mark.parametrize("second_db", [-6.02, -3.0, 0.0, 4.0])
def test_M06_h1_h2_of_tones_is_the_difference_of_the_first_two_harmonics(f0_hz, second_db):
    """The levels of the first two harmonics, up to 6 dB apart, are told apart right within 0.1 dB."""
    t = np.arange(RATE) / RATE
    levels = (0.0, second_db, second_db - 6, second_db - 8)
    signal = 0.15 * sum(
        10 ** (level / 20) * np.sin(2 * np.pi * k * f0_hz * t + k) for k, level in enumerate(levels, start=1)
    )
    found = extract(signal, RATE, profile="corrected").as_dict()
    assert found["logRelF0-H1-H2_sma3nz_amean"] == pytest.approx(-second_db, abs=0.1)


def test_M06_a_flat_spectrum_has_no_slope():
    """A spectrum of equal levels has the spectral slope 0 in both bands, in the corrected profile."""
    stream = frames.stream_20ms(RATE)
    flat = np.full((2, stream.bins), 0.25, dtype=np.float32)
    assert balance.spectral_slopes(flat, stream, corrected=True) == pytest.approx(0, abs=1e-9)
    assert np.abs(balance.spectral_slopes(flat, stream)).min() > 1e-3


def test_M06_slopes_are_those_of_a_least_squares_line():
    """Oracle: numpy's polynomial fit through the levels of the band."""
    stream = frames.stream_20ms(RATE)
    power = np.random.default_rng(4).uniform(0.01, 1, (3, stream.bins)).astype(np.float32)
    f = stream.frequencies_hz()
    found = balance.spectral_slopes(power, stream, corrected=True)
    for column, (low, high) in enumerate(balance.SLOPE_BANDS_HZ):
        band = (f >= low) & (f <= high)
        for row in range(3):
            line = np.polyfit(f[band], 10 * np.log10(power[row, band].astype(np.float64)), 1)
            assert found[row, column] == pytest.approx(line[0], rel=1e-5)


def test_X22_digital_silence_has_no_artefacts():
    """A second of silence has 0 in every value but the loudness floor, one pause of its true length and the level."""
    analysis = analyse(np.zeros(RATE), profile="corrected")
    found = analysis.features.as_dict()
    left = {name for name, value in found.items() if abs(value) > 1e-9}
    floor = {"amean", "percentile20.0", "percentile50.0", "percentile80.0"}
    assert left == {f"loudness_sma3_{name}" for name in floor} | {
        "MeanUnvoicedSegmentLength",
        "equivalentSoundLevel_dBp",
    }
    assert found["MeanUnvoicedSegmentLength"] == pytest.approx(0.95)
    assert analysis.frames == 95
    assert found["equivalentSoundLevel_dBp"] == -120


def test_X22_no_placeholder_level_enters_a_mean(jfk_path):
    """No level of -200 dB, which stands for 'nothing was found', enters any value of speech, tones or noise."""
    import soundfile

    speech, rate = soundfile.read(jfk_path)
    t = np.arange(RATE) / RATE
    sine = 0.3 * np.sin(2 * np.pi * 220 * t)
    for samples, hz in ((speech, rate), (sine, RATE), (sine * (t % 0.3 < 0.15), RATE)):
        found = extract(samples, hz, profile="corrected").as_dict()
        levels = [found[name] for name in FEATURE_NAMES if "LogRelF0" in name and name.endswith("amean")]
        levels += [found["logRelF0-H1-H2_sma3nz_amean"], found["logRelF0-H1-A3_sma3nz_amean"]]
        assert all(abs(level) < 120 for level in levels)


def test_levels_that_are_missing_are_zero():
    peaks_found = harmonics.Harmonics(
        frequency_hz=np.zeros((3, 100)),
        magnitude=np.array([[1.0, 0.5] + 98 * [0.0], [1.0] + 99 * [0.0], [0.0, 1.0] + 98 * [0.0]]),
        relative_db=np.array([[0.0, -6.0] + 98 * [-200.0], [0.0] + 99 * [-200.0], [0.0] + 99 * [-201.0]]),
    )
    h1_h2, h1_a3 = harmonics.level_differences_corrected(
        peaks_found, np.array([-20.0, 0.0, -3.0]), np.array([True, False, True])
    )
    assert h1_h2.tolist() == [6.0, 0.0, 0.0]
    assert h1_a3.tolist() == [20.0, 0.0, 0.0]


def test_autocorrelation_is_that_of_the_resampled_frame():
    """Oracle: the frame at 11 kHz by an inverse transform of all bins up to 5.5 kHz, then sums of lagged products."""
    stream = frames.stream_20ms(RATE)
    frame = np.random.default_rng(2).standard_normal((1, stream.length)).astype(np.float32)
    windowed = frames.hamming(frame)
    spectrum = np.fft.rfft(windowed[0].astype(np.float64), n=stream.fft_size)[:177]
    points = 352  # 512 samples at 16 kHz last as long as 352 at 11 kHz
    resampled = np.fft.irfft(np.concatenate((spectrum[:-1], [abs(spectrum[-1])])), n=points)
    expected = [np.dot(resampled, np.roll(resampled, lag)) for lag in range(12)]
    power = frames.magnitudes(windowed, stream) ** 2
    found = (power[:, :177].astype(np.float64) @ formants.autocorrelation_map(stream))[0]
    assert found / found[0] == pytest.approx(np.array(expected) / expected[0], rel=1e-4, abs=1e-6)


def test_one_peak_alone_changes_nothing():
    spectrum = np.array([[1.0, 2.0, 3.0, 2.0, 1.5, 1.0, 0.5, 0.2]])
    assert (octave.enhanced(spectrum, corrected=True) == spectrum).all()
    assert (octave.enhanced(spectrum)[0, 3:] == 0).all()


def test_segments_count_all_their_frames():
    hits = np.array([0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1], dtype=np.bool_)
    found = segments.measure_segments(hits, corrected=True)
    assert found.mean_s == pytest.approx((4 + 5) / 2 * 0.01)
    assert segments.measure_segments(hits).mean_s == pytest.approx((3 + 4) / 2 * 0.01)


def test_the_last_fall_is_a_fall():
    """Q15: a contour that rises once and falls to its end has a positive falling slope, in full."""
    contour = np.concatenate((np.linspace(0, 1, 11), np.linspace(1, 0.5, 11)[1:])).astype(np.float32)
    found = peaks.measure_slopes(contour, corrected=True)
    assert (found.rising_mean, found.falling_mean) == (pytest.approx(10), pytest.approx(5))
    assert (found.rising_std, found.falling_std) == (pytest.approx(0, abs=1e-6), pytest.approx(0, abs=1e-6))
    assert peaks.measure_slopes(contour).falling_mean < 0
    line = np.linspace(3, 1, 21).astype(np.float32)
    assert peaks.measure_slopes(line, corrected=True).falling_mean == pytest.approx(10)
    assert peaks.measure_slopes(np.ones(9, dtype=np.float32), corrected=True) == peaks.Slopes(0, 0, 0, 0, 0)


def slow_path(frequency, voicing):
    """Oracle: the search of specification 7.3 and 15 in plain loops; each state remembers its own last glide."""
    local = viterbi.local_costs(frequency.astype(np.float64), voicing.astype(np.float64))
    states = [(local[0, i], 0.0, [i]) for i in range(7)]  # cost, last glide, path
    for t in range(1, len(frequency)):
        arrived = []
        for i in range(7):
            options = []
            for j, (cost, glide, path) in enumerate(states):
                step, q = 10.0, 0.0
                if i == 6 and j == 6:
                    step = 0.0
                elif i < 6 and j < 6:
                    step = 999.0
                    if frequency[t, i] > 0 and frequency[t - 1, j] > 0:
                        q = math.log(float(frequency[t, i]) / float(frequency[t - 1, j]))
                        step = 10 * abs(q) + 5 * abs(q - glide)
                options.append((cost + step, q, [*path, i]))
            best = min(options, key=lambda option: option[0])
            arrived.append((best[0] + local[t, i], *best[1:]))
        states = arrived
    return min(states, key=lambda state: state[0])[2]


@pytest.mark.parametrize("seed", range(8))
def test_the_path_of_the_corrected_profile_is_the_one_the_words_describe(seed):
    rng = np.random.default_rng(seed)
    frequency = rng.choice([0.0, 110.0, 123.0, 137.0, 160.0, 220.0], size=(40, 6)).astype(np.float32)
    voicing = np.where(frequency > 0, rng.uniform(0.5, 1, (40, 6)), 0).astype(np.float32)
    path, _ = viterbi.best_path(frequency, voicing, corrected=True)
    assert path.tolist() == slow_path(frequency, voicing)


def test_staying_unvoiced_is_free_and_glides_follow_the_path():
    """A steady glide beats a jump to a neighbour that is nearer in frequency."""
    steady = 150 * np.exp(0.02 * np.arange(10))
    frequency = np.zeros((10, 6), dtype=np.float32)
    frequency[:, 0], frequency[5, 1] = steady, 2 * steady[5]
    voicing = np.where(frequency > 0, 0.9, 0).astype(np.float32)
    path, _ = viterbi.best_path(frequency, voicing, corrected=True)
    assert path.tolist() == [0] * 10
    silent, _ = viterbi.best_path(*np.zeros((2, 5, 6), np.float32), corrected=True)
    assert silent.tolist() == [6] * 5


def test_X55_vectors_of_different_profiles_are_never_compared_or_averaged():
    """Comparing or averaging feature vectors of different profiles is an error, not a number."""
    samples = vowel(120.0, VOWELS[0])
    one, other = (extract(samples, RATE, profile=name) for name in ("compat", "corrected"))
    assert (one.version, other.version) == ("egemaps-88/1", "egemaps-88/c1")
    for mixed in (lambda: one.distance(other), lambda: mean_of([one, other])):
        with pytest.raises(UsageError) as refused:
            mixed()
        assert refused.value.public_code == "profile_mixed"
    assert one.distance(one) == 0
    assert mean_of([one, one]).values == one.values
    with pytest.raises(UsageError):
        mean_of([])


def test_X56_the_corrected_profile_exists_at_16_khz_only():
    """A recording of another rate is resampled; without resampling the corrected profile is refused."""
    assert extract(np.zeros(8000), 8000, profile="corrected").sample_rate_hz == 16000
    with pytest.raises(UsageError, match="16 kHz"):
        extract(np.zeros(8000), 8000, profile="corrected", native=True)


def test_M99_golden_vectors_of_the_corrected_profile_still_hold(repo_root, load_script):
    """Every published vector of the corrected profile comes out again."""
    voice_vectors = load_script("scripts/voice_vectors.py")
    document = json.loads((repo_root / "vectors" / "features" / "corrected.json").read_text())
    for case in document["cases"]:
        analysis = analyse(voice_vectors.make_signal(case["signal"]), profile="corrected")
        assert (analysis.frames, analysis.voiced_frames) == (case["frames"], case["voiced_frames"])
        assert (analysis.features.profile, analysis.features.version) == ("corrected", case["version"])
        for i, (name, value) in enumerate(case["features"].items()):
            tolerance = 1e-4 if 38 <= i < 58 else 1e-6
            assert analysis.features.values[i] == pytest.approx(value, rel=tolerance, abs=1e-12), name
