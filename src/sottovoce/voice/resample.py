"""Mono at any integer rate of 8..192 kHz -> mono at 16 kHz, by our own linear-phase FIR filter.

The filter is one table of a Kaiser-windowed sinc, `prototype()`, whose time unit is one sample of the slower of
the two rates; for each output sample its taps are read from the table by cubic interpolation and scaled to a sum
of 1. The table holds integers, so `vectors/resampler` can hand the identical filter to other languages.
Flat within 0.001 dB to 0.45 of the slower rate, below -85 dB from 0.55 of it (asserted by the tests).

Source: Kaiser 1974 (window); Smith and Gossett 1984 (interpolated filter table).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sottovoce.errors import AudioRejected

F64 = NDArray[np.float64]

RATE_HZ = 16000
MINIMUM_RATE_HZ, MAXIMUM_RATE_HZ = 8000, 192000

HALF_WIDTH = 29  # samples of the slower rate on each side
PER_SAMPLE = 64  # table entries per such sample
KAISER_BETA = 8.96  # 90 dB: 0.1102 (A - 8.7)
SCALE = 1 << 31  # one table step is 1 / SCALE
BLOCK_TAPS = 1 << 18  # taps computed at once: bounds the memory
KEPT_TAPS = 1 << 16  # taps of a rate that are kept for the next recording
FEW_PHASES = 16  # up to here one product of matrices does it
ROW_OUTPUTS = 64  # outputs of one row of that product
ROWS = 512  # rows at once: bounds the memory


def resample(samples: F64, rate_hz: int) -> F64:
    """(n,) at `rate_hz` -> (ceil(n * 16000 / rate_hz),) at 16 kHz, without delay; 16 kHz is returned as it is.

    Output m is the signal at the time m / 16000 s; beyond its ends the signal is taken as 0. Raises AudioRejected
    (reason `sample_rate`) for a rate outside 8,000..192,000 Hz.
    """
    if not MINIMUM_RATE_HZ <= rate_hz <= MAXIMUM_RATE_HZ:
        raise AudioRejected("The sample rate is outside 8,000 to 192,000 Hz.", reason="sample_rate")
    if rate_hz == RATE_HZ:
        return samples
    if RATE_HZ // math.gcd(rate_hz, RATE_HZ) <= FEW_PHASES:
        return _by_rows(samples, rate_hz)
    return _by_phases(samples, rate_hz)


def _by_rows(samples: F64, rate_hz: int) -> F64:
    """Many outputs from one stretch of input at once, as one product of matrices: for the simple ratios."""
    advance, outputs, matrix = _row_map(rate_hz)
    count, length = -(-len(samples) * RATE_HZ // rate_hz), len(matrix)
    rows = -(-count // outputs)
    before = taps_each_side(rate_hz) - 1
    padded = np.zeros(max(max(rows - 1, 0) * advance + length, before + len(samples)))
    padded[before : before + len(samples)] = samples
    windows, result = sliding_window_view(padded, length)[::advance], np.empty((rows, outputs))
    for start in range(0, rows, ROWS):
        stop = min(start + ROWS, rows)
        np.matmul(np.ascontiguousarray(windows[start:stop]), matrix, out=result[start:stop])
    return result.reshape(-1)[:count]


def _by_phases(samples: F64, rate_hz: int) -> F64:
    """All outputs that share their taps at once, one phase after the other."""
    common = math.gcd(rate_hz, RATE_HZ)
    phases, advance = RATE_HZ // common, rate_hz // common
    reach = taps_each_side(rate_hz)
    padded = np.pad(samples, (reach - 1, reach + advance))
    result = np.empty(-(-len(samples) * RATE_HZ // rate_hz))
    windows = sliding_window_view(padded, 2 * reach)
    step, distinct = max(1, BLOCK_TAPS // (2 * reach)), min(phases, len(result))
    for start in range(0, distinct, step):
        stop = min(start + step, distinct)
        whole = 2 * reach * phases <= KEPT_TAPS
        taps_of = _all_taps(rate_hz)[start:stop] if whole else filter_taps(np.arange(start, stop), rate_hz)
        for m, taps in zip(range(start, stop), taps_of, strict=True):
            phase = result[m::phases]
            np.matmul(windows[m * advance // phases :: advance][: len(phase)], taps, out=phase)
    return result


@lru_cache(maxsize=16)
def _row_map(rate_hz: int) -> tuple[int, int, F64]:
    """Input samples from row to row, outputs per row, and (inputs, outputs) the taps, shifted from output to output."""
    common = math.gcd(rate_hz, RATE_HZ)
    phases, advance = RATE_HZ // common, rate_hz // common
    repeats = max(1, ROW_OUTPUTS // phases)
    outputs = np.arange(phases * repeats)
    taps, start = filter_taps(outputs, rate_hz), outputs * advance // phases
    matrix = np.zeros((int(start[-1]) + taps.shape[1], len(outputs)))
    for m in outputs.tolist():
        matrix[start[m] : start[m] + taps.shape[1], m] = taps[m]
    matrix.flags.writeable = False
    return advance * repeats, len(outputs), matrix


@lru_cache(maxsize=16)
def _all_taps(rate_hz: int) -> F64:
    """(phases, 2 * reach) the taps of every phase, for rates with not too many of them."""
    taps = filter_taps(np.arange(RATE_HZ // math.gcd(rate_hz, RATE_HZ)), rate_hz)
    taps.flags.writeable = False
    return taps


def taps_each_side(rate_hz: int) -> int:
    """Input samples on each side of an output's time that enter it."""
    return math.ceil(HALF_WIDTH * rate_hz / min(rate_hz, RATE_HZ))


def filter_taps(outputs: NDArray[np.integer], rate_hz: int) -> F64:
    """(k,) output indices -> (k, 2 * reach) taps; the first belongs to input floor(m * rate / 16000) - reach + 1."""
    reach = taps_each_side(rate_hz)
    fraction = (outputs * rate_hz % RATE_HZ) / RATE_HZ
    distance = np.abs(fraction[:, None] - np.arange(1 - reach, reach + 1))
    taps = _interpolated(distance * (min(rate_hz, RATE_HZ) / rate_hz))
    scaled: F64 = taps / taps.sum(axis=1, keepdims=True)
    return scaled


@lru_cache(maxsize=1)
def prototype() -> NDArray[np.int64]:
    """(HALF_WIDTH * PER_SAMPLE + 1,) one side of the filter, in steps of 1 / SCALE; its last entry is 0."""
    t = np.arange(HALF_WIDTH * PER_SAMPLE + 1) / PER_SAMPLE
    window = np.i0(KAISER_BETA * np.sqrt(1 - (t / HALF_WIDTH) ** 2)) / np.i0(KAISER_BETA)
    table: NDArray[np.int64] = np.rint(SCALE * np.sinc(t) * window).astype(np.int64)
    table[-1] = 0
    table.flags.writeable = False
    return table


def _interpolated(distance: F64) -> F64:
    """Cubic (four-point Lagrange) reading of the table; it is even about 0 and 0 beyond its end."""
    table = prototype() / SCALE
    even = np.concatenate((table[1:2], table, np.zeros(3)))
    position = np.minimum(distance * PER_SAMPLE, len(table) - 1.0)
    cell = np.floor(position).astype(np.intp)
    x = position - cell
    before, here, after, beyond = (even[cell + offset] for offset in range(4))
    result: F64 = (
        before * (-x * (x - 1) * (x - 2) / 6)
        + here * ((x + 1) * (x - 1) * (x - 2) / 2)
        + after * (-(x + 1) * x * (x - 2) / 2)
        + beyond * ((x + 1) * x * (x - 1) / 6)
    )
    return result
