"""MP4/M4A/3GP boxes, WebM/Matroska and AMR: recognised here, decoded by the extra `[formats]`.

Sources: ISO/IEC 14496-12 (boxes), RFC 8794 (EBML), RFC 4867 section 5 (AMR).
"""

from __future__ import annotations

import struct

from sottovoce.voice.containers.base import Header, Source, read, read_exactly
from sottovoce.voice.rejections import rejected

_MAX_BOXES = 100_000  # fragmented recordings have two boxes a fragment
_SEGMENT = b"\x18\x53\x80\x67"


def parse_mp4(source: Source) -> Header:
    """The header of a source whose first box is `ftyp`: the boxes have to chain up to a movie box."""
    offset, size = 0, source.size_bytes
    movie = truncated = False
    for _ in range(_MAX_BOXES):
        if offset >= size:
            break
        name, step = _box(source, offset)
        movie = movie or name == b"moov"
        truncated = truncated or offset + step > size
        offset += step
    if not movie:
        raise rejected("header_invalid")
    return Header(container="mp4", codec="", start=0, stop=size, truncated=truncated, decoder="pyav")


def _box(source: Source, offset: int) -> tuple[bytes, int]:
    size, name = struct.unpack(">I4s", read_exactly(source, offset, 8))
    if size == 1:
        size = struct.unpack(">Q", read_exactly(source, offset + 8, 8))[0]
        if size < 16:
            raise rejected("header_invalid")
    elif size == 0:  # up to the end of the file
        size = source.size_bytes - offset
    if size < 8:
        raise rejected("header_invalid")
    return name, size


def parse_webm(source: Source) -> Header:
    """The header of a source that begins with an EBML header: it has to lead to a segment."""
    length, size = _vint(read(source, 4, 8))
    if size is None or size > 4096:
        raise rejected("header_invalid")
    segment = 4 + length + size
    if read_exactly(source, segment, 4) != _SEGMENT:
        raise rejected("header_invalid")
    length, declared = _vint(read(source, segment + 4, 8))
    stop = None if declared is None else segment + 4 + length + declared
    return Header(
        container="webm",
        codec="",
        start=0,
        stop=source.size_bytes,
        truncated=stop is not None and stop > source.size_bytes,
        flags=frozenset(["length_unknown"] if stop is None else []),
        decoder="pyav",
    )


def _vint(data: bytes) -> tuple[int, int | None]:
    """Length and value of a variable-size integer; None: all ones, which means unknown (RFC 8794 section 4)."""
    if not data or data[0] == 0:
        raise rejected("header_invalid")
    length = 9 - data[0].bit_length()
    if len(data) < length:
        raise rejected("header_invalid")
    value = int.from_bytes(data[:length]) & ((1 << 7 * length) - 1)
    return length, None if value == (1 << 7 * length) - 1 else value


def parse_amr(source: Source, *, wide: bool) -> Header:
    """The header of a source that begins with `#!AMR\\n` or `#!AMR-WB\\n`."""
    if source.size_bytes <= (9 if wide else 6):
        raise rejected("no_samples")
    return Header(
        container="amr",
        codec="amr_wb" if wide else "amr_nb",
        start=0,
        stop=source.size_bytes,
        sample_rate_hz=16_000 if wide else 8_000,
        channels=1,
        decoder="pyav",
    )
