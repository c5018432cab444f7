"""The numbers taken from a voice: the feature vector, its quality, the embedding and the insight.

Plain values of the standard library; arrays live in `voice`. Feature values, embeddings and insight values are
personal data: no repr shows them.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sottovoce.errors import UsageError

FEATURE_COUNT = 88
EMBEDDING_SIZE = 768
_FLOAT32_MAX = 3.4028234663852886e38  # (2 - 2**-23) * 2**127
MINIMUM_VOICED_FRAMES = 20  # fewer, and what is said of the voice is "not available" (egemaps_spec 15)


@dataclass(frozen=True, slots=True)
class FeatureVector:
    """88 eGeMAPS v02 functionals of one recording, with what is needed to never mix them up.

    `values` are float64 in the order of `FEATURE_NAMES`; what is stored and hashed is their float32 form.
    """

    values: tuple[float, ...] = field(repr=False)
    profile: str  # "compat" or "corrected"
    version: str  # of our extractor for that profile, e.g. "egemaps-88/1"
    sample_rate_hz: int  # rate of the analysed signal (16000 but for `native=True`)

    def __post_init__(self) -> None:
        if len(self.values) != FEATURE_COUNT:
            raise UsageError(f"A feature vector has {FEATURE_COUNT} values, not {len(self.values)}.")
        # Also false for NaN; what float32 cannot hold could not be stored.
        if not all(abs(value) <= _FLOAT32_MAX for value in self.values):
            raise UsageError("A feature vector has finite values only.")

    @property
    def names(self) -> tuple[str, ...]:
        return FEATURE_NAMES

    def as_dict(self) -> dict[str, float]:
        """Name -> value, in the canonical order."""
        return dict(zip(FEATURE_NAMES, self.values, strict=True))

    def to_float32_bytes(self) -> bytes:
        """(88,) float32, little-endian, 352 bytes: the stored form."""
        return struct.pack(f"<{FEATURE_COUNT}f", *self.values)

    @classmethod
    def from_float32_bytes(
        cls, data: bytes, *, profile: str, version: str, sample_rate_hz: int
    ) -> FeatureVector:
        if len(data) != 4 * FEATURE_COUNT:
            raise UsageError(f"Stored features have {4 * FEATURE_COUNT} bytes, not {len(data)}.")
        values = struct.unpack(f"<{FEATURE_COUNT}f", data)
        return cls(values=values, profile=profile, version=version, sample_rate_hz=sample_rate_hz)

    def sha256(self) -> str:
        """Hash of the stored float32 form (what a decision log refers to)."""
        return hashlib.sha256(self.to_float32_bytes()).hexdigest()

    def distance(self, other: FeatureVector) -> float:
        """Euclidean distance of the values as they are (scale them first for most uses).

        Raises UsageError with the reason `profile_mixed` where the two are not of one definition.
        """
        _check_same_definition((self, other))
        return math.dist(self.values, other.values)


def mean_of(vectors: Sequence[FeatureVector]) -> FeatureVector:
    """Value by value the mean of vectors of one definition.

    Raises UsageError: reason `profile_mixed` where profile, version or sample rate differ, `empty` for none at all.
    """
    if not vectors:
        raise UsageError("There is no mean of no vectors.", reason="empty")
    _check_same_definition(vectors)
    first = vectors[0]
    means = tuple(
        math.fsum(column) / len(vectors) for column in zip(*(v.values for v in vectors), strict=True)
    )
    return FeatureVector(means, first.profile, first.version, first.sample_rate_hz)


def _check_same_definition(vectors: Sequence[FeatureVector]) -> None:
    if len({(v.profile, v.version, v.sample_rate_hz) for v in vectors}) > 1:
        raise UsageError(
            "These feature vectors are of different definitions (profile, version or sample rate).",
            hint="Extract all of them with one profile; values of different profiles cannot be compared.",
            reason="profile_mixed",
        )


@dataclass(frozen=True, slots=True)
class Quality:
    """How far the features of a recording can be trusted; shown beside every vector."""

    duration_s: float  # analysed part
    voiced_frames: int  # 10 ms frames with F0 > 0
    clipped_share: float  # 0..1, samples at the rails
    snr_db: float | None  # estimate; None where the signal gives none
    source_codec: str  # e.g. "wav/pcm_16", "flac/pcm_16", "ogg/opus"
    source_rate_hz: int
    source_channels: int
    channel: str  # which channel was used: "0".."7" or "mix"
    flags: tuple[
        str, ...
    ] = ()  # sorted: cut, truncated, short, no_voice, few_voiced_frames, clipped, dc, ...
    steady_tones: float | None = None  # 0..1, high in music (voice.music); None: too short to say

    @property
    def has_voice(self) -> bool:
        return self.voiced_frames >= MINIMUM_VOICED_FRAMES


@dataclass(frozen=True, slots=True)
class Embedding:
    """A wav2vec2 speaker/content embedding: biometric data in every policy."""

    values: tuple[float, ...] = field(repr=False)
    model_sha256: str

    def __post_init__(self) -> None:
        if len(self.values) != EMBEDDING_SIZE:
            raise UsageError(f"An embedding has {EMBEDDING_SIZE} values, not {len(self.values)}.")
        if not all(math.isfinite(value) for value in self.values):
            raise UsageError("An embedding has finite values only.")


@dataclass(frozen=True, slots=True)
class InsightItem:
    """One line of an insight, ready to be shown to a person."""

    name: str  # stable id, e.g. "pitch_level"
    title: str  # "Pitch level"
    value: float | None = field(repr=False)  # None: not available
    unit: str
    meaning: str  # plain language: what it is, not what it says about the person
    features: tuple[str, ...]  # names of the features it came from

    @property
    def shown(self) -> str:
        return "not available" if self.value is None else f"{self.value:.3g} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Insight:
    """What is told about a recording: derived from features, nothing inferred about the person."""

    kind: str  # "voice_profile"
    version: str  # of the rule or model that made it
    model_sha256: str  # of the exact rule table or model file
    items: tuple[InsightItem, ...]


@dataclass(frozen=True, slots=True)
class Extraction:
    """What leaves the sealed child: numbers only."""

    features: FeatureVector
    quality: Quality
    embedding: Embedding | None = None


SandboxLevel = Literal["seccomp", "rlimits"]


def _names() -> tuple[str, ...]:
    ten = (
        "amean", "stddevNorm", "percentile20.0", "percentile50.0", "percentile80.0", "pctlrange0-2",
        "meanRisingSlope", "stddevRisingSlope", "meanFallingSlope", "stddevFallingSlope",
    )  # fmt: skip
    two = ("amean", "stddevNorm")
    names = [f"F0semitoneFrom27.5Hz_sma3nz_{name}" for name in ten]
    names += [f"loudness_sma3_{name}" for name in ten]
    names += [
        f"{base}_sma3_{name}" for base in ("spectralFlux", "mfcc1", "mfcc2", "mfcc3", "mfcc4") for name in two
    ]
    voiced = ["jitterLocal", "shimmerLocaldB", "HNRdBACF", "logRelF0-H1-H2", "logRelF0-H1-A3"]
    for k in (1, 2, 3):
        voiced += [f"F{k}frequency", f"F{k}bandwidth", f"F{k}amplitudeLogRelF0"]
    names += [f"{base}_sma3nz_{name}" for base in voiced for name in two]
    masked = ["alphaRatioV", "hammarbergIndexV", "slopeV0-500", "slopeV500-1500", "spectralFluxV"]
    masked += [f"mfcc{i}V" for i in (1, 2, 3, 4)]
    names += [f"{base}_sma3nz_{name}" for base in masked for name in two]
    unvoiced = ("alphaRatioUV", "hammarbergIndexUV", "slopeUV0-500", "slopeUV500-1500", "spectralFluxUV")
    names += [f"{base}_sma3nz_amean" for base in unvoiced]
    names += [
        "loudnessPeaksPerSec", "VoicedSegmentsPerSec", "MeanVoicedSegmentLengthSec",
        "StddevVoicedSegmentLengthSec", "MeanUnvoicedSegmentLength", "StddevUnvoicedSegmentLength",
        "equivalentSoundLevel_dBp",
    ]  # fmt: skip
    return tuple(names)


FEATURE_NAMES: tuple[str, ...] = _names()
