"""A recording on its way to 16 kHz, piece by piece: the filter of `voice.resample` over blocks at fixed places.

    resampler = Resampler(48000)
    for piece in pieces:
        use(resampler.feed(piece))
    use(resampler.finish())

However the pieces are cut, the joined results are the same to the bit: blocks start at whole multiples of ten
seconds, where input and output samples coincide at every integer rate. Memory: about two blocks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sottovoce.voice.resample import RATE_HZ, resample, taps_each_side

F64 = NDArray[np.float64]

BLOCK_S = 10


def to_16_khz(samples: F64, rate_hz: int) -> F64:
    """A whole recording, with the values that a Resampler gives for its pieces."""
    resampler = Resampler(rate_hz)
    start = resampler.feed(samples)
    rest = resampler.finish()
    return np.concatenate((start, rest)) if len(rest) else start


class Resampler:
    """One channel at `rate_hz` (8,000 to 192,000) -> 16 kHz. AudioRejected (`sample_rate`) outside of that."""

    def __init__(self, rate_hz: int) -> None:
        resample(np.zeros(0), rate_hz)  # refuses a rate that cannot be
        self._rate_hz = rate_hz
        self._block = BLOCK_S * rate_hz
        common = math.gcd(rate_hz, RATE_HZ)
        advance = rate_hz // common
        periods = -(-taps_each_side(rate_hz) // advance)
        self._before = periods * advance  # input samples before a block that enter it
        self._before_out = periods * (RATE_HZ // common)
        self._after = taps_each_side(rate_hz) + advance
        self._kept: F64 = np.zeros(self._before)  # starts `_before` samples before the next block

    def feed(self, samples: F64) -> F64:
        """(n,) the next samples -> (m,) what is complete at 16 kHz."""
        if self._rate_hz == RATE_HZ:
            return samples
        self._kept = np.concatenate((self._kept, samples))
        done = []
        while len(self._kept) >= self._before + self._block + self._after:
            piece = self._kept[: self._before + self._block + self._after]
            done.append(resample(piece, self._rate_hz)[self._before_out :][: BLOCK_S * RATE_HZ])
            self._kept = self._kept[self._block :].copy()
        return np.concatenate(done) if done else np.zeros(0)

    def finish(self) -> F64:
        """(m,) the rest; beyond its end the signal is taken as 0."""
        if self._rate_hz == RATE_HZ:
            return np.zeros(0)
        rest = resample(self._kept, self._rate_hz)[self._before_out :]
        self._kept = np.zeros(0)
        return rest
