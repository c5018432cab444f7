"""The privacy facts of one session: who could open it, who did, what was inferred, when it dies.

Rules upheld here, in order:
1. Every fact is derived from the rows and the audit log as they stand, never kept beside them (BP5).
2. Who can open it is decided by the rules that `show` asks: consent, objection and restriction as they stand now.
3. What is past its date is not on the card, unless a mark keeps it; no feature value is, ever.

Looking is written down before the card is made: by `usecases/access_log.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sottovoce.errors import IntegrityError, KeyUnavailable
from sottovoce.model import consent as ledger
from sottovoce.model.features import Quality
from sottovoce.model.inference import Inference as ModelSaid
from sottovoce.model.inference import is_inference
from sottovoce.model.mark import Mark, forbids, keeps
from sottovoce.model.purpose import PURPOSES, SUBJECT_ACCESS, PurposeGrant
from sottovoce.model.record import Decision, SealedRecord
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.retention import RetentionPolicy
from sottovoce.ports import UnitOfWork
from sottovoce.usecases.access_entries import AccessEntry, MarkView, mark_view
from sottovoce.usecases.handover import DisclosureView, disclosed
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.vault import Vault


@dataclass(frozen=True, slots=True)
class Opener:
    """Who can open what of a session, and on what ground."""

    purpose: str
    title: str
    legal_basis: str
    opens: tuple[str, ...]  # kinds that are kept of this session


@dataclass(frozen=True, slots=True)
class Inference:
    """What a rule or model said of a session."""

    model: str
    model_sha256: str
    purpose: str
    at: datetime
    until: datetime
    # of a model: the value in words; "-" of a rule table, or where no key opens it
    said: str = field(default="-", repr=False)


@dataclass(frozen=True, slots=True)
class FactsCard:
    """The privacy facts of one session."""

    session_id: str
    captured_at: datetime
    captured_by: str  # actor and channel of the entry of its beginning; "-" where no key opens it any more
    shape: str
    quality: Quality | None
    audio: str  # what became of it, in plain words
    state: str
    openers: tuple[Opener, ...]
    accesses: tuple[AccessEntry, ...]
    kept: tuple[tuple[str, datetime], ...]  # kind, due date
    stays_on: bool  # restricted or held: what is due is not destroyed before that is lifted
    inferred: tuple[Inference, ...]
    marks: tuple[MarkView, ...]
    key_copies: str  # until when a copy of the key store opens it once it is erased, in plain words
    recipients: tuple[DisclosureView, ...] = ()  # who else has received something of it


@dataclass(frozen=True, kw_only=True)
class FactsCards:
    """Makes the card of a session, in the transaction that is given."""

    vault: Vault
    keyring: Keyring
    retention: RetentionPolicy
    tenant: str

    def of(self, tx: UnitOfWork, recording: Recording, entries: tuple[AccessEntry, ...]) -> FactsCard:
        """`entries`: those of this session in the person's log, oldest first."""
        marks = tx.marks.of_subject(recording.subject_id)
        records = tx.records.of_session(recording.id)
        stays_on = keeps(marks)
        kept = tuple(
            (record.kind, self._due(record)) for record in records if stays_on or tx.now() < self._due(record)
        )
        born = next((e for e in entries if e.kind in ("recording.received", "recording.imported")), None)
        return FactsCard(
            session_id=recording.id, captured_at=recording.received_at,
            captured_by="-" if born is None else f"{born.actor} ({born.channel})", shape=recording.shape,
            quality=self._quality(records, recording), audio=audio_words(recording), state=str(recording.state),
            openers=self._openers(tx, recording, tuple(kind for kind, _ in kept), marks),
            accesses=tuple(entry for entry in entries if entry.read), kept=kept, stays_on=stays_on and bool(kept),
            inferred=self._inferred(tx, recording, stays_on=stays_on),
            marks=tuple(
                mark_view(mark, None)
                for mark in marks
                if mark.lifted_at is None and mark.session_id in (None, recording.id)
            ),
            key_copies=self.keyring.destroyed_by(tx.now()).words,
            recipients=tuple(
                one
                for one in disclosed(tx, recording.subject_id, keyring=self.keyring, tenant=self.tenant)
                if one.session_id == recording.id
            ),
        )  # fmt: skip

    def _openers(
        self, tx: UnitOfWork, recording: Recording, kinds: tuple[str, ...], marks: tuple[Mark, ...]
    ) -> tuple[Opener, ...]:
        """The purposes that would open something of it now: what `show` would allow."""
        states = ledger.fold(tx.consents.of_subject(recording.subject_id))
        material = tx.consents.material(self.tenant)
        found = []
        for purpose in PURPOSES.values():
            opens = tuple(kind for kind in kinds if kind in purpose.opens)
            by_right = purpose.basis == "right"
            allowed = by_right or (
                ledger.decide(states, (purpose.id,), material=material).allowed
                and forbids(marks, (purpose.id,)) is None
            )
            if opens and allowed:
                found.append(Opener(purpose.id, purpose.title, purpose.legal_basis, opens))
        return tuple(found)

    def _inferred(self, tx: UnitOfWork, recording: Recording, *, stays_on: bool) -> tuple[Inference, ...]:
        return tuple(
            Inference(
                one.model, one.model_sha256, one.purpose, one.at, self._decision_due(one), self._said(one)
            )
            for one in tx.records.decisions_of_session(recording.id)
            if stays_on or tx.now() < self._decision_due(one)
        )

    def _quality(self, records: tuple[SealedRecord, ...], recording: Recording) -> Quality | None:
        """How it was captured stands sealed beside the features; the person's own right opens it."""
        grant = PurposeGrant(SUBJECT_ACCESS, recording.subject_id, recording.id)
        for record in records:
            if record.kind == "features":
                try:
                    return self.vault.open_features(record, grant)[1]
                except (KeyUnavailable, IntegrityError):
                    return None
        return None

    def _said(self, decision: Decision) -> str:
        if not is_inference(decision.purpose):
            return "-"
        grant = PurposeGrant(SUBJECT_ACCESS, decision.subject_id, decision.session_id)
        try:
            return said_words(self.vault.open_inference(decision, grant))
        except (KeyUnavailable, IntegrityError):
            return "-"

    def _decision_due(self, decision: Decision) -> datetime:
        return self.retention.due("decision", decision.at, decision.expires_at)

    def _due(self, record: SealedRecord) -> datetime:
        return self.retention.due(record.kind, record.created_at, record.expires_at)


def said_words(said: ModelSaid) -> str:
    """What a model said, in a few words: the value with the model's own confidence where there is one."""
    sure = "" if said.confidence is None else f" (the model's own confidence: {said.confidence:.0%})"
    why = f" ({said.reason})" if said.reason else ""
    return said.value + sure + why


def audio_words(recording: Recording) -> str:
    """What became of the audio, in plain words."""
    if recording.ended:
        if recording.body_stored_at is None:
            return "no copy was ever made of it"
        return "the sealed copy and its key were destroyed, and not found after that"
    if recording.state is RecordingState.HELD:
        return "sealed, held for another attempt"
    return "being worked on"
