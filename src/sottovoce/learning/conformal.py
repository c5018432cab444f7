"""Split conformal prediction sets: the labels that cannot be ruled out, with a stated coverage.

    threshold = conformal_threshold(scores, percent=90)     scores of people whom the model has not seen
    prediction_set(probabilities, threshold)                the labels that fit; none or all: "not determined"

A label's score is 1 - its probability. Where a new speaker is exchangeable with the speakers of the calibration, the
set holds the true label with a probability of at least `percent` / 100 (Vovk, Gammerman and Shafer 2005; Angelopoulos
and Bates 2023, doi:10.1561/2200000101). The speaker is what is exchangeable, so each gives one recording, drawn at
random (Dunn, Wasserman and Ramdas 2023, doi:10.1080/01621459.2022.2060112): several recordings of one person would
count as if they were several people. Of another kind of speaker, language or recorder nothing is promised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sottovoce.errors import UsageError

DECIMALS = 6  # of a threshold on a card
Sets = NDArray[np.bool_]  # (n, labels)


def label_probabilities(outputs: ArrayLike) -> NDArray[np.float64]:
    """(n, 1) of a sigmoid or (n, labels) of a softmax -> (n, labels): one probability for each label."""
    given = np.asarray(outputs, dtype=np.float64)
    if given.ndim != 2:
        raise UsageError("The outputs of a model are rows.", reason="model_input")
    return np.hstack([1 - given, given]) if given.shape[1] == 1 else given


def scores(probabilities: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """(n, labels) and (n,) the number of each true label -> (n,): how badly the truth fits, 0 (well) to 1."""
    given = np.asarray(probabilities, dtype=np.float64)
    out: NDArray[np.float64] = 1 - given[np.arange(len(given)), np.asarray(labels, dtype=np.intp)]
    return out


def fewest_speakers(percent: int) -> int:
    """How many people a calibration needs at least: with fewer no finite threshold covers so much."""
    return math.ceil(percent / (100 - percent))


def conformal_threshold(calibration: ArrayLike, *, percent: int) -> float:
    """The bound (`conformal_bound`) of scores of 0..1: a threshold is at most 1."""
    return min(conformal_bound(calibration, percent=percent), 1.0)


def conformal_bound(calibration: ArrayLike, *, percent: int) -> float:
    """The ceil((n + 1) * percent / 100)-th smallest score, (n,), one for each speaker; rounded up to DECIMALS places.

    UsageError (reason `too_few`) where n is too small for that coverage.
    """
    given = np.sort(np.asarray(calibration, dtype=np.float64))
    if not 0 < percent < 100 or given.ndim != 1 or not np.all(np.isfinite(given)):
        raise UsageError("A coverage is 1 to 99 percent of finite scores.", reason="conformal")
    # in whole numbers: (n + 1) * 0.9 as a float may lie above the number it stands for
    rank = -(-(len(given) + 1) * percent // 100)
    if rank > len(given):
        raise UsageError(
            f"{len(given)} speakers are too few for a coverage of {percent} %.",
            hint=f"A calibration needs at least {fewest_speakers(percent)} speakers.",
            reason="too_few",
        )
    steps = 10.0**DECIMALS
    return math.ceil(float(given[rank - 1]) * steps) / steps


def prediction_sets(probabilities: ArrayLike, threshold: float) -> Sets:
    """(n, labels) -> (n, labels): whether each label is in the set, 1 - probability <= threshold."""
    inside: Sets = 1 - np.asarray(probabilities, dtype=np.float64) <= threshold
    return inside


def prediction_set(probabilities: Sequence[float], threshold: float) -> tuple[int, ...]:
    """The numbers of the labels in one set; exactly one: determined. None or several: not determined."""
    return tuple(np.flatnonzero(prediction_sets([probabilities], threshold)[0]).tolist())
