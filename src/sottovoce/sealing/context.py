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

_LENGTH, _INTEGER = struct.Struct(">I"), struct.Struct(">q")


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
    try:
        return b"".join([encode_field(value) for value in (label, *fields)])
    except UnicodeEncodeError:
        raise UsageError("A context holds text that is valid Unicode only.") from None


def encode_field(value: str | bytes | int | None) -> bytes:
    """One more field, to be appended to encode_fields()."""
    if isinstance(value, str):
        content = value.encode()
        return b"s%b%b" % (_LENGTH.pack(len(content)), content)
    if isinstance(value, bytes):
        return b"b%b%b" % (_LENGTH.pack(len(value)), value)
    if value is None:
        return b"n" + _LENGTH.pack(0)
    return b"i" + _LENGTH.pack(_INTEGER.size) + _INTEGER.pack(value)
