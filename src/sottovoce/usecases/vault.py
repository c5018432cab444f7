"""Sealed records: what is kept of a recording goes in here, and comes out only for a purpose.

Rules upheld here, in order:
1. Every record has a random key of its own, written to the key store before the record is written.
2. The context binds tenant, subject, record, kind and version: a row moved elsewhere does not open.
3. Nothing is opened without a PurposeGrant for that session and a purpose that opens that kind (law 8, C5a).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from sottovoce.errors import ConsentRequired, IntegrityError
from sottovoce.model.features import Embedding, Extraction, FeatureVector, Insight, Quality
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.purpose import VOICE_ANALYSIS, PurposeGrant
from sottovoce.model.record import RECORD_KEY_CLASS, Decision, RecordKind, SealedRecord
from sottovoce.model.retention import RetentionPolicy
from sottovoce.sealing import envelope
from sottovoce.sealing.context import encode_context
from sottovoce.usecases.keyring import Keyring, NewKey
from sottovoce.voice import insight as insights

_FORMAT = "1"
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True)
class Sealed:
    """Everything of one extraction, sealed under keys that exist already, ready to be inserted."""

    records: tuple[SealedRecord, ...]
    decisions: tuple[Decision, ...]

    @property
    def key_ids(self) -> tuple[str, ...]:
        return (*(record.id for record in self.records), *(decision.id for decision in self.decisions))

    @property
    def expires_at(self) -> datetime:
        return min(row.expires_at for row in self.records)


@dataclass(frozen=True, kw_only=True)
class Vault:
    keyring: Keyring
    random_bytes: RandomBytes
    retention: RetentionPolicy
    tenant: str

    def seal(
        self, extraction: Extraction, insight: Insight, *, subject_id: str, session_id: str, at: datetime
    ) -> Sealed:
        """Make the keys, then the ciphertexts, of features, insight, decision and (if any) embedding."""
        bodies: dict[str, bytes] = {
            "features": _features_body(extraction.features, extraction.quality),
            "insight": _insight_body(insight),
        }
        if extraction.embedding is not None:
            bodies["embedding"] = _embedding_body(extraction.embedding)
        ids = {kind: new_id("record", self.random_bytes) for kind in bodies}
        ids["decision"] = new_id("decision", self.random_bytes)
        keys = self.keyring.new_keys(
            [
                NewKey(key_id=key_id, kind="record", key_class=_key_class(kind), subject_id=subject_id)
                for kind, key_id in ids.items()
            ]
        )
        vector = extraction.features
        bodies["decision"] = json.dumps(
            {"feature_sha256": vector.sha256(), "output": insights.insight_to_values(insight)}
        ).encode()
        ciphertext = {
            kind: envelope.seal(
                keys[ids[kind]], body, self._context(subject_id, ids[kind], kind), ids[kind]
            )
            for kind, body in bodies.items()
        }  # fmt: skip
        records = tuple(
            SealedRecord(
                id=ids[kind], tenant=self.tenant, subject_id=subject_id, session_id=session_id, kind=kind,
                profile=vector.profile, version=_version_of(kind, extraction, insight),
                body=ciphertext[kind], created_at=at, expires_at=self.retention.promise(kind, at),
            )
            for kind in _record_kinds(bodies)
        )  # fmt: skip
        decision = Decision(
            id=ids["decision"], tenant=self.tenant, subject_id=subject_id, session_id=session_id,
            purpose=VOICE_ANALYSIS, model=f"{insight.kind}/{insight.version}",
            model_sha256=insight.model_sha256, body=ciphertext["decision"], at=at,
            expires_at=self.retention.promise("decision", at),
        )  # fmt: skip
        return Sealed(records, (decision,))

    def open_features(self, record: SealedRecord, grant: PurposeGrant) -> tuple[FeatureVector, Quality]:
        return _read_features(self._open(record, grant))

    def open_insight(self, record: SealedRecord, grant: PurposeGrant) -> Insight:
        return _read_insight(self._open(record, grant))

    def open_embedding(self, record: SealedRecord, grant: PurposeGrant) -> Embedding:
        return _read_embedding(self._open(record, grant))

    def _open(self, record: SealedRecord, grant: PurposeGrant) -> bytes:
        if grant.session_id != record.session_id or grant.subject_id != record.subject_id:
            raise ConsentRequired(
                "The purpose was granted for another session.", reason="purpose_not_granted"
            )
        if not grant.opens(record.kind):
            raise ConsentRequired(
                f"The purpose {grant.purpose} does not open {record.kind}.", reason="purpose_not_granted"
            )
        key = self.keyring.open_key(record.id)
        return envelope.open(key, record.body, self._context(record.subject_id, record.id, record.kind))

    def _context(self, subject_id: str, record_id: str, kind: str) -> bytes:
        return encode_context(
            tenant=self.tenant, subject=subject_id, record=record_id, kind=kind, version=_FORMAT
        )


def _key_class(kind: str) -> str:
    return RECORD_KEY_CLASS.get(kind, "insights")


def _record_kinds(bodies: Mapping[str, bytes]) -> list[RecordKind]:
    kinds: tuple[RecordKind, ...] = ("features", "insight", "embedding")
    return [kind for kind in kinds if kind in bodies]


def _version_of(kind: str, extraction: Extraction, insight: Insight) -> str:
    if kind == "insight":
        return f"{insight.kind}/{insight.version}"
    if kind == "embedding" and extraction.embedding is not None:
        return extraction.embedding.model_sha256
    return extraction.features.version


def _features_body(features: FeatureVector, quality: Quality) -> bytes:
    """Length-prefixed JSON of what stands beside the vector, then its 352 bytes of float32."""
    beside = {
        "profile": features.profile,
        "version": features.version,
        "rate": features.sample_rate_hz,
        "quality": {field.name: getattr(quality, field.name) for field in fields(quality)},
    }
    text = json.dumps(beside, separators=(",", ":")).encode()
    return _LENGTH.pack(len(text)) + text + features.to_float32_bytes()


def _read_features(body: bytes) -> tuple[FeatureVector, Quality]:
    (size,) = _LENGTH.unpack_from(body)
    beside = json.loads(body[_LENGTH.size : _LENGTH.size + size])
    vector = FeatureVector.from_float32_bytes(
        body[_LENGTH.size + size :], profile=beside["profile"], version=beside["version"],
        sample_rate_hz=beside["rate"],
    )  # fmt: skip
    quality = beside["quality"]
    return vector, Quality(**{**quality, "flags": tuple(quality["flags"])})


def _insight_body(insight: Insight) -> bytes:
    """Values only: titles, units and texts are those of the rule table of that version."""
    content = {
        "kind": insight.kind,
        "version": insight.version,
        "model_sha256": insight.model_sha256,
        "values": insights.insight_to_values(insight),
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _read_insight(body: bytes) -> Insight:
    content = json.loads(body)
    found = insights.insight_from_values(content["values"], version=content["version"])
    if (found.kind, found.model_sha256) != (content["kind"], content["model_sha256"]):
        raise IntegrityError(
            "The insight was made by a rule table that this version of sottovoce does not have.",
            hint="Upgrade sottovoce, or read the features and derive the insight anew.",
            reason="rule_table_unknown",
        )
    return found


def _embedding_body(embedding: Embedding) -> bytes:
    values = struct.pack(f"<{len(embedding.values)}f", *embedding.values)
    return embedding.model_sha256.encode() + b"\0" + values


def _read_embedding(body: bytes) -> Embedding:
    model, _, values = body.partition(b"\0")
    return Embedding(values=struct.unpack(f"<{len(values) // 4}f", values), model_sha256=model.decode())
