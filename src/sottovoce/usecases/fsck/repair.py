"""What is safe to repair: only what the platform would do by itself sooner or later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sottovoce.model.subject import Caller
from sottovoce.ports import Blobs, Database
from sottovoce.usecases.discard import body_path
from sottovoce.usecases.fsck.report import FsckReport
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.retention import RetentionSweep
from sottovoce.usecases.trail import Trail


@dataclass(frozen=True, kw_only=True)
class Repair:
    database: Database
    keyring: Keyring
    bodies: Blobs
    trail: Trail
    receipts: ReceiptBook
    sweep: RetentionSweep
    number: Callable[[], object]  # numbers the audit entries that wait

    def repair(self, report: FsckReport, *, caller: Caller) -> None:
        """What the platform would do by itself; the sweep does most of it."""
        for finding in report.findings:
            if finding.code in ("body_of_ended", "key_of_ended"):
                self.keyring.destroy([finding.ref])
                self.bodies.delete(body_path(finding.ref))
            elif finding.code == "receipt_copy_missing":
                self._publish(finding.ref)
        for subject_id in {one.ref for one in report.findings if one.code == "kept_after_withdrawal"}:
            with self.database.begin() as tx:
                if tx.subjects.lock(subject_id) is not None:
                    tx.records.expire_now(subject_id, tx.now())
        self.sweep.sweep(caller=caller)
        with self.database.begin() as tx:
            done = {"found": len(report.findings)}
            self.trail.of(None, caller=caller).write(tx, "home.repaired", details=done)
        self.number()

    def _publish(self, receipt_id: str) -> None:
        with self.database.read() as tx:
            receipt = tx.receipts.get(receipt_id)
        if receipt is not None:
            self.receipts.publish(receipt)
