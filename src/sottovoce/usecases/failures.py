"""What becomes of a recording that gives no result: shredded at once, or held for a retry where the person agreed.

Rules upheld here, in order:
1. Every failure, whatever it is, ends in the same discard (`usecases/discard.py`).
2. Audio is held by the operator's policy and the person's own consent to it only, never against a withdrawal, and
   never longer than was promised first (M36).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sottovoce.errors import (
    Conflict,
    ConsentRequired,
    ExtractionFailed,
    KeyUnavailable,
    ReconsentRequired,
    SottovoceError,
    StorageError,
)
from sottovoce.model.job import Job
from sottovoce.model.policy import Policy
from sottovoce.model.purpose import AUDIO_HOLD
from sottovoce.model.recording import LifecycleEvent, Recording
from sottovoce.model.subject import Caller
from sottovoce.ports import Database
from sottovoce.usecases.discard import Discard
from sottovoce.usecases.permission import consents_of
from sottovoce.usecases.trail import Trail

_NEVER_HELD = (ConsentRequired.code, ReconsentRequired.code, "integrity", "subject_erasing")


@dataclass(frozen=True, kw_only=True)
class Failures:
    database: Database
    discard: Discard
    trail: Trail
    policy: Policy
    tenant: str

    def give_up(self, recording: Recording, error: BaseException, *, caller: Caller) -> None:
        """Any failure: hold or shred, and the discard at once. A failure of this itself is left to the sweeper,
        so that the caller learns the first cause."""
        code = code_of(error)
        try:
            if not self._held(recording, code, caller=caller):
                self.discard.fail(recording.id, code, caller=caller)
                self.discard.settle(recording.id, caller=caller)
        except SottovoceError:
            return

    def _held(self, recording: Recording, code: str, *, caller: Caller) -> bool:
        """Policy `hold`, and the person's own consent to it: a stored body waits, sealed, for a retry. Never one that
        is broken."""
        if self.policy.on_failure != "hold" or recording.body_stored_at is None or code in _NEVER_HELD:
            return False
        with self.database.begin() as tx:
            current = tx.recordings.get(recording.id)
            if current is None or not current.claimable:
                return False
            tx.subjects.lock(recording.subject_id)
            until = self.policy.held_until(current.received_at, current.hold_until)
            allowed = consents_of(tx, recording.subject_id, tenant=self.tenant).allow((AUDIO_HOLD,))
            if not allowed or until is None or until <= tx.now():
                return False
            held = replace(current.to(LifecycleEvent.HOLD), hold_until=until, discard_by=until)
            if not tx.recordings.swap(held, expected=current):
                return False
            tx.jobs.done("extract", recording.id)
            tx.jobs.put(Job("discard", recording.id, until))
            self.trail.of(recording.subject_id, caller=caller).write(
                tx, "recording.held", outcome=code, details={"session": recording.id}
            )
        return True


def code_of(error: BaseException) -> str:
    """What is written down of a failure: a public code, never the words of somebody else's error."""
    return error.public_code if isinstance(error, SottovoceError) else "interrupted"


def is_transient(error: SottovoceError) -> bool:
    """Whether the same recording may succeed later: what is wrong is not the recording (F12, F16)."""
    if isinstance(error, KeyUnavailable):
        return error.reason != "key_destroyed"
    return isinstance(error, (ExtractionFailed, StorageError))


def overtaken(current: Recording | None) -> SottovoceError:
    """Why a compare-and-swap failed, in the words of what came first."""
    if current is None or current.erase_request_id is not None:
        return Conflict("The person is being erased; the result was not kept.", reason="subject_erasing")
    if current.failure == ConsentRequired.code:
        return ConsentRequired("Consent was withdrawn while the recording was worked on; nothing was kept.")
    return Conflict("The recording was ended by somebody else meanwhile.", reason="overtaken")


def what_came_first(database: Database, recording: Recording) -> SottovoceError:
    """Why keys were destroyed or a body deleted under the hands of the one who needed them."""
    with database.read() as tx:
        return overtaken(tx.recordings.get(recording.id))
