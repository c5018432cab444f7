"""Contours -> functionals: means, deviations, percentiles, slopes (specification 13)."""

from __future__ import annotations

import math

import numpy as np

from sottovoce.voice.egemaps.numeric import F32
from sottovoce.voice.egemaps.peaks import Slopes


def mean_and_spread(values: F32) -> list[float]:
    """(n,) -> arithmetic mean, and standard deviation over the signed mean; both 0 for an empty list."""
    if len(values) == 0:
        return [0.0, 0.0]
    wide, count = values.astype(np.float64), len(values)
    mean = float(np.add.reduce(wide)) / count  # np.mean and np.std do the same with ten times the overhead
    wide -= mean
    wide *= wide
    deviation = math.sqrt(float(np.add.reduce(wide)) / count)
    return [mean, deviation / (mean or 1.0)]


def mean_and_spread_nonzero(values: F32) -> list[float]:
    """The same of the values that are not 0."""
    return mean_and_spread(values[values != 0])


def percentile(ascending: list[float], share: float) -> float:
    """Linear interpolation at share * (n - 1), as numpy rounds it; 0 for an empty list."""
    if not ascending:
        return 0.0
    position = share * (len(ascending) - 1)
    below = int(position)
    low, high, rest = ascending[below], ascending[min(below + 1, len(ascending) - 1)], position - below
    return low + (high - low) * rest if rest < 0.5 else high - (high - low) * (1 - rest)


def ten(values: F32, slopes: Slopes) -> list[float]:
    """Mean, spread, percentiles 20, 50 and 80, their range, and the four slope statistics."""
    ascending = np.sort(values.astype(np.float64)).tolist()
    percentiles = [percentile(ascending, share) for share in (0.2, 0.5, 0.8)]
    return [
        *mean_and_spread(values),
        *percentiles,
        abs(percentiles[2] - percentiles[0]),
        slopes.rising_mean,
        slopes.rising_std,
        slopes.falling_mean,
        slopes.falling_std,
    ]
