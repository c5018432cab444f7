"""Subjects and their consents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from sottovoce.adapters.database.rows import fetch, fetch_one, insert, row_of
from sottovoce.adapters.database.schema import consent_events, notices, subjects
from sottovoce.model.consent import ConsentEvent, NoticeVersion
from sottovoce.model.subject import Subject, SubjectState


class SqlSubjects:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, subject: Subject) -> None:
        insert(self._connection, subjects, row_of(subject), taken="subject_exists")

    def find(self, tenant: str, blind_index: str) -> Subject | None:
        return fetch_one(
            self._connection, Subject, subjects,
            subjects.c.tenant == tenant, subjects.c.blind_index == blind_index,
        )  # fmt: skip

    def get(self, subject_id: str) -> Subject | None:
        return fetch_one(self._connection, Subject, subjects, subjects.c.id == subject_id)

    def lock(self, subject_id: str) -> Subject | None:
        # SQLite holds the whole database; FOR UPDATE is compiled to nothing there and locks on PostgreSQL.
        query = sa.select(subjects.c.id).where(subjects.c.id == subject_id).with_for_update()
        if self._connection.execute(query).first() is None:
            return None
        return self.get(subject_id)

    def set_erasing(self, subject_id: str) -> None:
        erasing = subjects.update().where(subjects.c.id == subject_id).values(state=SubjectState.ERASING)
        self._connection.execute(erasing)


class SqlConsents:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add_notice(self, notice: NoticeVersion) -> None:
        insert(self._connection, notices, row_of(notice), taken="notice_exists")

    def notices(self, tenant: str, purpose: str | None = None) -> tuple[NoticeVersion, ...]:
        where = [notices.c.tenant == tenant]
        if purpose is not None:
            where.append(notices.c.purpose == purpose)
        order = (notices.c.purpose, notices.c.ordinal, notices.c.locale)
        return fetch(self._connection, NoticeVersion, notices, *where, order=order)

    def material(self, tenant: str) -> dict[str, int]:
        latest = sa.func.max(notices.c.ordinal)
        query = sa.select(notices.c.purpose, latest).where(notices.c.tenant == tenant, notices.c.material)
        return {
            purpose: ordinal
            for purpose, ordinal in self._connection.execute(query.group_by(notices.c.purpose))
        }

    def add(self, events: Sequence[ConsentEvent]) -> tuple[ConsentEvent, ...]:
        # The savepoint makes it all or none even for a caller who catches the Conflict and goes on (X04).
        with self._connection.begin_nested():
            return tuple(self._add(event) for event in events)

    def of_subject(self, subject_id: str) -> tuple[ConsentEvent, ...]:
        return fetch(
            self._connection, ConsentEvent, consent_events, consent_events.c.subject_id == subject_id,
            order=(consent_events.c.sequence,),
        )  # fmt: skip

    def _add(self, event: ConsentEvent) -> ConsentEvent:
        row = row_of(event)
        del row["sequence"]  # the server's to give
        sequence = insert(self._connection, consent_events, row, taken="duplicate_event")
        return replace(event, sequence=sequence)
