"""The life of a recording: five stored states, one transition per transaction.

"Key destroyed" is not a state but a fact: the row is gone from the key store (house.md). A recording that has
failed stays RECEIVED with a failure code until its audio is proven gone; nobody claims it any more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from sottovoce.errors import Conflict

Shape = Literal["analyze", "submit"]
# What happened to the caller's source file, as the receipt says it.
SourceFate = Literal["left_in_place", "unlinked", "unlink_not_confirmed"]


class RecordingState(StrEnum):
    RECEIVED = "received"
    COMMITTED = "committed"  # the result is durable (or ready to be returned once); the audio may still exist
    VERIFIED = "verified"  # the audio is gone, a re-read has failed
    FAILED_SHREDDED = "failed_shredded"  # no result; the audio is gone
    HELD = "held"  # no result; the sealed audio waits for a retry until `hold_until`


class LifecycleEvent(StrEnum):
    COMMIT = "commit"
    VERIFY = "verify"
    SHRED = "shred"
    HOLD = "hold"
    RETRY = "retry"


LIFECYCLE: dict[tuple[RecordingState, LifecycleEvent], RecordingState] = {
    (RecordingState.RECEIVED, LifecycleEvent.COMMIT): RecordingState.COMMITTED,
    (RecordingState.COMMITTED, LifecycleEvent.VERIFY): RecordingState.VERIFIED,
    (RecordingState.RECEIVED, LifecycleEvent.SHRED): RecordingState.FAILED_SHREDDED,
    (RecordingState.RECEIVED, LifecycleEvent.HOLD): RecordingState.HELD,
    (RecordingState.HELD, LifecycleEvent.RETRY): RecordingState.RECEIVED,
    (RecordingState.HELD, LifecycleEvent.SHRED): RecordingState.FAILED_SHREDDED,
}
FINAL = frozenset({RecordingState.VERIFIED, RecordingState.FAILED_SHREDDED})


def advance(state: RecordingState, event: LifecycleEvent) -> RecordingState:
    """The next state; Conflict where the table has none."""
    try:
        return LIFECYCLE[state, event]
    except KeyError:
        raise Conflict(f"A recording that is {state} cannot {event}.", reason="illegal_transition") from None


@dataclass(frozen=True, slots=True)
class Recording:
    """One session: a recording and the states it goes through. Holds no audio, no name of a file."""

    id: str  # the session id; also the path of its body and the id of its key row
    tenant: str
    subject_id: str
    shape: Shape
    state: RecordingState
    received_at: datetime
    discard_by: datetime  # promised before any audio is stored; no queue extends it
    keep: bool  # whether data_retention_30_days held at the start
    discard_source: bool = False
    profile: str = "compat"
    channel: str = "0"
    accept_truncated: bool = False
    idempotency: str | None = None  # HMAC of the caller's key
    body_stored_at: datetime | None = None
    body_bytes: int = 0
    lease_owner: str | None = None
    lease_until: datetime | None = None
    attempts: int = 0  # counted before the work (F7)
    failure: str | None = None  # code of what went wrong; set = never claimed again
    hold_until: datetime | None = None  # the promise made when it was first held; a retry leaves it as it is
    erase_request_id: str | None = None  # set: erasure has won, nothing else may commit
    committed_at: datetime | None = None
    ended_at: datetime | None = None
    receipt_id: str | None = None

    def to(self, event: LifecycleEvent) -> Recording:
        """This recording after a lifecycle event, its lease released."""
        return replace(self, state=advance(self.state, event), lease_owner=None, lease_until=None)

    @property
    def ended(self) -> bool:
        return self.state in FINAL

    @property
    def claimable(self) -> bool:
        """Whether a worker may extract it, leases and deadlines apart."""
        return (
            self.state is RecordingState.RECEIVED
            and self.shape == "submit"
            and self.body_stored_at is not None
            and self.failure is None
            and self.erase_request_id is None
        )
