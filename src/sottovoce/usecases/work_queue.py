"""The queue of stored recordings: claimed by one worker at a time, put back after a failed attempt, queued again.

Rules upheld here, in order:
1. Only what is acknowledged and before its deadline is claimed, by a compare-and-swap, with a lease (F32).
2. Consent is asked for again at the claim, before anything is opened.
3. Attempts are counted before the work, so that what kills its worker every time comes to an end (F7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sottovoce.errors import ConsentRequired, NotFound
from sottovoce.model.ids import check_id
from sottovoce.model.job import Job
from sottovoce.model.policy import Policy
from sottovoce.model.purpose import AUDIO_HOLD, RETENTION
from sottovoce.model.recording import LifecycleEvent, Recording, RecordingState
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.discard import mark_failed
from sottovoce.usecases.failures import overtaken
from sottovoce.usecases.intake import NEEDED
from sottovoce.usecases.leases import Leases, released
from sottovoce.usecases.people import locked
from sottovoce.usecases.permission import consents_of
from sottovoce.usecases.trail import Scribe, Trail

_CLAIM_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class WorkQueue:
    database: Database
    leases: Leases
    trail: Trail
    policy: Policy
    tenant: str

    def claim_next(self, *, caller: Caller) -> tuple[Recording, Scribe] | None:
        """Claim the first recording that is due and free; None when nothing waits."""
        with self.database.begin() as tx:
            for job in tx.jobs.due("extract", at=tx.now(), limit=_CLAIM_BATCH):
                recording = tx.recordings.get(job.ref)
                if recording is None or not recording.claimable:
                    tx.jobs.done("extract", job.ref)
                elif self._is_free(recording, tx.now()):
                    claimed = self._claim(tx, recording, caller=caller)
                    if claimed is not None:
                        return claimed
        return None

    def claim(self, session_id: str, *, caller: Caller) -> tuple[Recording, Scribe] | None:
        """Claim one recording; None where another has it, or it has ended."""
        with self.database.begin() as tx:
            recording = tx.recordings.get(session_id)
            if recording is None or not self._is_free(recording, tx.now()):
                return None
            return self._claim(tx, recording, caller=caller)

    def put_back(self, claimed: Recording, code: str, scribe: Scribe) -> bool:
        """After a failed attempt: for another, later. False after the last one: it is to be given up."""
        if claimed.attempts >= self.policy.max_attempts:
            return False
        with self.database.begin() as tx:
            if tx.recordings.swap(released(claimed), expected=claimed):
                tx.jobs.put(Job("extract", claimed.id, tx.now() + self.policy.retry_after))
                scribe.write(
                    tx, "recording.attempt_failed", outcome=code,
                    details={"session": claimed.id, "attempt": claimed.attempts},
                )  # fmt: skip
        return True

    def requeue(self, session_id: str, *, caller: Caller) -> None:
        """Queue a held recording again, its attempts not counted. NotFound where none is held under that id;
        ConsentRequired."""
        check_id(session_id, "session")
        with self.database.begin() as tx:
            held = tx.recordings.get(session_id)
            if held is None or held.state is not RecordingState.HELD or held.failure is not None:
                raise NotFound("No recording is held under this id.")
            locked(tx, held.subject_id)
            consents_of(tx, held.subject_id, tenant=self.tenant).check((*NEEDED, RETENTION, AUDIO_HOLD))
            again = replace(held.to(LifecycleEvent.RETRY), attempts=0)
            if not tx.recordings.swap(again, expected=held):
                raise overtaken(held)
            tx.jobs.put(Job("extract", session_id, tx.now()))
            self.trail.of(held.subject_id, caller=caller).write(
                tx, "recording.retried", details={"session": session_id}
            )

    def _is_free(self, recording: Recording, now: datetime) -> bool:
        return recording.claimable and now < recording.discard_by and self.leases.ended(recording, now)

    def _claim(
        self, tx: UnitOfWork, recording: Recording, *, caller: Caller
    ) -> tuple[Recording, Scribe] | None:
        """Lease and count the attempt, or write down why not."""
        if recording.attempts >= self.policy.max_attempts:
            mark_failed(tx, recording, "attempts_exhausted")
            return None
        if not consents_of(tx, recording.subject_id, tenant=self.tenant).allow((*NEEDED, RETENTION)):
            mark_failed(tx, recording, ConsentRequired.code)
            return None
        claimed = replace(self.leases.taken(recording, tx.now()), attempts=recording.attempts + 1)
        if not tx.recordings.swap(claimed, expected=recording):
            return None
        scribe = self.trail.of(recording.subject_id, caller=caller)
        scribe.write(tx, "recording.claimed", details={"session": recording.id, "attempt": claimed.attempts})
        return claimed, scribe
