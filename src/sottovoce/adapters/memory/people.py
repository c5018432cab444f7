"""People, notices and consents in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from sottovoce.adapters.memory.tables import Tables, already_there, unknown_reference
from sottovoce.model.consent import ConsentEvent, NoticeVersion, material_ordinals
from sottovoce.model.subject import Subject, SubjectState


class MemorySubjects:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, subject: Subject) -> None:
        if self.find(subject.tenant, subject.blind_index) is not None:
            raise already_there("subject_exists")
        self._tables.subjects.insert(subject.id, subject, taken="subject_exists")

    def find(self, tenant: str, blind_index: str) -> Subject | None:
        found = self._tables.subjects.where(lambda s: (s.tenant, s.blind_index) == (tenant, blind_index))
        return found[0] if found else None

    def get(self, subject_id: str) -> Subject | None:
        return self._tables.subjects.rows.get(subject_id)

    def lock(self, subject_id: str) -> Subject | None:
        return self._tables.subjects.rows.get(subject_id)

    def set_erasing(self, subject_id: str) -> None:
        subject = self.lock(subject_id)
        if subject is not None:
            self._tables.subjects.put(subject_id, replace(subject, state=SubjectState.ERASING))

    def rename(self, subject_id: str, *, blind_index: str, sealed_name: bytes) -> None:
        subject = self.get(subject_id)
        if subject is None:
            return
        same = self.find(subject.tenant, blind_index)
        if same is not None and same.id != subject_id:
            raise already_there("subject_exists")
        self._tables.subjects.put(
            subject_id, replace(subject, blind_index=blind_index, sealed_name=sealed_name)
        )

    def ids(self) -> tuple[str, ...]:
        return tuple(sorted(self._tables.subjects.rows))


class MemoryConsents:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add_notice(self, notice: NoticeVersion) -> None:
        key = attrgetter("tenant", "purpose", "version", "locale")
        if self._tables.notices.where(lambda other: key(other) == key(notice)):
            raise already_there("notice_exists")
        self._tables.notices.insert(notice.id, notice, taken="notice_exists")

    def notices(self, tenant: str, purpose: str | None = None) -> tuple[NoticeVersion, ...]:
        found = self._tables.notices.where(lambda n: n.tenant == tenant and purpose in (None, n.purpose))
        return tuple(sorted(found, key=attrgetter("purpose", "ordinal", "locale")))

    def material(self, tenant: str) -> dict[str, int]:
        return material_ordinals(self.notices(tenant))

    def add(self, events: Sequence[ConsentEvent]) -> tuple[ConsentEvent, ...]:
        ids = [event.id for event in events]
        if len(set(ids)) < len(ids) or any(id in self._tables.consents.rows for id in ids):
            raise already_there("duplicate_event")
        for event in events:
            self._tables.check_references(event.subject_id)
            if event.notice_id is not None and event.notice_id not in self._tables.notices.rows:
                raise unknown_reference()
        return tuple(self._add(event) for event in events)

    def of_subject(self, subject_id: str) -> tuple[ConsentEvent, ...]:
        found = self._tables.consents.where(lambda event: event.subject_id == subject_id)
        return tuple(sorted(found, key=attrgetter("sequence")))

    def _add(self, event: ConsentEvent) -> ConsentEvent:
        sequence = self._tables.counters.get("consent", 0) + 1
        numbered = replace(event, sequence=sequence)
        self._tables.consents.put(event.id, numbered)
        self._tables.counters["consent"] = sequence
        return numbered
