"""A verified model on somebody's own rows: what is left out is counted, another profile is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sottovoce.errors import UsageError
from sottovoce.learning.evaluation import Classified, Measured
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.usecases.evaluation import LabelledRow, LabelledTable, evaluate, label_number
from sottovoce.usecases.models import VerifiedModel
from sottovoce.voice.models.card import Card
from sottovoce.voice.models.network import About, make_network
from sottovoce.voice.models.read_tflite import read_tflite
from sottovoce.voice.models.write_tflite import write_tflite

PITCH = FEATURE_NAMES.index("F0semitoneFrom27.5Hz_sma3nz_amean")


def model(*, labels=("female", "male"), quantity="none", conformal="not available", learned_range=None):
    """Above 30 semitones the first label."""
    weights = np.zeros((1, 88))
    weights[0, PITCH] = -1.0
    network = make_network(
        mean=np.zeros(88), scale=np.ones(88), layers=[(weights, [30.0])], output="sigmoid",
        about=About("apparent_sex", labels, "compat", "egemaps-88/1"),
    )  # fmt: skip
    body = {"quantity": quantity, "conformal": conformal}
    body |= {} if learned_range is None else {"learned_range": learned_range}
    return VerifiedModel(read_tflite(write_tflite(network)), Card(body), "k")


def row(pitch, speaker, label, *groups):
    values = [1.0] * 88
    values[PITCH] = pitch
    return LabelledRow(tuple(values), speaker, label, groups)


def a_table(rows, **changes):
    return dataclasses.replace(LabelledTable(tuple(rows), "compat"), **changes)


def test_M88_error_by_group_with_counts():
    """A model is judged on an operator's own recordings: error, interval, and how many people stand behind it."""
    rows = [row(35, f"a{i}", "female", "de") for i in range(12)] + [
        row(35, f"b{i}", "M", "en") for i in range(12)
    ]
    found = evaluate(model(), a_table(rows, columns=("language",)))
    assert isinstance(found.found, Classified)
    assert found.found.error.value == 0.5
    assert found.found.groups["language: de"].value == 0
    assert found.found.groups["language: en"].value == 1
    assert found.found.groups["language: en"].speakers == 12


def test_rows_without_voice_or_label_are_left_out_and_counted():
    rows = [row(35, f"a{i}", "f") for i in range(10)]
    rows += [row(0.0, "silent", "m"), row(35, "who", "")]
    found = evaluate(model(), a_table(rows))
    assert (found.recordings, found.without_voice, found.without_label) == (10, 1, 1)
    assert found.found.error.value == 0


@pytest.mark.parametrize("rows", [[], [row(0.0, "a", "f")], [row(35, "a", "")]])
def test_nothing_to_judge_is_refused(rows):
    with pytest.raises(UsageError) as refusal:
        evaluate(model(), a_table(rows))
    assert refusal.value.reason == "no_rows"


def test_M65_features_of_another_profile_are_refused():
    """A model is never run on features of another definition than it was made for, not even to be judged."""
    with pytest.raises(UsageError) as refusal:
        evaluate(model(), a_table([row(35, "a", "f")], profile="corrected"))
    assert refusal.value.reason == "model_profile"


@pytest.mark.parametrize("word", ["x", "female person", "43"])
def test_a_label_that_the_model_does_not_know_is_refused_without_being_repeated(word):
    with pytest.raises(UsageError) as refusal:
        evaluate(model(), a_table([row(35, "a", word)]))
    assert refusal.value.reason == "label_unknown"
    assert "female, male" in refusal.value.hint
    assert word not in refusal.value.message


def test_the_beginning_of_one_label_is_enough():
    assert [label_number(word, ("female", "male")) for word in ("F", "male", "FEMALE", "m")] == [0, 1, 0, 1]
    with pytest.raises(UsageError):
        label_number("", ("female", "male"))
    with pytest.raises(UsageError):
        label_number("nearer", ("nearer to 20", "nearer to 50"))
    assert label_number("in", ("in", "inner")) == 0


def test_sets_use_the_threshold_of_the_card():
    card = {"kind": "set", "percent": 90, "threshold": "0.4"}
    rows = [row(35, f"a{i}", "f") for i in range(12)]
    found = evaluate(model(conformal=card), a_table(rows)).found
    assert isinstance(found, Classified)
    assert found.sets is not None
    assert found.sets.coverage.value == 1
    assert found.sets.sizes.one == 1
    assert evaluate(model(), a_table(rows)).found.sets is None


def test_M88_recordings_outside_of_the_range_of_the_card_are_not_determined():
    """Judging a model on an operator's own recordings applies the range of its card, as an answer to a person does."""
    stated = {"inputs": [FEATURE_NAMES[PITCH]], "bound": "40"}
    card = {"kind": "set", "percent": 90, "threshold": "0.4"}
    rows = [row(35, f"a{i}", "f") for i in range(12)] + [row(45, f"b{i}", "m") for i in range(4)]
    sets = evaluate(model(conformal=card, learned_range=stated), a_table(rows)).found.sets
    assert (sets.unlike, sets.sizes.one, sets.sizes.several) == (0.25, 0.75, 0.25)
    assert sets.wrong_when_one.value == 0
    assert sets.coverage.value == 0.75
    plain = evaluate(model(conformal=card, learned_range="not available"), a_table(rows)).found.sets
    assert (plain.unlike, plain.sizes.one) == (0, 1)


def test_a_model_of_a_quantity_is_judged_in_its_unit():
    quantity = {"unit": "years", "values": ["20", "50"]}
    ages = model(labels=("nearer to 20 years", "nearer to 50 years"), quantity=quantity)
    rows = [row(60, f"a{i}", "23") for i in range(6)] + [row(1, f"b{i}", "49.5") for i in range(6)]
    found = evaluate(ages, a_table(rows))
    assert found.unit == "years"
    assert isinstance(found.found, Measured)
    assert found.found.error.value == pytest.approx((3 + 0.5) / 2, abs=1e-6)
    for word in ("old", "nan"):
        with pytest.raises(UsageError) as refusal:
            evaluate(ages, a_table([row(60, "a", word)]))
        assert refusal.value.reason == "label_unknown"


def test_a_row_of_nobody_is_refused():
    with pytest.raises(UsageError) as refusal:
        evaluate(model(), a_table([row(35, "", "f")]))
    assert refusal.value.reason == "speaker_unknown"


def test_no_person_stands_in_a_repr():
    table = a_table([row(35, "Ada", "f", "secret")])
    assert "Ada" not in repr(table) + repr(table.rows[0])
    assert "secret" not in repr(table.rows[0])
