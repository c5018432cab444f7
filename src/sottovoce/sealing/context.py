"""What a sealed thing belongs to, as bytes that no other thing can share.

Rules upheld here:
- One context, one encoding, and never two contexts with the same encoding (injective): every field carries
  its length, so that ("ab", "c") and ("a", "bc") differ.
- Every use has a label of its own, so that bytes made for one use mean nothing in another.
- The context is authenticated, not stored: whoever moves a row to another person, record or kind cannot
  open it there (X25, M12).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sottovoce.errors import UsageError

CONTEXT_LABEL = "sottovoce/context/1"


@dataclass(frozen=True, slots=True)
class Context:
    """Whose and what: the five words that a sealed body is bound to."""

    tenant: str
    subject: str  # the internal subject id
    record: str  # the id of the record or recording
    kind: str  # what is sealed, e.g. "features", "insight", "recording"
    version: str  # of the format inside the seal, e.g. "1"

    def to_bytes(self) -> bytes:
        return encode_context(
            tenant=self.tenant, subject=self.subject, record=self.record, kind=self.kind, version=self.version
        )


def encode_context(*, tenant: str, subject: str, record: str, kind: str, version: str) -> bytes:
    """The canonical context of one sealed body. UsageError where a word is not text that UTF-8 can hold."""
    return encode_fields(CONTEXT_LABEL, tenant, subject, record, kind, version)


def encode_fields(label: str, *fields: str | bytes | int | None) -> bytes:
    """Label and fields, each as type byte, length (4 bytes, big-endian) and content; injective in all of them.

    Types: `s` text as UTF-8, `b` bytes, `i` an integer of 8 bytes, `n` nothing (no content).
    """
    return b"".join(_encode_field(value) for value in (label, *fields))


def _encode_field(value: str | bytes | int | None) -> bytes:
    kind, content = _content(value)
    return kind + struct.pack(">I", len(content)) + content


def _content(value: str | bytes | int | None) -> tuple[bytes, bytes]:
    if value is None:
        return b"n", b""
    if isinstance(value, int):
        return b"i", struct.pack(">q", value)
    if isinstance(value, bytes):
        return b"b", value
    try:
        return b"s", value.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("A context holds text that is valid Unicode only.") from None
