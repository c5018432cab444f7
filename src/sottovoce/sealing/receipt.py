"""Receipts and statements: signed JSON that a person keeps and anyone checks offline.

    {"format": "sottovoce-receipt/1", "kind": ..., "body": {...}, "signer": {"key_id": ...}, "signature": base64}

Signed is the text `sottovoce/receipt/1`, a zero byte, and the canonical JSON (RFC 8785 without floats) of
everything but the signature. Ed25519 (RFC 8032). A body holds internal ids, states, times, purposes and sizes; it
may hold a `checkpoint` of the audit log.

Rules upheld here:
- A receipt is verified against keys that were pinned before, never against one that it brings along: there is no
  place in it for a key. A signer who is not pinned is UnknownSigner, whatever the signature says.
- What is not exactly a receipt (another field, a double key, a float, a second spelling of the signature) is
  refused: one flipped bit fails (C4b).
- Replacing the identity is a receipt of kind `identity` signed by the key that is replaced; who pinned the first
  key follows the chain.
- The seed has no repr.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast, get_args

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sottovoce.errors import IntegrityError, UnknownSigner, UsageError
from sottovoce.model.canonical import JsonValue, canonical_json
from sottovoce.model.strict_json import read_json

ReceiptKind = Literal[
    "recording", "consent", "termination", "erasure", "expiry", "identity", "export", "import", "request", "model",
    "backup", "feed",
]  # fmt: skip
RECEIPT_KINDS: tuple[str, ...] = get_args(ReceiptKind)

RECEIPT_FORMAT = "sottovoce-receipt/1"
IDENTITY_FORMAT = "sottovoce-identity/1"
SEED_BYTES = 32

_SIGNING_LABEL = b"sottovoce/receipt/1\x00"
_LARGEST_INTEGER = 2**53 - 1  # what every JSON reader agrees on (RFC 7493, 2.2)
_MAX_TEXT_BYTES = 1 << 20
_DEEPEST = 64  # levels of lists and objects: whoever shows or stores a receipt may walk through it


@dataclass(frozen=True, slots=True)
class Identity:
    """The key pair that signs: an Ed25519 seed of 32 bytes."""

    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise UsageError(f"The seed of an identity has {SEED_BYTES} bytes.")

    @property
    def public_key(self) -> bytes:
        """32 bytes (RFC 8032)."""
        return self._private().public_key().public_bytes_raw()

    @property
    def key_id(self) -> str:
        return key_id_of(self.public_key)

    def sign_bytes(self, message: bytes) -> bytes:
        """The 64-byte signature of a message that begins with a label of its own."""
        return self._private().sign(message)

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


@dataclass(frozen=True, slots=True)
class Receipt:
    """A signed receipt; one that came out of verify() or sign() is sound."""

    kind: str
    body: Mapping[str, JsonValue]
    key_id: str  # of the signer
    signature: bytes = field(repr=False)  # 64 bytes

    def to_dict(self) -> dict[str, JsonValue]:
        return {**_unsigned(self.kind, self.body, self.key_id), "signature": _to_base64(self.signature)}

    def to_json(self) -> str:
        """The receipt as a text file for people: indented, sorted, ending with a newline."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def to_bytes(self) -> bytes:
        """The receipt in canonical JSON."""
        return canonical_json(self.to_dict())


def sign(kind: str, body: Mapping[str, JsonValue], *, identity: Identity) -> Receipt:
    """A receipt over `body`. UsageError for an unknown kind or a body that canonical JSON cannot hold."""
    if kind not in RECEIPT_KINDS:
        raise UsageError(f"There is no receipt of kind {kind!r}.")
    message = _signed_bytes(kind, body, identity.key_id)
    return Receipt(kind=kind, body=body, key_id=identity.key_id, signature=identity.sign_bytes(message))


def verify(text: str | bytes, *, trusted: Mapping[str, bytes]) -> Receipt:
    """The receipt in `text`, checked against pinned keys (`trusted`: key id -> public key, see trusted_keys()).

    UnknownSigner where none of them is the signer's; IntegrityError where the text is no receipt or was altered.
    """
    receipt = parse_receipt(text)
    public_key = trusted.get(receipt.key_id)
    if public_key is None:
        raise UnknownSigner(
            "Nothing pinned says whose signature this is.",
            hint="Give the signer's identity file with --key, or verify in the home that issued the receipt.",
        )
    _check_signature(receipt, public_key)
    return receipt


def parse_receipt(text: str | bytes) -> Receipt:
    """What a receipt claims, unverified. IntegrityError where it is not exactly of the format."""
    data = _parse_json(text)
    if set(data) != {"format", "kind", "body", "signer", "signature"} or data["format"] != RECEIPT_FORMAT:
        raise _malformed()
    kind, body, signer = data["kind"], data["body"], data["signer"]
    if kind not in RECEIPT_KINDS or not isinstance(body, dict) or not isinstance(signer, dict):
        raise _malformed()
    if set(signer) != {"key_id"} or not isinstance(signer["key_id"], str):
        raise _malformed()
    return Receipt(kind, body, signer["key_id"], _from_base64(data["signature"], 64))


def key_id_of(public_key: bytes) -> str:
    """How a signer is named: SHA-256 of the public key, 64 hex characters."""
    return hashlib.sha256(public_key).hexdigest()


def identity_document(
    first_public_key: bytes, *, created_at: datetime, statements: Sequence[Receipt] = ()
) -> str:
    """The public identity file: the key that was pinned at creation, and every replacement since, in order."""
    document: dict[str, JsonValue] = {
        "format": IDENTITY_FORMAT,
        "public_key": _to_base64(first_public_key),
        "key_id": key_id_of(first_public_key),
        "created_at": created_at.isoformat(),
        "statements": [statement.to_dict() for statement in statements],
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def with_statement(identity_document: str, statement: Receipt) -> str:
    """The identity file with one more replacement at its end; unchanged where that one is there already.

    IntegrityError where the statement does not follow from the keys before it.
    """
    trusted_keys(identity_document)
    data = _parse_json(identity_document)
    if statement.to_dict() not in data["statements"]:
        data["statements"].append(statement.to_dict())
    text = json.dumps(data, indent=2, sort_keys=True) + "\n"
    trusted_keys(text)
    return text


def replacement_statement(*, old: Identity, new_public_key: bytes, at: datetime) -> Receipt:
    """The statement by which the old key says which key signs from now on."""
    body: dict[str, JsonValue] = {
        "statement": "replaced_by",
        "key_id": key_id_of(new_public_key),
        "public_key": _to_base64(new_public_key),
        "replaces": old.key_id,
        "at": at.isoformat(),
    }
    return sign("identity", body, identity=old)


def trusted_keys(identity_document: str | bytes) -> dict[str, bytes]:
    """Key id -> public key of a pinned identity file: its first key, then every one that the chain leads to.

    The last of them is the signer of today. IntegrityError where the file is none or a statement does not follow.
    """
    data = _parse_json(identity_document)
    if set(data) != {"format", "public_key", "key_id", "created_at", "statements"}:
        raise _malformed()
    if data["format"] != IDENTITY_FORMAT or not isinstance(data["statements"], list):
        raise _malformed()
    public_key = _from_base64(data["public_key"], 32)
    if data["key_id"] != key_id_of(public_key):
        raise _malformed()
    keys = {key_id_of(public_key): public_key}
    for statement in data["statements"]:
        public_key = _follow(statement, public_key)
        keys[key_id_of(public_key)] = public_key
    return keys


def _follow(statement: object, public_key: bytes) -> bytes:
    """The key that a statement of `public_key` hands over to."""
    receipt = parse_receipt(json.dumps(statement))
    if receipt.kind != "identity" or receipt.key_id != key_id_of(public_key):
        raise IntegrityError("A statement of this identity file was not made by the key before it.")
    _check_signature(receipt, public_key)
    new_public_key = _from_base64(receipt.body.get("public_key"), 32)
    if receipt.body.get("statement") != "replaced_by" or receipt.body.get("key_id") != key_id_of(
        new_public_key
    ):
        raise _malformed()
    return new_public_key


def _check_signature(receipt: Receipt, public_key: bytes) -> None:
    message = _signed_bytes(receipt.kind, receipt.body, receipt.key_id)
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(receipt.signature, message)
    except (InvalidSignature, ValueError):
        raise IntegrityError(
            "The signature does not fit: the receipt was altered after it was signed.",
            reason="signature_broken",
        ) from None


def _unsigned(kind: str, body: Mapping[str, JsonValue], key_id: str) -> dict[str, JsonValue]:
    return {"format": RECEIPT_FORMAT, "kind": kind, "body": body, "signer": {"key_id": key_id}}


def _signed_bytes(kind: str, body: Mapping[str, JsonValue], key_id: str) -> bytes:
    _check_plain(body, _DEEPEST - 1)
    return _SIGNING_LABEL + canonical_json(_unsigned(kind, body, key_id))


def _check_plain(value: object, levels: int = _DEEPEST) -> None:
    """UsageError for an integer that others would round, or for nesting without end."""
    if levels < 0:
        raise UsageError(f"Signed data is nested at most {_DEEPEST} levels deep.")
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        raise UsageError("Signed data holds integers below 2^53 only.")
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            _check_plain(item, levels - 1)


def _parse_json(text: str | bytes) -> dict[str, Any]:
    """A JSON object without floats, doubled keys, oversized integers or broken text. IntegrityError else."""
    try:
        data = read_json(text, maximum_bytes=_MAX_TEXT_BYTES)
        _check_plain(data)
        canonical_json(data)  # it holds no floats
    except (ValueError, UsageError):
        raise _malformed() from None
    if not isinstance(data, dict):
        raise _malformed()
    return cast("dict[str, Any]", data)


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(value: object, size_bytes: int) -> bytes:
    """Exactly `size_bytes` in their one canonical spelling."""
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        raise _malformed() from None
    if len(data) != size_bytes or _to_base64(data) != value:
        raise _malformed()
    return data


def _malformed() -> IntegrityError:
    return IntegrityError("This is not a receipt or identity file of sottovoce.", reason="receipt_malformed")
