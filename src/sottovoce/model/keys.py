"""Words of the key tree: KEK(n) of the provider > epoch key EK(n) > subject key > record key.

A key row is wrapped by the epoch key on the outside; keys of records and recordings are wrapped by their
subject's key of one class on the inside. Deleting the row erases what the key seals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

KEY_BYTES = 32

# One key per subject and class, made with the subject; no later write creates one.
SUBJECT_KEY_CLASSES = ("audio", "features", "insights", "evidence", "audit")

# subject: the subject's own key of a class. record: one sealed record. recording: one stored body.
# details: audit details of one subject and month. tenant: keys of the operator (blind index, identity, ...).
# recipient: what seals the private half of a recipient key; it stands in the short-lived store.
KeyKind = Literal["subject", "record", "recording", "details", "tenant", "recipient"]


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One wrapped key of the key store."""

    key_id: str
    tenant: str
    kind: KeyKind
    key_class: str  # of SUBJECT_KEY_CLASSES, or "tenant"
    subject_id: str | None  # None for tenant keys
    epoch: int
    wrapped: bytes = field(repr=False)
    created_at: datetime  # aware UTC


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch of a key store: its number, its EK wrapped by the provider's KEK(n), and whether it is current."""

    epoch: int
    wrapped_ek: bytes = field(repr=False)
    current: bool
    created_at: datetime
    ends_by: datetime | None = None  # promised when it began; receipts name it. None: no end was promised


@dataclass(frozen=True, slots=True)
class DestructionPromise:
    """Until when a copy of the key store still opens what is erased now."""

    date: datetime | None  # after it none does; None where no setting enforces a date
    words: str  # plain words that go on after "until", the provider's own included


_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class EpochAges:
    """How old an epoch may get: `days`, or 0 for no rotation by age.

    A promise is kept whatever is set later: longer days hold from the next epoch on, shorter ones at once.
    """

    days: int = 0

    def promise(self, began_at: datetime) -> datetime | None:
        """The end to write beside an epoch that begins."""
        return began_at + timedelta(days=self.days) if self.days else None

    def end(self, row: EpochRow) -> datetime | None:
        """When the epoch has to have ended: min(promise at its beginning, what is set now)."""
        return min((at for at in (row.ends_by, self.promise(row.created_at)) if at), default=None)

    def due_at(self, row: EpochRow) -> datetime | None:
        """When a sweep ends it: a tenth of its life before its end, a day at most: one sweep a day is enough."""
        end = self.end(row)
        return None if end is None else end - min(_DAY, (end - row.created_at) / 10)

    def is_due(self, row: EpochRow, now: datetime) -> bool:
        """Also an epoch that began in the future: under a clock that was wrong, so its end comes too late."""
        due_at = self.due_at(row)
        return due_at is not None and (now >= due_at or row.created_at > now + _DAY)

    def is_overdue(self, row: EpochRow, now: datetime) -> bool:
        """Whether the end that was promised when it began has passed: an alarm."""
        end = row.ends_by or self.promise(row.created_at)
        return end is not None and now >= end


def promise_of(
    rows: Sequence[EpochRow], at: datetime, *, certain: bool, wait: timedelta, fate: str
) -> DestructionPromise:
    """Until when a copy of the key store opens what is erased at `at`, from the epochs of all key stores.

    `certain`: that no KEK of an ended epoch is left. `wait`: for how long the provider may bring a destroyed KEK back.
    `fate`: what destroying one guarantees, in the provider's words. A date only where an end is written and stands.
    """
    current = max((row.epoch for row in rows), default=0)
    ends = [row.ends_by for row in rows if row.epoch == current]
    late = next(((row.epoch, row.ends_by) for row in rows if row.ends_by and at >= row.ends_by), None)
    date = None
    if late is not None:
        until = f"epoch {late[0]} is ended, which was due by {late[1]:%Y-%m-%d} and is late (`sottovoce keys rotate`)"
    elif not certain:
        until = "the key of an ended epoch is destroyed, which is not certain now (`sottovoce keys rotate`)"
    elif not ends or None in ends:
        until = f"you rotate (`sottovoce keys rotate`): no end of epoch {current} was promised when it began"
    else:
        date = max(end for end in ends if end) + wait
        until = f"{date:%Y-%m-%d} at the latest, when epoch {current} ends (a sweep has to run by then)"
    return DestructionPromise(date, f"{until}; the key goes {fate}")
