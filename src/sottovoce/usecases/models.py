"""Model files and their signed cards: a card is issued by this home's identity, and no model is taken without one.

Rules upheld here:
1. A card is verified against pinned keys, never against one that it brings along (sealing.receipt).
2. The form of a card, its hash of the file and what the file says of itself are checked together, before use.
3. A model that is a demonstration only is refused unless a demonstration is asked for.
Which models a home has, and which of them it runs, is in `usecases/registry.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sottovoce.errors import IntegrityError, UsageError
from sottovoce.model.canonical import JsonValue
from sottovoce.sealing import receipt as receipts
from sottovoce.voice.models.card import NOT_AVAILABLE, Card, check_model, read_card
from sottovoce.voice.models.network import Network, Precision, run
from sottovoce.voice.models.read_tflite import ModelFile, read_tflite
from sottovoce.voice.models.write_onnx import write_onnx
from sottovoce.voice.models.write_tflite import write_tflite

KIND = "model"
_VARIANTS: tuple[Precision, ...] = ("none", "f16", "int8")


@dataclass(frozen=True, slots=True)
class VerifiedModel:
    """A model and its card, both what was signed."""

    model: ModelFile
    card: Card
    key_id: str  # of the signer


def issue_card(body: Mapping[str, JsonValue], model: bytes, *, identity: receipts.Identity) -> str:
    """The signed card of a model file, as text. IntegrityError where body and file are not of each other."""
    card = read_card(body)
    check_model(card, read_tflite(model))
    return receipts.sign(KIND, card.body, identity=identity).to_json()


def open_card(text: str, *, trusted: Mapping[str, bytes]) -> tuple[Card, str]:
    """The card in a text, and its signer's key id. UnknownSigner; IntegrityError."""
    receipt = receipts.verify(text, trusted=trusted)
    if receipt.kind != KIND:
        raise IntegrityError("This is a receipt, but not the card of a model.", reason="card_malformed")
    return read_card(receipt.body), receipt.key_id


def open_model(
    model: bytes,
    card: str,
    *,
    trusted: Mapping[str, bytes],
    profile: str | None = None,
    demonstration: bool = False,
) -> VerifiedModel:
    """A model, verified together with its card.

    UnknownSigner; IntegrityError (`signature_broken`, `receipt_malformed`, `card_malformed`, `model_malformed`,
    `model_not_of_card`); UsageError (`model_profile` where it was made for another profile than `profile`,
    `model_demonstration` where it is one and none was asked for).
    """
    read, key_id = open_card(card, trusted=trusted)
    file = read_tflite(model)
    check_model(read, file)
    if profile is not None and profile != file.network.about.feature_profile:
        raise UsageError(
            "This model was made for features of another profile.",
            hint="Extract the features with the profile that the model's card names.",
            reason="model_profile",
        )
    if read.demonstration and not demonstration:
        raise UsageError(
            "This model is a demonstration: its data do not support a use.",
            hint="Ask for a demonstration if that is what this is.",
            reason="model_demonstration",
        )
    return VerifiedModel(file, read, key_id)


def export(model: ModelFile, *, form: str, quantise: Precision) -> bytes:
    """A full-precision model as another file. UsageError (reason `model_not_full`) for one that is rounded already."""
    if model.precision != "none":
        raise UsageError(
            "This file holds rounded weights already.",
            hint="Export from the file with full float32 weights.",
            reason="model_not_full",
        )
    if form not in ("tflite", "onnx"):
        raise UsageError("A model is exported as tflite or onnx.", reason="model_format")
    write = write_onnx if form == "onnx" else write_tflite
    return write(model.network, quantise=quantise)


def file_entries(network: Network, rows: np.ndarray) -> list[JsonValue]:
    """What a card says of each `.tflite` of a network: hash, size, and how far its outputs lie from the full one's.

    The difference is measured on `rows`, (n, inputs).
    """
    full = run(network, rows)
    entries: list[JsonValue] = []
    for quantise in _VARIANTS:
        file = read_tflite(write_tflite(network, quantise=quantise))
        difference = float(np.abs(run(file.network, rows) - full).max()) if len(full) else None
        entries.append({
            "format": "tflite", "quantise": quantise, "sha256": file.sha256, "size_bytes": file.size_bytes,
            "largest_difference": NOT_AVAILABLE if difference is None else f"{difference:.6f}",
        })  # fmt: skip
    return entries
