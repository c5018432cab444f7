"""What models have said is forgotten as soon as its purpose is withdrawn; everything else stays.

Rules upheld here, in order:
1. The withdrawal's own transaction ends the promise of the inferences, so nobody reads them from its commit on (I7).
2. Keys are destroyed before rows are deleted; whoever is interrupted is followed by the sweep.
3. A restriction or a legal hold keeps them from being destroyed, not from being unreadable (C12a).
"""

from __future__ import annotations

from collections.abc import Sequence

from sottovoce.model.inference import is_inference
from sottovoce.model.mark import keeps
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.trail import Trail


def end_inferences(tx: UnitOfWork, subject_id: str, purposes: Sequence[str]) -> int:
    """In the withdrawal's transaction: what was inferred for these purposes is past its date now; how many."""
    inferred = [purpose for purpose in purposes if is_inference(purpose)]
    return len(tx.records.expire_decisions(subject_id, inferred, tx.now())) if inferred else 0


def forget_inferences(
    database: Database, keyring: Keyring, trail: Trail, subject_id: str, purposes: Sequence[str], *, caller: Caller
) -> int:  # fmt: skip
    """After it: keys, then rows of what is past its date; how many."""
    with database.read() as tx:
        if keeps(tx.marks.of_subject(subject_id)):
            return 0
        ids = [
            decision.id
            for recording in tx.recordings.of_subject(subject_id)
            for decision in tx.records.decisions_of_session(recording.id)
            if decision.purpose in purposes
            and is_inference(decision.purpose)
            and decision.expires_at <= tx.now()
        ]
    if not ids:
        return 0
    keyring.destroy(ids)
    with database.begin() as tx:
        tx.records.delete(ids)
        if tx.subjects.lock(subject_id) is not None and keyring.has_subject(subject_id):
            details = {"kind": "decision", "records": ids}
            trail.of(subject_id, caller=caller).write(tx, "record.expired", details=details)
    database.tidy()
    return len(ids)
