"""Erasure, whole person or one session: promised first, then done, then looked at again, then said.

    tx-e1  lock, ERASING, request + inventory + tombstone + erase job + audit   (usecases/erasure_requests.py)
    ->     key rows -> bodies and copies of receipts -> rows -> look again
    tx-e2  signed receipt + audit                                               (words: usecases/erasure_receipt.py)

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

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from sottovoce.errors import StorageError
from sottovoce.model.canonical import JsonValue
from sottovoce.model.ids import RandomBytes, check_id
from sottovoce.model.mark import Mark, MarkKind, holds
from sottovoce.model.outcome import ErasureOutcome
from sottovoce.model.request import ErasureRequest
from sottovoce.model.subject import Caller
from sottovoce.model.times import iso_s
from sottovoce.model.tombstones import TombstoneEntry
from sottovoce.ports import Blobs, Database, UnitOfWork
from sottovoce.usecases.discard import body_path
from sottovoce.usecases.erasure_receipt import erased_body, held_body, nothing_held_body, promised_ids
from sottovoce.usecases.erasure_requests import ErasureRequests, sessions_of
from sottovoce.usecases.feed import name_of
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.people import People
from sottovoce.usecases.promises import Promises
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.trail import Trail

__all__ = ["Rights", "promised_ids"]

_Done = TypeVar("_Done")
_BATCH = 500


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
            return self._outcome(stored, {})
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
            return self._outcome(stored, {})
        request: ErasureRequest | Mark | None = stored
        if stored is None:
            with self.promises.begin() as tx:
                person = tx.subjects.get(subject_id)
                request = self._requests.promise(tx, person, session_id, request_id, caller=caller)
        if request is None:
            return self._nothing_held()
        return self._waits(request) if isinstance(request, Mark) else self.carry_out(request, caller=caller)

    def preview(self, subject: str, *, session_id: str | None = None) -> ErasureOutcome:
        """What erase would destroy; changes nothing."""
        with self.database.read() as tx:
            person = self.people.find(tx, subject)
            sessions = sessions_of(tx, person, session_id)
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

    def repeat(self, tx: UnitOfWork, stone: TombstoneEntry, *, caller: Caller) -> bool:
        """Promise once more what the file of tombstones says was promised, where this database does not know of it;
        whether there is anything to do."""
        return self._requests.repeat(tx, stone, caller=caller)

    def carry_out(self, request: ErasureRequest, *, caller: Caller) -> ErasureOutcome:
        """From the committed promise to the receipt; every step may be repeated."""
        if request.receipt is not None:
            return self._outcome(request, {})
        return self._with_reserve(lambda: self._carry_out(request, caller=caller))

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
        return self._with_reserve(lambda: self._promise_once(subject, session_id, request_id, caller=caller))

    def _promise_once(
        self, subject: str, session_id: str | None, request_id: str | None, *, caller: Caller
    ) -> ErasureRequest | Mark | None:  # fmt: skip
        with self.promises.begin() as tx:
            person = self.people.find(tx, subject)
            request = self._requests.promise(tx, person, session_id, request_id, caller=caller)
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
                return self._outcome(current, counts)  # another process was faster
            done = replace(request, completed_at=tx.now())
            body = erased_body(
                done, counts, destruction=self.keyring.describe_destruction(),
                copies=self.keyring.destroyed_by(tx.now()), recipients=self._recipients(tx, done.id),
            )  # fmt: skip
            text = signer.sign("erasure", body)
            tx.requests.complete(request.id, at=tx.now(), receipt=text)
            tx.jobs.done("erase", request.id)
            scribe = self.trail.erased(request.pseudonym, caller=caller)
            scribe.write(tx, "erasure.completed")
        done = replace(done, receipt=text)
        self.receipts.publish_text(done.id, text)
        return self._outcome(done, counts)

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

    # --- small things ----------------------------------------------------------------------------------

    @cached_property
    def _requests(self) -> ErasureRequests:
        return ErasureRequests(
            keyring=self.keyring, bodies=self.bodies, trail=self.trail, promises=self.promises,
            random_bytes=self.random_bytes, tenant=self.tenant,
        )  # fmt: skip

    def _with_reserve(self, work: Callable[[], _Done]) -> _Done:
        """I10: a full disk must not stop an erasure. The reserve is given back and used for it, once."""
        try:
            return work()
        except StorageError as error:
            if error.public_code != "storage_full" or not self.database.free_reserve():
                raise
            return work()

    def _stored(self, request_id: str | None) -> ErasureRequest | None:
        if request_id is None:
            return None
        with self.database.read() as tx:
            return tx.requests.get(request_id)

    def _nothing_held(self) -> ErasureOutcome:
        """The same bytes for everybody of whom nothing is held: no id, no time."""
        text = self.receipts.plain_signer().sign("erasure", nothing_held_body(self.tenant))
        return ErasureOutcome("nothing_held", None, {}, text)

    def _waits(self, mark: Mark) -> ErasureOutcome:
        """The signed answer while a legal hold stands: what waits, for which hold, on what ground."""
        with self.database.read() as tx:
            standing = holds(tx.marks.of_subject(mark.subject_id))
        text = self.receipts.plain_signer().sign("erasure", held_body(mark, standing))
        return ErasureOutcome("held", mark.request_id, {}, text)

    def _outcome(self, request: ErasureRequest, counts: dict[str, int]) -> ErasureOutcome:
        text = request.receipt or ""
        return ErasureOutcome(
            "erased", request.id, counts, text, self.receipts.path_of_text(request.id, text)
        )


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
