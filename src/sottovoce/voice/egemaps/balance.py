"""Spectral balance of the 20 ms stream: ratios, slopes, flux (specification 6).

Sources: Hammarberg et al. 1980; Eyben et al. 2016 (GeMAPS). In `corrected` a flat spectrum has the slope 0 (Q3).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sottovoce.voice.egemaps.frames import Stream
from sottovoce.voice.egemaps.numeric import F32, F64, as_float32, frozen

POWER_FLOOR = 1e-14  # -140 dB
SLOPE_BANDS_HZ = ((0.0, 500.0), (500.0, 1500.0))


def alpha_ratio(power: F32, stream: Stream) -> F32:
    """(frames,) dB: energy of 1-5 kHz over energy below 1 kHz; 0 where the latter is 0."""
    one_khz, end = _bins_below(stream, 1000), _bins_up_to(stream, 5000)
    low = power[:, :one_khz].sum(axis=1, dtype=np.float64)
    high = power[:, one_khz:end].sum(axis=1, dtype=np.float64)
    return _ratio_db(high, low)


def hammarberg_index(power: F32, stream: Stream) -> F32:
    """(frames,) dB: strongest bin below 2 kHz over strongest bin of 2-5 kHz; 0 where the latter is 0."""
    two_khz, end = _bins_below(stream, 2000), _bins_up_to(stream, 5000)
    low = power[:, :two_khz].max(axis=1)
    high = power[:, two_khz:end].max(axis=1)
    return _ratio_db(low.astype(np.float64), high.astype(np.float64))


def spectral_slopes(power: F32, stream: Stream, *, corrected: bool = False) -> F32:
    """(frames, 2) dB/Hz: regression slopes of the log spectrum over 0-500 and 500-1500 Hz."""
    end = _bins_up_to(stream, SLOPE_BANDS_HZ[-1][1])  # beyond, the weights are 0
    # In `corrected` the weights add up to 0: counted from the floor, digital silence is exactly 0, not the rounding
    # of a sum, which differs with the number of frames that are multiplied at once.
    origin = POWER_FLOOR if corrected else 1.0
    levels_db = 10 * np.log10(np.maximum(power[:, :end].astype(np.float64), POWER_FLOOR) / origin)
    return as_float32(levels_db @ slope_weights(stream, corrected=corrected)[:end])


def spectral_flux(magnitude: F32, stream: Stream, before: F32 | None = None) -> F32:
    """(frames,) root mean square change of the magnitudes below 5 kHz since the frame before; 0 at first.

    before: (1, bins) of the frame before these, where there is one.
    """
    count = _bins_below(stream, 5000)
    start = magnitude[:1] if before is None else before
    below = np.concatenate((start, magnitude))[:, :count].astype(np.float64)
    return as_float32(np.sqrt(np.mean(np.diff(below, axis=0) ** 2, axis=1)))


@lru_cache(maxsize=8)
def slope_weights(stream: Stream, *, corrected: bool = False) -> F64:
    """(bins, 2): the regression is linear in the levels, so each slope is one weighted sum of them."""
    return frozen(np.column_stack([_slope_weights(stream, *band, corrected) for band in SLOPE_BANDS_HZ]))


def _slope_weights(stream: Stream, low_hz: float, high_hz: float, corrected: bool) -> F64:
    f = stream.frequencies_hz()
    above = int(np.searchsorted(f, low_hz, side="right"))
    reach = int(np.searchsorted(f, high_hz, side="left"))
    left, right = above - 1, reach if f[reach] == high_hz else reach - 1
    edge = np.zeros(stream.bins)
    edge[left : right + 1] = 1.0
    edge[left] = (f[above] - low_hz) / (f[above] - f[above - 1]) or 1.0
    edge[right] = (high_hz - f[reach - 1]) / (f[reach] - f[reach - 1]) or 1.0
    count = right - left + corrected  # Q3: without the correction one less than the points used
    sum_f, sum_ff = np.sum(edge * f), np.sum((edge * f) ** 2)
    weights: F64 = edge * (count * f - sum_f) / (count * sum_ff - sum_f**2)
    return weights


@lru_cache(maxsize=32)
def _bins_below(stream: Stream, frequency_hz: float) -> int:
    return int(np.searchsorted(stream.frequencies_hz(), frequency_hz, side="left"))


@lru_cache(maxsize=32)
def _bins_up_to(stream: Stream, frequency_hz: float) -> int:
    return int(np.searchsorted(stream.frequencies_hz(), frequency_hz, side="right"))


def _ratio_db(numerator: F64, denominator: F64) -> F32:
    """10 log10 of a ratio with the floor on the numerator; 0 where the denominator is 0."""
    present = denominator > 0
    safe = np.where(present, denominator, 1.0)
    return as_float32(np.where(present, 10 * np.log10(np.maximum(numerator, POWER_FLOOR) / safe), 0.0))
