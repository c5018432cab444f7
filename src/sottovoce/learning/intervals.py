"""How well a number is known: exact intervals for shares, bootstrap over speakers for the rest.

    exact_interval(successes, trials)       Clopper and Pearson 1934, Biometrika 26
    share_of_speakers(values, speakers)     a share, its interval, and what it stands on
    bootstrap_mean(values, speakers, ...)   Efron 1979, with whole speakers drawn (cluster bootstrap)

Recordings of one person say nearly the same thing twice, so an interval counts people: recordings as units would
make it too narrow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from sottovoce.errors import UsageError
from sottovoce.learning.units import Speakers, per_speaker

CONFIDENCE = 0.95
MINIMUM_SPEAKERS = 10  # below it no figure of a group is told: "not enough data"
_WHOLE = 1e-9  # a sum of means this near to a whole number is that number


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over speakers with its interval at 95 %; None where the data do not allow one."""

    value: float
    low: float | None
    high: float | None
    speakers: int
    recordings: int

    @property
    def enough(self) -> bool:
        """Whether it may be told at all."""
        return self.speakers >= MINIMUM_SPEAKERS


def exact_interval(successes: int, trials: int) -> tuple[float, float]:
    """The Clopper-Pearson interval of a share at 95 %. UsageError unless 0 <= successes <= trials, trials >= 1."""
    if not 0 <= successes <= trials or trials < 1:
        raise UsageError("A share has 0 to n successes of n trials.", reason="not_a_share")
    tail = (1 - CONFIDENCE) / 2
    low = betaincinv(successes, trials - successes + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, trials - successes, 1 - tail) if successes < trials else 1.0
    return float(low), float(high)


def share_of_speakers(values: ArrayLike, speakers: Speakers) -> Estimate:
    """The mean over speakers of each one's share of rows that are true, with an exact interval over speakers.

    values: (n,) 0 or 1, or what was averaged of such. Where a person's recordings disagree, their share is no 0 or 1;
    the sum of shares is then rounded outward for each end, which only widens the interval.
    """
    means = per_speaker(values, speakers)
    total = float(means.sum())
    low, _ = exact_interval(math.floor(total + _WHOLE), speakers.count)
    _, high = exact_interval(math.ceil(total - _WHOLE), speakers.count)
    return Estimate(total / speakers.count, low, high, speakers.count, len(speakers))


def bootstrap_mean(values: ArrayLike, speakers: Speakers, *, draws: int = 10_000, seed: int = 0) -> Estimate:
    """The mean over speakers of each one's mean, with the percentile interval of drawing speakers anew.

    No interval below MINIMUM_SPEAKERS people: the bootstrap is too narrow there.
    """
    means = per_speaker(values, speakers)
    value = float(means.mean())
    if speakers.count < MINIMUM_SPEAKERS:
        return Estimate(value, None, None, speakers.count, len(speakers))
    dice = np.random.default_rng(seed)
    drawn = [float(means[dice.integers(0, len(means), len(means))].mean()) for _ in range(draws)]
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high), speakers.count, len(speakers))
