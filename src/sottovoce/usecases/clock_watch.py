"""Whether the wall clock of this machine was moved: a clock that somebody set must not delete what is kept.

The wall clock less the time since the machine was started is the same whenever it is asked; where it is not, the clock
was set. While that is so no result expires (audio is still discarded: too early does no harm, too late does), `doctor`
says so, and somebody who knows the time confirms it. What moves while the machine is off cannot be seen. A clock that
was set back gives no audio more time: its deadlines go on by the time since the machine was started.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sottovoce.model.retention import ClockMark
from sottovoce.model.subject import Caller
from sottovoce.ports import Clock, Database
from sottovoce.usecases.trail import Trail

TOLERANCE = timedelta(minutes=10)
_FOLLOW = timedelta(minutes=1)  # slow drift, corrected by NTP: the mark goes with it


@dataclass(frozen=True, kw_only=True)
class ClockWatch:
    database: Database
    clock: Clock
    trail: Trail
    tenant: str

    def moved(self) -> bool:
        """Whether the clock was moved since it was last marked; changes nothing."""
        before, now = self._mark(), self._reading()
        if before is None or before.boot != now.boot:
            return False
        return abs(now.started_at - before.started_at) > TOLERANCE

    def check(self) -> bool:
        """As moved(); marks a new run of the machine, and follows slow drift."""
        before, now = self._mark(), self._reading()
        if before is not None and before.boot == now.boot:
            off = abs(now.started_at - before.started_at)
            if off > TOLERANCE:
                return True
            if off <= _FOLLOW:
                return False
        with self.database.begin() as tx:
            tx.policy.set_clock(now)
        return False

    def set_back_by(self) -> timedelta:
        """How much time the clock was set back since it was last marked: what a deadline of audio must not gain."""
        before, now = self._mark(), self._reading()
        if before is None or before.boot != now.boot:
            return timedelta(0)
        return max(before.started_at - now.started_at, timedelta(0))

    def confirm(self, *, caller: Caller) -> None:
        """Take the clock as it is; the log says who said so."""
        with self.database.begin() as tx:
            tx.policy.set_clock(self._reading())
            self.trail.of(None, caller=caller).write(tx, "clock.confirmed")

    def _mark(self) -> ClockMark | None:
        with self.database.read() as tx:
            return tx.policy.clock(self.tenant)

    def _reading(self) -> ClockMark:
        boot, seconds = self.clock.since_boot()
        return ClockMark(self.tenant, boot, self.clock.now() - timedelta(seconds=seconds))
