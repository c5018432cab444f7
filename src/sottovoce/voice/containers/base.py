"""The words every container parser speaks: a byte source, a declared header, and the refusals.

A parser reads only what a format *declares*; nothing it learns is trusted further than to refuse early, to hand
the decoder the right span of bytes, and to compare with what really came out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from sottovoce.voice.rejections import rejected

Decoder = Literal["soundfile", "pyav"]


class Source(Protocol):
    """Random access to the bytes of a recording; never raises for an offset outside it."""

    @property
    def size_bytes(self) -> int: ...

    def read_at(self, offset: int, buffer: memoryview, /) -> int:
        """Fill `buffer` from `offset` on; how many bytes were there (less only at the end)."""
        ...


class BytesSource:
    """A recording that lies in memory already (the in-process extractor, generated signals, tests)."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data).cast("B")

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    def read_at(self, offset: int, buffer: memoryview, /) -> int:
        piece = self._data[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says about itself."""

    container: str  # "wav", "flac", "aiff", "au", "ogg", "mp3", "mp4", "webm", "amr"
    codec: str  # "pcm_16", "opus", ...; "" where only the decoder can tell
    start: int  # first byte the decoder gets
    stop: int  # one past the last byte the decoder gets; what lies behind is dropped
    sample_rate_hz: int | None = None  # None: only the decoder can tell
    channels: int | None = None
    frames: int | None = None  # declared; None: not declared
    exact_frames: bool = False  # whether `frames` is a promise (PCM, FLAC) rather than an estimate
    truncated: bool = False  # the container announces more bytes than there are
    flags: frozenset[str] = frozenset()
    decoder: Decoder = "soundfile"


def read(source: Source, offset: int, size: int) -> bytes:
    """Up to `size` bytes of a header at `offset`; shorter at the end of the source."""
    buffer = bytearray(size)
    return bytes(buffer[: source.read_at(offset, memoryview(buffer))])


def read_exactly(source: Source, offset: int, size: int) -> bytes:
    """AudioRejected `header_invalid` where the source ends before."""
    data = read(source, offset, size)
    if len(data) != size:
        raise rejected("header_invalid")
    return data
