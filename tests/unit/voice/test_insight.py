"""The voice profile."""

from __future__ import annotations

import dataclasses
import re

import pytest

from sottovoce.errors import IntegrityError
from sottovoce.model.features import FEATURE_NAMES, FeatureVector, Quality
from sottovoce.voice import insight
from sottovoce.voice.insight import RULES, insight_from_values, insight_to_values, voice_profile


def vector(**changes):
    values = dict.fromkeys(FEATURE_NAMES, 1.0)
    values["F0semitoneFrom27.5Hz_sma3nz_percentile50.0"] = 24.0
    values["jitterLocal_sma3nz_amean"] = 0.02
    values.update(changes)
    return FeatureVector(tuple(values.values()), "compat", "egemaps-88/1", 16000)


def quality(voiced_frames=100):
    return Quality(2.0, voiced_frames, 0.0, 20.0, "wav/pcm_16", 16000, 1, "0")


def shown(result):
    return {item.name: item.value for item in result.items}


def test_M10_the_profile_says_pitch_pace_loudness_and_steadiness_with_units():
    """The insight holds pitch level and range, pace, loudness, jitter, shimmer and HNR, each with unit and source."""
    result = voice_profile(vector(), quality())
    values = shown(result)
    assert values["pitch_level"] == pytest.approx(110.0)  # two octaves above 27.5 Hz
    assert values["pitch_level_semitones"] == 24.0
    assert values["jitter"] == pytest.approx(2.0)
    assert set(values) == {
        "pitch_level", "pitch_level_semitones", "pitch_range", "voiced_segments_rate", "loudness_peaks_rate",
        "loudness_dynamics", "level", "jitter", "shimmer", "hnr",
    }  # fmt: skip
    for item in result.items:
        assert item.title
        assert item.meaning.endswith(".")
        assert item.unit
        assert set(item.features) <= set(FEATURE_NAMES)
    assert (result.kind, result.version) == ("voice_profile", "voice_profile/1")


@pytest.mark.parametrize("voiced_frames", [0, 19])
def test_X22_without_enough_voice_everything_is_not_available(voiced_frames):
    """With fewer than 20 voiced frames no value is told: each line reads "not available", never 0."""
    result = voice_profile(vector(), quality(voiced_frames))
    assert all(value is None for value in shown(result).values())
    assert {item.shown for item in result.items} == {"not available"}
    assert all(value is not None for value in shown(voice_profile(vector(), quality(20))).values())


@pytest.mark.parametrize(
    ("feature", "lines"),
    [
        (
            "F0semitoneFrom27.5Hz_sma3nz_percentile50.0",
            {"pitch_level", "pitch_level_semitones", "pitch_range"},
        ),
        ("jitterLocal_sma3nz_amean", {"jitter"}),
        ("shimmerLocaldB_sma3nz_amean", {"shimmer"}),
        ("HNRdBACF_sma3nz_amean", {"hnr"}),
        ("VoicedSegmentsPerSec", {"voiced_segments_rate"}),
    ],
)
def test_M10_a_value_that_does_not_exist_is_not_available(feature, lines):
    """Where the recording gives no such measurement the line reads "not available"; the others stay."""
    values = shown(voice_profile(vector(**{feature: 0.0}), quality()))
    assert {name for name, value in values.items() if value is None} == lines


def test_M10_no_formant_enters_an_insight_from_compat():
    """The formants of `compat` are wrong, so none of them is shown to anybody."""
    used = {rule.feature for rule in RULES} | {rule.present_if for rule in RULES}
    assert not [name for name in used if re.search(r"F[123]|logRel", name)]


def test_M10_nothing_is_inferred_about_the_person():
    """No text of the insight speaks of age, sex, health, emotion or origin."""
    texts = " ".join(f"{rule.name} {rule.title} {rule.meaning}" for rule in RULES).lower()
    words = set(re.findall(r"[a-z]+", texts))
    assert not words & {
        "age", "old", "young", "sex", "male", "female", "gender", "man", "woman", "health", "healthy", "disease",
        "disorder", "normal", "abnormal", "emotion", "happy", "sad", "angry", "stress", "accent", "native", "mood",
    }  # fmt: skip
    hnr = next(rule for rule in RULES if rule.name == "hnr")
    assert "Norms of other definitions" in hnr.meaning


def test_M10_stored_values_become_the_same_insight_again():
    """Only names and values are stored; title, unit and meaning come back from the rule table of that version."""
    for result in (voice_profile(vector(), quality()), voice_profile(vector(), quality(0))):
        assert insight_from_values(insight_to_values(result), version=result.version) == result


def test_an_insight_of_an_unknown_table_is_refused():
    values = insight_to_values(voice_profile(vector(), quality()))
    with pytest.raises(IntegrityError) as refused:
        insight_from_values(values, version="voice_profile/2")
    assert refused.value.public_code == "rule_table_unknown"
    with pytest.raises(IntegrityError):
        insight_from_values({**values, "age": 3.0}, version="voice_profile/1")


def test_M10_the_hash_names_the_exact_rule_table():
    """The hash that stands with an insight changes when any word or number of a rule does."""
    stated = voice_profile(vector(), quality()).model_sha256
    assert stated == insight.rule_table_sha256()
    for field in dataclasses.fields(RULES[0]):
        changed = dataclasses.replace(RULES[0], **{field.name: "other"})
        assert insight.rule_table_sha256((changed, *RULES[1:])) != stated


def test_the_rule_table_of_version_1_does_not_change_unnoticed():
    """A stored insight names this hash: whoever changes a rule makes a new version and keeps this one."""
    assert insight.rule_table_sha256() == "a7d07313dfdfe1367d773a3f43b25f5c8414f6d2afd7a2d402c05bb9e989c886"


def test_values_are_in_no_repr():
    text = repr(voice_profile(vector(equivalentSoundLevel_dBp=-17.375), quality()))
    assert "17.375" not in text
    assert "110.0" not in text
