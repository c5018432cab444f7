"""Sealed records: what is kept of a recording goes in here, and comes out only for a purpose.

Rules upheld here, in order:
1. Every record has a random key of its own, written to the key store before the record is written.
2. The context binds tenant, subject, record, kind and version: a row moved elsewhere does not open.
3. Where nobody waits for the result (`submit`), it is sealed before it reaches this process (`places`, `rows`).
4. Nothing is opened without a PurposeGrant for that session and a purpose that opens that kind (law 8, C5a).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime

from sottovoce.errors import ConsentRequired
from sottovoce.model.features import Embedding, Extraction, FeatureVector, Insight, Quality
from sottovoce.model.findings import Findings
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.purpose import VOICE_ANALYSIS, PurposeGrant, purpose_of
from sottovoce.model.record import RECORD_KEY_CLASS, Decision, RecordKind, SealedRecord
from sottovoce.model.retention import RetentionPolicy
from sottovoce.ports import Place, SealedExtraction
from sottovoce.sealing import envelope
from sottovoce.sealing.context import encode_context
from sottovoce.usecases.keyring import Keyring, NewKey
from sottovoce.voice import bodies

_FORMAT = "1"


@dataclass(frozen=True)
class Sealed:
    """Everything of one extraction, sealed under keys that exist already, ready to be inserted."""

    findings: Findings
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

    def places(self, subject_id: str, *, embedding: bool = False) -> tuple[Place, ...]:
        """Make the keys of one result: where each kind of it will be sealed."""
        ids = {
            kind: new_id("decision" if kind == "decision" else "record", self.random_bytes)
            for kind in bodies.kinds_of(embedding=embedding)
        }
        keys = self.keyring.new_keys(
            [
                NewKey(key_id=key_id, kind="record", key_class=_key_class(kind), subject_id=subject_id)
                for kind, key_id in ids.items()
            ]
        )
        return tuple(
            Place(kind, key_id, keys[key_id], self._context(subject_id, key_id, kind))
            for kind, key_id in ids.items()
        )

    def seal(
        self, extraction: Extraction, insight: Insight, *, subject_id: str, session_id: str, at: datetime
    ) -> Sealed:
        """Make the keys, then the ciphertexts, of a result that this process holds and returns (`analyze`)."""
        places = self.places(subject_id, embedding=extraction.embedding is not None)
        plain = bodies.bodies_of(extraction, insight)
        sealed = {
            place.kind: envelope.seal(place.key, plain[place.kind], place.context, place.key_id)
            for place in places
        }
        made = SealedExtraction(bodies.findings_of(extraction, insight), sealed)
        return self.rows(made, places, subject_id=subject_id, session_id=session_id, at=at)

    def rows(
        self, made: SealedExtraction, places: Sequence[Place], *, subject_id: str, session_id: str, at: datetime
    ) -> Sealed:  # fmt: skip
        """The rows of a result that is sealed already, ready to be inserted."""
        ids, found = {place.kind: place.key_id for place in places}, made.findings
        records = tuple(
            SealedRecord(
                id=ids[kind], tenant=self.tenant, subject_id=subject_id, session_id=session_id, kind=kind,
                profile=found.profile, version=_version_of(kind, found), body=made.bodies[kind],
                created_at=at, expires_at=self.retention.promise(kind, at),
            )
            for kind in _record_kinds(ids)
        )  # fmt: skip
        decision = Decision(
            id=ids["decision"], tenant=self.tenant, subject_id=subject_id, session_id=session_id,
            purpose=VOICE_ANALYSIS, model=found.insight_model, model_sha256=found.insight_sha256,
            body=made.bodies["decision"], at=at, expires_at=self.retention.promise("decision", at),
        )  # fmt: skip
        return Sealed(found, records, (decision,))

    def open_features(self, record: SealedRecord, grant: PurposeGrant) -> tuple[FeatureVector, Quality]:
        return bodies.read_features(self._open(record, grant))

    def open_insight(self, record: SealedRecord, grant: PurposeGrant) -> Insight:
        return bodies.read_insight(self._open(record, grant))

    def open_embedding(self, record: SealedRecord, grant: PurposeGrant) -> Embedding:
        return bodies.read_embedding(self._open(record, grant))

    def open_decision(self, decision: Decision, grant: PurposeGrant) -> dict[str, object]:
        """What a rule or model saw (the hash of the features) and said; for the person's own access only."""
        if decision.session_id != grant.session_id or purpose_of(grant.purpose).basis != "right":
            raise ConsentRequired("The purpose does not open decisions.", reason="purpose_not_granted")
        key = self.keyring.open_key(decision.id)
        context = self._context(decision.subject_id, decision.id, "decision")
        return bodies.read_decision(envelope.open(key, decision.body, context))

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


def _record_kinds(kinds: Container[str]) -> list[RecordKind]:
    known: tuple[RecordKind, ...] = ("features", "insight", "embedding")
    return [kind for kind in known if kind in kinds]


def _version_of(kind: RecordKind, found: Findings) -> str:
    if kind == "insight":
        return found.insight_model
    if kind == "embedding" and found.embedding_sha256 is not None:
        return found.embedding_sha256
    return found.features_version
