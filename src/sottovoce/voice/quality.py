"""What the waveform itself says about how far its features can be trusted: clipping, offset, noise, length, band.

Measured on the decoded channel at its own rate, before resampling. Flags that need more than samples are set
where that is known: `cut`, `truncated`, ... by the decoder, `no_voice` and `few_voiced_frames` by the pipeline.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sottovoce.model.features import MINIMUM_VOICED_FRAMES, Quality
from sottovoce.voice.gate import CLIPPED_SHARE, MUSIC_TONES, SHORT_S

F64 = NDArray[np.float64]

NARROW_BAND_HZ = 8000  # source rates up to this hold at most 4 kHz of voice
RAIL_LEAST = 0.97  # of full scale; companded 8-bit audio has its rail at 0.98
RAIL_TOLERANCE = 2.0**-15  # one step of 16 bits
RAIL_RUN = 3  # samples in a row at one rail are clipped, fewer may be a true peak
DC_LEVEL = 0.02  # of full scale
DC_LEAST = 0.001  # a smaller offset counts where it is stronger than the signal
SNR_LEAST_FRAMES = 50
SNR_LEAST_CONTRAST_DB = 3.0  # steadier signals have no pauses to take the noise from
SILENT_ENERGY = 1e-12
PIECE = 1 << 18  # samples
BLOCK_FRAMES = 1024  # of 10 ms
RATE_OF_NO_MATTER_HZ = 16_000


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a recording that was decoded: where its one channel came from, and how much there was."""

    sample_rate_hz: int
    channels: int  # of the recording
    channel: str  # which one was used: "0".."7" or "mix"
    codec: str  # "wav/pcm_16", "ogg/opus", ...
    flags: frozenset[str]  # cut, truncated, length_unknown, header_mismatch, trailing_bytes
    frames: int  # samples of the channel

    @property
    def duration_s(self) -> float:
        return self.frames / self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class Measured:
    """Findings about one channel."""

    clipped_share: float  # 0..1
    snr_db: float | None
    flags: tuple[str, ...]  # sorted, of: clipped, dc, narrow_band, short


def quality_of(facts: Facts, measured: Measured, *, voiced_frames: int, tones: float | None) -> Quality:
    """Everything that is known of how far the features of a recording can be trusted.

    voiced_frames: of 10 ms, from the features; tones: of `voice.music`.
    """
    flags = {*facts.flags, *measured.flags}
    if voiced_frames < MINIMUM_VOICED_FRAMES:
        flags.add("few_voiced_frames" if voiced_frames else "no_voice")
    if tones is not None and tones >= MUSIC_TONES:
        flags.add("music")
    return Quality(
        duration_s=facts.duration_s,
        voiced_frames=voiced_frames,
        clipped_share=measured.clipped_share,
        snr_db=measured.snr_db,
        source_codec=facts.codec,
        source_rate_hz=facts.sample_rate_hz,
        source_channels=facts.channels,
        channel=facts.channel,
        flags=tuple(sorted(flags)),
        steady_tones=tones,
    )


def measure(samples: F64, sample_rate_hz: int) -> Measured:
    """(n,) finite samples, full scale 1.0, at the source's own rate."""
    meter = Meter(sample_rate_hz)
    for start in range(0, len(samples), PIECE):
        meter.feed(samples[start : start + PIECE])
    return meter.result()


class Meter:
    """One channel at its own rate that comes in pieces; the findings do not depend on how it is cut.

    Memory: 16 bytes for every 10 ms, and a block.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._length, self._hop = sample_rate_hz // 50, sample_rate_hz // 100
        self._block = BLOCK_FRAMES * self._hop
        self._kept: F64 = np.zeros(0)  # from the first frame that is not measured
        self._count = 0
        self._sums: list[tuple[float, float]] = []  # of samples and of their squares, per block
        self._frames: list[F64] = []  # (frames, 2): mean, mean square
        self._rails = _Rail(), _Rail()

    def feed(self, samples: F64) -> None:
        """(n,) the next samples."""
        self._kept = np.concatenate((self._kept, samples))
        overlap = self._length - self._hop
        at = 0
        while len(self._kept) - at >= self._block + overlap:
            self._measure(self._kept[at : at + self._block + overlap], self._block)
            at += self._block
        self._kept = self._kept[at:].copy()

    def result(self) -> Measured:
        """The findings, after the last piece."""
        if len(self._kept):
            self._measure(self._kept, len(self._kept))
            self._kept = np.zeros(0)
        share = sum(rail.clipped() for rail in self._rails) / self._count if self._count else 0.0
        mean, deviation = self._moments()
        found = {
            "clipped": share >= CLIPPED_SHARE,
            "dc": mean >= DC_LEVEL or (mean >= DC_LEAST and mean >= deviation),
            "narrow_band": self._rate_hz <= NARROW_BAND_HZ,
            "short": self._count < SHORT_S * self._rate_hz,
        }
        flags = tuple(sorted(name for name, present in found.items() if present))
        return Measured(share, _snr_db(self._energies()), flags)

    def _measure(self, samples: F64, own: int) -> None:
        """A block: its `own` samples, and behind them what its last frame reaches into."""
        mine = samples[:own]
        self._count += own
        self._sums.append((float(mine.sum()), float(np.dot(mine, mine))))
        self._rails[0].feed(mine)
        self._rails[1].feed(-mine)
        if len(samples) >= self._length:
            frames = sliding_window_view(samples, self._length)[:: self._hop]
            square = np.einsum("ij,ij->i", frames, frames) / self._length
            self._frames.append(np.column_stack((frames.mean(axis=1), square)))

    def _moments(self) -> tuple[float, float]:
        """Absolute mean and standard deviation of all samples."""
        if not self._count:
            return 0.0, 0.0
        mean = math.fsum(total for total, _ in self._sums) / self._count
        square = math.fsum(squares for _, squares in self._sums) / self._count
        return abs(mean), math.sqrt(max(0.0, square - mean * mean))

    def _energies(self) -> F64:
        """(frames,) mean square of each frame about the mean of the whole recording."""
        if not self._frames:
            return np.zeros(0)
        mean, square = np.concatenate(self._frames).T
        offset = math.fsum(total for total, _ in self._sums) / self._count
        return np.asarray(np.maximum(square - 2 * offset * mean + offset * offset, 0.0))


class _Rail:
    """Counts, for one side, samples in runs of at least three at the highest level that the recording reaches.

    Levels are steps of 16 bits; what lies beyond full scale counts as at it. At the rail is the highest level and the
    one below it. Because the highest is known at the end only, runs are counted for both levels that can still matter.
    """

    def __init__(self) -> None:
        self._top = -1
        self._runs = [_Runs(), _Runs()]  # of samples from `_top` - 1 on, and from `_top` on

    def feed(self, samples: F64) -> None:
        """(n,) the next samples."""
        if samples.max(initial=-1.0) < RAIL_LEAST:
            for runs in self._runs:
                runs.interrupt()
            return
        level = np.floor(np.clip(samples, -1.0, 1.0) / RAIL_TOLERANCE).astype(np.int32)
        self._raise_to(int(level.max()))
        self._runs[0].feed(level >= self._top - 1)
        self._runs[1].feed(level >= self._top)

    def clipped(self) -> int:
        """How many samples lie in runs at the rail."""
        return self._runs[0].count

    def _raise_to(self, level: int) -> None:
        if level == self._top + 1:
            self._runs = [self._runs[1], _Runs()]
        elif level > self._top:
            self._runs = [_Runs(), _Runs()]
        self._top = max(self._top, level)


class _Runs:
    """Counts the entries of a mask that lie in runs of at least RAIL_RUN, over pieces."""

    def __init__(self) -> None:
        self.count = 0
        self._open = 0  # length of the run that the last piece ended in

    def interrupt(self) -> None:
        self._open = 0

    def feed(self, mask: NDArray[np.bool_]) -> None:
        edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
        starts, lengths = edges[::2], edges[1::2] - edges[::2]
        counted = int(lengths[lengths >= RAIL_RUN].sum())
        if len(starts) and starts[0] == 0:  # the run goes on from the piece before
            counted += _in_run(self._open + int(lengths[0])) - _in_run(self._open) - _in_run(int(lengths[0]))
        self.count += counted
        whole = len(starts) == 1 and len(mask) == lengths[0]
        ends_open = len(starts) > 0 and edges[-1] == len(mask)
        self._open = int(lengths[-1]) + (self._open if whole else 0) if ends_open else 0


def _in_run(length: int) -> int:
    return length if length >= RAIL_RUN else 0


def clipped_share(samples: F64) -> float:
    """Share of samples in runs of at least three at the same rail.

    The rail is the channel's own highest (or lowest) value, where that is near full scale; what lies beyond full
    scale counts as at the rail.
    """
    return measure(samples, RATE_OF_NO_MATTER_HZ).clipped_share


def has_offset(samples: F64) -> bool:
    """Whether the mean is off zero: by 2 % of full scale, or by more than the signal itself."""
    return "dc" in measure(samples, RATE_OF_NO_MATTER_HZ).flags


def estimate_snr_db(samples: F64, sample_rate_hz: int) -> float | None:
    """10 log10 of (loud - quiet) / quiet: 90th and 10th percentile of the energies of 20 ms frames.

    A rough estimate for speech with pauses over steady noise. None where it cannot be made: fewer than 50 frames
    that are not digital silence, or a signal too steady to have pauses.
    """
    return measure(samples, sample_rate_hz).snr_db


def _snr_db(energies: F64) -> float | None:
    energies = energies[energies > SILENT_ENERGY]
    if len(energies) < SNR_LEAST_FRAMES:
        return None
    quiet, loud = np.percentile(energies, (10, 90)).tolist()
    if loud < quiet * 10 ** (SNR_LEAST_CONTRAST_DB / 10):
        return None
    return float(10 * np.log10((loud - quiet) / quiet))
