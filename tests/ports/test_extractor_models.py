"""What a model says of a sealed result, by the in-process fake and by the sealed child alike."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.errors import IntegrityError, UsageError
from sottovoce.model.inference import Inference, ModelUse
from sottovoce.ports import Descriptor, ExtractOptions, Extractor, Place
from sottovoce.sealing import envelope
from sottovoce.voice import bodies
from sottovoce.voice.models.inference import infer
from sottovoce.voice.models.network import About, make_network
from sottovoce.voice.models.write_tflite import write_tflite

KINDS = ("features", "insight", "decision")


def use(
    attribute: str, *, seed: int = 1, version: str = "egemaps-88/1", widths: tuple[int, ...] = (128, 64)
) -> ModelUse:
    """As large as a model that is shipped may be."""
    dice = np.random.default_rng(seed)
    layers, before = [], 88
    for width in (*widths, 1):
        layers.append((dice.normal(size=(width, before)) / before, dice.normal(size=width) * 0.1))
        before = width
    network = make_network(
        mean=dice.normal(size=88), scale=dice.uniform(1, 90, 88), layers=layers, output="sigmoid",
        about=About(attribute, ("no", "yes"), "compat", version),
    )  # fmt: skip
    data = write_tflite(network)
    return ModelUse(
        attribute=attribute, sha256=hashlib.sha256(data).hexdigest(), card_sha256="c" * 64, feature_profile="compat",
        feature_version=version, threshold=0.5, percent=90, guarantee="none", not_for="any use", demonstration=True,
        data=data,
    )  # fmt: skip


def places(*uses: ModelUse) -> tuple[Place, ...]:
    plain = [Place(kind, f"id-{kind}", bytes([n]) * 32, kind.encode()) for n, kind in enumerate(KINDS)]
    models = [
        Place(f"inference:{one.attribute}", f"id-{n}", bytes([9 + n]) * 32, b"inference", one)
        for n, one in enumerate(uses)
    ]
    return (*plain, *models)


@pytest.fixture(scope="module", params=[InlineExtractor, SealedExtractor])
def extractor(request: pytest.FixtureRequest) -> Iterator[Extractor]:
    made: Callable[[], Extractor] = request.param
    running = made()
    yield running
    running.close()


@pytest.fixture
def voice(jfk_path: Path) -> Iterator[int]:
    fd = os.open(jfk_path, os.O_RDONLY | os.O_NONBLOCK)
    yield fd
    os.close(fd)


def said(extractor: Extractor, voice: int, *uses: ModelUse) -> dict[str, Inference]:
    given = places(*uses)
    made = extractor.extract_sealed(Descriptor(voice), ExtractOptions(), lambda: given)
    return {
        place.kind: bodies.read_inference(envelope.open(place.key, made.bodies[place.kind], place.context))
        for place in given
        if place.model is not None
    }


def test_C34b_models_say_of_a_sealed_result_what_they_say_in_the_open(
    extractor: Extractor, voice: int
) -> None:
    """What models say where nobody sees the numbers is the same, to the bit, as what they say in the open."""
    uses = (use("apparent_sex"), use("age", seed=2, widths=()))
    opened = extractor.extract(Descriptor(voice), ExtractOptions())
    assert said(extractor, voice, *uses) == {
        f"inference:{one.attribute}": infer(one, opened.features, opened.quality) for one in uses
    }


def test_BP4_without_a_place_no_model_is_run(extractor: Extractor, voice: int) -> None:
    """A result without a place for what a model says has nothing of it."""
    made = extractor.extract_sealed(Descriptor(voice), ExtractOptions(), places)
    assert set(made.bodies) == set(KINDS)


def test_M65_a_model_that_is_not_what_was_verified_is_not_run(voice: int) -> None:
    """A model file that is not the one of the verified hash is refused where it would be run."""
    other = replace(use("age"), data=use("age", seed=7).data)
    with SealedExtractor() as extractor, pytest.raises(IntegrityError):
        said(extractor, voice, other)


def test_M65_a_model_for_other_features_is_not_run(extractor: Extractor, voice: int) -> None:
    """A model for another version of the features is refused, never run on what it was not made for."""
    with pytest.raises(UsageError):
        said(extractor, voice, use("age", version="egemaps-88/0"))


def test_too_many_models_are_refused(voice: int) -> None:
    many = [replace(use("age", widths=()), attribute=f"a{n}") for n in range(17)]
    with SealedExtractor() as extractor, pytest.raises(UsageError):
        said(extractor, voice, *many)
