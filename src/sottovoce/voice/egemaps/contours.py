"""Smoothing over three frames, and which frames count as voiced (specification 11).

Masking happens before smoothing, so a value at the border of a voiced stretch is averaged with its own class only.
"""

from __future__ import annotations

import numpy as np

from sottovoce.voice.egemaps.numeric import F32, F64, Bools, as_float32


def smooth(values: F32) -> F32:
    """(frames, ...) mean of each value and its two neighbours; at the ends the value replaces the missing one."""
    before, here, after = _neighbours(values)
    return as_float32((before + here + after) / 3)


def smooth_nonzero(values: F32) -> F32:
    """Like `smooth`, but 0 stays 0 and only values other than 0 enter a mean."""
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
