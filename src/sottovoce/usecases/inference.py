"""The decision log: what rules and models said of a person, by what, from what; and the same computed once more.

Rules upheld here, in order:
1. Unknown people, sessions and decisions look alike: NotFound; what is past its date is not opened (I7), unless a
   restriction or a hold keeps it for the person to see.
2. The entry in the audit log is committed before anything is opened (law 2). Listing is the person's own right (law 6);
   a replay is for the decision's own purpose, which the person has to have granted, or for their right (C5a).
3. A replay runs exactly the model of the hash that is logged on exactly the features of the hash that is logged, and
   says "same" only for the same value to the bit (C34b); why not is said in words, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from sottovoce.errors import IntegrityError, KeyUnavailable, NotFound, UsageError
from sottovoce.model import consent as ledger
from sottovoce.model.features import FeatureVector, Quality
from sottovoce.model.ids import check_id
from sottovoce.model.inference import Inference, is_inference
from sottovoce.model.mark import Mark, forbidden, forbids, keeps
from sottovoce.model.purpose import SUBJECT_ACCESS, Purpose, PurposeGrant, purpose_of
from sottovoce.model.record import Decision, SealedRecord
from sottovoce.model.retention import RetentionPolicy
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.permission import consent_error
from sottovoce.usecases.registry import Registry
from sottovoce.usecases.trail import Trail
from sottovoce.usecases.vault import Vault
from sottovoce.voice import insight as rules
from sottovoce.voice.models.inference import infer

Verdict = Literal["same", "same_but_rounding", "differs", "not_replayed"]
_ROUNDING = 1e-5  # relative: stored features are float32, the voice profile was computed from more digits
_WORDS = {
    "same": "the same value, to the bit",
    "same_but_rounding": "the same but for rounding: it was computed from more digits than are stored",
    "differs": "another value",
    "model_gone": "the model or rule table of that hash is not here any more",
    "features_gone": "the features are not kept any more",
    "features_changed": "the features that are kept are not the ones that were logged",
}


@dataclass(frozen=True, slots=True)
class DecisionView:
    """One decision, opened: what was said, by which model or rule table, from which features."""

    id: str
    session_id: str
    purpose: str
    model: str
    model_sha256: str
    at: datetime
    expires_at: datetime
    feature_sha256: str | None  # None: no key opens it any more
    inference: Inference | None = field(repr=False)  # of a model
    values: Mapping[str, object] | None = field(repr=False)  # of a rule table


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of computing a decision once more."""

    decision: DecisionView
    verdict: Verdict
    reason: str  # code of why there is no other verdict; else the verdict
    words: str
    again: Inference | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class DecisionLog:
    database: Database
    people: People
    vault: Vault
    trail: Trail
    reads: GroupCommit
    registry: Registry
    retention: RetentionPolicy
    tenant: str

    def list(
        self, *, subject: str | None = None, session_id: str | None = None, caller: Caller
    ) -> tuple[DecisionView, ...]:
        """The decisions of a person, or of one session, oldest first. UsageError unless exactly one is named;
        NotFound."""
        if (subject is None) == (session_id is None):
            raise UsageError("Name a person or a session, and not both.", reason="whose_decisions")
        with self.database.read() as tx:
            subject_id, sessions = self._whose(tx, subject, session_id)
        scribe = self.trail.of(subject_id, caller=caller)

        def write(tx: UnitOfWork) -> None:
            locked(tx, subject_id)
            details = {"session": session_id} if session_id else None
            scribe.write(tx, "decisions.listed", purpose=SUBJECT_ACCESS, details=details)

        self.reads.run(write)
        with self.database.read() as tx:
            stays_on = keeps(tx.marks.of_subject(subject_id))
            found = [one for session in sessions for one in tx.records.decisions_of_session(session)]
            readable = [one for one in found if stays_on or tx.now() < self._due(one)]
        return tuple(self._view(one) for one in sorted(readable, key=lambda one: (one.at, one.id)))

    def replay(self, decision_id: str, *, purpose: str | None = None, caller: Caller) -> Replay:
        """Compute a decision once more from what is kept. `purpose`: what it is opened for (else its own). NotFound,
        ConsentRequired, UsageError."""
        check_id(decision_id, "decision")
        with self.database.read() as tx:
            decision = self._decision(tx, decision_id)
        wanted = purpose_of(purpose or decision.purpose)
        record = self._grant(decision, wanted, caller=caller)
        view = self._view(decision)
        grant = PurposeGrant(wanted.id, decision.subject_id, decision.session_id)
        opened = None if record is None else self._features(record, grant)
        if opened is None:
            return _not_replayed(view, "features_gone")
        features, quality = opened
        if features.sha256() != view.feature_sha256:
            return _not_replayed(view, "features_changed")
        if view.inference is not None:
            return self._again(view, view.inference, features, quality)
        return _rules_again(view, features, quality)

    # --- finding ---------------------------------------------------------------------------------------

    def _whose(
        self, tx: UnitOfWork, subject: str | None, session_id: str | None
    ) -> tuple[str, tuple[str, ...]]:
        if session_id is not None:
            recording = tx.recordings.get(check_id(session_id, "session"))
            if recording is None or recording.tenant != self.tenant:
                raise NotFound("There is no session of this id.")
            return recording.subject_id, (recording.id,)
        person = self.people.find(tx, subject or "")
        if person is None:
            raise NotFound(
                "Nothing is held of this person.",
                hint="Check the id; a person who was erased looks the same as one who was never here.",
                reason="nothing_held",
            )
        return person.id, tuple(recording.id for recording in tx.recordings.of_subject(person.id))

    def _decision(self, tx: UnitOfWork, decision_id: str) -> Decision:
        decision = tx.records.decision(decision_id)
        kept = decision is not None and keeps(tx.marks.of_subject(decision.subject_id))
        if decision is None or decision.tenant != self.tenant or not (kept or tx.now() < self._due(decision)):
            raise NotFound(
                "There is no decision of this id.", hint="`sottovoce decisions list` lists what is kept."
            )
        return decision

    def _grant(self, decision: Decision, wanted: Purpose, *, caller: Caller) -> SealedRecord | None:
        """The audited decision to open it; the features, where they are kept."""
        scribe = self.trail.of(decision.subject_id, caller=caller)
        by_right = wanted.basis == "right"

        def decide(tx: UnitOfWork) -> tuple[ledger.ConsentDecision, SealedRecord | None, Mark | None]:
            locked(tx, decision.subject_id)
            marks = tx.marks.of_subject(decision.subject_id)
            stop = None if by_right else forbids(marks, (wanted.id,))
            states = ledger.fold(tx.consents.of_subject(decision.subject_id))
            material = tx.consents.material(self.tenant)
            allowed = (
                ledger.ConsentDecision()
                if by_right
                else ledger.decide(states, (wanted.id,), material=material)
            )
            scribe.write(
                tx, "decision.replayed", purpose=wanted.id,
                outcome="ok" if allowed.allowed and stop is None else "refused",
                details={"session": decision.session_id, "decision": decision.id},
            )  # fmt: skip
            stays_on = by_right and keeps(marks)
            records = tx.records.of_session(decision.session_id)
            readable = (one for one in records if stays_on or tx.now() < self._record_due(one))
            return allowed, next((one for one in readable if one.kind == "features"), None), stop

        allowed, record, stop = self.reads.run(decide)
        if stop is not None:
            raise forbidden(stop)
        if not allowed.allowed:
            raise consent_error(allowed.missing, allowed.outdated)
        return record

    def _due(self, decision: Decision) -> datetime:
        return self.retention.due("decision", decision.at, decision.expires_at)

    def _record_due(self, record: SealedRecord) -> datetime:
        return self.retention.due(record.kind, record.created_at, record.expires_at)

    # --- opening ---------------------------------------------------------------------------------------

    def _view(self, decision: Decision) -> DecisionView:
        """Opened by the person's right: the entry that allows it is committed."""
        grant = PurposeGrant(SUBJECT_ACCESS, decision.subject_id, decision.session_id)
        inference, values, feature_sha256 = None, None, None
        try:
            if is_inference(decision.purpose):
                inference = self.vault.open_inference(decision, grant)
                feature_sha256 = inference.feature_sha256
            else:
                opened = self.vault.open_decision(decision, grant)
                feature_sha256 = str(opened["feature_sha256"])
                output = opened.get("output")
                values = output if isinstance(output, Mapping) else None
        except (KeyUnavailable, IntegrityError) as error:
            if error.reason not in ("key_destroyed", "rule_table_unknown"):
                raise
        return DecisionView(
            id=decision.id, session_id=decision.session_id, purpose=decision.purpose, model=decision.model,
            model_sha256=decision.model_sha256, at=decision.at, expires_at=self._due(decision),
            feature_sha256=feature_sha256, inference=inference, values=values,
        )  # fmt: skip

    def _features(self, record: SealedRecord, grant: PurposeGrant) -> tuple[FeatureVector, Quality] | None:
        try:
            return self.vault.open_features(record, grant)
        except KeyUnavailable as error:
            if error.reason != "key_destroyed":
                raise
            return None

    def _again(
        self, view: DecisionView, before: Inference, features: FeatureVector, quality: Quality
    ) -> Replay:
        use = self.registry.by_hash(view.model_sha256)
        if use is None:
            return _not_replayed(view, "model_gone")
        again = infer(use, features, quality)
        verdict: Verdict = "same" if _said(again) == _said(before) else "differs"
        return Replay(view, verdict, verdict, _WORDS[verdict], again)


def _said(inference: Inference) -> tuple[object, ...]:
    """What has to be the same: the numbers and the set, not the card's words."""
    return inference.labels, inference.probabilities, inference.label_set, inference.number


def _rules_again(view: DecisionView, features: FeatureVector, quality: Quality) -> Replay:
    again = rules.voice_profile(features, quality)
    if view.values is None or again.model_sha256 != view.model_sha256:
        return _not_replayed(view, "model_gone")
    values = rules.insight_to_values(again)
    verdict: Verdict = "differs"
    if values == view.values:
        verdict = "same"
    elif set(values) == set(view.values) and all(_close(values[name], view.values[name]) for name in values):
        verdict = "same_but_rounding"
    return Replay(view, verdict, verdict, _WORDS[verdict])


def _close(one: object, other: object) -> bool:
    if not isinstance(one, float) or not isinstance(other, float):
        return one == other
    return math.isclose(one, other, rel_tol=_ROUNDING, abs_tol=_ROUNDING)


def _not_replayed(view: DecisionView, reason: str) -> Replay:
    return Replay(view, "not_replayed", reason, _WORDS[reason])
