"""Signed cards: issued by this home's identity, and no model is taken without one that holds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sottovoce.errors import IntegrityError, UnknownSigner, UsageError
from sottovoce.sealing import receipt as receipts
from sottovoce.usecases import models
from sottovoce.voice.models.card import FORMAT
from sottovoce.voice.models.network import About, make_network
from sottovoce.voice.models.read_tflite import read_tflite
from sottovoce.voice.models.write_tflite import write_tflite

OURS, OTHER = (receipts.Identity(bytes([n]) * 32) for n in (1, 2))
TRUSTED = {OURS.key_id: OURS.public_key}
ABOUT = About("nothing", ("no", "yes"), "compat", "egemaps-88/1")
DICE = np.random.default_rng(3)
NETWORK = make_network(
    mean=DICE.normal(size=88), scale=DICE.uniform(1, 2, 88),
    layers=[(DICE.normal(size=(3, 88)), DICE.normal(size=3)), (DICE.normal(size=(1, 3)), [0.1])],
    output="sigmoid", about=ABOUT,
)  # fmt: skip
MODEL = write_tflite(NETWORK)
ROWS = DICE.normal(size=(20, 88))


def body(**changes):
    return {
        "format": FORMAT, "purpose": "a test", "attribute": "nothing", "labels": ["no", "yes"], "output": "sigmoid",
        "feature_profile": "compat", "feature_version": "egemaps-88/1",
        "training_data": {"description": "none", "sha256": "not available", "speakers": 0, "recordings": 0},
        "error": "not available", "groups": [], "conformal": "not available", "privacy": "none",
        "not_for": ["any use"], "demonstration": False, "files": models.file_entries(NETWORK, ROWS),
    } | changes  # fmt: skip


def card(identity=OURS, **changes):
    return models.issue_card(body(**changes), MODEL, identity=identity)


def refusal_of(kind, *arguments, **named):
    with pytest.raises(kind) as refusal:
        models.open_model(*arguments, **{"trusted": TRUSTED, **named})
    return refusal.value.public_code


def test_M65_a_model_is_taken_with_a_signed_card_in_every_precision():
    """A model and its signed card are accepted together, the full file and its smaller forms alike."""
    for quantise in ("none", "f16", "int8"):
        found = models.open_model(
            write_tflite(NETWORK, quantise=quantise), card(), trusted=TRUSTED, profile="compat"
        )
        assert (found.model.precision, found.key_id) == (quantise, OURS.key_id)


def test_M65_a_model_of_an_unknown_signer_is_refused():
    """A model whose card was signed by somebody whom nobody here pinned is refused."""
    assert refusal_of(UnknownSigner, MODEL, card(OTHER)) == "unknown_signer"


def test_M65_a_card_with_one_changed_word_is_refused():
    """A card that was altered after it was signed is refused: its error cannot be made smaller."""
    data = json.loads(card())
    data["body"]["purpose"] = "every use"
    assert refusal_of(IntegrityError, MODEL, json.dumps(data)) == "signature_broken"


def test_M65_a_model_for_another_profile_is_refused():
    """A model made for another definition of the features is refused before it is run."""
    assert refusal_of(UsageError, MODEL, card(), profile="corrected") == "model_profile"


def test_M65_another_file_in_the_models_place_is_refused():
    """A model file that was exchanged or damaged is not the one that its card was signed for."""
    other = make_network(
        mean=NETWORK.mean, scale=1 / NETWORK.gain, output="sigmoid", about=ABOUT,
        layers=[(layer.weights * 2, layer.bias) for layer in NETWORK.layers],
    )  # fmt: skip
    assert refusal_of(IntegrityError, write_tflite(other), card()) == "model_not_of_card"
    assert refusal_of(IntegrityError, MODEL[:-8], card()) == "model_malformed"


def test_M65_a_demonstration_is_loaded_only_when_one_is_asked_for():
    """A model that its data do not support loads only with an explicit word that this is a demonstration."""
    made = card(demonstration=True)
    assert refusal_of(UsageError, MODEL, made) == "model_demonstration"
    assert models.open_model(MODEL, made, trusted=TRUSTED, demonstration=True).card.demonstration


def test_a_receipt_of_another_kind_is_no_card():
    other = receipts.sign("recording", body(), identity=OURS).to_json()
    assert refusal_of(IntegrityError, MODEL, other) == "card_malformed"


def test_a_signed_body_that_is_no_card_is_refused():
    other = receipts.sign("model", {"purpose": "a test"}, identity=OURS).to_json()
    assert refusal_of(IntegrityError, MODEL, other) == "card_malformed"


def test_no_card_is_issued_for_another_file():
    with pytest.raises(IntegrityError) as refusal:
        models.issue_card(body(files=body()["files"][1:]), MODEL, identity=OURS)
    assert refusal.value.reason == "model_not_of_card"


def test_the_measured_loss_of_each_file_stands_on_the_card():
    entries = {entry["quantise"]: entry for entry in models.file_entries(NETWORK, ROWS)}
    assert entries["none"]["largest_difference"] == "0.000000"
    assert (
        0 < float(entries["f16"]["largest_difference"]) < float(entries["int8"]["largest_difference"]) < 0.1
    )
    assert models.file_entries(NETWORK, ROWS[:0])[0]["largest_difference"] == "not available"


def test_what_is_rounded_already_is_not_rounded_again():
    rounded = read_tflite(write_tflite(NETWORK, quantise="int8"))
    with pytest.raises(UsageError) as refusal:
        models.export(rounded, form="tflite", quantise="f16")
    assert refusal.value.reason == "model_not_full"
    with pytest.raises(UsageError):
        models.export(read_tflite(MODEL), form="h5", quantise="none")


def test_M65_a_home_signs_a_card_that_others_check_with_its_pinned_key(hall):
    """A card signed by a home is checked offline with the identity that the home has published."""
    from sottovoce import app

    made = hall.platform.sign_model_card(body(), model=MODEL)
    document = receipts.identity_document(
        hall.platform.keyring.identity().public_key, created_at=hall.platform.now()
    )
    assert app.verify_model(MODEL, made, key=document).card.body["purpose"] == "a test"
    with pytest.raises(UnknownSigner):
        app.verify_model(MODEL, card(OTHER), key=document)
