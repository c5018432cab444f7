"""Envelope format v1, suite 0: how every sealed thing is stored. `docs/reference/envelope-format.md` is its text.

    magic "SVO1"(4) | version 1 | suite 0 | length of key id (1) | key id (ASCII) | body

A body that a client has sealed is kept as it came: its stored header names the client's suite, and behind the key id
stands the SHA-256 of the header that it came with, which is all that the body is bound to.

    magic "SVO1"(4) | version 1 | suite 1 to 3 | length of key id (1) | key id (ASCII) | header hash (32) | body

The body is one Cobblestone-256 message (C2SP chunked-encryption: AES-256-GCM in 16 KiB chunks under a key, nonce
and commitment derived per message). Its context is the header followed by the caller's context.

Rules upheld here:
- Only vetted AEAD with key commitment (X24, X27); no framing of our own around the chunks.
- Context is mandatory: the tenant, subject, record, kind and version that a body belongs to (X25, M12). Header
  and body are bound: another magic, version, suite or key id does not open.
- What arrives unsealed passes in pieces of 64 KiB through one bytearray that is zeroed at the end, however it ends.
- Whoever is wrong about bytes, key or context learns one thing, IntegrityError, and nothing of the content.
- Plaintext of a stream is released chunk by chunk, before its end is known: whoever consumes a stream forgets
  what he made of it when `open_stream` raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from sottovoce.errors import AudioRejected, IntegrityError, UsageError
from sottovoce.model.keys import KEY_BYTES

MAGIC = b"SVO1"
FORMAT_VERSION = 1
SUITE_STORED = 0
SUITES_OF_CLIENTS = (1, 2, 3)
CLIENT_HASH_BYTES = 32
KEY_ID_MAX_BYTES = 255
HEADER_MAX_BYTES = len(MAGIC) + 3 + KEY_ID_MAX_BYTES + CLIENT_HASH_BYTES

PIECE_BYTES = 64 * 1024
CHUNK_BYTES = 16 * 1024
TAG_BYTES = 16
PREFIX_BYTES = 56  # salt (24) and key commitment (32) of a Cobblestone message


class Sealer(Protocol):
    """One body on its way into a seal: `header` is written first, then every piece, then finalize() once."""

    header: bytes

    def update_into(self, piece: memoryview, buffer: bytearray, /) -> int: ...

    def finalize(self) -> bytes: ...


class Opener(Protocol):
    """One body on its way out of a seal. IntegrityError where it is not what was sealed."""

    def update_into(self, piece: memoryview, buffer: bytearray, /) -> int: ...

    def finalize(self) -> bytes: ...


ReadInto = Callable[[memoryview], int]  # fills from the start, says how many bytes; 0 at the end
Write = Callable[[memoryview], object]


@dataclass(frozen=True, slots=True)
class Header:
    """What stands in clear before a body."""

    suite: int
    key_id: str
    body_offset: int  # bytes from the start of the envelope
    client_hash: bytes = b""  # of a body that a client has sealed: SHA-256 of the header it came with

    def to_bytes(self) -> bytes:
        key_id = self.key_id.encode("ascii")
        return MAGIC + bytes((FORMAT_VERSION, self.suite, len(key_id))) + key_id + self.client_hash

    def body_context(self, context: bytes) -> bytes:
        """The context of the body itself: this header, then the caller's context; of a client's body what it was
        sealed under (its key's row is what ties it to person and recording)."""
        return self.client_hash or self.to_bytes() + context


def make_header(key_id: str) -> Header:
    """The header of a stored envelope. UsageError where the key id is not 1 to 255 printable ASCII characters."""
    if not 1 <= len(key_id) <= KEY_ID_MAX_BYTES or not all("!" <= character <= "~" for character in key_id):
        raise UsageError("A key id has 1 to 255 printable ASCII characters.")
    return Header(suite=SUITE_STORED, key_id=key_id, body_offset=len(MAGIC) + 3 + len(key_id))


def make_client_header(key_id: str, *, suite: int, client_hash: bytes) -> Header:
    """The stored header of a body that came sealed by a client."""
    if suite not in SUITES_OF_CLIENTS or len(client_hash) != CLIENT_HASH_BYTES:
        raise UsageError("This is not the header of a client's body.")
    plain = make_header(key_id)
    offset = plain.body_offset + CLIENT_HASH_BYTES
    return Header(suite=suite, key_id=key_id, body_offset=offset, client_hash=client_hash)


def parse_header(prefix: bytes | bytearray | memoryview) -> Header:
    """The header at the start of an envelope; HEADER_MAX_BYTES are always enough. IntegrityError else."""
    data = bytes(prefix[:HEADER_MAX_BYTES])
    if data[: len(MAGIC)] != MAGIC or len(data) < len(MAGIC) + 3:
        raise IntegrityError("This is not a sottovoce envelope.", reason="envelope_unknown")
    version, suite, length = data[len(MAGIC) : len(MAGIC) + 3]
    if version != FORMAT_VERSION or suite not in (SUITE_STORED, *SUITES_OF_CLIENTS):
        raise IntegrityError(
            "This envelope has a version or suite that this release does not know.", reason="envelope_unknown"
        )
    key_id = data[len(MAGIC) + 3 : len(MAGIC) + 3 + length]
    if len(key_id) < length:
        raise IntegrityError("This envelope ends inside its header.", reason="envelope_damaged")
    try:
        header = make_header(key_id.decode("ascii"))
    except (UnicodeDecodeError, UsageError):
        raise IntegrityError("This envelope names no possible key.", reason="envelope_damaged") from None
    if suite == SUITE_STORED:
        return header
    client_hash = data[header.body_offset : header.body_offset + CLIENT_HASH_BYTES]
    if len(client_hash) < CLIENT_HASH_BYTES:
        raise IntegrityError("This envelope ends inside its header.", reason="envelope_damaged")
    return make_client_header(header.key_id, suite=suite, client_hash=client_hash)


def seal(key: bytes, plaintext: bytes | bytearray | memoryview, context: bytes, key_id: str) -> bytes:
    """A whole envelope in one call; for small things such as records (72 bytes and the header are added)."""
    sealer = BodySealer(key, context, key_id)
    return sealer.header + sealer.update(plaintext) + sealer.finalize()


def open(key: bytes, envelope: bytes | bytearray | memoryview, context: bytes) -> bytes:
    """The plaintext of seal(). IntegrityError for any other key, context or bytes."""
    header = parse_header(envelope)
    if header.suite != SUITE_STORED:  # what a client sealed is bound to nobody's context
        raise _does_not_open()
    return open_body(key, envelope[header.body_offset :], header.body_context(context))


def seal_body(key: bytes, plaintext: bytes | bytearray | memoryview, body_context: bytes) -> bytes:
    """A Cobblestone body without a header, for formats that bring their own (client sealing)."""
    encryptor = Cobblestone256Encryptor(_check_key(key), body_context)
    return encryptor.update(plaintext) + encryptor.finalize()


def open_body(key: bytes, body: bytes | bytearray | memoryview, body_context: bytes) -> bytes:
    """The plaintext of a Cobblestone body whose header was read before."""
    opener = BodyOpener(key, body_context)
    return opener.update(body) + opener.finalize()


def key_fits(key: bytes, body_prefix: bytes | bytearray | memoryview, body_context: bytes) -> bool:
    """Whether a body was sealed under this key and context, by its first 56 bytes alone (the key commitment)."""
    if len(body_prefix) < PREFIX_BYTES:
        return False
    try:
        BodyOpener(key, body_context).update(body_prefix[:PREFIX_BYTES])
    except IntegrityError:
        return False
    return True


class BodySealer:
    """Seals one body piece by piece. First write `header`, then every piece, then finalize()."""

    def __init__(self, key: bytes, context: bytes, key_id: str) -> None:
        header = make_header(key_id)
        self.header = header.to_bytes()
        self.body_context = header.body_context(context)
        self._encryptor = Cobblestone256Encryptor(_check_key(key), self.body_context)

    @property
    def body_offset(self) -> int:
        """Where the body starts: with `body_context`, what a ports.SealedBody needs."""
        return len(self.header)

    def update(self, piece: bytes | bytearray | memoryview) -> bytes:
        return self._encryptor.update(piece)

    def update_into(self, piece: bytes | bytearray | memoryview, buffer: bytearray | memoryview) -> int:
        """How many bytes were written to `buffer`, which has at least `sealed_piece_bytes(len(piece))`."""
        return self._encryptor.update_into(piece, buffer)

    def finalize(self) -> bytes:
        """The last, short chunk. Call once."""
        return self._encryptor.finalize()


class BodyOpener:
    """Opens one body piece by piece; `context` is the body's own (see BodySealer.body_context)."""

    def __init__(self, key: bytes, context: bytes) -> None:
        self._decryptor = Cobblestone256Decryptor(_check_key(key), context)

    def update(self, piece: bytes | bytearray | memoryview) -> bytes:
        try:
            return self._decryptor.update(piece)
        except InvalidTag:
            raise _does_not_open() from None

    def update_into(self, piece: bytes | bytearray | memoryview, buffer: bytearray | memoryview) -> int:
        """How many bytes of plaintext were written to `buffer`, which has at least len(piece) + 16 KiB."""
        try:
            return self._decryptor.update_into(piece, buffer)
        except InvalidTag:
            raise _does_not_open() from None

    def finalize(self) -> bytes:
        """The last plaintext; IntegrityError where the body was cut."""
        try:
            return self._decryptor.finalize()
        except InvalidTag:
            raise _does_not_open() from None


def sealed_piece_bytes(piece_bytes: int) -> int:
    """Room that update_into() needs for a piece: every chunk it may complete, the prefix, and the tags."""
    chunks = piece_bytes // CHUNK_BYTES + 1
    return chunks * (CHUNK_BYTES + TAG_BYTES) + PREFIX_BYTES


def seal_stream(
    read_into: ReadInto, write: Write, *, key: bytes, context: bytes, key_id: str, limit_bytes: int
) -> int:
    """Seal what `read_into` gives until it gives nothing; returns the number of plaintext bytes.

    One plaintext buffer of 64 KiB is reused for the whole stream and zeroed at the end. AudioRejected (reason
    `too_large`) as soon as more than `limit_bytes` came; then what was written is no envelope and never opens.
    """
    return pump_sealed(
        read_into, write, make_sealer=lambda: BodySealer(key, context, key_id), limit_bytes=limit_bytes
    )


def pump_sealed(
    read_into: ReadInto, write: Write, *, make_sealer: Callable[[], Sealer], limit_bytes: int
) -> int:
    """seal_stream() for any kind of sealer, which is made here so that nobody else holds it at the end."""
    sealer = make_sealer()
    plain, sealed = bytearray(PIECE_BYTES), bytearray(sealed_piece_bytes(PIECE_BYTES))
    total_bytes = 0
    try:
        write(memoryview(sealer.header))
        while filled := _fill(read_into, memoryview(plain)):
            total_bytes += filled
            if total_bytes > limit_bytes:
                raise AudioRejected(f"The recording is larger than {limit_bytes} bytes.", reason="too_large")
            count = sealer.update_into(memoryview(plain)[:filled], sealed)
            write(memoryview(sealed)[:count])
        write(memoryview(sealer.finalize()))
    finally:
        del sealer
        _zero(plain)
        _reuse_freed_chunks()
    return total_bytes


def open_stream(read_into: ReadInto, write: Write, *, key: bytes, context: bytes) -> int:
    """Open a body, giving its plaintext to `write` in pieces of at most 80 KiB; returns how many bytes there were.

    `context` is the body's own context. The view handed to `write` is valid during that call only: the buffer is
    reused for the next piece and zeroed at the end. IntegrityError where key, context or bytes are not those of
    the sealing, or the body was cut; forget what was written before.
    """
    return pump_opened(read_into, write, make_opener=lambda: BodyOpener(key, context))


def pump_opened(read_into: ReadInto, write: Write, *, make_opener: Callable[[], Opener]) -> int:
    """open_stream() for any kind of opener."""
    opener = make_opener()
    sealed, plain = bytearray(PIECE_BYTES), bytearray(PIECE_BYTES + CHUNK_BYTES)
    total_bytes = 0
    try:
        while filled := _fill(read_into, memoryview(sealed)):
            count = opener.update_into(memoryview(sealed)[:filled], plain)
            total_bytes += count
            if count:
                write(memoryview(plain)[:count])
        total_bytes += _write_last(opener, plain, write)
    finally:
        del opener
        _zero(plain)
        _reuse_freed_chunks()
    return total_bytes


def _write_last(opener: Opener, plain: bytearray, write: Write) -> int:
    last = opener.finalize()
    plain[: len(last)] = last
    if last:
        write(memoryview(plain)[: len(last)])
    return len(last)


def _fill(read_into: ReadInto, view: memoryview) -> int:
    """Fill the whole view where the source has that much: whole chunks pass through without being kept back."""
    filled = 0
    while filled < len(view) and (count := read_into(view[filled:])):
        filled += count
    return filled


def _zero(buffer: bytearray) -> None:
    buffer[:] = bytes(len(buffer))


def _reuse_freed_chunks() -> None:
    """Ask the allocator for blocks of the size of a chunk, which come zeroed over the library's own last one.

    The library keeps the last, short chunk in a buffer that nobody else can reach, and frees it as it is. Most
    allocators hand a block of that size out again at once; a test looks whether this one did.
    """
    sizes = (CHUNK_BYTES, CHUNK_BYTES + TAG_BYTES, CHUNK_BYTES + 2 * TAG_BYTES, 2 * CHUNK_BYTES)
    _ = [bytearray(size) for size in (*sizes, *sizes)]


def _check_key(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise UsageError(f"A sealing key has {KEY_BYTES} bytes.")
    return key


def _does_not_open() -> IntegrityError:
    return IntegrityError(
        "A sealed body does not open: it was altered, cut, moved, or sealed under another key.",
        reason="envelope_damaged",
    )
