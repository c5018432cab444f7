"""What may be inferred, where, and what an inference says of itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import ConfigurationError
from sottovoce.model.inference import (
    ATTRIBUTES,
    CONTEXTS,
    NOT_AVAILABLE,
    NOT_DETERMINED,
    Inference,
    check_attributes,
    is_inference,
    purpose_for,
)
from sottovoce.model.purpose import CONSENT_PURPOSES, PURPOSES
from sottovoce.settings import Settings, load

LABELS = ("a", "b", "c")


def inference(probabilities, label_set, **changes):
    given = {
        "attribute": "accent", "model_sha256": "1" * 64, "card_sha256": "2" * 64, "feature_sha256": "3" * 64,
        "labels": LABELS, "probabilities": probabilities, "label_set": label_set, "percent": 90, "guarantee": "none",
        "not_for": "any use", "demonstration": False,
    }  # fmt: skip
    return Inference(**{**given, **changes})


def test_BP4_each_attribute_is_a_purpose_of_its_own_that_takes_explicit_consent():
    """Every attribute that could be inferred of a voice is a purpose of its own, with the person's explicit yes."""
    assert {"age", "apparent_sex", "health", "emotion"} <= set(ATTRIBUTES)
    for attribute in ATTRIBUTES:
        purpose = PURPOSES[purpose_for(attribute)]
        assert is_inference(purpose.id)
        assert purpose.id in CONSENT_PURPOSES
        assert "9(2)(a)" in purpose.legal_basis
    assert not any(is_inference(purpose) for purpose in ("voice_analysis", "embedding", "model_training"))


@pytest.mark.parametrize("context", [None, *CONTEXTS])
def test_C35a_emotion_is_inferred_in_no_context_but_a_declared_other_one(context):
    """Emotion may be inferred only where a context is declared that is neither work nor education; others anywhere."""
    others = tuple(name for name in ATTRIBUTES if name != "emotion")
    assert check_attributes(others, context) == others
    if context == "other":
        assert check_attributes(["emotion"], context) == ("emotion",)
        return
    with pytest.raises(ConfigurationError) as refusal:
        check_attributes(["age", "emotion"], context)
    assert refusal.value.reason == ("use_context_missing" if context is None else "use_context_forbidden")


def test_an_attribute_is_named_once_and_known():
    assert check_attributes(["age", "age"], None) == ("age",)
    for unknown in ("infer_age", "wealth", ""):
        with pytest.raises(ConfigurationError) as refusal:
            check_attributes([unknown], "other")
        assert refusal.value.reason == "infer_unknown"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("age", ("age",)),
        (" age , accent,", ("age", "accent")),
        ('["age", "accent"]', ("age", "accent")),
        ("", ()),
    ],
)
def test_the_setting_takes_names_with_commas_or_a_list(tmp_home, monkeypatch, text, found):
    monkeypatch.setenv("SOTTOVOCE_INFER", text)
    assert Settings(home=tmp_home).attributes == found


def test_a_setting_that_is_no_list_is_refused_in_our_words(tmp_home, monkeypatch):
    monkeypatch.setenv("SOTTOVOCE_INFER", '["age"')
    with pytest.raises(ConfigurationError) as refusal:
        load(home=tmp_home)
    assert "infer" in refusal.value.message


def test_nothing_is_inferred_by_default(tmp_home):
    plain = Settings(home=tmp_home)
    assert (plain.attributes, plain.demonstration_models, plain.use_context) == ((), False, None)


@given(st.lists(st.floats(0.001, 1), min_size=3, max_size=3), st.sets(st.sampled_from(LABELS)) | st.none())
def test_M10_X60_the_confidence_is_the_models_own_number_for_the_value_or_there_is_none(weights, chosen):
    """A confidence is one of the model's own probabilities, that of the value that is answered, or there is none."""
    probabilities = tuple(weight / math.fsum(weights) for weight in weights)
    label_set = None if chosen is None else tuple(label for label in LABELS if label in chosen)
    said = inference(probabilities, label_set)
    if said.confidence is None:
        assert said.value == NOT_DETERMINED
        assert label_set is not None
        assert len(label_set) != 1
    else:
        assert said.confidence == probabilities[LABELS.index(said.value)]
        assert said.value == (label_set[0] if label_set else LABELS[probabilities.index(max(probabilities))])


def test_M10_without_probabilities_nothing_is_available():
    """Where the model could say nothing, value and confidence are not available, whatever else is there."""
    said = inference(None, None)
    assert (said.value, said.confidence) == (NOT_AVAILABLE, None)


def test_no_repr_shows_what_was_said():
    said = inference((0.123456, 0.5, 0.376544), ("b",), number=41.25, unit="years")
    for secret in ("0.123456", "41.25", "('b',)"):
        assert secret not in repr(said)
