"""How good a model is on somebody's own recordings: its verified card, their features, and what is true of them.

Rules upheld here:
1. Features of another profile than the model's are refused, never run.
2. Rows without voice get no answer, as in `analyze`; rows without a label teach nothing. Both are left out and counted.
3. The speaker is the unit. A figure behind which stand fewer than MINIMUM_SPEAKERS people is None: "not enough data".
4. Nothing is stored, and no value of a person is in the outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sottovoce.errors import UsageError
from sottovoce.learning.conformal import label_probabilities
from sottovoce.learning.evaluation import Classified, Measured, Threshold, classified, measured
from sottovoce.learning.units import Speakers
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.usecases.models import VerifiedModel
from sottovoce.voice.models.card import learned_range
from sottovoce.voice.models.network import distances, run

_VOICE = FEATURE_NAMES.index("F0semitoneFrom27.5Hz_sma3nz_amean")  # exactly 0 where no frame has voice


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """Features of one recording and what is known of it."""

    values: tuple[float, ...] = field(repr=False)  # 88
    speaker: str = field(repr=False)
    label: str = field(repr=False)  # "": not known
    groups: tuple[str, ...] = field(default=(), repr=False)  # one for each column of groups; "": not known


@dataclass(frozen=True, slots=True)
class LabelledTable:
    """Rows of one profile."""

    rows: tuple[LabelledRow, ...] = field(repr=False)
    profile: str
    columns: tuple[str, ...] = ()  # of the groups


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of it. `found` is Measured for a model of a quantity, with its `unit`."""

    attribute: str
    labels: tuple[str, ...]
    model_sha256: str
    unit: str  # "" where labels are told apart
    recordings: int
    without_voice: int  # left out
    without_label: int  # left out
    found: Classified | Measured


def evaluate(model: VerifiedModel, table: LabelledTable) -> Evaluation:
    """UsageError: `model_profile`, `label_unknown`, `speaker_unknown`, `no_rows` where nothing is left to judge,
    `model_input` for values that are no features."""
    about = model.model.network.about
    if table.profile != about.feature_profile:
        raise UsageError(
            f"These features are of the profile {table.profile}, the model was made for {about.feature_profile}.",
            hint="Extract them with the profile that the model's card names.",
            reason="model_profile",
        )
    labelled = [row for row in table.rows if row.label]
    rows = [row for row in labelled if row.values[_VOICE] != 0]
    if not rows:
        raise UsageError(
            "There is no recording with voice, a speaker and a label.",
            hint="Check the columns that hold the speaker and the label.",
            reason="no_rows",
        )
    # in the float32 form in which features are stored, and a model sees them
    outputs = run(model.model.network, np.array([row.values for row in rows], dtype=np.float32))
    unit, found = _judged(model, outputs, rows, table.columns)
    return Evaluation(
        attribute=about.attribute, labels=about.labels, model_sha256=model.model.sha256, unit=unit,
        recordings=len(rows), without_voice=len(labelled) - len(rows),
        without_label=len(table.rows) - len(labelled), found=found,
    )  # fmt: skip


def label_number(word: str, labels: Sequence[str]) -> int:
    """Which label a word means: the label itself, or the beginning of exactly one ("F" for "female"), in any case."""
    folded = [label.casefold() for label in labels]
    if word.casefold() in folded:
        return folded.index(word.casefold())
    meant = [number for number, label in enumerate(folded) if label.startswith(word.casefold())]
    if len(meant) != 1:
        raise UsageError(
            "A label of the data is none of the model's.",
            hint="The model's labels are: " + ", ".join(labels),
            reason="label_unknown",
        )
    return meant[0]


def _judged(
    model: VerifiedModel, outputs: np.ndarray, rows: Sequence[LabelledRow], columns: tuple[str, ...]
) -> tuple[str, Classified | Measured]:
    speakers = Speakers.of([row.speaker for row in rows])
    groups = _groups(rows, columns)
    quantity = model.card.body.get("quantity")
    if isinstance(quantity, Mapping):
        values = label_probabilities(outputs) @ np.array(quantity["values"], dtype=np.float64)
        return str(quantity["unit"]), measured(values, _numbers(rows), speakers, groups=groups)
    numbers = [label_number(row.label, model.model.network.about.labels) for row in rows]
    unlike = _unlike(model, rows)
    return "", classified(
        outputs, numbers, speakers, groups=groups, threshold=_threshold(model), unlike=unlike
    )


def _unlike(model: VerifiedModel, rows: Sequence[LabelledRow]) -> np.ndarray | None:
    """Which rows are outside of the range on the card; None where it states none."""
    stated = learned_range(model.card)
    if stated is None:
        return None
    inputs, bound = stated
    far: np.ndarray = distances(model.model.network, [row.values for row in rows], inputs) > bound
    return far


def _threshold(model: VerifiedModel) -> Threshold | None:
    conformal = model.card.body["conformal"]
    if not isinstance(conformal, Mapping) or conformal["kind"] != "set":
        return None
    return Threshold(int(str(conformal["percent"])), float(str(conformal["threshold"])))


def _numbers(rows: Sequence[LabelledRow]) -> list[float]:
    try:
        numbers = [float(row.label) for row in rows]
    except ValueError:
        numbers = [float("nan")]
    if not np.isfinite(numbers).all():
        raise UsageError(
            "This model gives a quantity, and a label of the data is no number.", reason="label_unknown"
        )
    return numbers


def _groups(rows: Sequence[LabelledRow], columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    """ "column: value" -> which rows; what is not known belongs to no group."""
    found = {}
    for place, column in enumerate(columns):
        values = [row.groups[place] for row in rows]
        for value in sorted(set(values) - {""}):
            found[f"{column}: {value}"] = np.array([one == value for one in values])
    return found
