"""WAVE in RIFF, RIFX and RF64: chunks, format and the size its data chunk declares.

libsndfile accepts a WAV whose data chunk is cut and does not tell (`truncated_data.wav`: 32,000 bytes declared,
19,956 present, reported as complete), so the sizes are compared here. Sources: Microsoft/IBM "Multimedia
Programming Interface and Data Specifications 1.0" (1991), EBU Tech 3306 (RF64), Microsoft mmreg.h for the tags.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sottovoce.voice.containers.base import Header, Source, read, read_exactly
from sottovoce.voice.rejections import rejected

_MAX_CHUNKS = 1000
# Streamed files leave the size open: 0xFFFFFFFF (ffmpeg), 0 (others), or the largest even value (SoX: 0x7FFFF000).
_OPEN_SIZE = 0x7FFFF000

_PCM, _MS_ADPCM, _FLOAT, _ALAW, _ULAW, _IMA_ADPCM, _GSM, _MP3, _EXTENSIBLE = (
    1,
    2,
    3,
    6,
    7,
    0x11,
    0x31,
    0x55,
    0xFFFE,
)
_CODECS = {
    _MS_ADPCM: "ms_adpcm",
    _ALAW: "alaw",
    _ULAW: "ulaw",
    _IMA_ADPCM: "ima_adpcm",
    _GSM: "gsm610",
    _MP3: "mp3",
}
_BYTE_CODED = (_ALAW, _ULAW)


@dataclass(frozen=True, slots=True)
class _Format:
    codec: str
    channels: int
    sample_rate_hz: int
    frame_bytes: int  # 0 where samples come in compressed blocks
    consistent: bool  # byte rate and block size agree with the rest


@dataclass(frozen=True, slots=True)
class _Chunks:
    format: _Format
    data_start: int
    declared_bytes: int | None  # None: the writer left it open
    riff_stop: int | None


def parse(source: Source) -> Header:
    """The header of a source that begins with RIFF, RIFX or RF64 and the form WAVE."""
    chunks = _chunks(source)
    kind = chunks.format
    present = source.size_bytes - chunks.data_start
    declared = chunks.declared_bytes
    if (present if declared is None else declared) == 0:
        # An empty compressed stream shows no first block, so not even its header can be confirmed.
        raise rejected("no_samples" if kind.frame_bytes else "header_invalid")
    usable = present if declared is None else min(declared, present)
    frames = (declared or 0) // kind.frame_bytes if kind.frame_bytes and declared is not None else None
    return Header(
        container="wav",
        codec=kind.codec,
        start=0,
        stop=chunks.data_start + usable,
        sample_rate_hz=kind.sample_rate_hz,
        channels=kind.channels,
        frames=frames,
        exact_frames=frames is not None,
        truncated=declared is not None and present < declared,
        flags=frozenset(_flags(chunks, source.size_bytes)),
    )


def _flags(chunks: _Chunks, size_bytes: int) -> list[str]:
    flags = []
    declared, frame_bytes = chunks.declared_bytes, chunks.format.frame_bytes
    if declared is None:
        flags.append("length_unknown")
    ragged = declared is not None and frame_bytes > 0 and declared % frame_bytes != 0
    if ragged or not chunks.format.consistent:
        flags.append("header_mismatch")
    if chunks.riff_stop is not None and size_bytes > chunks.riff_stop:
        flags.append("trailing_bytes")
    return flags


def _chunks(source: Source) -> _Chunks:
    """Walk the chunks up to `data`; what stands behind it is never needed."""
    kind = read(source, 0, 4)
    order = ">" if kind == b"RIFX" else "<"
    riff_bytes: int = struct.unpack(order + "I", read_exactly(source, 4, 4))[0]
    data64: int | None = None
    found: _Format | None = None
    offset = 12
    for _ in range(_MAX_CHUNKS):
        name, size = struct.unpack(order + "4sI", read_exactly(source, offset, 8))
        offset += 8
        if name == b"data":
            if found is None:
                raise rejected("header_invalid")
            declared = _declared(size, data64, riff_bytes)
            riff_open = riff_bytes == 0 or riff_bytes >= _OPEN_SIZE
            riff_stop = None if riff_open or declared is None else max(riff_bytes + 8, offset + declared)
            return _Chunks(found, offset, declared, riff_stop)
        if name == b"ds64" and kind == b"RF64" and size >= 16:
            riff_bytes, data64 = struct.unpack("<QQ", read_exactly(source, offset, 16))
        elif name == b"fmt ":
            if size < 16:
                raise rejected("header_invalid")
            found = _format(read_exactly(source, offset, min(size, 40)), order)
        offset += size + (size & 1)
    raise rejected("header_invalid")


def _declared(size: int, data64: int | None, riff_bytes: int) -> int | None:
    if data64 is not None and size == 0xFFFFFFFF:
        return data64 if 0 < data64 < 1 << 62 else None
    if size >= _OPEN_SIZE or (size == 0 and (riff_bytes == 0 or riff_bytes >= _OPEN_SIZE)):
        return None
    return size


def _format(data: bytes, order: str) -> _Format:
    tag, channels, rate, byte_rate, block, bits = struct.unpack(order + "HHIIHH", data[:16])
    if tag == _EXTENSIBLE and len(data) >= 28:
        tag = struct.unpack(order + "I", data[24:28])[0]  # first field of the subformat GUID
    if channels == 0 or rate == 0 or (bits == 0 and tag in (_PCM, _FLOAT)):
        raise rejected("header_invalid")
    if tag in (_PCM, _FLOAT):
        return _uncompressed(tag, channels, rate, byte_rate, block, bits)
    if tag not in _CODECS:
        raise rejected("format_not_allowed")
    if tag in _BYTE_CODED:
        return _Format(_CODECS[tag], channels, rate, channels, byte_rate == rate * channels)
    return _Format(_CODECS[tag], channels, rate, 0, byte_rate > 0)


def _uncompressed(tag: int, channels: int, rate: int, byte_rate: int, block: int, bits: int) -> _Format:
    # 24 bits in 4 bytes are allowed, a block size that is no multiple of the channels is a lie to be corrected.
    tight = channels * ((bits + 7) // 8)
    frame_bytes = block if block >= tight and block % channels == 0 else tight
    width = frame_bytes // channels
    if tag == _FLOAT:
        if bits not in (32, 64) or width * 8 != bits:
            raise rejected("header_invalid")
        codec = "float_32" if bits == 32 else "float_64"
    else:
        if width > 4:
            raise rejected("header_invalid")
        codec = "pcm_u8" if width == 1 else f"pcm_{8 * width}"
    return _Format(
        codec, channels, rate, frame_bytes, block == frame_bytes and byte_rate == rate * frame_bytes
    )
