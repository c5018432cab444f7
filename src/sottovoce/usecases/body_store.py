"""The sealed bodies of recordings: put piece by piece, taken over as a client has sealed them, opened for the child.

Rules upheld here, in order:
1. The key row is written before the body; what an interrupted attempt left is removed before either (rule 3 of
   `usecases/record.py`).
2. Only ciphertext reaches the blob store: what arrives unsealed is sealed piece by piece through one buffer (M12).
3. Of a body that came sealed nothing is opened, and the sealed key it came with is stored nowhere (M16).
4. A body opens only as the recording, person and tenant that it was stored for (X25).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sottovoce.model.recording import Recording
from sottovoce.ports import Blobs, SealedBody
from sottovoce.sealing import envelope
from sottovoce.sealing.context import encode_context
from sottovoce.usecases.discard import Discard, body_path
from sottovoce.usecases.keyring import Keyring, NewKey

ReadInto = Callable[[memoryview], int]

_PIECE_BYTES = 1 << 18


@dataclass(frozen=True, kw_only=True)
class SealedArrival:
    """A recording that a client has sealed, its content key opened and nothing else of it (M16)."""

    content_key: bytes = field(repr=False)
    suite: int
    client_hash: bytes  # SHA-256 of the header that it came with: what the body is bound to
    read_into: ReadInto = field(repr=False)  # the sealed body, from its first byte to its last


@dataclass(frozen=True, kw_only=True)
class BodyStore:
    keyring: Keyring
    bodies: Blobs
    discard: Discard
    limit_bytes: int  # of a recording in clear
    tenant: str

    def put(self, received: Recording, read_into: ReadInto) -> int:
        """Key row, then body (file and folder fsynced). The size of what is stored, in bytes of ciphertext."""
        self.discard.destroy(received.id)
        key = self.keyring.new_key(_key_of(received))
        sealed_bytes = 0
        with self.bodies.writer(body_path(received.id)) as writer:

            def write(piece: memoryview) -> None:
                nonlocal sealed_bytes
                writer.write(piece)
                sealed_bytes += len(piece)

            envelope.seal_stream(
                read_into, write, key=key, context=self._context(received),
                key_id=received.id, limit_bytes=self.limit_bytes,
            )  # fmt: skip
        return sealed_bytes

    def adopt(self, received: Recording, arrival: SealedArrival) -> int:
        """As put, of a body that came sealed: its content key becomes the recording's key row, and the body is stored
        behind the hash of its header."""
        self.discard.destroy(received.id)
        self.keyring.adopt_key(_key_of(received), arrival.content_key)
        header = envelope.make_client_header(
            received.id, suite=arrival.suite, client_hash=arrival.client_hash
        )
        sealed_bytes, piece = header.body_offset, bytearray(_PIECE_BYTES)
        with self.bodies.writer(body_path(received.id)) as writer:
            writer.write(header.to_bytes())
            while count := arrival.read_into(memoryview(piece)):
                writer.write(memoryview(piece)[:count])
                sealed_bytes += count
        return sealed_bytes

    @contextmanager
    def opened(self, recording: Recording) -> Iterator[SealedBody]:
        """The stored body as the sealed child takes it: a descriptor, and the key that opens it. KeyUnavailable,
        IntegrityError, StorageError."""
        key = self.keyring.open_key(recording.id)
        with self.bodies.reader(body_path(recording.id)) as fd:
            header = envelope.parse_header(os.pread(fd, envelope.HEADER_MAX_BYTES, 0))
            yield SealedBody(
                fd=fd, key=key, context=header.body_context(self._context(recording)),
                body_offset=header.body_offset, suite=header.suite,
            )  # fmt: skip

    def _context(self, recording: Recording) -> bytes:
        return encode_context(
            tenant=self.tenant, subject=recording.subject_id, record=recording.id, kind="audio", version="1"
        )


def _key_of(received: Recording) -> NewKey:
    return NewKey(key_id=received.id, kind="recording", key_class="audio", subject_id=received.subject_id)
