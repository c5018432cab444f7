"""Wrapping of keys: EK(n) on the outside, the subject's key on the inside; pure functions over rows.

Rules upheld here:
- Every wrap is AES-256-GCM-SIV (RFC 8452) under a fresh random nonce; a repeated nonce would reveal no more
  than that two wraps are equal.
- The inside is bound to tenant, key id, subject, class and kind, the outside to the same and the epoch: a row
  moved to another id, subject, class, tenant or epoch does not open (X25).
- A new epoch touches the outside only (M14): re-wrapping needs no subject key and never sees an inner key.
- Randomness is passed in; nothing is cached; no repr shows a key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from sottovoce.errors import IntegrityError, KeyUnavailable, UsageError
from sottovoce.model.keys import KEY_BYTES, KeyKind, KeyRow
from sottovoce.sealing.context import encode_field, encode_fields

RandomBytes = Callable[[int], bytes]
_Encode = Callable[[str | int | None], bytes]

NONCE_BYTES = 12
TAG_BYTES = 16
WRAP_OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES

# Keys of these kinds hang below a subject key; the others stand directly below the epoch key.
INNER_KINDS: frozenset[KeyKind] = frozenset({"record", "recording", "details"})

_INNER_LABEL = "sottovoce/key-tree/inner/1"
_OUTER_LABEL = "sottovoce/key-tree/outer/1"
_EPOCH_KEY_LABEL = "sottovoce/key-tree/epoch-key/1"


def wrap_row(
    key: bytes,
    *,
    epoch_key: bytes,
    epoch: int,
    key_id: str,
    tenant: str,
    kind: KeyKind,
    key_class: str,
    subject_id: str | None,
    created_at: datetime,
    random_bytes: RandomBytes,
    subject_key: bytes | None = None,
) -> KeyRow:
    """The row of a 32-byte key. Kinds of INNER_KINDS need `subject_key`, the others must not have one."""
    row = KeyRow(
        key_id=key_id,
        tenant=tenant,
        kind=kind,
        key_class=key_class,
        subject_id=subject_id,
        epoch=epoch,
        wrapped=b"",
        created_at=created_at,
    )
    inner = _check_key(key)
    if _needs_subject_key(row, subject_key):
        inner = wrap_key(_check_key(subject_key), key, _inner_context(row), random_bytes=random_bytes)
    outer = wrap_key(_check_key(epoch_key), inner, _outer_context(row), random_bytes=random_bytes)
    return replace(row, wrapped=outer)


def unwrap_row(row: KeyRow, *, epoch_key: bytes, subject_key: bytes | None = None) -> bytes:
    """The 32-byte key of a row. IntegrityError where row, epoch key and subject key do not belong together."""
    inner = unwrap_key(epoch_key, row.wrapped, _outer_context(row))
    if not _needs_subject_key(row, subject_key):
        return _check_unwrapped(inner)
    return _check_unwrapped(unwrap_key(_check_key(subject_key), inner, _inner_context(row)))


def rewrap_outer(
    row: KeyRow, *, old_ek: bytes, new_ek: bytes, new_epoch: int, random_bytes: RandomBytes
) -> KeyRow:
    """The same key under another epoch. IntegrityError where the row does not open under `old_ek`."""
    (moved,) = rewrap_rows(
        (row,), old_ek=old_ek, new_ek=new_ek, new_epoch=new_epoch, random_bytes=random_bytes
    )
    return moved


def rewrap_rows(
    rows: Sequence[KeyRow], *, old_ek: bytes, new_ek: bytes, new_epoch: int, random_bytes: RandomBytes
) -> list[KeyRow]:
    """rewrap_outer() for many rows: each cipher is made once, each word encoded once."""
    old, new = AESGCMSIV(_check_key(old_ek)), AESGCMSIV(_check_key(new_ek))
    encode = _encoder()
    label, new_field = encode(_OUTER_LABEL), encode(new_epoch)
    nonces = random_bytes(NONCE_BYTES * len(rows))
    moved = []
    for number, row in enumerate(rows):
        place = label + _outer_words(row, encode)
        inner = _decrypt(old, row.wrapped, place + encode(row.epoch))
        nonce = nonces[number * NONCE_BYTES : (number + 1) * NONCE_BYTES]
        wrapped = nonce + new.encrypt(nonce, inner, place + new_field)
        moved.append(
            KeyRow(
                row.key_id,
                row.tenant,
                row.kind,
                row.key_class,
                row.subject_id,
                new_epoch,
                wrapped,
                row.created_at,
            )
        )
    return moved


def _encoder() -> _Encode:
    """encode_field() that remembers; for one batch, so what it remembers is bounded."""
    return cache(encode_field)


def epoch_key_context(*, tenant: str, store: str, epoch: int) -> bytes:
    """What the provider binds a wrapped EK to: tenant, which key store, and the number of the epoch."""
    return encode_fields(_EPOCH_KEY_LABEL, tenant, store, epoch)


def wrap_key(key: bytes, plaintext: bytes, context: bytes, *, random_bytes: RandomBytes) -> bytes:
    """nonce(12) | AES-256-GCM-SIV ciphertext and tag(16), under a 32-byte key with `context` as AAD."""
    nonce = random_bytes(NONCE_BYTES)
    return nonce + AESGCMSIV(_check_key(key)).encrypt(nonce, plaintext, context)


def unwrap_key(key: bytes, wrapped: bytes, context: bytes) -> bytes:
    """The plaintext of wrap_key(). IntegrityError for any other key, context or bytes."""
    return _decrypt(AESGCMSIV(_check_key(key)), wrapped, context)


def _decrypt(cipher: AESGCMSIV, wrapped: bytes, context: bytes) -> bytes:
    if len(wrapped) < WRAP_OVERHEAD_BYTES:
        raise IntegrityError("A wrapped key is too short to be one.")
    try:
        return cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
    except InvalidTag:
        raise IntegrityError(
            "A wrapped key does not open: it was altered, moved, or wrapped otherwise."
        ) from None


def _inner_context(row: KeyRow) -> bytes:
    return encode_fields(_INNER_LABEL, row.tenant, row.key_id, row.subject_id, row.key_class, row.kind)


def _outer_context(row: KeyRow) -> bytes:
    return _outer_place(row) + encode_field(row.epoch)


def _outer_place(row: KeyRow) -> bytes:
    return encode_field(_OUTER_LABEL) + _outer_words(row, encode_field)


def _outer_words(row: KeyRow, encode: _Encode) -> bytes:
    """encode_fields() of the words; `encode` may remember those that most rows share."""
    try:
        return b"".join(
            (
                encode(row.tenant), encode_field(row.key_id), encode(row.subject_id), encode(row.key_class),
                encode(row.kind),
            )
        )  # fmt: skip
    except UnicodeEncodeError:
        raise IntegrityError("A key row holds words that are not valid Unicode.") from None


def _needs_subject_key(row: KeyRow, subject_key: bytes | None) -> bool:
    needed = row.kind in INNER_KINDS
    if needed and subject_key is None:
        raise KeyUnavailable(
            "This key hangs below a subject's key, and that one is not there.", reason="key_destroyed"
        )
    if not needed and subject_key is not None:
        raise UsageError("Keys of this kind stand directly below the epoch key.")
    return needed


def _check_key(key: bytes | None) -> bytes:
    if key is None or len(key) != KEY_BYTES:
        raise UsageError(f"A key of the key tree has {KEY_BYTES} bytes.")
    return key


def _check_unwrapped(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise IntegrityError("A key row does not hold a key of the right size.")
    return key
