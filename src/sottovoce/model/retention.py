"""How long each kind of thing is kept, why, and when it has to go: the earlier of the promise made at insert and the
policy of now.

The table below is the whole schedule: what a policy may shorten, what it may not, and what of it nothing stores yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sottovoce.errors import UsageError

# A policy that is set in days; a promise written with each thing; the person's erasure; or not stored here yet.
Ends = Literal["policy", "deadline", "erasure", "not_stored"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of data in the schedule."""

    id: str
    title: str  # as the public schedule names it
    basis: str  # the purpose or duty it is kept for
    ends: Ends
    days: int | None  # the default; None: see `ends`
    ceiling: int | None  # no policy may be longer


SCHEDULE: tuple[Kind, ...] = (
    Kind("audio", "Recordings", "voice_recording", "deadline", 0, 0),
    Kind("held_audio", "Recordings held, sealed, for another attempt", "audio_hold", "deadline", 7, 30),
    Kind("features", "Features of a voice", "data_retention_30_days", "policy", 30, 30),
    Kind("insight", "Voice profiles", "data_retention_30_days", "policy", 30, 30),
    Kind("embedding", "Voice embeddings", "voice_embedding", "policy", 30, 30),
    Kind(
        "decision", "Decision log: which rule or model said what", "data_retention_30_days", "policy", 30, 30
    ),
    Kind("audit", "Details of the audit log", "accountability", "policy", 2555, 2555),
    Kind("consent", "Consents and the proof of them", "accountability", "erasure", None, None),
    Kind("receipt", "Signed receipts", "accountability", "erasure", None, None),
    Kind("transcript", "Transcripts", "not offered by this version", "not_stored", 90, 90),
    Kind("profile", "User profiles", "not offered by this version", "not_stored", 365, 365),
)
KINDS: Mapping[str, Kind] = {kind.id: kind for kind in SCHEDULE}
RECORD_KINDS = ("features", "insight", "embedding", "decision")  # what a policy shortens
_DEFAULT_DAYS = {kind: KINDS[kind].days or 0 for kind in RECORD_KINDS}


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Days that each kind of record is kept; a person may shorten, nobody may lengthen a promise."""

    days: Mapping[str, int] = field(default_factory=lambda: dict(_DEFAULT_DAYS))

    def promise(self, kind: str, created_at: datetime) -> datetime:
        """The expiry to write beside a new record."""
        return created_at + timedelta(days=self.days[kind])

    def due(self, kind: str, created_at: datetime, promised: datetime) -> datetime:
        """due = min(promise at insert, policy now): a longer policy never extends a promise (C10a, X11)."""
        return min(promised, self.promise(kind, created_at))


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Days that were set for one kind of record, in place of the setting."""

    kind: str
    tenant: str
    days: int
    at: datetime


@dataclass(frozen=True, slots=True)
class ClockMark:
    """When this run of the machine began by the wall clock: two readings that differ mean that the clock was moved."""

    tenant: str
    boot: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One line of the live schedule: what holds now, and how much stands under it."""

    kind: Kind
    days: int | None
    count: int
    overdue: int


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """What other days for one kind would do, before they are set."""

    kind: str
    days: int
    new_days: int
    records: int
    due_now: int  # under what holds
    would_be_due: int  # under what is planned


def check_days(kind: str, days: int) -> int:
    """The days, where the schedule allows them for this kind; UsageError where not."""
    if kind not in RECORD_KINDS:
        raise UsageError(
            f"The schedule has no days to set for {kind!r}.", hint=f"Kinds: {', '.join(RECORD_KINDS)}.",
            reason="retention_kind",
        )  # fmt: skip
    ceiling = KINDS[kind].ceiling or 0
    if not 0 <= days <= ceiling:
        raise UsageError(
            f"{kind} may be kept for 0 to {ceiling} days.",
            hint="Longer needs a consent of its own, which this version does not ask for.",
            reason="retention_days",
        )
    return days
