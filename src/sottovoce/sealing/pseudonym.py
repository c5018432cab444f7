"""Keyed names: the operator's outside id as a blind index, a subject in the audit log, for a recipient, a retry key.

Rules upheld here:
- HMAC-SHA-256 (RFC 2104) under a key that the caller takes from the key tree; each use has a label of its own, so
  that equal inputs give unrelated outputs in different uses.
- These are pseudonyms: whoever holds the key and guesses an id can check the guess. Erasing a subject's audit key
  is what unlinks the audit log (X39); the blind index is unlinked by deleting its row (X25).
- A recipient knows people and sessions by names under a key of that recipient alone: two recipients who put their
  data together find no name in common (C15a). What else is keyed for a recipient is derived from that key by label.
- Outside ids are compared in Unicode NFC: the composed and the decomposed form of a name are the same person.
  Case and spaces count.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

from sottovoce.errors import UsageError
from sottovoce.model.keys import KEY_BYTES
from sottovoce.sealing.context import encode_fields

_BLIND_INDEX_LABEL = "sottovoce/blind-index/1"
_AUDIT_LABEL = "sottovoce/audit-pseudonym/1"
_RECIPIENT_LABEL = "sottovoce/recipient-name/1"
_RECTIFICATION_LABEL = "sottovoce/rectification/1"
_RECIPIENT_KEY_LABEL = "sottovoce/recipient-key/1"
_IDEMPOTENCY_LABEL = "sottovoce/idempotency-key/1"


def blind_index(key: bytes, outside_id: str, *, tenant: str = "default") -> str:
    """Index of the operator's own id of a person, 64 hex characters, under the tenant's key `blind_index`."""
    if not outside_id:
        raise UsageError("The id of a person cannot be empty.")
    return _keyed_name(key, _BLIND_INDEX_LABEL, tenant, unicodedata.normalize("NFC", outside_id))


def audit_pseudonym(audit_key: bytes, subject_id: str) -> str:
    """How the audit log calls a subject, 64 hex characters, under the subject's own audit key."""
    return _keyed_name(audit_key, _AUDIT_LABEL, subject_id)


def opaque_name(recipient_key: bytes, internal_id: str) -> str:
    """How one recipient knows a person or a session, 64 hex characters, under that recipient's own key."""
    return _keyed_name(recipient_key, _RECIPIENT_LABEL, internal_id)


def rectification_name(evidence_key: bytes, subject_id: str) -> str:
    """How feeds call the corrections of one person, under the person's own evidence key: it dies with them, and links
    what was told to nothing else."""
    return _keyed_name(evidence_key, _RECTIFICATION_LABEL, subject_id)


def recipient_subkey(recipient_key: bytes, use: str) -> bytes:
    """The 32-byte key for one other use with a recipient, e.g. "acknowledgement"."""
    return bytes.fromhex(_keyed_name(recipient_key, _RECIPIENT_KEY_LABEL, use))


def idempotency_hash(key: bytes, *, scope: str, idempotency_key: str) -> str:
    """What is stored of a client's retry key, 64 hex characters; `scope` says whose and of which verb it is."""
    return _keyed_name(key, _IDEMPOTENCY_LABEL, scope, idempotency_key)


def _keyed_name(key: bytes, label: str, *fields: str) -> str:
    if len(key) != KEY_BYTES:
        raise UsageError(f"A pseudonym key has {KEY_BYTES} bytes.")
    return hmac.new(key, encode_fields(label, *fields), hashlib.sha256).hexdigest()
