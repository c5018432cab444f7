"""Recipient keys as small text files: the public half to be handed out and pinned, the private half to be kept.

    {"format": "sottovoce-recipient/1", "suite": 3, "key_id": "...", "public_key": "...", "prefix_key": "..."}

The prefix key (16 random bytes, where there is one) gives each contractor a folder of their own in the storage: who
lists the storage learns neither who they are nor, without this file, can test a guess. It seals nothing.

Rules upheld here:
- The key id is the SHA-256 of the public key; a file whose id is not that of its key is refused (X28).
- The suite stands in the file: a key is never tried under another.
- What is wrong with a file is not said in detail, and nothing of a private half is in a message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from typing import Any

from sottovoce.errors import IntegrityError
from sottovoce.model.strict_json import read_json
from sottovoce.sealing.context import encode_fields
from sottovoce.sealing.suites import SEALED_KEY_BYTES, RecipientPrivate, RecipientPublic

PUBLIC_FORMAT = "sottovoce-recipient/1"
PRIVATE_FORMAT = "sottovoce-recipient-private/1"
PREFIX_KEY_BYTES = 16
_PREFIX_LABEL = "sottovoce/contractor-prefix/1"
_PREFIX_CHARACTERS = 26
_MAX_CHARACTERS = 1 << 16
_PREFIX_KEY = re.compile(f"[0-9a-f]{{{2 * PREFIX_KEY_BYTES}}}")


def public_document(recipient: RecipientPublic, prefix_key: bytes = b"") -> str:
    """The text of a public key file."""
    more = {"prefix_key": prefix_key.hex()} if prefix_key else {}
    return _document(
        PUBLIC_FORMAT, recipient.suite, recipient.key_id.hex(), "public_key", recipient.data, **more
    )


def private_document(private: RecipientPrivate) -> str:
    """The text of a private key file: mode 0600, never in a backup that others read."""
    return _document(
        PRIVATE_FORMAT, private.suite, private.public().key_id.hex(), "private_key", private.data
    )


def parse_public(text: str) -> RecipientPublic:
    """The key of a public key file; IntegrityError (reason `recipient_malformed`) where it is none."""
    suite, key_id, data = _parse(text, PUBLIC_FORMAT, "public_key")
    recipient = RecipientPublic(suite, data)
    if recipient.key_id.hex() != key_id:
        raise _malformed()
    return recipient


def parse_prefix_key(text: str) -> bytes:
    """The prefix key of a public key file. Files without one give the key id, which is no secret at all."""
    recipient = parse_public(text)
    named = _read(text).get("prefix_key")
    if named is None:
        return recipient.key_id
    if not isinstance(named, str) or not _PREFIX_KEY.fullmatch(named):
        raise _malformed()
    return bytes.fromhex(named)


def prefix_of(prefix_key: bytes, contractor: str | None) -> str:
    """The folder of a contractor's sealed files: 26 characters of a-z and 2-7."""
    made = hmac.new(prefix_key, encode_fields(_PREFIX_LABEL, contractor), hashlib.sha256).digest()
    return base64.b32encode(made).decode().lower()[:_PREFIX_CHARACTERS]


def parse_private(text: str) -> RecipientPrivate:
    """The key of a private key file; IntegrityError (reason `recipient_malformed`) where it is none."""
    suite, key_id, data = _parse(text, PRIVATE_FORMAT, "private_key")
    private = RecipientPrivate(suite, data)
    if private.public().key_id.hex() != key_id:
        raise _malformed()
    return private


def _document(kind: str, suite: int, key_id: str, field: str, data: bytes, **more: str) -> str:
    content = {
        "format": kind,
        "suite": suite,
        "key_id": key_id,
        field: base64.b64encode(data).decode(),
        **more,
    }
    return json.dumps(content, indent=2) + "\n"


def _parse(text: str, kind: str, field: str) -> tuple[int, str, bytes]:
    try:
        content = _read(text)
        suite, key_id, data = content["suite"], content["key_id"], content[field]
        if content["format"] != kind or type(suite) is not int or suite not in SEALED_KEY_BYTES:
            raise _malformed()
        return suite, str(key_id), base64.b64decode(data, validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise _malformed() from None


def _read(text: str) -> dict[str, Any]:
    try:
        content = read_json(text, maximum_bytes=_MAX_CHARACTERS)
    except ValueError:
        raise _malformed() from None
    if not isinstance(content, dict):
        raise _malformed()
    return content


def _malformed() -> IntegrityError:
    return IntegrityError(
        "This is not a recipient key file.",
        hint="A public one begins with the format sottovoce-recipient/1.",
        reason="recipient_malformed",
    )
