"""Recipients, what they have, their feeds and their acknowledgements."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from sottovoce.adapters.database.rows import fetch, fetch_one, insert, insert_all, row_of
from sottovoce.adapters.database.schema import acknowledgements, disclosures, feed_entries, recipients
from sottovoce.model.recipient import Acknowledgement, Disclosure, FeedEntry, Recipient


class SqlRecipients:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, recipient: Recipient) -> None:
        insert(self._connection, recipients, row_of(recipient), taken="recipient_exists")

    def get(self, recipient_id: str) -> Recipient | None:
        return fetch_one(self._connection, Recipient, recipients, {"id": recipient_id})

    def lock(self, recipient_id: str) -> Recipient | None:
        return fetch_one(self._connection, Recipient, recipients, {"id": recipient_id}, lock=True)

    def all(self, tenant: str) -> tuple[Recipient, ...]:
        return fetch(self._connection, Recipient, recipients, {"tenant": tenant}, order=("created_at", "id"))

    def end(self, recipient_id: str, *, at: datetime, destroyed: bool) -> None:
        this = recipients.update().where(recipients.c.id == recipient_id)
        first = sa.func.coalesce(recipients.c.ended_at, sa.literal(at, recipients.c.ended_at.type))
        stated = sa.or_(recipients.c.destroyed, sa.literal(destroyed))
        self._connection.execute(this.values(ended_at=first, destroyed=stated))

    def disclose(self, rows: Sequence[Disclosure]) -> None:
        insert_all(self._connection, disclosures, [row_of(row) for row in rows], taken="disclosure_exists")

    def disclosures_of(self, subject_id: str) -> tuple[Disclosure, ...]:
        where = {"subject_id": subject_id}
        return fetch(self._connection, Disclosure, disclosures, where, order=("at", "id"))

    def disclosed_to(self, recipient_id: str) -> tuple[int, int]:
        people = sa.func.count(disclosures.c.subject_id.distinct())
        query = sa.select(people, sa.func.count()).where(disclosures.c.recipient_id == recipient_id)
        of, rows = self._connection.execute(query).one()
        return int(of), int(rows)

    def append(self, entry: FeedEntry) -> None:
        insert(self._connection, feed_entries, row_of(entry), taken="entry_exists")

    def head(self, recipient_id: str) -> FeedEntry | None:
        where = {"recipient_id": recipient_id}
        found = fetch(self._connection, FeedEntry, feed_entries, where, order=("-number",), limit=1)
        return found[0] if found else None

    def entry(self, recipient_id: str, number: int) -> FeedEntry | None:
        return fetch_one(
            self._connection, FeedEntry, feed_entries, {"recipient_id": recipient_id, "number": number}
        )

    def entries(self, recipient_id: str, *, after: int, limit: int) -> tuple[FeedEntry, ...]:
        where = {"recipient_id": recipient_id, "number >": after}
        return fetch(self._connection, FeedEntry, feed_entries, where, order=("number",), limit=limit)

    def told(self, cause: str) -> tuple[FeedEntry, ...]:
        where = {"cause": cause}
        return fetch(self._connection, FeedEntry, feed_entries, where, order=("recipient_id", "number"))

    def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        insert(self._connection, acknowledgements, row_of(acknowledgement), taken="acknowledgement_exists")

    def acknowledgements(self, recipient_id: str) -> tuple[Acknowledgement, ...]:
        where = {"recipient_id": recipient_id}
        return fetch(self._connection, Acknowledgement, acknowledgements, where, order=("through",))
