"""Requests for erasure, marks and cases in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from operator import attrgetter

from sottovoce.adapters.memory.tables import Tables, already_there
from sottovoce.model.mark import Mark, MarkKind
from sottovoce.model.request import Case, ErasureRequest, Tombstone
from sottovoce.model.tombstones import TombstoneHead


class MemoryRequests:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, request: ErasureRequest, tombstone: Tombstone) -> None:
        if request.id in self._tables.requests.rows or tombstone.request_id in self._tables.tombstones.rows:
            raise already_there("request_exists")
        self._tables.requests.put(request.id, request)
        self._tables.tombstones.put(tombstone.request_id, tombstone)

    def get(self, request_id: str) -> ErasureRequest | None:
        return self._tables.requests.rows.get(request_id)

    def unfinished(self) -> tuple[ErasureRequest, ...]:
        found = self._tables.requests.where(lambda request: request.completed_at is None)
        return tuple(sorted(found, key=attrgetter("requested_at", "id")))

    def complete(self, request_id: str, *, at: datetime, receipt: str) -> None:
        request = self.get(request_id)
        if request is not None:
            self._tables.requests.put(
                request_id, replace(request, completed_at=at, receipt=receipt, pseudonym="", inventory=None)
            )

    def tombstones(self) -> tuple[Tombstone, ...]:
        return tuple(sorted(self._tables.tombstones.rows.values(), key=attrgetter("at", "request_id")))

    def applied(self) -> TombstoneHead | None:
        return self._tables.tombstones_applied.rows.get("")

    def set_applied(self, head: TombstoneHead) -> None:
        self._tables.tombstones_applied.put("", head)


class MemoryMarks:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, mark: Mark) -> None:
        self._tables.check_references(mark.subject_id, mark.session_id)
        self._tables.marks.insert(mark.id, mark, taken="mark_exists")

    def get(self, mark_id: str) -> Mark | None:
        return self._tables.marks.rows.get(mark_id)

    def of_subject(self, subject_id: str) -> tuple[Mark, ...]:
        found = self._tables.marks.where(lambda mark: mark.subject_id == subject_id)
        return tuple(sorted(found, key=attrgetter("placed_at", "id")))

    def standing(self, kind: MarkKind) -> tuple[Mark, ...]:
        found = self._tables.marks.where(lambda mark: mark.kind is kind and mark.lifted_at is None)
        return tuple(sorted(found, key=attrgetter("placed_at", "id")))

    def lift(self, mark_id: str, *, at: datetime) -> bool:
        mark = self.get(mark_id)
        if mark is None or mark.lifted_at is not None:
            return False
        self._tables.marks.put(mark_id, replace(mark, lifted_at=at))
        return True


class MemoryCases:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, case: Case) -> None:
        self._tables.cases.insert(case.id, case, taken="case_exists")

    def get(self, case_id: str) -> Case | None:
        return self._tables.cases.rows.get(case_id)

    def swap(self, new: Case, *, expected: Case) -> bool:
        stored, key = self.get(expected.id), attrgetter("state", "extended_at")
        if stored is None or key(stored) != key(expected):
            return False
        self._tables.cases.put(expected.id, new)
        return True

    def of_subject(self, subject_id: str) -> tuple[Case, ...]:
        return self._sorted(lambda case: case.subject_id == subject_id)

    def unfinished(self) -> tuple[Case, ...]:
        return self._sorted(lambda case: not case.ended)

    def latest(self, *, limit: int) -> tuple[Case, ...]:
        found = self._sorted(lambda _: True)
        return found[max(len(found) - limit, 0) :]

    def _sorted(self, wanted: Callable[[Case], bool]) -> tuple[Case, ...]:
        return tuple(sorted(self._tables.cases.where(wanted), key=attrgetter("received_at", "id")))
