"""Bodies that a client seals or that came sealed by one, piece by piece: any size in bounded memory.

    wire = header (suites.py) | body      suites 2 and 3: Cobblestone-256; suite 1: nonce (12), one GCM message

Rules upheld here:
- Plaintext passes in pieces of 64 KiB through one bytearray that is zeroed at the end, however it ends (X16).
- A body is bound to the SHA-256 of its header; whoever is wrong about bytes, key or header learns IntegrityError.
- Plaintext of a stream is released before its end is known, with suite 1 before any of it is authenticated: whoever
  consumes a stream forgets what he made of it when it raises.
"""

from __future__ import annotations

from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import AEADDecryptionContext, Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from sottovoce.errors import IntegrityError
from sottovoce.model.keys import KEY_BYTES
from sottovoce.sealing import envelope
from sottovoce.sealing.envelope import Opener, ReadInto, Sealer, Write
from sottovoce.sealing.suites import (
    GCM_NONCE_BYTES,
    GCM_TAG_BYTES,
    SUITE_RSA,
    RandomBytes,
    RecipientPublic,
    seal_content_key,
)


def seal_client_stream(
    recipient: RecipientPublic, read_into: ReadInto, write: Write, *, envelope_id: bytes, note: bytes,
    random_bytes: RandomBytes, limit_bytes: int,
) -> tuple[bytes, bytes, int]:  # fmt: skip
    """A whole client-sealed envelope, written piece by piece: (content key, hash of the header, plaintext bytes).

    The content key is for who checks at once that what was written opens; it is kept by nobody. AudioRejected
    (reason `too_large`) above `limit_bytes`; UsageError where the recipient's key is none.
    """
    content_key = random_bytes(KEY_BYTES)
    header = seal_content_key(recipient, content_key, envelope_id=envelope_id, note=note)
    before, client_hash = header.to_bytes(), header.body_context()

    def make() -> Sealer:
        if recipient.suite == SUITE_RSA:
            return GcmSealer(content_key, client_hash, header=before, nonce=random_bytes(GCM_NONCE_BYTES))
        return CobblestoneSealer(content_key, client_hash, header=before)

    size_bytes = envelope.pump_sealed(read_into, write, make_sealer=make, limit_bytes=limit_bytes)
    return content_key, client_hash, size_bytes


def open_client_stream(
    read_into: ReadInto, write: Write, *, content_key: bytes, suite: int, client_hash: bytes
) -> int:
    """Open a body, giving its plaintext to `write` in pieces; how many bytes. IntegrityError (reason
    `envelope_damaged`): forget what was written before."""
    try:
        return envelope.pump_opened(
            read_into, write, make_opener=lambda: body_opener(suite, content_key, client_hash)
        )
    except IntegrityError:
        raise _does_not_open() from None


def body_opener(suite: int, key: bytes, context: bytes) -> Opener:
    """What opens a body of a suite, stored ones (suite 0) included."""
    return GcmOpener(key, context) if suite == SUITE_RSA else envelope.BodyOpener(key, context)


def sealed_body_bytes(suite: int, plain_bytes: int) -> int:
    """The size of the body of so many bytes of plaintext."""
    if suite == SUITE_RSA:
        return GCM_NONCE_BYTES + plain_bytes + GCM_TAG_BYTES
    chunks = plain_bytes // envelope.CHUNK_BYTES + 1
    return envelope.PREFIX_BYTES + plain_bytes + chunks * envelope.TAG_BYTES


def plain_body_bytes(suite: int, body_bytes: int) -> int:
    """The plaintext bytes that a body of this size has; 0 where it is too short to be one."""
    if suite == SUITE_RSA:
        return max(0, body_bytes - GCM_NONCE_BYTES - GCM_TAG_BYTES)
    inside = body_bytes - envelope.PREFIX_BYTES
    chunks = inside // (envelope.CHUNK_BYTES + envelope.TAG_BYTES) + 1
    return max(0, inside - chunks * envelope.TAG_BYTES)


class CobblestoneSealer:
    """envelope.Sealer for suites 2 and 3."""

    def __init__(self, key: bytes, client_hash: bytes, *, header: bytes) -> None:
        self.header = header
        self._encryptor = Cobblestone256Encryptor(key, client_hash)

    def update_into(self, piece: memoryview, buffer: bytearray, /) -> int:
        return self._encryptor.update_into(piece, buffer)

    def finalize(self) -> bytes:
        return self._encryptor.finalize()


class GcmSealer:
    """envelope.Sealer for suite 1."""

    def __init__(self, key: bytes, client_hash: bytes, *, header: bytes, nonce: bytes) -> None:
        self.header = header + nonce
        self._encryptor = Cipher(AES(key), GCM(nonce)).encryptor()
        self._encryptor.authenticate_additional_data(client_hash)

    def update_into(self, piece: memoryview, buffer: bytearray, /) -> int:
        return self._encryptor.update_into(piece, buffer)

    def finalize(self) -> bytes:
        return self._encryptor.finalize() + self._encryptor.tag


class GcmOpener:
    """envelope.Opener for suite 1: the nonce comes first, the last 16 bytes are the tag."""

    def __init__(self, key: bytes, client_hash: bytes) -> None:
        self._key, self._client_hash = key, client_hash
        self._kept = bytearray()  # ciphertext that may be nonce or tag
        self._decryptor: AEADDecryptionContext | None = None

    def update_into(self, piece: memoryview, buffer: bytearray, /) -> int:
        self._kept += piece
        if self._decryptor is None:
            if len(self._kept) < GCM_NONCE_BYTES:
                return 0
            self._decryptor = self._start(bytes(self._kept[:GCM_NONCE_BYTES]))
            del self._kept[:GCM_NONCE_BYTES]
        ready = len(self._kept) - GCM_TAG_BYTES
        if ready <= 0:
            return 0
        count = self._decryptor.update_into(self._kept[:ready], buffer)
        del self._kept[:ready]
        return count

    def _start(self, nonce: bytes) -> AEADDecryptionContext:
        decryptor = Cipher(AES(self._key), GCM(nonce)).decryptor()
        decryptor.authenticate_additional_data(self._client_hash)
        return decryptor

    def finalize(self) -> bytes:
        if self._decryptor is None or len(self._kept) != GCM_TAG_BYTES:
            raise _does_not_open()
        try:
            return self._decryptor.finalize_with_tag(bytes(self._kept))
        except InvalidTag:
            raise _does_not_open() from None


def _does_not_open() -> IntegrityError:
    return IntegrityError(
        "A client-sealed envelope does not open: it was altered, cut, or put together from two.",
        reason="envelope_damaged",
    )
