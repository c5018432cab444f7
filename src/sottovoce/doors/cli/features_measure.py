"""One file of `sottovoce features`: read block by block, measured as it is read, its rows packed.

The rows of a file are handed on when it was read to its end, so that a file that breaks half-way leaves no half
table. They are packed as numbers: three hours frame by frame are about 100 MB.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sottovoce.doors.cli.errors import as_ours
from sottovoce.errors import AudioRejected, InputUnreadable, SottovoceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sottovoce.voice.gate import Finding
    from sottovoce.voice.quality import Facts

LONGEST_S = 4 * 3600.0
ROWS_AT_ONCE = 4096
FRAME_S = 0.06  # what a row of the contours looks at
_JUMP_BYTES = 4 << 20  # a look at the end of a file is no progress

Advance = Callable[[int], None]
Row = tuple[float, float, list[float]]  # start and end in seconds, values


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be done with each file."""

    profile: str
    channel: str
    lld: bool
    per_s: float | None


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one file, or its error."""

    file: str
    names: tuple[str, ...] = ()
    times_s: NDArray[np.float64] | None = field(default=None, repr=False)  # (rows, 2): start and end
    values: NDArray[Any] | None = field(default=None, repr=False)  # (rows, len(names)) float
    remarks: tuple[str, ...] = ()  # of the gate
    error: SottovoceError | None = None

    def __len__(self) -> int:
        return 0 if self.values is None else len(self.values)

    def rows(self) -> Iterator[Row]:
        """Unpacked a few thousand at a time."""
        for chunk in self.chunks():
            yield from chunk

    def chunks(self) -> Iterator[list[Row]]:
        if self.values is None or self.times_s is None:
            return
        for start in range(0, len(self.values), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            yield [
                (begin, end, values)
                for (begin, end), values in zip(
                    self.times_s[part].tolist(), self.values[part].tolist(), strict=True
                )
            ]


def measure(file: str, request: Request, advance: Advance = lambda _: None) -> Table:
    """One file; never raises. `advance` is told how many more bytes were read."""
    try:
        return _measured(file, request, advance)
    except Exception as problem:
        error = as_ours(problem)
        error.__cause__ = error.__context__ = None  # it may have to cross to another process
        return Table(file, error=error)


def size_of(file: str) -> int:
    """Bytes of a file for the progress bar; 0 where there is none."""
    try:
        return Path(file).stat().st_size
    except (OSError, ValueError):
        return 0


def _measured(file: str, request: Request, advance: Advance) -> Table:
    with FileSource(file, advance) as source:
        if request.lld:
            return _contours(file, source, request)
        if request.per_s is not None:
            return _windows(file, source, request, request.per_s)
        return _whole(file, source, request)


def _whole(file: str, source: FileSource, request: Request) -> Table:
    import numpy as np

    from sottovoce.voice.features import features_of
    from sottovoce.voice.listening import Listener

    facts, listener = _decoded(source, request, lambda rate: Listener(rate, profile=request.profile))
    found = features_of(listener, facts)
    times_s = np.array([[0.0, facts.duration_s]])
    words = (*_cut(facts), *(finding.words for finding in found.findings))
    return Table(file, found.names, times_s, found.numpy()[np.newaxis], words)


def _contours(file: str, source: FileSource, request: Request) -> Table:
    import numpy as np

    from sottovoce.voice.features import HOP_S, LLD_NAMES
    from sottovoce.voice.listening import Listener

    facts, listener = _decoded(source, request, lambda rate: Listener(rate, profile=request.profile))
    values, findings = listener.low_level(facts)
    starts_s = HOP_S * np.arange(len(values), dtype=np.float64)
    words = (*_cut(facts), *(finding.words for finding in findings))
    return Table(file, LLD_NAMES, np.column_stack((starts_s, starts_s + FRAME_S)), values, words)


def _windows(file: str, source: FileSource, request: Request, per_s: float) -> Table:
    import numpy as np

    from sottovoce.model.features import FEATURE_NAMES
    from sottovoce.voice.features import Windows

    class Packed:
        """The sink that keeps of each window its numbers, as soon as it is ready."""

        def __init__(self, rate_hz: int) -> None:
            self.windows = Windows(rate_hz, per_s, profile=request.profile)
            self.times_s: list[tuple[float, float]] = []
            self.values: list[NDArray[np.float64]] = []
            self.told = _Told()

        def feed(self, samples: NDArray[np.float64], /) -> None:
            self.windows.feed(samples)
            self.pack()

        def pack(self) -> None:
            for start_s, end_s, found in self.windows.take():
                self.times_s.append((start_s, end_s))
                self.values.append(found.numpy())
                self.told.add(found.findings)

    facts, packed = _decoded(source, request, Packed)
    packed.windows.finish()
    packed.pack()
    words = (*_cut(facts), *packed.told.words())
    return Table(file, FEATURE_NAMES, np.array(packed.times_s), np.array(packed.values), words)


def _decoded(source: FileSource, request: Request, begin: Callable[[int], Any]) -> tuple[Any, Any]:
    from sottovoce.voice.audio import Limits, decode_into

    limits = Limits(max_analysed_s=LONGEST_S, max_declared_s=LONGEST_S)
    try:
        return decode_into(source, begin, limits=limits, channel=request.channel)
    except AudioRejected as error:
        if error.reason != "too_long":
            raise
        raise AudioRejected(
            f"The recording is longer than {LONGEST_S / 3600:g} hours.",
            hint="Cut it into parts, and measure each.",
            reason="too_long",
        ) from None


def _cut(facts: Facts) -> tuple[str, ...]:
    """Of a recording that does not declare its length the rest is not measured."""
    if "cut" not in facts.flags:
        return ()
    return (f"cut: only the first {LONGEST_S / 3600:g} hours were measured",)


class _Told:
    """What the gate said of many windows: each finding once, with how many windows it holds for."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._count: Counter[str] = Counter()
        self._windows = 0

    def add(self, findings: tuple[Finding, ...]) -> None:
        self._windows += 1
        for finding in findings:
            self._first.setdefault(finding.name, finding.words)
            self._count[finding.name] += 1

    def words(self) -> tuple[str, ...]:
        return tuple(
            f"{self._count[name]} of {self._windows} windows, the first: {words}"
            if self._windows > 1
            else words
            for name, words in self._first.items()
        )


class FileSource:
    """A regular file, read piece by piece; InputUnreadable where it is none."""

    def __init__(self, file: str, advance: Advance) -> None:
        try:
            self._fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            raise InputUnreadable(
                "The file does not exist or may not be read.", hint="Check the path and its permissions."
            ) from None
        status = os.fstat(self._fd)
        self._size, self._advance, self._furthest = status.st_size, advance, 0
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise InputUnreadable("This is not a regular file.", hint="Name a recording, not a folder.")

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    @property
    def size_bytes(self) -> int:
        return self._size

    def read_at(self, offset: int, buffer: memoryview, /) -> int:
        got = os.preadv(self._fd, [buffer], offset) if offset < self._size else 0
        if self._furthest < offset + got and offset <= self._furthest + _JUMP_BYTES:
            self._advance(offset + got - self._furthest)
            self._furthest = offset + got
        return got
