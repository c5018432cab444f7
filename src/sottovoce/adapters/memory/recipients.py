"""Recipients, what was handed to them, and their feeds in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter

from sottovoce.adapters.memory.tables import Tables, unknown_reference
from sottovoce.model.recipient import Acknowledgement, Disclosure, FeedEntry, Recipient


class MemoryRecipients:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, recipient: Recipient) -> None:
        self._tables.recipients.insert(recipient.id, recipient, taken="recipient_exists")

    def get(self, recipient_id: str) -> Recipient | None:
        return self._tables.recipients.rows.get(recipient_id)

    lock = get

    def all(self, tenant: str) -> tuple[Recipient, ...]:
        found = self._tables.recipients.where(lambda one: one.tenant == tenant)
        return tuple(sorted(found, key=attrgetter("created_at", "id")))

    def end(self, recipient_id: str, *, at: datetime, destroyed: bool) -> None:
        found = self.get(recipient_id)
        if found is not None:
            stated = found.destroyed or destroyed
            ended = replace(found, ended_at=found.ended_at or at, destroyed=stated)
            self._tables.recipients.put(recipient_id, ended)

    def disclose(self, rows: Sequence[Disclosure]) -> None:
        for row in rows:
            self._tables.check_references(row.subject_id, row.session_id)
            if row.recipient_id not in self._tables.recipients.rows:
                raise unknown_reference()
            self._tables.disclosures.insert(row.id, row, taken="disclosure_exists")

    def disclosures_of(self, subject_id: str) -> tuple[Disclosure, ...]:
        found = self._tables.disclosures.where(lambda row: row.subject_id == subject_id)
        return tuple(sorted(found, key=attrgetter("at", "id")))

    def disclosed_to(self, recipient_id: str) -> tuple[int, int]:
        found = self._tables.disclosures.where(lambda row: row.recipient_id == recipient_id)
        return len({row.subject_id for row in found}), len(found)

    def append(self, entry: FeedEntry) -> None:
        if entry.recipient_id not in self._tables.recipients.rows:
            raise unknown_reference()
        key = entry.recipient_id, entry.number
        self._tables.feed_entries.insert(key, entry, taken="entry_exists")

    def head(self, recipient_id: str) -> FeedEntry | None:
        return max(self.entries(recipient_id, after=0), key=attrgetter("number"), default=None)

    def entry(self, recipient_id: str, number: int) -> FeedEntry | None:
        return self._tables.feed_entries.rows.get((recipient_id, number))

    def entries(self, recipient_id: str, *, after: int, limit: int | None = None) -> tuple[FeedEntry, ...]:
        found = self._tables.feed_entries.where(
            lambda one: one.recipient_id == recipient_id and one.number > after
        )
        return tuple(sorted(found, key=attrgetter("number"))[:limit])

    def told(self, cause: str) -> tuple[FeedEntry, ...]:
        found = self._tables.feed_entries.where(lambda one: one.cause == cause)
        return tuple(sorted(found, key=attrgetter("recipient_id", "number")))

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        if acknowledgement.recipient_id not in self._tables.recipients.rows:
            raise unknown_reference()
        key = acknowledgement.recipient_id, acknowledgement.through
        self._tables.acknowledgements.insert(key, acknowledgement, taken="acknowledgement_exists")

    def acknowledgements(self, recipient_id: str) -> tuple[Acknowledgement, ...]:
        found = self._tables.acknowledgements.where(lambda one: one.recipient_id == recipient_id)
        return tuple(sorted(found, key=attrgetter("through")))
