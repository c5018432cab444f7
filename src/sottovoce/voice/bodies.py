"""The stored form of a result, as it stands inside the sealed records: made here and read here only.

    features   length (4 bytes, big-endian) | JSON of what stands beside the vector | 88 float32, little-endian
    insight    JSON of its values; titles, units and texts are those of the rule table of that version
    embedding  hash of the model | 0 | float32, little-endian
    decision   JSON: hash of the features, and the values that were said

A pure function of the result, so that the process that measured it, or one that lives for one result only, can make
these bytes and nobody else has to see them (docs/adr/0013).
"""

from __future__ import annotations

import json
import struct
from dataclasses import fields

from sottovoce.errors import IntegrityError
from sottovoce.model.features import Embedding, Extraction, FeatureVector, Insight, Quality
from sottovoce.model.findings import Findings
from sottovoce.voice import insight as insights

_LENGTH = struct.Struct(">I")


def kinds_of(*, embedding: bool) -> tuple[str, ...]:
    """The kinds of bodies that one result has."""
    return (
        ("features", "insight", "embedding", "decision") if embedding else ("features", "insight", "decision")
    )


def bodies_of(extraction: Extraction, insight: Insight) -> dict[str, bytes]:
    """Kind -> plaintext of every record of one result. Whoever calls this holds the result in memory."""
    decision = {
        "feature_sha256": extraction.features.sha256(),
        "output": insights.insight_to_values(insight),
    }
    bodies = {
        "features": _features_body(extraction.features, extraction.quality),
        "insight": _insight_body(insight),
        "decision": json.dumps(decision).encode(),
    }
    if extraction.embedding is not None:
        bodies["embedding"] = _embedding_body(extraction.embedding)
    return bodies


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
    (size,) = _LENGTH.unpack_from(body)
    beside = json.loads(body[_LENGTH.size : _LENGTH.size + size])
    vector = FeatureVector.from_float32_bytes(
        body[_LENGTH.size + size :], profile=beside["profile"], version=beside["version"],
        sample_rate_hz=beside["rate"],
    )  # fmt: skip
    quality = beside["quality"]
    return vector, Quality(**{**quality, "flags": tuple(quality["flags"])})


def read_insight(body: bytes) -> Insight:
    """IntegrityError (reason `rule_table_unknown`) where this release does not have its rule table."""
    content = json.loads(body)
    found = insights.insight_from_values(content["values"], version=content["version"])
    if (found.kind, found.model_sha256) != (content["kind"], content["model_sha256"]):
        raise IntegrityError(
            "The insight was made by a rule table that this version of sottovoce does not have.",
            hint="Upgrade sottovoce, or read the features and derive the insight anew.",
            reason="rule_table_unknown",
        )
    return found


def read_embedding(body: bytes) -> Embedding:
    model, _, values = body.partition(b"\0")
    return Embedding(values=struct.unpack(f"<{len(values) // 4}f", values), model_sha256=model.decode())


def read_decision(body: bytes) -> dict[str, object]:
    decision: dict[str, object] = json.loads(body)
    return decision


def _features_body(features: FeatureVector, quality: Quality) -> bytes:
    beside = {
        "profile": features.profile,
        "version": features.version,
        "rate": features.sample_rate_hz,
        "quality": {field.name: getattr(quality, field.name) for field in fields(quality)},
    }
    text = json.dumps(beside, separators=(",", ":")).encode()
    return _LENGTH.pack(len(text)) + text + features.to_float32_bytes()


def _insight_body(insight: Insight) -> bytes:
    content = {
        "kind": insight.kind,
        "version": insight.version,
        "model_sha256": insight.model_sha256,
        "values": insights.insight_to_values(insight),
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _embedding_body(embedding: Embedding) -> bytes:
    values = struct.pack(f"<{len(embedding.values)}f", *embedding.values)
    return embedding.model_sha256.encode() + b"\0" + values
