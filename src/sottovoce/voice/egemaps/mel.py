"""Mel bands, loudness and MFCC of the 20 ms stream (specification 5).

Sources: HTK Book (mel bank, cepstrum, liftering); Hermansky 1990 (equal loudness, compression).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sottovoce.voice.egemaps.frames import FULL_SCALE, Stream
from sottovoce.voice.egemaps.numeric import F32, F64, as_float32, frozen, round_half_away

BANDS = 26
COEFFICIENTS = 4
LOWEST_HZ = 20.0
HIGHEST_HZ = 8000.0
LIFTER = 22
BAND_FLOOR = 9.3e-10
LOUDNESS_EXPONENT = 0.33


def mel_bands(power: F32, stream: Stream) -> F32:
    """(frames, bins) power -> (frames, 26) energies of triangular filters, float32."""
    return as_float32(power.astype(np.float64) @ mel_weights(stream))


def loudness(bands: F32, stream: Stream) -> F32:
    """(frames, 26) -> (frames,) mean of the equal-loudness weighted, compressed bands."""
    weighted = np.maximum(bands, BAND_FLOOR) * _equal_loudness(_centres_hz(stream))
    return as_float32(np.mean(weighted**LOUDNESS_EXPONENT, axis=1))


def mfcc(bands: F32) -> F32:
    """(frames, 26) -> (frames, 4): liftered cepstral coefficients 1 to 4."""
    log_bands = np.log(np.maximum(FULL_SCALE**2 * bands.astype(np.float64), 1.0))
    return as_float32(log_bands @ _cosines())


@lru_cache(maxsize=8)
def mel_weights(stream: Stream) -> F64:
    """(bins, 26) weight of each bin in each band; each bin lies under at most two triangles."""
    edges = _edges_mel(stream)
    weights = np.zeros((stream.bins, BANDS))
    first, last = _bin_range(stream)
    for k in range(first + 1, last):
        position = _mel(float(stream.frequencies_hz()[k]))
        upper = int(np.searchsorted(edges, position))
        share = float((edges[upper] - position) / (edges[upper] - edges[upper - 1]))
        if upper >= 2:
            weights[k, upper - 2] = share
        if upper - 1 < BANDS:
            weights[k, upper - 1] = 1 - share
    return frozen(weights)


def _bin_range(stream: Stream) -> tuple[int, int]:
    """The two bins between which (both excluded) bins contribute."""
    last = round_half_away(_highest_hz(stream) * stream.duration_s)
    return round_half_away(LOWEST_HZ * stream.duration_s), min(last, stream.bins)


def _highest_hz(stream: Stream) -> float:
    return min(HIGHEST_HZ, stream.sample_rate_hz / 2)


def _edges_mel(stream: Stream) -> F64:
    """(28,) lower edge, 26 centres, upper edge; float32 precision."""
    low, high = _mel(LOWEST_HZ), _mel(_highest_hz(stream))
    edges = low + np.arange(BANDS + 2) * (high - low) / (BANDS + 1)
    return edges.astype(np.float32).astype(np.float64)


def _centres_hz(stream: Stream) -> F64:
    return 700 * (np.exp(_edges_mel(stream)[1:-1] / 1127) - 1)


def _mel(frequency_hz: float) -> float:
    return 1127 * float(np.log(1 + frequency_hz / 700))


def _equal_loudness(frequency_hz: NDArray[np.float64]) -> F64:
    """Hermansky's approximation of the 40 dB curve, with the extra pole above 5 kHz."""
    w2 = (2 * np.pi * frequency_hz) ** 2
    w7 = (2 * np.pi * frequency_hz) ** 7
    curve: F64 = 1e32 * (w2 + 56.8e6) * w2**2 / ((w2 + 6.3e6) ** 2 * (w2 + 0.38e9) * (w7 + 1.7e31))
    return curve


@lru_cache(maxsize=1)
def _cosines() -> F64:
    """(26, 4) cosine transform with the lifter folded in."""
    i = np.arange(1, COEFFICIENTS + 1)
    lifter = 1 + LIFTER / 2 * np.sin(np.pi * i / LIFTER)
    angles = np.pi * i / BANDS * (np.arange(BANDS)[:, None] + 0.5)
    return frozen(np.sqrt(2 / BANDS) * lifter * np.cos(angles))
