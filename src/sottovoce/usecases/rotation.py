"""The verbs of key rotation: by hand, by age, and what an interrupted one left; the audit log says so each time.

Rules upheld here:
- An epoch ends at the age that was promised when it began, whoever sweeps: that date stands in receipts (M15).
- The log says that a rotation begins before anything is changed, and that it is done when it is.
- Opening a home ends an epoch only where that is a matter of few rows; a sweep ends any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sottovoce.errors import SottovoceError
from sottovoce.model.outcome import RotationReport
from sottovoce.model.subject import Caller
from sottovoce.ports import Clock, Database
from sottovoce.usecases import epochs
from sottovoce.usecases.keyring import EpochAge, Keyring
from sottovoce.usecases.trail import Trail

FEW_ROWS = 2_000  # re-wrapped while a home is being opened: about a twentieth of a second


@dataclass(frozen=True, kw_only=True)
class Rotation:
    database: Database
    keyring: Keyring
    trail: Trail
    clock: Clock

    def rotate(self, *, progress: Callable[[int, int], None] | None = None, caller: Caller) -> RotationReport:
        """Retire the epoch, re-wrap every live key row, destroy the old KEK; the log says so before and after."""
        started_s = self.clock.monotonic_s()
        now = self._begin("by hand", caller=caller)
        done = self.keyring.rotate(at=now, progress=progress)
        self._done(done, "by hand", caller=caller)
        took = timedelta(seconds=self.clock.monotonic_s() - started_s)
        return RotationReport(
            done.before, done.after, done.rows, took, self.keyring.describe_destruction(),
            self.keyring.destroyed_by(now),
        )  # fmt: skip

    def end_due(self, *, caller: Caller) -> int:
        """For a sweep: finish what was interrupted, end the epoch where its age is due; how many were ended.
        KeyUnavailable where the provider does not open an epoch: then nothing was changed."""
        self._finish(caller=caller)
        return self._end_due(caller=caller) if self.age().due else 0

    def end_due_if_small(self, *, caller: Caller) -> int:
        """For the opening of a home: end the epoch where its age is due and few rows live; a larger one is left to
        the next sweep."""
        if not self.age().due or not self.keyring.is_rotation_small(FEW_ROWS):
            return 0
        return self._end_due(caller=caller)

    def resume(self, *, caller: Caller) -> bool:
        """For the opening of a home: finish what an interrupted rotation left, where that can be done now. Opening,
        erasing and the discard of audio go on without (F16, I10). Whether nothing is left to finish."""
        try:
            self._finish(caller=caller)
        except SottovoceError:
            return False
        return True

    def _finish(self, *, caller: Caller) -> None:
        done = self.keyring.resume_rotation(at=self._now())
        if done is not None:
            self._done(done, "interrupted before", caller=caller)

    def _end_due(self, *, caller: Caller) -> int:
        now = self._begin("age", caller=caller)
        done = self.keyring.rotate_due(now)
        if done is None:
            return 0  # another process was faster
        self._done(done, "age", caller=caller)
        return 1

    def age(self) -> EpochAge:
        """Where the age of the epoch stands now."""
        return self.keyring.epoch_age(self._now())

    def _begin(self, why: str, *, caller: Caller) -> datetime:
        with self.database.begin() as tx:
            self.trail.of(None, caller=caller).write(tx, "keys.rotation_started", details={"why": why})
            return tx.now()

    def _done(self, done: epochs.RotationReport, why: str, *, caller: Caller) -> None:
        details = {"from": done.before, "to": done.after, "rows": done.rows, "why": why}
        with self.database.begin() as tx:
            self.trail.of(None, caller=caller).write(tx, "keys.rotated", details=details)

    def _now(self) -> datetime:
        with self.database.read() as tx:
            return tx.now()
