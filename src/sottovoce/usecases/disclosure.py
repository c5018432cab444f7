"""Reading what is held: only for a purpose, only while it may be read, only after the audit entry is durable.

Rules upheld here, in order:
1. Unknown and foreign sessions look the same: NotFound.
2. A consent purpose needs the person's grant, read in the transaction that writes the audit entry; the person's own
   access needs none (laws 1 and 6).
3. What is past its due date is not read, swept or not (I7); what is restricted or objected to is not used, and stays
   the person's own to see (C12b).
4. The audit entry commits before anything is decrypted (law 2, X37); many readers share one durable commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sottovoce.errors import NotFound
from sottovoce.model import consent as ledger
from sottovoce.model.ids import check_id
from sottovoce.model.mark import Mark, forbidden, forbids, keeps
from sottovoce.model.outcome import SessionContent, SessionView
from sottovoce.model.purpose import Purpose, PurposeGrant, purpose_of
from sottovoce.model.record import SealedRecord
from sottovoce.model.recording import Recording
from sottovoce.model.retention import RetentionPolicy
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.record import consent_error
from sottovoce.usecases.trail import Trail
from sottovoce.usecases.vault import Vault


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

    def show(self, session_id: str, *, purpose: str, caller: Caller) -> SessionContent:
        """What a purpose may see of a session. UsageError for an unknown purpose, NotFound, ConsentRequired."""
        check_id(session_id, "session")
        wanted = purpose_of(purpose)
        grant, records = self._grant(session_id, wanted, caller=caller)
        opened = {record.kind: record for record in records if grant.opens(record.kind)}
        features = quality = insight = None
        if "features" in opened:
            features, quality = self.vault.open_features(opened["features"], grant)
        if "insight" in opened:
            insight = self.vault.open_insight(opened["insight"], grant)
        return SessionContent(
            session_id=session_id, purpose=wanted.id, features=features, quality=quality, insight=insight,
            has_embedding="embedding" in opened,
            expires_at=min((self._due(record) for record in opened.values()), default=None),
        )  # fmt: skip

    def _grant(
        self, session_id: str, wanted: Purpose, *, caller: Caller
    ) -> tuple[PurposeGrant, tuple[SealedRecord, ...]]:
        """The audited decision to open a session for a purpose."""
        with self.database.read() as tx:
            recording = self._recording(tx, session_id)
            now = tx.now()
        scribe = self.trail.of(recording.subject_id, caller=caller).warm(now)

        def decide(tx: UnitOfWork) -> tuple[ledger.ConsentDecision, tuple[SealedRecord, ...], Mark | None]:
            recording = self._recording(tx, session_id)
            locked(tx, recording.subject_id)
            decision = self._decide(tx, recording, wanted)
            marks = tx.marks.of_subject(recording.subject_id)
            by_right = wanted.basis == "right"
            stop = None if by_right else forbids(marks, (wanted.id,))
            stays_on = by_right and keeps(marks)  # not swept, so still the person's to see
            records = tuple(
                r for r in tx.records.of_session(session_id) if stays_on or tx.now() < self._due(r)
            )
            outcome = "ok" if decision.allowed and records and stop is None else "refused"
            scribe.write(
                tx, "record.read", purpose=wanted.id, outcome=outcome, details={"session": session_id}
            )
            return decision, records, stop

        decision, records, stop = self.reads.run(decide)
        if stop is not None:
            raise forbidden(stop)
        if not decision.allowed:
            raise consent_error(decision.missing, decision.outdated)
        if not records:
            raise NotFound(
                "Nothing is kept of this session.",
                hint="It was returned once, has expired, or gave no result; its receipt stays.",
                reason="nothing_kept",
            )
        return PurposeGrant(wanted.id, recording.subject_id, session_id), records

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

    def _view(self, tx: UnitOfWork, recording: Recording) -> SessionView:
        records = [r for r in tx.records.of_session(recording.id) if tx.now() < self._due(r)]
        receipt = tx.receipts.get(recording.receipt_id) if recording.receipt_id else None
        return SessionView(
            session_id=recording.id, shape=recording.shape, state=recording.state,
            received_at=recording.received_at, ended_at=recording.ended_at, failure=recording.failure,
            kept=bool(records), expires_at=min((self._due(r) for r in records), default=None),
            record_kinds=tuple(r.kind for r in records), receipt_id=recording.receipt_id,
            receipt_path=self.receipts.path(receipt),
        )  # fmt: skip
