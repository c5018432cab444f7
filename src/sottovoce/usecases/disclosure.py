"""Reading what is held: only for a purpose, only while it may be read, only after the audit entry is durable.

Rules upheld here, in order:
1. Unknown and foreign sessions look the same: NotFound.
2. A consent purpose needs the person's grant, read in the transaction that writes the audit entry; the person's own
   access needs none (laws 1 and 6).
3. What is past its due date is not read, swept or not (I7); what is restricted or objected to is not used, and stays
   the person's own to see (C12b).
4. What a recipient receives is written down in the same transaction, and nothing is handed to one from outside by a
   consent whose notice named nobody (C15a).
5. The audit entry commits before anything is decrypted (law 2, X37); many readers share one durable commit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sottovoce.errors import ConsentRequired, NotFound, UsageError
from sottovoce.model import consent as ledger
from sottovoce.model.ids import check_id
from sottovoce.model.inference import InferenceView, is_inference
from sottovoce.model.mark import Mark, forbidden, forbids, keeps
from sottovoce.model.outcome import SessionContent, SessionView
from sottovoce.model.purpose import Purpose, PurposeGrant, purpose_of
from sottovoce.model.recipient import DisclosureForm, KnownAs
from sottovoce.model.record import Decision, SealedRecord
from sottovoce.model.recording import Recording
from sottovoce.model.retention import RetentionPolicy
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.handover import RecipientDesk, refused_by_notice
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.permission import consent_error
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.trail import Scribe, Trail
from sottovoce.usecases.vault import Vault


@dataclass(frozen=True, kw_only=True)
class _Decided:
    """What one transaction has decided and written down about one reading."""

    consent: ledger.ConsentDecision
    records: tuple[SealedRecord, ...]
    inferred: tuple[Decision, ...]
    mark: Mark | None  # that forbids it
    notice: ConsentRequired | None  # the notice named no recipient
    handed: KnownAs | None = None

    def refuse(self) -> None:
        """Raise what stands against it."""
        if self.mark is not None:
            raise forbidden(self.mark)
        if not self.consent.allowed:
            raise consent_error(self.consent.missing, self.consent.outdated)
        if self.notice is not None:
            raise self.notice
        if not self.records:
            raise NotFound(
                "Nothing is kept of this session.",
                hint="It was returned once, has expired, or gave no result; its receipt stays.",
                reason="nothing_kept",
            )


@dataclass(frozen=True, kw_only=True)
class Disclosure:
    database: Database
    people: People
    vault: Vault
    trail: Trail
    reads: GroupCommit
    receipts: ReceiptBook
    retention: RetentionPolicy
    tenant: str

    def sessions(self, subject: str, *, caller: Caller) -> tuple[SessionView, ...]:
        """A person's sessions, newest first; none for one who is unknown."""
        with self.database.read() as tx:
            person = self.people.find(tx, subject)
        if person is None:
            return ()
        scribe = self.trail.of(person.id, caller=caller)

        def write(tx: UnitOfWork) -> bool:
            known = tx.subjects.get(person.id) is not None
            if known:
                scribe.write(tx, "sessions.listed")
            return known

        if not self.reads.run(write):
            return ()  # erased meanwhile
        with self.database.read() as tx:
            recordings = tx.recordings.of_subject(person.id)
            return tuple(self._view(tx, recording) for recording in recordings)

    def show(
        self, session_id: str, *, purpose: str, desk: RecipientDesk | None = None, caller: Caller
    ) -> SessionContent:
        """What a purpose may see of a session; `desk`: of the recipient that it is handed to. UsageError for an unknown
        purpose, NotFound, ConsentRequired, Conflict (reason `recipient_ended`)."""
        check_id(session_id, "session")
        wanted = purpose_of(purpose)
        if desk is not None and wanted.basis == "right":
            raise UsageError(
                f"{wanted.id} is the person's own right: nothing is handed to others for it.",
                hint="Name a purpose that the person agreed to, or hand over their package: `export --recipient`.",
                reason="not_a_consent_purpose",
            )
        grant, decided = self._grant(session_id, wanted, desk, caller=caller)
        opened = {record.kind: record for record in decided.records if grant.opens(record.kind)}
        features = quality = insight = None
        if "features" in opened:
            features, quality = self.vault.open_features(opened["features"], grant)
        if "insight" in opened:
            insight = self.vault.open_insight(opened["insight"], grant)
        return SessionContent(
            session_id=session_id, purpose=wanted.id, features=features, quality=quality, insight=insight,
            has_embedding="embedding" in opened,
            expires_at=min((self._due(record) for record in opened.values()), default=None),
            inferences=tuple(self._inference(decision, grant) for decision in decided.inferred),
            handed=decided.handed,
        )  # fmt: skip

    def _inference(self, decision: Decision, grant: PurposeGrant) -> InferenceView:
        said = self.vault.open_inference(decision, grant)
        return InferenceView(decision.id, decision.purpose, said, decision.at, self._decision_due(decision))

    def _grant(
        self, session_id: str, wanted: Purpose, desk: RecipientDesk | None, *, caller: Caller
    ) -> tuple[PurposeGrant, _Decided]:
        """The audited decision to open a session for a purpose: its records, and what was inferred for that purpose
        (for every one where the person's own right opens it)."""
        with self.database.read() as tx:
            recording = self._recording(tx, session_id)
            now = tx.now()
        scribe = self.trail.of(recording.subject_id, caller=caller).warm(now)
        decided = self.reads.run(lambda tx: self._decided(tx, session_id, wanted, desk, scribe))
        decided.refuse()
        return PurposeGrant(wanted.id, recording.subject_id, session_id), decided

    def _decided(
        self, tx: UnitOfWork, session_id: str, wanted: Purpose, desk: RecipientDesk | None, scribe: Scribe
    ) -> _Decided:
        recording = self._recording(tx, session_id)
        locked(tx, recording.subject_id)
        marks = tx.marks.of_subject(recording.subject_id)
        by_right = wanted.basis == "right"
        stays_on = by_right and keeps(marks)  # not swept, so still the person's to see
        records = tuple(r for r in tx.records.of_session(session_id) if stays_on or tx.now() < self._due(r))
        inferred = tuple(
            d for d in tx.records.decisions_of_session(session_id)
            if is_inference(d.purpose) and (by_right or d.purpose == wanted.id)
            and (stays_on or tx.now() < self._decision_due(d))
        )  # fmt: skip
        decided = _Decided(
            consent=self._decide(tx, recording, wanted), records=records, inferred=inferred,
            mark=None if by_right else forbids(marks, (wanted.id,)),
            notice=None if desk is None or by_right else self._notice(tx, recording, wanted, desk),
        )  # fmt: skip
        allowed = decided.consent.allowed and decided.mark is None and decided.notice is None
        outcome = "ok" if allowed and records else "refused"
        scribe.write(tx, "record.read", purpose=wanted.id, outcome=outcome, details={"session": session_id})
        if desk is None or outcome != "ok":
            return decided
        shown = {"features", "insight"} & set(wanted.opens)
        kinds = {r.kind for r in records if r.kind in shown} | {"inference" for _ in inferred}
        handed = desk.hand_over(
            tx, recording.subject_id, [session_id], purpose=wanted.id, what=" ".join(sorted(kinds)),
            form=DisclosureForm.SHOWN, scribe=scribe,
        )  # fmt: skip
        return replace(decided, handed=handed)

    def _notice(
        self, tx: UnitOfWork, recording: Recording, wanted: Purpose, desk: RecipientDesk
    ) -> ConsentRequired | None:
        state = ledger.fold(tx.consents.of_subject(recording.subject_id)).get(wanted.id)
        return refused_by_notice(tx, desk.recipient, state, tenant=self.tenant)

    def _recording(self, tx: UnitOfWork, session_id: str) -> Recording:
        recording = tx.recordings.get(session_id)
        if recording is None or recording.tenant != self.tenant:
            raise NotFound("There is no session of this id.")
        return recording

    def _decide(self, tx: UnitOfWork, recording: Recording, wanted: Purpose) -> ledger.ConsentDecision:
        if wanted.basis == "right":
            return ledger.ConsentDecision()
        states = ledger.fold(tx.consents.of_subject(recording.subject_id))
        return ledger.decide(states, (wanted.id,), material=tx.consents.material(self.tenant))

    def _due(self, record: SealedRecord) -> datetime:
        return self.retention.due(record.kind, record.created_at, record.expires_at)

    def _decision_due(self, decision: Decision) -> datetime:
        return self.retention.due("decision", decision.at, decision.expires_at)

    def _view(self, tx: UnitOfWork, recording: Recording) -> SessionView:
        records = [r for r in tx.records.of_session(recording.id) if tx.now() < self._due(r)]
        receipt = tx.receipts.get(recording.receipt_id) if recording.receipt_id else None
        return SessionView(
            session_id=recording.id, shape=recording.shape, state=recording.state,
            received_at=recording.received_at, ended_at=recording.ended_at, failure=recording.failure,
            kept=bool(records), expires_at=min((self._due(r) for r in records), default=None),
            record_kinds=tuple(r.kind for r in records), receipt_id=recording.receipt_id,
            receipt_path=self.receipts.path(receipt),
            inferred=tuple(
                d.purpose.removeprefix("infer_") for d in tx.records.decisions_of_session(recording.id)
                if is_inference(d.purpose) and tx.now() < self._decision_due(d)
            ),
        )  # fmt: skip
