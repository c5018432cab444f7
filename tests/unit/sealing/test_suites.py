"""Client sealing, each suite read by an independent oracle written from its specification."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import mlkem, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_der_private_key
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import IntegrityError, KeyUnavailable, UsageError
from sottovoce.sealing import suites
from sottovoce.sealing.suites import RecipientPrivate, RecipientPublic

SUITES = (suites.SUITE_RSA, suites.SUITE_X25519, suites.SUITE_XWING)
ENVELOPE_ID = bytes(range(16))
Oracle = Callable[[bytes, bytes, bytes], bytes | None]


@pytest.fixture(scope="module")
def recipients() -> dict[int, RecipientPrivate]:
    return {suite: suites.generate_recipient(suite, random_bytes=os.urandom) for suite in SUITES}


def sealed_to(private: RecipientPrivate, plaintext: bytes) -> bytes:
    return suites.seal_to(private.public(), plaintext, envelope_id=ENVELOPE_ID, random_bytes=os.urandom)


def opened(private: RecipientPrivate, envelope: bytes) -> bytes:
    header = suites.parse_client_header(envelope)
    content_key = suites.open_content_key(private, header)
    return suites.open_client_body(
        content_key, envelope[header.body_offset :], suite=header.suite, body_context=header.body_context()
    )


# --- oracles --------------------------------------------------------------------------------------------------


def mgf1(seed: bytes, size: int) -> bytes:
    """RFC 8017, B.2.1, with SHA-256."""
    blocks = (hashlib.sha256(seed + counter.to_bytes(4, "big")).digest() for counter in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def rsa_oaep_open(private: bytes, sealed: bytes) -> bytes | None:
    """RFC 8017, 7.1.2, with integers: SHA-256, MGF1 SHA-256, empty label."""
    key = load_der_private_key(private, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    size = numbers.public_numbers.n.bit_length() // 8
    message = pow(int.from_bytes(sealed, "big"), numbers.d, numbers.public_numbers.n).to_bytes(size, "big")
    masked_seed, masked_block = message[1:33], message[33:]
    seed = bytes(a ^ b for a, b in zip(masked_seed, mgf1(masked_block, 32), strict=True))
    block = bytes(a ^ b for a, b in zip(masked_block, mgf1(seed, size - 33), strict=True))
    label_hash, _, rest = block[:32], *block[32:].partition(b"\x01")[:1], block[32:].lstrip(b"\0")
    if message[0] or label_hash != hashlib.sha256(b"").digest() or rest[:1] != b"\x01":
        return None
    return rest[1:]


def hkdf_extract(salt: bytes, secret: bytes) -> bytes:
    return hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()


def hkdf_expand(key: bytes, info: bytes, size: int) -> bytes:
    out = block = b""
    while len(out) < size:
        block = hmac.new(key, block + info + bytes([len(out) // 32 + 1]), hashlib.sha256).digest()
        out += block
    return out[:size]


def labeled_extract(suite_id: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    """RFC 9180, 4."""
    return hkdf_extract(salt, b"HPKE-v1" + suite_id + label + secret)


def labeled_expand(suite_id: bytes, key: bytes, label: bytes, info: bytes, size: int) -> bytes:
    return hkdf_expand(key, size.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info, size)


def hpke_open(kem_id: int, shared_secret: bytes, info: bytes, sealed: bytes) -> bytes | None:
    """RFC 9180, 5.1 and 5.2: base mode, HKDF-SHA256, AES-256-GCM, sequence number 0, no AAD."""
    suite_id = b"HPKE" + kem_id.to_bytes(2, "big") + b"\x00\x01\x00\x02"
    psk_id_hash = labeled_extract(suite_id, b"", b"psk_id_hash", b"")
    context = b"\x00" + psk_id_hash + labeled_extract(suite_id, b"", b"info_hash", info)
    secret = labeled_extract(suite_id, shared_secret, b"secret", b"")
    key = labeled_expand(suite_id, secret, b"key", context, 32)
    nonce = labeled_expand(suite_id, secret, b"base_nonce", context, 12)
    try:
        return AESGCM(key).decrypt(nonce, sealed, b"")
    except InvalidTag:
        return None


def x25519_open(private: bytes, sealed: bytes, info: bytes) -> bytes | None:
    """RFC 9180, 4.1: DHKEM(X25519, HKDF-SHA256)."""
    key = x25519.X25519PrivateKey.from_private_bytes(private)
    enc, sealed = sealed[:32], sealed[32:]
    shared = key.exchange(x25519.X25519PublicKey.from_public_bytes(enc))
    suite_id = b"KEM\x00\x20"
    extracted = labeled_extract(suite_id, b"", b"eae_prk", shared)
    kem_context = enc + key.public_key().public_bytes_raw()
    secret = labeled_expand(suite_id, extracted, b"shared_secret", kem_context, 32)
    return hpke_open(0x0020, secret, info, sealed)


def xwing_open(seed: bytes, sealed: bytes, info: bytes) -> bytes | None:
    """draft-connolly-cfrg-xwing-kem, 5.3 and 5.4: SHA3-256(ss_M | ss_X | ct_X | pk_X | label)."""
    expanded = hashlib.shake_256(seed).digest(96)
    classic = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
    ct_m, ct_x, sealed = sealed[:1088], sealed[1088:1120], sealed[1120:]
    ss_m = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]).decapsulate(ct_m)
    ss_x = classic.exchange(x25519.X25519PublicKey.from_public_bytes(ct_x))
    combined = ss_m + ss_x + ct_x + classic.public_key().public_bytes_raw() + b"\\.//^\\"
    return hpke_open(0x647A, hashlib.sha3_256(combined).digest(), info, sealed)


def oracle_content_key(private: RecipientPrivate, envelope: bytes) -> bytes | None:
    """The content key, read from the wire format as the reference text describes it."""
    envelope_id = envelope[34:50]
    sealed = envelope[50 : 50 + {1: 512, 2: 80, 3: 1168}[envelope[1]]]
    info = b"sottovoce/client-seal/1" + envelope_id
    if private.suite == 1:
        return rsa_oaep_open(private.data, sealed)
    return (x25519_open if private.suite == 2 else xwing_open)(private.data, sealed, info)


def oracle_body(content_key: bytes, envelope: bytes, cobblestone: Oracle) -> bytes | None:
    end = 50 + {1: 512, 2: 80, 3: 1168}[envelope[1]]
    bound, body = hashlib.sha256(envelope[:end]).digest(), envelope[end:]
    if envelope[1] == 1:
        return AESGCM(content_key).decrypt(body[:12], body[12:], bound)
    return cobblestone(content_key, body, bound)


# --- tests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_M17_each_suite_agrees_with_an_independent_reader(
    suite: int, recipients: dict[int, RecipientPrivate], cobblestone_oracle: Oracle
) -> None:
    """A recording sealed on the person's device opens with the recipient's key, read by two implementations."""
    plaintext = os.urandom(40_000)
    envelope = sealed_to(recipients[suite], plaintext)
    content_key = oracle_content_key(recipients[suite], envelope)
    assert content_key == suites.open_content_key(recipients[suite], suites.parse_client_header(envelope))
    assert oracle_body(content_key, envelope, cobblestone_oracle) == plaintext
    assert opened(recipients[suite], envelope) == plaintext
    assert plaintext[:16] not in envelope


def test_M17_vectors_of_client_sealing(
    repo_root: Path, pattern: Callable[[int], bytes], cobblestone_oracle: Oracle
) -> None:
    """Published client-sealed recordings of every suite open today and for ever."""
    cases = json.loads((repo_root / "vectors/envelope/client_v1.json").read_text())["cases"]
    assert [case["suite"] for case in cases] == [1, 2, 3]
    for case in cases:
        private = RecipientPrivate(case["suite"], base64.b64decode(case["private"]))
        envelope, plaintext = base64.b64decode(case["envelope"]), pattern(case["plaintext_bytes"])
        assert private.public().data == base64.b64decode(case["public"])
        assert oracle_content_key(private, envelope) == bytes.fromhex(case["content_key"])
        assert oracle_body(bytes.fromhex(case["content_key"]), envelope, cobblestone_oracle) == plaintext
        assert opened(private, envelope) == plaintext
        assert suites.parse_client_header(envelope).envelope_id.hex() == case["envelope_id"]


@pytest.mark.parametrize("suite", SUITES)
def test_M16_only_the_content_key_is_opened_on_arrival(
    suite: int, recipients: dict[int, RecipientPrivate]
) -> None:
    """What arrives gives up its content key only; the sealed-key field can be dropped, and the body still opens."""
    envelope = sealed_to(recipients[suite], b"audio")
    header = suites.parse_client_header(envelope[: suites.CLIENT_HEADER_MAX_BYTES])
    content_key = suites.open_content_key(recipients[suite], header)
    kept_hash, kept_body = header.body_context(), envelope[header.body_offset :]
    assert suites.open_client_body(content_key, kept_body, suite=suite, body_context=kept_hash) == b"audio"
    with pytest.raises(IntegrityError):
        suites.open_client_body(os.urandom(32), kept_body, suite=suite, body_context=kept_hash)


@pytest.mark.parametrize("suite", SUITES)
def test_M16_header_and_body_are_bound(suite: int, recipients: dict[int, RecipientPrivate]) -> None:
    """A body under another envelope's header, and an envelope with any changed part, is refused."""
    one, two = sealed_to(recipients[suite], b"one"), sealed_to(recipients[suite], b"two")
    offset = suites.parse_client_header(one).body_offset
    with pytest.raises(IntegrityError):
        opened(recipients[suite], one[:offset] + two[offset:])
    for position in (0, 1, 2, 33, 34, 49, 50, offset - 1, offset, offset + 11, len(one) - 1):
        broken = bytearray(one)
        broken[position] ^= 1
        with pytest.raises((IntegrityError, KeyUnavailable)):
            opened(recipients[suite], bytes(broken))


@pytest.mark.parametrize("suite", SUITES)
def test_M16_content_key_is_bound_to_its_header(suite: int, recipients: dict[int, RecipientPrivate]) -> None:
    """Even with the right content key a body under a changed header does not open."""
    envelope = sealed_to(recipients[suite], b"audio")
    header = suites.parse_client_header(envelope)
    content_key = suites.open_content_key(recipients[suite], header)
    for other in (replace(header, envelope_id=bytes(16)), replace(header, recipient_key_id=bytes(32))):
        with pytest.raises(IntegrityError):
            suites.open_client_body(
                content_key, envelope[header.body_offset :], suite=suite, body_context=other.body_context()
            )


@pytest.mark.parametrize("suite", [suites.SUITE_X25519, suites.SUITE_XWING])
def test_a_content_key_sealed_for_one_envelope_does_not_open_in_another(
    suite: int, recipients: dict[int, RecipientPrivate]
) -> None:
    header = suites.parse_client_header(sealed_to(recipients[suite], b"audio"))
    with pytest.raises(IntegrityError):
        suites.open_content_key(recipients[suite], replace(header, envelope_id=bytes(16)))


@pytest.mark.parametrize("suite", SUITES)
def test_M16_a_copy_of_the_wire_is_worthless_without_the_recipients_key(
    suite: int, recipients: dict[int, RecipientPrivate]
) -> None:
    """A leaked upload opens with no other recipient's key."""
    envelope = sealed_to(recipients[suite], b"audio")
    header = suites.parse_client_header(envelope)
    for other in SUITES:
        if other != suite:
            with pytest.raises(KeyUnavailable) as refused:
                suites.open_content_key(recipients[other], header)
            assert refused.value.reason == "recipient_unknown"
    if suite == suites.SUITE_RSA:
        return  # a second RSA key takes seconds; its key id differs, as those of the others do
    stranger = suites.generate_recipient(suite, random_bytes=os.urandom)
    with pytest.raises(KeyUnavailable):
        suites.open_content_key(stranger, header)
    with pytest.raises(IntegrityError):
        suites.open_content_key(stranger, replace(header, recipient_key_id=stranger.public().key_id))


@given(st.one_of(st.binary(max_size=1500), st.tuples(st.sampled_from(SUITES), st.binary(max_size=1300))))
def test_arbitrary_bytes_never_crash_the_reader(data: bytes | tuple[int, bytes]) -> None:
    wire = data if isinstance(data, bytes) else bytes([1, data[0]]) + data[1]
    try:
        header = suites.parse_client_header(wire)
    except IntegrityError:
        return
    assert wire.startswith(header.to_bytes())


@pytest.mark.parametrize("suite", SUITES)
def test_garbage_as_sealed_key_or_body_is_refused(
    suite: int, recipients: dict[int, RecipientPrivate]
) -> None:
    private = recipients[suite]
    for sealed_key in (bytes(suites.SEALED_KEY_BYTES[suite]), os.urandom(suites.SEALED_KEY_BYTES[suite])):
        header = suites.ClientHeader(suite, private.public().key_id, ENVELOPE_ID, sealed_key)
        with pytest.raises(IntegrityError):
            suites.open_content_key(private, header)
    for body in (b"", bytes(27), bytes(28), bytes(100)):
        with pytest.raises(IntegrityError):
            suites.open_client_body(bytes(32), body, suite=suite, body_context=bytes(32))


def test_a_content_key_of_another_size_is_refused(recipients: dict[int, RecipientPrivate]) -> None:
    private = recipients[suites.SUITE_X25519]
    header = suites.seal_content_key(private.public(), bytes(32), envelope_id=ENVELOPE_ID)
    assert suites.open_content_key(private, header) == bytes(32)
    short = suites._encapsulate(private.public(), bytes(16), info=suites.INFO_LABEL + ENVELOPE_ID)
    with pytest.raises(IntegrityError):
        suites.open_content_key(private, replace(header, sealed_key=short))


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("data", [b"", b"x", bytes(32), bytes(1216), bytes(1184) + bytes(31)])
def test_impossible_public_keys_are_refused(suite: int, data: bytes) -> None:
    public = RecipientPublic(suite, data)
    with pytest.raises(UsageError):
        suites.seal_to(public, b"x", envelope_id=ENVELOPE_ID, random_bytes=os.urandom)


def test_a_small_rsa_key_is_refused() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    small = rsa.generate_private_key(65537, 2048).public_key()
    data = small.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(UsageError):
        suites.seal_content_key(RecipientPublic(1, data), bytes(32), envelope_id=ENVELOPE_ID)


@pytest.mark.parametrize("suite", SUITES)
def test_impossible_private_keys_are_refused(suite: int) -> None:
    with pytest.raises(UsageError):
        RecipientPrivate(suite, b"short").public()


def test_a_private_key_of_another_kind_is_not_an_rsa_recipient() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    other = x25519.X25519PrivateKey.generate()
    data = other.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(UsageError):
        RecipientPrivate(1, data).public()


def test_unknown_suites_and_envelope_ids_are_refused(recipients: dict[int, RecipientPrivate]) -> None:
    with pytest.raises(UsageError):
        suites.generate_recipient(9, random_bytes=os.urandom)
    with pytest.raises(UsageError):
        suites.seal_content_key(recipients[2].public(), bytes(32), envelope_id=b"short")


def test_the_default_suite_is_xwing_and_private_halves_have_no_repr() -> None:
    seed = bytes(range(32))
    private = suites.generate_recipient(random_bytes=lambda _: seed)
    assert private.suite == suites.SUITE_XWING
    assert "data" not in repr(private)
    assert private.public().key_id == hashlib.sha256(private.public().data).digest()
