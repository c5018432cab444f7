"""The voice profile: what a few of the 88 features say, in plain language, about the sound of one recording.

    insight = voice_profile(features, quality)

Rules, in this order:
1. Nothing is inferred about the person: no age, sex, health, emotion or identity.
2. Without enough voice (`Quality.has_voice`) every value is "not available", never 0.
3. A value that the recording does not give (no period was measured, ...) is "not available" too.
4. No formants: those of the profile `compat` are not the resonances of the voice.
5. Norms of other definitions are not used: HNR values here are lower than those of other methods.

An insight is stored as its values only; the texts are rebuilt from the rule table of its version, whose hash
stands beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from sottovoce.errors import IntegrityError
from sottovoce.model.features import FeatureVector, Insight, InsightItem, Quality

KIND = "voice_profile"
VERSION = "voice_profile/1"
REFERENCE_HZ = 27.5  # of the features' semitone scale


@dataclass(frozen=True, slots=True)
class Rule:
    """How one line of the insight comes from one feature."""

    name: str
    title: str
    unit: str
    formula: str  # a key of FORMULAS
    feature: str
    present_if: str  # a feature that is 0 where this value does not exist
    meaning: str


FORMULAS: Mapping[str, Callable[[float], float]] = {
    "as it is": lambda value: value,
    "27.5 * 2^(x/12)": lambda value: REFERENCE_HZ * 2 ** (value / 12),
    "100 * x": lambda value: 100 * value,
}

_PITCH = "F0semitoneFrom27.5Hz_sma3nz_"
_LOUDNESS = "loudness_sma3_"

RULES: tuple[Rule, ...] = (
    Rule(
        "pitch_level", "Pitch level", "Hz", "27.5 * 2^(x/12)",
        f"{_PITCH}percentile50.0", f"{_PITCH}percentile50.0",
        "How high the voice sounds: half of the voiced moments lie below this frequency, half above.",
    ),
    Rule(
        "pitch_level_semitones", "Pitch level on a musical scale", "semitones above 27.5 Hz", "as it is",
        f"{_PITCH}percentile50.0", f"{_PITCH}percentile50.0",
        "The same pitch level counted in semitones (twelve to an octave), as the ear hears distances.",
    ),
    Rule(
        "pitch_range", "Pitch range", "semitones", "as it is",
        f"{_PITCH}pctlrange0-2", f"{_PITCH}percentile50.0",
        "How far the melody moves: the distance between the lower and the upper fifth of the voiced moments.",
    ),
    Rule(
        "voiced_segments_rate", "Voiced stretches per second", "1/s", "as it is",
        "VoicedSegmentsPerSec", "VoicedSegmentsPerSec",
        "How often the voice starts anew. A stand-in for the pace of speaking; words are not recognised.",
    ),
    Rule(
        "loudness_peaks_rate", "Loudness peaks per second", "1/s", "as it is",
        "loudnessPeaksPerSec", "loudnessPeaksPerSec",
        "How often the loudness peaks, roughly once per syllable. A stand-in for the pace of speaking.",
    ),
    Rule(
        "loudness_dynamics", "Loudness dynamics", "of the mean loudness", "as it is",
        f"{_LOUDNESS}stddevNorm", f"{_LOUDNESS}amean",
        "How much the loudness changes: 0 is perfectly even; pauses count as quiet.",
    ),
    Rule(
        "level", "Level of the recording", "dBFS", "as it is",
        "equivalentSoundLevel_dBp", f"{_LOUDNESS}amean",
        "How strong the recording is, in decibels below full scale. It depends on the microphone and its "
        "distance, not only on the voice.",
    ),
    Rule(
        "jitter", "Jitter", "%", "100 * x",
        "jitterLocal_sma3nz_amean", "jitterLocal_sma3nz_amean",
        "How much neighbouring periods of the voice differ in length. Noise and compression raise it.",
    ),
    Rule(
        "shimmer", "Shimmer", "dB", "as it is",
        "shimmerLocaldB_sma3nz_amean", "shimmerLocaldB_sma3nz_amean",
        "How much neighbouring periods of the voice differ in strength. Noise and compression raise it.",
    ),
    Rule(
        "hnr", "Harmonics-to-noise ratio", "dB", "as it is",
        "HNRdBACF_sma3nz_amean", "HNRdBACF_sma3nz_amean",
        "How much of the voiced sound repeats from period to period. Norms of other definitions of this ratio "
        "don't apply: the method used here gives lower values.",
    ),
)  # fmt: skip


def rule_table_sha256(rules: tuple[Rule, ...] = RULES) -> str:
    """Hash of the exact rule table: canonical JSON of the kind, the version and every field of every rule."""
    content = {"kind": KIND, "version": VERSION, "rules": [asdict(rule) for rule in rules]}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def voice_profile(features: FeatureVector, quality: Quality) -> Insight:
    """The insight of the kind `voice_profile`."""
    named = features.as_dict()
    return insight_from_values({rule.name: _value(rule, named, quality) for rule in RULES}, version=VERSION)


def insight_to_values(insight: Insight) -> dict[str, float | None]:
    """Name -> value, all that has to be stored: the texts are those of the rule table."""
    return {item.name: item.value for item in insight.items}


def insight_from_values(values: Mapping[str, float | None], *, version: str) -> Insight:
    """The insight again, with the texts of the rule table of that version.

    Raises IntegrityError where this release has no such table, or the names are not those of the table.
    """
    if set(values) != set(names_of(version)):
        raise unknown_rule_table()
    items = tuple(_item(rule, values[rule.name]) for rule in RULES)
    return Insight(kind=KIND, version=VERSION, model_sha256=rule_table_sha256(), items=items)


def names_of(version: str) -> tuple[str, ...]:
    """The names of the values of that rule table, in its order. IntegrityError as of insight_from_values."""
    if version != VERSION:
        raise unknown_rule_table()
    return tuple(rule.name for rule in RULES)


def unknown_rule_table() -> IntegrityError:
    return IntegrityError(
        "The insight was made by a rule table that this version of sottovoce does not have.",
        hint="Upgrade sottovoce, or read the features and derive the insight anew.",
        reason="rule_table_unknown",
    )


def _value(rule: Rule, features: Mapping[str, float], quality: Quality) -> float | None:
    if not quality.has_voice or features[rule.present_if] == 0:
        return None
    return FORMULAS[rule.formula](features[rule.feature])


def _item(rule: Rule, value: float | None) -> InsightItem:
    return InsightItem(rule.name, rule.title, value, rule.unit, rule.meaning, (rule.feature,))
