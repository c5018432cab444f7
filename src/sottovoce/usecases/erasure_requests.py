"""The promise of an erasure (tx-e1): what is written before anything is destroyed, or why it has to wait.

Rules upheld here, in order:
1. Request, inventory, tombstone, erase job, the word to recipients and the audit entry are one transaction, under the
   lock of the subject's row; the file of tombstones has it before the commit.
2. Its mark on every recording makes every other compare-and-swap fail: erasure wins over running work (F24).
3. A legal hold puts it off, and is asked for nothing else; that it waits is written down once (C12a).
4. What was promised once is carried out, whoever asks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sottovoce.errors import Conflict
from sottovoce.model.canonical import JsonValue
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.job import Job
from sottovoce.model.lineage import Leaving, LineageLine
from sottovoce.model.mark import Mark, MarkKind, holds
from sottovoce.model.recipient import FeedKind
from sottovoce.model.recording import Recording
from sottovoce.model.request import ErasureRequest, Tombstone
from sottovoce.model.subject import Caller, Subject, SubjectState
from sottovoce.model.tombstones import TombstoneEntry
from sottovoce.ports import Blobs, UnitOfWork
from sottovoce.usecases.discard import body_path
from sottovoce.usecases.erasure_receipt import inventory_of, objects_of
from sottovoce.usecases.feed import tell
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.leases import released
from sottovoce.usecases.lineage import leave, to_json
from sottovoce.usecases.promises import Promises, of_erasure, of_mark
from sottovoce.usecases.trail import Scribe, Trail


@dataclass(frozen=True, kw_only=True)
class ErasureRequests:
    keyring: Keyring
    bodies: Blobs
    trail: Trail
    promises: Promises
    random_bytes: RandomBytes
    tenant: str

    def promise(
        self, tx: UnitOfWork, person: Subject | None, session_id: str | None, request_id: str | None, *,
        caller: Caller,
    ) -> ErasureRequest | Mark | None:  # fmt: skip
        """In a transaction of `promises.begin()`: promise it, or write down that it waits for a legal hold. None where
        nothing is held."""
        sessions = sessions_of(tx, person, session_id)
        if person is None or (session_id is not None and not sessions):
            return None
        tx.subjects.lock(person.id)
        if person.state is SubjectState.ERASING:  # promised before: the same promise is carried out
            return next(r for r in tx.requests.unfinished() if _whole(r, person))
        scribe = self.trail.of(person.id, caller=caller)
        if holds(tx.marks.of_subject(person.id)):
            return self._put_off(tx, person, session_id, request_id, scribe)
        trained = leave(tx, person.id, Leaving.ERASED, session_id=session_id)
        request = ErasureRequest(
            id=request_id or new_id("request", self.random_bytes), tenant=self.tenant,
            subject_id=person.id, session_id=session_id, pseudonym=scribe.pseudonym or "",
            requested_at=tx.now(), inventory=self._inventory(tx, person, sessions, session_id, trained),
        )  # fmt: skip
        _mark(tx, person, sessions, request)
        _add(tx, request)
        scribe.write(tx, "erasure.promised", details={"request": request.id, "session": session_id})
        self.promises.write(tx, [of_erasure(request)])
        return request

    def repeat(self, tx: UnitOfWork, stone: TombstoneEntry, *, caller: Caller) -> bool:
        """Promise once more what the file of tombstones says was promised, where this database does not know of it;
        whether there is anything to do. No hold is asked: when it was promised, none stood."""
        subject_id, session_id, request_id = stone.subject_id or "", stone.session_id, stone.request_id or ""
        if tx.requests.get(request_id) is not None:
            return False  # ended, or resumed by whoever sweeps next
        person = tx.subjects.lock(subject_id)
        scribe = self.trail.of_anybody(subject_id, caller=caller)
        request = ErasureRequest(
            id=request_id, tenant=stone.tenant, subject_id=subject_id, session_id=session_id,
            pseudonym=scribe.pseudonym or "", requested_at=tx.now(),
        )  # fmt: skip
        if person is not None:
            sessions = sessions_of(tx, person, session_id)
            trained = leave(tx, person.id, Leaving.ERASED, session_id=session_id)
            request = replace(request, inventory=self._inventory(tx, person, sessions, session_id, trained))
            _mark(tx, person, sessions, request)
        _add(tx, request)
        details = {"request": request.id, "session": session_id}
        scribe.write(tx, "erasure.promised", outcome="replayed", details=details)
        return True

    def _put_off(
        self, tx: UnitOfWork, person: Subject, session_id: str | None, request_id: str | None, scribe: Scribe
    ) -> Mark:
        """Write down once that an erasure waits for a legal hold."""
        for mark in tx.marks.of_subject(person.id):
            same = request_id in (None, mark.request_id) and mark.session_id == session_id
            if mark.kind is MarkKind.ERASURE_WAITING and mark.lifted_at is None and same:
                return mark
        waiting = Mark(
            id=new_id("mark", self.random_bytes), tenant=self.tenant, subject_id=person.id, session_id=session_id,
            kind=MarkKind.ERASURE_WAITING, purpose=None, reason="legal_hold", asked_by="person",
            request_id=request_id or new_id("request", self.random_bytes), detail=None, placed_at=tx.now(),
        )  # fmt: skip
        tx.marks.add(waiting)
        details = {"request": waiting.request_id, "session": session_id}
        scribe.write(tx, "erasure.waits", outcome="legal_hold", details=details)
        self.promises.write(tx, of_mark(waiting))
        return waiting

    def _inventory(
        self, tx: UnitOfWork, person: Subject, sessions: tuple[Recording, ...], session_id: str | None,
        trained: Sequence[LineageLine],
    ) -> str:  # fmt: skip
        """What there is to destroy now, by store; ids and versions only."""
        objects: list[dict[str, JsonValue]] = []
        for session in sessions:
            records = tx.records.of_session(session.id)
            objects += objects_of(session.id, records, tx.records.decisions_of_session(session.id))
        keys = list(self.keyring.rows(subject_id=person.id))
        own = {str(one["id"]) for one in objects} | {session.id for session in sessions}
        return inventory_of(
            objects,
            sessions=len(sessions),
            keys=len(keys) if session_id is None else sum(key.key_id in own for key in keys),
            bodies=sum(self.bodies.exists(body_path(session.id)) for session in sessions),
            rows={"recordings": 1} if session_id is not None else tx.rows_of(person.id),
            training=to_json(trained),
        )


def sessions_of(tx: UnitOfWork, person: Subject | None, session_id: str | None) -> tuple[Recording, ...]:
    """The person's recordings, or the one of that id where it is theirs."""
    if person is None:
        return ()
    recordings = tx.recordings.of_subject(person.id)
    return recordings if session_id is None else tuple(r for r in recordings if r.id == session_id)


def _add(tx: UnitOfWork, request: ErasureRequest) -> None:
    """The request, its tombstone and its job, and the word to who else has something of it."""
    whole = request.session_id is None
    stone = Tombstone(
        request.session_id or request.subject_id, request.tenant, request.id, request.requested_at
    )
    tx.requests.add(request, stone)
    tx.jobs.put(Job("erase", request.id, request.requested_at))
    kind = FeedKind.ERASED if whole else FeedKind.SESSION_ERASED
    tell(tx, request.subject_id, kind, cause=request.id, session_id=request.session_id)


def _mark(
    tx: UnitOfWork, person: Subject, sessions: tuple[Recording, ...], request: ErasureRequest
) -> None:  # fmt: skip
    """Take every recording away from whoever works on it (rule 2)."""
    if request.session_id is None:
        tx.subjects.set_erasing(person.id)
    for recording in sessions:
        marked = replace(released(recording), erase_request_id=request.id)
        if not tx.recordings.swap(marked, expected=recording):
            raise Conflict("The session changed while its erasure was promised.", hint="Try again.")


def _whole(request: ErasureRequest, person: Subject) -> bool:
    return request.subject_id == person.id and request.session_id is None
