"""MPEG audio layers II and III behind an optional ID3v2 tag (ISO/IEC 11172-3, 13818-3; ID3v2.4 informal standard).

The tag is skipped here, so that no tag parser of a decoder ever sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sottovoce.voice.containers.base import Header, Source, read
from sottovoce.voice.rejections import rejected

_MAX_PADDING = 1 << 16
_RATES_HZ = (44_100, 48_000, 32_000)
_KBPS_1_2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_KBPS_1_3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBPS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


@dataclass(frozen=True, slots=True)
class _Frame:
    layer: int
    sample_rate_hz: int
    channels: int
    bitrate: int
    samples: int
    size_bytes: int


def id3_bytes(source: Source) -> int:
    """Size of the ID3v2 tag in front, 0 where there is none."""
    head = read(source, 0, 10)
    if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte
    return 10 + size + (10 if head[5] & 0x10 else 0)


def parse(source: Source, start: int) -> Header | None:
    """The header of MPEG audio at `start` (zero padding of a tag is skipped), or None where there is none."""
    at = start + _padding(source, start) if start else 0
    first = _frame(read(source, at, 4))
    if first is None:
        return None
    following = read(source, at + first.size_bytes, 4)
    second = _frame(following)
    if len(following) == 4 and (second is None or second.sample_rate_hz != first.sample_rate_hz):
        return None
    if at + 4 >= source.size_bytes:
        raise rejected("header_invalid")
    return Header(
        container="mp3",
        codec=f"mpeg_layer_{first.layer}",
        start=at,
        stop=source.size_bytes,
        sample_rate_hz=first.sample_rate_hz,
        channels=first.channels,
        frames=_declared_frames(source, at, first),
    )


def _padding(source: Source, start: int) -> int:
    data = read(source, start, _MAX_PADDING)
    return len(data) - len(data.lstrip(b"\0"))


def _declared_frames(source: Source, at: int, first: _Frame) -> int:
    """Frames by the Xing/Info table where there is one, else by the bitrate of the first frame."""
    head = read(source, at, 64)
    for mark in (b"Xing", b"Info"):
        where = head.find(mark)
        if where > 0 and head[where + 7] & 1:
            return int.from_bytes(head[where + 8 : where + 12]) * first.samples
    return (source.size_bytes - at) * 8 * first.sample_rate_hz // first.bitrate


def _frame(data: bytes) -> _Frame | None:
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)  # version 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    rate_code, rate_index = data[2] >> 4, data[2] >> 2 & 3
    if version == 1 or layer not in (2, 3) or rate_code in (0, 15) or rate_index == 3:
        return None
    table = (_KBPS_1_2 if layer == 2 else _KBPS_1_3) if version == 3 else _KBPS_2
    bitrate = table[rate_code] * 1000
    rate = _RATES_HZ[rate_index] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 576 if layer == 3 and version != 3 else 1152
    size = samples // 8 * bitrate // rate + (data[2] >> 1 & 1)
    return _Frame(layer, rate, 1 if data[3] >> 6 == 3 else 2, bitrate, samples, size)
