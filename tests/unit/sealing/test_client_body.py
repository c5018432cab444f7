"""Client-sealed recordings with a note, of any size in bounded memory, read by an independent oracle."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import AudioRejected, IntegrityError, SottovoceError, UsageError
from sottovoce.model.sealed_file import SealedNote, parse_note
from sottovoce.sealing import client_body, envelope, suites
from sottovoce.sealing.suites import RecipientPrivate

SUITES = (suites.SUITE_RSA, suites.SUITE_X25519, suites.SUITE_XWING)
NOTE = SealedNote(5, "anna", "wav").to_bytes(suites.NOTE_BYTES)
SIZES = st.one_of(st.integers(0, 200_000), st.sampled_from([0, 1, 16_383, 16_384, 16_385, 65_536, 81_920]))
Oracle = Callable[[bytes, bytes, bytes], bytes | None]


@pytest.fixture(scope="module")
def recipients() -> dict[int, RecipientPrivate]:
    return {suite: suites.generate_recipient(suite, random_bytes=os.urandom) for suite in SUITES}


def sealed(private: RecipientPrivate, plain: bytes, *, limit: int = 1 << 30) -> tuple[bytes, bytes]:
    """(whole file, content key)."""
    out = bytearray()
    content_key, client_hash, size = client_body.seal_client_stream(
        private.public(), io.BytesIO(plain).readinto, out.extend, envelope_id=bytes(range(16)), note=NOTE,
        random_bytes=os.urandom, limit_bytes=limit,
    )  # fmt: skip
    header = suites.parse_client_header(bytes(out))
    assert (size, client_hash) == (len(plain), header.body_context())
    return bytes(out), content_key


def opened(private: RecipientPrivate, data: bytes) -> bytes:
    header = suites.parse_client_header(data)
    out = bytearray()
    client_body.open_client_stream(
        io.BytesIO(data[header.body_offset :]).readinto, out.extend,
        content_key=suites.open_content_key(private, header), suite=header.suite,
        client_hash=header.body_context(),
    )  # fmt: skip
    return bytes(out)


def oracle_body(suite: int, content_key: bytes, data: bytes, cobblestone: Oracle) -> bytes | None:
    end = 50 + {1: 512, 2: 80, 3: 1168}[suite] + 56 + 3072 + 16
    bound, body = hashlib.sha256(data[:end]).digest(), data[end:]
    if suite == 1:
        return AESGCM(content_key).decrypt(body[:12], body[12:], bound)
    return cobblestone(content_key, body, bound)


@given(size=SIZES, suite=st.sampled_from(SUITES))
def test_X27_any_size_opens_with_an_independent_reader(
    recipients: dict[int, RecipientPrivate], cobblestone_oracle: Oracle, size: int, suite: int
) -> None:
    """A recording of any size that was sealed piece by piece opens, read by two implementations."""
    plain = bytes((7 * i + (i >> 8)) & 0xFF for i in range(size))
    data, content_key = sealed(recipients[suite], plain)
    assert oracle_body(suite, content_key, data, cobblestone_oracle) == plain
    assert opened(recipients[suite], data) == plain
    header = suites.parse_client_header(data)
    assert len(data) - header.body_offset == client_body.sealed_body_bytes(suite, size)
    assert client_body.plain_body_bytes(suite, len(data) - header.body_offset) == size


def test_M16_vectors_of_sealed_files(
    repo_root: Path, pattern: Callable[[int], bytes], cobblestone_oracle: Oracle
) -> None:
    """Published sealed files of every suite open, with their notes, today and for ever."""
    cases = json.loads((repo_root / "vectors/envelope/client_v2.json").read_text())["cases"]
    assert [case["suite"] for case in cases] == [1, 2, 3]
    for case in cases:
        private = RecipientPrivate(case["suite"], base64.b64decode(case["private"]))
        data, content_key = base64.b64decode(case["envelope"]), bytes.fromhex(case["content_key"])
        header = suites.parse_client_header(data)
        assert suites.open_content_key(private, header) == content_key
        note = parse_note(suites.open_note(content_key, header))
        assert note == SealedNote(**case["note"])
        assert opened(private, data) == pattern(case["plaintext_bytes"])
        assert oracle_body(case["suite"], content_key, data, cobblestone_oracle) == pattern(20_000)


@pytest.mark.parametrize("suite", SUITES)
def test_X25_who_speaks_stands_in_no_header_and_no_length(
    suite: int, recipients: dict[int, RecipientPrivate]
) -> None:
    """The note of a sealed file is unreadable without the key, and as long for a short name as for a long one."""
    data, content_key = sealed(recipients[suite], b"voice")
    assert b"anna" not in data
    assert b"voice" not in data
    header = suites.parse_client_header(data)
    assert len(header.note) == suites.SEALED_NOTE_BYTES
    with pytest.raises(IntegrityError):
        suites.open_note(bytes(32), header)
    assert suites.open_note(content_key, header) == NOTE
    with pytest.raises(UsageError):
        suites.seal_content_key(
            recipients[suite].public(), bytes(32), envelope_id=bytes(16), note=b"of another length"
        )


@given(suite=st.sampled_from(SUITES), data=st.data())
def test_M16_any_changed_bit_any_cut_and_any_swap_is_refused(
    recipients: dict[int, RecipientPrivate], suite: int, data: st.DataObject
) -> None:
    """A sealed file with one bit changed anywhere, cut anywhere, or put together from two, does not open."""
    whole, _ = sealed(recipients[suite], bytes(20_000))
    offset = suites.parse_client_header(whole).body_offset
    places = st.one_of(st.integers(0, len(whole) - 1), st.integers(0, offset + 80))
    kind = data.draw(st.sampled_from(["flip", "cut", "swap", "note"]))
    if kind == "flip":
        broken = bytearray(whole)
        broken[data.draw(places)] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        broken = bytearray(whole[: data.draw(places)])
    else:
        other, _ = sealed(recipients[suite], bytes(20_000))
        start = offset if kind == "swap" else offset - suites.SEALED_NOTE_BYTES
        end = len(whole) if kind == "swap" else offset
        broken = bytearray(whole[:start] + other[start:end] + whole[end:])
    with pytest.raises(SottovoceError):
        opened(recipients[suite], bytes(broken))


def test_the_version_of_the_wire_is_bound(recipients: dict[int, RecipientPrivate]) -> None:
    whole, _ = sealed(recipients[2], b"voice")
    with pytest.raises(IntegrityError):
        opened(recipients[2], b"\x01" + whole[1:])


def test_too_much_is_refused_before_all_of_it_was_read(recipients: dict[int, RecipientPrivate]) -> None:
    with pytest.raises(AudioRejected) as refused:
        sealed(recipients[2], bytes(300_000), limit=200_000)
    assert refused.value.reason == "too_large"


@pytest.mark.parametrize("suite", SUITES)
def test_X16_a_large_recording_needs_little_memory(
    suite: int, recipients: dict[int, RecipientPrivate]
) -> None:
    """64 MiB are sealed and opened within 2 MiB of memory, whatever the suite."""
    left = 64 << 20

    def read_into(buffer: memoryview) -> int:
        nonlocal left
        count = min(len(buffer), left)
        left -= count
        return count

    tracemalloc.start()
    try:
        client_body.seal_client_stream(
            recipients[suite].public(), read_into, lambda _: None, envelope_id=bytes(16), note=NOTE,
            random_bytes=os.urandom, limit_bytes=1 << 30,
        )  # fmt: skip
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


# --- the body as it is stored ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_M16_the_stored_header_keeps_the_hash_and_nothing_else_of_the_clients(suite: int) -> None:
    """Of the header that a sealed recording came with, its SHA-256 is stored and no part of it."""
    header = envelope.make_client_header("ses_" + "a" * 24, suite=suite, client_hash=bytes(range(32)))
    data = header.to_bytes()
    assert data == b"SVO1\x01" + bytes([suite, 28]) + b"ses_" + b"a" * 24 + bytes(range(32))
    assert envelope.parse_header(data + b"body") == header
    assert header.body_context(b"whatever") == bytes(range(32))
    for cut in range(len(data)):
        with pytest.raises(IntegrityError):
            envelope.parse_header(data[:cut])


def test_a_clients_body_never_passes_for_a_record() -> None:
    """What is bound to no context is opened by nobody who gave one."""
    header = envelope.make_client_header("rec", suite=2, client_hash=bytes(32))
    with pytest.raises(IntegrityError):
        envelope.open(
            bytes(32), header.to_bytes() + envelope.seal_body(bytes(32), b"x", bytes(32)), b"context"
        )
    with pytest.raises(UsageError):
        envelope.make_client_header("rec", suite=0, client_hash=bytes(32))


@given(st.binary(max_size=400), st.sampled_from([0, 1, 2, 3]))
def test_any_bytes_as_a_stored_header_are_refused_or_read(data: bytes, suite: int) -> None:
    wire = b"SVO1\x01" + bytes([suite]) + data
    try:
        header = envelope.parse_header(wire)
    except IntegrityError:
        return
    assert wire.startswith(header.to_bytes())
