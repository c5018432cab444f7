"""Fundamental frequency: subharmonic summation, candidates, path, energy gate (specification 7.2 to 7.4).

Source: Hermes 1988.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sottovoce.voice.egemaps import kernels
from sottovoce.voice.egemaps.frames import Stream
from sottovoce.voice.egemaps.numeric import F32, F64, Bools, Ints, as_float32, parabola_vertex
from sottovoce.voice.egemaps.octave import OctaveAxis, octave_axis, octave_spectrum
from sottovoce.voice.egemaps.viterbi import Path

HARMONICS = 15
COMPRESSION = 0.85
CANDIDATES = 6
LOWEST_HZ, HIGHEST_HZ = 55.0, 1000.0
RMS_GATE = 0.001
REFERENCE_HZ = 27.5


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Up to six candidates per frame, packed to the left; what is missing is 0."""

    frequency_hz: F32  # (frames, 6)
    voicing: F32  # (frames, 6), 0..1


@dataclass(frozen=True, slots=True, eq=False)
class Pitch:
    """The decided contour."""

    f0_hz: F32  # (frames,), 0 where unvoiced
    undecided: int  # frames at the end that an online decoder would still hold (specification 7.3)

    @property
    def voiced(self) -> Bools:
        return self.f0_hz > 0

    @property
    def semitones(self) -> F32:
        """(frames,) above 27.5 Hz, 0 where unvoiced."""
        safe = np.where(self.voiced, self.f0_hz, REFERENCE_HZ).astype(np.float64)
        return as_float32(12 * np.log2(safe / REFERENCE_HZ))


def track(windowed: F32, magnitude: F32, stream: Stream, *, corrected: bool = False) -> Pitch:
    """Gaussian-windowed 60 ms frames and their magnitudes -> the F0 contour."""
    tracker = Tracker(stream, corrected=corrected)
    decided = tracker.feed(windowed, magnitude)
    rest, undecided = tracker.finish()
    return Pitch(np.concatenate((decided, rest)), undecided)


class Tracker:
    """The F0 contour of frames that come in blocks."""

    def __init__(self, stream: Stream, *, corrected: bool = False) -> None:
        self._stream, self._corrected = stream, corrected
        self._path = Path(corrected=corrected)
        self._waiting: F32 = np.zeros((0, CANDIDATES + 1), dtype=np.float32)

    def feed(self, windowed: F32, magnitude: F32) -> F32:
        """The next frames -> F0 of all frames that this decides, 0 where unvoiced."""
        spectrum = octave_spectrum(magnitude, self._stream, corrected=self._corrected)
        candidates = find_candidates(summation(spectrum, self._stream), self._stream)
        choices = np.zeros((len(windowed), CANDIDATES + 1), dtype=np.float32)  # the last one is "unvoiced"
        loud = np.sqrt(np.mean(windowed.astype(np.float64) ** 2, axis=1)) > RMS_GATE
        choices[loud, :CANDIDATES] = candidates.frequency_hz[loud]
        self._waiting = np.concatenate((self._waiting, choices))
        return self._chosen(self._path.feed(candidates.frequency_hz, candidates.voicing))

    def finish(self) -> tuple[F32, int]:
        """F0 of the other frames; how many of them an online decoder would still hold."""
        states, undecided = self._path.finish()
        return self._chosen(states), undecided

    def _chosen(self, states: Ints) -> F32:
        f0_hz = self._waiting[np.arange(len(states)), states]
        self._waiting = self._waiting[len(states) :]
        return f0_hz


def summation(spectrum: F32, stream: Stream) -> F32:
    """(frames, n) octave spectrum -> its subharmonic sum of 15 compressed, shifted copies."""
    shifts, factors = _copies(stream)
    compiled = kernels.library()
    if compiled is not None:
        return compiled.summation(spectrum, shifts, factors)
    total, shifted = spectrum.copy(), np.empty_like(spectrum)
    for shift, factor in zip(shifts.tolist(), factors, strict=True):
        room = shifted[:, :-shift]
        np.multiply(spectrum[:, shift:], factor, out=room)
        total[:, :-shift] += room
    total /= np.float32(HARMONICS)
    positive: F32 = np.maximum(total, np.float32(0), out=total)
    return positive


@lru_cache(maxsize=8)
def _copies(stream: Stream) -> tuple[Ints, F32]:
    """(14,) points by which the copies are shifted down, and their factors."""
    harmonic = np.arange(2, HARMONICS + 1)
    per_octave = float(np.float32(octave_axis(stream).points_per_octave))
    shifts = (per_octave * np.log2(harmonic)).astype(np.intp)
    return shifts, as_float32(COMPRESSION ** (harmonic - 1.0))


def find_candidates(total: F32, stream: Stream) -> Candidates:
    """(frames, n) subharmonic sum -> the six strongest peaks, refined, limited to 55..1000 Hz."""
    frequency, score = _refined_peaks(total, octave_axis(stream))
    mean = np.mean(total, axis=1, dtype=np.float64, keepdims=True)
    sound = (score > mean) & (score > 0)
    voicing = np.where(sound, 1 - mean / np.where(sound, score, 1.0), 0.0)
    keep = (frequency >= LOWEST_HZ) & (frequency <= HIGHEST_HZ)
    order = np.argsort(~keep, axis=1, kind="stable")
    packed = (np.take_along_axis(np.where(keep, a, 0.0), order, axis=1) for a in (frequency, voicing, score))
    return _strongest_first(*packed)


def _refined_peaks(total: F32, axis: OctaveAxis) -> tuple[F64, F64]:
    """(frames, 6) frequency and score of the largest peaks, strongest first; 0 where there is none."""
    compiled = kernels.library()
    highest = compiled.highest(total) if compiled is not None else _highest(total)
    frequency, score = np.zeros((2, *highest.shape))
    row, slot = np.nonzero(highest >= 0)
    at = highest[row, slot]
    points = axis.points.astype(np.float32).astype(np.float64)
    x = (points[at - 1], points[at], points[at + 1])
    y = tuple(total[row, at + offset].astype(np.float64) for offset in (-1, 0, 1))
    vertex, height = parabola_vertex(x, (y[0], y[1], y[2]))
    frequency[row, slot], score[row, slot] = np.exp2(vertex), height
    return frequency, score


def _highest(total: F32) -> Ints:
    """(frames, 6) positions of the largest inner peaks, strongest first, the first on ties; -1 where there is none."""
    rest = np.where(_peaks(total), total, np.float32(0))
    rows = np.arange(len(total))
    highest = np.empty((len(total), CANDIDATES), dtype=np.intp)
    for slot in range(CANDIDATES):
        at = np.argmax(rest, axis=1)
        highest[:, slot] = np.where(rest[rows, at] > 0, at, -1)
        rest[rows, at] = 0
    return highest


def _peaks(total: F32) -> Bools:
    """(frames, n) mask of the points strictly above what is before them and what is after them; not the ends.

    Two equal points at the top of a rise and a fall count as one peak, the first of them. Specification 7.2 asks for
    more than both neighbours, but the sum is float32, where the two highest points of a broad low peak are now and
    then equal by rounding alone: the strict rule would lose the strongest candidate of such a frame.
    """
    peaks = np.zeros(total.shape, dtype=np.bool_)
    before, here, after = total[:, :-2], total[:, 1:-1], total[:, 2:]
    falls = here > after
    falls[:, :-1] |= (here == after)[:, :-1] & (here[:, :-1] > after[:, 1:])
    peaks[:, 1:-1] = (here > before) & falls
    return peaks


def _strongest_first(frequency: F64, voicing: F64, score: F64) -> Candidates:
    """The highest score changes places with position 0: a swap, not a sort."""
    rows, best = np.arange(len(score)), np.argmax(score, axis=1)
    for values in (frequency, voicing):
        first = values[:, 0].copy()
        values[:, 0] = values[rows, best]
        values[rows, best] = first
    return Candidates(as_float32(frequency), as_float32(voicing))
