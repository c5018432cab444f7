"""What is measured of a model on people whom it has not seen: error, by group, calibration, sets.

Every figure counts people, each weighing the same however many recordings there are. What too few people stand
behind is told as "not enough data", never as a number and never as 0 (C33b). The figures are the operator's own: to
give them away is a release of statistics about people, and needs what such a release needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sottovoce.learning.conformal import label_probabilities, prediction_sets
from sottovoce.learning.intervals import Estimate, bootstrap_mean, share_of_speakers
from sottovoce.learning.units import Rows, Speakers, per_speaker

BINS = 5
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """Recordings whose confidence lies in low..high: how sure the model was, and how often it was right."""

    low: float
    high: float
    confidence: float | None  # mean over speakers; None where nothing fell into it
    right: Estimate | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether a confidence means what it says."""

    bins: tuple[Bin, ...]
    error: (
        float  # expected calibration error: mean distance of confidence and share right, weighted by people
    )
    brier: (
        float  # mean squared distance of the probability of label 1 (binary), or over labels, from the truth
    )


@dataclass(frozen=True, slots=True)
class SetSizes:
    """Shares of people's recordings whose set is empty, holds one label, or several."""

    none: float
    one: float
    several: float


@dataclass(frozen=True, slots=True)
class Sets:
    """What conformal sets came to."""

    percent: int
    coverage: Estimate
    sizes: SetSizes
    wrong_when_one: Estimate | None  # share of determined answers that are wrong; None where there is none
    unlike: float = 0.0  # share of people's recordings outside of the model's range: never determined


@dataclass(frozen=True, slots=True)
class Classified:
    """The evaluation of a model that tells labels apart."""

    error: Estimate  # share of wrong answers
    groups: Mapping[str, Estimate]
    calibration: Calibration
    sets: Sets | None


@dataclass(frozen=True, slots=True)
class Measured:
    """The evaluation of a model that gives a quantity."""

    error: Estimate  # mean absolute error
    groups: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The conformal part of a card."""

    percent: int
    value: float


def classified(
    outputs: ArrayLike,
    labels: ArrayLike,
    speakers: Speakers,
    *,
    groups: Mapping[str, ArrayLike],
    threshold: Threshold | None,
    unlike: ArrayLike | None = None,
) -> Classified:
    """outputs: (n, 1) or (n, labels) of a model; labels: (n,) the number of the true one.

    `groups`: name -> (n,) whether each row belongs to it. `unlike`: (n,) whether it is outside of the model's range.
    """
    probabilities, true = label_probabilities(outputs), np.asarray(labels, dtype=np.intp)
    wrong = probabilities.argmax(axis=1) != true
    return Classified(
        error=share_of_speakers(wrong, speakers),
        groups=_by_group(groups, lambda rows: share_of_speakers(wrong[rows], speakers.take(rows))),
        calibration=calibration(probabilities, true, speakers),
        sets=None if threshold is None else sets_of(probabilities, true, speakers, threshold, unlike),
    )


def measured(
    values: ArrayLike, truth: ArrayLike, speakers: Speakers, *, groups: Mapping[str, ArrayLike]
) -> Measured:
    """values, truth: (n,) in the unit of the quantity."""
    distance = np.abs(np.asarray(values, dtype=np.float64) - np.asarray(truth, dtype=np.float64))
    return Measured(
        error=bootstrap_mean(distance, speakers),
        groups=_by_group(groups, lambda rows: bootstrap_mean(distance[rows], speakers.take(rows))),
    )


def calibration(probabilities: Floats, labels: ArrayLike, speakers: Speakers) -> Calibration:
    """probabilities: (n, labels). Bins of equal width of the confidence, from what guessing gives to 1."""
    true = np.asarray(labels, dtype=np.intp)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    chance = 1 / probabilities.shape[1]
    edges = np.linspace(chance, 1, BINS + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, BINS - 1)
    weights = speakers.weights()
    error, bins = 0.0, []
    for number in range(BINS):
        rows = np.flatnonzero(place == number)
        bins.append(_bin(edges[number : number + 2], confidence, right, rows, speakers))
        error += abs(float(weights[rows] @ (confidence[rows] - right[rows])))
    return Calibration(tuple(bins), error / speakers.count, _brier(probabilities, true, speakers))


def sets_of(
    probabilities: Floats,
    labels: ArrayLike,
    speakers: Speakers,
    threshold: Threshold,
    unlike: ArrayLike | None = None,
) -> Sets:
    """How often the sets hold the truth (that of the threshold alone), and how large those are that are answered: what
    is unlike the data learned from gets every label."""
    true = np.asarray(labels, dtype=np.intp)
    inside = prediction_sets(probabilities, threshold.value)
    away = np.zeros(len(true), dtype=bool) if unlike is None else np.asarray(unlike, dtype=bool)
    covered = inside[np.arange(len(true)), true]
    size = np.where(away, inside.shape[1], inside.sum(axis=1))
    shares = [float(per_speaker(which, speakers).mean()) for which in (size == 0, size == 1, size > 1)]
    one = np.flatnonzero(size == 1)
    wrong = share_of_speakers(~covered[one], speakers.take(one)) if len(one) else None
    far = float(per_speaker(away, speakers).mean())
    return Sets(threshold.percent, share_of_speakers(covered, speakers), SetSizes(*shares), wrong, far)


def _bin(edges: Floats, confidence: Floats, right: NDArray[np.bool_], rows: Rows, speakers: Speakers) -> Bin:
    low, high = map(float, edges)
    if not len(rows):
        return Bin(low, high, None, None)
    people = speakers.take(rows)
    mean = float(per_speaker(confidence[rows], people).mean())
    return Bin(low, high, mean, share_of_speakers(right[rows], people))


def _brier(probabilities: Floats, labels: NDArray[np.intp], speakers: Speakers) -> float:
    """Brier 1950; of two labels the squared distance of one of them, as is usual."""
    distance = (probabilities - np.eye(probabilities.shape[1])[labels]) ** 2
    total = distance.sum(axis=1) / (2 if probabilities.shape[1] == 2 else 1)
    return float(per_speaker(total, speakers).mean())


def _by_group(groups: Mapping[str, ArrayLike], estimate: Callable[[Rows], Estimate]) -> dict[str, Estimate]:
    """Groups that nobody belongs to are left out: there is nothing to say of them."""
    found = {name: np.flatnonzero(np.asarray(member)) for name, member in groups.items()}
    return {name: estimate(rows) for name, rows in found.items() if len(rows)}
