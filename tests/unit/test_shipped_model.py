"""The model that is shipped: its card is whole, its values are those of the golden file, its page is its card."""

from __future__ import annotations

import hashlib
import json
import time
from itertools import pairwise

import numpy as np
import pytest

from sottovoce import app as house
from sottovoce.learning.conformal import label_probabilities, prediction_sets
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.usecases import models
from sottovoce.voice.models.card import FIELDS_3, FORMAT_3, learned_range
from sottovoce.voice.models.network import PRECISIONS, About, distances, make_network, run
from sottovoce.voice.models.read_tflite import read_tflite
from sottovoce.voice.models.write_tflite import write_tflite


@pytest.fixture
def found():
    file = house.shipped_model()
    return house.verify_model(file.read_bytes(), file.with_name(file.name + ".card.json").read_text())


@pytest.fixture
def golden(repo_root):
    return json.loads((repo_root / "vectors" / "models" / "shipped.json").read_text())


def test_M65_the_card_says_everything_and_names_the_file(found):
    """The shipped model's card tells purpose, data, error with interval and counts, calibration, sets, guarantee."""
    body = found.card.body
    assert body["format"] == FORMAT_3
    assert set(body) == set(FIELDS_3)
    assert found.card.names(found.model.sha256)
    assert body["privacy"] == "none"
    assert not found.card.demonstration
    assert len(body["not_for"]) >= 3
    assert body["training_data"]["speakers"] >= 100
    assert (
        0 < float(body["error"]["low"]) <= float(body["error"]["value"]) <= float(body["error"]["high"]) < 0.5
    )
    assert float(body["error"]["high"]) < float(body["constant_answer"]["error"])
    assert {group["name"] for group in body["groups"]} >= {"female", "male"}
    assert all(group["speakers"] >= 10 for group in body["groups"] if group["value"] != "not enough data")


def test_M88_the_coverage_on_the_card_contains_what_it_promises(found):
    """The exact interval of the shipped model's coverage, counted by person, contains 90 %."""
    conformal = found.card.body["conformal"]
    coverage = conformal["coverage"]
    assert conformal["percent"] == coverage["confidence_percent"] - 5 == 90
    assert float(coverage["low"]) <= 0.9 <= float(coverage["high"])
    assert coverage["speakers"] == coverage["recordings"] >= 200
    assert sum(float(size) for size in conformal["sizes"].values()) == pytest.approx(1, abs=2e-4)


def test_M10_no_formant_of_the_profile_compat_is_looked_at(found):
    """Nothing that is told of a person is made of formants that are those of a defect."""
    assert found.model.network.about.feature_profile == "compat"
    weights = found.model.network.layers[0].weights
    looked_at = {name for place, name in enumerate(FEATURE_NAMES) if weights[:, place].any()}
    assert looked_at
    assert not [name for name in looked_at if name[:2] in ("F1", "F2", "F3") or "A3" in name]


def test_M10_its_confidence_is_never_a_constant(found, golden):
    """The confidence is the model's own for each recording: other voices, other numbers."""
    outputs = run(found.model.network, golden["rows"])[:, 0]
    assert len(np.unique(outputs)) == len(outputs)
    assert outputs.max() - outputs.min() > 0.5
    inside = prediction_sets(
        label_probabilities(outputs[:, None]), float(found.card.body["conformal"]["threshold"])
    )
    assert set(inside.sum(axis=1).tolist()) >= {1}


def test_its_values_are_those_of_the_golden_file(found, golden):
    assert found.model.sha256 == golden["sha256"]
    assert np.abs(run(found.model.network, golden["rows"]) - golden["outputs"]).max() <= 1e-12


@pytest.mark.parametrize("quantise", PRECISIONS)
def test_its_smaller_files_are_those_of_the_card(quantise, found, golden):
    data = models.export(found.model, form="tflite", quantise=quantise)
    entry = next(one for one in found.card.body["files"] if one["quantise"] == quantise)
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert entry["size_bytes"] == len(data)
    rows = np.array(golden["rows"])
    lost = np.abs(run(read_tflite(data).network, rows) - run(found.model.network, rows)).max()
    assert lost <= float(entry["largest_difference"]) + 0.01


def test_a_large_network_is_small_and_quick_to_write():
    """88-128-64-1, the largest that was planned: 80 KiB in full, 25 KiB with int8, written in under 50 ms."""
    dice = np.random.default_rng(1)
    widths = (88, 128, 64, 1)
    layers = [(dice.normal(size=(b, a)), dice.normal(size=b)) for a, b in pairwise(widths)]
    about = About("apparent_sex", ("female", "male"), "compat", "egemaps-88/1")
    network = make_network(mean=np.zeros(88), scale=np.ones(88), layers=layers, output="sigmoid", about=about)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        full = write_tflite(network)
        times.append(time.perf_counter() - started)
    assert len(full) <= 80 * 1024
    assert len(write_tflite(network, quantise="int8")) <= 25 * 1024
    assert min(times) < 0.05


def test_M88_a_recording_unlike_those_it_learned_from_is_refused(found, golden):
    """The shipped model refuses a recording unlike those it learned from, however sure it is: the bundled speech of a
    man with a raised voice, whom it would take for a woman, is "not determined"."""
    inputs, bound = learned_range(found.card)
    far = distances(found.model.network, golden["rows"], inputs) > bound
    assert far.tolist() == golden["unlike"]
    assert golden["outputs"][0][0] < 0.1
    assert far[0]
    assert not far[1]  # the mean of what was learned
    assert 0 < far[2:].sum() < len(far) - 2


def test_M88_new_people_of_the_same_kind_are_seldom_refused(found):
    """Of new people like those it learned from the range refuses 10 % at most: the exact interval of what was measured
    reaches that or stays below."""
    stated = found.card.body["learned_range"]
    assert stated["percent"] == 90
    assert float(stated["refused"]["low"]) <= 0.1
    assert stated["refused"]["speakers"] >= 200
    assert not [name for name in stated["inputs"] if name[:2] in ("F1", "F2", "F3") or "A3" in name]


def test_the_page_is_made_from_the_card(load_script):
    page = load_script("scripts/model_page.py")
    assert len(page.made()) == 3
    for file, text in page.made().items():
        assert file.read_text(encoding="utf-8") == text
