"""The low-level contours of a recording, measured in blocks of frames as the samples come in.

    measurement = Measurement(16000)
    measurement.feed(steps)          # any number of times, any number of samples
    contours = measurement.finish()

Blocks start at fixed frames, however the samples are cut: the result does not depend on it, to the bit. Memory:
about 110 bytes per frame of 10 ms, and a few blocks. What needs the pitch (jitter, formants, harmonics) waits until
the path through the pitch candidates is decided, mostly one or two frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sottovoce.voice.egemaps import balance, formants, frames, harmonics, mel, periods, pitch
from sottovoce.voice.egemaps.numeric import F32, F64

BLOCK = 256  # frames measured at once: what one step needs fits into the cache
VOICE_BLOCK = 512  # frames at once of what needs the pitch: its steps are many and small
NO_AMPLITUDE_DB = -201.0  # Q13


@dataclass(frozen=True, slots=True, eq=False)
class Contours:
    """Low-level values before smoothing; the 20 ms stream has a few frames more than the 60 ms stream."""

    pitch: pitch.Pitch
    level_db: float
    loudness: F32  # (frames20,)
    balance: F32  # (frames20, 4): alpha ratio, Hammarberg index, two slopes
    flux_and_mfcc: F32  # (frames20, 5)
    voice: F32  # (frames60, 14): jitter, shimmer, HNR, H1-H2, H1-A3, then frequency, bandwidth, amplitude x 3


def measure(steps: F64, rate_hz: int, *, corrected: bool = False) -> Contours:
    """(n,) 16-bit steps of a whole recording of at least 60 ms -> its contours."""
    measurement = Measurement(rate_hz, corrected=corrected)
    measurement.feed(steps)
    return measurement.finish()


class Measurement:
    """One recording on its way from samples to contours."""

    def __init__(self, rate_hz: int, *, corrected: bool = False) -> None:
        self._short, self._long = frames.stream_20ms(rate_hz), frames.stream_60ms(rate_hz)
        self._corrected = corrected
        self._steps: F64 = np.zeros(0)
        self._origin = 0  # position of the first sample that is kept
        self._measured = 0  # frames whose spectrum was measured
        self._voiced = 0  # frames done with all that needs the pitch
        self._tracker = pitch.Tracker(self._long, corrected=corrected)
        self._walk = periods.Walk(self._long)
        self._last_magnitude: F32 | None = None
        self._spectral, self._pitch, self._voice = Rows[np.float32](), Rows[np.float32](), Rows[np.float32]()
        self._energies = Rows[np.float64]()
        self._f0: list[F32] = []  # decided, of which the voice is still to be measured
        self._waiting: list[tuple[F32, F32]] = []  # magnitudes of 60 ms, and what formants are made of

    def feed(self, steps: F64) -> None:
        """(n,) the next samples, as whole 16-bit steps."""
        self._steps = np.concatenate((self._steps, steps)) if len(self._steps) else steps
        while self._frames_left() >= BLOCK:
            self._measure(BLOCK)
        self._forget()

    def finish(self) -> Contours:
        """The contours of all complete frames."""
        if self._frames_left() > 0:
            self._measure(self._frames_left())
        tail = self._steps[self._measured * self._long.hop - self._origin :]
        self._measure_short(frames.to_signal(tail))
        rest, undecided = self._tracker.finish()
        self._f0.append(rest)
        self._measure_voice()
        spectral = self._spectral.joined()
        return Contours(
            pitch.Pitch(self._pitch.joined(), undecided),
            _level_db(self._energies.joined()),
            np.ascontiguousarray(spectral[:, 0]),
            spectral[:, 1:5],
            spectral[:, 5:],
            self._voice.joined(),
        )

    def _frames_left(self) -> int:
        return self._long.count(self._origin + len(self._steps) - self._measured * self._long.hop)

    def _measure(self, count: int) -> None:
        """The next `count` frames of both streams."""
        start = self._measured * self._long.hop - self._origin
        reach = (count - 1) * self._long.hop
        signal = frames.to_signal(self._steps[start : start + reach + self._long.length])
        source = self._measure_short(signal[: reach + self._short.length])
        windowed = frames.gaussian(frames.split(signal, self._long))
        magnitude = frames.magnitudes(windowed, self._long)
        self._f0.append(self._tracker.feed(windowed, magnitude))
        self._waiting.append((magnitude, source))
        self._measured += count
        if sum(map(len, self._f0)) >= VOICE_BLOCK:
            self._measure_voice()

    def _measure_short(self, signal: F32) -> F32:
        """All 20 ms frames of this signal; returns what formants are made of."""
        stream = self._short
        if len(signal) < stream.length:
            return np.zeros((0, stream.bins), dtype=np.float32)
        split = frames.split(signal, stream)
        windowed = frames.hamming(split)
        magnitude = frames.magnitudes(windowed, stream)
        power = magnitude * magnitude
        bands = mel.mel_bands(power, stream)
        self._spectral.append(
            columns(
                mel.loudness(bands, stream),
                balance.alpha_ratio(power, stream),
                balance.hammarberg_index(power, stream),
                balance.spectral_slopes(power, stream, corrected=self._corrected),
                balance.spectral_flux(magnitude, stream, self._last_magnitude),
                mel.mfcc(bands),
            )
        )
        self._energies.append(np.add.reduce(split.astype(np.float64) ** 2, axis=1) / stream.length)
        self._last_magnitude = magnitude[-1:]
        return power if self._corrected else windowed

    def _measure_voice(self) -> None:
        """All frames whose pitch is decided."""
        f0_hz = np.concatenate(self._f0)
        magnitude = np.concatenate([part for part, _ in self._waiting])
        source = np.concatenate([part for _, part in self._waiting])
        count = len(f0_hz)
        self._voice.append(self._voice_of(f0_hz, magnitude[:count], source[:count]))
        self._pitch.append(f0_hz)
        self._f0, self._waiting = [], [(magnitude[count:], source[count:])]
        self._voiced += count

    def _voice_of(self, f0_hz: F32, magnitude: F32, source: F32) -> F32:
        """(frames, 14): 0 in unvoiced frames, but for the amplitudes of `compat` (Q13)."""
        voice = np.zeros((len(f0_hz), 14), dtype=np.float32)
        voice[:, :2] = self._perturbation(f0_hz)
        if not self._corrected:
            voice[:, 7::3] = NO_AMPLITUDE_DB
        at = np.flatnonzero(f0_hz > 0)
        if len(at):
            find = formants.find_formants_corrected if self._corrected else formants.find_formants
            found = find(source[at], f0_hz[at], self._short)
            voice[at, 2:] = _harmonic_voice(magnitude[at], f0_hz[at], found, self._long, self._corrected)
        return voice

    def _perturbation(self, f0_hz: F32) -> F32:
        first = self._voiced * self._long.hop - self._walk.carry
        end = (self._voiced + len(f0_hz) - 1) * self._long.hop + self._long.length
        steps = self._steps[first - self._origin : end - self._origin]
        return self._walk.measure(steps, frames.to_signal(steps), f0_hz)

    def _forget(self) -> None:
        """Drop the samples that nothing will ask for again."""
        needed = min(self._measured * self._long.hop, self._voiced * self._long.hop - self._walk.carry)
        self._steps = self._steps[needed - self._origin :].copy()
        self._origin = needed


T = TypeVar("T", np.float32, np.float64)


class Rows(Generic[T]):
    """Rows added at the end of one array that doubles: joining all pieces at the end would need the memory twice."""

    def __init__(self) -> None:
        self._table: NDArray[T] | None = None
        self._count = 0

    def append(self, rows: NDArray[T]) -> None:
        """(n, ...) of one shape but for n."""
        end = self._count + len(rows)
        if self._table is None or end > len(self._table):
            grown = np.empty((max(2 * self._count, end), *rows.shape[1:]), dtype=rows.dtype)
            if self._table is not None:
                grown[: self._count] = self._table[: self._count]
            self._table = grown
        self._table[self._count : end] = rows
        self._count = end

    def joined(self) -> NDArray[T]:
        """(n, ...) all rows. There has to be one."""
        if self._table is None:
            raise ValueError("no rows")
        return self._table[: self._count]


def columns(*parts: NDArray[np.floating]) -> F32:
    """One table of all parts, column beside column."""
    return np.column_stack(parts).astype(np.float32, copy=False)


def _harmonic_voice(
    magnitude: F32, f0_hz: F32, found: formants.Formants, stream: frames.Stream, corrected: bool
) -> F32:
    """(voiced frames, 12): HNR, H1-H2, H1-A3, then frequency, bandwidth and amplitude of three formants."""
    peaks = harmonics.find_harmonics(magnitude, f0_hz, stream, corrected=corrected)
    amplitudes, present = harmonics.formant_amplitudes(peaks, found.frequency_hz)
    differences = harmonics.level_differences_corrected if corrected else harmonics.level_differences
    h1_h2, h1_a3 = differences(peaks, amplitudes[:, 2], present[:, 2])
    per_formant = np.stack((found.frequency_hz, found.bandwidth_hz, amplitudes.astype(np.float32)), axis=2)
    hnr = harmonics.harmonics_to_noise(magnitude, f0_hz, stream)
    return columns(hnr, h1_h2, h1_a3, per_formant.reshape(len(f0_hz), -1))


def _level_db(energies: F64) -> float:
    """10 log10 of the mean energy, at least -120 dB; a full-scale square is 0 dB."""
    return float(10 * np.log10(max(float(np.mean(energies)), 1e-12)))
