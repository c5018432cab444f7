"""A recording that was sealed before it was written anywhere: what its note says, and what became of a sealing.

The note is for the receiver alone: who speaks, how large the recording is, what kind of file it was. It is sealed
inside, always of the same size, because names of files and headers are read by whoever runs the storage (X25).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Literal

from sottovoce.errors import IntegrityError, UsageError
from sottovoce.model.recording import SourceFate
from sottovoce.model.strict_json import read_json

SUFFIX = ".sealed"
MAXIMUM_BYTES = 1 << 30  # of one recording, as services accept it by default

# sealed: written now. sealed_before: an earlier run has sealed the same file, and it is there, whole.
SealStatus = Literal["sealed", "sealed_before"]

# Why a key is not there for one recording, while it may well be for the next.
OF_ONE_RECORDING = frozenset({"recipient_unknown", "recipient_retired", "recipient_lost", "key_destroyed"})

_SUBJECT_CHARACTERS = 512
_NOTE_BYTES = 1 << 16  # more than any note has
_FORMAT = re.compile(r"[a-z0-9]{0,8}")
_FIELDS = {"subject", "size_bytes", "format"}


@dataclass(frozen=True, slots=True)
class SealedNote:
    """What the sender tells the receiver of one recording. Nobody vouches for it but who holds the public key."""

    size_bytes: int  # of the recording
    subject: str | None = field(default=None, repr=False)  # the operator's own id of who speaks
    format: str = ""  # a hint: how the file's name ended, e.g. "wav"

    def to_bytes(self, size_bytes: int) -> bytes:
        """As JSON filled up with spaces to exactly that size. UsageError where the id of the person is too long."""
        if self.subject is not None and not (
            self.subject.strip() and len(self.subject) <= _SUBJECT_CHARACTERS
        ):
            raise _bad_subject()
        content = {"subject": self.subject, "size_bytes": self.size_bytes, "format": self.format}
        try:
            text = json.dumps(content, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise _bad_subject() from None
        if len(text) > size_bytes:
            raise _bad_subject()
        return text.ljust(size_bytes)


@dataclass(frozen=True, slots=True)
class SealOutcome:
    """What became of one file of a `seal`."""

    status: SealStatus
    envelope_id: str  # hex; it names the sealed file
    place: str  # of the sealed file, below the folder that is uploaded
    source_bytes: int
    sealed_bytes: int
    source: SourceFate


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A recording in clear, for somebody who has to hear it."""

    path: str = field(repr=False)
    size_bytes: int
    subject: str | None = field(default=None, repr=False)  # as the note says


def parse_note(data: bytes) -> SealedNote | None:
    """The note of an envelope; None where there is none. IntegrityError (reason `note_malformed`) where what was sealed
    is no note: whoever has the public key can seal anything."""
    if not data:
        return None
    try:
        content = read_json(data, maximum_bytes=_NOTE_BYTES)
        if not isinstance(content, dict) or set(content) != _FIELDS:
            raise _malformed()
        subject, size_bytes, kind = content["subject"], content["size_bytes"], content["format"]
    except ValueError:
        raise _malformed() from None
    if type(size_bytes) is not int or not 0 <= size_bytes <= 1 << 50:
        raise _malformed()
    if not isinstance(kind, str) or not _FORMAT.fullmatch(kind):
        raise _malformed()
    return SealedNote(size_bytes, _checked_subject(subject), kind)


def format_hint(name: str) -> str:
    """How a file's name ends, where that may be told: `wav` of `Anna 1.WAV`; nothing of anything unusual."""
    _, dot, ending = name.rpartition(".")
    hint = ending.lower() if dot else ""
    return hint if _FORMAT.fullmatch(hint) else ""


def _checked_subject(subject: object) -> str | None:
    if subject is None:
        return None
    if not isinstance(subject, str) or not 1 <= len(subject) <= _SUBJECT_CHARACTERS or not subject.strip():
        raise _malformed()
    try:
        subject.encode()
    except UnicodeEncodeError:
        raise _malformed() from None
    return subject


def _bad_subject() -> UsageError:
    return UsageError(
        f"A contractor's id has 1 to {_SUBJECT_CHARACTERS} characters of valid Unicode.",
        hint="Give your own short id of the person.",
        reason="subject_id",
    )


def _malformed() -> IntegrityError:
    return IntegrityError("The note inside a sealed recording is none of ours.", reason="note_malformed")
