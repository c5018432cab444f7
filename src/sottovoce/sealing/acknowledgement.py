"""A recipient's acknowledgement: "everything up to entry N of my feed is applied here".

    {"format": "sottovoce-acknowledgement/1", "recipient": "rcp_...", "through": 7, "hash": ..., "applied_at": ...,
     "mac": ...}

HMAC-SHA-256 (RFC 2104) over the text `sottovoce/acknowledgement/1`, a zero byte, and the canonical JSON of everything
but the mac, under a key that was given to this recipient alone. The operator holds that key too: it proves to the
operator that the recipient said so, and proves nothing to a third party.

Rules upheld here:
- What is not exactly of this form is refused before its mac is looked at; comparing macs takes the same time whatever
  they hold.
- An acknowledgement names the hash of its last entry: it cannot be given for entries that the recipient has not seen.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sottovoce.errors import IntegrityError
from sottovoce.model.canonical import JsonValue, canonical_json

ACKNOWLEDGEMENT_FORMAT = "sottovoce-acknowledgement/1"
_LABEL = b"sottovoce/acknowledgement/1\x00"
_FIELDS = {"format", "recipient", "through", "hash", "applied_at", "mac"}
_HEX = re.compile(r"[0-9a-f]{64}")
_LARGEST = 2**53 - 1
_MAXIMUM_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Claim:
    """What an acknowledgement says, unverified."""

    recipient_id: str
    through: int
    hash: str
    applied_at: datetime
    applied_at_text: str
    mac: str


def sign(key: bytes, *, recipient_id: str, through: int, last_hash: str, applied_at: datetime) -> str:
    """The text of an acknowledgement."""
    content = _content(recipient_id, through, last_hash, applied_at.isoformat(timespec="seconds"))
    return json.dumps({**content, "mac": _mac(key, content)}, indent=2, sort_keys=True) + "\n"


def parse(text: str) -> Claim:
    """IntegrityError (reason `acknowledgement_malformed`) where it is not exactly of the format."""
    try:
        if len(text) > _MAXIMUM_CHARACTERS:
            raise ValueError
        data = json.loads(text, object_pairs_hook=_once)
        if not isinstance(data, dict) or set(data) != _FIELDS or data["format"] != ACKNOWLEDGEMENT_FORMAT:
            raise ValueError
        applied_at = datetime.fromisoformat(data["applied_at"])
        if (
            applied_at.tzinfo is None
            or not _is_number(data["through"])
            or not isinstance(data["recipient"], str)
        ):
            raise ValueError
        if not _HEX.fullmatch(data["hash"]) or not _HEX.fullmatch(data["mac"]):
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise IntegrityError(
            "This is not an acknowledgement of a feed.", reason="acknowledgement_malformed"
        ) from None
    return Claim(
        data["recipient"], data["through"], data["hash"], applied_at, data["applied_at"], data["mac"]
    )


def check(claim: Claim, key: bytes) -> None:
    """IntegrityError (reason `acknowledgement_forged`) where it was not made with that key, or was altered."""
    content = _content(claim.recipient_id, claim.through, claim.hash, claim.applied_at_text)
    if not hmac.compare_digest(_mac(key, content), claim.mac):
        raise IntegrityError(
            "The acknowledgement was not made with this recipient's key, or was altered.",
            reason="acknowledgement_forged",
        )


def _content(recipient_id: str, through: int, last_hash: str, applied_at: str) -> dict[str, JsonValue]:
    return {
        "format": ACKNOWLEDGEMENT_FORMAT, "recipient": recipient_id, "through": through, "hash": last_hash,
        "applied_at": applied_at,
    }  # fmt: skip


def _mac(key: bytes, content: dict[str, JsonValue]) -> str:
    return hmac.new(key, _LABEL + canonical_json(content), hashlib.sha256).hexdigest()


def _is_number(value: object) -> bool:
    return type(value) is int and 0 < value <= _LARGEST


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found
