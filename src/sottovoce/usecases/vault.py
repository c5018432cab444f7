"""Sealed records: what is kept of a recording goes in here, and comes out only for a purpose.

Rules upheld here, in order:
1. Every record has a random key of its own, written to the key store before the record is written.
2. The context binds tenant, subject, record, kind and version: a row moved elsewhere does not open.
3. Where nobody waits for the result (`submit`), it is sealed before it reaches this process (`places`, `rows`).
4. Nothing is opened without a PurposeGrant for that session and a purpose that opens that kind (law 8, C5a).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sottovoce.errors import ConsentRequired, IntegrityError, KeyUnavailable
from sottovoce.model.features import Embedding, Extraction, FeatureVector, Insight, Quality
from sottovoce.model.findings import Findings
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.inference import Inference, ModelUse, is_inference, purpose_for
from sottovoce.model.purpose import VOICE_ANALYSIS, PurposeGrant, purpose_of
from sottovoce.model.record import RECORD_KEY_CLASS, Decision, RecordKind, SealedRecord
from sottovoce.model.retention import RetentionPolicy
from sottovoce.ports import Place, SealedExtraction
from sottovoce.sealing import envelope
from sottovoce.sealing.context import encode_context
from sottovoce.usecases.keyring import Keyring, NewKey
from sottovoce.voice import bodies

_FORMAT = "1"
_INFERENCE = "inference:"  # and the attribute: the kind of the place of what one model said
_ID_KIND = {"decision": "decision", "inference": "decision"}  # of ids; everything else is a record


@dataclass(frozen=True)
class Sealed:
    """Everything of one extraction, sealed under keys that exist already, ready to be inserted."""

    findings: Findings
    records: tuple[SealedRecord, ...]
    decisions: tuple[Decision, ...]
    uses: tuple[ModelUse, ...] = ()  # the models that were run

    @property
    def key_ids(self) -> tuple[str, ...]:
        return (*(record.id for record in self.records), *(decision.id for decision in self.decisions))

    def without(self, purposes: Container[str]) -> Sealed:
        """All of it but the inferences for these purposes."""
        left = tuple(
            one for one in self.decisions if not is_inference(one.purpose) or one.purpose not in purposes
        )
        return replace(self, decisions=left)

    @property
    def expires_at(self) -> datetime:
        return min(row.expires_at for row in self.records)


@dataclass(frozen=True, kw_only=True)
class Vault:
    keyring: Keyring
    random_bytes: RandomBytes
    retention: RetentionPolicy
    tenant: str

    def places(
        self, subject_id: str, *, embedding: bool = False, uses: Sequence[ModelUse] = ()
    ) -> tuple[Place, ...]:
        """Make the keys of one result, and of what each model will say of it: where each kind will be sealed."""
        models = {_INFERENCE + use.attribute: use for use in uses}
        ids = {
            kind: new_id(_ID_KIND.get(kind.partition(":")[0], "record"), self.random_bytes)
            for kind in (*bodies.kinds_of(embedding=embedding), *models)
        }
        keys = self.keyring.new_keys(
            [
                NewKey(key_id=key_id, kind="record", key_class=_key_class(kind), subject_id=subject_id)
                for kind, key_id in ids.items()
            ]
        )
        return tuple(
            Place(
                kind, key_id, keys[key_id], self._context(subject_id, key_id, kind.partition(":")[0]),
                models.get(kind),
            )
            for kind, key_id in ids.items()
        )  # fmt: skip

    def seal(
        self, extraction: Extraction, insight: Insight, *, subject_id: str, session_id: str, at: datetime,
        said: Mapping[ModelUse, Inference] | None = None,
    ) -> Sealed:  # fmt: skip
        """Make the keys, then the ciphertexts, of a result that this process holds and returns (`analyze`). `said`:
        what each model said of it."""
        named = said or {}
        places = self.places(subject_id, embedding=extraction.embedding is not None, uses=tuple(named))
        inferences = {_INFERENCE + use.attribute: one for use, one in named.items()}
        plain = bodies.bodies_of(extraction, insight, inferences)
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
        inferred = tuple(
            replace(
                decision, id=place.key_id, purpose=purpose_for(place.model.attribute), model=place.model.attribute,
                model_sha256=place.model.sha256, body=made.bodies[place.kind],
            )
            for place in places
            if place.model is not None
        )  # fmt: skip
        uses = tuple(place.model for place in places if place.model is not None)
        return Sealed(found, records, (decision, *inferred), uses)

    def open_features(self, record: SealedRecord, grant: PurposeGrant) -> tuple[FeatureVector, Quality]:
        return bodies.read_features(self._open(record, grant))

    def open_insight(self, record: SealedRecord, grant: PurposeGrant) -> Insight:
        return bodies.read_insight(self._open(record, grant))

    def open_embedding(self, record: SealedRecord, grant: PurposeGrant) -> Embedding:
        return bodies.read_embedding(self._open(record, grant))

    def open_inference(self, decision: Decision, grant: PurposeGrant) -> Inference:
        """What a model said, for the purpose that it was inferred for or for the person's own access."""
        if grant.purpose != decision.purpose and purpose_of(grant.purpose).basis != "right":
            raise ConsentRequired(
                f"The purpose {grant.purpose} does not open this inference.", reason="purpose_not_granted"
            )
        return bodies.read_inference(self._open_decision(decision, grant))

    def open_decision(self, decision: Decision, grant: PurposeGrant) -> dict[str, object]:
        """What a rule or model saw (the hash of the features) and said; for the person's own access only."""
        if purpose_of(grant.purpose).basis != "right":
            raise ConsentRequired("The purpose does not open decisions.", reason="purpose_not_granted")
        return bodies.read_decision(self._open_decision(decision, grant))

    def _open_decision(self, decision: Decision, grant: PurposeGrant) -> bytes:
        if decision.session_id != grant.session_id or decision.subject_id != grant.subject_id:
            raise ConsentRequired(
                "The purpose was granted for another session.", reason="purpose_not_granted"
            )
        key = self.keyring.open_key(decision.id)
        kind = "inference" if is_inference(decision.purpose) else "decision"
        return envelope.open(key, decision.body, self._context(decision.subject_id, decision.id, kind))

    def opens(self, record: SealedRecord) -> bool:
        """Whether key and ciphertext still belong together, for restore drills. It is authenticated and let go at once:
        nothing of it comes out, so that no purpose is asked for."""
        try:
            key = self.keyring.open_key(record.id)
            envelope.open(key, record.body, self._context(record.subject_id, record.id, record.kind))
        except (KeyUnavailable, IntegrityError):
            return False
        return True

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
