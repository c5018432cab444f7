"""Contours -> functionals: means, deviations, percentiles, slopes (specification 13)."""

from __future__ import annotations

import numpy as np

from sottovoce.voice.egemaps.numeric import F32
from sottovoce.voice.egemaps.peaks import Slopes


def mean_and_spread(values: F32) -> list[float]:
    """(n,) -> arithmetic mean, and standard deviation over the signed mean; both 0 for an empty list."""
    if len(values) == 0:
        return [0.0, 0.0]
    wide = values.astype(np.float64)
    mean, deviation = float(np.mean(wide)), float(np.std(wide))
    return [mean, deviation / (mean or 1.0)]


def mean_and_spread_nonzero(values: F32) -> list[float]:
    """The same of the values that are not 0."""
    return mean_and_spread(values[values != 0])


def ten(values: F32, slopes: Slopes) -> list[float]:
    """Mean, spread, percentiles 20, 50 and 80, their range, and the four slope statistics."""
    percentiles = [0.0, 0.0, 0.0]
    if len(values):
        percentiles = np.percentile(values.astype(np.float64), (20, 50, 80)).tolist()
    return [
        *mean_and_spread(values),
        *percentiles,
        abs(percentiles[2] - percentiles[0]),
        slopes.rising_mean,
        slopes.rising_std,
        slopes.falling_mean,
        slopes.falling_std,
    ]
