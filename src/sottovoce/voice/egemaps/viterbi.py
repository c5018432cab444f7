"""The cheapest path through the pitch candidates (specification 7.3).

States 0..5 are the candidate slots of a frame, 6 is "unvoiced". The oddities Q5, Q6 and Q7 of the reference
definition are part of what `compat` means. In `corrected` a glide is compared with the glide before it on the same
path, with the weight 5, and staying unvoiced costs nothing.
"""

from __future__ import annotations

import numpy as np

from sottovoce.voice.egemaps import kernels
from sottovoce.voice.egemaps.numeric import F32, F64, Bools, Ints

UNVOICED = 6
STATES = 7
VOICING_THRESHOLD = 0.7
IMPOSSIBLE = 999.0
CHANGE = 10.0  # voiced <-> unvoiced
STAY_UNVOICED = 1.0  # Q7
GLIDE = 10.0  # weight of |q| and, Q6, of |q - q'|
BEND_CORRECTED = 5.0  # weight of |q - q'| in `corrected`


def best_path(frequency_hz: F32, voicing: F32, *, corrected: bool = False) -> tuple[Ints, int]:
    """(frames, 6) candidates -> (frames,) states, and how many last frames the survivors disagree on."""
    path = Path(corrected=corrected)
    decided = path.feed(frequency_hz, voicing)
    rest, undecided = path.finish()
    return np.concatenate((decided, rest)), undecided


class Path:
    """The same for candidates that come in blocks: a frame is decided when all survivors agree on it."""

    def __init__(self, *, corrected: bool = False) -> None:
        self._corrected = corrected
        self._total: F64 | None = None  # cost of the cheapest path to each state
        self._last: F64 = np.zeros((0, UNVOICED))  # candidates of the frame before
        self._last_glide: F64 = np.zeros(STATES)
        self._came_from: list[list[int]] = []  # of the undecided frames

    def feed(self, frequency_hz: F32, voicing: F32) -> Ints:
        """(frames, 6) the next candidates -> the states of all frames that this decides."""
        frequency = np.concatenate((self._last, frequency_hz.astype(np.float64)))
        local = local_costs(frequency_hz.astype(np.float64), voicing.astype(np.float64))
        first = self._total is None
        if first and len(local):
            self._total, local = local[0], local[1:]
            self._came_from.append([0] * STATES)
        if len(local):
            advance = self._advance_corrected if self._corrected else self._advance
            advance(frequency, local, first)
        self._last = frequency[-1:]
        return self._agreed()

    def finish(self) -> tuple[Ints, int]:
        """The states of the other frames, and how many of them the survivors disagree on."""
        if self._total is None:
            return np.zeros(0, dtype=np.intp), 0
        undecided = len(self._came_from)
        return self._traceback(undecided, int(self._total.argmin())), undecided

    def _advance(self, frequency: F64, local: F64, first: bool) -> None:
        steps, total, rows = transition_costs(frequency, first=first), self._total, np.arange(STATES)
        compiled = kernels.library()
        if compiled is not None and total is not None:
            self._total, came_from = compiled.advance(steps, local, total)
            self._came_from += came_from.tolist()
            return
        for step, cost in zip(steps, local, strict=True):
            step += total
            best = step.argmin(axis=1)  # the lowest index wins ties
            total = step[rows, best] + cost
            self._came_from.append(best.tolist())
        self._total = total

    def _advance_corrected(self, frequency: F64, local: F64, _first: bool) -> None:
        glides, valid = _glides(frequency)
        steps = np.full((len(glides), STATES, STATES), CHANGE)
        steps[:, UNVOICED, UNVOICED] = 0.0
        steps[:, :UNVOICED, :UNVOICED] = np.where(valid, GLIDE * np.abs(glides), IMPOSSIBLE)
        weights, wide = BEND_CORRECTED * valid, np.zeros((len(glides), STATES, STATES))
        wide[:, :UNVOICED, :UNVOICED] = glides
        total, last, rows = self._total, self._last_glide, np.arange(STATES)
        for step, glide, weight, cost in zip(steps, wide, weights, local, strict=True):
            step += total
            bend = np.abs(glide[:UNVOICED, :UNVOICED] - last[:UNVOICED])
            step[:UNVOICED, :UNVOICED] += weight * bend
            best = step.argmin(axis=1)
            total, last = step[rows, best] + cost, glide[rows, best]
            self._came_from.append(best.tolist())
        self._total, self._last_glide = total, last

    def _agreed(self) -> Ints:
        """The states of the frames up to the last one on which all survivors agree; forgets those frames."""
        survivors = set(range(STATES))
        for position in range(len(self._came_from) - 1, -1, -1):
            if len(survivors) == 1:
                decided = self._traceback(position + 1, survivors.pop())
                del self._came_from[: position + 1]
                return decided
            survivors = {self._came_from[position][state] for state in survivors}
        return np.zeros(0, dtype=np.intp)

    def _traceback(self, count: int, state: int) -> Ints:
        """The states of the first `count` undecided frames, of which the last is in `state`."""
        path = np.empty(count, dtype=np.intp)
        for position in range(count - 1, -1, -1):
            path[position] = state
            state = self._came_from[position][state]
        return path


def _glides(frequency_hz: F64) -> tuple[F64, Bools]:
    """(frames - 1, 6 to, 6 from) natural logarithm of the ratio of two candidates, 0 where one is missing."""
    before, now = frequency_hz[:-1, None, :], frequency_hz[1:, :, None]
    valid = (before > 0) & (now > 0)
    return np.log(np.where(valid, now, 1.0) / np.where(valid, before, 1.0)), valid


def local_costs(frequency_hz: F64, voicing: F64) -> F64:
    """(frames, 7) cost of being in each state."""
    weak = voicing < VOICING_THRESHOLD
    costs = np.empty((len(voicing), STATES))
    costs[:, :UNVOICED] = 2 * (-np.log(np.clip(voicing, 0.01, 1.0)) + 4 * weak) + _range_cost(frequency_hz)
    costs[:, UNVOICED] = np.where(weak.all(axis=1), 0.0, 8.0)
    return costs


def transition_costs(frequency_hz: F64, *, first: bool = True) -> F64:
    """(frames - 1, 7 to, 7 from) cost of each step; needs no path, so all frames are done at once."""
    now = frequency_hz[1:]
    costs = np.full((len(now), STATES, STATES), CHANGE)
    costs[:, UNVOICED, UNVOICED] = STAY_UNVOICED
    previous = np.zeros(now.shape)  # Q5: q' of the pair evaluated before, for the same target
    previous[:1, 0] = first  # 1 at the very first step of a recording
    glides, valid = _glides(frequency_hz)
    bends = np.empty_like(glides)
    for j in range(UNVOICED):
        bends[:, :, j] = glides[:, :, j] - previous
        previous = np.where(valid[:, :, j], glides[:, :, j], previous)
    voiced = GLIDE * np.abs(glides) + GLIDE * np.abs(bends)
    costs[:, :UNVOICED, :UNVOICED] = np.where(valid, voiced, IMPOSSIBLE)
    return costs


def _range_cost(f: F64) -> F64:
    """Dear below 100 Hz and above 350 Hz, dearest where there is no candidate."""
    return np.select(
        [f <= 0, f < 100, f < 350, f < 600],
        [np.full_like(f, 2.0), 1 - f / 100, np.zeros_like(f), (f - 350) / 250],
        default=1.2,
    )
