"""Subjects and their consents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from sottovoce.adapters.database.rows import fetch, fetch_one, insert, row_of
from sottovoce.adapters.database.schema import consent_events, notices, subjects
from sottovoce.errors import Conflict
from sottovoce.model.consent import ConsentEvent, NoticeVersion
from sottovoce.model.subject import Subject, SubjectState


class SqlSubjects:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, subject: Subject) -> None:
        insert(self._connection, subjects, row_of(subject), taken="subject_exists")

    def find(self, tenant: str, blind_index: str) -> Subject | None:
        where = {"tenant": tenant, "blind_index": blind_index}
        return fetch_one(self._connection, Subject, subjects, where)

    def get(self, subject_id: str) -> Subject | None:
        return fetch_one(self._connection, Subject, subjects, {"id": subject_id})

    def lock(self, subject_id: str) -> Subject | None:
        return fetch_one(self._connection, Subject, subjects, {"id": subject_id}, lock=True)

    def set_erasing(self, subject_id: str) -> None:
        erasing = subjects.update().where(subjects.c.id == subject_id).values(state=SubjectState.ERASING)
        self._connection.execute(erasing)

    def rename(self, subject_id: str, *, blind_index: str, sealed_name: bytes) -> None:
        renamed = subjects.update().where(subjects.c.id == subject_id)
        try:
            self._connection.execute(renamed.values(blind_index=blind_index, sealed_name=sealed_name))
        except sa.exc.IntegrityError:
            raise Conflict("Somebody of this id is here already.", reason="subject_exists") from None

    def ids(self) -> tuple[str, ...]:
        return tuple(self._connection.scalars(sa.select(subjects.c.id).order_by(subjects.c.id)))


class SqlConsents:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add_notice(self, notice: NoticeVersion) -> None:
        insert(self._connection, notices, row_of(notice), taken="notice_exists")

    def notices(self, tenant: str, purpose: str | None = None) -> tuple[NoticeVersion, ...]:
        where = {"tenant": tenant} if purpose is None else {"tenant": tenant, "purpose": purpose}
        order = ("purpose", "ordinal", "locale")
        return fetch(self._connection, NoticeVersion, notices, where, order=order)

    def material(self, tenant: str) -> dict[str, int]:
        return dict(tuple(row) for row in self._connection.execute(_MATERIAL, {"of_tenant": tenant}))

    def add(self, events: Sequence[ConsentEvent]) -> tuple[ConsentEvent, ...]:
        # The savepoint makes it all or none even for a caller who catches the Conflict and goes on (X04).
        with self._connection.begin_nested():
            return tuple(self._add(event) for event in events)

    def of_subject(self, subject_id: str) -> tuple[ConsentEvent, ...]:
        where = {"subject_id": subject_id}
        return fetch(self._connection, ConsentEvent, consent_events, where, order=("sequence",))

    def _add(self, event: ConsentEvent) -> ConsentEvent:
        row = row_of(event)
        del row["sequence"]  # the server's to give
        sequence = insert(self._connection, consent_events, row, taken="duplicate_event")
        return replace(event, sequence=sequence)


_MATERIAL = (
    sa.select(notices.c.purpose, sa.func.max(notices.c.ordinal))
    .where(notices.c.tenant == sa.bindparam("of_tenant"), notices.c.material)
    .group_by(notices.c.purpose)
)
