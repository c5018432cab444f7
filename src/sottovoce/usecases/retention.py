"""The sweep: what is overdue goes, whatever queue or worker does; interrupted work is brought to its end.

Rules upheld here, in order:
1. Audio past its deadline is discarded in every state; a live lease is respected until `discard_by`, never after.
2. Records go at min(promise at insert, policy now): key row first, then the row (C10a, X11).
3. Everything is idempotent, in bounded batches, and safe beside a second sweeper: states move by compare-and-swap.
4. What has no owner (a body without a row, a key without data) goes after a grace longer than any lease.
5. Where the clock was set, what is kept does not expire until somebody confirms the time; audio goes regardless.
6. One thing that cannot be finished never stops the rest; its code is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sottovoce.errors import SottovoceError
from sottovoce.model.keys import KeyRow
from sottovoce.model.outcome import SweepReport
from sottovoce.model.policy import Policy
from sottovoce.model.record import DueRecord
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.retention import RECORD_KINDS
from sottovoce.model.subject import Caller
from sottovoce.ports import Blobs, Database
from sottovoce.usecases.clock_watch import ClockWatch
from sottovoce.usecases.discard import Discard, body_path
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.record import Record
from sottovoce.usecases.rights import Rights
from sottovoce.usecases.schedule import due
from sottovoce.usecases.trail import Trail

_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class RetentionSweep:
    database: Database
    keyring: Keyring
    bodies: Blobs
    record: Record
    discard: Discard
    rights: Rights
    trail: Trail
    policy: Policy
    clock: ClockWatch

    def sweep(self, *, caller: Caller) -> SweepReport:
        """Everything: overdue and interrupted work, due records, orphans."""
        report = self.overdue(caller=caller)
        errors = list(report.errors)
        details = keys = 0
        bodies = _attempt(errors, self._orphan_bodies)
        if not report.clock_moved:
            details = _attempt(errors, lambda: self._expire_details(caller=caller))
            keys = _attempt(errors, self._orphan_keys)
        return replace(
            report, orphan_bodies=bodies, orphan_keys=keys, details_expired=details, errors=tuple(errors)
        )

    def overdue(self, *, caller: Caller) -> SweepReport:
        """What open() does before it serves: erasures, audio, records; by index, without looking for orphans."""
        errors: list[str] = []
        erased = _attempt(errors, lambda: self.rights.resume(caller=caller))
        discarded, finished, late = self._recordings(errors, caller=caller)
        moved = self.clock.check()
        expired = 0 if moved else _attempt(errors, lambda: self._expire(caller=caller))
        return SweepReport(
            audio_discarded=discarded, interrupted_finished=finished, records_expired=expired,
            erasures_resumed=erased, overdue=late, clock_moved=moved, errors=tuple(errors),
        )  # fmt: skip

    def preview(self) -> SweepReport:
        """What a sweep would do now; changes nothing."""
        with self.database.read() as tx:
            now = tx.now()
            unfinished = list(tx.recordings.unfinished(limit=1_000_000))
            erasures = len(tx.requests.unfinished())
        reasons = [self._reason(recording, now) for recording in unfinished]
        return SweepReport(
            audio_discarded=sum(reason == "deadline" for reason in reasons),
            interrupted_finished=sum(reason not in (None, "deadline") for reason in reasons),
            records_expired=sum(len(self._due(kind, limit=1_000_000)) for kind in RECORD_KINDS),
            erasures_resumed=erasures, orphan_bodies=len(list(self._ownerless_bodies())),
            orphan_keys=len(self._ownerless_keys()),
            overdue=sum(now >= recording.discard_by for recording in unfinished),
            clock_moved=self.clock.moved(), dry_run=True,
        )  # fmt: skip

    # --- recordings ------------------------------------------------------------------------------------

    def _recordings(self, errors: list[str], *, caller: Caller) -> tuple[int, int, int]:
        """(discarded at the deadline, interrupted ones brought to their end, found past the deadline)."""
        discarded = finished = late = 0
        with self.database.read() as tx:
            now = tx.now()
            unfinished = tx.recordings.unfinished(limit=1_000_000)
        for recording in unfinished:
            late += int(now >= recording.discard_by)
            reason = self._reason(recording, now)
            if reason is None:
                continue
            work = partial(self._finish, recording, reason, caller=caller)
            if not _attempt(errors, work):
                continue
            discarded += int(reason == "deadline")
            finished += int(reason != "deadline")
        return discarded, finished, late

    def _reason(self, recording: Recording, now: datetime) -> str | None:
        """Why a recording is to be ended now; None: it is not."""
        if recording.erase_request_id is not None:
            return None  # the erasure's own work
        if recording.failure is not None:
            return "failed"
        idle = self.record.lease_ended(recording, now)
        if recording.state is RecordingState.COMMITTED:
            return "committed" if idle or now >= recording.discard_by else None
        if now >= recording.discard_by:
            return "deadline"
        inline = recording.shape == "analyze" and recording.state is RecordingState.RECEIVED
        return "interrupted" if inline and idle else None

    def _finish(self, recording: Recording, reason: str, *, caller: Caller) -> int:
        if reason in ("deadline", "interrupted"):
            self.discard.fail(recording.id, reason, caller=caller)
        ended = self.discard.settle(recording.id, caller=caller).recording
        return int(ended is not None and ended.ended)

    # --- records ---------------------------------------------------------------------------------------

    def _expire(self, *, caller: Caller) -> int:
        expired = 0
        for kind in RECORD_KINDS:
            while found := self._due(kind, limit=_BATCH):
                self._expire_batch(kind, found, caller=caller)
                expired += len(found)
        if expired:
            self.database.tidy()
        return expired

    def _due(self, kind: str, *, limit: int) -> tuple[DueRecord, ...]:
        with self.database.read() as tx:
            return due(tx, kind, self.policy.retention, limit=limit)

    def _expire_batch(self, kind: str, due: tuple[DueRecord, ...], *, caller: Caller) -> None:
        """Keys first; then rows and one audit entry per person, together."""
        self.keyring.destroy([record.id for record in due])
        with self.database.begin() as tx:
            tx.records.delete([record.id for record in due])
            for subject_id in dict.fromkeys(record.subject_id for record in due):
                ids = [record.id for record in due if record.subject_id == subject_id]
                if tx.subjects.lock(subject_id) is not None and self.keyring.has_subject(subject_id):
                    scribe = self.trail.of(subject_id, caller=caller)
                    scribe.write(tx, "record.expired", details={"kind": kind, "records": ids})

    def _expire_details(self, *, caller: Caller) -> int:
        """Keys of audit details past their time; the entries stay, and say no more than what stands in clear."""
        with self.database.read() as tx:
            now = tx.now()
        expired = self.trail.expire_details(now)
        if expired:
            with self.database.begin() as tx:
                self.trail.of(None, caller=caller).write(
                    tx, "audit.details_expired", details={"keys": expired}
                )
        return expired

    # --- orphans ---------------------------------------------------------------------------------------

    def _orphan_bodies(self) -> int:
        found = list(self._ownerless_bodies())
        for path in found:
            self.bodies.delete(path)
        return len(found)

    def _ownerless_bodies(self) -> Iterable[str]:
        """Bodies without an unfinished recording, and writes that were never finished, after the grace."""
        with self.database.read() as tx:
            now = tx.now()
            wanted = {body_path(recording.id) for recording in tx.recordings.unfinished(limit=1_000_000)}
        for info in self.bodies.list():
            old = now - info.modified_at > self.policy.orphan_grace
            if old and (not info.finished or info.path not in wanted):
                yield info.path

    def _orphan_keys(self) -> int:
        rows = self._ownerless_keys()
        return self.keyring.destroy([row.key_id for row in rows])

    def _ownerless_keys(self) -> list[KeyRow]:
        """Key rows without the data they were made for, after the grace."""
        with self.database.read() as tx:
            now = tx.now()
            wanted = {recording.id for recording in tx.recordings.unfinished(limit=1_000_000)}
        old = [row for row in self.keyring.rows() if now - row.created_at > self.policy.orphan_grace]
        orphans = [row for row in old if row.kind == "recording" and row.key_id not in wanted]
        records = [row for row in old if row.kind == "record"]
        for start in range(0, len(records), _BATCH):
            batch = records[start : start + _BATCH]
            with self.database.read() as tx:
                existing = tx.records.existing([row.key_id for row in batch])
            orphans += [row for row in batch if row.key_id not in existing]
        owners = {row.subject_id for row in old if row.kind in ("subject", "details") and row.subject_id}
        with self.database.read() as tx:
            gone = {owner for owner in owners if tx.subjects.get(owner) is None}
        return orphans + [row for row in old if row.subject_id in gone and row.kind in ("subject", "details")]


def _attempt(errors: list[str], work: Callable[[], int]) -> int:
    """Rule 6: an error is reported, the rest goes on."""
    try:
        return work()
    except SottovoceError as error:
        errors.append(error.public_code)
        return 0
