"""Peaks of a contour and the slopes between them (specification 13).

An extremum counts when it stands out by a tenth of the contour's range. Rising slopes lead from a minimum up to
the next maximum, falling ones from a maximum down to the next minimum; both are positive, but for the tail in
`compat` (Q15). In `corrected` the tail is a slope like any other: positive when falling, per second, and part of
the deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sottovoce.voice.egemaps.numeric import F32

HOP_S = 0.01
RELATIVE_THRESHOLD = 0.1
CLEARLY_HIGHER = 1.05


class Extremum(NamedTuple):
    position: int  # index in the contour
    value: float
    is_max: bool


@dataclass(frozen=True, slots=True)
class Slopes:
    """Statistics of a contour's slopes, per second, and how many maxima it has."""

    rising_mean: float
    rising_std: float
    falling_mean: float
    falling_std: float
    peaks: int


def measure_slopes(contour: F32, *, corrected: bool = False) -> Slopes:
    """(n,) contour with a hop of 10 ms; an empty one has slopes of 0."""
    if len(contour) == 0:
        return Slopes(0.0, 0.0, 0.0, 0.0, 0)
    x = contour.astype(np.float64).tolist()
    extrema = find_extrema(x)
    rising, falling = _walk(x[0], extrema)
    if corrected:
        rising_tail, falling_tail = _tail_like_the_others(x, extrema)
        rising, falling = rising + rising_tail, falling + falling_tail
        rising_tail, falling_tail = [], []
    else:
        rising_tail, falling_tail = _tail(x, extrema)
    return Slopes(
        *_mean_and_std(rising, rising_tail),
        *_mean_and_std(falling, falling_tail),
        peaks=sum(extremum.is_max for extremum in extrema),
    )


def find_extrema(x: list[float]) -> list[Extremum]:
    """Alternating maxima and minima that stand out."""
    threshold = RELATIVE_THRESHOLD * (max(x) - min(x))
    maxima_thinned = _drop_weak_maxima(_local_extrema(x), x[0], threshold)
    return _alternating(_drop_weak_minima(maxima_thinned, x[0], threshold))


def _local_extrema(x: list[float]) -> list[Extremum]:
    """Strictly above or below both neighbours; the two values at each end are never extrema."""
    change = np.diff(np.array(x))
    before, after = change[1:-2], change[2:-1]  # of the values 2 to n - 3
    is_max, is_min = (before > 0) & (after < 0), (before < 0) & (after > 0)
    at = (np.flatnonzero(is_max | is_min) + 2).tolist()
    return [Extremum(i, x[i], x[i] > x[i - 1]) for i in at]


def _drop_weak_maxima(extrema: list[Extremum], first: float, threshold: float) -> list[Extremum]:
    """Of maxima without a real minimum between them keep the clearly higher one."""
    last_value = last_min = last_max = first
    min_seen, kept_max = False, None
    dropped: set[Extremum] = set()
    for extremum in extrema:
        y = extremum.value
        far = abs(y - last_value) >= threshold
        last_value = y
        if not extremum.is_max:
            if far:
                min_seen, last_min = True, y
            continue
        if not far and y - last_min < threshold:
            dropped.add(extremum)
            continue
        replaces = not far and y > CLEARLY_HIGHER * last_max
        if replaces and kept_max is not None:
            dropped.add(kept_max)
        if far or replaces or min_seen:
            last_max, kept_max = y, extremum
        else:
            dropped.add(extremum)
        min_seen = False
    return [extremum for extremum in extrema if extremum not in dropped]


def _drop_weak_minima(extrema: list[Extremum], first: float, threshold: float) -> list[Extremum]:
    last_max, kept = first, []
    for extremum in extrema:
        if extremum.is_max:
            last_max = extremum.value
        elif last_max - extremum.value < threshold:
            continue
        kept.append(extremum)
    return kept


def _alternating(extrema: list[Extremum]) -> list[Extremum]:
    """Of consecutive minima the lowest, of consecutive maxima the highest, the earlier one on ties."""
    kept: list[Extremum] = []
    for extremum in extrema:
        if not kept or kept[-1].is_max != extremum.is_max:
            kept.append(extremum)
        elif _beats(extremum, kept[-1]):
            kept[-1] = extremum
    return kept


def _beats(new: Extremum, old: Extremum) -> bool:
    return new.value > old.value if new.is_max else new.value < old.value


def _walk(first: float, extrema: list[Extremum]) -> tuple[list[float], list[float]]:
    """Rising and falling slopes; the contour's start is the first minimum and the first maximum."""
    last_max, last_min = Extremum(0, first, True), Extremum(0, first, False)
    rising, falling = [], []
    for extremum in extrema:
        if extremum.is_max:
            rising.append((extremum.value - last_min.value) / _seconds(last_min, extremum.position))
            last_max = extremum
        else:
            falling.append((last_max.value - extremum.value) / _seconds(last_max, extremum.position))
            last_min = extremum
    return rising, falling


def _tail(x: list[float], extrema: list[Extremum]) -> tuple[list[float], list[float]]:
    """What follows the last extremum: one slope, for the rising or for the falling sum."""
    if not extrema:
        slope = (x[-1] - x[0]) / len(x)  # per frame, not per second: so defined
        return [slope] if slope > 0 else [], [slope] if slope < 0 else []
    last = extrema[-1]  # never the last value of x
    slope = (x[-1] - last.value) / _seconds(last, len(x) - 1)
    return ([], [slope]) if last.is_max else ([slope], [])  # Q15: negative after a maximum


def _tail_like_the_others(x: list[float], extrema: list[Extremum]) -> tuple[list[float], list[float]]:
    """The same stretch in `corrected`: what goes down is falling, and positive."""
    last = extrema[-1] if extrema else Extremum(0, x[0], False)
    if last.position == len(x) - 1:
        return [], []
    slope = (x[-1] - last.value) / _seconds(last, len(x) - 1)
    return [slope] if slope > 0 else [], [-slope] if slope < 0 else []


def _seconds(start: Extremum, end: int) -> float:
    return (end - start.position) * HOP_S


def _mean_and_std(slopes: list[float], tail: list[float]) -> tuple[float, float]:
    """Mean of all; deviation of the slopes without the tail, over the count with it."""
    count = len(slopes) + len(tail)
    if count == 0:
        return 0.0, 0.0
    mean = (math.fsum(slopes) + math.fsum(tail)) / count
    return mean, math.sqrt(math.fsum((slope - mean) ** 2 for slope in slopes) / count)
