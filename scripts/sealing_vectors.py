"""Writes the vectors of context, pseudonym and envelope, with a second implementation of each format.

Nothing of `sottovoce.sealing` is imported: what this script writes and the package reads must agree. Salts and
keys are fixed, so that the same files come out each time. The client-sealed cases take fresh randomness (an ML-KEM
encapsulation cannot be repeated) and are only written with `--client` (wire version 1) or `--client-note` (version 2);
published cases stay for ever.

    python scripts/sealing_vectors.py [--client] [--client-note] [FOLDER]
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import sys
import unicodedata
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

Json = dict[str, Any]
CHUNK = 16 * 1024
KEY = bytes(range(32))
LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"
WORDS = {"tenant": "default", "subject": "sub_" + "a" * 24, "record": "rec_" + "b" * 24}


def fields(*words: str) -> bytes:
    return b"".join(b"s" + len(word.encode()).to_bytes(4, "big") + word.encode() for word in words)


def context_of(tenant: str, subject: str, record: str, kind: str, version: str) -> bytes:
    return fields("sottovoce/context/1", tenant, subject, record, kind, version)


def pattern(size: int) -> bytes:
    """Plaintext of a given size: byte i is (7 i + i >> 8) mod 256."""
    return bytes((7 * i + (i >> 8)) & 0xFF for i in range(size))


def salt_of(name: str) -> bytes:
    return hashlib.sha256(b"vector salt " + name.encode()).digest()[:24]


def cobblestone_256(key: bytes, plaintext: bytes, context: bytes, salt: bytes) -> bytes:
    """C2SP chunked-encryption with AES-256-GCM and SHA-512."""
    derived = HKDFExpand(SHA512(), 76, LABEL + salt + context).derive(key)
    aead, base_nonce, out = AESGCM(derived[:32]), int.from_bytes(derived[32:44], "big"), salt + derived[44:]
    for number in range(len(plaintext) // CHUNK + 1):
        nonce = (base_nonce ^ number).to_bytes(12, "big")
        out += aead.encrypt(nonce, plaintext[number * CHUNK : (number + 1) * CHUNK], b"")
    return out


def stored_envelope(plaintext: bytes, context: bytes, key_id: str, salt: bytes) -> bytes:
    header = b"SVO1\x01\x00" + bytes([len(key_id)]) + key_id.encode()
    return header + cobblestone_256(KEY, plaintext, header + context, salt)


def context_cases() -> list[Json]:
    base = {**WORDS, "kind": "features", "version": "1"}
    variants: dict[str, Json] = {
        "plain": {},
        "empty-words": {"tenant": "", "subject": "", "record": "", "kind": "", "version": ""},
        "border-moved-left": {"kind": "feature", "version": "s1"},
        "other-person": {"subject": "sub_" + "c" * 24},
        "not-ascii": {"tenant": "Zürich-診療所"},
        "version-2": {"version": "2"},
    }
    cases = [(name, {**base, **change}) for name, change in variants.items()]
    return [{"id": name, "context": words, "encoded": context_of(**words).hex()} for name, words in cases]


def pseudonym_cases() -> list[Json]:
    def keyed(label: str, *words: str) -> str:
        return hmac.new(KEY, fields(label, *words), hashlib.sha256).hexdigest()

    cases: list[Json] = []
    for name, outside_id in (
        ("plain", "patient-17"),
        ("composed", "Zo\u00eb"),
        ("decomposed", "Zoe\u0308"),
        ("case", "Patient-17"),
    ):
        normal = unicodedata.normalize("NFC", outside_id)
        output = keyed("sottovoce/blind-index/1", "default", normal)
        given = {"outside_id": outside_id, "tenant": "default"}
        cases.append({"id": f"blind-{name}", "use": "blind_index", "input": given, "output": output})
    subject = WORDS["subject"]
    output = keyed("sottovoce/audit-pseudonym/1", subject)
    cases.append(
        {"id": "audit", "use": "audit_pseudonym", "input": {"subject_id": subject}, "output": output}
    )
    given = {"scope": "submit", "idempotency_key": "retry-1"}
    output = keyed("sottovoce/idempotency-key/1", "submit", "retry-1")
    cases.append({"id": "idempotency", "use": "idempotency_hash", "input": given, "output": output})
    return [{**case, "key": KEY.hex()} for case in cases]


def stored_cases() -> list[Json]:
    """Valid envelopes of every border size, then envelopes cut out of them that must not open."""
    context = context_of(**WORDS, kind="features", version="1")
    key_id = WORDS["record"]
    cases: list[Json] = []
    for size in (0, 1, 352, 4096, 16383, 16384, 16385, 33000):
        envelope = stored_envelope(pattern(size), context, key_id, salt_of(str(size)))
        cases.append(
            {
                "id": f"valid-{size}",
                "outcome": "ok",
                "key": KEY.hex(),
                "context": context.hex(),
                "key_id": key_id,
                "plaintext_bytes": size,
                "envelope": base64.b64encode(envelope).decode(),
            }
        )
    return cases + invalid_cases(len(envelope), len(key_id) + 7, context, key_id)


def invalid_cases(size: int, body: int, context: bytes, key_id: str) -> list[Json]:
    """Changes of `valid-33000`: `keep` lists the slices that remain, `flip_bit` one bit, `key`/`context` others."""
    first, second, last = body + 56, body + 56 + CHUNK + 16, body + 56 + 2 * (CHUNK + 16)
    other = context_of(**{**WORDS, "subject": "sub_" + "c" * 24}, kind="features", version="1")
    flips = {
        "magic": 0,
        "version": 4,
        "suite": 5,
        "key-id-length": 6,
        "key-id": 9,
        "salt": body,
        "last-tag": size - 1,
    }
    changes: dict[str, Json] = {
        "cut-last-byte": {"keep": [[0, size - 1]]},
        "cut-last-chunk": {"keep": [[0, last]]},
        "cut-at-a-chunk": {"keep": [[0, second]]},
        "cut-in-the-prefix": {"keep": [[0, body + 20]]},
        "cut-in-the-header": {"keep": [[0, 12]]},
        "empty": {"keep": []},
        "chunks-swapped": {"keep": [[0, first], [second, last], [first, second], [last, size]]},
        "chunk-left-out": {"keep": [[0, first], [second, size]]},
        "chunk-doubled": {"keep": [[0, second], [first, size]]},
        "trailing-byte": {"keep": [[0, size], [0, 1]]},
        "moved-to-another-person": {"context": other.hex()},
        "other-key": {"key": bytes(32).hex()},
        **{f"flipped-{name}": {"flip_bit": 8 * offset + 1} for name, offset in flips.items()},
        "flipped-commitment": {"flip_bit": 8 * (body + 24) + 7},
        "flipped-first-chunk": {"flip_bit": 8 * first},
    }
    base = {"base": "valid-33000", "outcome": "integrity", "key": KEY.hex(), "context": context.hex()}
    return [{"id": name, **base, "key_id": key_id, **change} for name, change in changes.items()]


def client_cases() -> list[Json]:
    return [client_case(suite) for suite in (1, 2, 3)]


def note_cases() -> list[Json]:
    """Wire version 2: a note of 3072 bytes, sealed between the sealed key and the body."""
    note = {"subject": "Zo\u00eb 17", "size_bytes": 20000, "format": "wav"}
    text = json.dumps(note, ensure_ascii=False).encode().ljust(3072)
    return [{**client_case(suite, text), "note": note} for suite in (1, 2, 3)]


def client_case(suite: int, note: bytes = b"") -> Json:
    plaintext, envelope_id, content_key = pattern(20000), os.urandom(16), os.urandom(32)
    private, public, sealed_key = seal_key(suite, content_key, b"sottovoce/client-seal/1" + envelope_id)
    version = 2 if note else 1
    header = bytes([version, suite]) + hashlib.sha256(public).digest() + envelope_id + sealed_key
    if note:
        context = b"sottovoce/client-note/1" + hashlib.sha256(header).digest()
        header += cobblestone_256(content_key, note, context, os.urandom(24))
    bound = hashlib.sha256(header).digest()
    if suite == 1:
        nonce = os.urandom(12)
        body = nonce + AESGCM(content_key).encrypt(nonce, plaintext, bound)
    else:
        body = cobblestone_256(content_key, plaintext, bound, os.urandom(24))
    return {
        "id": f"suite-{suite}",
        "suite": suite,
        "private": base64.b64encode(private).decode(),
        "public": base64.b64encode(public).decode(),
        "envelope_id": envelope_id.hex(),
        "content_key": content_key.hex(),
        "plaintext_bytes": len(plaintext),
        "envelope": base64.b64encode(header + body).decode(),
    }


def seal_key(suite: int, content_key: bytes, info: bytes) -> tuple[bytes, bytes, bytes]:
    """Private half, public half and sealed key of a fresh recipient."""
    if suite == 1:
        return seal_key_rsa(content_key)
    if suite == 2:
        key = x25519.X25519PrivateKey.generate()
        sealed = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM).encrypt(
            content_key, key.public_key(), info
        )
        return key.private_bytes_raw(), key.public_key().public_bytes_raw(), sealed
    seed = os.urandom(32)
    expanded = hashlib.shake_256(seed).digest(96)
    pq = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    classic = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
    public = MLKEM768X25519PrivateKey(pq, classic).public_key()
    sealed = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM).encrypt(content_key, public, info)
    return seed, pq.public_key().public_bytes_raw() + classic.public_key().public_bytes_raw(), sealed


def seal_key_rsa(content_key: bytes) -> tuple[bytes, bytes, bytes]:
    made = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    private = made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    key = load_der_private_key(private, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise SystemExit("not an RSA key")
    oaep = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return private, public, key.public_key().encrypt(content_key, oaep)


def write(path: Path, about: str, cases: list[Json]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"about": about, "cases": cases}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    folders = [argument for argument in arguments if not argument.startswith("--")]
    root = Path(folders[0]) if folders else Path(__file__).resolve().parents[1] / "vectors"
    write(root / "context/context_v1.json", "docs/reference/envelope-format.md, context", context_cases())
    write(root / "pseudonym/pseudonym_v1.json", "docs/reference/key-tree.md, pseudonyms", pseudonym_cases())
    write(root / "envelope/stored_v1.json", "docs/reference/envelope-format.md, suite 0", stored_cases())
    about = "docs/reference/envelope-format.md, suites 1 to 3; the private halves are for tests only"
    if "--client" in arguments:
        write(root / "envelope/client_v1.json", about, client_cases())
    if "--client-note" in arguments:
        write(root / "envelope/client_v2.json", about, note_cases())


if __name__ == "__main__":
    main(sys.argv[1:])
