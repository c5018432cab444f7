"""From bytes to one channel of samples: limits, decoders, and the checks between them, in a fixed order.

    decoded = decode(BytesSource(data), limits=Limits(max_analysed_s=30.0))
    facts, sink = decode_into(source, begin)      # block by block, for a recording of any length

Order of the checks; the first that fails names the reason of the AudioRejected (faults.md section 5):
bytes -> magic and allow-list -> declared header -> decode under a frame cap -> finite -> complete -> length ->
amplitude.

Rules upheld here:
- A declared length is never used as a size: samples come in blocks of 64k frames under a cap (X18).
- What a header promises is compared with what came out; a cut recording is refused or flagged (X19).
- No value that is not a finite number leaves this module (X20).
- No text of a decoder leaves this module.

Runs in the sealed child; the decoders are native code and are never called in a service.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import soundfile

from sottovoce.errors import UsageError
from sottovoce.voice import containers
from sottovoce.voice.containers import Header, Source
from sottovoce.voice.formats import DecoderGaveUp, Formats, load_formats
from sottovoce.voice.quality import Facts
from sottovoce.voice.rejections import rejected

Samples = npt.NDArray[np.float64]

BLOCK_FRAMES = 65_536
_LOUDEST = (
    8.0  # 18 dB above full scale: decoders overshoot a little, measurements in volts or counts do not count
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is accepted and how much of it is looked at; all of it shown in the policy."""

    max_body_bytes: int = 1 << 30
    min_rate_hz: int = 8_000
    max_rate_hz: int = 192_000
    max_channels: int = 8
    min_duration_s: float = 0.1
    max_declared_s: float = 7_200.0
    max_analysed_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Decoded(Facts):
    """The same with the samples themselves."""

    samples: Samples  # (n,) float64, full scale -1..1 (decoders may overshoot a little)


class Sink(Protocol):
    """Takes one channel as it is decoded."""

    def feed(self, samples: Samples, /) -> None:
        """(n,) finite, in order; the array belongs to the sink."""
        ...


S = TypeVar("S", bound=Sink)


@dataclass(frozen=True, slots=True)
class _Raw(Generic[S]):
    """What a decoder gave, and whether it was stopped at the cap."""

    sink: S
    frames: int
    loudest: float
    sample_rate_hz: int
    channels: int
    codec: str
    cut: bool


@dataclass(frozen=True, slots=True)
class _Wish(Generic[S]):
    """What a decoder is to do."""

    limits: Limits
    channel: str
    begin: Callable[[int], S]


def decode(
    source: Source,
    *,
    limits: Limits | None = None,
    channel: str = "0",
    accept_truncated: bool = False,
    formats: Formats | bool | None = True,
) -> Decoded:
    """One channel of the recording in `source`, at its own rate; arguments and errors as `decode_into`."""
    facts, pieces = decode_into(
        source,
        lambda _: _Pieces(),
        limits=limits,
        channel=channel,
        accept_truncated=accept_truncated,
        formats=formats,
    )
    return Decoded(
        facts.sample_rate_hz, facts.channels, facts.channel, facts.codec, facts.flags, facts.frames,
        samples=pieces.joined(),
    )  # fmt: skip


def decode_into(
    source: Source,
    begin: Callable[[int], S],
    *,
    limits: Limits | None = None,
    channel: str = "0",
    accept_truncated: bool = False,
    formats: Formats | bool | None = True,
) -> tuple[Facts, S]:
    """Feed one channel of the recording, block by block, into the sink that `begin(sample_rate_hz)` makes.

    Where a decoder gives up half-way and another one takes over, `begin` is called again and what it had made is
    dropped: nothing counts that was fed before this returns.

    `formats`: the optional decoders; True looks for them, None or False does without.
    Raises AudioRejected with a reason of `rejections.REASONS`, UsageError for a channel that cannot exist.
    """
    check_channel(channel)
    limits = limits or Limits()
    optional = load_formats() if formats is True else formats or None
    if source.size_bytes == 0:
        raise rejected("empty")
    if source.size_bytes > limits.max_body_bytes:
        raise rejected("too_large")
    header = containers.parse(source)
    if header.decoder == "pyav" and optional is None:
        raise rejected("unknown_format", needs_formats=True)
    _check_declared(header, limits)
    raw = _decoded(source, header, _Wish(limits, channel, begin), optional)
    return _checked(raw, header, limits, channel=channel, accept_truncated=accept_truncated), raw.sink


def check_channel(channel: str) -> None:
    """UsageError unless it is "mix" or one digit below 8."""
    if channel != "mix" and not (len(channel) == 1 and channel in "01234567"):
        raise UsageError("The channel is `mix` or a number from 0 to 7.")


def _check_declared(header: Header, limits: Limits) -> None:
    rate, channels = header.sample_rate_hz, header.channels
    if rate is not None and not limits.min_rate_hz <= rate <= limits.max_rate_hz:
        raise rejected("sample_rate")
    if channels is not None and not 1 <= channels <= limits.max_channels:
        raise rejected("channels")
    if header.frames is not None and header.frames > limits.max_declared_s * (rate or 48_000):
        raise rejected("too_long")


def _decoded(source: Source, header: Header, wish: _Wish[S], optional: Formats | None) -> _Raw[S]:
    """libsndfile first; the optional decoders for what it does not know or abandons half-way."""
    if header.decoder == "soundfile":
        try:
            return _by_soundfile(source, header, wish)
        except DecoderGaveUp:
            if optional is None:
                raise rejected("decode_failed", needs_formats=header.container == "flac") from None
    if optional is None:
        raise rejected("decode_failed")
    try:
        return _by_formats(source, header, wish, optional)
    except DecoderGaveUp:
        raise rejected("decode_failed") from None


def _by_soundfile(source: Source, header: Header, wish: _Wish[S]) -> _Raw[S]:
    try:
        file = _Forward(SourceFile(source, header.start, header.stop))
    except (soundfile.LibsndfileError, TypeError) as error:
        raise DecoderGaveUp from error
    with file:
        codec = header.codec or str(file.subtype).lower()
        rate, channels = int(file.samplerate), int(file.channels)
        return _poured(_soundfile_blocks(file), rate, channels, codec, wish)


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """A SoundFile that is only read onwards.

    The binding seeks to where it stands after every read of a seekable file; in a FLAC whose STREAMINFO lies
    about its blocks (`flac_faulty_01`) that seek fails, although every sample can be read.
    """

    def seekable(self) -> bool:
        return False


def _soundfile_blocks(file: soundfile.SoundFile) -> Iterator[npt.NDArray[np.float64]]:
    block = np.zeros((BLOCK_FRAMES, file.channels))
    try:
        while True:
            got = file.read(BLOCK_FRAMES, out=block)
            if len(got) == 0:
                return
            yield got
    except soundfile.LibsndfileError as error:
        raise DecoderGaveUp from error
    finally:
        block[:] = 0.0


def _by_formats(source: Source, header: Header, wish: _Wish[S], optional: Formats) -> _Raw[S]:
    with optional.open(SourceFile(source, header.start, header.stop), header.container) as stream:
        if stream.declared_s is not None and stream.declared_s > wish.limits.max_declared_s:
            raise rejected("too_long")
        rate, channels = stream.sample_rate_hz, stream.channels
        _check_declared(replace(header, sample_rate_hz=rate, channels=channels, frames=None), wish.limits)
        expected = (header.sample_rate_hz or rate, header.channels or channels)
        if header.decoder == "soundfile" and expected != (rate, channels):
            raise DecoderGaveUp
        return _poured(_gathered(stream.blocks()), rate, channels, header.codec or stream.codec, wish)


def _gathered(blocks: Iterator[npt.NDArray[np.float64]]) -> Iterator[npt.NDArray[np.float64]]:
    """The frames of a codec hold a few milliseconds each: joined to blocks of a useful size."""
    waiting: list[npt.NDArray[np.float64]] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= BLOCK_FRAMES:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _poured(
    blocks: Iterator[npt.NDArray[np.float64]], rate_hz: int, channels: int, codec: str, wish: _Wish[S]
) -> _Raw[S]:
    """The chosen channel of all blocks up to the cap into a new sink."""
    if wish.channel != "mix" and int(wish.channel) >= channels:
        raise rejected("channels")
    cap = max(int(wish.limits.max_analysed_s * rate_hz), 1)
    sink, total, loudest = wish.begin(rate_hz), 0, 0.0
    for block in blocks:
        if not np.isfinite(block).all():
            raise rejected("non_finite")
        piece = block.mean(axis=1) if wish.channel == "mix" else block[:, int(wish.channel)].copy()
        piece = piece[: cap - total] if total + len(piece) > cap else piece
        total += len(block)
        loudest = max(loudest, float(np.abs(piece).max(initial=0.0)))
        if loudest <= _LOUDEST:  # else it is refused in the end, if nothing else comes first
            sink.feed(piece)
        if total > cap:
            break
    return _Raw(sink, min(total, cap), loudest, rate_hz, channels, codec, total > cap)


def _checked(raw: _Raw[S], header: Header, limits: Limits, *, channel: str, accept_truncated: bool) -> Facts:
    """Complete, long enough, not absurd; with the flags that only a decoder knows (voice.quality adds others)."""
    count, rate = raw.frames, raw.sample_rate_hz
    missing = header.exact_frames and not raw.cut and count < (header.frames or 0)
    truncated = header.truncated or missing
    if count == 0 and not truncated:
        raise rejected("no_samples")
    if truncated and not accept_truncated:
        raise rejected("truncated")
    if count < limits.min_duration_s * rate:
        raise rejected("too_short")
    if raw.loudest > _LOUDEST:
        raise rejected("amplitude")
    seen = {"cut": raw.cut, "truncated": truncated}
    return Facts(
        sample_rate_hz=rate,
        channels=raw.channels,
        channel=channel,
        codec=f"{header.container}/{raw.codec}",
        flags=header.flags | {flag for flag, here in seen.items() if here},
        frames=count,
    )


class _Pieces:
    """The sink that keeps everything, for recordings that fit into memory."""

    def __init__(self) -> None:
        self._pieces: list[Samples] = []

    def feed(self, samples: Samples) -> None:
        self._pieces.append(samples)

    def joined(self) -> Samples:
        """(n,) all samples; the pieces are zeroed."""
        samples = np.concatenate(self._pieces) if self._pieces else np.zeros(0)
        for piece in self._pieces:
            piece[:] = 0.0
        self._pieces = []
        return samples


class SourceFile(io.RawIOBase):
    """A span of a Source as the read-only file that decoders want; never raises for a wild seek.

    An exception in a decoder's callback would be printed by the binding, with a path in it.
    """

    def __init__(self, source: Source, start: int, stop: int) -> None:
        super().__init__()
        self._source, self._start, self._size = source, start, max(0, stop - start)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}.get(whence, 0)
        self._at = min(max(0, base + offset), self._size)
        return self._at

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        count = min(len(view), self._size - self._at)
        got = self._source.read_at(self._start + self._at, view[:count]) if count > 0 else 0
        self._at += got
        return got
