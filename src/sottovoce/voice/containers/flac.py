"""FLAC: the chain of metadata blocks, STREAMINFO, and what the first and last frames say against it (RFC 9639).

STREAMINFO may declare 2^36-1 samples in a file of a few kilobytes: the number is compared with limits and with
the last frame that is really there, never used as a size.
"""

from __future__ import annotations

from dataclasses import dataclass

from sottovoce.voice.containers.base import Header, Source, read, read_exactly
from sottovoce.voice.rejections import rejected

_MAX_BLOCKS = 1024
_TAIL_BYTES = 1 << 19  # more than the largest usual frame; a last frame not found there is simply not known
_BLOCK_SIZES = {1: 192} | {n: 576 << (n - 2) for n in range(2, 6)} | {n: 256 << (n - 8) for n in range(8, 16)}


@dataclass(frozen=True, slots=True)
class _StreamInfo:
    min_block: int
    max_block: int
    max_frame_bytes: int  # 0: not declared
    sample_rate_hz: int
    channels: int
    bits: int
    frames: int  # 0: not declared


@dataclass(frozen=True, slots=True)
class _Frame:
    number: int  # of the frame, or of its first sample where the block size varies
    block: int
    variable: bool


def parse(source: Source, start: int = 0) -> Header:
    """The header of a source with `fLaC` at `start` (behind an ID3 tag, if any)."""
    info, audio = _metadata(source, start)
    size = source.size_bytes
    if audio >= size:
        raise rejected("no_samples")
    first = _frame(read(source, audio, 16))
    if first is None:
        raise rejected("header_invalid")
    last = _last_frame(source, audio)
    end = None if last is None else last.number * (1 if last.variable else first.block) + last.block
    flags = set() if info.frames else {"length_unknown"}
    if _lies(info, first, last, end, size - audio):
        flags.add("header_mismatch")
    return Header(
        container="flac",
        codec=f"pcm_{info.bits}",
        start=start,
        stop=size,
        sample_rate_hz=info.sample_rate_hz,
        channels=info.channels,
        frames=info.frames or None,
        exact_frames=bool(info.frames),
        truncated=bool(info.frames) and end is not None and end < info.frames,
        flags=frozenset(flags),
    )


def _metadata(source: Source, start: int) -> tuple[_StreamInfo, int]:
    """STREAMINFO and the offset of the first frame; the chain has to lead exactly to a frame."""
    offset = start + 4
    info: _StreamInfo | None = None
    for _ in range(_MAX_BLOCKS):
        head = read_exactly(source, offset, 4)
        kind, size = head[0] & 0x7F, int.from_bytes(head[1:])
        offset += 4
        if (info is None) != (kind == 0) or kind == 127 or offset + size > source.size_bytes:
            raise rejected("header_invalid")
        if kind == 0:
            info = _streaminfo(read_exactly(source, offset, size)) if size == 34 else None
        if info is None:
            raise rejected("header_invalid")
        offset += size
        if head[0] & 0x80:
            return info, offset
    raise rejected("header_invalid")


def _streaminfo(data: bytes) -> _StreamInfo:
    packed = int.from_bytes(data[10:18])
    info = _StreamInfo(
        min_block=int.from_bytes(data[0:2]),
        max_block=int.from_bytes(data[2:4]),
        max_frame_bytes=int.from_bytes(data[7:10]),
        sample_rate_hz=packed >> 44,
        channels=(packed >> 41 & 7) + 1,
        bits=(packed >> 36 & 31) + 1,
        frames=packed & (1 << 36) - 1,
    )
    if info.sample_rate_hz == 0 or info.bits < 4:
        raise rejected("header_invalid")
    return info


def _lies(info: _StreamInfo, first: _Frame, last: _Frame | None, end: int | None, audio_bytes: int) -> bool:
    """Whether the frames contradict STREAMINFO in a way that does no harm to decoding."""
    if first.block > info.max_block:
        return True
    if last is None or end is None:
        return False
    if info.frames and end > info.frames:
        return True
    count = end / first.block
    return bool(info.max_frame_bytes) and audio_bytes > info.max_frame_bytes * (count + 1)


def _last_frame(source: Source, audio: int) -> _Frame | None:
    """The last frame header with a sound checksum in the tail of the source."""
    begin = max(audio, source.size_bytes - _TAIL_BYTES)
    tail = read(source, begin, source.size_bytes - begin)
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        if tail[at + 1 : at + 2] in (b"\xf8", b"\xf9") and (found := _frame(tail[at : at + 16])):
            return found
    return None


def _frame(data: bytes) -> _Frame | None:
    """The frame header at the start of `data` (RFC 9639 section 9.1), or None where there is none."""
    if len(data) < 6 or data[0] != 0xFF or data[1] not in (0xF8, 0xF9):
        return None
    block_code, rate_code = data[2] >> 4, data[2] & 15
    if block_code == 0 or rate_code == 15 or data[3] >> 4 > 10 or data[3] & 1:
        return None
    number, at = _coded_number(data)
    extra = {6: 1, 7: 2}.get(block_code, 0)
    check = at + extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if number is None or check >= len(data) or _crc8(data[:check]) != data[check]:
        return None
    block = int.from_bytes(data[at : at + extra]) + 1 if extra else _BLOCK_SIZES[block_code]
    return _Frame(number=number, block=block, variable=data[1] == 0xF9)


def _coded_number(data: bytes) -> tuple[int | None, int]:
    """The number coded like UTF-8 at byte 4, up to 36 bits, and the offset behind it."""
    first = data[4]
    if first < 0x80:
        return first, 5
    length = 8 - (first ^ 0xFF).bit_length()
    if not 2 <= length <= 7 or len(data) < 4 + length:
        return None, 4
    value = first & (0x7F >> length)
    for byte in data[5 : 4 + length]:
        if byte & 0xC0 != 0x80:
            return None, 4
        value = value << 6 | byte & 0x3F
    return value, 4 + length


def _crc8(data: bytes) -> int:
    """CRC-8 of a frame header: polynomial x^8 + x^2 + x + 1 (RFC 9639 section 9.1.8)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07 if crc & 0x80 else crc << 1) & 0xFF
    return crc
