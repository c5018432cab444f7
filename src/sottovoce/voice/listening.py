"""A recording of any length from samples to features, piece by piece: what `sottovoce.egemaps` is made of.

    listener = Listener(48000)
    for piece in pieces:
        listener.feed(piece)
    analysis, quality = listener.features(facts)

However the pieces are cut, the values are the same to the bit. Memory: about 130 bytes for every 10 ms, and about
twenty seconds of samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sottovoce.errors import AudioRejected
from sottovoce.model.features import Quality
from sottovoce.voice.egemaps import frames
from sottovoce.voice.egemaps.extract import MINIMUM_S, Analysis, analysis_of, profile_of, table_of
from sottovoce.voice.egemaps.lowlevel import Contours, Measurement
from sottovoce.voice.egemaps.numeric import F32
from sottovoce.voice.gate import Finding, gate
from sottovoce.voice.music import SteadyTones
from sottovoce.voice.quality import Facts, Meter, quality_of
from sottovoce.voice.resample import RATE_HZ
from sottovoce.voice.resample_stream import Resampler

F64 = NDArray[np.float64]

PIECE = 1 << 18  # samples handed on at once


class Listener:
    """One channel that comes in pieces. AudioRejected (`sample_rate`), UsageError for an unknown profile."""

    def __init__(self, sample_rate_hz: int, *, profile: str = "compat") -> None:
        self.profile = profile_of(profile)
        self.sample_rate_hz = sample_rate_hz
        self.frames = 0  # samples so far
        self._resampler = Resampler(sample_rate_hz)
        self._measurement = Measurement(RATE_HZ, corrected=self.profile.corrected)
        self._meter = Meter(sample_rate_hz)
        self._tones = SteadyTones()

    def feed(self, samples: F64) -> None:
        """(n,) the next samples, -1..1. AudioRejected (`non_finite`)."""
        for start in range(0, len(samples), PIECE):
            piece = samples[start : start + PIECE]
            if not np.isfinite(piece).all():
                raise AudioRejected("The recording holds values that are not numbers.", reason="non_finite")
            self.frames += len(piece)
            self._meter.feed(piece)
            self._hear(self._resampler.feed(piece))

    @property
    def long_enough(self) -> bool:
        """Whether there are features: 100 ms at least."""
        return self.frames >= MINIMUM_S * self.sample_rate_hz

    def facts(self) -> Facts:
        """Those of samples that came without a file."""
        return Facts(self.sample_rate_hz, 1, "0", "samples", frozenset(), self.frames)

    def features(self, facts: Facts) -> tuple[Analysis, Quality]:
        """The features after the last piece, and how far to trust them. AudioRejected (`too_short`)."""
        contours = self._finish()
        analysis = analysis_of(contours, RATE_HZ, self.profile)
        return analysis, self._quality(facts, analysis.voiced_frames)

    def low_level(self, facts: Facts) -> tuple[F32, tuple[Finding, ...]]:
        """(frames, 25) smoothed contours after the last piece, and the answer of the gate. AudioRejected as above."""
        contours = self._finish()
        voiced = int(np.sum(contours.pitch.voiced))
        return table_of(contours), gate(self._quality(facts, voiced), contours.level_db)

    def _hear(self, signal: F64) -> None:
        if len(signal):
            self._tones.feed(signal)
            self._measurement.feed(frames.quantise(signal))

    def _finish(self) -> Contours:
        if not self.long_enough:
            raise AudioRejected(
                "The recording is shorter than 100 ms.", reason="too_short", hint="Record a longer one."
            )
        self._hear(self._resampler.finish())
        return self._measurement.finish()

    def _quality(self, facts: Facts, voiced_frames: int) -> Quality:
        tones = self._tones.result()
        return quality_of(facts, self._meter.result(), voiced_frames=voiced_frames, tones=tones)
