"""A sealed body reads like the file it was, is authenticated first, and never stands in memory as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sottovoce.adapters.extractor.sources import FileSource, SealedSource
from sottovoce.errors import IntegrityError
from sottovoce.sealing.envelope import seal_body

KEY, CONTEXT = bytes(range(32)), b"tenant|subject|record|audio|1"


def sealed_file(folder: Path, plain: bytes, *, prefix: bytes = b"head") -> int:
    path = folder / "body"
    path.write_bytes(prefix + seal_body(KEY, plain, CONTEXT))
    return os.open(path, os.O_RDONLY)


def opened(fd: int, *, head_bytes: int = 1 << 20, key: bytes = KEY, context: bytes = CONTEXT) -> SealedSource:
    return SealedSource(fd, key=key, context=context, body_offset=4, head_bytes=head_bytes)


def read(source: FileSource | SealedSource, offset: int, size: int) -> bytes:
    buffer = bytearray(size)
    return bytes(buffer[: source.read_at(offset, memoryview(buffer))])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.one_of(st.integers(0, 200_000), st.sampled_from([0, 16_383, 16_384, 16_385, 65_536, 81_920])),
    head=st.sampled_from([1, 1000, 16_384, 100_000, 1 << 20]),
    reads=st.lists(st.tuples(st.integers(0, 210_000), st.integers(0, 70_000)), max_size=6),
)
def test_reads_anywhere_equal_the_plaintext(
    tmp_path: Path, size: int, head: int, reads: list[tuple[int, int]]
) -> None:
    plain = bytes((7 * i + i // 251) % 256 for i in range(size))
    fd = sealed_file(tmp_path, plain)
    try:
        source = opened(fd, head_bytes=head)
        assert source.plain_bytes() == size
        source.authenticate()
        assert source.size_bytes == size
        for offset, count in reads:
            assert read(source, offset, count) == plain[offset : offset + count]
        source.clear()
    finally:
        os.close(fd)


@pytest.mark.parametrize("change", ["key", "context", "flip", "cut", "more", "empty"])
def test_X25_a_body_that_is_not_what_was_sealed_never_reaches_a_decoder(tmp_path: Path, change: str) -> None:
    """A body sealed for another record, altered or cut does not open, and no byte of it is decoded."""
    fd = sealed_file(tmp_path, bytes(100_000))
    os.close(fd)
    path = tmp_path / "body"
    data = bytearray(path.read_bytes())
    if change == "flip":
        data[90_000] ^= 1
    data = {"cut": data[:70_000], "more": data + b"x", "empty": data[:4]}.get(change, data)
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        key = bytes(32) if change == "key" else KEY
        source = opened(fd, key=key, context=b"another" if change == "context" else CONTEXT)
        with pytest.raises(IntegrityError):
            source.authenticate()
        with pytest.raises(IntegrityError):
            read(source, 0, 10)
    finally:
        os.close(fd)


def test_X16_what_was_opened_is_zeroed(tmp_path: Path) -> None:
    """After use the buffers that held plaintext hold zeros."""
    fd = sealed_file(tmp_path, b"voice" * 1000)
    source = opened(fd)
    source.authenticate()
    assert read(source, 0, 5) == b"voice"
    source.clear()
    os.close(fd)
    assert not any(source._plain)
    assert not any(source._head[:])


def test_a_file_is_read_in_place_and_its_offset_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    fd = os.open(path, os.O_RDONLY)
    os.lseek(fd, 7, os.SEEK_SET)
    source = FileSource(fd)
    assert source.size_bytes == 10
    assert read(source, 3, 4) == b"3456"
    assert read(source, 8, 4) == b"89"
    assert read(source, 50, 4) == b""
    assert os.lseek(fd, 0, os.SEEK_CUR) == 7
    os.close(fd)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    size=st.one_of(st.integers(0, 200_000), st.sampled_from([0, 1, 65_507, 65_508, 65_509, 131_072])),
    head=st.sampled_from([1, 16_384, 1 << 20]),
    reads=st.lists(st.tuples(st.integers(0, 210_000), st.integers(0, 70_000)), max_size=4),
)
def test_a_body_of_one_gcm_message_reads_like_the_file_it_was(
    tmp_path: Path, size: int, head: int, reads: list[tuple[int, int]]
) -> None:
    """What clients of suite 1 seal (RSA): nonce, ciphertext and one tag at the very end."""
    plain, nonce = bytes((7 * i + i // 251) % 256 for i in range(size)), bytes(range(12))
    body = nonce + AESGCM(KEY).encrypt(nonce, plain, CONTEXT)
    (tmp_path / "body").write_bytes(b"head" + body)
    for broken in (False, True):
        if broken:
            (tmp_path / "body").write_bytes(b"head" + body[:-1] + bytes([body[-1] ^ 1]))
        fd = os.open(tmp_path / "body", os.O_RDONLY)
        try:
            source = SealedSource(fd, key=KEY, context=CONTEXT, body_offset=4, suite=1, head_bytes=head)
            assert source.plain_bytes() == size
            if broken:
                with pytest.raises(IntegrityError):
                    source.authenticate()
                with pytest.raises(IntegrityError):
                    read(source, 0, 1)
                continue
            source.authenticate()
            for offset, count in reads:
                assert read(source, offset, count) == plain[offset : offset + count]
        finally:
            os.close(fd)
