"""Epochs: which EK wraps the rows of a key store today, how the next one begins, and how the last one ends.

KEK(n) of the provider wraps one EK(n) for each key store; both stores use the same numbers. Rotation is
create KEK(n+1) -> begin n+1 in each store (which retires n) -> re-wrap live rows -> drop n, which checks that no row
stands under it -> destroy KEK(n). From then on every older copy of a key store is dead (M14, M15, F31).

Rules upheld here:
- KEK(n) is durable before an EK is wrapped by it; an EK row is there before a key row names it.
- Only EKs are cached, each for `ek_cache_s` at most (F17).
- KEK(n) is destroyed only when no store has the epoch n any more (F28).
- Every step can be repeated: resume() finishes from whatever state a crash left (F29), and of two processes that
  rotate at once the second helps the first.
- The end of an epoch is written when it begins; what is set later brings it nearer, never farther. A date is told
  only where that end is written, no ended epoch waits for its destruction, and it has not passed (M15).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sottovoce.errors import Conflict, KeyUnavailable, SottovoceError
from sottovoce.model.keys import KEY_BYTES, DestructionPromise, EpochAges, EpochRow, promise_of
from sottovoce.ports import Clock, Entropy, Keys, KeyStore
from sottovoce.sealing.keytree import epoch_key_context, rewrap_rows

REWRAP_BATCH = 5_000  # rows in one transaction at most; the more, the fewer waits for the disk
REWRAP_FIRST, REWRAP_FLOOR = 2_000, 500
LOCKED_S = 0.1  # how long a transaction should keep writers waiting: after a longer one come fewer rows

Progress = Callable[[int, int], None]  # rows re-wrapped so far, rows there were
Step = Callable[[str], None]  # name of the step that was just done (fault tests stop here)


class RotationReport(NamedTuple):
    """What a rotation did."""

    before: int  # the epoch that was current
    after: int
    rows: int  # re-wrapped


class _EpochKeyCache:
    """EKs by store and epoch, each for a bounded time; safe from several threads; no repr of what is in it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, int, bytes], tuple[bytes, float]] = {}

    def get(self, store: str, row: EpochRow, now_s: float) -> bytes | None:
        with self._lock:
            key, until_s = self._keys.get((store, row.epoch, row.wrapped_ek), (None, now_s))
            return key if now_s < until_s else None

    def put(self, store: str, row: EpochRow, key: bytes, *, now_s: float, until_s: float) -> None:
        with self._lock:
            self._keys = {name: kept for name, kept in self._keys.items() if now_s < kept[1]}
            self._keys[(store, row.epoch, row.wrapped_ek)] = (key, until_s)

    def forget(self) -> None:
        with self._lock:
            self._keys.clear()


class EpochGone(Exception):
    """Between two reads a rotation ended the epoch of a row: read again."""


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """The epochs of both key stores. Safe from several threads."""

    provider: Keys
    long_lived: KeyStore
    short_lived: KeyStore
    random_bytes: Entropy
    clock: Clock
    tenant: str
    ek_cache_s: float
    ages: EpochAges
    _cache: _EpochKeyCache = field(default_factory=_EpochKeyCache, init=False, repr=False, compare=False)

    def stores(self) -> tuple[tuple[str, KeyStore], tuple[str, KeyStore]]:
        """Audio first: what may live shortest is retired, re-wrapped and deleted first."""
        return ("short_lived", self.short_lived), ("long_lived", self.long_lived)

    def set_up(self) -> None:
        """The first epoch in both stores. Idempotent; finishes what a crash in it left."""
        epoch = max((row.epoch for _, store in self.stores() for row in store.epochs()), default=0)
        if not epoch:
            epoch = max(self.provider.epochs(), default=1)
            self.provider.create(epoch)
        for name, store in self.stores():
            if not store.epochs():
                self._begin(name, store, epoch, at=self.clock.now())

    def current_epoch(self) -> int:
        """The number of today's epoch (of the store that is ahead, while a rotation begins)."""
        return max(current_row(store).epoch for _, store in self.stores())

    def epoch_key(self, name: str, row: EpochRow) -> bytes:
        """EK(n) of a store; asks the provider once per epoch and cache period."""
        now_s = self.clock.monotonic_s()
        key = self._cache.get(name, row, now_s)
        if key is None:
            context = epoch_key_context(tenant=self.tenant, store=name, epoch=row.epoch)
            key = self.provider.unwrap(row.epoch, row.wrapped_ek, context)
            self._cache.put(name, row, key, now_s=now_s, until_s=now_s + self.ek_cache_s)
        return key

    def epoch_key_of(self, name: str, store: KeyStore, epoch: int) -> bytes:
        """The EK of a row that was just read. EpochGone where a rotation ended the epoch since."""
        for row in store.epochs():
            if row.epoch == epoch:
                return self.alive_epoch_key(name, store, row)
        raise EpochGone

    def alive_epoch_key(self, name: str, store: KeyStore, row: EpochRow) -> bytes:
        """The EK of an epoch that was just read. EpochGone where a rotation ended it since."""
        try:
            return self.epoch_key(name, row)
        except KeyUnavailable:
            if all(alive.epoch != row.epoch for alive in store.epochs()):
                raise EpochGone from None
            raise

    def rotate(
        self, *, at: datetime | None = None, progress: Progress | None = None, step: Step | None = None
    ) -> RotationReport:
        """Begin a new epoch, re-wrap every live row, destroy the KEKs of the epochs before.

        Readers and writers go on meanwhile. KeyUnavailable where the provider does not open the current epoch:
        then nothing was changed. `at`: the time that the new epoch begins by.
        """
        resumed = self.resume(at=at, step=step)
        return self._rotate(resumed, at=at or self.clock.now(), progress=progress, step=step)

    def rotate_due(self, now: datetime) -> RotationReport | None:
        """Finish what was interrupted, then rotate where the epoch is due; None where nothing was to be done. Of two
        processes that find one epoch due, one ends it."""
        resumed = self.resume(at=now)
        return self._rotate(resumed, at=now) if self.is_due(now) else resumed

    def resume(self, *, at: datetime | None = None, step: Step | None = None) -> RotationReport | None:
        """Finish a rotation that was interrupted; None where there is none. To be called when a home is opened."""
        if not self.is_pending():
            return None
        before = min(row.epoch for _, store in self.stores() for row in store.epochs())
        target = max((self.current_epoch(), *self.provider.epochs()))
        self._check_all_open()
        rows = self._finish(target, at or self.clock.now(), self._counter(None), step or _tell_nobody)
        return RotationReport(before, target, rows)

    def is_pending(self) -> bool:
        """More than one epoch anywhere, stores that differ, or a KEK that no store knows."""
        in_stores = [{row.epoch for row in store.epochs()} for _, store in self.stores()]
        if not all(in_stores):
            return False  # not set up yet
        return len(set.union(*in_stores)) > 1 or not set(self.provider.epochs()) <= set.union(*in_stores)

    # --- age ----------------------------------------------------------------------------------------------------

    def is_due(self, now: datetime) -> bool:
        """Whether a sweep has to end the epoch by its age. Asks no provider."""
        return any(row.current and self.ages.is_due(row, now) for row in self._rows())

    def is_overdue(self, now: datetime) -> bool:
        """Whether an epoch stands whose promised end has passed: an alarm. Asks no provider."""
        return any(self.ages.is_overdue(row, now) for row in self._rows())

    def due_at(self) -> datetime | None:
        """When a sweep will end the epoch by its age; None where no age is set."""
        return min(
            (at for row in self._rows() if row.current and (at := self.ages.due_at(row))), default=None
        )

    def has_at_most(self, rows: int) -> bool:
        """Whether a rotation would move so many rows or fewer; reads no more than that."""
        for _, store in self.stores():
            for row in store.epochs():
                rows -= len(store.rows_in_epoch(row.epoch, limit=rows + 1))
                if rows < 0:
                    return False
        return True

    def destroyed_by(self, at: datetime) -> DestructionPromise:
        """Until when a copy of the key store opens what is erased at `at`; never fails for the provider's sake."""
        return promise_of(
            self._rows(), at, certain=not self._has_old_keks(), wait=self.provider.destruction_wait(),
            fate=self.provider.describe()["destruction"],
        )  # fmt: skip

    def _has_old_keks(self) -> bool:
        """Whether a KEK older than every epoch is left, or the provider does not say."""
        try:
            keks = self.provider.epochs()
        except SottovoceError:
            return True
        oldest = min((row.epoch for row in self._rows()), default=0)
        return any(epoch < oldest for epoch in keks)

    def _rows(self) -> list[EpochRow]:
        return [row for _, store in self.stores() for row in store.epochs()]

    # --- steps --------------------------------------------------------------------------------------------------

    def _rotate(
        self, resumed: RotationReport | None, *, at: datetime, progress: Progress | None = None,
        step: Step | None = None,
    ) -> RotationReport:  # fmt: skip
        tell = step or _tell_nobody
        before = self.current_epoch()
        self._check_all_open()
        self.provider.create(before + 1)
        tell("kek_created")
        rows = self._finish(before + 1, at, self._counter(progress), tell)
        if resumed is None:
            return RotationReport(before, before + 1, rows)
        return RotationReport(resumed.before, before + 1, resumed.rows + rows)

    def _check_all_open(self) -> None:
        """Every EK has to open before anything is changed: a lost KEK or a mistyped passphrase ends it here."""
        for name, store in self.stores():
            for row in store.epochs():
                self.epoch_key(name, row)

    def _finish(self, target: int, at: datetime, count: Callable[[int], int], tell: Step) -> int:
        """From any state between two epochs to `target` alone; rows re-wrapped. Every step can be repeated."""
        for name, store in self.stores():
            if current_row(store).epoch < target:
                self._begin(name, store, target, at=at)
                tell(f"epoch_begun:{name}")
        for name, store in self.stores():
            for old in [row for row in store.epochs() if not row.current]:
                with suppress(EpochGone):  # another process finished it meanwhile
                    self._rewrap_epoch(name, store, old, count, tell)
                store.drop_epoch(old.epoch)
                tell(f"epoch_dropped:{name}")
        self._destroy_unused_keks(tell)
        self._cache.forget()
        return count(0)

    def _rewrap_epoch(
        self, name: str, store: KeyStore, old: EpochRow, count: Callable[[int], int], tell: Step
    ) -> None:
        batch = min(REWRAP_FIRST, REWRAP_BATCH)
        while rows := store.rows_in_epoch(old.epoch, limit=batch):
            new = current_row(store)
            moved = rewrap_rows(
                rows,
                old_ek=self.alive_epoch_key(name, store, old),
                new_ek=self.epoch_key(name, new),
                new_epoch=new.epoch,
                random_bytes=self.random_bytes,
            )
            began_s = self.clock.monotonic_s()
            count(store.rewrap(moved, from_epoch=old.epoch))
            batch = _next_batch(batch, took_s=self.clock.monotonic_s() - began_s)
            tell(f"rewrapped:{name}")

    def _destroy_unused_keks(self, tell: Step) -> None:
        """Destroy the KEKs older than every epoch that a store still has."""
        oldest = min(row.epoch for _, store in self.stores() for row in store.epochs())
        for epoch in self.provider.epochs():
            if epoch < oldest:
                self.provider.destroy(epoch)
                tell("kek_destroyed")

    def _begin(self, name: str, store: KeyStore, epoch: int, *, at: datetime) -> None:
        context = epoch_key_context(tenant=self.tenant, store=name, epoch=epoch)
        wrapped_ek = self.provider.wrap(epoch, self.random_bytes(KEY_BYTES), context)
        try:
            store.begin_epoch(epoch, wrapped_ek, at=at, ends_by=self.ages.promise(at))
        except Conflict:
            if not any(row.epoch >= epoch for row in store.epochs()):
                raise  # else another process began it at the same time: its EK stands, ours is forgotten

    def _counter(self, progress: Progress | None) -> Callable[[int], int]:
        """Adds up re-wrapped rows and tells of them; rows are counted beforehand only where somebody listens."""
        total = sum(1 for _, store in self.stores() for _ in store.list()) if progress else 0
        done = 0

        def count(rows: int) -> int:
            nonlocal done
            done += rows
            if progress and rows:
                progress(done, max(total, done))
            return done

        return count


def _next_batch(batch: int, *, took_s: float) -> int:
    """How many rows the next transaction may have, by how long this one took."""
    fitting = int(batch * min(1.25, LOCKED_S / max(took_s, 1e-6)))
    return min(REWRAP_BATCH, max(REWRAP_FLOOR, fitting))


def current_row(store: KeyStore) -> EpochRow:
    """The current epoch of a store. KeyUnavailable (reason `not_set_up`) where there is none."""
    for row in store.epochs():
        if row.current:
            return row
    raise KeyUnavailable(
        "The key store was never set up.",
        hint="Run `sottovoce demo`, or open the home once.",
        reason="not_set_up",
    )


def _tell_nobody(_step: str) -> None:
    return
