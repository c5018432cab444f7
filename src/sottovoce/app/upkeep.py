"""The verbs of operators: time and retention, keys and identity, backups, and the health of a home."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sottovoce.app.hall import LIBRARY, Hall
from sottovoce.model.backup import MadeBackup
from sottovoce.model.corpus import FootprintRow
from sottovoce.model.keys import DestructionPromise
from sottovoce.model.outcome import Check, KeysStatus, RotationReport, SweepReport
from sottovoce.model.retention import PlannedChange, ScheduleRow
from sottovoce.model.subject import Caller
from sottovoce.usecases.backup import Backups
from sottovoce.usecases.backup import Stores as BackupStores
from sottovoce.usecases.doctor import Doctor, Host
from sottovoce.usecases.fsck import Fsck, FsckReport


class UpkeepVerbs(Hall):
    """What a home needs to stay as promised."""

    def sweep(self, *, dry_run: bool = False, caller: Caller = LIBRARY) -> SweepReport:
        """Discard what is overdue, finish what was interrupted, expire what is due, collect orphans."""
        if dry_run:
            return self._sweep.preview()

        def work() -> SweepReport:
            self._replay.catch_up(caller=caller)
            report = self._sweep.sweep(caller=caller)
            self._cases.resume(caller=caller)
            self._recipient_keys.tidy(thorough=True, caller=caller)
            return report

        return self._verb(work)

    def now(self) -> datetime:
        """The time that deadlines and promises of this home go by."""
        with self._adapters.database.read() as tx:
            return tx.now()

    def confirm_clock(self, *, caller: Caller = LIBRARY) -> None:
        """Say that the clock of this machine is right, after it was moved: results expire by it again."""
        self._verb(lambda: self._clock_watch.confirm(caller=caller))

    # --- retention -------------------------------------------------------------------------------------

    def retention(self) -> tuple[ScheduleRow, ...]:
        """The retention schedule as it holds now: every kind, its days, how much stands under it, what is overdue."""
        return self._schedule.rows()

    def plan_retention(self, **days: int) -> tuple[PlannedChange, ...]:
        """What other days (`features=20`) would delete at the next sweep; nothing is changed. UsageError."""
        return self._schedule.plan(days)

    def set_retention(self, *, caller: Caller = LIBRARY, **days: int) -> tuple[PlannedChange, ...]:
        """Set days for kinds of records. What is kept already goes earlier, never later. UsageError."""
        return self._verb(lambda: self._schedule.set(days, caller=caller))

    # --- keys and identity -----------------------------------------------------------------------------

    def rotate_keys(
        self, *, progress: Callable[[int, int], None] | None = None, caller: Caller = LIBRARY
    ) -> RotationReport:
        """A new epoch: every live key row re-wrapped, the old KEK destroyed."""
        return self._verb(lambda: self._rotation.rotate(progress=progress, caller=caller))

    def key_copies(self) -> DestructionPromise:
        """Until when a copy of the key store opens what is erased now: the guaranteed date, and plain words."""
        return self.keyring.destroyed_by(self.now())

    def keys_status(self) -> KeysStatus:
        return self._oversight.keys_status()

    def identity(self) -> str:
        """The public identity document: what receipts are verified against."""
        return self._pin.read()

    def replace_identity(self, *, caller: Caller = LIBRARY) -> str:
        """A new signing key, introduced by a statement that the old one signs; the new document."""
        return self._verb(lambda: self._pin.replace(self._oversight, caller=caller))

    # --- backups and health ----------------------------------------------------------------------------

    def create_backup(self, *, data: Path, keys: Path, caller: Caller = LIBRARY) -> MadeBackup:
        """A consistent copy of the data and one of the key store, in new sub-folders of two folders that lie apart,
        while others work (app_backup.py brings it back). UsageError (reason `backup_folders`), Conflict (reason
        `rotation_running`), StorageError, IntegrityError (reason `backup_source_damaged`)."""
        from sottovoce.adapters import backup_files, backup_sqlite

        database, key_store = self.settings.database_path, self.settings.keys_folder / "keys.db"
        private = [self.home, self.settings.keys_folder, database, self.settings.tombstones_path]
        backup_files.check_apart(data, keys, private=private)
        backups = Backups(
            database=self._adapters.database, keyring=self.keyring, trail=self._trail, receipts=self._receipts,
            inspection=self._inspection, tombstones=self._adapters.tombstones, clock=self._adapters.clock,
            random_bytes=self._adapters.entropy, tenant=self.settings.tenant, identity_document=self._pin.read,
            worthless_after=lambda: self.keyring.destroyed_by(self.now()).words,
            models=self._adapters.models, recipient_keys=self._recipient_keys.alive,
            stores=BackupStores(
                copy_data=lambda target: backup_sqlite.copy_store(database, target),
                copy_keys=lambda target: backup_sqlite.copy_store(key_store, target),
                schema_of_data=backup_sqlite.schema_of_data, schema_of_keys=backup_sqlite.schema_of_keys,
                epochs_of=backup_sqlite.epochs_of,
            ),
        )  # fmt: skip
        shelves = backup_files.Shelf(data), backup_files.Shelf(keys)
        return self._verb(lambda: backups.create(*shelves, caller=caller))

    def footprint(self) -> tuple[FootprintRow, ...]:
        """What is stored, by kind, from the stores themselves: sealed results, proof, sealed bodies, keys."""
        with self._adapters.database.read() as tx:
            rows = tx.footprint()
        bodies = [info.size_bytes for info in self._adapters.bodies.list()]
        keys = [len(row.wrapped) for row in self.keyring.rows()]
        return (
            *rows, FootprintRow("sealed_audio", len(bodies), sum(bodies)),
            FootprintRow("key", len(keys), sum(keys)),
        )  # fmt: skip

    def doctor(self) -> tuple[Check, ...]:
        """Executed checks of this home and machine."""
        from sottovoce.adapters import host_linux as linux

        host = Host(
            swaps=linux.active_swaps(), free_bytes=linux.free_bytes(self.home),
            open_to_others=linux.open_to_others(self.home), core_dumps=linux.core_dumps_possible(),
            tombstones_apart=linux.on_another_disk(self.settings.tombstones_path.parent, self.home),
        )  # fmt: skip
        doctor = Doctor(
            database=self._adapters.database, keyring=self.keyring, extractor=self._adapters.extractor,
            oversight=self._oversight, witnessing=self._witnessing, sweep=self._sweep, cases=self._cases,
            replay=self._replay, feed=self._feed, registry=self._registry, training=self._training,
            policy=self._policy,
        )  # fmt: skip
        return doctor.checks(host)

    def fsck(self, *, repair: bool = False, caller: Caller = LIBRARY) -> FsckReport:
        """The invariants I1 to I10, checked on this home; with `repair`, what is safe is done about it."""
        from sottovoce.adapters import home_scan, keystore_sqlite, tombstones_file
        from sottovoce.adapters.database.reserve import RESERVE_BYTES

        keys = self.settings.keys_folder
        database = self.settings.database_path
        reserves = {database.with_name(database.name + ".reserve"): RESERVE_BYTES}
        for name in ("keys.db.reserve", "audio-keys.db.reserve"):
            reserves[keys / name] = keystore_sqlite.RESERVE_BYTES
        stones = self.settings.tombstones_path
        reserves[stones.with_name(stones.name + ".reserve")] = tombstones_file.RESERVE_BYTES
        fsck = Fsck(
            database=self._adapters.database, keyring=self.keyring, bodies=self._adapters.bodies,
            trail=self._trail, receipts=self._receipts, oversight=self._oversight, sweep=self._sweep,
            replay=self._replay, policy=self._policy, tenant=self.settings.tenant, number=self._number,
            files=lambda: home_scan.look_over(self.home),
            broken_reserves=lambda: home_scan.broken_reserves(reserves),
        )  # fmt: skip
        return fsck.check(repair=repair, caller=caller)
