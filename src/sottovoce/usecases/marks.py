"""Restriction, objection, legal hold and rectification: what stands on a person's data until it is lifted.

Rules upheld here, in order:
1. The subject's row is locked before anything is read or written; what a mark stops is stopped in the same
   transaction, so that no later commit of those recordings succeeds (law 1, C12b).
2. A restriction forbids every use but storage and the person's own rights; an objection that of one purpose.
3. A legal hold blocks shredding, never withdrawal and never the discard of audio; the person sees it with its basis.
   An erasure that waits for it runs by itself when it is lifted (C12a).
4. Marks are lifted, never changed; each act is in the audit log with its change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sottovoce.errors import Conflict, NotFound, UsageError
from sottovoce.model.ids import RandomBytes, check_id, new_id
from sottovoce.model.lineage import Leaving
from sottovoce.model.mark import Mark, MarkKind, check_asker, check_reason
from sottovoce.model.purpose import CONSENT_PURPOSES, MODEL_TRAINING, consent_purpose
from sottovoce.model.recipient import FeedKind
from sottovoce.model.subject import Caller, Subject, SubjectState
from sottovoce.model.tombstones import TombstoneEntry, TombstoneKind
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.access_entries import MarkView, mark_view
from sottovoce.usecases.access_log import nothing_held
from sottovoce.usecases.consent import concerned
from sottovoce.usecases.discard import Discard, mark_failed
from sottovoce.usecases.feed import correction_cause, tell, tell_mark
from sottovoce.usecases.lineage import leave
from sottovoce.usecases.notes import Notes
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.promises import MARK_OF_KIND, Promises, of_lift, of_mark
from sottovoce.usecases.rights import Rights
from sottovoce.usecases.trail import Trail

_STOPS = {MarkKind.RESTRICTION: "restricted", MarkKind.OBJECTION: "objected"}


@dataclass(frozen=True, slots=True)
class MarkOutcome:
    """The answer of placing or lifting."""

    marks: tuple[MarkView, ...]
    stopped_sessions: tuple[str, ...] = ()
    erasures_run: int = 0  # that had waited for the hold


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is to be recorded about a person."""

    subject: str
    kind: MarkKind
    reason: str
    asked_by: str = "person"
    purpose: str | None = None
    session_id: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Marks:
    database: Database
    people: People
    trail: Trail
    notes: Notes
    discard: Discard
    rights: Rights
    promises: Promises
    random_bytes: RandomBytes
    tenant: str

    def place(self, ask: Ask, *, caller: Caller) -> MarkOutcome:
        """Record a restriction, objection, hold or correction. NotFound, UsageError, Conflict."""
        check_reason(ask.kind, ask.reason)
        check_asker(ask.asked_by)
        purpose = None if ask.purpose is None else consent_purpose(ask.purpose).id
        if purpose is not None and ask.kind is not MarkKind.OBJECTION:
            raise UsageError("Only an objection is to one purpose.", reason="purpose")
        with self.promises.begin() as tx:
            person = self._person(tx, ask.subject)
            mark = self._new(tx, person, ask, purpose)
            tx.marks.add(mark)
            stopped = self._stop(tx, person, mark)
            _leave_training(tx, mark)
            tell_mark(tx, mark)
            self.trail.of(person.id, caller=caller).write(
                tx, "mark.placed", purpose=purpose,
                details={"mark": mark.id, "kind": str(mark.kind), "reason": mark.reason,
                         "session": mark.session_id, "stopped": list(stopped)},
            )  # fmt: skip
            self.promises.write(tx, of_mark(mark))
        for session_id in stopped:
            self.discard.settle(session_id, caller=caller)
        return MarkOutcome((mark_view(mark, ask.note),), stopped)

    def lift(self, mark_id: str, *, kinds: tuple[MarkKind, ...], caller: Caller) -> MarkOutcome:
        """Lift one mark of these kinds; erasures that waited for it are carried out. NotFound."""
        check_id(mark_id, "mark")
        with self.promises.begin() as tx:
            mark = tx.marks.get(mark_id)
            if mark is None or mark.kind not in kinds:
                raise NotFound("There is no such mark.", hint="`sottovoce marks --subject ID` lists them.")
            lifted = self._lift(tx, (mark,), caller=caller)
        return self._after(lifted, caller=caller)

    def unrestrict(self, subject: str, *, caller: Caller) -> MarkOutcome:
        """Lift every restriction of a person. NotFound where none stands."""
        with self.database.begin() as tx:
            person = self._person(tx, subject)
            marks = tx.marks.of_subject(person.id)
            standing = tuple(m for m in marks if m.kind is MarkKind.RESTRICTION and m.lifted_at is None)
            if not standing:
                raise NotFound(
                    "The person's data is not restricted.",
                    hint="`sottovoce marks --subject ID` shows what stands on it.",
                    reason="not_restricted",
                )
            lifted = self._lift(tx, standing, caller=caller)
        return self._after(lifted, caller=caller)

    def rectify(self, subject: str, outside_id: str, *, caller: Caller) -> None:
        """Correct the id under which a person is known here. NotFound; Conflict where the new one is taken."""
        with self.database.begin() as tx:
            person = self._person(tx, subject)
            self.people.rename(tx, person, outside_id)
            self.trail.of(person.id, caller=caller).write(
                tx, "person.rectified", details={"what": "outside id"}
            )
            tell(tx, person.id, FeedKind.RECTIFIED, cause=correction_cause(self.trail.keyring, person.id))
        self.database.tidy()  # the id that was wrong is in no file of the database any more

    def of(self, subject: str) -> tuple[MarkView, ...]:
        """Everything that stands or stood on a person's data, oldest first. NotFound."""
        with self.database.read() as tx:
            person = self.people.find(tx, subject)
            if person is None:
                raise nothing_held()
            marks = tx.marks.of_subject(person.id)
        return tuple(self._view(mark) for mark in marks)

    def repeat(self, tx: UnitOfWork, stone: TombstoneEntry, *, caller: Caller) -> bool:
        """Place once more a mark that the file of tombstones has and this database has not, without its sealed note, or
        lift a legal hold; whether there was anything to do."""
        person = tx.subjects.lock(stone.subject_id or "")
        if person is None or person.state is SubjectState.ERASING:
            return False
        known = tx.marks.get(stone.mark_id or "")
        if stone.kind is TombstoneKind.HOLD_LIFTED:
            if known is None or not tx.marks.lift(known.id, at=tx.now()):
                return False
            self._write_again(tx, person, "mark.lifted", known, caller=caller)
            return True
        gone = stone.session_id is not None and tx.recordings.get(stone.session_id) is None
        if known is not None or gone:
            return False
        mark = Mark(
            id=stone.mark_id or "", tenant=stone.tenant, subject_id=person.id, session_id=stone.session_id,
            kind=MARK_OF_KIND[stone.kind], purpose=stone.purpose, reason=stone.reason or "",
            asked_by=stone.asked_by or "", request_id=stone.request_id, detail=None, placed_at=stone.at,
        )  # fmt: skip
        tx.marks.add(mark)
        self._stop(tx, person, mark)
        _leave_training(tx, mark)
        tell_mark(tx, mark)
        self._write_again(tx, person, "mark.placed", mark, caller=caller)
        return True

    def _write_again(self, tx: UnitOfWork, person: Subject, kind: str, mark: Mark, *, caller: Caller) -> None:
        details = {"mark": mark.id, "kind": str(mark.kind), "reason": mark.reason, "session": mark.session_id}
        self.trail.of_anybody(person.id, caller=caller).write(tx, kind, outcome="replayed", details=details)

    # --- helpers ---------------------------------------------------------------------------------------

    def _person(self, tx: UnitOfWork, subject: str) -> Subject:
        person = self.people.find(tx, subject)
        if person is None:
            raise nothing_held()
        return locked(tx, person.id)

    def _new(self, tx: UnitOfWork, person: Subject, ask: Ask, purpose: str | None) -> Mark:
        if ask.session_id is not None:
            check_id(ask.session_id, "session")
            recording = tx.recordings.get(ask.session_id)
            if recording is None or recording.subject_id != person.id:
                raise NotFound("There is no session of this id.")
        mark_id = new_id("mark", self.random_bytes)
        detail = None if ask.note is None else self.notes.seal(person.id, mark_id, "mark", ask.note)
        return Mark(
            id=mark_id, tenant=self.tenant, subject_id=person.id, session_id=ask.session_id, kind=ask.kind,
            purpose=purpose, reason=ask.reason, asked_by=ask.asked_by, request_id=None, detail=detail,
            placed_at=tx.now(),
        )  # fmt: skip

    def _stop(self, tx: UnitOfWork, person: Subject, mark: Mark) -> tuple[str, ...]:
        """Recordings under way that need what is forbidden now give no result any more."""
        if mark.kind not in _STOPS:
            return ()
        purposes = CONSENT_PURPOSES if mark.purpose is None else (mark.purpose,)
        return tuple(
            recording.id
            for recording in tx.recordings.of_subject(person.id)
            if concerned(recording, purposes) and mark_failed(tx, recording, _STOPS[mark.kind])
        )

    def _lift(self, tx: UnitOfWork, marks: tuple[Mark, ...], *, caller: Caller) -> tuple[Mark, ...]:
        lifted = []
        for mark in marks:
            locked(tx, mark.subject_id)
            if not tx.marks.lift(mark.id, at=tx.now()):
                raise Conflict("This was lifted before.", reason="lifted")
            tell_mark(tx, mark, lifted=True)
            self.trail.of(mark.subject_id, caller=caller).write(
                tx, "mark.lifted", details={"mark": mark.id, "kind": str(mark.kind)}
            )
            lifted.append(replace(mark, lifted_at=tx.now()))
        self.promises.write(tx, [entry for mark in lifted for entry in of_lift(mark, tx.now())])
        return tuple(lifted)

    def _after(self, lifted: tuple[Mark, ...], *, caller: Caller) -> MarkOutcome:
        views = tuple(self._view(mark) for mark in lifted)  # before an erasure takes the key of their notes
        return MarkOutcome(views, erasures_run=self.rights.run_waiting(caller=caller))

    def _view(self, mark: Mark) -> MarkView:
        return mark_view(mark, self.notes.open(mark.subject_id, mark.id, "mark", mark.detail))


def _leave_training(tx: UnitOfWork, mark: Mark) -> None:
    """Rows of rounds of training that may not be used any more: with an objection to training all of them, with a
    restriction those that no model was trained on yet."""
    if mark.kind is MarkKind.OBJECTION and mark.purpose in (None, MODEL_TRAINING):
        leave(tx, mark.subject_id, Leaving.OBJECTED)
    if mark.kind is MarkKind.RESTRICTION:
        leave(tx, mark.subject_id, Leaving.RESTRICTED)
