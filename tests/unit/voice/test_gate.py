"""The gate: what is wrong with a recording, in words and with the measured value."""

from __future__ import annotations

import numpy as np
import pytest

from sottovoce.model.features import Quality
from sottovoce.voice.features import egemaps
from sottovoce.voice.gate import gate

GOOD = {
    "duration_s": 5.0, "voiced_frames": 200, "clipped_share": 0.0, "snr_db": 30.0, "source_codec": "wav/pcm_16",
    "source_rate_hz": 16000, "source_channels": 1, "channel": "0",
}  # fmt: skip
T = np.arange(32000) / 16000


def test_a_good_recording_has_no_findings():
    assert gate(Quality(**GOOD), -25.0) == ()
    assert gate(Quality(**{**GOOD, "snr_db": None}), -25.0) == ()


@pytest.mark.parametrize(
    ("change", "level_db", "name", "said"),
    [
        ({}, -72.4, "silence", "72 dB"),
        ({"clipped_share": 0.052}, -3.0, "clipping", "5.2 %"),
        ({"snr_db": 4.3}, -25.0, "noise", "4 dB"),
        ({"steady_tones": 0.83}, -25.0, "music", "83 % of the time"),
        ({"duration_s": 0.31}, -25.0, "short", "0.31 s"),
        ({"voiced_frames": 0}, -25.0, "no_voice", "no frame has a pitch"),
        ({"voiced_frames": 7}, -25.0, "few_voiced_frames", "7 voiced frames"),
    ],
)
def test_X22_each_finding_is_told_with_its_measured_value(change, level_db, name, said):
    """Silence, clipping, noise, shortness and missing voice are told in words, with the value that was measured."""
    (finding,) = gate(Quality(**{**GOOD, **change}), level_db)
    assert finding.name == name
    assert said in finding.words


@pytest.mark.parametrize(
    ("samples", "name"),
    [
        (np.zeros(32000), "silence"),
        (np.clip(3 * np.sin(2 * np.pi * 150 * T), -1, 1), "clipping"),
        (0.1 * np.random.default_rng(1).standard_normal(32000), "no_voice"),
        (0.1 * np.sin(2 * np.pi * 150 * T[:4000]), "short"),
    ],
)
def test_findings_come_from_real_signals(samples, name):
    assert name in {finding.name for finding in egemaps(samples, 16000).findings}
