"""Making a backup: a consistent copy of the data and one of the key store, in two folders, each with a signed manifest.

Rules upheld here:
1. The two halves never lie in one folder. Neither holds a KEK, a key of audio, the private half of a recipient key, a
   body or the tombstones (M20); how many recipient keys are left out is said in both.
2. Data are copied before keys: a key is written before the data that need it, so every row of the one half that was
   not destroyed meanwhile finds its key in the other.
3. The half with the keys is of one epoch, and of the one that is current when it is done: no copy is handed out that
   is dead already, or that lives under two KEKs.
4. The manifest says which home, which epoch, how much of the audit log and how many tombstones there were; a restore
   is measured against that. The audit log has an entry before and one after.
5. Model files of the home's own are copied after the database and looked for again at the end: one that was taken out
   before the database was copied, or while the backup was made, is not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from sottovoce.audit import checkpoint as checkpoints
from sottovoce.errors import Conflict, IntegrityError
from sottovoce.model.backup import (
    CARD_SUFFIX,
    DATABASE_NAME,
    IDENTITY_NAME,
    KEY_STORE_NAME,
    MANIFEST_NAME,
    MODEL_SUFFIX,
    SIGNER_SUFFIX,
    BackupFile,
    DrillReport,
    Half,
    MadeBackup,
    Manifest,
)
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.subject import Caller
from sottovoce.ports import Clock, Database, Models, Tombstones
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
    def write(self, name: str, data: bytes) -> BackupFile: ...


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
    models: Models  # of the home's own
    stores: Stores
    clock: Clock
    random_bytes: RandomBytes
    tenant: str
    identity_document: Callable[[], str]
    recipient_keys: Callable[[], int]  # how many private halves there are
    worthless_after: Callable[[], str]  # when a copy of the keys made now opens nothing any more

    def create(self, data: Shelf, keys: Shelf, *, caller: Caller) -> MadeBackup:
        """One backup, both halves. Conflict (reasons `rotation_running`, `backup_exists`); StorageError; IntegrityError
        (reason `backup_source_damaged`)."""
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
                "data_bytes": made.size_bytes, "keys_bytes": kept.size_bytes, "models": list(made.models or ()),
                "recipient_keys_left_out": made.recipient_keys,
            }  # fmt: skip
            scribe.write(tx, CREATED, details=details)
        took = timedelta(seconds=self.clock.monotonic_s() - started_s)
        return MadeBackup(made, kept, names[Half.DATA], names[Half.KEYS], took)

    def _fill(self, of_data: Writer, of_keys: Writer, pair: str, at: datetime) -> tuple[Manifest, Manifest]:
        signed = checkpoints.parse_checkpoint(self.inspection.checkpoint().text)
        copied = of_data.copy(DATABASE_NAME, self.stores.copy_data)
        parts = {sha256: self._copy_model(of_data, sha256) for sha256 in self.models.hashes()}
        epoch, keys = self._copy_keys(of_keys)
        for sha256 in parts.keys() - set(self.models.hashes()):
            for part in parts.pop(sha256):
                of_data.again(part.name)
        head = self.tombstones.head()
        document = self.identity_document()
        left_out = self.recipient_keys()

        def manifest(half: Half, schema: str, *files: BackupFile) -> Manifest:
            return Manifest(
                half=half, pair=pair, home=signed.origin, tenant=self.tenant, schema=schema, created_at=at,
                files=files, epoch=epoch, log_size=signed.size, log_root=signed.root.hex(),
                tombstones=head.count, tombstones_hash=head.hash.hex(), worthless_after=self.worthless_after(),
                recipient_keys=left_out,
            )  # fmt: skip

        schemas = (
            self.stores.schema_of_data(of_data.path(DATABASE_NAME)),
            self.stores.schema_of_keys(of_keys.path(KEY_STORE_NAME)),
        )
        identities = [half.write(IDENTITY_NAME, document.encode()) for half in (of_data, of_keys)]
        models = [part for files in parts.values() for part in files]
        made = manifest(Half.DATA, schemas[0], copied, identities[0], *models)
        kept = manifest(Half.KEYS, schemas[1], keys, identities[1])
        signer = self.receipts.signer()
        of_data.write(MANIFEST_NAME, signer.sign("backup", made.to_body()).encode())
        of_keys.write(MANIFEST_NAME, signer.sign("backup", kept.to_body()).encode())
        return made, kept

    def _copy_model(self, writer: Writer, sha256: str) -> tuple[BackupFile, ...]:
        """Card, signer and model as they stand; () where the model was taken out a moment ago."""
        stored = self.models.get(sha256)
        if stored is None and sha256 not in self.models.hashes():
            return ()
        if stored is None or hashlib.sha256(stored.data).hexdigest() != sha256:
            raise IntegrityError(
                "A model file of this home is damaged, or its card is missing: no backup was made.",
                hint="`sottovoce models list` shows which; take it out and add it again from its source.",
                reason="backup_source_damaged",
            )
        found = {MODEL_SUFFIX: stored.data, CARD_SUFFIX: stored.card.encode()}
        if stored.signer is not None:
            found[SIGNER_SUFFIX] = stored.signer.encode()
        return tuple(writer.write(sha256 + suffix, data) for suffix, data in found.items())

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
            "models": list(result.models or ()), "models_refused": list(result.models_refused),
            "decision": result.decision,
            "took_ms": round(result.took.total_seconds() * 1000),
        }  # fmt: skip
    with database.begin() as tx:
        trail.of(None, caller=caller).write(tx, DRILLED, outcome=outcome, details=details or None)


def _name(at: datetime, pair: str, half: Half) -> str:
    """Of the sub-folder: readable, sorted by time, and the same for both halves but for the last word."""
    return f"{at:%Y%m%dT%H%M%SZ}-{pair[4:10]}-{half}"
