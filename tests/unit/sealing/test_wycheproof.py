"""Wycheproof: every primitive in use accepts what is valid and refuses what is not, case by case."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import mlkem, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_der_private_key

from sottovoce.errors import SottovoceError
from sottovoce.sealing import envelope

FOLDER = Path(__file__).resolve().parents[3] / "vectors/wycheproof"
Case = dict[str, Any]

# Valid by the standard, refused by the library: nonces under 8 or over 128 bytes. Ours have 12.
GCM_NONCES_REFUSED = {268, 272, *range(276, 285), *range(287, 295), *range(299, 307)}


def cases(name: str) -> Iterator[tuple[Case, Case]]:
    data = json.loads((FOLDER / f"{name}_test.json").read_text())
    for group in data["testGroups"]:
        for case in group["tests"]:
            yield group, case


def unhex(case: Case, *names: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(case[name]) for name in names)


@pytest.mark.parametrize(
    ("name", "aead", "count"), [("aes_gcm", AESGCM, 316), ("aes_gcm_siv", AESGCMSIV, 202)]
)
def test_authenticated_encryption(name: str, aead: type[AESGCM] | type[AESGCMSIV], count: int) -> None:
    refused_though_valid, seen = set(), 0
    for _, case in cases(name):
        seen += 1
        key, iv, aad, message, sealed, tag = unhex(case, "key", "iv", "aad", "msg", "ct", "tag")
        try:
            opened = aead(key).decrypt(iv, sealed + tag, aad)
        except InvalidTag:
            assert case["result"] == "invalid", case["tcId"]
            continue
        except ValueError:
            if case["result"] == "valid":
                refused_though_valid.add(case["tcId"])
            continue
        assert case["result"] == "valid", case["tcId"]
        assert opened == message
        assert aead(key).encrypt(iv, message, aad) == sealed + tag
    assert seen == count
    assert refused_though_valid == (GCM_NONCES_REFUSED if name == "aes_gcm" else set())


def test_cobblestone_through_our_own_readers() -> None:
    seen = 0
    for _, case in cases("c2sp_chunked_encryption_aes_256_gcm"):
        seen += 1
        key, packed, context = unhex(case, "key", "ct", "ctx")
        for opened in (in_one_call(key, zlib.decompress(packed), context), streamed(key, packed, context)):
            assert (opened is not None) == (case["result"] == "valid"), case["tcId"]
            if opened is not None:
                assert len(opened) == case["msgLength"]
                assert hashlib.sha512(opened).hexdigest() == case["msgSha512"]
    assert seen == 35


def in_one_call(key: bytes, sealed: bytes, context: bytes) -> bytes | None:
    try:
        return envelope.open_body(key, sealed, context)
    except SottovoceError:
        return None


def streamed(key: bytes, packed: bytes, context: bytes) -> bytes | None:
    opened = bytearray()
    try:
        source = io.BytesIO(zlib.decompress(packed))
        envelope.open_stream(source.readinto, opened.extend, key=key, context=context)
    except SottovoceError:
        return None
    return bytes(opened)


def test_rsa_oaep_4096() -> None:
    seen = 0
    for group, case in cases("rsa_oaep_4096_sha256_mgf1sha256"):
        seen += 1
        key = load_der_private_key(
            bytes.fromhex(group["privateKeyPkcs8"]), None, unsafe_skip_rsa_key_validation=True
        )
        assert isinstance(key, rsa.RSAPrivateKey)
        sealed, message, label = unhex(case, "ct", "msg", "label")
        try:
            opened = key.decrypt(sealed, padding.OAEP(padding.MGF1(SHA256()), SHA256(), label))
        except ValueError:
            assert case["result"] == "invalid", case["tcId"]
            continue
        assert case["result"] == "valid", case["tcId"]
        assert opened == message
    assert seen == 37


def test_x25519() -> None:
    """Acceptable cases of an all-zero secret are refused (RFC 9180, 7.1.4), all others agree."""
    for _, case in cases("x25519"):
        private, public, shared = unhex(case, "private", "public", "shared")
        try:
            made = X25519PrivateKey.from_private_bytes(private).exchange(
                X25519PublicKey.from_public_bytes(public)
            )
        except ValueError:
            assert shared == bytes(32), case["tcId"]
            assert case["result"] == "acceptable"
            continue
        assert made == shared, case["tcId"]


def test_ed25519() -> None:
    for group, case in cases("ed25519"):
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
        message, signature = unhex(case, "msg", "sig")
        try:
            key.verify(signature, message)
        except InvalidSignature:
            assert case["result"] == "invalid", case["tcId"]
            continue
        assert case["result"] == "valid", case["tcId"]


@pytest.mark.parametrize(("name", "algorithm"), [("hkdf_sha256", SHA256()), ("hkdf_sha512", SHA512())])
def test_hkdf(name: str, algorithm: SHA256 | SHA512) -> None:
    for _, case in cases(name):
        secret, salt, info, expected = unhex(case, "ikm", "salt", "info", "okm")
        try:
            made = HKDF(algorithm, case["size"], salt, info).derive(secret)
        except ValueError:
            assert case["result"] == "invalid", case["tcId"]
            continue
        assert (made == expected) == (case["result"] == "valid"), case["tcId"]


def test_hmac() -> None:
    for group, case in cases("hmac_sha256"):
        key, message, tag = unhex(case, "key", "msg", "tag")
        mac = HMAC(key, SHA256())
        mac.update(message)
        made = mac.finalize()[: group["tagSize"] // 8]
        assert (made == tag) == (case["result"] == "valid"), case["tcId"]


def test_mlkem_768_decapsulation() -> None:
    for _, case in cases("mlkem_768"):
        seed, sealed = unhex(case, "seed", "c")
        try:
            made = mlkem.MLKEM768PrivateKey.from_seed_bytes(seed).decapsulate(sealed)
        except ValueError:
            assert case["result"] == "invalid", case["tcId"]
            continue
        assert case["result"] == "valid", case["tcId"]
        assert made.hex() == case["K"]


def test_mlkem_768_keys_from_seeds() -> None:
    for _, case in cases("mlkem_768_keygen_seed"):
        (seed,) = unhex(case, "seed")
        assert (
            mlkem.MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw().hex() == case["ek"]
        )


def test_mlkem_768_refuses_impossible_encapsulation_keys() -> None:
    for _, case in cases("mlkem_768_encaps"):
        (public,) = unhex(case, "ek")
        with pytest.raises(ValueError):
            mlkem.MLKEM768PublicKey.from_public_bytes(public).encapsulate()
