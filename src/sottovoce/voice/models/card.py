"""The model card: what is known of a model, in a form that can be signed and that leaves nothing out.

A card is the body of a signed receipt of the kind `model` (sealing.receipt). Numbers that are not whole are
decimal text ("0.031"): what is signed has one spelling. What the data do not allow is "not available", and no
privacy guarantee is "none"; neither is ever left out or made up.

Three formats are read: `sottovoce-model-card/3`, which is written; /2, which had no room for the range of what was
learned and for the answers given to held-out people and on other data; and /1, which had none for calibration,
coverage, transfer to other data and the error of the constant answer either.

Rules upheld here:
1. A card names the hash of every file it is about; a file that it does not name is not its model.
2. Every field of its format (FIELDS_3, FIELDS_2, FIELDS) is there, and no other.
3. IntegrityError (reason `card_malformed`, or `model_not_of_card`) is the only way to fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sottovoce.errors import IntegrityError
from sottovoce.model.canonical import JsonValue
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.models.network import OUTPUTS, PRECISIONS
from sottovoce.voice.models.read_tflite import ModelFile

FORMAT = "sottovoce-model-card/1"
FORMAT_2 = "sottovoce-model-card/2"
FORMAT_3 = "sottovoce-model-card/3"
NOT_AVAILABLE = "not available"
NOT_ENOUGH = "not enough data"  # too few people for a figure of a group
NO_QUANTITY = "none"  # the outputs are probabilities of labels
NO_GUARANTEE = "none"

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,8})(\.[0-9]{1,9})?")
_HASH = re.compile(r"[0-9a-f]{64}")
_LONGEST_TEXT = 2000
_MOST_ITEMS = 64

Check = Callable[[JsonValue], bool]


@dataclass(frozen=True, slots=True)
class Card:
    """A card whose form was checked; the values are as they were signed."""

    body: Mapping[str, JsonValue]

    @property
    def demonstration(self) -> bool:
        """Whether the model may only be loaded when a demonstration is asked for."""
        return self.body["demonstration"] is True

    def names(self, sha256: str) -> bool:
        """Whether a file of that hash is one of this card's."""
        return any(entry["sha256"] == sha256 for entry in _entries(self.body["files"]))


def read_card(body: Mapping[str, JsonValue]) -> Card:
    """The card in the body of a receipt. IntegrityError (reason `card_malformed`) where it is not exactly one."""
    fields = FORMATS.get(str(body.get("format")))
    if fields is None or not _fields(fields)(body):
        raise _malformed()
    return Card(body)


def learned_range(card: Card) -> tuple[tuple[int, ...], float] | None:
    """Which features (their places among the 88) are compared with what was learned from, and how far they may lie
    from it (`network.distances`); None where the card states no range."""
    stated = card.body.get("learned_range")
    if not isinstance(stated, Mapping):
        return None
    names = stated["inputs"]
    inputs = tuple(FEATURE_NAMES.index(str(one)) for one in names) if isinstance(names, list | tuple) else ()
    return inputs, float(str(stated["bound"]))


def check_model(card: Card, model: ModelFile) -> None:
    """That the file is one of the card's, and says of itself what the card says.

    IntegrityError (reason `model_not_of_card`) else.
    """
    about = model.network.about
    said = {
        "attribute": about.attribute,
        "labels": list(about.labels),
        "feature_profile": about.feature_profile,
        "feature_version": about.feature_version,
    }
    if not card.names(model.sha256) or any(card.body[name] != value for name, value in said.items()):
        raise IntegrityError(
            "This card is not about this model file.",
            hint="Get the card that was signed for exactly this file.",
            reason="model_not_of_card",
        )


# --- the form of a card -----------------------------------------------------------------------------------


def _text(value: JsonValue) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT and value.isprintable()


def _whole(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _decimal(value: JsonValue) -> bool:
    return isinstance(value, str) and bool(_DECIMAL.fullmatch(value))


def _hash(value: JsonValue) -> bool:
    return isinstance(value, str) and bool(_HASH.fullmatch(value))


def _feature(value: JsonValue) -> bool:
    return isinstance(value, str) and value in FEATURE_NAMES


def _flag(value: JsonValue) -> bool:
    return isinstance(value, bool)


def _one_of(*words: str) -> Check:
    return lambda value: isinstance(value, str) and value in words


def _list(item: Check, *, least: int = 0) -> Check:
    return lambda value: (
        isinstance(value, list | tuple) and least <= len(value) <= _MOST_ITEMS and all(map(item, value))
    )


def _fields(checks: Mapping[str, Check]) -> Check:
    return lambda value: (
        isinstance(value, Mapping)
        and set(value) == set(checks)
        and all(check(value[name]) for name, check in checks.items())
    )


def _or(word: str, other: Check) -> Check:
    return lambda value: value == word or other(value)


_ERROR = _fields({
    "measure": _text, "value": _decimal, "low": _decimal, "high": _decimal, "confidence_percent": _whole,
    "speakers": _whole, "recordings": _whole, "split": _text,
})  # fmt: skip
_GROUP = _fields(
    {"name": _text, "value": _or(NOT_AVAILABLE, _decimal), "speakers": _whole, "recordings": _whole}
)
_FILE = _fields({
    "format": _one_of("tflite", "onnx"), "quantise": _one_of(*PRECISIONS), "sha256": _hash, "size_bytes": _whole,
    "largest_difference": _or(NOT_AVAILABLE, _decimal),
})  # fmt: skip

FIELDS: Mapping[str, Check] = {
    "format": _text,
    "purpose": _text,
    "attribute": _text,
    "labels": _list(_text, least=2),
    "output": _one_of(*OUTPUTS),
    "feature_profile": _text,
    "feature_version": _text,
    "training_data": _fields({
        "description": _text, "sha256": _or(NOT_AVAILABLE, _hash), "speakers": _whole, "recordings": _whole,
    }),
    "error": _or(NOT_AVAILABLE, _ERROR),
    "groups": _list(_GROUP),
    "conformal": _or(
        NOT_AVAILABLE, _fields({"kind": _one_of("set", "interval"), "percent": _whole, "threshold": _decimal})
    ),
    "privacy": _or(NO_GUARANTEE, _fields({"unit": _text, "epsilon": _decimal, "delta": _decimal})),
    "not_for": _list(_text, least=1),
    "demonstration": _flag,
    "files": _list(_FILE, least=1),
}  # fmt: skip


_END = _or(NOT_AVAILABLE, _decimal)  # of an interval
_MEASURED = {
    "value": _decimal, "low": _END, "high": _END, "confidence_percent": _whole, "speakers": _whole,
    "recordings": _whole,
}  # fmt: skip
_ERROR_2 = _fields({"measure": _text, "split": _text, **_MEASURED})
_GROUP_2 = _fields({
    "name": _text, "value": _or(NOT_ENOUGH, _decimal), "low": _END, "high": _END, "speakers": _whole,
    "recordings": _whole,
})  # fmt: skip
_BIN = _fields({
    "from": _decimal, "to": _decimal, "confidence": _END, "right": _END, "low": _END, "high": _END,
    "speakers": _whole, "recordings": _whole,
})  # fmt: skip
_CONFORMAL_2 = _fields({
    "kind": _one_of("set", "interval"), "percent": _whole, "threshold": _decimal, "speakers": _whole,
    "coverage": _fields({"splits": _whole, **_MEASURED}),
    "sizes": _fields({"none": _decimal, "one": _decimal, "several": _decimal}),
})  # fmt: skip

FIELDS_2: Mapping[str, Check] = {
    **FIELDS,
    "quantity": _or(NO_QUANTITY, _fields({"unit": _text, "values": _list(_decimal, least=2)})),
    "error": _or(NOT_AVAILABLE, _ERROR_2),
    "held_out": _or(NOT_AVAILABLE, _ERROR_2),
    "constant_answer": _or(NOT_AVAILABLE, _fields({"answer": _text, "error": _decimal})),
    "groups": _list(_GROUP_2),
    "calibration": _or(
        NOT_AVAILABLE, _fields({"expected_error": _decimal, "brier": _decimal, "bins": _list(_BIN, least=1)})
    ),
    "conformal": _or(NOT_AVAILABLE, _CONFORMAL_2),
    "transfer": _list(_fields({"data": _text, **_MEASURED})),
}
# What was answered, the range applied; `coverage` is that of the sets alone, as if there were no range.
_ANSWERS = {
    "coverage": _fields(_MEASURED), "unlike": _decimal, "determined": _decimal,
    "wrong_of_determined": _or(NOT_AVAILABLE, _fields(_MEASURED)),
}  # fmt: skip
FIELDS_3: Mapping[str, Check] = {
    **FIELDS_2,
    "held_out": _or(NOT_AVAILABLE, _fields({"measure": _text, "split": _text, **_MEASURED, **_ANSWERS})),
    "learned_range": _or(
        NOT_AVAILABLE,
        _fields({
            "inputs": _list(_feature, least=1), "bound": _decimal, "percent": _whole, "speakers": _whole,
            "refused": _fields({"splits": _whole, **_MEASURED}),
        }),
    ),
    "transfer": _list(_fields({"data": _text, **_MEASURED, **_ANSWERS})),
}  # fmt: skip
FORMATS: Mapping[str, Mapping[str, Check]] = {FORMAT: FIELDS, FORMAT_2: FIELDS_2, FORMAT_3: FIELDS_3}


def _entries(value: JsonValue) -> list[Mapping[str, JsonValue]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list | tuple) else []


def _malformed() -> IntegrityError:
    return IntegrityError("This is not a model card of sottovoce.", reason="card_malformed")
