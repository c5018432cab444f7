"""Keys as the hall uses them: the only place that joins the key provider, the two key stores and the key tree.

The long-lived store is backed up; the short-lived one (keys of class `audio`) never is. Both stand under epochs of
the same numbers, each with an EK of its own, wrapped by KEK(n) of the provider.

What to make and what to destroy is decided here; rows are made and opened in `usecases/key_rows.py`, epochs begin and
end in `epochs.py`, the key that signs is replaced in `signing_identity.py`.

Rules upheld here:
- Only EKs are cached (`usecases/epochs.py`); subject and record keys never outlive one operation.
- Deleting keys asks neither the provider nor an EK: erasure goes on while the provider is down (F16, I10).
- No key is made for a subject whose own key is gone; subject keys are made with the subject and never again.
- A key that is gone is KeyUnavailable with the reason `key_destroyed`; no message names a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sottovoce.model.keys import SUBJECT_KEY_CLASSES, DestructionPromise, EpochAges, KeyRow
from sottovoce.ports import Clock, Entropy, Keys, KeyStore
from sottovoce.sealing.pseudonym import audit_pseudonym
from sottovoce.sealing.receipt import Identity, Receipt
from sottovoce.usecases.epochs import Epochs, Progress, RotationReport, Step
from sottovoce.usecases.key_rows import (
    SHORT_LIVED_CLASS,
    TENANT_CLASS,
    KeyRows,
    NewKey,
    new_tenant_key,
    subject_key_id,
    tenant_key_id,
)
from sottovoce.usecases.signing_identity import SigningIdentity

__all__ = [
    "SHORT_LIVED_CLASS",
    "TENANT_CLASS",
    "TENANT_KEYS",
    "EpochAge",
    "EpochStatus",
    "Keyring",
    "KeysStatus",
    "NewKey",
    "details_key_id",
    "subject_key_id",
]

TENANT_KEYS = ("blind_index", "audit")  # of outside ids; of audit details that concern nobody


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
    _rows: KeyRows = field(init=False, repr=False, compare=False)
    _identity: SigningIdentity = field(init=False, repr=False, compare=False)

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
        rows = KeyRows(epochs=epochs, random_bytes=self.random_bytes, clock=self.clock, tenant=self.tenant)
        identity = SigningIdentity(rows=rows, long_lived=self.long_lived, tenant=self.tenant)
        object.__setattr__(self, "_epochs", epochs)
        object.__setattr__(self, "_rows", rows)
        object.__setattr__(self, "_identity", identity)

    # --- set-up -----------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """First epoch in both stores and the tenant's keys. Idempotent; finishes what a crash in it left."""
        self._epochs.set_up()
        self._rows.make_missing(new_tenant_key(self._tenant_key_id(name)) for name in TENANT_KEYS)
        self._identity.make_first()

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
        self._rows.make_missing(keys)

    def has_subject(self, subject_id: str) -> bool:
        """Whether every subject key is there, so that something can be written for the subject."""
        ids = [subject_key_id(subject_id, key_class) for key_class in SUBJECT_KEY_CLASSES]
        return len(self._rows.find(ids)) == len(ids)

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
        return self._rows.make(keys)

    def adopt_key(self, key: NewKey, secret: bytes) -> None:
        """A row for a key that somebody else has drawn (the content key of a client-sealed recording), durable when
        this returns. UsageError unless it has 32 bytes; else as new_key()."""
        self._rows.adopt(key, secret)

    def open_key(self, key_id: str) -> bytes:
        """The 32-byte key of a row; KeyUnavailable (reason `key_destroyed`) where the row is gone."""
        return self.open_keys((key_id,))[key_id]

    def open_keys(self, key_ids: Sequence[str]) -> dict[str, bytes]:
        """Keys by id, all or KeyUnavailable."""
        return self._rows.open(key_ids)

    def exists(self, key_id: str) -> bool:
        """Whether the row is in one of the live key stores; asks no provider."""
        return bool(self._rows.find((key_id,)))

    def rows(self, *, subject_id: str | None = None) -> Iterator[KeyRow]:
        """Every row (of one subject) of both stores, still wrapped; for collectors and checks."""
        for _, store in self._epochs.stores():
            yield from store.list(subject_id=subject_id)

    def destroy(self, key_ids: Sequence[str]) -> int:
        """Delete the rows from both stores; how many there were. Idempotent; asks no provider."""
        return self._rows.delete(key_ids)

    def details_key(self, subject_id: str, month: str) -> tuple[str, bytes]:
        """Id and key that seal the audit details of a subject in a month ("2026-01"), made when first needed."""
        key_id = details_key_id(self.subject_key(subject_id, "audit"), month)
        if not self.exists(key_id):
            self._rows.make_missing((NewKey("details", "audit", subject_id, key_id),))
        return key_id, self.open_key(key_id)

    def tenant_key(self, name: str) -> bytes:
        """A key of the operator, e.g. "blind_index"."""
        return self.open_key(self._tenant_key_id(name))

    def make_tenant_key(self, name: str) -> bytes:
        """A new key of the operator, e.g. for a recipient of data. Conflict (reason `key_exists`)."""
        return self.new_key(new_tenant_key(self._tenant_key_id(name)))

    def has_tenant_key(self, name: str) -> bool:
        return self.exists(self._tenant_key_id(name))

    def destroy_tenant_key(self, name: str) -> int:
        """Destroy it; how many there were."""
        return self.destroy([self._tenant_key_id(name)])

    # --- the identity that signs receipts ---------------------------------------------------------------------

    def identity(self) -> Identity:
        """Who signs. Unchanged by rotation; after replace_identity() still the old one, until it is retired."""
        return self._identity.current()

    def replace_identity(self) -> Receipt:
        """Make the next identity and the statement by which the old one hands over. Idempotent until retired.

        Keep the statement durably, then call retire_identity(): only then does the new one sign.
        """
        return self._identity.replace()

    def retire_identity(self) -> Identity:
        """Destroy the old identity after a replacement; the new one signs from now on. Idempotent."""
        return self._identity.retire()

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

    def _tenant_key_id(self, name: str) -> str:
        return tenant_key_id(self.tenant, name)


def details_key_id(audit_key: bytes, month: str) -> str:
    """It stands in clear in audit entries: made with the subject's own audit key, so that nothing links it to the
    subject once that key is destroyed."""
    return f"aud:{audit_pseudonym(audit_key, f'details {month}')[:32]}"
