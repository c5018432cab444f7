"""Small numeric tools that several blocks share: rounding, local maxima, a parabola through three points."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


def round_half_away(value: float) -> int:
    """Nearest integer, halves away from zero (Python's own `round` takes the even one)."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def as_float32(values: NDArray[np.floating]) -> F32:
    """Rounded to what is stored between blocks: IEEE float32."""
    return values.astype(np.float32)


def frozen(values: F64) -> F64:
    """The same array, read-only: for tables that are computed once and shared."""
    values.flags.writeable = False
    return values


def local_maxima(values: NDArray[np.floating]) -> Bools:
    """(rows, n) -> mask of entries strictly above both neighbours; at an end, above the only one."""
    rising = values[:, 1:] > values[:, :-1]
    falling = values[:, :-1] > values[:, 1:]
    mask = np.ones(values.shape, dtype=np.bool_)
    mask[:, 1:] &= rising
    mask[:, :-1] &= falling
    return mask


def parabola_vertex(x: tuple[F64, F64, F64], y: tuple[F64, F64, F64]) -> tuple[F64, F64]:
    """Abscissa and height of the vertex of the parabola through three points, y[1] the highest."""
    left, right = x[0] - x[1], x[2] - x[1]
    slope_left, slope_right = (y[0] - y[1]) / left, (y[2] - y[1]) / right
    curvature = (slope_right - slope_left) / (right - left)
    slope = slope_left - curvature * left
    return x[1] - slope / (2 * curvature), y[1] - slope * slope / (4 * curvature)
