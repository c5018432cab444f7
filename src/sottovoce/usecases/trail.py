"""Writing the audit log: entries that commit with the change they tell of; `usecases/sequencer.py` numbers them.

Rules upheld here, in order:
1. An entry is inserted in the transaction of the change itself; for a read it commits before the data is released.
2. A subject appears only as a pseudonym under the subject's own audit key: destroying that key unlinks the entry.
3. Details are sealed under a key of the subject and month, so that they can expire before the person is erased: that
   key goes 2,555 days after its month; what was hashed stays (C29c).
4. Hashes cover ciphertext only: the log verifies after every erasure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sottovoce.audit import chain
from sottovoce.errors import IntegrityError, KeyUnavailable
from sottovoce.model.event import AuditEvent
from sottovoce.model.ids import RandomBytes, new_id
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.sealing import envelope, pseudonym
from sottovoce.sealing.context import encode_context
from sottovoce.usecases.keyring import Keyring

_DETAILS_KIND = "audit-details"
_DETAILS_VERSION = "1"
_TENANT_DETAILS_KEY = "audit"
DETAILS_KEPT = timedelta(days=2555)
_MONTH = timedelta(days=31)
_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Trail:
    """Makes scribes, numbers entries, opens details."""

    database: Database
    keyring: Keyring
    random_bytes: RandomBytes
    tenant: str

    def of(self, subject_id: str | None, *, caller: Caller) -> Scribe:
        """The scribe of one operation on one subject (or on nobody). KeyUnavailable where the subject is erased."""
        name = None
        if subject_id is not None:
            name = pseudonym.audit_pseudonym(self.keyring.subject_key(subject_id, "audit"), subject_id)
        return Scribe(trail=self, subject_id=subject_id, pseudonym=name, caller=caller)

    def of_anybody(self, subject_id: str, *, caller: Caller) -> Scribe:
        """`of`, also for a person whose keys are destroyed: then the entry names nobody."""
        try:
            return self.of(subject_id, caller=caller)
        except KeyUnavailable as error:
            if error.reason != "key_destroyed":
                raise
        return self.erased("", caller=caller)

    def erased(self, name: str, *, caller: Caller) -> Scribe:
        """The scribe of a subject whose keys are gone: the pseudonym was taken before, details are impossible."""
        known = name or None  # nothing is known of who came back by a backup and has no keys any more
        return Scribe(trail=self, subject_id=None, pseudonym=known, caller=caller, with_details=False)

    def expire_details(self, now: datetime) -> int:
        """Destroy the keys of details whose month ended 2,555 days ago or earlier; how many. Leaf hashes stay, so the
        log still verifies. Reads every key row."""
        before = now - DETAILS_KEPT - _MONTH
        due = [row.key_id for row in self.keyring.rows() if row.kind == "details" and row.created_at < before]
        for start in range(0, len(due), _BATCH):
            self.keyring.destroy(due[start : start + _BATCH])
        return len(due)

    def seal_details(self, event_id: str, *, key: bytes, key_id: str, details: Mapping[str, object]) -> bytes:
        text = json.dumps(details, sort_keys=True, separators=(",", ":")).encode()
        return envelope.seal(key, text, self._context(event_id, key_id), key_id)

    def open_details(self, event: AuditEvent) -> dict[str, object] | None:
        """The details of an entry; None where there are none or their key is gone."""
        if event.details is None or event.details_key_id is None:
            return None
        try:
            key = self._details_key(event.details_key_id)
            text = envelope.open(key, event.details, self._context(event.id, event.details_key_id))
        except (KeyUnavailable, IntegrityError):
            return None
        opened: dict[str, object] = json.loads(text)
        return opened

    def _details_key(self, key_id: str) -> bytes:
        if key_id == _TENANT_DETAILS_KEY:
            return self.keyring.tenant_key(_TENANT_DETAILS_KEY)
        return self.keyring.open_key(key_id)

    def _context(self, event_id: str, key_id: str) -> bytes:
        return encode_context(
            tenant=self.tenant, subject=key_id, record=event_id, kind=_DETAILS_KIND, version=_DETAILS_VERSION
        )


@dataclass(frozen=True, kw_only=True)
class Scribe:
    """Writes the entries of one operation."""

    trail: Trail
    subject_id: str | None
    pseudonym: str | None
    caller: Caller
    with_details: bool = True
    _keys: dict[str, tuple[str, bytes]] = field(default_factory=dict, repr=False)

    def warm(self, at: datetime) -> Scribe:
        """Open the key of details now, so that no key is opened while the database's lock is held."""
        self._key(at.strftime("%Y-%m"))
        return self

    def write(
        self,
        tx: UnitOfWork,
        kind: str,
        *,
        purpose: str | None = None,
        outcome: str = "ok",
        details: Mapping[str, object] | None = None,
    ) -> str:
        """Add one entry to the transaction; its id."""
        event_id = new_id("event", self.trail.random_bytes)
        at = tx.now()
        key_id, sealed = None, None
        if details and self.with_details:
            key_id, key = self._key(at.strftime("%Y-%m"))
            sealed = self.trail.seal_details(event_id, key=key, key_id=key_id, details=details)
        event = AuditEvent(
            id=event_id, tenant=self.trail.tenant, at=at, kind=kind, actor=self.caller.actor,
            channel=self.caller.channel, pseudonym=self.pseudonym, purpose=purpose, outcome=outcome,
            details_key_id=key_id, details=sealed,
        )  # fmt: skip
        tx.events.add(chain.with_leaf(event))
        return event_id

    def _key(self, month: str) -> tuple[str, bytes]:
        """Id and bytes of the details key; kept for this one operation only."""
        if month not in self._keys:
            if self.subject_id is None:
                self._keys[month] = (
                    _TENANT_DETAILS_KEY,
                    self.trail.keyring.tenant_key(_TENANT_DETAILS_KEY),
                )
            else:
                self._keys[month] = self.trail.keyring.details_key(self.subject_id, month)
        return self._keys[month]
