"""Independent readers of the formats, written from their specifications: the oracles of this room."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

CHUNK = 16 * 1024
SEALED_CHUNK = CHUNK + 16


def read_cobblestone_256(key: bytes, message: bytes, context: bytes) -> bytes | None:
    """A reader of C2SP chunked-encryption with AES-256-GCM; None for whatever is no valid message."""
    salt, commitment, chunks = message[:24], message[24:56], message[56:]
    if len(message) < 56 + 16 or len(chunks) % SEALED_CHUNK < 16:
        return None
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt + context
    derived = HKDFExpand(SHA512(), 32 + 12 + 32, info).derive(key)
    if derived[44:] != commitment:
        return None
    aead, base_nonce = AESGCM(derived[:32]), int.from_bytes(derived[32:44], "big")
    plaintext = b""
    for number in range(len(chunks) // SEALED_CHUNK + 1):
        chunk = chunks[number * SEALED_CHUNK : (number + 1) * SEALED_CHUNK]
        try:
            plaintext += aead.decrypt((base_nonce ^ number).to_bytes(12, "big"), chunk, None)
        except InvalidTag:
            return None
    return plaintext


@pytest.fixture(scope="session")
def cobblestone_oracle() -> Callable[[bytes, bytes, bytes], bytes | None]:
    """(key, message, context) -> plaintext, or None."""
    return read_cobblestone_256


@pytest.fixture(scope="session")
def pattern() -> Callable[[int], bytes]:
    """Plaintext of the vectors by its size."""
    return lambda size: bytes((7 * i + (i >> 8)) & 0xFF for i in range(size))
