"""One model on one recording: as a plain computation, to the bit the same again, refused for other features."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import IntegrityError, UsageError
from sottovoce.model.features import Embedding, Extraction, FeatureVector, Quality
from sottovoce.model.inference import ModelUse
from sottovoce.voice import bodies
from sottovoce.voice.insight import voice_profile
from sottovoce.voice.models.inference import infer, label_set
from sottovoce.voice.models.network import About, Network, make_network
from sottovoce.voice.models.write_tflite import write_tflite

QUALITY = Quality(2.5, 200, 0.0, None, "wav/pcm_16", 16_000, 1, "0")


def use_of(network: Network, **changes: object) -> ModelUse:
    data = write_tflite(network)
    use = ModelUse(
        attribute=network.about.attribute, sha256=hashlib.sha256(data).hexdigest(), card_sha256="c" * 64,
        feature_profile="compat", feature_version="egemaps-88/1", threshold=0.4, percent=90, guarantee="none",
        not_for="any use", demonstration=False, data=data,
    )  # fmt: skip
    return replace(use, **changes)


def vector(seed: int = 1, **changes: object) -> FeatureVector:
    values = tuple(np.random.default_rng(seed).normal(size=88) * 20)
    return replace(FeatureVector(values, "compat", "egemaps-88/1", 16_000), **changes)


def by_hand(network: Network, features: FeatureVector) -> list[float]:
    """The second implementation: lists and loops, float64 but for the standardised inputs."""
    values = [
        float((np.float32(x) - mean) * gain)
        for x, mean, gain in zip(features.values, network.mean, network.gain, strict=True)
    ]
    for number, layer in enumerate(network.layers):
        values = [
            math.fsum(float(w) * x for w, x in zip(row, values, strict=True)) + float(bias)
            for row, bias in zip(layer.weights, layer.bias, strict=True)
        ]
        if number < len(network.layers) - 1:
            values = [max(x, 0.0) for x in values]
    if network.output == "sigmoid":
        p = 1 / (1 + math.exp(-values[0]))
        return [1 - p, p]
    powers = [math.exp(x - max(values)) for x in values]
    return [power / math.fsum(powers) for power in powers]


@pytest.mark.parametrize(("widths", "output"), [((88, 16, 1), "sigmoid"), ((88, 9, 4), "softmax")])
def test_M10_probabilities_are_those_of_the_network(
    a_network: Callable[..., Network], widths: tuple[int, ...], output: str
) -> None:
    """What is answered is what the model's own weights give for this recording, computed a second time by hand."""
    network = a_network(widths, output)
    for seed in range(5):
        said = infer(use_of(network), vector(seed), QUALITY)
        assert said.probabilities == pytest.approx(by_hand(network, vector(seed)), rel=1e-9, abs=1e-12)
        assert said.labels == network.about.labels


def test_C34b_what_is_stored_gives_the_same_value_to_the_bit(a_network: Callable[..., Network]) -> None:
    """From the stored numbers, which are rounded, a model says exactly what it said of the measured ones."""
    use = use_of(a_network((88, 16, 1)))
    for seed in range(20):
        measured = vector(seed)
        stored = FeatureVector.from_float32_bytes(
            measured.to_float32_bytes(), profile="compat", version="egemaps-88/1", sample_rate_hz=16_000
        )
        assert infer(use, measured, QUALITY) == infer(use, stored, QUALITY)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 1))
def test_a_set_holds_the_labels_that_cannot_be_ruled_out(
    probabilities: list[float], threshold: float
) -> None:
    labels = tuple(f"label {n}" for n in range(len(probabilities)))
    found = label_set(labels, tuple(probabilities), threshold)
    expected = []
    for label, probability in zip(labels, probabilities, strict=True):
        if not 1 - probability > threshold:
            expected.append(label)
    assert found == tuple(expected)
    assert label_set(labels, tuple(probabilities), None) is None


def test_M65_features_of_another_definition_are_refused(a_network: Callable[..., Network]) -> None:
    """A model is never run on features of another profile or version than it was made for."""
    use = use_of(a_network((88, 1)))
    for changes in ({"profile": "corrected"}, {"version": "egemaps-88/2"}):
        with pytest.raises(UsageError) as refusal:
            infer(use, vector(**changes), QUALITY)
        assert refusal.value.reason == "model_profile"


def test_M10_without_voice_or_beyond_its_range_nothing_is_said(a_network: Callable[..., Network]) -> None:
    """Where nobody speaks, or the numbers are beyond what the model takes, it says nothing, never a guess."""
    use = use_of(a_network((88, 1)))
    hush = infer(use, vector(), replace(QUALITY, voiced_frames=19))
    assert (hush.probabilities, hush.label_set) == (None, None)
    far = replace(vector(), values=(3.4e38,) * 88)
    steep = make_network(
        mean=np.full(88, -3e38), scale=np.ones(88), layers=[(np.ones((1, 88)), [0.0])], output="sigmoid",
        about=About("nothing", ("no", "yes"), "compat", "egemaps-88/1"),
    )  # fmt: skip
    assert infer(use_of(steep), far, QUALITY).probabilities is None


def far_by_hand(network: Network, features: FeatureVector, inputs: tuple[int, ...]) -> float:
    squares = [
        float((np.float32(features.values[i]) - network.mean[i]) * network.gain[i]) ** 2 for i in inputs
    ]
    return math.sqrt(math.fsum(squares) / len(squares))


def test_M88_unlike_what_was_learned_nothing_is_determined(a_network: Callable[..., Network]) -> None:
    """Of a recording outside of the range on the model's card nothing is determined, however sure the model is, and the
    answer says why."""
    inputs = (0, 3, 7)
    network = a_network((88, 16, 1))
    far = far_by_hand(network, vector(), inputs)
    inside = infer(use_of(network, range_inputs=inputs, range_bound=far * 1.0001), vector(), QUALITY)
    outside = infer(use_of(network, range_inputs=inputs, range_bound=far * 0.9999), vector(), QUALITY)
    assert inside == infer(use_of(network), vector(), QUALITY)
    assert (inside.reason, inside.unlike) == ("", False)
    assert (outside.value, outside.reason) == ("not determined", "unlike what was learned")
    assert outside.label_set == outside.labels
    assert outside.confidence is None
    assert outside.probabilities == inside.probabilities  # logged all the same: a replay compares them
    no_sets = infer(use_of(network, range_inputs=inputs, range_bound=0.0, threshold=None), vector(), QUALITY)
    assert no_sets.value == "not determined"
    age = use_of(network, range_inputs=inputs, range_bound=0.0, unit="years", values=(20.0, 50.0))
    assert (infer(age, vector(), QUALITY).value, infer(age, vector(), QUALITY).number) == (
        "not determined",
        None,
    )


def test_I3_an_inference_stored_before_models_had_a_range_is_read(a_network: Callable[..., Network]) -> None:
    """What an earlier release stored of an inference is still read, to the bit."""
    said = infer(use_of(a_network((88, 16, 1))), vector(), QUALITY)
    body = bodies._inference_body(said)
    earlier = json.loads(body[1:])
    assert earlier.pop("unlike") is False
    assert bodies.read_inference(body[:1] + json.dumps(earlier).encode()) == said
    del earlier["labels"]
    with pytest.raises(IntegrityError):
        bodies.read_inference(body[:1] + json.dumps(earlier).encode())


def test_what_is_no_model_is_refused() -> None:
    broken = use_of(
        make_network(
            mean=np.zeros(88), scale=np.ones(88), layers=[(np.ones((1, 88)), [0.0])], output="sigmoid",
            about=About("nothing", ("no", "yes"), "compat", "egemaps-88/1"),
        ),
        data=b"no model",
    )  # fmt: skip
    with pytest.raises(IntegrityError):
        infer(broken, vector(), QUALITY)


def test_C34b_an_inference_is_stored_exactly(a_network: Callable[..., Network]) -> None:
    """What is stored of an inference reads back to exactly the same, every probability to the bit."""
    said = infer(use_of(a_network((88, 16, 1))), vector(), QUALITY)
    extraction = Extraction(vector(), QUALITY, Embedding((0.5,) * 768, "e" * 64))
    insight = voice_profile(extraction.features, QUALITY)
    made = bodies.bodies_of(extraction, insight, {"inference:nothing": said})
    assert set(made) == {"features", "insight", "embedding", "decision", "inference:nothing"}
    assert bodies.read_inference(made["inference:nothing"]) == said
    assert bodies.read_decision(made["inference:nothing"])["probabilities"] == said.probabilities
    with pytest.raises(IntegrityError) as refusal:
        bodies.read_inference(made["decision"])
    assert refusal.value.reason == "inference_malformed"
    none = replace(said, probabilities=None, label_set=None)
    assert bodies.read_inference(bodies._inference_body(none)) == none
