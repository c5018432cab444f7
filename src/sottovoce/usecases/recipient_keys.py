"""Recipient keys: what contractors seal to. The public half is handed out and pinned, the private half stays here.

A private half is stored sealed, with its name, under a key row of the short-lived store, which stands in no backup:
destroying the row is what makes every copy of everything that was sealed to the key unreadable.

Rules upheld here, in order:
1. The audit entry of a key commits before the key exists, and before it is gone.
2. A name may be a person's: it is sealed like the private half, and gone with it.
3. A date of destruction is never moved back; from that date on the key opens nothing, whether or not a sweep has come
   by. What is left of it is its id and that date, so that a file that comes too late is told why.
4. No private half is in a message, a repr or an answer.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sottovoce.errors import IntegrityError, KeyUnavailable, NotFound, StorageError, UsageError
from sottovoce.model.ids import RandomBytes
from sottovoce.model.subject import Caller
from sottovoce.ports import Blobs, Database, UnitOfWork
from sottovoce.sealing import envelope, recipients, suites
from sottovoce.sealing.context import encode_context
from sottovoce.sealing.suites import RecipientPrivate
from sottovoce.usecases.keyring import SHORT_LIVED_CLASS, Keyring, NewKey
from sottovoce.usecases.trail import Trail

GRACE_DAYS = 7
MAXIMUM_GRACE_DAYS = 90
SUITES = {"xwing": suites.SUITE_XWING, "x25519": suites.SUITE_X25519, "rsa": suites.SUITE_RSA}

_NAME_CHARACTERS = 200
_KEY, _RETIRED = ".key", ".retired"

RecipientState = Literal["active", "retiring", "destroyed", "lost"]


@dataclass(frozen=True, slots=True)
class RecipientKey:
    """A recipient key as it is shown. `document`: the public file; None where the private half is gone."""

    key_id: str  # hex
    state: RecipientState
    suite: int | None = None
    name: str | None = field(default=None, repr=False)
    created_at: datetime | None = None
    destroyed_at: datetime | None = None  # since when, or from when on, it opens nothing
    document: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Kept:
    private: RecipientPrivate
    prefix_key: bytes = field(repr=False)
    name: str | None = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class RecipientKeys:
    database: Database
    keyring: Keyring
    blobs: Blobs
    trail: Trail
    random_bytes: RandomBytes
    tenant: str
    orphan_grace: timedelta = timedelta(hours=1)

    def create(self, *, name: str | None = None, suite: str = "xwing", caller: Caller) -> RecipientKey:
        """A new key pair; its public document is in the answer. UsageError for an unknown suite or an odd name."""
        if suite not in SUITES:
            raise UsageError(f"There is no suite {suite!r}.", hint="Suites are xwing, x25519 and rsa.")
        if name is not None and not (1 <= len(name) <= _NAME_CHARACTERS and name.isprintable()):
            raise UsageError(f"A name has 1 to {_NAME_CHARACTERS} printable characters.")
        private = suites.generate_recipient(SUITES[suite], random_bytes=self.random_bytes)
        key_id = private.public().key_id.hex()
        with self.database.begin() as tx:
            kept = _Kept(private, self.random_bytes(recipients.PREFIX_KEY_BYTES), name, tx.now())
            self._tell(tx, "recipient_key.created", key_id, caller=caller)
        secret = self.keyring.new_key(
            NewKey(
                kind="recipient", key_class=SHORT_LIVED_CLASS, subject_id=None, key_id=self._row_id(key_id)
            )
        )
        sealed = envelope.seal(secret, _pack(kept), self._context(key_id), self._row_id(key_id))
        with self.blobs.writer(key_id + _KEY) as writer:
            writer.write(sealed)
        return _shown(key_id, kept, None)

    def list(self) -> tuple[RecipientKey, ...]:
        """Every key there is or was, oldest first; destroyed ones last."""
        ids = {info.path.rpartition(".")[0] for info in self.blobs.list() if info.finished}
        found = [self.show(key_id) for key_id in sorted(ids)]
        return tuple(
            sorted(found, key=lambda one: (one.created_at is None, one.created_at or one.destroyed_at))
        )

    def alive(self) -> int:
        """How many private halves there are that open something; none of them is opened."""
        now, found = self._now(), 0
        for info in list(self.blobs.list()):
            if info.finished and info.path.endswith(_KEY):
                key_id = info.path.removesuffix(_KEY)
                retired_at = self._retired_at(key_id)
                due = retired_at is not None and retired_at <= now
                found += not due and self.keyring.exists(self._row_id(key_id))
        return found

    def show(self, key_id: str) -> RecipientKey:
        """One key, by its id or the beginning of it. NotFound; UsageError where several begin like that."""
        key_id = self._whole(key_id)
        retired_at = self._retired_at(key_id)
        try:
            kept = self._kept(key_id)
        except KeyUnavailable as error:
            if error.reason not in ("recipient_unknown", "recipient_lost"):
                raise
            return RecipientKey(key_id, "destroyed" if retired_at else "lost", destroyed_at=retired_at)
        return _shown(key_id, kept, retired_at)

    def retire(self, key_id: str, *, grace_days: int = GRACE_DAYS, caller: Caller) -> RecipientKey:
        """Say when the private half is destroyed: after so many days (0: now). Until then what was sealed to it is
        still taken in, afterwards it is lost. NotFound, UsageError."""
        if not 0 <= grace_days <= MAXIMUM_GRACE_DAYS:
            raise UsageError(f"The grace is 0 to {MAXIMUM_GRACE_DAYS} days.")
        key_id = self._whole(key_id)
        before = self._retired_at(key_id)
        with self.database.begin() as tx:
            now = tx.now()
            at = min(before or datetime.max.replace(tzinfo=now.tzinfo), now + timedelta(days=grace_days))
            self._tell(tx, "recipient_key.retired", key_id, caller=caller, destroyed_at=at.isoformat())
        if before is not None and at <= now:  # first the key, so that no crash leaves it without a date
            self._destroy(key_id, caller=caller)
        self._set_retired(key_id, at, before)
        if before is None and at <= now:
            self._destroy(key_id, caller=caller)
        return self.show(key_id)

    def private(self, key_id: bytes) -> RecipientPrivate:
        """The private half, for one operation. KeyUnavailable with the reason `recipient_unknown` (none of ours),
        `recipient_retired` (its time is over) or `recipient_lost` (its key row is gone)."""
        named = key_id.hex()
        retired_at = self._retired_at(named)
        if retired_at is not None and retired_at <= self._now():
            raise KeyUnavailable(
                "This was sealed to a recipient key that is retired; nobody can open it any more.",
                hint="Ask the sender to seal it again, to the public key of today.",
                reason="recipient_retired",
            )
        return self._kept(named).private

    def tidy(self, *, thorough: bool = False, caller: Caller) -> int:
        """Destroy the private halves whose time is over; `thorough`: and rows that a crash has left without a key, for
        which every key row is read. How many."""
        now = self._now()
        due = [key_id for key_id, at in self._all_retired() if at <= now and self._remains(key_id)]
        for key_id in due:
            self._destroy(key_id, caller=caller)
        orphans = [
            row.key_id
            for row in (self.keyring.rows() if thorough else ())
            if row.kind == "recipient"
            and now - row.created_at > self.orphan_grace
            and not self.blobs.exists(row.key_id.rpartition(":")[2] + _KEY)
        ]
        return len(due) + self.keyring.destroy(orphans)

    # --- what is stored ----------------------------------------------------------------------------------------

    def _destroy(self, key_id: str, *, caller: Caller) -> None:
        """Row, then ciphertext, then the look again."""
        with self.database.begin() as tx:
            self._tell(tx, "recipient_key.destroyed", key_id, caller=caller)
        self.keyring.destroy([self._row_id(key_id)])
        self.blobs.delete(key_id + _KEY)
        if self._remains(key_id):
            raise StorageError(
                "A recipient key is still there after it was destroyed; it will be tried again.",
                hint="Check that the home is writable, then run `sottovoce sweep`.",
                reason="recipient_remains",
            )

    def _remains(self, key_id: str) -> bool:
        return self.keyring.exists(self._row_id(key_id)) or self.blobs.exists(key_id + _KEY)

    def _all_retired(self) -> Iterator[tuple[str, datetime]]:
        for info in list(self.blobs.list()):
            if info.finished and info.path.endswith(_RETIRED):
                key_id = info.path.removesuffix(_RETIRED)
                at = self._retired_at(key_id)
                if at is not None:
                    yield key_id, at

    def _retired_at(self, key_id: str) -> datetime | None:
        try:
            return datetime.fromisoformat(self._read(key_id + _RETIRED).decode("ascii"))
        except NotFound:
            return None
        except ValueError:
            raise _damaged() from None

    def _set_retired(self, key_id: str, at: datetime, before: datetime | None) -> None:
        if before is not None and before <= at:
            return
        self.blobs.delete(key_id + _RETIRED)
        with self.blobs.writer(key_id + _RETIRED) as writer:
            writer.write(at.isoformat().encode())

    def _kept(self, key_id: str) -> _Kept:
        try:
            sealed = self._read(key_id + _KEY)
        except NotFound:
            raise KeyUnavailable(
                "This was sealed to a recipient key that is none of this home's.",
                hint="Send it to whoever handed that key out; `sottovoce keys recipient list` shows ours.",
                reason="recipient_unknown",
            ) from None
        try:
            secret = self.keyring.open_key(self._row_id(key_id))
        except KeyUnavailable as error:
            if error.reason != "key_destroyed":
                raise
            raise KeyUnavailable(
                "The private half of this recipient key is lost: its row is in no key store.",
                hint="Ask the sender to seal it again, to a new public key.",
                reason="recipient_lost",
            ) from None
        return _unpack(envelope.open(secret, sealed, self._context(key_id)))

    def _read(self, path: str) -> bytes:
        with self.blobs.reader(path) as fd:
            return os.pread(fd, os.fstat(fd).st_size, 0)

    def _whole(self, beginning: str) -> str:
        """The id that begins like that."""
        ids = {info.path.rpartition(".")[0] for info in self.blobs.list() if info.finished}
        found = sorted(one for one in ids if beginning and one.startswith(beginning.lower()))
        if len(found) > 1:
            raise UsageError("Several recipient keys begin like that.", hint="Give more of the id.")
        if not found:
            raise NotFound(
                "There is no recipient key of this id.", hint="`sottovoce keys recipient list` shows them."
            )
        return found[0]

    def _now(self) -> datetime:
        with self.database.read() as tx:
            return tx.now()

    def _tell(self, tx: UnitOfWork, kind: str, key_id: str, *, caller: Caller, **details: object) -> None:
        self.trail.of(None, caller=caller).write(tx, kind, details={"key_id": key_id, **details})

    def _row_id(self, key_id: str) -> str:
        return f"rcp:{self.tenant}:{key_id}"

    def _context(self, key_id: str) -> bytes:
        return encode_context(
            tenant=self.tenant, subject="", record=key_id, kind="recipient-key", version="1"
        )


def _shown(key_id: str, kept: _Kept, retired_at: datetime | None) -> RecipientKey:
    public = kept.private.public()
    return RecipientKey(
        key_id, "active" if retired_at is None else "retiring", public.suite, kept.name, kept.created_at,
        retired_at, recipients.public_document(public, kept.prefix_key),
    )  # fmt: skip


def _pack(kept: _Kept) -> bytes:
    content = {
        "suite": kept.private.suite, "private": base64.b64encode(kept.private.data).decode(), "name": kept.name,
        "prefix_key": kept.prefix_key.hex(), "created_at": kept.created_at.isoformat(),
    }  # fmt: skip
    return json.dumps(content).encode()


def _unpack(data: bytes) -> _Kept:
    try:
        content = json.loads(data)
        return _Kept(
            RecipientPrivate(content["suite"], base64.b64decode(content["private"])),
            bytes.fromhex(content["prefix_key"]), content["name"],
            datetime.fromisoformat(content["created_at"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged() from None


def _damaged() -> IntegrityError:
    return IntegrityError("What is stored of a recipient key is damaged.", reason="recipient_damaged")
