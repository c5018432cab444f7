"""Erasure, whole person or one session: promised first, then done, then looked at again, then said.

Rules upheld here, in order:
1. tx-e1 commits the promise (state ERASING, request, tombstone, erase job, audit) before anything is destroyed;
   open() resumes what is interrupted. The file of tombstones, which no backup holds, has it before that commit.
2. Key rows go first: from then on nothing is readable, whatever becomes of rows and bodies (law 7, I10).
3. Erasure wins over running work: its mark makes every other compare-and-swap fail (F24).
4. "Erased" is said only after looking again at every store, by what stands there.
5. The same request id gives the stored receipt; unknown and erased persons get one identical "nothing held" answer
   (F26, C11d). No consent is asked for a right (law 6). Who asks again after an error is answered with the erasure that
   was promised, not with "nothing held": the error names its request, and this process remembers it.
6. A legal hold blocks shredding and nothing else: what is asked for meanwhile waits, says so, and runs by itself when
   the hold is lifted, or at the next open() after that (C12a).
7. What there is to destroy is written down with the promise, so that the receipt tells of all of it, whatever was
   interrupted (C11c).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from sottovoce.errors import Conflict, StorageError, UsageError
from sottovoce.model.canonical import JsonValue, canonical_json
from sottovoce.model.ids import RandomBytes, check_id, new_id
from sottovoce.model.job import Job
from sottovoce.model.keys import DestructionPromise
from sottovoce.model.lineage import Leaving, LineageLine
from sottovoce.model.mark import REASONS, Mark, MarkKind, holds
from sottovoce.model.outcome import ErasureOutcome
from sottovoce.model.recipient import FeedKind
from sottovoce.model.recording import Recording
from sottovoce.model.request import ErasureRequest, Tombstone
from sottovoce.model.subject import Caller, Subject, SubjectState
from sottovoce.model.times import iso_s
from sottovoce.model.tombstones import TombstoneEntry
from sottovoce.ports import Blobs, Database, UnitOfWork
from sottovoce.usecases.discard import body_path
from sottovoce.usecases.feed import name_of, tell
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.lineage import leave, to_json
from sottovoce.usecases.people import People
from sottovoce.usecases.promises import Promises, of_erasure, of_mark
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.trail import Scribe, Trail

_Result = Literal["erased", "nothing_held", "would_erase", "held"]
_BATCH = 500
_MOST_OBJECTS = 2000  # named one by one in a receipt; of more, so many and how many there were
_COPIES_OPEN_UNTIL = "?"  # stands for the end of the key epoch, in the words of Keyring.destroyed_by()
_REMAINS: tuple[tuple[str, str, str], ...] = (  # what, why, until when
    (
        "the erasure request, a tombstone and the log of the person's requests, with internal ids only",
        "proof that the erasure took place; nothing erased comes back from a backup", "for good",
    ),
    (
        "backups of the database made before", "what they hold is sealed under keys that are destroyed here",
        "they are deleted; before one is served, the tombstones erase the person again",
    ),
    (
        "audit entries under a pseudonym whose key is destroyed",
        "the log has to verify; nothing links them to the person any more", "as long as the log is kept",
    ),
    (
        "backups of the key store made before", "they were made before; each is sealed under the key of an epoch",
        _COPIES_OPEN_UNTIL,
    ),
    ("copies of receipts and packages that were handed out", "they are the person's own", "not ours to say"),
    (
        "models that were trained before, named under `training`", "a model cannot be taken back from where it is used",
        "what is said there of each is done",
    ),
    ("statistics that were released before", "what was released cannot be taken back", "this version releases none"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Rights:
    database: Database
    keyring: Keyring
    bodies: Blobs
    people: People
    trail: Trail
    receipts: ReceiptBook
    promises: Promises
    random_bytes: RandomBytes
    tenant: str
    # (blind index, session) -> request: promised here, and not answered yet (rule 5); internal ids only
    _unanswered: dict[tuple[str, str | None], str] = field(default_factory=dict, init=False, repr=False)

    def erase(
        self, subject: str, *, session_id: str | None = None, request_id: str | None = None, caller: Caller
    ) -> ErasureOutcome:  # fmt: skip
        """Erase a person, or one of their sessions. Idempotent; UsageError for an id that is none."""
        if session_id is not None:
            check_id(session_id, "session")
        if request_id is not None:
            check_id(request_id, "request")
        stored = self._stored(request_id)
        if stored is not None and stored.receipt is not None:
            return self._outcome("erased", stored, {})
        request = stored or self._promise(subject, session_id, request_id, caller=caller)
        if request is None:
            request = self._stored(self._unanswered.get(self._asked(subject, session_id)))
        if request is None:
            return self._nothing_held()
        if isinstance(request, Mark):
            return self._waits(request)
        with _naming(request):
            outcome = self.carry_out(request, caller=caller)
        self._answered(request.id)
        return outcome

    def run_waiting(self, *, caller: Caller) -> int:
        """Carry out the erasures that waited for a legal hold which does not stand any more; how many."""
        with self.database.read() as tx:
            waiting = tx.marks.standing(MarkKind.ERASURE_WAITING)
            free = [mark for mark in waiting if not holds(tx.marks.of_subject(mark.subject_id))]
        outcomes = [
            self.erase_person(
                mark.subject_id, session_id=mark.session_id, request_id=mark.request_id, caller=caller
            )
            for mark in free
        ]
        return sum(outcome.result == "erased" for outcome in outcomes)

    def erase_person(
        self, subject_id: str, *, session_id: str | None, request_id: str | None, caller: Caller
    ) -> ErasureOutcome:
        """`erase` for who knows the person by the internal id."""
        stored = self._stored(request_id)
        if stored is not None and stored.receipt is not None:
            return self._outcome("erased", stored, {})
        request: ErasureRequest | Mark | None = stored
        if stored is None:
            with self.promises.begin() as tx:
                person = tx.subjects.get(subject_id)
                request = self._promise_for(tx, person, session_id, request_id, caller=caller)
        if request is None:
            return self._nothing_held()
        return self._waits(request) if isinstance(request, Mark) else self.carry_out(request, caller=caller)

    def preview(self, subject: str, *, session_id: str | None = None) -> ErasureOutcome:
        """What erase would destroy; changes nothing."""
        with self.database.read() as tx:
            person = self.people.find(tx, subject)
            sessions = _sessions(tx, person, session_id)
            if person is None or (session_id is not None and not sessions):
                return ErasureOutcome("nothing_held", None, {}, None)
            counts = tx.rows_of(person.id) if session_id is None else {}
            records = sum(len(tx.records.of_session(s.id)) for s in sessions)
        bodies = sum(self.bodies.exists(body_path(session.id)) for session in sessions)
        counts = {**counts, "sessions": len(sessions), "records": records, "bodies": bodies}
        return ErasureOutcome("would_erase", None, counts, None)

    def resume(self, *, caller: Caller) -> int:
        """Finish every erasure that was promised and interrupted; how many."""
        with self.database.read() as tx:
            unfinished = tx.requests.unfinished()
        for request in unfinished:
            self.carry_out(request, caller=caller)
        return len(unfinished) + self.run_waiting(caller=caller)

    def carry_out(self, request: ErasureRequest, *, caller: Caller) -> ErasureOutcome:
        """From the committed promise to the receipt; every step may be repeated."""
        if request.receipt is not None:
            return self._outcome("erased", request, {})
        try:
            return self._carry_out(request, caller=caller)
        except StorageError as error:
            # I10: a full disk must not stop an erasure. The reserve is given back and used for it, once.
            if error.public_code != "storage_full" or not self.database.free_reserve():
                raise
            return self._carry_out(request, caller=caller)

    def _carry_out(self, request: ErasureRequest, *, caller: Caller) -> ErasureOutcome:
        counts = self._destroy_keys(request)
        counts |= self._delete_bodies_and_copies(request)  # before the rows that tell where they are
        counts |= self._delete_records(request)
        with self.database.begin() as tx:
            rows = (
                tx.erase_rows(request.subject_id)
                if request.session_id is None
                else tx.erase_session_rows(request.session_id)
            )
        self.database.tidy()
        counts |= {table: counts.get(table, 0) + count for table, count in rows.items()}
        self._look_again(request)
        return self._complete(request, counts, caller=caller)

    # --- tx-e1 -----------------------------------------------------------------------------------------

    def _promise(
        self, subject: str, session_id: str | None, request_id: str | None, *, caller: Caller
    ) -> ErasureRequest | Mark | None:  # fmt: skip
        """Commit the promise, or that it waits for a legal hold; None where nothing is held."""
        try:
            return self._promise_once(subject, session_id, request_id, caller=caller)
        except StorageError as error:
            if error.public_code != "storage_full" or not self.database.free_reserve():
                raise
            return self._promise_once(subject, session_id, request_id, caller=caller)

    def _promise_once(
        self, subject: str, session_id: str | None, request_id: str | None, *, caller: Caller
    ) -> ErasureRequest | Mark | None:  # fmt: skip
        with self.promises.begin() as tx:
            person = self.people.find(tx, subject)
            request = self._promise_for(tx, person, session_id, request_id, caller=caller)
            if isinstance(request, ErasureRequest):
                # Before the commit: once it stands in the file of tombstones, it is promised.
                self._unanswered[self._asked(subject, session_id)] = request.id
        return request

    def _asked(self, subject: str, session_id: str | None) -> tuple[str, str | None]:
        return self.people.blind_index(subject), session_id

    def _answered(self, request_id: str) -> None:
        for asked, request in list(self._unanswered.items()):
            if request == request_id:
                self._unanswered.pop(asked, None)

    def _promise_for(
        self, tx: UnitOfWork, person: Subject | None, session_id: str | None, request_id: str | None, *,
        caller: Caller,
    ) -> ErasureRequest | Mark | None:  # fmt: skip
        sessions = _sessions(tx, person, session_id)
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
            requested_at=tx.now(), inventory=self._found(tx, person, sessions, session_id, trained),
        )  # fmt: skip
        self._mark(tx, person, sessions, request)
        self._add(tx, request)
        scribe.write(tx, "erasure.promised", details={"request": request.id, "session": session_id})
        self.promises.write(tx, [of_erasure(request)])
        return request

    def _add(self, tx: UnitOfWork, request: ErasureRequest) -> None:
        """The request, its tombstone and its job, and the word to who else has something of it."""
        whole = request.session_id is None
        stone = Tombstone(
            request.session_id or request.subject_id, request.tenant, request.id, request.requested_at
        )
        tx.requests.add(request, stone)
        tx.jobs.put(Job("erase", request.id, request.requested_at))
        kind = FeedKind.ERASED if whole else FeedKind.SESSION_ERASED
        tell(tx, request.subject_id, kind, cause=request.id, session_id=request.session_id)

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
            sessions = _sessions(tx, person, session_id)
            trained = leave(tx, person.id, Leaving.ERASED, session_id=session_id)
            request = replace(request, inventory=self._found(tx, person, sessions, session_id, trained))
            self._mark(tx, person, sessions, request)
        self._add(tx, request)
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

    def _found(
        self, tx: UnitOfWork, person: Subject, sessions: tuple[Recording, ...], session_id: str | None,
        trained: Sequence[LineageLine],
    ) -> str:  # fmt: skip
        """What there is to destroy, by store; ids and versions only."""
        objects: list[dict[str, JsonValue]] = []
        for session in sessions:
            objects += [
                {"id": r.id, "kind": r.kind, "version": f"{r.profile} {r.version}", "session_id": session.id}
                for r in tx.records.of_session(session.id)
            ]
            objects += [
                {"id": d.id, "kind": "decision", "version": d.model, "session_id": session.id}
                for d in tx.records.decisions_of_session(session.id)
            ]
        keys = list(self.keyring.rows(subject_id=person.id))
        own = {str(one["id"]) for one in objects} | {session.id for session in sessions}
        rows = {"recordings": 1} if session_id is not None else tx.rows_of(person.id)
        found: dict[str, JsonValue] = {
            "sessions": len(sessions),
            "keys": len(keys) if session_id is None else sum(key.key_id in own for key in keys),
            "bodies": sum(self.bodies.exists(body_path(session.id)) for session in sessions),
            "rows": dict(rows),
            "objects": objects[:_MOST_OBJECTS],
            "objects_in_all": len(objects),
        }
        if trained:
            found["training"] = to_json(trained)
        return canonical_json(found).decode()

    def _mark(
        self, tx: UnitOfWork, person: Subject, sessions: tuple[Recording, ...], request: ErasureRequest
    ) -> None:  # fmt: skip
        """Take every recording away from whoever works on it (rule 3)."""
        if request.session_id is None:
            tx.subjects.set_erasing(person.id)
        for recording in sessions:
            marked = replace(recording, erase_request_id=request.id, lease_owner=None, lease_until=None)
            if not tx.recordings.swap(marked, expected=recording):
                raise Conflict("The session changed while its erasure was promised.", hint="Try again.")

    # --- the work --------------------------------------------------------------------------------------

    def _destroy_keys(self, request: ErasureRequest) -> dict[str, int]:
        if request.session_id is None:
            return {"keys": self.keyring.destroy_subject(request.subject_id)}
        with self.database.read() as tx:
            ids = [record.id for record in tx.records.of_session(request.session_id)]
            ids += [decision.id for decision in tx.records.decisions_of_session(request.session_id)]
        wanted = dict.fromkeys((*ids, *promised_ids(request), request.session_id))
        return {"keys": self.keyring.destroy(list(wanted))}

    def _inventory(self, request: ErasureRequest) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Ids of the sessions and of the receipts that the request covers."""
        with self.database.read() as tx:
            if request.session_id is None:
                sessions = tuple(recording.id for recording in tx.recordings.of_subject(request.subject_id))
                receipts = tx.receipts.of_subject(request.subject_id)
            else:
                sessions = (request.session_id,)
                receipts = tx.receipts.of_session(request.session_id)
        return sessions, tuple(receipt.id for receipt in receipts)

    def _delete_bodies_and_copies(self, request: ErasureRequest) -> dict[str, int]:
        sessions, receipt_ids = self._inventory(request)
        deleted = {
            "bodies": sum(self.bodies.delete(body_path(session_id)) for session_id in sessions),
            "receipt copies": sum(self.receipts.remove(receipt_id) for receipt_id in receipt_ids),
        }
        if any(self.bodies.exists(body_path(session_id)) for session_id in sessions):
            raise _incomplete()
        return {store: count for store, count in deleted.items() if count}

    def _delete_records(self, request: ErasureRequest) -> dict[str, int]:
        """The bulk of the rows in bounded batches, each tidied away: on a full disk a batch fits into the reserve."""
        if request.session_id is not None:
            return {}
        with self.database.read() as tx:
            ids = tx.records.ids_of_subject(request.subject_id)
        deleted = 0
        for start in range(0, len(ids), _BATCH):
            with self.database.begin() as tx:
                deleted += tx.records.delete(ids[start : start + _BATCH])
            self.database.tidy()
        return {"records": deleted} if deleted else {}

    def _look_again(self, request: ErasureRequest) -> None:
        with self.database.read() as tx:
            if request.session_id is None:
                rows = sum(tx.rows_of(request.subject_id).values())
                keys_left = self.keyring.holds_anything_of(request.subject_id)
            else:
                rows = len(tx.records.of_session(request.session_id))
                ids = (*promised_ids(request), request.session_id)
                keys_left = any(self.keyring.exists(key_id) for key_id in ids)
        if rows or keys_left:
            raise _incomplete()

    # --- tx-e2 -----------------------------------------------------------------------------------------

    def _complete(
        self, request: ErasureRequest, counts: dict[str, int], *, caller: Caller
    ) -> ErasureOutcome:  # fmt: skip
        signer = self.receipts.signer()
        with self.database.begin() as tx:
            current = tx.requests.get(request.id)
            if current is not None and current.receipt is not None:
                return self._outcome("erased", current, counts)  # another process was faster
            done = replace(request, completed_at=tx.now())
            body = {
                **_receipt_body(
                    done, counts, self.keyring.describe_destruction(), self.keyring.destroyed_by(tx.now())
                ),
                "recipients": self._recipients(tx, done.id),
            }
            text = signer.sign("erasure", body)
            tx.requests.complete(request.id, at=tx.now(), receipt=text)
            tx.jobs.done("erase", request.id)
            scribe = self.trail.erased(request.pseudonym, caller=caller)
            scribe.write(tx, "erasure.completed")
        done = replace(done, receipt=text)
        self.receipts.publish_text(done.id, text)
        return self._outcome("erased", done, counts)

    def _recipients(self, tx: UnitOfWork, request_id: str) -> list[JsonValue]:
        """Who else had something of it and was told; `requests show` says later who has done it."""
        lines: list[JsonValue] = []
        for entry in tx.recipients.told(request_id):
            recipient = tx.recipients.get(entry.recipient_id)
            lines.append(
                {
                    "recipient": entry.recipient_id,
                    "name": entry.recipient_id if recipient is None else name_of(self.keyring, recipient),
                    "entry": entry.number, "told_at": iso_s(entry.at),
                    "applied": "not yet, when this was signed",
                }
            )  # fmt: skip
        return lines

    def _stored(self, request_id: str | None) -> ErasureRequest | None:
        if request_id is None:
            return None
        with self.database.read() as tx:
            return tx.requests.get(request_id)

    def _nothing_held(self) -> ErasureOutcome:
        """The same bytes for everybody of whom nothing is held: no id, no time."""
        text = self.receipts.plain_signer().sign("erasure", {"result": "nothing_held", "tenant": self.tenant})
        return ErasureOutcome("nothing_held", None, {}, text)

    def _waits(self, mark: Mark) -> ErasureOutcome:
        """The signed answer while a legal hold stands: what waits, for which hold, on what ground."""
        with self.database.read() as tx:
            standing = holds(tx.marks.of_subject(mark.subject_id))
        body: dict[str, JsonValue] = {
            "result": "held",
            "request_id": mark.request_id,
            "tenant": self.tenant,
            "subject_id": mark.subject_id,
            "session_id": mark.session_id,
            "requested_at": iso_s(mark.placed_at),
            "holds": [
                {
                    "id": hold.id,
                    "basis": REASONS[hold.kind].get(hold.reason, hold.reason),
                    "since": iso_s(hold.placed_at),
                }
                for hold in standing
            ],
            "remains": [
                {
                    "what": "everything that is held of the person",
                    "why": "a legal hold: kept, and used for nothing that the person has not agreed to",
                    "until": "the hold is lifted; then the erasure runs by itself",
                }
            ],
        }
        text = self.receipts.plain_signer().sign("erasure", body)
        return ErasureOutcome("held", mark.request_id, {}, text)

    def _outcome(self, result: _Result, request: ErasureRequest, counts: dict[str, int]) -> ErasureOutcome:
        text = request.receipt or ""
        return ErasureOutcome(result, request.id, counts, text, self.receipts.path_of_text(request.id, text))


def _sessions(tx: UnitOfWork, person: Subject | None, session_id: str | None) -> tuple[Recording, ...]:
    """The person's recordings, or the one of that id where it is theirs."""
    if person is None:
        return ()
    recordings = tx.recordings.of_subject(person.id)
    return recordings if session_id is None else tuple(r for r in recordings if r.id == session_id)


def promised_ids(request: ErasureRequest) -> tuple[str, ...]:
    """Ids of the records and decisions that were there when the erasure was promised: also those of their keys, and
    known when the rows are gone already, and from its receipt when the erasure is complete."""
    found = json.loads(request.inventory) if request.inventory else {}
    if request.receipt is not None:
        found = json.loads(request.receipt)["body"].get("found", {})
    return tuple(str(one["id"]) for one in found.get("objects", []))


@contextmanager
def _naming(request: ErasureRequest) -> Iterator[None]:
    """An erasure that is promised and could not be finished says under which request it goes on."""
    try:
        yield
    except StorageError as error:
        how = f"It is promised as {request.id}; the same command with --request-id {request.id} gives its receipt."
        if request.id not in error.hint:
            error.hint = f"{error.hint} {how}".strip()
        raise


def _incomplete() -> StorageError:
    return StorageError(
        "Something of the person is still there after it was erased; it will be tried again.",
        hint="Run `sottovoce sweep`.",
        reason="erasure_incomplete",
    )


def _whole(request: ErasureRequest, person: Subject) -> bool:
    return request.subject_id == person.id and request.session_id is None


def _receipt_body(
    request: ErasureRequest, counts: dict[str, int], destruction: str, copies: DestructionPromise
) -> dict[str, JsonValue]:
    if request.completed_at is None:
        raise UsageError("An erasure that is not complete has no receipt.")
    found: dict[str, JsonValue] = json.loads(request.inventory) if request.inventory else {}
    training = found.pop("training", [])
    return {
        "result": "erased",
        "request_id": request.id,
        "tenant": request.tenant,
        "subject_id": request.subject_id,
        "session_id": request.session_id,
        "requested_at": iso_s(request.requested_at),
        "completed_at": iso_s(request.completed_at),
        "found": found,
        "stores": _stores(found),
        "destroyed": dict(sorted(counts.items())),
        "training": training,
        "key_destruction": destruction,
        "key_copies_open_until": None if copies.date is None else iso_s(copies.date),
        "remains": [
            {"what": what, "why": why, "until": copies.words if until is _COPIES_OPEN_UNTIL else until}
            for what, why, until in _REMAINS
        ],
    }


def _stores(found: dict[str, JsonValue]) -> list[JsonValue]:
    """What was in each store when the erasure was promised, and what became of it."""
    if not found:
        return []
    rows = found.get("rows")
    lines: list[JsonValue] = [
        {"store": "key store", "object": "keys", "count": found.get("keys"),
         "fate": "rows deleted, not found after deletion: what they seal cannot be opened any more"},
        {"store": "bodies", "object": "sealed audio", "count": found.get("bodies"),
         "fate": "deleted, not found after deletion"},
    ]  # fmt: skip
    for table, count in sorted(rows.items()) if isinstance(rows, dict) else ():
        lines.append(
            {
                "store": "database",
                "object": table,
                "count": count,
                "fate": "deleted, not found after deletion",
            }
        )
    return lines
