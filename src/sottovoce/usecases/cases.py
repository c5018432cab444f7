"""Requests of data subjects as cases: received, identified, answered in time, or refused with a reason.

Rules upheld here, in order:
1. Clocks are computed from `data/deadlines.toml` when asked, never stored; an extension is told within the first
   time limit, once, with a reason code; a refusal needs one too (C14a).
2. Identity is checked in proportion to what is asked for; what was shown is sealed under a key of its own, which is
   destroyed when the case ends, whatever its end (C14b).
3. The answer is decided in one transaction (CLOSING) and carried out after it: a kill in between is resumed by
   open() and the sweep (C14b).
4. "fulfilled" is said only of what was done: an export, a mark, an erasure that this home can show.
5. A human review names the decision that is contested; the case, its receipt and the list of decisions show it (C34a).
6. No consent is asked for any of this (law 6). A case holds internal ids only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sottovoce.errors import Conflict, KeyUnavailable, NotFound, SottovoceError, UsageError
from sottovoce.model.canonical import JsonValue
from sottovoce.model.deadlines import Deadline, clock_of
from sottovoce.model.ids import RandomBytes, check_id, new_id
from sottovoce.model.mark import MarkKind
from sottovoce.model.request import (
    CASE_ARTICLES,
    EXTENSION_REASONS,
    OUTCOMES,
    REFUSAL_REASONS,
    Case,
    CaseKind,
    CaseState,
    check_code,
    check_identity,
    check_open,
)
from sottovoce.model.subject import Caller, Subject
from sottovoce.model.times import iso_s
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.access_log import AccessLog
from sottovoce.usecases.feed import Feed, Told, correction_cause
from sottovoce.usecases.keyring import Keyring, NewKey
from sottovoce.usecases.notes import Notes
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.rights import Rights
from sottovoce.usecases.trail import Scribe, Trail

CHECK_AGE = timedelta(days=365)  # an entry of the clocks that was checked longer ago is shown amber
_DONE_BY: dict[CaseKind, tuple[str, ...]] = {  # entries of the log that show what was done
    CaseKind.ACCESS: ("person.exported",),
    CaseKind.PORTABILITY: ("person.exported",),
    CaseKind.RECTIFICATION: ("person.rectified",),
}
_MARK_OF = {
    CaseKind.RESTRICTION: MarkKind.RESTRICTION,
    CaseKind.OBJECTION: MarkKind.OBJECTION,
    CaseKind.RECTIFICATION: MarkKind.CORRECTION,
}
_HINTS = {
    CaseKind.ACCESS: "`sottovoce export` makes the package.",
    CaseKind.PORTABILITY: "`sottovoce export` makes the package.",
    CaseKind.RECTIFICATION: "`sottovoce rectify` corrects it, or records the person's statement.",
    CaseKind.RESTRICTION: "`sottovoce restrict` does it.",
    CaseKind.OBJECTION: "`sottovoce object` does it.",
}


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case with its clock as it stands now."""

    id: str
    kind: str
    article: str
    law: str
    clock: str  # the article of the clock
    clock_checked: bool  # whether a person has compared the clock with the text of the law lately
    state: str
    known: bool  # whether anything was held of whoever asked
    session_id: str | None
    received_at: datetime
    due_at: datetime | None
    extended: bool
    extension_reason: str | None
    overdue: bool
    identity_method: str
    identity_kept: bool  # whether a proof is still stored
    outcome: str | None
    refusal_reason: str | None
    ended_at: datetime | None
    request_id: str
    receipt_path: str | None
    decision_id: str | None = None  # that is contested
    recipients_overdue: int = 0  # of those who were told, and have not done it in time
    recipients: tuple[Told, ...] = ()  # who else had something of it, was told, and has done it or not


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as it came in."""

    subject: str
    kind: CaseKind
    law: str = "gdpr.request"
    identity: str = "known"
    proof: str | None = None  # what was shown; stored sealed until the case ends
    received_at: datetime | None = None  # default: now
    session_id: str | None = None
    decision_id: str | None = None  # of a human review: what is contested


@dataclass(frozen=True, kw_only=True)
class Cases:
    database: Database
    keyring: Keyring
    people: People
    trail: Trail
    access: AccessLog
    notes: Notes
    rights: Rights
    feed: Feed
    receipts: ReceiptBook
    deadlines: Callable[[], Mapping[str, Deadline]]
    random_bytes: RandomBytes
    tenant: str

    def open(self, asked: Asked, *, caller: Caller) -> CaseView:
        """Record a request; its clock runs from its receipt. UsageError, Conflict."""
        clock_of(self.deadlines(), asked.law)
        check_identity(asked.kind, asked.identity)
        if asked.session_id is not None:
            check_id(asked.session_id, "session")
        _check_review(asked)
        with self.database.read() as tx:
            person = self.people.find(tx, asked.subject)
        case_id = new_id("case", self.random_bytes)
        key_id, sealed = self._seal_proof(person, case_id, asked.proof)
        try:
            with self.database.begin() as tx:
                case, now = self._new(tx, person, asked, case_id, key_id, sealed), tx.now()
                tx.cases.add(case)
                self._scribe(case, caller=caller).write(
                    tx, "request.opened", details={"case": case.id, "kind": str(case.kind), "law": case.law}
                )
        except BaseException:
            if key_id is not None:
                self._forget_unless_opened(case_id, key_id)
            raise
        return self._view(case, now)

    def _forget_unless_opened(self, case_id: str, key_id: str) -> None:
        """The key of a proof without its case goes at once; where that cannot be asked, the collector takes it."""
        try:
            with self.database.read() as tx:
                opened = tx.cases.get(case_id) is not None  # the commit's answer may have been lost
            if not opened:
                self.keyring.destroy([key_id])
        except SottovoceError:
            return

    def extend(self, case_id: str, *, reason: str, caller: Caller) -> CaseView:
        """Take the longer time that the law allows, once, told within the first. Conflict, UsageError, NotFound."""
        check_code(reason, EXTENSION_REASONS, "reason for an extension")
        with self.database.begin() as tx:
            case = check_open(self._case(tx, case_id))
            clock = clock_of(self.deadlines(), case.law)
            first = clock.due(case.received_at)
            if case.extended_at is not None or not clock.extension:
                raise Conflict(
                    "The time of this request cannot be extended (again).", reason="extension_used"
                )
            if first is not None and tx.now() > first:
                raise Conflict(
                    "An extension has to be told within the first time limit, which is over.",
                    hint="Answer the request; it is overdue.",
                    reason="extension_late",
                )
            extended = replace(case, extended_at=tx.now(), extension_reason=reason)
            self._swap(tx, extended, case)
            self._scribe(case, caller=caller).write(
                tx, "request.extended", details={"case": case.id, "reason": reason}
            )
            return self._view(extended, tx.now())

    def refuse(self, case_id: str, *, reason: str, caller: Caller) -> CaseView:
        """End a case without doing what was asked, for a reason. Conflict, UsageError, NotFound."""
        check_code(reason, REFUSAL_REASONS, "reason for a refusal")
        with self.database.begin() as tx:
            case = check_open(self._case(tx, case_id))
            closing = replace(case, state=CaseState.CLOSING, refusal_reason=reason)
            self._swap(tx, closing, case)
        return self._finish(closing, caller=caller)

    def close(self, case_id: str, *, outcome: str, caller: Caller) -> CaseView:
        """End a case: an erasure is carried out, anything else must have been done before. Conflict (reason
        `not_done`), UsageError, NotFound."""
        check_code(outcome, OUTCOMES, "outcome")
        with self.database.begin() as tx:
            case = self._case(tx, case_id)
            if case.state is CaseState.CLOSING and case.outcome == outcome:
                closing = case  # decided before: carried out, or still waiting for a legal hold
            else:
                self._check_done(tx, check_open(case), outcome)
                closing = replace(case, state=CaseState.CLOSING, outcome=outcome)
                self._swap(tx, closing, case)
        return self._finish(closing, caller=caller)

    def resume(self, *, caller: Caller) -> int:
        """Carry out what was decided and interrupted; how many cases came to their end."""
        with self.database.read() as tx:
            closing = [case for case in tx.cases.unfinished() if case.state is CaseState.CLOSING]
        ended = 0
        for case in closing:
            try:
                ended += int(self._finish(case, caller=caller).ended_at is not None)
            except SottovoceError:
                continue  # one that cannot be finished never stops the rest; it stays visible
        return ended

    def show(self, case_id: str) -> CaseView:
        """NotFound."""
        with self.database.read() as tx:
            case = self._case(tx, case_id)
            return self._view(case, tx.now(), self._told(tx, case))

    def list(self, *, everything: bool = False, limit: int = 1000) -> tuple[CaseView, ...]:
        """Open cases, or the latest of all; oldest first."""
        with self.database.read() as tx:
            cases = tx.cases.latest(limit=limit) if everything else tx.cases.unfinished()
            return tuple(self._view(case, tx.now(), self._told(tx, case)) for case in cases)

    # --- beginning -------------------------------------------------------------------------------------

    def _seal_proof(
        self, person: Subject | None, case_id: str, proof: str | None
    ) -> tuple[str | None, bytes | None]:
        """What was shown, under a key of its own; nothing is stored of somebody of whom nothing is held."""
        if person is None or proof is None:
            return None, None
        key_id = new_id("record", self.random_bytes)
        key = self.keyring.new_key(
            NewKey(key_id=key_id, kind="record", key_class="evidence", subject_id=person.id)
        )
        return key_id, self.notes.seal(person.id, case_id, "identity", proof, key=key)

    def _new(
        self, tx: UnitOfWork, person: Subject | None, asked: Asked, case_id: str, key_id: str | None,
        sealed: bytes | None,
    ) -> Case:  # fmt: skip
        if person is not None:
            locked(tx, person.id)
        if asked.session_id is not None:
            recording = tx.recordings.get(asked.session_id)
            if recording is None or person is None or recording.subject_id != person.id:
                raise NotFound("There is no session of this id.")
        if asked.decision_id is not None:
            _check_contested(tx, asked.decision_id, person)
        received_at = asked.received_at or tx.now()
        if received_at > tx.now():
            raise UsageError("A request cannot have come in the future.", reason="received_at")
        return Case(
            id=case_id, tenant=self.tenant, subject_id=person.id if person else None, session_id=asked.session_id,
            kind=asked.kind, law=asked.law, state=CaseState.OPEN, received_at=received_at,
            identity_method=asked.identity, identity_key_id=key_id, identity=sealed,
            request_id=new_id("request", self.random_bytes), decision_id=asked.decision_id,
        )  # fmt: skip

    # --- ending ----------------------------------------------------------------------------------------

    def _check_done(self, tx: UnitOfWork, case: Case, outcome: str) -> None:
        """Rule 4."""
        held = case.subject_id is not None and tx.subjects.get(case.subject_id) is not None
        if outcome == "nothing_held" and held:
            raise Conflict("Something is held of this person.", reason="not_done")
        if outcome not in ("fulfilled", "partly"):
            return
        if case.subject_id is None or (not held and case.kind is not CaseKind.ERASURE):
            raise Conflict(
                "Nothing is held of this person.",
                hint="`sottovoce requests close CASE --outcome nothing_held` ends it.",
                reason="not_done",
            )
        if not self._was_done(tx, case, case.subject_id):
            raise Conflict(
                "What was asked for has not been done since the request came in.",
                hint=_HINTS.get(case.kind, ""),
                reason="not_done",
            )

    def _was_done(self, tx: UnitOfWork, case: Case, subject_id: str) -> bool:
        wanted = _MARK_OF.get(case.kind)
        marks = tx.marks.of_subject(subject_id)
        if any(mark.kind is wanted and mark.placed_at >= case.received_at for mark in marks):
            return True
        kinds = _DONE_BY.get(case.kind, ())
        if not kinds:  # an erasure is carried out by closing; a review is a human's own work
            return wanted is None
        events = tx.events.of_pseudonym(self.access.pseudonym(subject_id))
        return any(event.kind in kinds and event.at >= case.received_at for event in events)

    def _finish(self, closing: Case, *, caller: Caller) -> CaseView:
        """Carry out, forget the proof of identity, say so; every step may be repeated."""
        erases = closing.kind is CaseKind.ERASURE and closing.outcome == "fulfilled"
        if erases and closing.subject_id is not None:
            outcome = self.rights.erase_person(
                closing.subject_id,
                session_id=closing.session_id,
                request_id=closing.request_id,
                caller=caller,
            )
            if outcome.result == "held":
                return self.show(closing.id)
        if closing.identity_key_id is not None:
            self.keyring.destroy([closing.identity_key_id])
        signer = self.receipts.signer()
        with self.database.begin() as tx:
            current = self._case(tx, closing.id)
            if current.ended:
                return self._view(current, tx.now())  # another process was faster
            ended = replace(
                current, state=CaseState.REFUSED if current.refusal_reason else CaseState.CLOSED, identity=None,
                identity_key_id=None, ended_at=tx.now(),
            )  # fmt: skip
            ended = replace(ended, receipt=signer.sign("request", self._receipt(ended)))
            self._swap(tx, ended, current)
            kind = "request.refused" if ended.refusal_reason else "request.closed"
            details = {"case": ended.id, "outcome": ended.outcome, "reason": ended.refusal_reason}
            self._scribe(ended, caller=caller).write(tx, kind, details=details)
            now, told = tx.now(), self._told(tx, ended)
        self.database.tidy()  # the proof is in no file of the database any more
        self.receipts.publish_text(ended.id, ended.receipt or "")
        return self._view(ended, now, told)

    def _receipt(self, case: Case) -> dict[str, JsonValue]:
        clock = clock_of(self.deadlines(), case.law)
        due = clock.due(case.received_at, extended=case.extended_at is not None)
        return {
            "case_id": case.id, "tenant": case.tenant, "subject_id": case.subject_id, "session_id": case.session_id,
            "decision_id": case.decision_id,
            "kind": str(case.kind), "article": CASE_ARTICLES[case.kind], "state": str(case.state),
            "received_at": iso_s(case.received_at), "due_at": iso_s(due), "clock": clock.article,
            "ended_at": iso_s(case.ended_at), "in_time": due is None or (case.ended_at or due) <= due,
            "extended_at": iso_s(case.extended_at),
            "extension_reason": EXTENSION_REASONS.get(case.extension_reason or ""),
            "outcome": OUTCOMES.get(case.outcome or ""),
            "refusal_reason": REFUSAL_REASONS.get(case.refusal_reason or ""),
            "identity": {"method": case.identity_method, "proof": "none is stored (any more)"},
            "erasure_request_id": case.request_id if case.kind is CaseKind.ERASURE else None,
        }  # fmt: skip

    # --- helpers ---------------------------------------------------------------------------------------

    def _case(self, tx: UnitOfWork, case_id: str) -> Case:
        check_id(case_id, "case")
        case = tx.cases.get(case_id)
        if case is None or case.tenant != self.tenant:
            raise NotFound("There is no request of this id.", hint="`sottovoce requests list` lists them.")
        return case

    def _swap(self, tx: UnitOfWork, new: Case, expected: Case) -> None:
        if not tx.cases.swap(new, expected=expected):
            raise Conflict("The request changed meanwhile.", hint="Try again.", reason="case_changed")

    def _scribe(self, case: Case, *, caller: Caller) -> Scribe:
        """Of the person where their audit key still lives; else of nobody: the entry stays, unlinked."""
        there = case.subject_id is not None and self.keyring.has_subject(case.subject_id)
        return self.trail.of(case.subject_id if there else None, caller=caller)

    def _told(self, tx: UnitOfWork, case: Case) -> tuple[Told, ...]:
        """What recipients were told because of this request (GDPR 19, C15b)."""
        if case.kind is CaseKind.ERASURE:
            return self.feed.told(tx, (case.request_id,))
        wanted = _MARK_OF.get(case.kind)
        if wanted is None or case.subject_id is None or not tx.recipients.disclosures_of(case.subject_id):
            return ()
        marks = tx.marks.of_subject(case.subject_id)
        causes = [m.id for m in marks if m.kind is wanted and m.placed_at >= case.received_at]
        if case.kind is CaseKind.RECTIFICATION:
            with suppress(KeyUnavailable):
                causes.append(correction_cause(self.keyring, case.subject_id))
        return tuple(one for one in self.feed.told(tx, causes) if one.told_at >= case.received_at)

    def _view(self, case: Case, now: datetime, told: tuple[Told, ...] = ()) -> CaseView:
        clock = clock_of(self.deadlines(), case.law)
        due = clock.due(case.received_at, extended=case.extended_at is not None)
        return CaseView(
            id=case.id, kind=str(case.kind), article=CASE_ARTICLES[case.kind], law=case.law, clock=clock.article,
            clock_checked=not clock.is_stale(now.date(), age=CHECK_AGE), state=str(case.state),
            known=case.subject_id is not None, session_id=case.session_id, received_at=case.received_at, due_at=due,
            extended=case.extended_at is not None, extension_reason=case.extension_reason,
            overdue=due is not None and (case.ended_at or now) > due, identity_method=case.identity_method,
            identity_kept=case.identity is not None, outcome=case.outcome, refusal_reason=case.refusal_reason,
            ended_at=case.ended_at, request_id=case.request_id,
            receipt_path=self.receipts.path_of_text(case.id, case.receipt) if case.receipt else None,
            decision_id=case.decision_id,
            recipients_overdue=sum(one.overdue for one in told), recipients=told,
        )  # fmt: skip


def _check_review(asked: Asked) -> None:
    if asked.decision_id is None:
        return
    if asked.kind is not CaseKind.HUMAN_REVIEW:
        raise UsageError(
            "A decision is contested by a request for a human review.",
            hint="Use the kind human_review.",
            reason="decision_of_review",
        )
    check_id(asked.decision_id, "decision")


def _check_contested(tx: UnitOfWork, decision_id: str, person: Subject | None) -> None:
    decision = tx.records.decision(decision_id)
    if decision is None or person is None or decision.subject_id != person.id:
        raise NotFound(
            "There is no decision of this id.", hint="`sottovoce decisions list` lists what is kept."
        )
