"""What a model computes, against a second implementation in plain loops; what it refuses."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from sottovoce.errors import UsageError
from sottovoce.model.features import FeatureVector
from sottovoce.voice.models.network import About, make_network, run, run_on


def float32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def by_hand(network, row):
    """The definition, value by value."""
    values = [
        float32(float32(float32(x) - float(m)) * float(g))
        for x, m, g in zip(row, network.mean, network.gain, strict=True)
    ]
    for number, layer in enumerate(network.layers, start=1):
        sums = [
            math.fsum(float(w) * v for w, v in zip(weights, values, strict=True)) + float(bias)
            for weights, bias in zip(layer.weights, layer.bias, strict=True)
        ]
        values = sums if number == len(network.layers) else [max(one, 0.0) for one in sums]
    if network.output == "sigmoid":
        return [1 / (1 + math.exp(-values[0]))]
    return [math.exp(v) / math.fsum(math.exp(w) for w in values) for v in values]


@pytest.mark.parametrize(
    ("widths", "output"), [((88, 20, 9, 1), "sigmoid"), ((5, 1), "sigmoid"), ((7, 6, 4), "softmax")]
)
def test_a_model_computes_what_its_definition_says(widths, output, a_network, rows_of):
    network = a_network(widths, output)
    rows = rows_of(network, 20)
    expected = [by_hand(network, row) for row in rows.tolist()]
    assert run(network, rows) == pytest.approx(np.array(expected), abs=1e-12)


def test_far_out_values_end_at_0_or_1_and_never_as_no_number(a_network):
    network = a_network((4, 1))
    rows = [[1e30] * 4, [-1e30] * 4]
    out = run(network, rows)
    assert np.isfinite(out).all()
    assert set(out.ravel().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("rows", [[1.0] * 4, [[1.0] * 3], [[1.0, 2.0, 3.0, math.nan]], [[math.inf] * 4]])
def test_rows_of_another_shape_or_not_finite_are_refused(rows, a_network):
    with pytest.raises(UsageError) as refusal:
        run(a_network((4, 1)), rows)
    assert refusal.value.reason == "model_input"


def test_what_float32_cannot_hold_is_refused(a_network):
    with pytest.raises(UsageError) as refusal:
        run(a_network((4, 1)), [[1e300] * 4])
    assert refusal.value.reason == "model_overflow"


@pytest.mark.parametrize(("profile", "version"), [("corrected", "egemaps-88/1"), ("compat", "egemaps-88/2")])
def test_M10_a_model_does_not_run_on_features_of_another_definition(profile, version, a_network):
    """A model gives no answer about a recording whose numbers were measured by another definition."""
    features = FeatureVector((0.5,) * 88, profile, version, 16000)
    with pytest.raises(UsageError) as refusal:
        run_on(a_network((88, 3, 1)), features)
    assert refusal.value.reason == "model_profile"


def test_the_features_of_a_recording_go_in_whole(a_network):
    network = a_network((88, 3, 1))
    values = tuple(i / 7 for i in range(88))
    features = FeatureVector(values, "compat", "egemaps-88/1", 16000)
    assert run_on(network, features) == tuple(run(network, [values])[0])


ABOUT = About("nothing", ("no", "yes"), "compat", "egemaps-88/1")


@pytest.mark.parametrize(
    "changes",
    [
        {"mean": [0.0]},
        {"scale": [1.0, 0.0]},
        {"scale": [1.0, -2.0]},
        {"layers": []},
        {"layers": [([[1.0, 2.0]], [1.0, 2.0])]},
        {"layers": [([[1.0, 2.0, 3.0]], [1.0])]},
        {"layers": [([[1.0, math.nan]], [1.0])]},
        {"layers": [([[1.0, 1e39]], [1.0])]},
        {"layers": [([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])]},
        {"layers": [([[1.0, 2.0]], [1.0])], "output": "softmax"},
        {"output": "tanh"},
    ],
)
def test_parts_that_do_not_fit_are_refused(changes):
    parts = {
        "mean": [0.0, 0.0], "scale": [1.0, 1.0], "layers": [([[1.0, 2.0]], [1.0])], "output": "sigmoid", "about": ABOUT,
    }  # fmt: skip
    make_network(**parts)
    with pytest.raises(UsageError) as refusal:
        make_network(**(parts | changes))
    assert refusal.value.reason == "model_shape"


@pytest.mark.parametrize("labels", [(), ("one",), ("same", "same"), ("", "b"), ("a\n", "b"), ("x" * 65, "b")])
def test_a_model_names_what_it_tells_apart(labels):
    with pytest.raises(UsageError):
        About("nothing", labels, "compat", "egemaps-88/1")


def test_no_weight_shows_in_a_repr(a_network):
    network = a_network((3, 1))
    assert "[" not in repr(network)
