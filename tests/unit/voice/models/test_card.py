"""A model card: whole or refused, and about one model only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sottovoce.errors import IntegrityError
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.models.card import (
    FIELDS,
    FIELDS_2,
    FIELDS_3,
    FORMAT,
    FORMAT_2,
    FORMAT_3,
    Card,
    check_model,
    learned_range,
    read_card,
)
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


# --- the second format ------------------------------------------------------------------------------------


@pytest.fixture
def second(body):
    measured = {
        "value": "0.1",
        "low": "0.05",
        "high": "0.2",
        "confidence_percent": 95,
        "speakers": 20,
        "recordings": 100,
    }
    error = {"measure": "share of wrong answers", "split": "by speaker", **measured}
    place = {
        "from": "0.5", "to": "1.0", "confidence": "0.9", "right": "0.88", "low": "0.7", "high": "0.97", "speakers": 20,
        "recordings": 100,
    }  # fmt: skip
    return {
        **body, "format": FORMAT_2, "quantity": "none", "error": error, "held_out": error,
        "constant_answer": {"answer": "always no", "error": "0.5"},
        "groups": [
            {"name": "few", "value": "not enough data", "low": "not available", "high": "not available", "speakers": 2,
             "recordings": 9},
            {"name": "many", "value": "0.1", "low": "0.0", "high": "0.2", "speakers": 18, "recordings": 91},
        ],
        "calibration": {"expected_error": "0.03", "brier": "0.07", "bins": [place]},
        "conformal": {
            "kind": "set", "percent": 90, "threshold": "0.6", "speakers": 30, "coverage": {"splits": 9, **measured},
            "sizes": {"none": "0.0", "one": "0.9", "several": "0.1"},
        },
        "transfer": [{"data": "others", **measured}],
    }  # fmt: skip


def test_a_whole_card_of_the_second_format_is_read(second, model):
    check_model(read_card(second), model)
    years = {"unit": "years", "values": ["20", "50"]}
    allowed = dict.fromkeys(("calibration", "conformal", "held_out", "constant_answer"), "not available")
    for part, value in {**allowed, "quantity": years, "transfer": []}.items():
        read_card({**second, part: value})
    read_card({**second, "error": {**second["error"], "low": "not available", "high": "not available"}})


@pytest.mark.parametrize("name", sorted(FIELDS_2))
def test_M88_a_card_without_calibration_coverage_or_transfer_is_refused(name, second):
    """A card leaves none of its evidence out: what the data do not allow is said to be not available."""
    assert refused({key: value for key, value in second.items() if key != name}) == "card_malformed"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("quantity", "years"),
        ("quantity", {"unit": "years", "values": ["20"]}),
        ("constant_answer", {"answer": "", "error": "0.5"}),
        ("calibration", {"expected_error": "0.1", "brier": "0.1", "bins": []}),
        ("conformal", {"kind": "set", "percent": 90, "threshold": "0.6"}),
        ("groups", [{"name": "few", "value": "0", "speakers": 1, "recordings": 1}]),
        (
            "groups",
            [
                {
                    "name": "few",
                    "value": "not available",
                    "low": "0",
                    "high": "1",
                    "speakers": 1,
                    "recordings": 1,
                }
            ],
        ),
        ("transfer", "not available"),
        ("error", {"value": "0.1"}),
    ],
)
def test_a_card_of_the_second_format_that_says_it_otherwise_is_refused(part, value, second):
    assert refused({**second, part: value}) == "card_malformed"


def test_formats_are_not_mixed(second, body):
    assert refused({**second, "format": FORMAT}) == "card_malformed"
    assert refused({**body, "format": FORMAT_2}) == "card_malformed"


# --- the third format -------------------------------------------------------------------------------------


@pytest.fixture
def third(second):
    measured = {name: second["transfer"][0][name] for name in second["transfer"][0] if name != "data"}
    answers = {
        "coverage": measured, "unlike": "0.2", "determined": "0.7", "wrong_of_determined": "not available",
    }  # fmt: skip
    return {
        **second, "format": FORMAT_3, "held_out": {**second["held_out"], **answers},
        "learned_range": {
            "inputs": [FEATURE_NAMES[0], FEATURE_NAMES[87]], "bound": "1.25", "percent": 90, "speakers": 30,
            "refused": {"splits": 9, **measured},
        },
        "transfer": [{"data": "others", **measured, **answers}],
    }  # fmt: skip


def test_a_whole_card_of_the_third_format_is_read(third, second, model):
    card = read_card(third)
    check_model(card, model)
    assert learned_range(card) == ((0, 87), 1.25)
    assert learned_range(read_card(third | {"learned_range": "not available"})) is None
    assert learned_range(read_card(second)) is None


@pytest.mark.parametrize("name", sorted(FIELDS_3))
def test_M65_a_card_of_the_third_format_leaves_nothing_out(name, third):
    """The newest cards say what is like the data learned from and what was answered on other data; none is left out."""
    assert refused({key: value for key, value in third.items() if key != name}) == "card_malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": []},
        {"inputs": ["another feature"]},
        {"inputs": [0]},
        {"bound": "-1"},
        {"bound": 1},
        {"more": "x"},
    ],
)
def test_a_range_of_another_form_is_refused(changes, third):
    assert refused(third | {"learned_range": {**third["learned_range"], **changes}}) == "card_malformed"


def test_the_third_format_is_not_mixed_with_the_second(third, second):
    assert refused({**third, "format": FORMAT_2}) == "card_malformed"
    assert refused({**second, "format": FORMAT_3}) == "card_malformed"
    assert isinstance(read_card(third), Card)
