"""The optional decoders (extra `[formats]`, PyAV) for webm, m4a, mp4, 3gp and amr, and for what libsndfile abandons.

The container is forced from our own reading of the header, codecs are allow-listed, one thread decodes, and
FFmpeg gets a byte callback: no file name, no protocol, no network. The PyAV wheel carries GPL parts (see NOTICE),
therefore it is never a dependency of the base.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from types import MappingProxyType, TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

Block = npt.NDArray[np.float64]

_DEMUXERS = MappingProxyType(
    {
        "mp4": "mov", "webm": "matroska", "amr": "amr", "flac": "flac", "wav": "wav", "ogg": "ogg",
        "mp3": "mp3", "aiff": "aiff", "au": "au",
    }
)  # fmt: skip
_CODECS = frozenset(
    {
        "opus", "vorbis", "flac", "alac", "aac", "mp3", "mp3float", "mp2", "mp2float", "amrnb", "amrwb",
        "amr_nb", "amr_wb", "gsm_ms", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt",
    }
)  # fmt: skip
_SCALES = MappingProxyType({"u8": (128.0, 128.0), "s16": (0.0, 2.0**15), "s32": (0.0, 2.0**31)})


class DecoderGaveUp(Exception):
    """A decoder could not go on; its own text stays behind."""


class Formats:
    """PyAV, imported once. `load_formats` makes it."""

    def __init__(self, av: Any) -> None:
        self.av = av
        av.logging.set_level(None)

    def open(self, file: io.RawIOBase, container: str) -> FormatStream:
        """DecoderGaveUp where FFmpeg refuses the container or the codec is not on the list."""
        try:
            opened = self.av.open(file, "r", format=_DEMUXERS[container], buffer_size=65_536)
        except (self.av.FFmpegError, ValueError, OSError) as error:
            raise DecoderGaveUp from error
        return FormatStream(self.av, opened)


class FormatStream:
    """The first audio stream of an opened container; a context manager."""

    def __init__(self, av: Any, container: Any) -> None:
        self._av, self._container = av, container
        if not container.streams.audio:
            container.close()
            raise DecoderGaveUp
        self._stream = container.streams.audio[0]
        context = self._stream.codec_context
        self.codec: str = "" if context is None else context.name
        if self.codec not in _CODECS and not self.codec.startswith("pcm_"):
            container.close()
            raise DecoderGaveUp
        context.thread_type = "NONE"
        context.thread_count = 1
        duration = container.duration
        self.declared_s: float | None = None if duration is None else duration / 1e6
        self._frames = self._decode()
        self._first = next(self._frames, None)
        # What the header says of AAC and Opus is often wrong: the first frame says how it is.
        first = self._first if self._first is not None else context
        self.sample_rate_hz = int(first.sample_rate or 0)
        self.channels = int(first.layout.nb_channels or 0)

    def __enter__(self) -> FormatStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def blocks(self) -> Iterator[Block]:
        """(frames, channels) float64, frame by frame; DecoderGaveUp where the stream breaks or changes its shape."""
        frame = self._first
        while frame is not None:
            if (
                int(frame.layout.nb_channels) != self.channels
                or int(frame.sample_rate) != self.sample_rate_hz
            ):
                raise DecoderGaveUp
            yield self._samples(frame)
            frame = next(self._frames, None)

    def _decode(self) -> Iterator[Any]:
        try:
            yield from self._container.decode(self._stream)
        except (self._av.FFmpegError, ValueError, OSError) as error:
            raise DecoderGaveUp from error

    def _samples(self, frame: Any) -> Block:
        name = str(frame.format.name)
        array = frame.to_ndarray()
        planar = array if name.endswith("p") else array.reshape(-1, self.channels).T
        offset, scale = _SCALES.get(name.removesuffix("p"), (0.0, 1.0))
        return np.asarray((planar.T.astype(np.float64) - offset) / scale)


def load_formats() -> Formats | None:
    """The optional decoders, or None where PyAV is not installed or does not load."""
    try:
        return Formats(importlib.import_module("av"))
    except (ImportError, OSError, AttributeError):
        return None
