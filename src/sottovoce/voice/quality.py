"""What the waveform itself says about how far its features can be trusted: clipping, offset, noise, length, band.

Measured on the decoded channel at its own rate, before resampling. Flags that need more than samples are set
where that is known: `cut`, `truncated`, ... by the decoder, `no_voice` and `few_voiced_frames` by the pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sottovoce.model.features import MINIMUM_VOICED_FRAMES, Quality

F64 = NDArray[np.float64]

SHORT_S = 0.5  # below: percentiles and rates rest on fewer than 50 frames
NARROW_BAND_HZ = 8000  # source rates up to this hold at most 4 kHz of voice
RAIL_LEAST = 0.97  # of full scale; companded 8-bit audio has its rail at 0.98
RAIL_TOLERANCE = 2.0**-15  # one step of 16 bits
RAIL_RUN = 3  # samples in a row at one rail are clipped, fewer may be a true peak
CLIPPED_SHARE = 0.001
DC_LEVEL = 0.02  # of full scale
DC_LEAST = 0.001  # a smaller offset counts where it is stronger than the signal
SNR_LEAST_FRAMES = 50
SNR_LEAST_CONTRAST_DB = 3.0  # steadier signals have no pauses to take the noise from
SILENT_ENERGY = 1e-12
SILENCE_DB = -60.0  # full-scale square 0 dB; speech near a microphone lies above -45
NOISY_SNR_DB = 10.0  # below, jitter, shimmer and HNR mostly measure the noise


@dataclass(frozen=True, slots=True)
class Measured:
    """Findings about one channel."""

    clipped_share: float  # 0..1
    snr_db: float | None
    flags: tuple[str, ...]  # sorted, of: clipped, dc, narrow_band, short


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to trust the features less: a stable name, the measured value, and both in words."""

    name: str  # silence, clipping, noise, short, no_voice, few_voiced_frames
    measured: float
    words: str


def gate(quality: Quality, level_db: float) -> tuple[Finding, ...]:
    """What a person should know before anything is made of the features of this recording.

    level_db: `equivalentSoundLevel_dBp` of the features. Nothing is refused here; an empty tuple means that nothing
    of this list was found, not that the recording is good.
    """
    found = [_silence(level_db), _clipping(quality), _noise(quality), _shortness(quality)]
    if level_db > SILENCE_DB:
        found.append(_voicelessness(quality))
    return tuple(finding for finding in found if finding is not None)


def _silence(level_db: float) -> Finding | None:
    if level_db > SILENCE_DB:
        return None
    return Finding("silence", level_db, f"almost silent: the level is {-level_db:.0f} dB below full scale")


def _clipping(quality: Quality) -> Finding | None:
    share = quality.clipped_share
    if share < CLIPPED_SHARE:
        return None
    words = f"clipped: {100 * share:.2g} % of the samples stand at the rails; record with less gain"
    return Finding("clipping", share, words)


def _noise(quality: Quality) -> Finding | None:
    snr_db = quality.snr_db
    if snr_db is None or snr_db >= NOISY_SNR_DB:
        return None
    words = f"noisy: the signal-to-noise ratio is about {snr_db:.0f} dB; it blurs most values"
    return Finding("noise", snr_db, words)


def _shortness(quality: Quality) -> Finding | None:
    if quality.duration_s >= SHORT_S:
        return None
    words = f"short: {quality.duration_s:.2f} s; percentiles and rates need at least {SHORT_S} s"
    return Finding("short", quality.duration_s, words)


def _voicelessness(quality: Quality) -> Finding | None:
    count = quality.voiced_frames
    if count == 0:
        return Finding(
            "no_voice", 0.0, "without voice: no frame has a pitch, so every voiced value is a placeholder"
        )
    if count < MINIMUM_VOICED_FRAMES:
        words = (
            f"hardly any voice: {count} voiced frames of 10 ms; at least {MINIMUM_VOICED_FRAMES} are needed"
        )
        return Finding("few_voiced_frames", float(count), words)
    return None


def measure(samples: F64, sample_rate_hz: int) -> Measured:
    """(n,) finite samples, full scale 1.0, at the source's own rate."""
    share = clipped_share(samples)
    found = {
        "clipped": share >= CLIPPED_SHARE,
        "dc": has_offset(samples),
        "narrow_band": sample_rate_hz <= NARROW_BAND_HZ,
        "short": len(samples) < SHORT_S * sample_rate_hz,
    }
    flags = tuple(sorted(name for name, present in found.items() if present))
    return Measured(share, estimate_snr_db(samples, sample_rate_hz), flags)


def clipped_share(samples: F64) -> float:
    """Share of samples in runs of at least three at the same rail.

    The rail is the channel's own highest (or lowest) value, where that is near full scale; what lies beyond full
    scale counts as at the rail.
    """
    if len(samples) == 0:
        return 0.0
    return (_in_runs(_at_rail(samples)) + _in_runs(_at_rail(-samples))) / len(samples)


def has_offset(samples: F64) -> bool:
    """Whether the mean is off zero: by 2 % of full scale, or by more than the signal itself."""
    if len(samples) == 0:
        return False
    offset = abs(float(np.mean(samples)))
    return offset >= DC_LEVEL or (offset >= DC_LEAST and offset >= float(np.std(samples)))


def estimate_snr_db(samples: F64, sample_rate_hz: int) -> float | None:
    """10 log10 of (loud - quiet) / quiet: 90th and 10th percentile of the energies of 20 ms frames.

    A rough estimate for speech with pauses over steady noise. None where it cannot be made: fewer than 50 frames
    that are not digital silence, or a signal too steady to have pauses.
    """
    energies = _frame_energies(samples - np.mean(samples) if len(samples) else samples, sample_rate_hz)
    energies = energies[energies > SILENT_ENERGY]
    if len(energies) < SNR_LEAST_FRAMES:
        return None
    quiet, loud = np.percentile(energies, (10, 90)).tolist()
    if loud < quiet * 10 ** (SNR_LEAST_CONTRAST_DB / 10):
        return None
    return float(10 * np.log10((loud - quiet) / quiet))


def _at_rail(samples: F64) -> NDArray[np.bool_]:
    rail = min(float(samples.max()), 1.0)
    if rail < RAIL_LEAST:
        return np.zeros(len(samples), dtype=np.bool_)
    at_rail: NDArray[np.bool_] = samples >= rail - RAIL_TOLERANCE
    return at_rail


def _in_runs(mask: NDArray[np.bool_]) -> int:
    """How many entries lie in runs of at least RAIL_RUN."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= RAIL_RUN].sum())


def _frame_energies(samples: F64, sample_rate_hz: int) -> F64:
    length, hop = sample_rate_hz // 50, sample_rate_hz // 100
    if len(samples) < length:
        return np.zeros(0)
    frames = sliding_window_view(samples, length)[::hop]
    energies: F64 = np.einsum("ij,ij->i", frames, frames) / length
    return energies
