"""Ogg with Vorbis, Opus or FLAC: the first page, and whether the last page is whole.

Sources: RFC 3533 (Ogg), RFC 7845 (Opus in Ogg), the Vorbis I specification, the Ogg FLAC mapping (RFC 9639).
"""

from __future__ import annotations

import struct

from sottovoce.voice.containers.base import Header, Source, read, read_exactly
from sottovoce.voice.rejections import rejected

_PAGE_HEADER_BYTES = 27
_TAIL_BYTES = 1 << 17  # a page has at most 65,307 bytes
_NO_POSITION = (1 << 64) - 1


def parse(source: Source) -> Header:
    """The header of a source that begins with a whole Ogg page header."""
    head = read_exactly(source, 0, _PAGE_HEADER_BYTES)
    if head[4] != 0 or not head[5] & 2:
        raise rejected("header_invalid")
    packet = read_exactly(source, _PAGE_HEADER_BYTES + head[26], min(64, _body_bytes(source, 0, head)))
    codec, rate, channels, position_rate = _identify(packet)
    position, truncated = _last_page(source)
    frames = None
    if position is not None and rate is not None and position_rate:
        frames = position * rate // position_rate
    elif position is not None and position_rate:
        frames = position
    return Header(
        container="ogg",
        codec=codec,
        start=0,
        stop=source.size_bytes,
        sample_rate_hz=rate,
        channels=channels,
        frames=frames,
        truncated=truncated,
    )


def _identify(packet: bytes) -> tuple[str, int | None, int, int]:
    """Codec, rate (None: the decoder chooses), channels and the rate of page positions, of the first packet."""
    if packet[:7] == b"\x01vorbis" and len(packet) >= 16:
        channels, rate = packet[11], struct.unpack("<I", packet[12:16])[0]
        if channels == 0 or rate == 0:
            raise rejected("header_invalid")
        return "vorbis", rate, channels, rate
    if packet[:8] == b"OpusHead" and len(packet) >= 19:
        if packet[9] == 0 or packet[8] > 15:
            raise rejected("header_invalid")
        return "opus", None, packet[9], 48_000
    if packet[:5] == b"\x7fFLAC" and len(packet) >= 35:
        packed = int.from_bytes(packet[27:35])
        rate = packed >> 44
        if rate == 0:
            raise rejected("header_invalid")
        return "flac", rate, (packed >> 41 & 7) + 1, rate
    if packet[:8] == b"Speex   " or packet[:7] in (b"\x80theora", b"fishead"):
        raise rejected("format_not_allowed")
    raise rejected("header_invalid")


def _body_bytes(source: Source, offset: int, head: bytes) -> int:
    return sum(read_exactly(source, offset + _PAGE_HEADER_BYTES, head[26]))


def _last_page(source: Source) -> tuple[int | None, bool]:
    """Position (samples at the end) of the last page, and whether that page is cut."""
    begin = max(0, source.size_bytes - _TAIL_BYTES)
    tail = read(source, begin, _TAIL_BYTES)
    at = len(tail)
    while (at := tail.rfind(b"OggS", 0, at)) >= 0:
        head = tail[at : at + _PAGE_HEADER_BYTES]
        if len(head) < _PAGE_HEADER_BYTES:
            return None, True
        if head[4] == 0 and head[5] <= 7:
            segments = tail[at + _PAGE_HEADER_BYTES : at + _PAGE_HEADER_BYTES + head[26]]
            stop = at + _PAGE_HEADER_BYTES + head[26] + sum(segments)
            position = int.from_bytes(head[6:14], "little")
            cut = len(segments) < head[26] or stop > len(tail)
            return (None if position == _NO_POSITION else position), cut
    return None, False
