"""The stored form of a result, as it stands inside the sealed records: made here and read here only.

    features   2 | 88 float32, little-endian | JSON list: profile, version, rate, quality in the order of its fields
    insight    2 | said
    decision   2 | SHA-256 of the features (32 bytes) | said
    inference  3 | JSON object: what a model said, with the hashes of features, model and card
    embedding  hash of the model | 0 | float32, little-endian

    said       SHA-256 of the rule table (32 bytes) | count | so many float64, little-endian, NaN: not available |
               version. The values stand in the order of the rule table of that version; titles, units and texts are its

A home of before has JSON in place of these; it is still read.

A pure function of the result, so that the process that measured it, or one that lives for one result only, can make
these bytes and nobody else has to see them (docs/adr/0013).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict, astuple, fields
from typing import Any

from sottovoce.errors import IntegrityError
from sottovoce.model.features import FEATURE_COUNT, Embedding, Extraction, FeatureVector, Insight, Quality
from sottovoce.model.findings import Findings
from sottovoce.model.inference import Inference
from sottovoce.voice import insight as insights

_COMPACT = 2  # first byte; a JSON object begins with {, the length of the older features with 0
_INFERENCE = 3
_VECTOR_BYTES = 4 * FEATURE_COUNT
_HASH_BYTES = 32
_LENGTH = struct.Struct(">I")


def kinds_of(*, embedding: bool) -> tuple[str, ...]:
    """The kinds of bodies that one result has."""
    return (
        ("features", "insight", "embedding", "decision") if embedding else ("features", "insight", "decision")
    )


def bodies_of(
    extraction: Extraction, insight: Insight, inferences: Mapping[str, Inference] | None = None
) -> dict[str, bytes]:
    """Kind -> plaintext of every record of one result. Whoever calls this holds the result in memory. `inferences` go
    by the kind of their own place."""
    said = _said(insight)
    bodies = {
        "features": _features_body(extraction.features, extraction.quality),
        "insight": bytes([_COMPACT]) + said,
        "decision": bytes([_COMPACT]) + bytes.fromhex(extraction.features.sha256()) + said,
    }
    if extraction.embedding is not None:
        bodies["embedding"] = _embedding_body(extraction.embedding)
    return bodies | {kind: _inference_body(one) for kind, one in (inferences or {}).items()}


def findings_of(extraction: Extraction, insight: Insight) -> Findings:
    """What may be known of it by those who do not see it."""
    vector, embedding = extraction.features, extraction.embedding
    return Findings(
        profile=vector.profile,
        features_version=vector.version,
        feature_sha256=vector.sha256(),
        insight_kind=insight.kind,
        insight_version=insight.version,
        insight_sha256=insight.model_sha256,
        embedding_sha256=None if embedding is None else embedding.model_sha256,
    )


def read_features(body: bytes) -> tuple[FeatureVector, Quality]:
    if body[0] != _COMPACT:
        return _read_older_features(body)
    profile, version, rate, quality = json.loads(body[1 + _VECTOR_BYTES :])
    names = [field.name for field in fields(Quality)]  # fields are only ever added, at the end
    return (
        FeatureVector.from_float32_bytes(
            body[1 : 1 + _VECTOR_BYTES], profile=profile, version=version, sample_rate_hz=rate
        ),
        _quality(dict(zip(names, quality, strict=False))),
    )


def read_insight(body: bytes) -> Insight:
    """IntegrityError (reason `rule_table_unknown`) where this release does not have its rule table."""
    if body[0] == _COMPACT:
        sha256, values, version = _read_said(body[1:])
        kind = insights.KIND
    else:
        content = json.loads(body)
        kind, sha256 = content["kind"], content["model_sha256"]
        values, version = content["values"], content["version"]
    found = insights.insight_from_values(values, version=version)
    if (found.kind, found.model_sha256) != (kind, sha256):
        raise insights.unknown_rule_table()
    return found


def read_embedding(body: bytes) -> Embedding:
    model, _, values = body.partition(b"\0")
    return Embedding(values=struct.unpack(f"<{len(values) // 4}f", values), model_sha256=model.decode())


def read_decision(body: bytes) -> dict[str, object]:
    """The hash of the features, and what was said: value by name; of an inference all that its body holds."""
    if body[0] == _INFERENCE:
        return asdict(read_inference(body))
    if body[0] != _COMPACT:
        decision: dict[str, object] = json.loads(body)
        return decision
    _, values, _ = _read_said(body[1 + _HASH_BYTES :])
    return {"feature_sha256": body[1 : 1 + _HASH_BYTES].hex(), "output": values}


def read_inference(body: bytes) -> Inference:
    """IntegrityError (reason `inference_malformed`) where it is the body of something else."""
    names = {field.name for field in fields(Inference)}
    # what was stored before models had a range does not say `unlike`
    if body[:1] != bytes([_INFERENCE]) or set(said := json.loads(body[1:])) | {"unlike"} != names:
        raise IntegrityError("This decision is no inference of a model.", reason="inference_malformed")
    lists = {name: tuple(value) for name, value in said.items() if isinstance(value, list)}
    return Inference(**{**said, **lists})


def _inference_body(inference: Inference) -> bytes:
    """Floats as the shortest text that reads back to the same float64."""
    text = json.dumps(asdict(inference), separators=(",", ":"), sort_keys=True, allow_nan=False)
    return bytes([_INFERENCE]) + text.encode()


def _features_body(features: FeatureVector, quality: Quality) -> bytes:
    beside = [features.profile, features.version, features.sample_rate_hz, astuple(quality)]
    text = json.dumps(beside, separators=(",", ":")).encode()
    return bytes([_COMPACT]) + features.to_float32_bytes() + text


def _read_older_features(body: bytes) -> tuple[FeatureVector, Quality]:
    (size,) = _LENGTH.unpack_from(body)
    beside = json.loads(body[_LENGTH.size : _LENGTH.size + size])
    vector = FeatureVector.from_float32_bytes(
        body[_LENGTH.size + size :], profile=beside["profile"], version=beside["version"],
        sample_rate_hz=beside["rate"],
    )  # fmt: skip
    return vector, _quality(beside["quality"])


def _quality(values: dict[str, Any]) -> Quality:
    return Quality(**{**values, "flags": tuple(values["flags"])})


def _said(insight: Insight) -> bytes:
    values = [math.nan if item.value is None else item.value for item in insight.items]
    packed = struct.pack(f"<B{len(values)}d", len(values), *values)
    return bytes.fromhex(insight.model_sha256) + packed + insight.version.encode()


def _read_said(body: bytes) -> tuple[str, dict[str, float | None], str]:
    """(hash of the rule table, value by name, version); IntegrityError for a table that is not known here."""
    count = body[_HASH_BYTES]
    start, end = _HASH_BYTES + 1, _HASH_BYTES + 1 + 8 * count
    values = struct.unpack(f"<{count}d", body[start:end])
    version = body[end:].decode()
    names = insights.names_of(version)
    given = (None if math.isnan(value) else value for value in values)
    return body[:_HASH_BYTES].hex(), dict(zip(names, given, strict=True)), version


def _embedding_body(embedding: Embedding) -> bytes:
    values = struct.pack(f"<{len(embedding.values)}f", *embedding.values)
    return embedding.model_sha256.encode() + b"\0" + values
