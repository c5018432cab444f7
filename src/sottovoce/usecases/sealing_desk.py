"""The sealing desk: a recording is sealed to a recipient's public key before anything of it is written.

It runs where the recording was made, on a machine that has no home, no network and no key but the public one.

Rules upheld here, in order:
1. Nothing of a recording is written in clear, and no name says whose it is: sealed files are named by their envelope
   id, in a folder that only the recipient and the contractor can tell (M16, X25).
2. A file that changes while it is read gives no sealed file.
3. The same file is sealed once, however often this is interrupted and begun again: its name is decided by the file.
4. A source is unlinked only after its sealed file has been read back from the disk, opened, and found to be the whole
   recording. One that an earlier run has sealed is sealed again for that: its key was kept by nobody.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from sottovoce.errors import AudioRejected, InputUnreadable, IntegrityError, SottovoceError, StorageError
from sottovoce.model.ids import RandomBytes
from sottovoce.model.recording import SourceFate
from sottovoce.model.sealed_file import MAXIMUM_BYTES, SUFFIX, SealedNote, SealOutcome
from sottovoce.sealing import client_body
from sottovoce.sealing.context import encode_fields
from sottovoce.sealing.recipients import prefix_of
from sottovoce.sealing.suites import (
    FIXED_BYTES,
    NOTE_BYTES,
    SEALED_KEY_BYTES,
    SEALED_NOTE_BYTES,
    RecipientPublic,
)
from sottovoce.voice.rejections import rejected

_IDENTITY_LABEL = "sottovoce/sealed-file/1"


class SealSource(Protocol):
    """A recording on the contractor's own machine."""

    @property
    def size_bytes(self) -> int: ...

    def read_into(self, buffer: memoryview, /) -> int: ...

    def identity(self) -> bytes:
        """What tells this version of this file from every other on this machine."""
        ...

    def unchanged(self) -> bool: ...

    def discard(self) -> bool: ...


class SealWriter(Protocol):
    """A sealed file that has no name yet."""

    def write(self, data: memoryview, /) -> None: ...

    def settle(self) -> None:
        """Durable now; read_into() begins at the start."""
        ...

    def read_into(self, buffer: memoryview, /) -> int: ...


class SealFolder(Protocol):
    """Where sealed files go (adapters/sealed_files.py)."""

    def envelope_id(self, words: bytes) -> bytes: ...

    def size_of(self, place: str) -> int | None: ...

    def writer(self, place: str) -> AbstractContextManager[SealWriter]: ...


@dataclass(frozen=True, kw_only=True)
class SealingDesk:
    folder: SealFolder
    recipient: RecipientPublic
    prefix_key: bytes = field(repr=False)
    random_bytes: RandomBytes
    limit_bytes: int = MAXIMUM_BYTES

    def seal(
        self, source: SealSource, *, subject: str | None, format_hint: str = "", discard_source: bool = False
    ) -> SealOutcome:
        """Seal one recording, or say that it was sealed before. Safe to call from several threads.

        AudioRejected (reasons `empty`, `too_large`), InputUnreadable (`file_changed`, `file_unreadable`),
        StorageError (`storage_full`, `sealed_folder`, `sealed_damaged`), UsageError (`subject_id`).
        """
        note = SealedNote(source.size_bytes, subject, format_hint).to_bytes(NOTE_BYTES)
        if source.size_bytes == 0:
            raise rejected("empty")
        if source.size_bytes > self.limit_bytes:
            raise rejected("too_large")
        envelope_id = self._envelope_id(source, subject)
        place = f"{prefix_of(self.prefix_key, subject)}/{envelope_id.hex()}{SUFFIX}"
        sealed_bytes = self._offset + client_body.sealed_body_bytes(self.recipient.suite, source.size_bytes)
        if self.folder.size_of(place) == sealed_bytes and not discard_source:
            return SealOutcome(
                "sealed_before", envelope_id.hex(), place, source.size_bytes, sealed_bytes, "left_in_place"
            )
        with self.folder.writer(place) as writer:
            self._write(source, writer, envelope_id, note, prove=discard_source)
        fate: SourceFate = "left_in_place"
        if discard_source:
            fate = "unlinked" if source.discard() else "unlink_not_confirmed"
        return SealOutcome("sealed", envelope_id.hex(), place, source.size_bytes, sealed_bytes, fate)

    def prefix(self, subject: str | None) -> str:
        """The folder that a contractor's sealed files go to."""
        return prefix_of(self.prefix_key, subject)

    @property
    def _offset(self) -> int:
        return FIXED_BYTES + SEALED_KEY_BYTES[self.recipient.suite] + SEALED_NOTE_BYTES

    def _envelope_id(self, source: SealSource, subject: str | None) -> bytes:
        words = encode_fields(_IDENTITY_LABEL, self.recipient.key_id, subject, source.identity())
        return self.folder.envelope_id(words)

    def _write(
        self, source: SealSource, writer: SealWriter, envelope_id: bytes, note: bytes, *, prove: bool
    ) -> None:
        try:
            content_key, client_hash, size_bytes = client_body.seal_client_stream(
                self.recipient, source.read_into, writer.write, envelope_id=envelope_id, note=note,
                random_bytes=self.random_bytes, limit_bytes=source.size_bytes,
            )  # fmt: skip
        except AudioRejected:  # it grows while it is read
            raise _changed() from None
        if size_bytes != source.size_bytes or not source.unchanged():
            raise _changed()
        if prove:
            self._prove(writer, content_key, client_hash, size_bytes)

    def _prove(self, writer: SealWriter, content_key: bytes, client_hash: bytes, size_bytes: int) -> None:
        """Read back what was written, and open it to its end."""
        writer.settle()
        try:
            if hashlib.sha256(_read(writer, self._offset)).digest() != client_hash:
                raise _not_whole()
            whole = client_body.open_client_stream(
                writer.read_into, lambda _: None, content_key=content_key, suite=self.recipient.suite,
                client_hash=client_hash,
            )  # fmt: skip
        except IntegrityError:
            raise _not_whole() from None
        if whole != size_bytes:
            raise _not_whole()


def _read(writer: SealWriter, size_bytes: int) -> bytes:
    """The first so many bytes of what was written; fewer where it ends before."""
    data, filled = bytearray(size_bytes), 0
    while filled < size_bytes and (count := writer.read_into(memoryview(data)[filled:])):
        filled += count
    return bytes(data[:filled])


def _changed() -> SottovoceError:
    return InputUnreadable(
        "The file changed while it was read; nothing was sealed.",
        hint="Seal it again when nobody writes to it.",
        reason="file_changed",
    )


def _not_whole() -> SottovoceError:
    return StorageError(
        "A sealed file is not what was written; the source was left in place.",
        hint="Check the disk of the folder for sealed files.",
        reason="sealed_damaged",
    )
