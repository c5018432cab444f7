"""Music or speech? How steadily the strongest partials of a recording sound: speech glides, instruments stand still.

    meter = SteadyTones()
    meter.feed(signal)               # 16 kHz, any number of times
    share = meter.result()           # 0..1, or None where there is too little to say

In a spectrogram a note is a level bar, a vowel is not. Peaks of 128 ms spectra are marked; in each block of 2.6 s
the five bins that are marked most often are taken, and the mean share of frames in which they are is the value of the
block. The value of a recording is the median of its blocks. Measured on real speech and made music by
`scripts/gate_thresholds.py`; the table is in docs/reference/quality-gate.md.

Source of the idea: Seyerlehner, Pohle, Schedl and Widmer 2007, "Automatic music detection in television productions"
(continuous frequency activation); window, peak rule and values here are our own.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import median

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

WINDOW, HOP = 2048, 1024  # samples at 16 kHz: 128 and 64 ms; bins are 7.8 Hz apart
BLOCK_FRAMES = 40  # 2.6 s
LEAST_FRAMES = 16  # 1.1 s: a shorter recording is not judged
TONES = 5
LOWEST_BIN, HIGHEST_BIN = 12, 506  # 94 to 3,953 Hz
AROUND = 6  # bins on each side of which the mean level is taken
PROMINENCE_DB = 9.0  # a peak stands out of that mean
FLOOR_DB = -64.0  # a full-scale sine is 0 dB


class SteadyTones:
    """One recording at 16 kHz that comes in pieces; the result does not depend on how it is cut."""

    def __init__(self) -> None:
        self._kept: F32 = np.zeros(0, dtype=np.float32)
        self._blocks: list[float] = []

    def feed(self, signal: F64) -> None:
        """(n,) the next samples, -1..1."""
        self._kept = np.concatenate((self._kept, signal.astype(np.float32)))
        reach = (BLOCK_FRAMES - 1) * HOP + WINDOW
        while len(self._kept) >= reach:
            self._blocks.append(block_value(self._kept[:reach]))
            self._kept = self._kept[BLOCK_FRAMES * HOP :].copy()

    def result(self) -> float | None:
        """0..1 after the last piece; None for less than 1.1 s."""
        frames = 1 + (len(self._kept) - WINDOW) // HOP
        blocks = list(self._blocks)
        if frames >= (BLOCK_FRAMES // 2 if blocks else LEAST_FRAMES):
            blocks.append(block_value(self._kept))
        # Not numpy's median: it imports numpy.ma when it is first called, which a sealed child may not.
        return median(blocks) if blocks else None


def steady_tones(signal: F64) -> float | None:
    """The value of a whole recording, (n,) at 16 kHz."""
    meter = SteadyTones()
    meter.feed(signal)
    return meter.result()


def block_value(signal: F32) -> float:
    """(n,) at least one window -> mean share of frames in which the five steadiest partials sound."""
    marked = peaks(levels_db(signal))
    near = marked.copy()  # a partial may lean to the bin beside it
    near[:, 1:] |= marked[:, :-1]
    near[:, :-1] |= marked[:, 1:]
    share = near.mean(axis=0)
    total = 0.0
    for _ in range(TONES):
        at = int(share.argmax())
        total += float(share[at])
        share[max(0, at - 3) : at + 4] = 0.0
    return total / TONES


def levels_db(signal: F32) -> F32:
    """(n,) -> (frames, bins) levels of windowed spectra; a full-scale sine is about 0 dB."""
    frames = sliding_window_view(signal, WINDOW)[::HOP]
    magnitude = np.abs(np.fft.rfft(frames * _window(), axis=1)[:, : HIGHEST_BIN + AROUND + 1])
    return np.asarray(20 * np.log10(magnitude + 1e-6), dtype=np.float32)


def peaks(level_db: F32) -> NDArray[np.bool_]:
    """(frames, bins) -> (frames, HIGHEST_BIN - LOWEST_BIN): where a partial stands out."""
    low, high, width = LOWEST_BIN, HIGHEST_BIN, 2 * AROUND + 1
    here = level_db[:, low:high]
    sums = np.cumsum(np.pad(level_db.astype(np.float64), ((0, 0), (1, 0))), axis=1)
    mean = (sums[:, low + AROUND + 1 : high + AROUND + 1] - sums[:, low - AROUND : high - AROUND]) / width
    top = (here > level_db[:, low - 1 : high - 1]) & (here >= level_db[:, low + 1 : high + 1])
    marked: NDArray[np.bool_] = top & (here > mean + PROMINENCE_DB) & (here > FLOOR_DB)
    return marked


@lru_cache(maxsize=1)
def _window() -> F32:
    """Hann, scaled so that a full-scale sine in the middle of a bin has the magnitude 1."""
    window = np.hanning(WINDOW)
    return np.asarray(window / (window.sum() / 2), dtype=np.float32)
