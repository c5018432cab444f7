"""Headers are read as the formats' texts define them, and no bytes at all make a parser do anything but refuse."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import AudioRejected
from sottovoce.voice.containers import BytesSource, flac, parse

MAGIC = [
    b"RIFF\x24\0\0\0WAVEfmt ", b"RIFX\0\0\0\x24WAVE", b"RF64\xff\xff\xff\xffWAVEds64", b"FORM\0\0\0\x24AIFFCOMM",
    b"FORM\0\0\0\x24AIFCCOMM", b".snd\0\0\0\x18", b"OggS\0\2" + bytes(20) + b"\x01\x1e\x01vorbis",
    b"OggS\0\2" + bytes(20) + b"\x01\x13OpusHead", b"fLaC\0\0\0\x22", b"ID3\4\0\0\0\0\0\x05", b"\xff\xfb\x90\x00",
    b"\0\0\0\x1cftypM4A ", b"\x1a\x45\xdf\xa3\x9f", b"#!AMR\n", b"#!AMR-WB\n", b"caff", b"",
]  # fmt: skip


@given(st.sampled_from(MAGIC), st.binary(max_size=600))
def test_X18_no_bytes_make_a_parser_fail(magic: bytes, rest: bytes) -> None:
    """Whatever follows the first bytes of a known format, the answer is a header or a reason from the list."""
    with contextlib.suppress(AudioRejected):
        header = parse(BytesSource(magic + rest))
        assert 0 <= header.start <= header.stop <= len(magic + rest)


@given(
    st.integers(1, 8),
    st.integers(8000, 192_000),
    st.sampled_from([1, 2, 3, 4]),
    st.lists(
        st.tuples(st.sampled_from([b"LIST", b"bext", b"JUNK", b"id3 "]), st.binary(max_size=40)), max_size=4
    ),
    st.integers(1, 500),
    st.booleans(),
)
def test_riff_headers(
    channels: int, rate: int, width: int, chunks: list[tuple[bytes, bytes]], frames: int, big: bool
) -> None:
    order = ">" if big else "<"
    block = channels * width
    fmt = struct.pack(order + "HHIIHH", 1, channels, rate, rate * block, block, 8 * width)
    parts = [(b"fmt ", fmt), *chunks, (b"data", bytes(frames * block))]
    body = b"".join(n + struct.pack(order + "I", len(d)) + d + bytes(len(d) % 2) for n, d in parts)
    data = (b"RIFX" if big else b"RIFF") + struct.pack(order + "I", 4 + len(body)) + b"WAVE" + body
    header = parse(BytesSource(data))
    assert (header.channels, header.sample_rate_hz, header.frames) == (channels, rate, frames)
    assert header.codec == ("pcm_u8" if width == 1 else f"pcm_{8 * width}")
    assert not header.flags
    assert not header.truncated


@pytest.mark.parametrize("tag", [0x14, 0x40, 0x64, 0x161, 0xFFFF])
def test_codecs_off_the_list_are_refused_by_name(tag: int) -> None:
    fmt = struct.pack("<HHIIHH", tag, 1, 8000, 8000, 1, 8)
    body = b"WAVEfmt \x10\0\0\0" + fmt + b"data\x10\0\0\0" + bytes(16)
    with pytest.raises(AudioRejected) as caught:
        parse(BytesSource(b"RIFF" + struct.pack("<I", len(body)) + body))
    assert caught.value.reason == "format_not_allowed"


@pytest.mark.parametrize(
    "head",
    [
        b"caff\0\1",
        b"RIFF\x24\0\0\0AVI LIST",
        b"riff\x2e\x91\xcf\x11" + bytes(40),
        b"wvpk" + bytes(40),
        b"\xff\xf1\x50\x80\x02\x1f\xfc",
    ],
)
def test_known_containers_off_the_list_are_refused_by_name(head: bytes) -> None:
    with pytest.raises(AudioRejected) as caught:
        parse(BytesSource(head + bytes(40)))
    assert caught.value.reason == "format_not_allowed"


def test_flac_frame_checksum_against_the_example_of_the_standard() -> None:
    # RFC 9639 appendix D.1: the frame header ff f8 69 18 00 00 bf, where bf is the CRC-8 of the rest.
    assert flac._crc8(bytes.fromhex("fff869180000")) == 0xBF
    assert flac._frame(bytes.fromhex("fff869180000bf0358fd03124aaa9a")) == flac._Frame(0, 1, False)


@given(st.integers(0, 2**36 - 1))
def test_flac_coded_numbers(number: int) -> None:
    assert flac._coded_number(bytes(4) + coded(number))[0] == number


def coded(number: int) -> bytes:
    """Like UTF-8, up to 36 bits: an own writer as the oracle of the reader."""
    if number < 0x80:
        return bytes([number])
    length = next(n for n in range(2, 8) if number < 1 << (5 * n + 1))
    tail = [0x80 | number >> 6 * i & 0x3F for i in reversed(range(length - 1))]
    lead = (0xFF << (8 - length)) & 0xFF | number >> 6 * (length - 1)
    return bytes([lead, *tail])


def test_an_amr_recording_without_frames_has_no_samples() -> None:
    with pytest.raises(AudioRejected) as caught:
        parse(BytesSource(b"#!AMR\n"))
    assert caught.value.reason == "no_samples"


def test_an_mp4_that_lost_its_end_is_noticed() -> None:
    box = struct.pack(">I4s", 16, b"ftyp") + bytes(8) + struct.pack(">I4s", 8, b"moov")
    assert not parse(BytesSource(box)).truncated
    assert parse(BytesSource(box + struct.pack(">I4s", 100, b"mdat"))).truncated


def test_a_webm_from_a_browser_has_no_length() -> None:
    stream = b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67"
    assert "length_unknown" in parse(BytesSource(stream + b"\x01\xff\xff\xff\xff\xff\xff\xff")).flags
    assert parse(BytesSource(stream + b"\x8a")).truncated
