"""Looking after keys and identity: their status, the identity published and replaced. Rotation: rotation.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sottovoce.model.outcome import AuditReport, KeysStatus
from sottovoce.model.subject import Caller
from sottovoce.ports import Clock, Database
from sottovoce.sealing import receipt as receipts
from sottovoce.usecases.inspection import Inspection
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.trail import Trail


@dataclass(frozen=True, kw_only=True)
class Oversight:
    database: Database
    keyring: Keyring
    trail: Trail
    inspection: Inspection
    clock: Clock

    def verify_audit(self) -> AuditReport:
        """The whole audit log, recomputed and compared with what this home signed."""
        return self.inspection.verify()

    def keys_status(self) -> KeysStatus:
        """Epoch, live rows by kind, the provider's own words."""
        status = self.keyring.status()
        current = [epoch for epoch in status.epochs if epoch.current]
        with self.database.read() as tx:
            now = tx.now()
        age = self.keyring.epoch_age(now)
        return KeysStatus(
            provider=status.provider, epoch=status.epoch or 0,
            epoch_since=datetime.fromisoformat(current[0].began_at) if current else None,
            rows=status.rows, rotation_pending=status.rotation_pending,
            identity_key_id=self.keyring.identity().key_id,
            copies=self.keyring.destroyed_by(now), rotation_due_at=age.due_at, rotation_overdue=age.overdue,
        )  # fmt: skip

    def identity_document(self) -> str:
        """The public identity of a new home, to be pinned there."""
        return receipts.identity_document(self.keyring.identity().public_key, created_at=self.clock.now())

    def next_identity(self, document: str) -> str:
        """The pinned document with the statement by which the old key introduces the next one. The next one signs
        only after `retire_identity`, which is called once this document is durable."""
        statement = self.keyring.replace_identity()
        return receipts.with_statement(document, statement)

    def retire_identity(self, *, caller: Caller) -> None:
        """Destroy the old signing key; idempotent."""
        self.keyring.retire_identity()
        with self.database.begin() as tx:
            self.trail.of(None, caller=caller).write(tx, "identity.replaced")
