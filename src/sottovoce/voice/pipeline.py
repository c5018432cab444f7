"""The whole way of a recording inside one process: bytes -> one channel -> 88 features, quality, embedding.

    extraction = process(BytesSource(data), limits=Limits())

Pure: no file, clock, randomness or process. The sealed child and the in-process extractor run exactly this.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from sottovoce.model.features import MINIMUM_VOICED_FRAMES, Embedding, Extraction, Quality
from sottovoce.voice.audio import Decoded, Limits, decode
from sottovoce.voice.containers import Source
from sottovoce.voice.egemaps.extract import Analysis, analyse
from sottovoce.voice.formats import Formats
from sottovoce.voice.quality import measure
from sottovoce.voice.resample import RATE_HZ, resample


class Embedder(Protocol):
    """A model that turns (n,) float64 at 16 kHz into one embedding."""

    def embed(self, samples: npt.NDArray[np.float64], /) -> Embedding: ...


def process(
    source: Source,
    *,
    profile: str = "compat",
    limits: Limits | None = None,
    channel: str = "0",
    accept_truncated: bool = False,
    formats: Formats | None = None,
    embedder: Embedder | None = None,
) -> Extraction:
    """Features, quality and (with an embedder) the embedding of the recording in `source`.

    Raises AudioRejected with a reason of `rejections.REASONS`, UsageError for an unknown profile or channel.
    """
    decoded = decode(
        source, limits=limits, channel=channel, accept_truncated=accept_truncated, formats=formats
    )
    signal = resample(decoded.samples, decoded.sample_rate_hz)
    analysis = analyse(signal, RATE_HZ, profile=profile)
    quality = _quality(decoded, analysis)
    embedding = None if embedder is None else embedder.embed(signal)
    signal[:] = 0.0
    decoded.samples[:] = 0.0
    return Extraction(analysis.features, quality, embedding)


def _quality(decoded: Decoded, analysis: Analysis) -> Quality:
    measured = measure(decoded.samples, decoded.sample_rate_hz)
    flags = set(decoded.flags) | set(measured.flags)
    if analysis.voiced_frames == 0:
        flags.add("no_voice")
    elif analysis.voiced_frames < MINIMUM_VOICED_FRAMES:
        flags.add("few_voiced_frames")
    return Quality(
        duration_s=decoded.duration_s,
        voiced_frames=analysis.voiced_frames,
        clipped_share=measured.clipped_share,
        snr_db=measured.snr_db,
        source_codec=decoded.codec,
        source_rate_hz=decoded.sample_rate_hz,
        source_channels=decoded.channels,
        channel=decoded.channel,
        flags=tuple(sorted(flags)),
    )
