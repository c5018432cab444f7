"""The cheapest path through the pitch candidates (specification 7.3).

States 0..5 are the candidate slots of a frame, 6 is "unvoiced". The oddities Q5, Q6 and Q7 of the reference
definition are kept: they are part of what `compat` means.
"""

from __future__ import annotations

import numpy as np

from sottovoce.voice.egemaps.numeric import F32, F64, Ints

UNVOICED = 6
STATES = 7
VOICING_THRESHOLD = 0.7
IMPOSSIBLE = 999.0
CHANGE = 10.0  # voiced <-> unvoiced
STAY_UNVOICED = 1.0  # Q7
GLIDE = 10.0  # weight of |q| and, Q6, of |q - q'|


def best_path(frequency_hz: F32, voicing: F32) -> tuple[Ints, int]:
    """(frames, 6) candidates -> (frames,) states, and how many last frames the survivors disagree on."""
    local = local_costs(frequency_hz.astype(np.float64), voicing.astype(np.float64))
    steps = transition_costs(frequency_hz.astype(np.float64))
    total, came_from = local[0], np.zeros((len(local), STATES), dtype=np.intp)
    states = np.arange(STATES)
    for t in range(1, len(local)):
        arriving = steps[t - 1] + total
        came_from[t] = arriving.argmin(axis=1)  # the lowest index wins ties
        total = arriving[states, came_from[t]] + local[t]
    return _traceback(came_from, int(total.argmin()))


def local_costs(frequency_hz: F64, voicing: F64) -> F64:
    """(frames, 7) cost of being in each state."""
    weak = voicing < VOICING_THRESHOLD
    costs = np.empty((len(voicing), STATES))
    costs[:, :UNVOICED] = 2 * (-np.log(np.clip(voicing, 0.01, 1.0)) + 4 * weak) + _range_cost(frequency_hz)
    costs[:, UNVOICED] = np.where(weak.all(axis=1), 0.0, 8.0)
    return costs


def transition_costs(frequency_hz: F64) -> F64:
    """(frames - 1, 7 to, 7 from) cost of each step; needs no path, so all frames are done at once."""
    before, now = frequency_hz[:-1], frequency_hz[1:]
    costs = np.full((len(now), STATES, STATES), CHANGE)
    costs[:, UNVOICED, UNVOICED] = STAY_UNVOICED
    previous = np.zeros(now.shape)  # Q5: q' of the pair evaluated before, for the same target
    previous[:1, 0] = 1.0
    for j in range(UNVOICED):
        valid = (now > 0) & (before[:, [j]] > 0)
        q = np.log(np.where(valid, now, 1.0) / np.where(valid, before[:, [j]], 1.0))
        costs[:, :UNVOICED, j] = np.where(valid, GLIDE * np.abs(q) + GLIDE * np.abs(q - previous), IMPOSSIBLE)
        previous = np.where(valid, q, previous)
    return costs


def _range_cost(f: F64) -> F64:
    """Dear below 100 Hz and above 350 Hz, dearest where there is no candidate."""
    return np.select(
        [f <= 0, f < 100, f < 350, f < 600],
        [np.full_like(f, 2.0), 1 - f / 100, np.zeros_like(f), (f - 350) / 250],
        default=1.2,
    )


def _traceback(came_from: Ints, best: int) -> tuple[Ints, int]:
    """The best survivor's states, and the number of last frames on which not all survivors agree."""
    path = np.empty(len(came_from), dtype=np.intp)
    survivors, undecided = np.arange(STATES), 0
    for t in range(len(came_from) - 1, -1, -1):
        path[t] = survivors[best]
        undecided += bool((survivors != survivors[0]).any())
        survivors = came_from[t][survivors]
    return path, undecided
