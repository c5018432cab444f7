"""Handing signed checkpoints, and signed heads of the tombstones, to witnesses, and noticing when one lags.

Rules upheld here:
1. Serving never waits for a witness that cannot be reached (F36): its checkpoints queue in the database, in order,
   and it is left alone for a while after each failure.
2. A checkpoint counts as witnessed only after the witness took it; delivering one again does no harm.
   Of the tombstones the newest head is enough: it covers all entries before it.
3. A witness lags when a checkpoint has waited for it longer than `alarm_after_s`: an alarm, not a remark.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sottovoce.errors import SottovoceError
from sottovoce.model.log import SignedCheckpoint, WitnessMark
from sottovoce.model.outcome import WitnessState
from sottovoce.model.tombstones import SignedHead
from sottovoce.ports import Clock, Database, UnitOfWork, Witness

_BATCH = 100
_TOMBSTONES = "tombstones:"  # before the name of a witness: how many entries its newest head of them covers


@dataclass(frozen=True, kw_only=True)
class Witnessing:
    database: Database
    clock: Clock
    witnesses: tuple[Witness, ...] = ()
    alarm_after_s: float = 3600.0
    retry_after_s: float = 60.0
    tombstones: Callable[[], SignedHead | None] = lambda: None  # the newest signed head
    _busy: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _not_before_s: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _has: dict[str, int] = field(default_factory=dict, init=False, repr=False)  # witness -> size that it took

    def deliver(self, newest: SignedCheckpoint | None) -> None:
        """Bring every witness up to `newest`, as far as it can be reached. Where another thread is at it, that one
        does it."""
        if newest is None or all(self._is_up(witness, newest) for witness in self.witnesses):
            return
        if not self._busy.acquire(blocking=False):
            return
        try:
            for witness in self.witnesses:
                if self.clock.monotonic_s() >= self._not_before_s.get(witness.name, 0.0):
                    self._bring_up(witness)
        finally:
            self._busy.release()

    def entombed(self, witness: Witness) -> int:
        """How many tombstones are covered by what this witness has."""
        with self.database.read() as tx:
            mark = tx.log.mark(_TOMBSTONES + witness.name)
        return 0 if mark is None else mark.size

    def states(self) -> tuple[WitnessState, ...]:
        """How far each witness has kept up."""
        with self.database.read() as tx:
            return tuple(self._state(tx, witness) for witness in self.witnesses)

    def _bring_up(self, witness: Witness) -> None:
        try:
            while pending := self._pending(witness):
                for each in pending:
                    witness.deliver(each.text)
                self._mark(witness, pending[-1])
            self._hand_out_head(witness)
        except SottovoceError:
            # Rule 1; that it lags is seen by states(), wherever it is asked for.
            self._not_before_s[witness.name] = self.clock.monotonic_s() + self.retry_after_s

    def _is_up(self, witness: Witness, newest: SignedCheckpoint) -> bool:
        head, name = self.tombstones(), witness.name
        behind = head is not None and self._has.get(_TOMBSTONES + name, -1) < head.head.count
        return self._has.get(name, -1) >= newest.size and not behind

    def _hand_out_head(self, witness: Witness) -> None:
        signed = self.tombstones()
        if signed is None:
            return
        name, count = _TOMBSTONES + witness.name, signed.head.count
        if self.entombed(witness) < count:
            witness.deliver(signed.note)
            with self.database.begin(durable=False) as tx:
                tx.log.set_mark(WitnessMark(name, count, tx.now()))
        self._has[name] = count

    def _pending(self, witness: Witness) -> Sequence[SignedCheckpoint]:
        """What it has not got yet, oldest first; of a new witness only the newest."""
        with self.database.read() as tx:
            mark = tx.log.mark(witness.name)
            if mark is not None:
                return tx.log.checkpoints(after=mark.size, limit=_BATCH)
            newest = tx.log.newest_checkpoint()
        return () if newest is None else (newest,)

    def _mark(self, witness: Witness, delivered: SignedCheckpoint) -> None:
        with self.database.begin(durable=False) as tx:
            tx.log.set_mark(WitnessMark(witness.name, delivered.size, tx.now()))
        self._has[witness.name] = delivered.size

    def _state(self, tx: UnitOfWork, witness: Witness) -> WitnessState:
        mark = tx.log.mark(witness.name)
        waiting = tx.log.checkpoints(after=-1 if mark is None else mark.size, limit=1)
        since = waiting[0].at if waiting else None
        return WitnessState(
            witness=witness.name, size=0 if mark is None else mark.size, at=None if mark is None else mark.at,
            waiting_since=since, lags=since is not None and self._late(since, tx.now()),
        )  # fmt: skip

    def _late(self, since: datetime, now: datetime) -> bool:
        return now - since > timedelta(seconds=self.alarm_after_s)
