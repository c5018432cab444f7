"""Recipients against their feeds: I2, I5, I6 and I9."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sottovoce.errors import SottovoceError
from sottovoce.model.mark import Mark, MarkKind
from sottovoce.model.recipient import Disclosure, FeedEntry, Recipient, follows
from sottovoce.ports import Database, UnitOfWork
from sottovoce.sealing.pseudonym import opaque_name
from sottovoce.usecases.feed import key_name, owner_of_key
from sottovoce.usecases.fsck.seen import Seen
from sottovoce.usecases.keyring import Keyring

_PAGE = 500


@dataclass(frozen=True, kw_only=True)
class Recipients:
    database: Database
    keyring: Keyring
    tenant: str
    grace: timedelta

    def check(self, seen: Seen) -> None:
        """Feeds whole from their first entry, what acknowledgements and receipts speak of in them, keys there."""
        with self.database.read() as tx:
            recipients = tx.recipients.all(self.tenant)
        for recipient in recipients:
            seen.recipients += 1
            self._feed(seen, recipient)
            if recipient.ended_at is None and not self.keyring.has_tenant_key(key_name(recipient.id)):
                what = "a recipient has no key: nothing can be handed over to it under a name that it knows"
                seen.add("I9", "recipient_without_key", what, recipient.id, safe=True)
        self._receipts(seen)
        self._lone_keys(seen, {recipient.id for recipient in recipients})

    def check_person(self, seen: Seen, subject_id: str) -> None:
        """What was handed over carries the recipient's own names, and a restriction that stands was told."""
        with self.database.read() as tx:
            rows = tx.recipients.disclosures_of(subject_id)
            marks = tx.marks.of_subject(subject_id) if rows else ()
            told = {m.id: {e.recipient_id for e in tx.recipients.told(m.id)} for m in marks}
            has = {row.recipient_id: tx.recipients.get(row.recipient_id) for row in rows}
        keys = {recipient_id: self._key(recipient_id) for recipient_id in has}
        for row in rows:
            seen.disclosures += 1
            key = keys[row.recipient_id]
            if key is not None and not _named(row, key):
                seen.add(
                    "I9", "disclosure_misnamed", "a recipient would be told a name it does not know", row.id
                )
        for mark in marks:
            if mark.kind is MarkKind.RESTRICTION and mark.lifted_at is None:
                self._told(seen, mark, rows, has, told[mark.id])

    # --- helpers ---------------------------------------------------------------------------------------

    def _told(
        self,
        seen: Seen,
        mark: Mark,
        rows: Iterable[Disclosure],
        has: dict[str, Recipient | None],
        told: set[str],
    ) -> None:
        for row in rows:
            recipient = has[row.recipient_id]
            concerned = row.at <= mark.placed_at and mark.session_id in (None, row.session_id)
            if concerned and recipient is not None and recipient.is_told and recipient.id not in told:
                told.add(recipient.id)
                seen.add("I5", "recipient_not_told", "a recipient was not told of a restriction", mark.id)

    def _feed(self, seen: Seen, recipient: Recipient) -> None:
        before: FeedEntry | None = None
        while True:
            with self.database.read() as tx:
                after = before.number if before else 0
                page = tx.recipients.entries(recipient.id, after=after, limit=_PAGE)
            for entry in page:
                seen.feed_entries += 1
                if not follows(entry, before):
                    what = f"entry {entry.number} of a feed was changed, or does not follow the one before"
                    seen.add("I6", "feed_broken", what, recipient.id)
                    return
                before = entry
            if len(page) < _PAGE:
                break
        with self.database.read() as tx:
            for one in tx.recipients.acknowledgements(recipient.id):
                entry_of = tx.recipients.entry(recipient.id, one.through)
                if entry_of is None or entry_of.hash != one.hash:
                    what = f"an acknowledgement speaks of an entry {one.through} that this feed does not have"
                    seen.add("I6", "acknowledgement_unfounded", what, recipient.id)

    def _receipts(self, seen: Seen) -> None:
        """Entries that a receipt of an erasure names are there: a feed that was cut short is found by them."""
        with self.database.read() as tx:
            for tombstone in tx.requests.tombstones():
                request = tx.requests.get(tombstone.request_id)
                for recipient_id, number in _named_in(request.receipt if request else None):
                    if _missing(tx, recipient_id, number, tombstone.request_id):
                        what = "a receipt says that a recipient was told, and its feed has no such entry"
                        seen.add("I9", "feed_cut", what, tombstone.request_id)

    def _lone_keys(self, seen: Seen, recipients: set[str]) -> None:
        for row in self.keyring.rows():
            owner = owner_of_key(row.key_id)
            old = seen.now - row.created_at > self.grace
            if owner is not None and owner not in recipients and old and self.keyring.exists(row.key_id):
                seen.add("I2", "key_without_data", "a key belongs to nothing", row.key_id, safe=True)

    def _key(self, recipient_id: str) -> bytes | None:
        try:
            return self.keyring.tenant_key(key_name(recipient_id))
        except SottovoceError:
            return None  # said above where it is gone; else it cannot be asked now


def _named(row: Disclosure, key: bytes) -> bool:
    session = None if row.session_id is None else opaque_name(key, row.session_id)
    return (row.opaque_subject, row.opaque_session) == (opaque_name(key, row.subject_id), session)


def _named_in(receipt: str | None) -> list[tuple[str, int]]:
    """(recipient, number) of the entries that a receipt of an erasure names."""
    if receipt is None:
        return []
    try:
        lines = json.loads(receipt)["body"].get("recipients", [])
        return [(str(line["recipient"]), int(line["entry"])) for line in lines]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _missing(tx: UnitOfWork, recipient_id: str, number: int, cause: str) -> bool:
    entry = tx.recipients.entry(recipient_id, number)
    return entry is None or entry.cause != cause
