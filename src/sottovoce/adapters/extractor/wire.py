"""What crosses the border: a job on its way in, numbers or a reason on their way out.

The child has opened hostile bytes, so what it writes is parsed as if it were hostile itself: bounded size, exact
length, a closed set of fields, types, ranges and reasons. A text of the child is never shown; reasons become our
own messages.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import asdict, dataclass, field
from typing import Any

from sottovoce.errors import (
    ConfigurationError,
    ExtractionFailed,
    ExtraMissing,
    IntegrityError,
    SottovoceError,
    UsageError,
)
from sottovoce.model.features import (
    EMBEDDING_SIZE,
    FEATURE_COUNT,
    Embedding,
    Extraction,
    FeatureVector,
    Quality,
)
from sottovoce.ports import ExtractOptions
from sottovoce.voice.rejections import REASONS, needs_formats, rejected

MAX_JOB_BYTES = 64 * 1024
MAX_RESULT_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = MAX_JOB_BYTES + MAX_RESULT_BYTES  # a job; or a result that is to be sealed (handover.py)
_LENGTH = struct.Struct("<I")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")
_CODEC = re.compile(r"[a-z0-9][a-z0-9_/.-]{0,63}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_/.+-]{0,63}")
SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_FLOAT32 = 3.4e38
_QUALITY_FIELDS = (
    "duration_s", "voiced_frames", "clipped_share", "snr_db", "source_codec", "source_rate_hz",
    "source_channels", "channel", "flags", "steady_tones",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """What a child is told besides the descriptor."""

    options: ExtractOptions
    sealed: bool = False
    key: bytes = field(default=b"", repr=False)
    context: bytes = field(default=b"", repr=False)
    body_offset: int = 0
    suite: int = 0
    probe: str = ""  # only a parent started for tests answers to it


def pack_job(job: Job) -> bytearray:
    """A message that the caller zeroes when it is sent (it holds the key). UsageError above MAX_JOB_BYTES."""
    head = {
        "options": asdict(job.options),
        "sealed": job.sealed,
        "key_bytes": len(job.key),
        "body_offset": job.body_offset,
        "suite": job.suite,
        "probe": job.probe,
    }
    text = json.dumps(head).encode()
    message = bytearray(_LENGTH.pack(len(text)) + text)
    message += job.key
    message += job.context
    if len(message) > MAX_JOB_BYTES:
        raise UsageError("The context of a sealed body is too long.")
    return message


def unpack_job(message: bytes) -> Job:
    """The job of pack_job(); for the child, which trusts the service."""
    (size,) = _LENGTH.unpack_from(message)
    head = json.loads(message[4 : 4 + size])
    key_end = 4 + size + head["key_bytes"]
    return Job(
        options=ExtractOptions(**head["options"]),
        sealed=head["sealed"],
        key=message[4 + size : key_end],
        context=message[key_end:],
        body_offset=head["body_offset"],
        suite=head["suite"],
        probe=head["probe"],
    )


def pack_result(extraction: Extraction) -> bytes:
    """Numbers as JSON with the shortest text that reads back to the same float64."""
    vector, embedding = extraction.features, extraction.embedding
    return _framed(
        {
            "features": vector.values,
            "profile": vector.profile,
            "version": vector.version,
            "sample_rate_hz": vector.sample_rate_hz,
            "quality": asdict(extraction.quality),
            "embedding": None if embedding is None else embedding.values,
            "model_sha256": None if embedding is None else embedding.model_sha256,
        }
    )


def pack_error(error: BaseException) -> bytes:
    """A reason, never a text."""
    if isinstance(error, SottovoceError) and error.code == "audio_rejected" and error.reason in REASONS:
        return _framed({"refused": error.reason, "formats": needs_formats(error)})  # type: ignore[arg-type]
    return _framed({"failed": _failure(error)})


def _failure(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, ExtractionFailed) and error.reason == "child_result":
        return "result"
    named = {IntegrityError: "integrity", ExtraMissing: "extra", ConfigurationError: "configuration"}
    for kind, name in named.items():
        if isinstance(error, kind):
            return name
    return "usage" if isinstance(error, UsageError) else "internal"


def pack_probe(outcome: dict[str, str]) -> bytes:
    """What came of a hostile act (tests only)."""
    return _framed({"probe": outcome})


def _framed(fields: dict[str, Any]) -> bytes:
    text = json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()
    return _LENGTH.pack(len(text)) + text


def is_whole(data: bytes | bytearray | memoryview) -> bool:
    """Whether `data` is one complete framed message and nothing else."""
    return len(data) >= 4 and len(data) == 4 + _LENGTH.unpack_from(data)[0]


def unpack_result(data: bytes | bytearray | memoryview, options: ExtractOptions) -> Extraction:
    """The extraction, or the error that the child named: AudioRejected, IntegrityError, ExtractionFailed, ..."""
    fields = _parsed(data)
    if set(fields) == {"refused", "formats"}:
        reason = fields["refused"]
        if not isinstance(reason, str) or reason not in REASONS or not isinstance(fields["formats"], bool):
            raise malformed()
        raise rejected(reason, needs_formats=fields["formats"])
    if set(fields) == {"failed"}:
        raise failure(fields["failed"])
    return _extraction(fields, options)


def unpack_probe(data: bytes | bytearray | memoryview) -> dict[str, str]:
    """What pack_probe() said (tests only)."""
    fields = _parsed(data)
    outcome = fields.get("probe")
    if "failed" in fields:
        raise failure(fields["failed"])
    if not isinstance(outcome, dict):
        raise malformed()
    return {str(name): str(value) for name, value in outcome.items()}


def _parsed(data: bytes | bytearray | memoryview) -> dict[str, Any]:
    if len(data) > MAX_RESULT_BYTES or not is_whole(data):
        raise malformed()
    try:
        fields = json.loads(bytes(data[4:]).decode("ascii"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise malformed() from None
    if not isinstance(fields, dict):
        raise malformed()
    return fields


def _no_constant(name: str) -> float:
    raise ValueError(name)


def failure(name: object) -> SottovoceError:
    """Our own error for what a child called it."""
    if name == "memory":
        return ExtractionFailed(
            "The recording needed more memory than the sealed child may have.",
            hint="Raise the memory limit of the child, or send a shorter recording.",
            reason="child_memory",
        )
    if name == "integrity":
        return IntegrityError(
            "A sealed body does not open: altered, cut, moved, or sealed under another key."
        )
    if name == "extra":
        return ExtraMissing(hint='Install it with: pip install "sottovoce[embeddings]"')
    if name == "configuration":
        return ConfigurationError("The sealed child cannot work with these settings.")
    if name == "usage":
        return UsageError("The sealed child does not know what was asked of it.")
    if name == "internal":
        return ExtractionFailed(reason="child_crashed")
    return malformed()


def _extraction(fields: dict[str, Any], options: ExtractOptions) -> Extraction:
    expected = {"features", "profile", "version", "sample_rate_hz", "quality", "embedding", "model_sha256"}
    if set(fields) != expected or fields["profile"] != options.profile:
        raise malformed()
    values = _floats(fields["features"], FEATURE_COUNT)
    vector = FeatureVector(
        values=values,
        profile=options.profile,
        version=checked_text(fields["version"], VERSION),
        sample_rate_hz=checked_whole(fields["sample_rate_hz"], 1, 1_000_000),
    )
    return Extraction(
        features=vector, quality=_quality(fields["quality"], options), embedding=_embedding(fields, options)
    )


def _quality(fields: object, options: ExtractOptions) -> Quality:
    if not isinstance(fields, dict) or set(fields) != set(_QUALITY_FIELDS):
        raise malformed()
    flags = fields["flags"]
    if fields["channel"] != options.channel or not isinstance(flags, list) or len(flags) > 32:
        raise malformed()
    snr, tones = fields["snr_db"], fields["steady_tones"]
    return Quality(
        duration_s=_number(fields["duration_s"], 0.0, 1e6),
        voiced_frames=checked_whole(fields["voiced_frames"], 0, 10**8),
        clipped_share=_number(fields["clipped_share"], 0.0, 1.0),
        snr_db=None if snr is None else _number(snr, -1e3, 1e3),
        source_codec=checked_text(fields["source_codec"], _CODEC),
        source_rate_hz=checked_whole(fields["source_rate_hz"], 1, 1_000_000),
        source_channels=checked_whole(fields["source_channels"], 1, 64),
        channel=options.channel,
        flags=tuple(sorted({checked_text(flag, _WORD) for flag in flags})),
        steady_tones=None if tones is None else _number(tones, 0.0, 1.0),
    )


def _embedding(fields: dict[str, Any], options: ExtractOptions) -> Embedding | None:
    wanted = options.embedding_model is not None
    if (fields["embedding"] is not None) != wanted or (fields["model_sha256"] is not None) != wanted:
        raise malformed()
    if not wanted:
        return None
    values = _floats(fields["embedding"], EMBEDDING_SIZE)
    return Embedding(values=values, model_sha256=checked_text(fields["model_sha256"], SHA256))


def _floats(values: object, count: int) -> tuple[float, ...]:
    if not isinstance(values, list) or len(values) != count:
        raise malformed()
    return tuple(_number(value, -_MAX_FLOAT32, _MAX_FLOAT32) for value in values)


def _number(value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise malformed()
    if not low <= value <= high or not math.isfinite(value):
        raise malformed()
    return float(value)


def checked_whole(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise malformed()
    return value


def checked_text(value: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise malformed()
    return value


def malformed() -> ExtractionFailed:
    return ExtractionFailed(
        "The sealed child answered with something that is no result.", reason="child_result"
    )
