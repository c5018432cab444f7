"""The consent ledger: grants, refusals and withdrawals, each call one atomic batch with one signed receipt.

Rules upheld here, in order:
1. One call writes all purposes or none; a refusal is a row too (C1a, X04).
2. A row is bound to the hash of the exact notice bytes, their locale and the channel (C1b).
3. The subject's row is locked before anything is read or written; a withdrawal marks what it stops in the same
   transaction, so that no later commit of those recordings succeeds (law 1, C2a, I5).
4. Withdrawal is answered by a termination receipt that names what remains, why and until when (C4b).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from sottovoce.errors import Conflict, ConsentRequired, UsageError
from sottovoce.model.consent import (
    ConsentAction,
    ConsentEvent,
    PurposeConsent,
    fold,
)
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.inference import is_inference
from sottovoce.model.lineage import Leaving, LineageLine
from sottovoce.model.outcome import ConsentOutcome
from sottovoce.model.purpose import (
    AUDIO_HOLD,
    CONSENT_PURPOSES,
    EMBEDDING,
    MODEL_TRAINING,
    RETENTION,
    VOICE_ANALYSIS,
    VOICE_RECORDING,
    consent_purpose,
)
from sottovoce.model.recipient import FeedKind
from sottovoce.model.record import StoredReceipt
from sottovoce.model.recording import Recording
from sottovoce.model.subject import Caller, Subject, SubjectState
from sottovoce.model.tombstones import TombstoneEntry
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.consent_evidence import seal_evidence
from sottovoce.usecases.consent_receipt import Kept, receipt_body, receipt_kind, remains_after
from sottovoce.usecases.discard import Discard, mark_failed
from sottovoce.usecases.feed import tell
from sottovoce.usecases.forgetting import end_inferences, forget_inferences
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.lineage import leave
from sottovoce.usecases.notices import Notice, shown_notice
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.promises import NO_OF_KIND, Promises, of_no
from sottovoce.usecases.receipts import ReceiptBook, ReceiptSigner
from sottovoce.usecases.trail import Trail


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What a person said about some purposes, by which channel, and when."""

    subject: str
    action: ConsentAction
    purposes: tuple[str, ...]
    notice: Notice | None = None
    channel: str | None = None  # default: the caller's
    evidence: str | None = None  # e.g. the hash of a recorded "yes"; stored sealed
    occurred_at: datetime | None = None  # default: now
    event_ids: tuple[str, ...] = ()  # given by a caller who may have to repeat the call; one per purpose


@dataclass(frozen=True, kw_only=True)
class Consent:
    database: Database
    keyring: Keyring
    people: People
    trail: Trail
    discard: Discard
    receipts: ReceiptBook
    promises: Promises
    random_bytes: RandomBytes
    tenant: str

    def record(self, statement: Statement, *, caller: Caller) -> ConsentOutcome:
        """Write a statement; what holds now, and the person's receipt. UsageError for an unknown purpose or a time
        in the future, Conflict for a repeated event id or a person who is being erased."""
        purposes = _purposes(statement)
        signer = self.receipts.signer()
        prepared = self._prepare(statement.subject)
        try:
            with self._begin(statement) as tx:
                outcome, receipt = self._write(tx, statement, purposes, prepared, signer, caller=caller)
        finally:
            if prepared is not None:
                self._forget_unless_written(prepared, statement.subject)
        self.receipts.publish(receipt)
        for session_id in outcome.stopped_sessions:
            self.discard.settle(session_id, caller=caller)
        self._forget_inferences(statement, purposes, caller=caller)
        return replace(outcome, receipt_path=self.receipts.path(receipt))

    def _forget_inferences(self, statement: Statement, purposes: Sequence[str], *, caller: Caller) -> None:
        """What models said for purposes that are withdrawn: unreadable since the commit, destroyed now."""
        if statement.action is ConsentAction.GRANT or not any(map(is_inference, purposes)):
            return
        with self.database.read() as tx:
            person = self.people.find(tx, statement.subject)
        if person is not None:
            forget_inferences(self.database, self.keyring, self.trail, person.id, purposes, caller=caller)

    def states(self, subject: str) -> tuple[PurposeConsent, ...]:
        """What holds for every purpose; an unknown person was never asked."""
        with self.database.read() as tx:
            person = self.people.find(tx, subject)
            folded = fold(tx.consents.of_subject(person.id)) if person else {}
        return tuple(folded.get(purpose, PurposeConsent(purpose)) for purpose in CONSENT_PURPOSES)

    def _prepare(self, subject: str) -> str | None:
        """Keys for a person who is not known yet; None for one who is."""
        with self.database.read() as tx:
            known = self.people.find(tx, subject)
        return None if known else self.people.prepare(subject)

    def _forget_unless_written(self, prepared: str, subject: str) -> None:
        """The keys of a person whose row was not written, or was written by somebody else meanwhile."""
        with self.database.read() as tx:
            person = self.people.find(tx, subject)
        if person is None or person.id != prepared:
            self.keyring.destroy_subject(prepared)

    def _write(
        self, tx: UnitOfWork, statement: Statement, purposes: Sequence[str], prepared: str | None,
        signer: ReceiptSigner, *, caller: Caller,
    ) -> tuple[ConsentOutcome, StoredReceipt]:  # fmt: skip
        person = self.people.find(tx, statement.subject)
        if person is None:
            if prepared is None:
                raise Conflict(
                    "The person is being erased; nothing else is done for them.", reason="subject_erasing"
                )
            person = self.people.introduce(tx, prepared, statement.subject)
        locked(tx, person.id)
        events = tx.consents.add(self._events(tx, person, statement, purposes, caller=caller))
        stopped, shortened = self._take_effect(tx, person, statement, purposes)
        if statement.action is not ConsentAction.GRANT:
            tell(tx, person.id, FeedKind.WITHDRAWN, cause=events[0].batch_id, purposes=purposes)
        trained = _leave_training(tx, person, statement.action, purposes)
        remains = (*_remains(tx, person, statement.action), *(line.words() for line in trained))
        receipt = self._receipt(tx, person, events, remains, trained, signer)
        tx.receipts.add(receipt)
        self.trail.of(person.id, caller=caller).write(
            tx, f"consent.{statement.action}",
            details={"purposes": list(purposes), "receipt": receipt.id, "stopped": list(stopped),
                     "records_shortened": shortened},
        )  # fmt: skip
        folded = fold(tx.consents.of_subject(person.id))
        outcome = ConsentOutcome(
            subject=statement.subject, action=statement.action.value,
            states=tuple(folded[purpose] for purpose in purposes), receipt_id=receipt.id,
            receipt=receipt.text, receipt_path=None, stopped_sessions=stopped, remains=remains,
        )  # fmt: skip
        self.promises.write(tx, [entry for event in events for entry in of_no(event)])
        return outcome, receipt

    def _begin(self, statement: Statement) -> AbstractContextManager[UnitOfWork]:
        """A "no" goes into the file of tombstones as well, so that no old backup takes it back."""
        grant = statement.action is ConsentAction.GRANT
        return self.database.begin() if grant else self.promises.begin()

    def repeat(self, tx: UnitOfWork, stone: TombstoneEntry, *, caller: Caller) -> bool:
        """Write down once more a withdrawal or refusal that the file of tombstones has and this database has not, with
        all that it stops; whether there was anything to do. Its receipt was given then."""
        person = tx.subjects.lock(stone.subject_id or "")
        if person is None or person.state is SubjectState.ERASING:
            return False
        action, purpose = NO_OF_KIND[stone.kind], stone.purpose or ""
        for known in tx.consents.of_subject(person.id):
            same = (known.purpose, known.action, known.occurred_at) == (purpose, action, stone.occurred_at)
            if same or known.id == stone.event_id:
                return False
        event = ConsentEvent(
            id=stone.event_id or new_id("consent", self.random_bytes), tenant=stone.tenant, subject_id=person.id,
            sequence=0, batch_id=new_id("batch", self.random_bytes), purpose=purpose, action=action, notice_id=None,
            notice_ordinal=0, channel="replay", evidence=None, occurred_at=stone.occurred_at or stone.at,
            recorded_at=tx.now(),
        )  # fmt: skip
        tx.consents.add([event])
        statement = Statement(subject="", action=action, purposes=(purpose,))
        stopped, shortened = self._take_effect(tx, person, statement, (purpose,))
        tell(tx, person.id, FeedKind.WITHDRAWN, cause=event.batch_id, purposes=(purpose,))
        _leave_training(tx, person, action, (purpose,))
        self.trail.of_anybody(person.id, caller=caller).write(
            tx, f"consent.{action}", outcome="replayed",
            details={"purposes": [purpose], "stopped": list(stopped), "records_shortened": shortened},
        )  # fmt: skip
        return True

    def _events(
        self, tx: UnitOfWork, person: Subject, statement: Statement, purposes: Sequence[str], *, caller: Caller
    ) -> list[ConsentEvent]:  # fmt: skip
        now = tx.now()
        occurred_at = statement.occurred_at or now
        if occurred_at > now:
            raise UsageError("A person cannot have consented in the future.", reason="occurred_at")
        batch_id = new_id("batch", self.random_bytes)
        ids = statement.event_ids or tuple(new_id("consent", self.random_bytes) for _ in purposes)
        events = []
        for event_id, purpose in zip(ids, purposes, strict=True):
            notice = shown_notice(
                tx, purpose, statement.notice, tenant=self.tenant, random_bytes=self.random_bytes
            )
            events.append(
                ConsentEvent(
                    id=event_id,
                    tenant=self.tenant,
                    subject_id=person.id,
                    sequence=0,
                    batch_id=batch_id,
                    purpose=purpose,
                    action=statement.action,
                    notice_id=notice.id,
                    notice_ordinal=notice.ordinal,
                    channel=statement.channel or caller.channel,
                    evidence=seal_evidence(
                        self.keyring, self.tenant, person.id, event_id, statement.evidence
                    ),
                    occurred_at=occurred_at,
                    recorded_at=now,
                )
            )
        return events

    def _take_effect(
        self, tx: UnitOfWork, person: Subject, statement: Statement, purposes: Sequence[str]
    ) -> tuple[tuple[str, ...], int]:
        """A withdrawal or refusal stops what it concerns, in the same transaction."""
        if statement.action is ConsentAction.GRANT:
            return (), 0
        inferred = end_inferences(tx, person.id, purposes)
        stopped = tuple(
            recording.id
            for recording in tx.recordings.of_subject(person.id)
            if concerned(recording, purposes) and mark_failed(tx, recording, ConsentRequired.code)
        )
        shortened = tx.records.expire_now(person.id, tx.now()) if RETENTION in purposes else 0
        return stopped, shortened + inferred

    def _receipt(
        self, tx: UnitOfWork, person: Subject, events: Sequence[ConsentEvent], remains: Sequence[str],
        trained: Sequence[LineageLine], signer: ReceiptSigner,
    ) -> StoredReceipt:  # fmt: skip
        receipt_id, kind = new_id("receipt", self.random_bytes), receipt_kind(events[0].action)
        notices = tx.consents.notices(self.tenant)
        body = receipt_body(receipt_id, events, notices, remains=remains, trained=trained)
        return StoredReceipt(
            id=receipt_id, tenant=self.tenant, subject_id=person.id, session_id=None, kind=kind,
            text=signer.sign(kind, body), at=tx.now(),
        )  # fmt: skip


def _purposes(statement: Statement) -> tuple[str, ...]:
    """The purposes without aliases and repetitions, in the order given."""
    named = tuple(dict.fromkeys(consent_purpose(name).id for name in statement.purposes))
    if not named:
        raise UsageError("Name at least one purpose.", reason="unknown_purpose")
    if statement.event_ids and len(statement.event_ids) != len(named):
        raise UsageError("Give one event id per purpose.", reason="event_ids")
    return named


def concerned(recording: Recording, purposes: Sequence[str]) -> bool:
    """Whether a recording needs one of these purposes to go on."""
    needed = {VOICE_RECORDING, VOICE_ANALYSIS, EMBEDDING}
    if recording.shape == "submit" or recording.discard_source:
        needed.add(RETENTION)
    if recording.hold_until is not None:
        needed.add(AUDIO_HOLD)  # its audio is there by this consent alone
    return not recording.ended and bool(needed & set(purposes))


def _leave_training(
    tx: UnitOfWork, person: Subject, action: ConsentAction, purposes: Sequence[str]
) -> tuple[LineageLine, ...]:
    """Rounds of training that the person leaves: all of them with the consent to training, those without a model yet
    with the consent to keep (C16a)."""
    if action is ConsentAction.GRANT:
        return ()
    if MODEL_TRAINING in purposes:
        return leave(tx, person.id, Leaving.WITHDRAWN)
    return leave(tx, person.id, Leaving.NOT_KEPT) if RETENTION in purposes else ()


def _remains(tx: UnitOfWork, person: Subject, action: ConsentAction) -> tuple[str, ...]:
    """What is still held after a "no", for the termination receipt."""
    if action is ConsentAction.GRANT:
        return ()
    sessions = [recording.id for recording in tx.recordings.of_subject(person.id)]
    kept = (Kept(one, tx.records.of_session(one), tx.records.decisions_of_session(one)) for one in sessions)
    return remains_after(kept, tx.now())
