"""From samples to frames and magnitude spectra (specification 2 to 4).

Two streams with one hop of 10 ms: 20 ms Hamming frames and 60 ms Gaussian frames, both left-aligned; frame t of
the two counts as the same time. Magnitudes are not normalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sottovoce.voice.egemaps import kernels
from sottovoce.voice.egemaps.numeric import F32, F64, as_float32, frozen, round_half_away

INT16_SCALE = 32768.0
FULL_SCALE = 32767.0


@dataclass(frozen=True, slots=True)
class Stream:
    """Sizes of one stream of frames at one sample rate."""

    sample_rate_hz: int
    frame_s: float  # nominal length of a frame
    length: int  # samples per frame
    hop: int  # samples
    fft_size: int  # smallest power of two >= length

    @property
    def duration_s(self) -> float:
        """Length of the zero-padded frame, as the frequency axis counts it."""
        return self.frame_s * (self.fft_size / self.length)

    @property
    def bins(self) -> int:
        return self.fft_size // 2 + 1

    def frequencies_hz(self) -> F64:
        """(bins,) computed exactly so, because equality tests on these values occur (specification 4)."""
        return (1 / self.duration_s) * np.arange(self.bins, dtype=np.float64)

    def count(self, samples: int) -> int:
        """Number of complete frames; nothing is padded."""
        return max(0, 1 + (samples - self.length) // self.hop)


def stream_20ms(sample_rate_hz: int) -> Stream:
    return _stream(sample_rate_hz, 0.020)


def stream_60ms(sample_rate_hz: int) -> Stream:
    return _stream(sample_rate_hz, 0.060)


def quantise(samples: F64) -> F64:
    """(n,) in [-1, 1] -> the same as whole 16-bit steps, truncated toward zero and clipped (Q1).

    The values are integers held in float64: sums of their products stay exact.
    """
    return np.clip(np.trunc(samples * INT16_SCALE), -INT16_SCALE, FULL_SCALE)


def to_signal(steps: F64) -> F32:
    """16-bit steps -> the float32 signal that is analysed (divided by 32767, not 32768)."""
    return as_float32(steps / FULL_SCALE)


def split(signal: F32, stream: Stream) -> F32:
    """(n,) -> (frames, length), a view without copies."""
    signal = np.ascontiguousarray(signal)
    shape, step = (stream.count(len(signal)), stream.length), signal.itemsize
    return np.ndarray(shape, signal.dtype, signal, strides=(stream.hop * step, step))


def hamming(frames: F32) -> F32:
    """Frames under a Hamming window, float32."""
    return as_float32(frames * hamming_window(frames.shape[1]))


def gaussian(frames: F32) -> F32:
    """Frames under a Gaussian window (sigma 0.4 of the half length), float32."""
    return as_float32(frames * gaussian_window(frames.shape[1]))


def magnitudes(windowed: F32, stream: Stream) -> F32:
    """(frames, length) -> (frames, bins) absolute spectrum, float32."""
    spectrum = np.fft.rfft(windowed.astype(np.float64), n=stream.fft_size, axis=1)
    compiled = kernels.library()
    if compiled is not None:
        return compiled.magnitudes(spectrum)
    real, imaginary = spectrum.real, spectrum.imag
    return as_float32(np.sqrt(real * real + imaginary * imaginary))


@lru_cache(maxsize=8)
def hamming_window(length: int) -> F64:
    return frozen(0.54 - 0.46 * np.cos(2 * np.pi * np.arange(length) / (length - 1)))


@lru_cache(maxsize=8)
def gaussian_window(length: int) -> F64:
    half = (length - 1) / 2
    return frozen(np.exp(-0.5 * ((np.arange(length) - half) / (0.4 * half)) ** 2))


def _stream(sample_rate_hz: int, frame_s: float) -> Stream:
    length = round_half_away(frame_s * sample_rate_hz)
    hop = round_half_away(0.010 * sample_rate_hz)
    return Stream(sample_rate_hz, frame_s, length, hop, 1 << (length - 1).bit_length())
