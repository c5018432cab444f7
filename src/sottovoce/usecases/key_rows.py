"""Keys as rows of the two key stores: made, found, opened and deleted, while epochs begin and end meanwhile.

What is made and destroyed, and when, is decided in `usecases/keyring.py`; which epoch key wraps a row, in `epochs.py`.

Rules upheld here:
- No key is made for a subject whose own key is gone.
- Deleting rows asks neither the provider nor an EK (F16, I10).
- A key that is gone is KeyUnavailable with the reason `key_destroyed`; no message names a person.
- Whoever meets a rotation tries again; nothing is inserted under an epoch that is retired (F28).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sottovoce.errors import Conflict, KeyUnavailable, UsageError
from sottovoce.model.keys import KEY_BYTES, SUBJECT_KEY_CLASSES, KeyKind, KeyRow
from sottovoce.ports import Clock, Entropy, KeyStore
from sottovoce.sealing.keytree import INNER_KINDS, unwrap_row, wrap_row
from sottovoce.usecases.epochs import EpochGone, Epochs, current_row

SHORT_LIVED_CLASS = "audio"
TENANT_CLASS = "tenant"

# An attempt fails only where a whole rotation of the epoch fell into it: on a busy machine, while others rotate without
# a pause, a few in a row do (tests/faults/rotation_load.py), and that must not be the reader's failure.
_ATTEMPTS = 16

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be made."""

    kind: KeyKind
    key_class: str
    subject_id: str | None
    key_id: str


@dataclass(frozen=True, kw_only=True)
class KeyRows:
    """The rows of both stores. Safe from several threads."""

    epochs: Epochs
    random_bytes: Entropy
    clock: Clock
    tenant: str

    def find(self, key_ids: Sequence[str]) -> dict[str, tuple[str, KeyStore, KeyRow]]:
        """Rows by id with their stores. Most keys are long-lived: the other store is asked for what is missing."""
        found: dict[str, tuple[str, KeyStore, KeyRow]] = {}
        for name, store in reversed(self.epochs.stores()):
            missing = [key_id for key_id in key_ids if key_id not in found]
            if missing:
                found |= {key_id: (name, store, row) for key_id, row in store.get(missing).items()}
        return found

    def open(self, key_ids: Sequence[str]) -> dict[str, bytes]:
        """Keys by id, all or KeyUnavailable (reason `key_destroyed`)."""
        return self._retrying(lambda: self._open(key_ids))

    def make(self, keys: Sequence[NewKey]) -> dict[str, bytes]:
        """New random keys by their id, in one transaction of one store. Conflict (reason `key_exists`), KeyUnavailable
        (reason `key_destroyed`) where the subject's key is gone; UsageError where they are not of one store."""
        if not keys:
            return {}
        if len({key.key_class == SHORT_LIVED_CLASS for key in keys}) > 1:
            raise UsageError("Keys of audio and other keys stand in different stores; make them apart.")
        secrets = {key.key_id: self.random_bytes(KEY_BYTES) for key in keys}
        self._retrying(lambda: self._insert(keys, secrets))
        return secrets

    def adopt(self, key: NewKey, secret: bytes) -> None:
        """A row for a key that somebody else has drawn. UsageError unless it has 32 bytes; else as make()."""
        if len(secret) != KEY_BYTES:
            raise UsageError(f"A key has {KEY_BYTES} bytes.")
        self._retrying(lambda: self._insert((key,), {key.key_id: secret}))

    def make_missing(self, keys: Iterable[NewKey]) -> None:
        """Make those keys that do not exist, in one transaction for each store, audio first."""
        missing = [key for key in keys if not self.find((key.key_id,))]
        for audio in (True, False):
            self._make_or_find([key for key in missing if (key.key_class == SHORT_LIVED_CLASS) is audio])

    def delete(self, key_ids: Sequence[str]) -> int:
        """Delete the rows from both stores, audio first; how many there were. Idempotent."""
        return sum(store.delete(key_ids) for _, store in self.epochs.stores())

    def _make_or_find(self, keys: Sequence[NewKey]) -> None:
        """Of two who make the same keys at the same time the first makes them, the second finds them."""
        try:
            self.make(keys)
        except Conflict as error:
            if error.reason != "key_exists":
                raise
            if len(keys) > 1:
                self.make_missing(keys)

    def _store_of(self, key_class: str) -> tuple[str, KeyStore]:
        return self.epochs.stores()[0 if key_class == SHORT_LIVED_CLASS else 1]

    def _insert(self, keys: Sequence[NewKey], secrets: dict[str, bytes]) -> None:
        name, store = self._store_of(keys[0].key_class)
        epoch = current_row(store)
        epoch_key = self.epochs.alive_epoch_key(name, store, epoch)
        subject_keys = self._subject_keys_for(keys)
        rows = [
            wrap_row(
                secrets[key.key_id],
                epoch_key=epoch_key,
                epoch=epoch.epoch,
                key_id=key.key_id,
                tenant=self.tenant,
                kind=key.kind,
                key_class=key.key_class,
                subject_id=key.subject_id,
                created_at=self.clock.now(),
                random_bytes=self.random_bytes,
                subject_key=subject_keys.get(_parent_id(key) or ""),
            )
            for key in keys
        ]
        store.insert(rows)

    def _subject_keys_for(self, keys: Iterable[NewKey | KeyRow]) -> dict[str, bytes]:
        parents = {parent for key in keys if (parent := _parent_id(key)) is not None}
        return self._open(sorted(parents)) if parents else {}

    def _open(self, key_ids: Sequence[str]) -> dict[str, bytes]:
        found = self.find(key_ids)
        if len(found) < len(set(key_ids)):
            raise key_destroyed()
        subject_keys = self._subject_keys_for(row for _, _, row in found.values())
        return {
            key_id: unwrap_row(
                row,
                epoch_key=self.epochs.epoch_key_of(name, store, row.epoch),
                subject_key=subject_keys.get(_parent_id(row) or ""),
            )
            for key_id, (name, store, row) in found.items()
        }

    def _retrying(self, operation: Callable[[], _Result]) -> _Result:
        """Once more where a rotation came between: insert under a retired epoch, or read a row of an ended one."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return operation()
            except EpochGone:
                continue
            except Conflict as error:
                if error.reason != "epoch_retired":
                    raise
        try:
            return operation()
        except EpochGone:
            raise Conflict("The key store changes its epochs too fast.", reason="epoch_retired") from None


def subject_key_id(subject_id: str, key_class: str) -> str:
    """Id of the row of a subject key. UsageError for an unknown class."""
    if key_class not in SUBJECT_KEY_CLASSES:
        raise UsageError(f"There is no class of keys named {key_class!r}.")
    return f"key:{subject_id}:{key_class}"


def tenant_key_id(tenant: str, name: str) -> str:
    """Id of the row of a key of the operator."""
    return f"ten:{tenant}:{name}"


def new_tenant_key(key_id: str) -> NewKey:
    """A key of the operator, to be made."""
    return NewKey("tenant", TENANT_CLASS, None, key_id)


def key_destroyed() -> KeyUnavailable:
    return KeyUnavailable("A key that this needs was destroyed, or never existed.", reason="key_destroyed")


def _parent_id(key: NewKey | KeyRow) -> str | None:
    """Id of the subject key that a key hangs below, None where it stands directly below the epoch key."""
    if key.kind not in INNER_KINDS:
        return None
    if key.subject_id is None:
        raise UsageError("Keys of this kind belong to a subject.")
    return subject_key_id(key.subject_id, key.key_class)
