"""The retention policy that holds now: what was set in this home, else the settings; shown, planned and changed.

Rules upheld here:
1. What was set holds in every process on this home within a second, and in the one that set it at once.
2. A change is an audit entry of the same transaction; it shortens what is kept already, and extends no promise (C10a).
3. The public schedule is made from this, not written beside it (C7a).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sottovoce.model.policy import Policy
from sottovoce.model.record import DueRecord
from sottovoce.model.retention import (
    RECORD_KINDS,
    SCHEDULE,
    Kind,
    PlannedChange,
    RetentionPolicy,
    RetentionRule,
    ScheduleRow,
    check_days,
)
from sottovoce.model.subject import Caller
from sottovoce.ports import Clock, Database, UnitOfWork
from sottovoce.usecases.trail import Trail

_FRESH_S = 1.0
_ALL = 1_000_000


def due(tx: UnitOfWork, kind: str, retention: RetentionPolicy, *, limit: int = _ALL) -> tuple[DueRecord, ...]:
    """The records of a kind that are due now: min(promise at insert, policy now), both by index."""
    now = tx.now()
    oldest_kept = now - timedelta(days=retention.days[kind])
    return tx.records.due(kind, promised_before=now, created_before=oldest_kept, limit=limit)


@dataclass
class LiveDays(Mapping[str, int]):
    """kind -> days that hold now, read again from the database where the last reading is older than a second."""

    database: Database
    clock: Clock
    defaults: Mapping[str, int]
    _read: dict[str, int] = field(default_factory=dict)
    _read_at_s: float | None = None

    def __getitem__(self, kind: str) -> int:
        return self._days()[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self.defaults)

    def __len__(self) -> int:
        return len(self.defaults)

    def forget(self) -> None:
        """Read again at the next question."""
        self._read_at_s = None

    def _days(self) -> dict[str, int]:
        now_s = self.clock.monotonic_s()
        if self._read_at_s is None or now_s - self._read_at_s > _FRESH_S:
            with self.database.read() as tx:
                rules = {rule.kind: rule.days for rule in tx.policy.rules()}
            self._read = {**self.defaults, **{kind: rules[kind] for kind in self.defaults if kind in rules}}
            self._read_at_s = now_s
        return self._read


@dataclass(frozen=True, kw_only=True)
class Schedule:
    database: Database
    trail: Trail
    policy: Policy  # its retention is on `days`
    days: LiveDays
    tenant: str

    def rows(self) -> tuple[ScheduleRow, ...]:
        """The whole schedule as it holds now, with what stands under it and what is overdue."""
        with self.database.read() as tx:
            now = tx.now()
            counts = {row.kind: row.count for row in tx.footprint()}
            waiting = tx.recordings.unfinished(limit=_ALL)
            held = sum(recording.hold_until is not None for recording in waiting)
            counts |= {"audio": len(waiting) - held, "held_audio": held}
            late = sum(now >= recording.discard_by for recording in waiting)
            overdue = {kind: len(due(tx, kind, self.policy.retention)) for kind in RECORD_KINDS}
        overdue["audio"] = late
        return tuple(
            ScheduleRow(kind, self._days_of(kind), counts.get(kind.id, 0), overdue.get(kind.id, 0))
            for kind in SCHEDULE
        )

    def plan(self, changes: Mapping[str, int]) -> tuple[PlannedChange, ...]:
        """What other days would do at the next sweep; nothing is changed. UsageError."""
        for kind, days in changes.items():
            check_days(kind, days)
        planned = RetentionPolicy({**self.days, **changes})
        with self.database.read() as tx:
            counts = {row.kind: row.count for row in tx.footprint()}
            return tuple(
                PlannedChange(
                    kind, self.days[kind], days, counts.get(kind, 0),
                    len(due(tx, kind, self.policy.retention)), len(due(tx, kind, planned)),
                )
                for kind, days in changes.items()
            )  # fmt: skip

    def set(self, changes: Mapping[str, int], *, caller: Caller) -> tuple[PlannedChange, ...]:
        """Set days; they hold from the next sweep on. What is kept already goes earlier, never later. UsageError."""
        done = self.plan(changes)
        with self.database.begin() as tx:
            for kind, days in changes.items():
                tx.policy.set_rule(RetentionRule(kind, self.tenant, days, tx.now()))
            self.trail.of(None, caller=caller).write(
                tx, "retention.changed", details={change.kind: [change.days, change.new_days] for change in done}
            )  # fmt: skip
        self.days.forget()
        return done

    def _days_of(self, kind: Kind) -> int | None:
        if kind.id in RECORD_KINDS:
            return self.days[kind.id]
        if kind.id == "held_audio":
            return self.policy.hold_ttl.days if self.policy.on_failure == "hold" else 0
        return kind.days
