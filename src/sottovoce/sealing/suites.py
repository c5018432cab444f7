"""Sealing by a client, before anything is sent: suites 1 to 3 of the envelope format.

    version 1 | suite (1) | recipient key id (32) | envelope id (16) | sealed key | body

| suite | content key sealed by | sealed key | body |
|---|---|---|---|
| 1 | RSA-OAEP 4096, SHA-256, MGF1 SHA-256 (RFC 8017) | 512 bytes | nonce(12), one AES-256-GCM message |
| 2 | HPKE base mode X25519, HKDF-SHA256, AES-256-GCM (RFC 9180) | 80 bytes | Cobblestone-256 |
| 3, default | HPKE base mode X-Wing (ML-KEM-768 + X25519), as 2 | 1168 bytes | Cobblestone-256 |

Rules upheld here:
- Wire version 2 has a note of fixed size between sealed key and body, sealed under the content key: what the receiver
  has to know of a recording stands in no name and no header, and its length says nothing (M16, X25).
- A fresh 32-byte content key per envelope; HPKE `info` is the protocol label and the envelope id (M16, M17).
- Everything before the body is its header; the body is bound to the header's SHA-256 (Cobblestone context, GCM
  AAD): a swapped header, suite, recipient or envelope id does not open.
- On arrival only the content key is opened; no function here needs the private half and the body together.
- The recipient is named by the SHA-256 of its public key; a key id that is not its own is refused before use.
- Private halves have no repr; every failure to open is the same IntegrityError.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from sottovoce.errors import IntegrityError, KeyUnavailable, UsageError
from sottovoce.model.keys import KEY_BYTES
from sottovoce.sealing.envelope import PREFIX_BYTES, TAG_BYTES, open_body, seal_body

RandomBytes = Callable[[int], bytes]

WIRE_VERSION, WIRE_VERSION_WITH_NOTE = 1, 2
SUITE_RSA, SUITE_X25519, SUITE_XWING = 1, 2, 3
DEFAULT_SUITE = SUITE_XWING
SEALED_KEY_BYTES = {SUITE_RSA: 512, SUITE_X25519: 80, SUITE_XWING: 1168}

INFO_LABEL = b"sottovoce/client-seal/1"
NOTE_LABEL = b"sottovoce/client-note/1"
NOTE_BYTES = 3072  # of every note, before it is sealed
SEALED_NOTE_BYTES = PREFIX_BYTES + NOTE_BYTES + TAG_BYTES
ENVELOPE_ID_BYTES = 16
RECIPIENT_KEY_ID_BYTES = 32
FIXED_BYTES = 2 + RECIPIENT_KEY_ID_BYTES + ENVELOPE_ID_BYTES
CLIENT_HEADER_MAX_BYTES = FIXED_BYTES + max(SEALED_KEY_BYTES.values()) + SEALED_NOTE_BYTES

_RSA_BITS, _RSA_EXPONENT = 4096, 65537
_SEED_BYTES = 32
_MLKEM768_PUBLIC_BYTES = 1184
GCM_NONCE_BYTES, GCM_TAG_BYTES = 12, 16
_OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=SHA256()), algorithm=SHA256(), label=None)
_HPKE = {
    SUITE_X25519: Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
    SUITE_XWING: Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
}


@dataclass(frozen=True, slots=True)
class RecipientPublic:
    """The public half of a recipient key: what a client pins and seals to.

    `data` is, by suite: 1 SubjectPublicKeyInfo in DER, 2 the 32 bytes of RFC 7748, 3 the 1216 bytes of X-Wing
    (ML-KEM-768 encapsulation key, then X25519).
    """

    suite: int
    data: bytes

    @property
    def key_id(self) -> bytes:
        """SHA-256 of `data`, 32 bytes."""
        return hashlib.sha256(self.data).digest()


@dataclass(frozen=True, slots=True)
class RecipientPrivate:
    """The private half: 32 bytes (suites 2 and 3) or PKCS #8 in DER (suite 1). It is kept as a short-lived key."""

    suite: int
    data: bytes = field(repr=False)

    def public(self) -> RecipientPublic:
        match _load_private(self):
            case rsa.RSAPrivateKey() as key:
                data = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            case x25519.X25519PrivateKey() as key:
                data = key.public_key().public_bytes_raw()
            case _:
                pq, classic = _expand_xwing_seed(self.data)
                data = pq.public_key().public_bytes_raw() + classic.public_key().public_bytes_raw()
        return RecipientPublic(self.suite, data)


@dataclass(frozen=True, slots=True)
class ClientHeader:
    """What a client-sealed envelope says in clear; `sealed_key` is dropped once the content key is open."""

    suite: int
    recipient_key_id: bytes
    envelope_id: bytes
    sealed_key: bytes = field(repr=False)
    note: bytes = field(default=b"", repr=False)  # sealed; empty in wire version 1

    def to_bytes(self) -> bytes:
        return self.before_note() + self.note

    def before_note(self) -> bytes:
        version = WIRE_VERSION_WITH_NOTE if self.note else WIRE_VERSION
        return bytes((version, self.suite)) + self.recipient_key_id + self.envelope_id + self.sealed_key

    @property
    def body_offset(self) -> int:
        return FIXED_BYTES + len(self.sealed_key) + len(self.note)

    def body_context(self) -> bytes:
        """SHA-256 of the whole header: all that is kept of it, and what the body is bound to."""
        return hashlib.sha256(self.to_bytes()).digest()


def generate_recipient(suite: int = DEFAULT_SUITE, *, random_bytes: RandomBytes) -> RecipientPrivate:
    """A new key pair. RSA (suite 1) takes its randomness from OpenSSL, and up to seconds of time."""
    _check_suite(suite)
    if suite != SUITE_RSA:
        return RecipientPrivate(suite, random_bytes(_SEED_BYTES))
    key = rsa.generate_private_key(public_exponent=_RSA_EXPONENT, key_size=_RSA_BITS)
    return RecipientPrivate(suite, key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def seal_to(
    recipient: RecipientPublic,
    plaintext: bytes | bytearray | memoryview,
    *,
    envelope_id: bytes,
    random_bytes: RandomBytes,
) -> bytes:
    """A whole client-sealed envelope. `envelope_id`: 16 bytes that the client chooses, never twice.

    UsageError where the recipient's public key is not one of its suite.
    """
    content_key = random_bytes(KEY_BYTES)
    header = seal_content_key(recipient, content_key, envelope_id=envelope_id)
    if recipient.suite == SUITE_RSA:
        nonce = random_bytes(GCM_NONCE_BYTES)
        body = nonce + AESGCM(content_key).encrypt(nonce, plaintext, header.body_context())
    else:
        body = seal_body(content_key, plaintext, header.body_context())
    return header.to_bytes() + body


def seal_content_key(
    recipient: RecipientPublic, content_key: bytes, *, envelope_id: bytes, note: bytes = b""
) -> ClientHeader:
    """The header of an envelope whose body the caller seals under `content_key` and `header.body_context()`.

    `note`: NOTE_BYTES bytes for the receiver (wire version 2), or nothing.
    """
    if len(envelope_id) != ENVELOPE_ID_BYTES:
        raise UsageError(f"An envelope id has {ENVELOPE_ID_BYTES} bytes.")
    sealed_key = _encapsulate(recipient, content_key, info=INFO_LABEL + envelope_id)
    if not note:
        return ClientHeader(recipient.suite, recipient.key_id, envelope_id, sealed_key)
    if len(note) != NOTE_BYTES:
        raise UsageError(f"A note has {NOTE_BYTES} bytes.")
    # The version stands in what the note is bound to: a header that has its note yet to come says 2 as well.
    empty = ClientHeader(recipient.suite, recipient.key_id, envelope_id, sealed_key, bytes(SEALED_NOTE_BYTES))
    return replace(empty, note=seal_body(content_key, note, _note_context(empty)))


def parse_client_header(prefix: bytes | bytearray | memoryview) -> ClientHeader:
    """The header at the start of a client-sealed envelope; CLIENT_HEADER_MAX_BYTES are always enough.

    IntegrityError where it is none, or cut.
    """
    data = bytes(prefix[:CLIENT_HEADER_MAX_BYTES])
    if len(data) < FIXED_BYTES or not looks_client_sealed(data):
        raise IntegrityError(
            "This is not a client-sealed envelope of a known suite.", reason="envelope_unknown"
        )
    suite, recipient_end = data[1], 2 + RECIPIENT_KEY_ID_BYTES
    key_end = FIXED_BYTES + SEALED_KEY_BYTES[suite]
    note_end = key_end + (SEALED_NOTE_BYTES if data[0] == WIRE_VERSION_WITH_NOTE else 0)
    if len(data) < note_end:
        raise IntegrityError("This envelope ends inside its header.", reason="envelope_damaged")
    return ClientHeader(
        suite, data[2:recipient_end], data[recipient_end:FIXED_BYTES], data[FIXED_BYTES:key_end],
        data[key_end:note_end],
    )  # fmt: skip


def looks_client_sealed(prefix: bytes) -> bool:
    """Whether the first two bytes are those of a client-sealed envelope; no container of audio begins like that."""
    versions = (WIRE_VERSION, WIRE_VERSION_WITH_NOTE)
    return len(prefix) >= 2 and prefix[0] in versions and prefix[1] in SEALED_KEY_BYTES


def open_content_key(private: RecipientPrivate, header: ClientHeader) -> bytes:
    """The 32-byte content key, which becomes the recording's key row.

    KeyUnavailable (reason `recipient_unknown`) where the envelope was sealed to another key, IntegrityError where
    the sealed key does not open.
    """
    if header.suite != private.suite or header.recipient_key_id != private.public().key_id:
        raise KeyUnavailable("This envelope was sealed to another recipient key.", reason="recipient_unknown")
    content_key = _decapsulate(private, header)
    if len(content_key) != KEY_BYTES:
        raise _does_not_open()
    return content_key


def open_note(content_key: bytes, header: ClientHeader) -> bytes:
    """The NOTE_BYTES bytes of the note, or nothing where the envelope has none. IntegrityError where it was altered."""
    if not header.note:
        return b""
    try:
        return open_body(content_key, header.note, _note_context(header))
    except IntegrityError:
        raise _does_not_open() from None


def open_client_body(
    content_key: bytes, body: bytes | bytearray | memoryview, *, suite: int, body_context: bytes
) -> bytes:
    """The plaintext of a body by its content key and the hash of the header it came with. IntegrityError else."""
    _check_suite(suite)
    if suite != SUITE_RSA:
        return open_body(content_key, body, body_context)
    if len(body) < GCM_NONCE_BYTES + GCM_TAG_BYTES:
        raise _does_not_open()
    try:
        return AESGCM(content_key).decrypt(body[:GCM_NONCE_BYTES], body[GCM_NONCE_BYTES:], body_context)
    except InvalidTag:
        raise _does_not_open() from None


def _note_context(header: ClientHeader) -> bytes:
    return NOTE_LABEL + hashlib.sha256(header.before_note()).digest()


def _encapsulate(recipient: RecipientPublic, content_key: bytes, *, info: bytes) -> bytes:
    public = _load_public(recipient)
    try:
        if isinstance(public, rsa.RSAPublicKey):
            return public.encrypt(content_key, _OAEP)
        return _HPKE[recipient.suite].encrypt(content_key, public, info=info)
    except ValueError:  # a point of small order, which gives no secret (RFC 9180, 7.1.4)
        raise _no_public_key() from None


def _decapsulate(private: RecipientPrivate, header: ClientHeader) -> bytes:
    key = _load_private(private)
    try:
        if isinstance(key, rsa.RSAPrivateKey):
            return key.decrypt(header.sealed_key, _OAEP)
        return _HPKE[private.suite].decrypt(header.sealed_key, key, info=INFO_LABEL + header.envelope_id)
    except (InvalidTag, ValueError):
        raise _does_not_open() from None


_PublicKey = rsa.RSAPublicKey | x25519.X25519PublicKey | MLKEM768X25519PublicKey
_PrivateKey = rsa.RSAPrivateKey | x25519.X25519PrivateKey | MLKEM768X25519PrivateKey


def _load_public(recipient: RecipientPublic) -> _PublicKey:
    _check_suite(recipient.suite)
    try:
        if recipient.suite == SUITE_RSA:
            return _check_rsa(load_der_public_key(recipient.data))
        if recipient.suite == SUITE_X25519:
            return x25519.X25519PublicKey.from_public_bytes(recipient.data)
        pq, classic = recipient.data[:_MLKEM768_PUBLIC_BYTES], recipient.data[_MLKEM768_PUBLIC_BYTES:]
        return MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(pq), x25519.X25519PublicKey.from_public_bytes(classic)
        )
    except ValueError:
        raise _no_public_key() from None


def _check_rsa(key: object) -> rsa.RSAPublicKey:
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != _RSA_BITS:
        raise UsageError(f"A recipient of suite {SUITE_RSA} has an RSA key of {_RSA_BITS} bits.")
    return key


def _load_private(private: RecipientPrivate) -> _PrivateKey:
    _check_suite(private.suite)
    try:
        if private.suite == SUITE_X25519:
            return x25519.X25519PrivateKey.from_private_bytes(private.data)
        if private.suite == SUITE_XWING:
            return MLKEM768X25519PrivateKey(*_expand_xwing_seed(private.data))
        # The key was made here and came out of the key store, whose wrap authenticates it: to test 4096 bits for
        # primality at each envelope takes longer than everything else.
        key = load_der_private_key(private.data, password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError):
        raise _no_private_key() from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _no_private_key()
    return key


def _expand_xwing_seed(seed: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    """X-Wing keeps 32 bytes and expands them by SHAKE-256 to 64 + 32 (draft-connolly-cfrg-xwing-kem, 5.2)."""
    if len(seed) != _SEED_BYTES:
        raise _no_private_key()
    expanded = hashlib.shake_256(seed).digest(96)
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        x25519.X25519PrivateKey.from_private_bytes(expanded[64:]),
    )


def _check_suite(suite: int) -> None:
    if suite not in SEALED_KEY_BYTES:
        raise UsageError(
            f"There is no client suite {suite}.", hint="Suites are 1 (RSA), 2 (X25519), 3 (X-Wing)."
        )


def _no_public_key() -> UsageError:
    return UsageError("This is not a recipient's public key of that suite.")


def _no_private_key() -> UsageError:
    return UsageError("This is not a recipient's private key of that suite.")


def _does_not_open() -> IntegrityError:
    return IntegrityError(
        "A client-sealed envelope does not open: it was altered, or sealed to another key.",
        reason="envelope_damaged",
    )
