"""`sottovoce.egemaps` and its relatives: features alone, in windows, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

import sottovoce
from sottovoce.errors import AudioRejected, ExtraMissing, UsageError
from sottovoce.model.features import FEATURE_NAMES, FeatureVector
from sottovoce.voice import features
from sottovoce.voice.egemaps.extract import extract


def voice(seconds=2.0, rate=16000):
    t = np.arange(int(rate * seconds)) / rate
    return 0.1 * sum(np.sin(2 * np.pi * 140 * k * t + k) / k for k in range(1, 12))


def test_M06_one_call_gives_the_features_and_how_far_to_trust_them():
    """One call on samples gives 88 named values and their quality, and stores nothing."""
    found = sottovoce.egemaps(voice(), 16000)
    assert isinstance(found, FeatureVector)
    assert found.values == extract(voice(), 16000).values
    assert (found.names, found.numpy().shape) == (FEATURE_NAMES, (88,))
    assert (found.quality.duration_s, found.quality.source_rate_hz) == (2.0, 16000)
    assert found.quality.has_voice
    assert "0." not in repr(found).split("quality")[0]
    assert sottovoce.egemaps(voice(), 16000, profile="corrected").version == "egemaps-88/c1"


def test_16_bit_samples_are_the_same_as_their_fractions():
    steps = np.round(voice() * 32768).astype(np.int16)
    assert features.egemaps(steps, 16000).values == features.egemaps(steps / 32768, 16000).values


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((2, 16000)),
        np.zeros((16000, 1000)),
        np.zeros(16000, dtype=np.int32),
        np.zeros(16000, dtype=complex),
    ],
)
def test_other_shapes_and_types_are_refused(bad):
    with pytest.raises(UsageError, match="one channel"):
        features.egemaps(bad, 16000)


@pytest.mark.parametrize(
    ("samples", "rate", "reason"),
    [
        (np.full(16000, np.nan), 16000, "non_finite"),
        (np.full(16000, np.inf), 16000, "non_finite"),
        (np.zeros(1), 16000, "too_short"),
        (np.zeros(0), 16000, "too_short"),
        (np.zeros(16000), 1, "sample_rate"),
        (np.zeros(16000), 768000, "sample_rate"),
    ],
)
def test_X20_bad_signals_are_refused_with_their_reason(samples, rate, reason):
    """NaN, infinity, a single sample, 1 Hz and 768 kHz are refused with a reason, never analysed."""
    with pytest.raises(AudioRejected) as refused:
        features.egemaps(samples, rate)
    assert refused.value.public_code == reason


@pytest.mark.parametrize(
    "samples", [np.full(16000, 0.5), np.sign(np.sin(np.arange(16000) / 10)), np.zeros(16000)]
)
def test_X22_odd_signals_have_finite_values(samples):
    """An offset, a square at full scale and silence give finite values and say what they are."""
    found = features.egemaps(samples, 16000)
    assert np.isfinite(found.numpy()).all()
    assert found.findings


def test_windows_are_the_features_of_their_pieces():
    samples = voice(3.05)
    windows = list(features.egemaps_per(samples, 16000, 1.0))
    assert [(start, end) for start, end, _ in windows] == [(0, 1), (1, 2), (2, 3)]  # the rest is below 100 ms
    assert windows[1][2].values == features.egemaps(samples[16000:32000], 16000).values
    overlapping = [start for start, *_ in features.egemaps_per(samples, 16000, 1.0, hop_s=0.5)]
    assert overlapping == [0, 0.5, 1, 1.5, 2, 2.5]
    with pytest.raises(UsageError):
        next(features.egemaps_per(samples, 16000, 0.05))
    with pytest.raises(AudioRejected):
        next(features.egemaps_per(samples[:100], 16000, 1.0))


def test_low_level_contours_are_those_the_functionals_are_made_of():
    samples = voice()
    table = features.lld(samples, 16000)
    found = features.egemaps(samples, 16000).as_dict()
    assert table.values.shape == (1 + (32000 - 960) // 160, 25)
    assert len(table.names) == 25
    assert table.times_s[-1] == pytest.approx(0.01 * (len(table.values) - 1))
    pitch = table.values[:-1, table.names.index("F0semitoneFrom27.5Hz_sma3nz")].astype(float)
    assert pitch[pitch > 0].mean() == pytest.approx(found["F0semitoneFrom27.5Hz_sma3nz_amean"], rel=1e-3)
    jitter = table.values[:, table.names.index("HNRdBACF_sma3nz")].astype(float)
    assert jitter[jitter != 0].mean() == pytest.approx(found["HNRdBACF_sma3nz_amean"], rel=1e-2)


def test_a_dataframe_is_there_where_pandas_is(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    for thing in (features.egemaps(voice(), 16000), features.lld(voice(), 16000)):
        with pytest.raises(ExtraMissing, match="pandas"):
            thing.dataframe()
