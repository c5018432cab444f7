"""Making a backup: a consistent copy of the data and one of the key store, in two folders, each with a signed manifest.

Rules upheld here:
1. The two halves never lie in one folder. Neither holds a KEK, a key of audio, a body or the tombstones (M20).
2. Data are copied before keys: a key is written before the data that need it, so every row of the one half that was
   not destroyed meanwhile finds its key in the other.
3. The half with the keys is of one epoch, and of the one that is current when it is done: no copy is handed out that
   is dead already, or that lives under two KEKs.
4. The manifest says which home, which epoch, how much of the audit log and how many tombstones there were; a restore
   is measured against that. The audit log has an entry before and one after.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from sottovoce.audit import checkpoint as checkpoints
from sottovoce.errors import Conflict
from sottovoce.model.backup import (
    DATABASE_NAME,
    IDENTITY_NAME,
    KEY_STORE_NAME,
    MANIFEST_NAME,
    BackupFile,
    DrillReport,
    Half,
    MadeBackup,
    Manifest,
)
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.subject import Caller
from sottovoce.ports import Clock, Database, Tombstones
from sottovoce.usecases.inspection import Inspection
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.trail import Trail

STARTED, CREATED, DRILLED, RESTORED = "backup.started", "backup.created", "backup.drilled", "home.restored"
_ATTEMPTS = 3  # a copy of the keys meets at most one rotation; the third is for a very unlucky one


class Writer(Protocol):
    """A backup while it is made (`adapters/backup_files.py`)."""

    def copy(self, name: str, make: Callable[[Path], None]) -> BackupFile: ...
    def again(self, name: str) -> Path: ...
    def path(self, name: str) -> Path: ...
    def write(self, name: str, text: str) -> BackupFile: ...


class Shelf(Protocol):
    """A folder that takes backups."""

    def writer(self, name: str) -> AbstractContextManager[Writer]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The files of the home as they can be copied, and what a copy says of itself (`adapters/backup_sqlite.py`)."""

    copy_data: Callable[[Path], None]
    copy_keys: Callable[[Path], None]
    schema_of_data: Callable[[Path], str]
    schema_of_keys: Callable[[Path], str]
    epochs_of: Callable[[Path], tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Backups:
    database: Database
    keyring: Keyring
    trail: Trail
    receipts: ReceiptBook
    inspection: Inspection
    tombstones: Tombstones
    stores: Stores
    clock: Clock
    random_bytes: RandomBytes
    tenant: str
    identity_document: Callable[[], str]
    worthless_after: Callable[[], str]  # when a copy of the keys made now opens nothing any more

    def create(self, data: Shelf, keys: Shelf, *, caller: Caller) -> MadeBackup:
        """One backup, both halves. Conflict (reasons `rotation_running`, `backup_exists`); StorageError."""
        started_s = self.clock.monotonic_s()
        pair = new_id("backup", self.random_bytes)
        with self.database.begin() as tx:
            scribe = self.trail.of(None, caller=caller)
            scribe.write(tx, STARTED, details={"backup": pair})
            at = tx.now()
        names = {half: _name(at, pair, half) for half in Half}
        with data.writer(names[Half.DATA]) as of_data, keys.writer(names[Half.KEYS]) as of_keys:
            made, kept = self._fill(of_data, of_keys, pair, at)
        with self.database.begin() as tx:
            details = {
                "backup": pair, "epoch": kept.epoch, "log_size": made.log_size, "tombstones": made.tombstones,
                "data_bytes": made.size_bytes, "keys_bytes": kept.size_bytes,
            }  # fmt: skip
            scribe.write(tx, CREATED, details=details)
        took = timedelta(seconds=self.clock.monotonic_s() - started_s)
        return MadeBackup(made, kept, names[Half.DATA], names[Half.KEYS], took)

    def _fill(self, of_data: Writer, of_keys: Writer, pair: str, at: datetime) -> tuple[Manifest, Manifest]:
        signed = checkpoints.parse_checkpoint(self.inspection.checkpoint().text)
        copied = of_data.copy(DATABASE_NAME, self.stores.copy_data)
        epoch, keys = self._copy_keys(of_keys)
        head = self.tombstones.head()
        document = self.identity_document()

        def manifest(half: Half, schema: str, file: BackupFile, identity: BackupFile) -> Manifest:
            return Manifest(
                half=half, pair=pair, home=signed.origin, tenant=self.tenant, schema=schema, created_at=at,
                files=(file, identity), epoch=epoch, log_size=signed.size, log_root=signed.root.hex(),
                tombstones=head.count, tombstones_hash=head.hash.hex(), worthless_after=self.worthless_after(),
            )  # fmt: skip

        schemas = (
            self.stores.schema_of_data(of_data.path(DATABASE_NAME)),
            self.stores.schema_of_keys(of_keys.path(KEY_STORE_NAME)),
        )
        made = manifest(Half.DATA, schemas[0], copied, of_data.write(IDENTITY_NAME, document))
        kept = manifest(Half.KEYS, schemas[1], keys, of_keys.write(IDENTITY_NAME, document))
        signer = self.receipts.signer()
        of_data.write(MANIFEST_NAME, signer.sign("backup", made.to_body()))
        of_keys.write(MANIFEST_NAME, signer.sign("backup", kept.to_body()))
        return made, kept

    def _copy_keys(self, writer: Writer) -> tuple[int, BackupFile]:
        """Rule 3: the copy's one epoch, and the copy."""
        for _ in range(_ATTEMPTS):
            file = writer.copy(KEY_STORE_NAME, self.stores.copy_keys)
            epochs = self.stores.epochs_of(writer.path(KEY_STORE_NAME))
            live = tuple(row.epoch for row in self.keyring.long_lived.epochs())
            if len(epochs) == 1 and epochs == live:
                return epochs[0], file
            writer.again(KEY_STORE_NAME)
        raise Conflict(
            "The keys are being rotated: a copy made now would soon open nothing.",
            hint="Try again when the rotation has ended.",
            reason="rotation_running",
        )


def write_drill(database: Database, trail: Trail, result: DrillReport | str, *, caller: Caller) -> None:
    """The record of a periodic test: what a drill found, or the code of what stopped it."""
    outcome = result if isinstance(result, str) else "ok" if result.sound else "unsound"
    details: dict[str, object] = {}
    if not isinstance(result, str):
        details = {
            "backup": result.pair, "opened": result.opened, "sampled": result.sampled, "records": result.records,
            "log_intact": result.log_intact, "findings": list(result.findings),
            "took_ms": round(result.took.total_seconds() * 1000),
        }  # fmt: skip
    with database.begin() as tx:
        trail.of(None, caller=caller).write(tx, DRILLED, outcome=outcome, details=details or None)


def _name(at: datetime, pair: str, half: Half) -> str:
    """Of the sub-folder: readable, sorted by time, and the same for both halves but for the last word."""
    return f"{at:%Y%m%dT%H%M%SZ}-{pair[4:10]}-{half}"
