"""A model card: whole or refused, and about one model only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sottovoce.errors import IntegrityError
from sottovoce.voice.models.card import FIELDS, FORMAT, check_model, read_card
from sottovoce.voice.models.read_tflite import read_tflite
from sottovoce.voice.models.write_tflite import write_tflite


@pytest.fixture
def model(a_network):
    return read_tflite(write_tflite(a_network((88, 3, 1))))


@pytest.fixture
def body(model):
    return {
        "format": FORMAT, "purpose": "a test", "attribute": "nothing", "labels": ["no", "yes"], "output": "sigmoid",
        "feature_profile": "compat", "feature_version": "egemaps-88/1",
        "training_data": {"description": "none", "sha256": "not available", "speakers": 0, "recordings": 0},
        "error": {
            "measure": "share of wrong answers", "value": "0.5", "low": "0.4", "high": "0.6",
            "confidence_percent": 95, "speakers": 20, "recordings": 100, "split": "by speaker",
        },
        "groups": [{"name": "low voices", "value": "0.5", "speakers": 9, "recordings": 50}],
        "conformal": "not available", "privacy": "none", "not_for": ["any use"], "demonstration": False,
        "files": [{
            "format": "tflite", "quantise": "none", "sha256": model.sha256, "size_bytes": model.size_bytes,
            "largest_difference": "0.000000",
        }],
    }  # fmt: skip


def refused(body):
    with pytest.raises(IntegrityError) as refusal:
        read_card(body)
    return refusal.value.reason


def test_a_whole_card_is_read(body, model):
    card = read_card(body)
    check_model(card, model)
    assert card.names(model.sha256)
    assert not card.demonstration


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_M65_a_card_that_leaves_something_out_is_refused(name, body):
    """A model card says everything it has to: purpose, data, error, groups, guarantee, what it must not be used for."""
    assert refused({key: value for key, value in body.items() if key != name}) == "card_malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"more": "words"},
        {"format": "sottovoce-model-card/2"},
        {"purpose": ""},
        {"labels": ["one"]},
        {"not_for": []},
        {"not_for": "everything"},
        {"files": []},
        {"demonstration": "no"},
        {"demonstration": 0},
        {"privacy": ""},
        {"privacy": None},
        {"privacy": {"unit": "speaker", "epsilon": "8"}},
        {"privacy": {"unit": "speaker", "epsilon": "-8", "delta": "0.00001"}},
        {"conformal": {"kind": "set", "percent": 90, "threshold": "1e3"}},
        {"conformal": "none"},
        {"error": {"value": "0.1"}},
        {"groups": [{"name": "a", "value": "0.1"}]},
        {"training_data": {"description": "x", "sha256": "AB", "speakers": 1, "recordings": 1}},
        {"training_data": {"description": "x", "sha256": "not available", "speakers": -1, "recordings": 1}},
        {"training_data": {"description": "x", "sha256": "not available", "speakers": True, "recordings": 1}},
    ],
)
def test_a_card_of_another_form_is_refused(changes, body):
    read_card(body)
    assert refused(body | changes) == "card_malformed"


def test_a_guarantee_and_a_prediction_set_are_said_in_full(body):
    read_card(body | {"privacy": {"unit": "speaker", "epsilon": "8", "delta": "0.00001"}})
    read_card(body | {"conformal": {"kind": "set", "percent": 90, "threshold": "0.35"}})
    read_card(body | {"error": "not available", "groups": []})


@pytest.mark.parametrize(
    "changes",
    [
        {"attribute": "something"},
        {"labels": ["yes", "no"]},
        {"feature_profile": "corrected"},
        {"feature_version": "egemaps-88/2"},
        {"files": [{
            "format": "tflite", "quantise": "none", "sha256": "0" * 64, "size_bytes": 1, "largest_difference": "0",
        }]},
    ],
)  # fmt: skip
def test_M65_a_card_is_about_one_model(changes, body, model):
    """The card of another model, of other labels or of another profile is not accepted for this file."""
    with pytest.raises(IntegrityError) as refusal:
        check_model(read_card(body | changes), model)
    assert refusal.value.reason == "model_not_of_card"


def test_a_file_that_was_changed_is_not_the_cards_model(body, model):
    with pytest.raises(IntegrityError):
        check_model(read_card(body), replace(model, sha256="1" * 64))
