"""Marks that stand on a person's data, and their requests as cases."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from sottovoce.adapters.database.rows import fetch, fetch_one, insert, row_of
from sottovoce.adapters.database.schema import cases, marks
from sottovoce.model.mark import Mark, MarkKind
from sottovoce.model.request import ENDED, Case, CaseState


class SqlMarks:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, mark: Mark) -> None:
        insert(self._connection, marks, row_of(mark), taken="mark_exists")

    def get(self, mark_id: str) -> Mark | None:
        return fetch_one(self._connection, Mark, marks, {"id": mark_id})

    def of_subject(self, subject_id: str) -> tuple[Mark, ...]:
        return fetch(self._connection, Mark, marks, {"subject_id": subject_id}, order=("placed_at", "id"))

    def standing(self, kind: MarkKind) -> tuple[Mark, ...]:
        where = {"kind": kind, "lifted_at": None}
        return fetch(self._connection, Mark, marks, where, order=("placed_at", "id"))

    def lift(self, mark_id: str, *, at: datetime) -> bool:
        this = marks.update().where(marks.c.id == mark_id, marks.c.lifted_at.is_(None)).values(lifted_at=at)
        return self._connection.execute(this).rowcount == 1


class SqlCases:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, case: Case) -> None:
        insert(self._connection, cases, row_of(case), taken="case_exists")

    def get(self, case_id: str) -> Case | None:
        return fetch_one(self._connection, Case, cases, {"id": case_id})

    def swap(self, new: Case, *, expected: Case) -> bool:
        this = cases.update().where(
            cases.c.id == expected.id,
            cases.c.state == expected.state,
            cases.c.extended_at.is_not_distinct_from(
                sa.literal(expected.extended_at, cases.c.extended_at.type)
            ),
        )
        return self._connection.execute(this.values(row_of(new))).rowcount == 1

    def of_subject(self, subject_id: str) -> tuple[Case, ...]:
        return fetch(self._connection, Case, cases, {"subject_id": subject_id}, order=("received_at", "id"))

    def unfinished(self) -> tuple[Case, ...]:
        found = [case for state in CaseState if state not in ENDED for case in self._in(state)]
        return tuple(sorted(found, key=_age))

    def latest(self, *, limit: int) -> tuple[Case, ...]:
        newest = fetch(self._connection, Case, cases, {}, order=("-received_at", "-id"), limit=limit)
        return tuple(reversed(newest))

    def _in(self, state: CaseState) -> tuple[Case, ...]:
        return fetch(self._connection, Case, cases, {"state": state}, order=("received_at", "id"))


def _age(case: Case) -> tuple[datetime, str]:
    return case.received_at, case.id
