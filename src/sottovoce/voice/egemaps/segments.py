"""Voiced and unvoiced segments of the pitch contour (specification 13).

Q16: in `compat` each is one frame short, a run of n frames counts as n - 1; in `corrected` as n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sottovoce.voice.egemaps.numeric import Bools

HOP_S = 0.01
SHORTEST = 3  # frames that open a segment
GAP = 2  # missed frames that end one
MOST = 1000


@dataclass(frozen=True, slots=True)
class Segments:
    per_second: float
    mean_s: float
    std_s: float


def measure_segments(hits: Bools, *, corrected: bool = False) -> Segments:
    """(frames,) mask of one class -> rate, mean length and deviation of its segments; 0 where there are none."""
    lengths = np.array(find_segments(hits.tolist())[:MOST], dtype=np.float64) + corrected
    if len(lengths) == 0:
        return Segments(0.0, 0.0, 0.0)
    rate = len(lengths) / (HOP_S * len(hits))
    return Segments(rate, float(np.mean(lengths)) * HOP_S, float(np.std(lengths)) * HOP_S)


def find_segments(hits: list[bool]) -> list[int]:
    """Lengths in frames, as `compat` counts them: one short."""
    lengths: list[int] = []
    start, count, misses = 0, 0, 0
    for i, hit in enumerate(hits):
        if hit:
            start = start if count else i
            count, misses = count + 1, 0
        elif count:
            misses += 1
            if misses == GAP:
                if count >= SHORTEST:
                    lengths.append(i - GAP - start)
                count = misses = 0
    if count >= SHORTEST:
        lengths.append(len(hits) - 1 - misses - start)
    return lengths
