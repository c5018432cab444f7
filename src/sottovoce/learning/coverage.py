"""Whether conformal sets hold what they promise: the whole procedure, repeated over speaker-disjoint splits.

    found = repeated_coverage(data, shape, percent=90, splits=200)
    found.coverage.low, found.coverage.high      an exact interval over speakers: 0.9 has to lie in it
    repeated_refusal(data, inputs, percent=90, splits=200)      how many people like those learned from a range refuses

Nothing is tuned to the result: a coverage whose interval leaves out the promise is a mistake of the method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sottovoce.learning.conformal import (
    conformal_bound,
    conformal_threshold,
    label_probabilities,
    prediction_sets,
    scores,
)
from sottovoce.learning.evaluation import SetSizes
from sottovoce.learning.fitting import Shape, standardisation
from sottovoce.learning.intervals import Estimate, share_of_speakers
from sottovoce.learning.selection import Labelled, calibrated, cross_validated, train
from sottovoce.learning.units import Speakers, halves, one_row_each


@dataclass(frozen=True, slots=True)
class Repeated:
    """Coverage over repeated speaker-disjoint splits."""

    coverage: Estimate
    groups: Mapping[int, Estimate]  # by true label
    sizes: SetSizes
    splits: int


def repeated_coverage(data: Labelled, shape: Shape, *, percent: int, splits: int, seed: int = 0) -> Repeated:
    """Split conformal sets of two labels, over and over: a third of the speakers to fit (and to calibrate the
    probability), a third for the threshold, a third to be judged, one random recording of each.

    A person is judged in many splits, which are not independent: their own share of splits in which they were covered
    is one number of 0..1, and the interval counts people (intervals.share_of_speakers), not splits or recordings.
    """
    covered, times = np.zeros(data.speakers.count), np.zeros(data.speakers.count)
    shares = np.zeros((data.speakers.count, 3))
    for split in range(splits):
        judged, inside = _one_split(data, shape, percent, seed + split)
        people = data.speakers.index[judged]
        labels = data.targets[judged].astype(np.intp)
        times[people] += 1
        covered[people] += inside[np.arange(len(judged)), labels]
        shares[people, np.minimum(inside.sum(axis=1), 2)] += 1
    seen = np.flatnonzero(times)
    means, shares = covered[seen] / times[seen], shares[seen] / times[seen, None]
    _, first = np.unique(data.speakers.index, return_index=True)
    labels = data.targets[first][seen].astype(np.intp)
    by_label = {label: _of_means(means[labels == label]) for label in np.unique(labels).tolist()}
    return Repeated(_of_means(means), by_label, SetSizes(*map(float, shares.mean(axis=0))), splits)


def repeated_refusal(
    data: Labelled, inputs: Sequence[int], *, percent: int, splits: int, seed: int = 0
) -> Estimate:
    """How often a person like those learned from is refused by a range of `percent`, over and over: a third of the
    speakers give mean and spread, a third the bound, a third are judged, one random recording of each.

    The bound is conformal: (100 - percent) % of new people of the same kind are refused at most, on average.
    """
    refused, times = np.zeros(data.speakers.count), np.zeros(data.speakers.count)
    for split in range(splits):
        first, (known, judged) = _thirds(data, seed + split)
        part = data.take(first)
        heavy = part.speakers.weights()
        mean, scale = standardisation(part.rows, heavy / heavy.sum())
        far = np.sqrt((((data.rows - mean) / scale)[:, list(inputs)] ** 2).mean(axis=1))
        people = data.speakers.index[judged]
        times[people] += 1
        refused[people] += far[judged] > conformal_bound(far[known], percent=percent)
    seen = np.flatnonzero(times)
    return _of_means(refused[seen] / times[seen])


def _thirds(data: Labelled, seed: int) -> tuple[NDArray[np.intp], list[NDArray[np.intp]]]:
    """The rows of a third of the speakers, then one row of each speaker of the second and of the last third."""
    fitting, rest = halves(data.strata, data.speakers, share=1 / 3, seed=seed)
    second, third = halves(data.strata[rest], data.speakers.take(rest), share=1 / 2, seed=seed)
    others = [rows[one_row_each(data.speakers.take(rows), seed=seed)] for rows in (rest[second], rest[third])]
    return fitting, others


def _one_split(
    data: Labelled, shape: Shape, percent: int, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The rows that were judged, and the set of each."""
    fitting, (known, judged) = _thirds(data, seed)
    part = data.take(fitting)
    slope, offset = calibrated(cross_validated(part, shape, seed=seed), part)
    model = train(part, shape, seed=seed).rescaled(slope, offset)
    probabilities = [
        label_probabilities(model.probabilities(data.rows[rows])[:, None]) for rows in (known, judged)
    ]
    threshold = conformal_threshold(scores(probabilities[0], data.targets[known]), percent=percent)
    return judged, prediction_sets(probabilities[1], threshold)


def _of_means(means: NDArray[np.float64]) -> Estimate:
    return share_of_speakers(means, Speakers(np.arange(len(means)), len(means)))
