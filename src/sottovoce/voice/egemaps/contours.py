"""Smoothing over three frames, and which frames count as voiced (specification 11).

Masking happens before smoothing, so a value at the border of a voiced stretch is averaged with its own class only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sottovoce.voice.egemaps.numeric import F32, F64, Bools, as_float32

BLOCK = 1 << 14  # frames smoothed at once: the wide copies of a long recording would fill the memory


def smooth(values: F32) -> F32:
    """(frames, ...) mean of each value and its two neighbours; at the ends the value replaces the missing one."""
    return _in_blocks(_smoothed, values)


def smooth_nonzero(values: F32) -> F32:
    """Like `smooth`, but 0 stays 0 and only values other than 0 enter a mean."""
    return _in_blocks(_smoothed_nonzero, values)


def _in_blocks(rule: Callable[[F32], F32], values: F32) -> F32:
    """A rule that looks one frame to each side, over blocks that overlap by those."""
    if len(values) <= BLOCK:
        return rule(values)
    result = np.empty(values.shape, dtype=np.float32)
    for start in range(0, len(values), BLOCK):
        first = max(0, start - 1)
        done = rule(values[first : start + BLOCK + 1])[start - first :][:BLOCK]
        result[start : start + len(done)] = done
    return result


def _smoothed(values: F32) -> F32:
    before, here, after = _neighbours(values)
    return as_float32((before + here + after) / 3)


def _smoothed_nonzero(values: F32) -> F32:
    before, here, after = _neighbours(values)
    count = 1.0 + (before != 0) + (after != 0)
    mean = (before + here + after) / count
    return as_float32(np.where(values != 0, mean, 0.0))


def only_where(values: F32, mask: Bools) -> F32:
    """(frames, ...) values, 0 in the frames outside the mask."""
    wide = mask.reshape(mask.shape + (1,) * (values.ndim - 1))
    return np.where(wide, values, np.float32(0))


def _neighbours(values: F32) -> tuple[F64, F64, F64]:
    wide = values.astype(np.float64)
    before = np.concatenate((wide[:1], wide[:-1]))
    after = np.concatenate((wide[1:], wide[-1:]))
    return before, wide, after
