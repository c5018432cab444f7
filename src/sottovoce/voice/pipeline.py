"""The whole way of a recording inside one process: bytes -> one channel -> 88 features, quality, embedding.

    extraction = process(BytesSource(data), limits=Limits())

Pure: no file, clock, randomness or process. The sealed child and the in-process extractor run exactly this.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from sottovoce.model.features import Embedding, Extraction
from sottovoce.voice.audio import Limits, decode
from sottovoce.voice.containers import Source
from sottovoce.voice.egemaps.extract import analyse
from sottovoce.voice.formats import Formats
from sottovoce.voice.music import steady_tones
from sottovoce.voice.quality import measure, quality_of
from sottovoce.voice.resample import RATE_HZ
from sottovoce.voice.resample_stream import to_16_khz


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
    signal = to_16_khz(decoded.samples, decoded.sample_rate_hz)
    analysis = analyse(signal, RATE_HZ, profile=profile)
    measured = measure(decoded.samples, decoded.sample_rate_hz)
    tones = steady_tones(signal)
    quality = quality_of(decoded, measured, voiced_frames=analysis.voiced_frames, tones=tones)
    embedding = None if embedder is None else embedder.embed(signal)
    signal[:] = 0.0
    decoded.samples[:] = 0.0
    return Extraction(analysis.features, quality, embedding)
