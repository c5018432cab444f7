"""The sweep: what is overdue goes, whatever queue or worker does; interrupted work is brought to its end.

Rules upheld here, in order:
1. Audio past its deadline is discarded in every state; a live lease is respected until `discard_by`, never after.
   Audio that is held goes at min(promise, policy now, 30 days), and at once where the consent to it is not there.
2. Records go at min(promise at insert, policy now): key row first, then the row (C10a, X11).
3. Everything is idempotent, in bounded batches, and safe beside a second sweeper: states move by compare-and-swap.
4. What has no owner (a body without a row, a key without data) goes after a grace longer than any lease.
5. Where the clock was set, what is kept does not expire until somebody confirms the time; audio goes regardless.
6. One thing that cannot be finished never stops the rest; its code is reported.
7. A key epoch ends at the age that was promised: last, so that what goes is not wrapped anew before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sottovoce.errors import ConsentRequired, KeyUnavailable, SottovoceError
from sottovoce.model import consent as ledger
from sottovoce.model.keys import KeyRow
from sottovoce.model.outcome import SweepReport
from sottovoce.model.policy import Policy
from sottovoce.model.purpose import AUDIO_HOLD
from sottovoce.model.record import DueRecord
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.retention import RECORD_KINDS
from sottovoce.model.subject import Caller
from sottovoce.ports import Blobs, Database, UnitOfWork
from sottovoce.usecases.clock_watch import TOLERANCE, ClockWatch
from sottovoce.usecases.discard import Discard, body_path
from sottovoce.usecases.feed import owner_of_key
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.record import Record
from sottovoce.usecases.rights import Rights
from sottovoce.usecases.rotation import Rotation
from sottovoce.usecases.schedule import due
from sottovoce.usecases.trail import Scribe, Trail

_BATCH = 500
_PAUSE_S = 0.01  # between two batches: whoever waits for the lock gets it (F33)
_AT_OPEN = 5000  # records that open() destroys before it serves; what is due is not read in any case (I7)


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
    rotation: Rotation

    def sweep(self, *, caller: Caller) -> SweepReport:
        """Everything: overdue and interrupted work, due records, orphans."""
        report = self._overdue(caller=caller)
        errors = list(report.errors)
        details = keys = 0
        bodies = _attempt(errors, self._orphan_bodies)
        if not report.clock_moved:
            details = _attempt(errors, lambda: self._expire_details(caller=caller))
            keys = _attempt(errors, self._orphan_keys)
        ended = _attempt(errors, lambda: self.rotation.end_due(caller=caller))
        return replace(
            report, orphan_bodies=bodies, orphan_keys=keys, details_expired=details, epochs_ended=ended,
            errors=tuple(errors),
        )  # fmt: skip

    def overdue(self, *, caller: Caller) -> SweepReport:
        """What open() does before it serves: erasures, audio, records, a small key rotation; by index, without looking
        for orphans."""
        report = self._overdue(caller=caller, most_records=_AT_OPEN)
        errors = list(report.errors)
        ended = _attempt(errors, lambda: self.rotation.end_due_if_small(caller=caller))
        return replace(report, epochs_ended=ended, errors=tuple(errors))

    def _overdue(self, *, caller: Caller, most_records: int | None = None) -> SweepReport:
        errors: list[str] = []
        erased = _attempt(errors, lambda: self.rights.resume(caller=caller))
        discarded, finished, late = self._recordings(errors, caller=caller)
        moved = self.clock.check()
        expired = 0 if moved else _attempt(errors, lambda: self._expire(most=most_records, caller=caller))
        if expired:
            _attempt(errors, self._tidy)
        return SweepReport(
            audio_discarded=discarded, interrupted_finished=finished, records_expired=expired,
            erasures_resumed=erased, overdue=late, clock_moved=moved, errors=tuple(errors),
        )  # fmt: skip

    def preview(self) -> SweepReport:
        """What a sweep would do now; changes nothing."""
        back = self.clock.set_back_by()
        with self.database.read() as tx:
            now = tx.now() + back
            unfinished = list(tx.recordings.unfinished(limit=1_000_000))
            erasures = len(tx.requests.unfinished())
        reasons = [self._reason(recording, now) for recording in unfinished]
        return SweepReport(
            audio_discarded=sum(reason == "deadline" for reason in reasons),
            interrupted_finished=sum(reason not in (None, "deadline") for reason in reasons),
            records_expired=sum(len(self._due(kind, limit=1_000_000)) for kind in RECORD_KINDS),
            erasures_resumed=erasures, orphan_bodies=len(list(self._ownerless_bodies())),
            orphan_keys=len(self._ownerless_keys()), epochs_ended=int(self.rotation.age().due),
            overdue=sum(now >= recording.discard_by for recording in unfinished),
            clock_moved=self.clock.moved(), dry_run=True,
        )  # fmt: skip

    # --- recordings ------------------------------------------------------------------------------------

    def _recordings(self, errors: list[str], *, caller: Caller) -> tuple[int, int, int]:
        """(discarded at the deadline, interrupted ones brought to their end, found past the deadline)."""
        discarded = finished = late = 0
        back = self.clock.set_back_by()
        with self.database.read() as tx:
            now = tx.now() + back
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
        if now >= recording.discard_by or now < recording.received_at - TOLERANCE:
            return "deadline"  # or the clock says that it was received in the future: nobody knows how long it is here
        if recording.hold_until is not None and idle:
            return self._why_not_held(recording, now)
        inline = recording.shape == "analyze" and recording.state is RecordingState.RECEIVED
        return "interrupted" if inline and idle else None

    def _why_not_held(self, recording: Recording, now: datetime) -> str | None:
        """Audio of a failed attempt: whether the policy of now and the person's consent still keep it."""
        until = self.policy.held_until(recording.received_at, recording.hold_until)
        if until is None or now >= until:
            return "deadline"
        with self.database.read() as tx:
            states = ledger.fold(tx.consents.of_subject(recording.subject_id))
            material = tx.consents.material(recording.tenant)
        return (
            None if ledger.decide(states, (AUDIO_HOLD,), material=material).allowed else ConsentRequired.code
        )

    def _finish(self, recording: Recording, reason: str, *, caller: Caller) -> int:
        if reason == "deadline":
            # First: what is said of it asks the key provider, which may be down (F16).
            self.discard.destroy(recording.id)
        if reason in ("deadline", "interrupted", ConsentRequired.code):
            self.discard.fail(recording.id, reason, caller=caller)
        ended = self.discard.settle(recording.id, caller=caller).recording
        return int(ended is not None and ended.ended)

    # --- records ---------------------------------------------------------------------------------------

    def _expire(self, *, most: int | None = None, caller: Caller) -> int:
        """Due records, a batch at a time; at most so many (to the next whole batch)."""
        expired = 0
        for kind in RECORD_KINDS:
            while most is None or expired < most:
                found = self._due(kind, limit=_BATCH)
                if not found:
                    break
                expired += self._expire_batch(kind, found, caller=caller)
                time.sleep(_PAUSE_S)
        return expired

    def _tidy(self) -> int:
        self.database.tidy()
        return 1

    def _due(self, kind: str, *, limit: int) -> tuple[DueRecord, ...]:
        with self.database.read() as tx:
            return due(tx, kind, self.policy.retention, limit=limit)

    def _expire_batch(self, kind: str, found: Sequence[DueRecord], *, caller: Caller) -> int:
        """Keys first; then rows and one audit entry per person, together. Of two sweepers each takes what the other has
        not taken, and what was restricted or held meanwhile stays: both are asked again under the people's locks."""
        try:
            scribes = self._scribes(found, caller=caller)
        except KeyUnavailable:
            # The provider is down: nothing can be told, and what is due is destroyed all the same (F16).
            with self.database.begin() as tx:
                self.keyring.destroy([record.id for record in self._still_due(tx, kind, found)])
            raise
        with self.database.begin() as tx:
            still = self._still_due(tx, kind, found)
            self.keyring.destroy([record.id for record in still])
            tx.records.delete([record.id for record in still])
            mine: dict[str, list[str]] = {}
            for record in still:
                mine.setdefault(record.subject_id, []).append(record.id)
            for subject_id, records in mine.items():
                if subject_id in scribes:
                    details = {"kind": kind, "records": records}
                    scribes[subject_id].write(tx, "record.expired", details=details)
        return len(still)

    def _still_due(self, tx: UnitOfWork, kind: str, found: Sequence[DueRecord]) -> list[DueRecord]:
        ids = {record.id for record in found}
        for subject_id in sorted({record.subject_id for record in found}):
            tx.subjects.lock(subject_id)
        return [one for one in due(tx, kind, self.policy.retention, limit=_BATCH) if one.id in ids]

    def _scribes(self, found: Sequence[DueRecord], *, caller: Caller) -> dict[str, Scribe]:
        """Who writes of each person; nobody of one whose keys are gone. Opened before the lock is held."""
        with self.database.read() as tx:
            now = tx.now()
        people = dict.fromkeys(record.subject_id for record in found)
        return {
            subject_id: self.trail.of(subject_id, caller=caller).warm(now)
            for subject_id in people
            if self.keyring.has_subject(subject_id)
        }

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
            recipients = {row.key_id: owner_of_key(row.key_id) for row in old if row.kind == "tenant"}
            lone = {key for key, owner in recipients.items() if owner and tx.recipients.get(owner) is None}
        orphans += [row for row in old if row.key_id in lone]
        return orphans + [row for row in old if row.subject_id in gone and row.kind in ("subject", "details")]


def _attempt(errors: list[str], work: Callable[[], int]) -> int:
    """Rule 6: an error is reported, the rest goes on."""
    try:
        return work()
    except SottovoceError as error:
        errors.append(error.public_code)
        return 0
