"""Recordings, sealed records, receipts and jobs in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter

from sottovoce.adapters.memory.tables import Tables, already_there
from sottovoce.model.job import Job, JobKind
from sottovoce.model.mark import keeps
from sottovoce.model.record import Decision, DueRecord, SealedRecord, StoredReceipt
from sottovoce.model.recording import Recording, RecordingState

SWAP_FIELDS = (
    "state", "lease_owner", "lease_until", "failure", "erase_request_id", "body_stored_at", "attempts",
)  # fmt: skip


class MemoryRecordings:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, recording: Recording) -> None:
        self._tables.check_references(recording.subject_id)
        if recording.idempotency is not None and self.by_idempotency(
            recording.tenant, recording.subject_id, recording.idempotency
        ):
            raise already_there("recording_exists")
        self._tables.recordings.insert(recording.id, recording, taken="recording_exists")

    def get(self, session_id: str) -> Recording | None:
        return self._tables.recordings.rows.get(session_id)

    def by_idempotency(self, tenant: str, subject_id: str, idempotency: str) -> Recording | None:
        key = attrgetter("tenant", "subject_id", "idempotency")
        found = self._tables.recordings.where(lambda r: key(r) == (tenant, subject_id, idempotency))
        return found[0] if found else None

    def of_subject(self, subject_id: str) -> tuple[Recording, ...]:
        found = self._tables.recordings.where(lambda recording: recording.subject_id == subject_id)
        found.sort(key=attrgetter("id"))
        return tuple(sorted(found, key=attrgetter("received_at"), reverse=True))

    def swap(self, new: Recording, *, expected: Recording) -> bool:
        key = attrgetter(*SWAP_FIELDS)
        stored = self.get(expected.id)
        if stored is None or key(stored) != key(expected):
            return False
        self._tables.recordings.put(expected.id, new)
        return True

    def unfinished(self, *, limit: int) -> tuple[Recording, ...]:
        found = self._tables.recordings.where(lambda recording: not recording.ended)
        return tuple(sorted(found, key=attrgetter("discard_by", "id"))[:limit])

    def count_by_state(self) -> dict[RecordingState, int]:
        return dict(Counter(recording.state for recording in self._tables.recordings.rows.values()))


class MemoryRecords:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, records: Sequence[SealedRecord], decisions: Sequence[Decision] = ()) -> None:
        key = attrgetter("session_id", "kind", "profile", "version")
        new: list[SealedRecord | Decision] = [*records, *decisions]
        for row in new:
            self._tables.check_references(row.subject_id, row.session_id)
        ids = [row.id for row in new]
        keys = [key(record) for record in (*records, *self._tables.records.rows.values())]
        if len(set(ids)) < len(ids) or self.existing(ids) or len(set(keys)) < len(keys):
            raise already_there("record_exists")
        for record in records:
            self._tables.records.put(record.id, record)
        for decision in decisions:
            self._tables.decisions.put(decision.id, decision)

    def of_session(self, session_id: str) -> tuple[SealedRecord, ...]:
        found = self._tables.records.where(lambda record: record.session_id == session_id)
        return tuple(sorted(found, key=attrgetter("created_at", "id")))

    def decisions_of_session(self, session_id: str) -> tuple[Decision, ...]:
        found = self._tables.decisions.where(lambda decision: decision.session_id == session_id)
        return tuple(sorted(found, key=attrgetter("at", "id")))

    def decision(self, decision_id: str) -> Decision | None:
        return self._tables.decisions.rows.get(decision_id)

    def ids_of_subject(self, subject_id: str) -> tuple[str, ...]:
        return tuple(
            sorted(
                row.id
                for table in self._tables.sealed
                for row in table.rows.values()
                if row.subject_id == subject_id
            )
        )

    def due(
        self, kind: str, *, promised_before: datetime, created_before: datetime, limit: int
    ) -> tuple[DueRecord, ...]:
        rows: list[tuple[datetime, datetime, SealedRecord | Decision]]
        if kind == "decision":
            rows = [(row.expires_at, row.at, row) for row in self._tables.decisions.rows.values()]
        else:
            of_kind = self._tables.records.where(lambda record: record.kind == kind)
            rows = [(row.expires_at, row.created_at, row) for row in of_kind]
        promised = sorted((r for r in rows if r[0] <= promised_before), key=lambda r: r[0])
        created = sorted((r for r in rows if r[1] <= created_before), key=lambda r: r[1])
        kept = {mark.subject_id for mark in self._tables.marks.where(lambda mark: keeps((mark,)))}
        swept = [row for _, _, row in promised + created if row.subject_id not in kept]
        found = dict.fromkeys(DueRecord(row.id, row.subject_id, row.session_id) for row in swept)
        return tuple(found)[:limit]

    def delete(self, ids: Sequence[str]) -> int:
        return sum(table.drop(ids) for table in self._tables.sealed)

    def expire_now(self, subject_id: str, at: datetime) -> int:
        tables = self._tables
        late = [r for r in tables.records.rows.values() if r.subject_id == subject_id and r.expires_at > at]
        said = [d for d in tables.decisions.rows.values() if d.subject_id == subject_id and d.expires_at > at]
        for record in late:
            tables.records.put(record.id, replace(record, expires_at=at))
        for decision in said:
            tables.decisions.put(decision.id, replace(decision, expires_at=at))
        return len(late) + len(said)

    def expire_decisions(self, subject_id: str, purposes: Sequence[str], at: datetime) -> tuple[str, ...]:
        rows = self._tables.decisions.rows.values()
        mine = [one for one in rows if one.subject_id == subject_id and one.purpose in purposes]
        for one in mine:
            if one.expires_at > at:
                self._tables.decisions.put(one.id, replace(one, expires_at=at))
        return tuple(sorted(one.id for one in mine))

    def existing(self, ids: Sequence[str]) -> frozenset[str]:
        proofs = {case.identity_key_id for case in self._tables.cases.rows.values()}
        return frozenset(
            id for id in ids if id in proofs or any(id in table.rows for table in self._tables.sealed)
        )


class MemoryReceipts:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, receipt: StoredReceipt) -> None:
        self._tables.check_references(receipt.subject_id, receipt.session_id)
        self._tables.receipts.insert(receipt.id, receipt, taken="receipt_exists")

    def get(self, receipt_id: str) -> StoredReceipt | None:
        return self._tables.receipts.rows.get(receipt_id)

    def of_subject(self, subject_id: str) -> tuple[StoredReceipt, ...]:
        found = self._tables.receipts.where(lambda receipt: receipt.subject_id == subject_id)
        return tuple(sorted(found, key=attrgetter("at", "id")))

    def of_session(self, session_id: str) -> tuple[StoredReceipt, ...]:
        found = self._tables.receipts.where(lambda receipt: receipt.session_id == session_id)
        return tuple(sorted(found, key=attrgetter("at", "id")))


class MemoryJobs:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def put(self, job: Job) -> None:
        self._tables.jobs.put((job.kind, job.ref), job)

    def done(self, kind: JobKind, ref: str) -> bool:
        return self._tables.jobs.drop([(kind, ref)]) == 1

    def drop(self, ref: str) -> int:
        return self._tables.jobs.drop_where(lambda job: job.ref == ref)

    def due(self, kind: JobKind, *, at: datetime, limit: int) -> tuple[Job, ...]:
        found = self._tables.jobs.where(lambda job: job.kind == kind and job.due_at <= at)
        return tuple(sorted(found, key=attrgetter("due_at", "ref"))[:limit])
