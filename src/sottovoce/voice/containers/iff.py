"""AIFF, AIFF-C and Sun/NeXT AU: big-endian headers with a declared size each.

Sources: Apple "Audio Interchange File Format 1.3" (1989) and "AIFF-C draft 1991-08-26"; Sun `audio_filehdr`.
"""

from __future__ import annotations

import struct

from sottovoce.voice.containers.base import Header, Source, read_exactly
from sottovoce.voice.rejections import rejected

_MAX_CHUNKS = 1000
_AIFC_CODECS = {
    b"NONE": "pcm", b"twos": "pcm", b"sowt": "pcm", b"in24": "pcm", b"in32": "pcm",
    b"fl32": "float_32", b"FL32": "float_32", b"fl64": "float_64", b"FL64": "float_64",
    b"ulaw": "ulaw", b"ULAW": "ulaw", b"alaw": "alaw", b"ALAW": "alaw", b"ima4": "ima_adpcm",
}  # fmt: skip
_AU_CODECS = {
    1: ("ulaw", 1), 2: ("pcm_8", 1), 3: ("pcm_16", 2), 4: ("pcm_24", 3),
    5: ("pcm_32", 4), 6: ("float_32", 4), 7: ("float_64", 8), 27: ("alaw", 1),
}  # fmt: skip


def parse_aiff(source: Source) -> Header:
    """The header of a source that begins with FORM and AIFF or AIFC."""
    aifc = read_exactly(source, 8, 4) == b"AIFC"
    common: tuple[str, int, int, int] | None = None
    offset = 12
    for _ in range(_MAX_CHUNKS):
        if offset >= source.size_bytes and common is not None and common[2] == 0:
            raise rejected("no_samples")
        name, size = struct.unpack(">4sI", read_exactly(source, offset, 8))
        offset += 8
        if name == b"COMM":
            common = _common(read_exactly(source, offset, 22 if aifc else 18), aifc=aifc)
        elif name == b"SSND" and common is not None:
            return _aiff_header(source, common, offset, size)
        offset += size + (size & 1)
    raise rejected("header_invalid")


def _common(data: bytes, *, aifc: bool) -> tuple[str, int, int, int]:
    """Codec, channels, frames and sample rate of a COMM chunk."""
    channels, frames, bits, exponent, mantissa = struct.unpack(">HIHHQ", data[:18])
    power = (exponent & 0x7FFF) - 16383 - 63
    rate = 0 if exponent & 0x8000 or not -64 < power < 0 else mantissa >> -power
    codec = _AIFC_CODECS.get(data[18:22], "") if aifc else "pcm"
    if not codec:
        raise rejected("format_not_allowed")
    if channels == 0 or rate == 0 or (codec == "pcm" and not 1 <= bits <= 32):
        raise rejected("header_invalid")
    return (f"pcm_{(bits + 7) // 8 * 8}" if codec == "pcm" else codec), channels, frames, rate


def _aiff_header(source: Source, common: tuple[str, int, int, int], offset: int, size: int) -> Header:
    codec, channels, frames, rate = common
    if frames == 0 or size <= 8:
        raise rejected("no_samples")
    stop = offset + size
    return Header(
        container="aiff",
        codec=codec,
        start=0,
        # COMM may stand behind SSND in theory; then no header was found and the file is refused above.
        stop=min(stop, source.size_bytes),
        sample_rate_hz=rate,
        channels=channels,
        frames=frames,
        exact_frames=codec.startswith(("pcm", "float", "ulaw", "alaw")),
        truncated=stop > source.size_bytes,
    )


def parse_au(source: Source) -> Header:
    """The header of a source that begins with `.snd`."""
    data_start, declared, encoding, rate, channels = struct.unpack(">IIIII", read_exactly(source, 4, 20))
    if data_start < 24 or data_start > source.size_bytes or rate == 0 or channels == 0:
        raise rejected("header_invalid")
    if encoding not in _AU_CODECS:
        raise rejected("format_not_allowed")
    codec, width = _AU_CODECS[encoding]
    present = source.size_bytes - data_start
    known = declared != 0xFFFFFFFF
    usable = min(declared, present) if known else present
    if (declared if known else present) == 0:
        raise rejected("no_samples")
    flags = frozenset([] if known else ["length_unknown"])
    return Header(
        container="au",
        codec=codec,
        start=0,
        stop=data_start + usable,
        sample_rate_hz=rate,
        channels=channels,
        frames=declared // (width * channels) if known else None,
        exact_frames=known,
        truncated=known and present < declared,
        flags=flags | ({"trailing_bytes"} if known and present > declared else set()),
    )
