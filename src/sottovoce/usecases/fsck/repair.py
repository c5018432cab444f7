"""What is safe to repair: only what the platform would do by itself sooner or later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sottovoce.model.subject import Caller
from sottovoce.ports import Blobs, Database
from sottovoce.usecases.discard import body_path
from sottovoce.usecases.fsck.decisions import unagreed
from sottovoce.usecases.fsck.report import FsckReport
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.recipients import end_without_keys
from sottovoce.usecases.retention import RetentionSweep
from sottovoce.usecases.tombstones import Replay
from sottovoce.usecases.trail import Trail


@dataclass(frozen=True, kw_only=True)
class Repair:
    database: Database
    keyring: Keyring
    bodies: Blobs
    trail: Trail
    receipts: ReceiptBook
    sweep: RetentionSweep
    replay: Replay
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
        for subject_id in {one.ref for one in report.findings if one.code == "inference_after_withdrawal"}:
            self._end_inferences(subject_id)
        if any(finding.code == "tombstones_behind" for finding in report.findings):
            self.replay.catch_up(caller=caller)
        if any(finding.code == "erased_is_back" for finding in report.findings):
            self.replay.destroy_keys()
        if any(finding.code == "recipient_without_key" for finding in report.findings):
            end_without_keys(self.database, self.keyring, self.trail, caller=caller)
        self.sweep.sweep(caller=caller)
        with self.database.begin() as tx:
            done = {"found": len(report.findings)}
            self.trail.of(None, caller=caller).write(tx, "home.repaired", details=done)
        self.number()

    def _end_inferences(self, subject_id: str) -> None:
        """What the withdrawal would have done; the sweep destroys it."""
        with self.database.begin() as tx:
            if tx.subjects.lock(subject_id) is not None:
                sessions = tx.recordings.of_subject(subject_id)
                decisions = [one for each in sessions for one in tx.records.decisions_of_session(each.id)]
                purposes = unagreed(decisions, tx.consents.of_subject(subject_id))
                tx.records.expire_decisions(subject_id, purposes, tx.now())

    def _publish(self, receipt_id: str) -> None:
        with self.database.read() as tx:
            receipt = tx.receipts.get(receipt_id)
        if receipt is not None:
            self.receipts.publish(receipt)
