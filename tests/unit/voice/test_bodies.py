"""The stored form of a result: read back as it was, small, and the older form is still read."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import IntegrityError
from sottovoce.model.features import FEATURE_COUNT, Extraction, FeatureVector, Quality
from sottovoce.voice import bodies
from sottovoce.voice.insight import insight_to_values, voice_profile

QUALITY = Quality(30.0, 2000, 0.0, 31.5, "wav/pcm_16", 16_000, 1, "0", ("short",), 0.25)
FLOATS = st.floats(-200, 200, width=32)  # pitch stands in an exponent


def extraction(values: list[float] | None = None, quality: Quality = QUALITY) -> Extraction:
    numbers = tuple(float(i) for i in range(FEATURE_COUNT)) if values is None else tuple(values)
    return Extraction(
        FeatureVector(values=numbers, profile="compat", version="egemaps-88/1", sample_rate_hz=16_000),
        quality,
    )


@given(
    values=st.lists(FLOATS, min_size=FEATURE_COUNT, max_size=FEATURE_COUNT), voiced=st.integers(0, 5000),
    snr=st.none() | st.floats(-20, 80), flags=st.sets(st.sampled_from(["cut", "dc", "short"])),
)  # fmt: skip
def test_what_is_stored_is_read_back(
    values: list[float], voiced: int, snr: float | None, flags: set[str]
) -> None:
    quality = replace(QUALITY, voiced_frames=voiced, snr_db=snr, flags=tuple(sorted(flags)))
    made = extraction(values, quality)
    insight = voice_profile(made.features, quality)
    plain = bodies.bodies_of(made, insight)
    features, read = bodies.read_features(plain["features"])
    assert (features.values, read) == (made.features.values, quality)
    assert (features.profile, features.version, features.sample_rate_hz) == ("compat", "egemaps-88/1", 16_000)
    assert bodies.read_insight(plain["insight"]) == insight
    decision = bodies.read_decision(plain["decision"])
    assert decision == {"feature_sha256": made.features.sha256(), "output": insight_to_values(insight)}


def test_a_result_without_embedding_takes_less_than_nine_hundred_bytes() -> None:
    """What is kept of a recording of 30 s is small: with its three envelopes less than 1.2 kB."""
    made = extraction()
    plain = bodies.bodies_of(made, voice_profile(made.features, QUALITY))
    assert sum(map(len, plain.values())) < 870


def test_the_form_of_before_is_still_read() -> None:
    """Results that an older version stored open as before."""
    made = extraction()
    insight = voice_profile(made.features, QUALITY)
    beside = {"profile": "compat", "version": "egemaps-88/1", "rate": 16_000, "quality": asdict(QUALITY)}
    del beside["quality"]["steady_tones"]  # type: ignore[attr-defined]  # a field that is younger
    text = json.dumps(beside, separators=(",", ":")).encode()
    older = struct.pack(">I", len(text)) + text + made.features.to_float32_bytes()
    assert bodies.read_features(older) == (made.features, replace(QUALITY, steady_tones=None))
    said = {
        "kind": insight.kind, "version": insight.version, "model_sha256": insight.model_sha256,
        "values": insight_to_values(insight),
    }  # fmt: skip
    assert bodies.read_insight(json.dumps(said).encode()) == insight
    decision = {"feature_sha256": "ab" * 32, "output": insight_to_values(insight)}
    assert bodies.read_decision(json.dumps(decision).encode()) == decision


def test_a_rule_table_of_another_version_is_refused() -> None:
    made = extraction()
    plain = bodies.bodies_of(made, voice_profile(made.features, QUALITY))["insight"]
    for changed in (plain[:-1] + b"9", plain[:5] + bytes([plain[5] ^ 1]) + plain[6:]):
        with pytest.raises(IntegrityError) as refused:
            bodies.read_insight(changed)
        assert refused.value.reason == "rule_table_unknown"
