"""Keys as the hall uses them: the only place that joins the key provider, the two key stores and the key tree.

The long-lived store is backed up; the short-lived one (keys of class `audio`) never is. Both stand under epochs of
the same numbers, each with an EK of its own, wrapped by KEK(n) of the provider.

Rules upheld here:
- Only EKs are cached (`usecases/epochs.py`); subject and record keys never outlive one operation.
- Deleting keys asks neither the provider nor an EK: erasure goes on while the provider is down (F16, I10).
- No key is made for a subject whose own key is gone; subject keys are made with the subject and never again.
- A key that is gone is KeyUnavailable with the reason `key_destroyed`; no message names a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from sottovoce.errors import Conflict, KeyUnavailable, UsageError
from sottovoce.model.keys import (
    KEY_BYTES,
    SUBJECT_KEY_CLASSES,
    DestructionPromise,
    EpochAges,
    KeyKind,
    KeyRow,
)
from sottovoce.ports import Clock, Entropy, Keys, KeyStore
from sottovoce.sealing.keytree import INNER_KINDS, unwrap_row, wrap_row
from sottovoce.sealing.pseudonym import audit_pseudonym
from sottovoce.sealing.receipt import Identity, Receipt, replacement_statement
from sottovoce.usecases.epochs import EpochGone, Epochs, Progress, RotationReport, Step, current_row

SHORT_LIVED_CLASS = "audio"
TENANT_CLASS = "tenant"
TENANT_KEYS = ("blind_index", "audit")  # of outside ids; of audit details that concern nobody

_ATTEMPTS = 3  # an operation meets at most one rotation; the third attempt is for a very unlucky one
_IDENTITY_WINDOW = 16  # numbers of identities looked up at once

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be made."""

    kind: KeyKind
    key_class: str
    subject_id: str | None
    key_id: str


@dataclass(frozen=True, slots=True)
class EpochStatus:
    store: str  # "long_lived" or "short_lived"
    epoch: int
    current: bool
    began_at: str  # ISO 8601
    rows: int


@dataclass(frozen=True, slots=True)
class EpochAge:
    """Where the age of the current epoch stands."""

    due_at: datetime | None  # when a sweep ends it; None: by hand only
    due: bool
    overdue: bool  # its promised end has passed, and it stands: an alarm


@dataclass(frozen=True, slots=True)
class KeysStatus:
    """What `keys status` shows; no key, no id of a person."""

    epoch: int | None
    epochs: tuple[EpochStatus, ...]
    rows: dict[str, int]
    provider: dict[str, str]
    rotation_pending: bool


@dataclass(frozen=True, kw_only=True)
class Keyring:
    """Makes, opens, destroys and rotates keys. Safe from several threads."""

    provider: Keys
    long_lived: KeyStore
    short_lived: KeyStore
    random_bytes: Entropy
    clock: Clock
    tenant: str = "default"
    ek_cache_s: float = 300.0
    epoch_days: int = 0  # after so many a sweep ends the epoch; 0: it ends when somebody rotates
    _epochs: Epochs = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        epochs = Epochs(
            provider=self.provider,
            long_lived=self.long_lived,
            short_lived=self.short_lived,
            random_bytes=self.random_bytes,
            clock=self.clock,
            tenant=self.tenant,
            ek_cache_s=self.ek_cache_s,
            ages=EpochAges(self.epoch_days),
        )
        object.__setattr__(self, "_epochs", epochs)

    # --- set-up -----------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """First epoch in both stores and the tenant's keys. Idempotent; finishes what a crash in it left."""
        self._epochs.set_up()
        self._make_missing(
            NewKey("tenant", TENANT_CLASS, None, self._tenant_key_id(name)) for name in TENANT_KEYS
        )
        if not self._identity_numbers():
            self._make_missing((self._new_identity_key(1),))

    # --- people -----------------------------------------------------------------------------------------------

    def is_set_up(self) -> bool:
        """Whether the long-lived store has an epoch; False of a home in use means that its key store is gone."""
        return bool(self.long_lived.epochs())

    def make_subject(self, subject_id: str) -> None:
        """The subject's key of every class. Idempotent; what a crash in it left is completed."""
        keys = [
            NewKey("subject", key_class, subject_id, subject_key_id(subject_id, key_class))
            for key_class in SUBJECT_KEY_CLASSES
        ]
        self._make_missing(keys)

    def has_subject(self, subject_id: str) -> bool:
        """Whether every subject key is there, so that something can be written for the subject."""
        ids = [subject_key_id(subject_id, key_class) for key_class in SUBJECT_KEY_CLASSES]
        return len(self._rows(ids)) == len(ids)

    def holds_anything_of(self, subject_id: str) -> bool:
        """Whether any key of the subject is left in a live store: False is what erasure has to see."""
        return any(True for _, store in self._epochs.stores() for _ in store.list(subject_id=subject_id))

    def subject_key(self, subject_id: str, key_class: str) -> bytes:
        """The 32-byte subject key of a class. Use it, and let it go."""
        return self.open_key(subject_key_id(subject_id, key_class))

    def destroy_subject(self, subject_id: str) -> int:
        """Every key of the subject in both stores, audio first; how many there were. Idempotent."""
        return self.short_lived.delete_subject(subject_id) + self.long_lived.delete_subject(subject_id)

    # --- keys of records, recordings and details --------------------------------------------------------------

    def new_key(self, key: NewKey) -> bytes:
        """One new random key, durable when this returns. Conflict (reason `key_exists`) where the id is taken."""
        return self.new_keys((key,))[key.key_id]

    def new_keys(self, keys: Sequence[NewKey]) -> dict[str, bytes]:
        """New random keys by their id, all in one transaction, so all of one store (audio, or not audio).

        KeyUnavailable (reason `key_destroyed`) where the subject's key is gone: no key for who was erased.
        """
        if not keys:
            return {}
        if len({key.key_class == SHORT_LIVED_CLASS for key in keys}) > 1:
            raise UsageError("Keys of audio and other keys stand in different stores; make them apart.")
        secrets = {key.key_id: self.random_bytes(KEY_BYTES) for key in keys}
        self._retrying(lambda: self._insert(keys, secrets))
        return secrets

    def adopt_key(self, key: NewKey, secret: bytes) -> None:
        """A row for a key that somebody else has drawn (the content key of a client-sealed recording), durable when
        this returns. UsageError unless it has 32 bytes; else as new_key()."""
        if len(secret) != KEY_BYTES:
            raise UsageError(f"A key has {KEY_BYTES} bytes.")
        self._retrying(lambda: self._insert((key,), {key.key_id: secret}))

    def open_key(self, key_id: str) -> bytes:
        """The 32-byte key of a row; KeyUnavailable (reason `key_destroyed`) where the row is gone."""
        return self.open_keys((key_id,))[key_id]

    def open_keys(self, key_ids: Sequence[str]) -> dict[str, bytes]:
        """Keys by id, all or KeyUnavailable."""
        return self._retrying(lambda: self._open(key_ids))

    def exists(self, key_id: str) -> bool:
        """Whether the row is in one of the live key stores; asks no provider."""
        return bool(self._rows((key_id,)))

    def rows(self, *, subject_id: str | None = None) -> Iterator[KeyRow]:
        """Every row (of one subject) of both stores, still wrapped; for collectors and checks."""
        for _, store in self._epochs.stores():
            yield from store.list(subject_id=subject_id)

    def destroy(self, key_ids: Sequence[str]) -> int:
        """Delete the rows from both stores; how many there were. Idempotent; asks no provider."""
        return self.short_lived.delete(key_ids) + self.long_lived.delete(key_ids)

    def details_key(self, subject_id: str, month: str) -> tuple[str, bytes]:
        """Id and key that seal the audit details of a subject in a month ("2026-01"), made when first needed."""
        key_id = details_key_id(self.subject_key(subject_id, "audit"), month)
        if not self.exists(key_id):
            self._make_missing((NewKey("details", "audit", subject_id, key_id),))
        return key_id, self.open_key(key_id)

    def tenant_key(self, name: str) -> bytes:
        """A key of the operator, e.g. "blind_index"."""
        return self.open_key(self._tenant_key_id(name))

    # --- the identity that signs receipts ---------------------------------------------------------------------

    def identity(self) -> Identity:
        """Who signs. Unchanged by rotation; after replace_identity() still the old one, until it is retired."""
        numbers = self._identity_numbers()
        if not numbers:
            raise _destroyed()
        return self._open_identity(numbers[0])

    def replace_identity(self) -> Receipt:
        """Make the next identity and the statement by which the old one hands over. Idempotent until retired.

        Keep the statement durably, then call retire_identity(): only then does the new one sign.
        """
        old, *following = self._identity_numbers() or [0]
        if not old:
            raise _destroyed()
        if not following:
            self._make_missing((self._new_identity_key(old + 1),))
        new_id = self._identity_key_id(old + 1)
        return replacement_statement(
            old=self._open_identity(old),
            new_public_key=self._open_identity(old + 1).public_key,
            at=self.long_lived.get((new_id,))[new_id].created_at,
        )

    def retire_identity(self) -> Identity:
        """Destroy the old identity after a replacement; the new one signs from now on. Idempotent."""
        numbers = self._identity_numbers()
        self.destroy([self._identity_key_id(number) for number in numbers[:-1]])
        return self.identity()

    # --- epochs -----------------------------------------------------------------------------------------------

    def rotate(
        self, *, at: datetime | None = None, progress: Progress | None = None, step: Step | None = None
    ) -> RotationReport:
        """Begin a new epoch, re-wrap every live row, destroy the KEKs of the epochs before; see usecases/epochs.py.

        Readers and writers go on meanwhile. KeyUnavailable where the provider does not open the current epoch:
        then nothing was changed. `at`: the time that the new epoch begins by (now, where it is not given).
        """
        return self._epochs.rotate(at=at, progress=progress, step=step)

    def rotate_due(self, now: datetime) -> RotationReport | None:
        """Finish what was interrupted, and end the epoch where its age is due; None where neither was to be done."""
        return self._epochs.rotate_due(now)

    def resume_rotation(
        self, *, at: datetime | None = None, step: Step | None = None
    ) -> RotationReport | None:
        """Finish a rotation that was interrupted; None where there is none. To be called when a home is opened."""
        return self._epochs.resume(at=at, step=step)

    def is_rotation_pending(self) -> bool:
        """Whether a rotation was begun and is not finished: running now, or interrupted."""
        return self._epochs.is_pending()

    def epoch_age(self, now: datetime) -> EpochAge:
        """Where the age of the epoch stands; asks no provider."""
        epochs = self._epochs
        return EpochAge(epochs.due_at(), epochs.is_due(now), epochs.is_overdue(now))

    def is_rotation_small(self, rows: int) -> bool:
        """Whether a rotation would move so many rows or fewer."""
        return self._epochs.has_at_most(rows)

    def destroyed_by(self, at: datetime) -> DestructionPromise:
        """Until when a copy of the key store opens what is erased at `at`, for receipts, manifests and status pages.

        Never raises for the provider's sake. No date where rotation by age is off, where the epoch began without a
        promised end, where a promised end has passed, or where the provider does not say which KEKs are left.
        """
        return self._epochs.destroyed_by(at)

    def describe_destruction(self) -> str:
        """What destroying a KEK guarantees with this provider, and when, in plain words."""
        return self.provider.describe()["destruction"]

    def status(self) -> KeysStatus:
        """Epochs, rows and the provider's words; reads every row of both stores."""
        epochs: list[EpochStatus] = []
        kinds: dict[str, int] = {}
        for name, store in self._epochs.stores():
            rows_of: dict[int, int] = {}
            for row in store.list():
                rows_of[row.epoch] = rows_of.get(row.epoch, 0) + 1
                kinds[row.kind] = kinds.get(row.kind, 0) + 1
            epochs += [
                EpochStatus(
                    name, row.epoch, row.current, row.created_at.isoformat(), rows_of.get(row.epoch, 0)
                )
                for row in store.epochs()
            ]
        return KeysStatus(
            epoch=max((epoch.epoch for epoch in epochs if epoch.current), default=None),
            epochs=tuple(epochs),
            rows=dict(sorted(kinds.items())),
            provider=self.provider.describe(),
            rotation_pending=self._epochs.is_pending(),
        )

    # --- rows -------------------------------------------------------------------------------------------------

    def _store_of(self, key_class: str) -> tuple[str, KeyStore]:
        return self._epochs.stores()[0 if key_class == SHORT_LIVED_CLASS else 1]

    def _rows(self, key_ids: Sequence[str]) -> dict[str, tuple[str, KeyStore, KeyRow]]:
        """Rows by id with their stores. Most keys are long-lived: the other store is asked for what is missing."""
        found: dict[str, tuple[str, KeyStore, KeyRow]] = {}
        for name, store in reversed(self._epochs.stores()):
            missing = [key_id for key_id in key_ids if key_id not in found]
            if missing:
                found |= {key_id: (name, store, row) for key_id, row in store.get(missing).items()}
        return found

    def _make_missing(self, keys: Iterable[NewKey]) -> None:
        """Make those keys that do not exist, in one transaction for each store, audio first."""
        missing = [key for key in keys if not self.exists(key.key_id)]
        for audio in (True, False):
            self._make_or_find([key for key in missing if (key.key_class == SHORT_LIVED_CLASS) is audio])

    def _make_or_find(self, keys: Sequence[NewKey]) -> None:
        """Of two who make the same keys at the same time the first makes them, the second finds them."""
        try:
            self.new_keys(keys)
        except Conflict as error:
            if error.reason != "key_exists":
                raise
            if len(keys) > 1:
                self._make_missing(keys)

    def _insert(self, keys: Sequence[NewKey], secrets: dict[str, bytes]) -> None:
        name, store = self._store_of(keys[0].key_class)
        epoch = current_row(store)
        epoch_key = self._epochs.alive_epoch_key(name, store, epoch)
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
        found = self._rows(key_ids)
        if len(found) < len(set(key_ids)):
            raise _destroyed()
        subject_keys = self._subject_keys_for(row for _, _, row in found.values())
        return {
            key_id: unwrap_row(
                row,
                epoch_key=self._epochs.epoch_key_of(name, store, row.epoch),
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

    def make_tenant_key(self, name: str) -> bytes:
        """A new key of the operator, e.g. for a recipient of data. Conflict (reason `key_exists`)."""
        return self.new_key(NewKey("tenant", TENANT_CLASS, None, self._tenant_key_id(name)))

    def has_tenant_key(self, name: str) -> bool:
        return self.exists(self._tenant_key_id(name))

    def destroy_tenant_key(self, name: str) -> int:
        """Destroy it; how many there were."""
        return self.destroy([self._tenant_key_id(name)])

    def _tenant_key_id(self, name: str) -> str:
        return f"ten:{self.tenant}:{name}"

    def _identity_key_id(self, number: int) -> str:
        return self._tenant_key_id(f"identity-{number}")

    def _new_identity_key(self, number: int) -> NewKey:
        return NewKey("tenant", TENANT_CLASS, None, self._identity_key_id(number))

    def _open_identity(self, number: int) -> Identity:
        return Identity(self.open_key(self._identity_key_id(number)))

    def _identity_numbers(self) -> list[int]:
        """Numbers of the identities that exist: one, or two in a row between a replacement and the retirement."""
        for start in range(1, 64 * _IDENTITY_WINDOW, _IDENTITY_WINDOW):
            if found := self._existing_identities(range(start, start + _IDENTITY_WINDOW)):
                return self._existing_identities((found[0], found[0] + 1))
        return []

    def _existing_identities(self, numbers: Iterable[int]) -> list[int]:
        ids = {self._identity_key_id(number): number for number in numbers}
        return sorted(ids[key_id] for key_id in self.long_lived.get(list(ids)))


def subject_key_id(subject_id: str, key_class: str) -> str:
    """Id of the row of a subject key. UsageError for an unknown class."""
    if key_class not in SUBJECT_KEY_CLASSES:
        raise UsageError(f"There is no class of keys named {key_class!r}.")
    return f"key:{subject_id}:{key_class}"


def details_key_id(audit_key: bytes, month: str) -> str:
    """It stands in clear in audit entries: made with the subject's own audit key, so that nothing links it to the
    subject once that key is destroyed."""
    return f"aud:{audit_pseudonym(audit_key, f'details {month}')[:32]}"


def _parent_id(key: NewKey | KeyRow) -> str | None:
    """Id of the subject key that a key hangs below, None where it stands directly below the epoch key."""
    if key.kind not in INNER_KINDS:
        return None
    if key.subject_id is None:
        raise UsageError("Keys of this kind belong to a subject.")
    return subject_key_id(key.subject_id, key.key_class)


def _destroyed() -> KeyUnavailable:
    return KeyUnavailable("A key that this needs was destroyed, or never existed.", reason="key_destroyed")
