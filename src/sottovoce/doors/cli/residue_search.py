"""Searching files and memory for pieces of marked recordings: the measurement behind "the audio is gone".

A needle is a window of 64 bytes, or one float64 as it stands in an object of Python. Every aligned 8-byte word of
what is searched is looked up among the words of all needles at all eight offsets (a float64 is looked for in aligned
places only); where one fits, all of it is compared. So a needle is found wherever it stands, and what is said to be
found is really there. Only the searching process holds needles: it is never one of those that are searched.
"""

from __future__ import annotations

import base64
import json
import os
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

WINDOW_BYTES = 64
WINDOWS_EACH = 30  # places of a recording from which windows are taken
_PIECE_BYTES = 8 << 20
_TABLE_BITS = 24
_DISTINCT = 8  # bytes in a window that says something

Samples = npt.NDArray[np.int16]


def marked_samples(seed: int, *, samples: int) -> Samples:
    """A hoarse hum, so that there is a pitch to measure, under pseudo-random noise, so that nothing else in the world
    looks like any window of it. int16, (samples,)."""
    turns = np.arange(samples) * (110 + seed % 97) / 16_000
    noise = np.random.default_rng(seed).integers(-2_000, 2_000, samples)
    return (9_000 * (2 * (turns % 1.0) - 1) + noise).astype(np.int16)


def wav_bytes(samples: Samples, *, rate_hz: int) -> bytes:
    """A mono WAV file of 16-bit samples."""
    data = samples.astype("<i2").tobytes()
    head = b"RIFF" + (36 + len(data)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    form = (1).to_bytes(2, "little") * 2 + rate_hz.to_bytes(4, "little") + (2 * rate_hz).to_bytes(4, "little")
    rest = (2).to_bytes(2, "little") + (16).to_bytes(2, "little") + b"data" + len(data).to_bytes(4, "little")
    return head + form + rest + data


def audio_needles(samples: Samples) -> list[bytes]:
    """Windows from all over a recording in each form that samples have on their way: int16, float32, float64, and
    base64 of the int16 bytes in its three alignments."""
    plain = samples.astype("<i2").tobytes()
    forms = [
        plain,
        (samples / np.float32(32768)).astype("<f4").tobytes(),
        (samples / 32768).astype("<f8").tobytes(),
    ]
    forms += [base64.b64encode(plain[shift:]) for shift in range(3)]
    return [window for form in forms for window in _windows(form, WINDOWS_EACH)]


def value_needles(values: Sequence[float], insight: Mapping[str, float | None]) -> list[bytes]:
    """What a result could be found by: windows of the row of features as float32, float64, the text of a list, and
    base64 of the float32 in its three alignments; windows of the text of the insight; and every single float64.

    What stands in no run of a window's length, and what half the world's numbers look like (zeros, whole numbers), says
    nothing and is left out.
    """
    row = np.asarray(values, "<f4").tobytes()
    forms = [row, np.asarray(values, "<f8").tobytes(), _compact(list(values)), _compact(dict(insight))]
    forms += [base64.b64encode(row[shift:]) for shift in range(3)]
    windows = [
        form[at : at + WINDOW_BYTES] for form in forms for at in range(0, len(form) - WINDOW_BYTES, 16)
    ]
    singles = [struct.pack("<d", value) for value in {*values, *insight.values()} if value]
    return [
        *(window for window in windows if bytes(7) not in window and len(set(window)) >= _DISTINCT),
        *(single for single in singles if bytes(3) not in single),
    ]


def unique_needles(of_each: Iterable[Sequence[bytes]]) -> list[bytes]:
    """Those that mark one recording: a window that two have in common is a constant of the method."""
    counted = Counter(window for windows in of_each for window in set(windows))
    return [window for window, count in counted.items() if count == 1]


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Needles:
    """Windows, of 8 bytes or more, made ready for searching."""

    windows: tuple[bytes, ...]
    _by_word: dict[int, list[tuple[int, int]]] = field(init=False, repr=False, compare=False)
    _table: npt.NDArray[np.bool_] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_word: dict[int, list[tuple[int, int]]] = {}
        for number, window in enumerate(self.windows):
            for shift in range(min(8, len(window) - 7)):
                word = int.from_bytes(window[shift : shift + 8], "little")
                by_word.setdefault(word, []).append((number, shift))
        table = np.zeros(1 << _TABLE_BITS, np.bool_)
        table[_hashed(np.fromiter(by_word, np.uint64, len(by_word)))] = True
        object.__setattr__(self, "_by_word", by_word)
        object.__setattr__(self, "_table", table)

    def found_in(self, data: bytes) -> set[int]:
        """Numbers of the windows that stand in the data, anywhere."""
        words = np.frombuffer(data, "<u8", len(data) // 8)
        places = np.flatnonzero(self._table[_hashed(words)])
        found: set[int] = set()
        for place in places.tolist():
            for number, shift in self._by_word.get(int(words[place]), ()):
                start, window = 8 * place - shift, self.windows[number]
                if start >= 0 and data[start : start + len(window)] == window:
                    found.add(number)
        return found


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search went through and what it found."""

    places: int  # files or processes
    searched_bytes: int
    found: frozenset[int]
    unreadable: int = 0


def search_files(folders: Iterable[Path], needles: Needles) -> Searched:
    """Every regular file below the folders; links are not followed."""
    places = size_bytes = unreadable = 0
    found: set[int] = set()
    for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
        if path.is_symlink() or not path.is_file():
            continue
        places += 1
        try:
            with path.open("rb", buffering=0) as file:
                for piece in _pieces(iter(lambda f=file: f.read(_PIECE_BYTES), b"")):  # type: ignore[misc]
                    size_bytes += len(piece)
                    found |= needles.found_in(piece)
        except FileNotFoundError:
            continue
        except OSError:
            unreadable += 1
    return Searched(places, size_bytes, frozenset(found), unreadable)


def search_memory(pids: Iterable[int], needles: Needles) -> Searched:
    """Everything writable of these processes (what is read-only came from files of ours). A process that may not be
    read counts as unreadable: that takes root, or the right to trace it."""
    places = size_bytes = unreadable = 0
    found: set[int] = set()
    for pid in pids:
        try:
            for piece in _memory_of(pid):
                size_bytes += len(piece)
                found |= needles.found_in(piece)
            places += 1
        except PermissionError:
            unreadable += 1
        except OSError:  # it has ended meanwhile
            continue
    return Searched(places, size_bytes, frozenset(found), unreadable)


def family(pid: int) -> tuple[int, ...]:
    """A process and everything that descends from it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return tuple(sorted(found))


def _windows(form: bytes, count: int) -> Iterator[bytes]:
    """Spread over the form, at offsets that are no multiple of anything in particular."""
    step = (len(form) - WINDOW_BYTES) / count
    return (form[start : start + WINDOW_BYTES] for start in (int(step * (n + 0.37)) for n in range(count)))


def _hashed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """A place in the table for each word (multiplicative hashing)."""
    mixed = words * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(64 - _TABLE_BITS)).astype(np.intp)


def _pieces(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Each piece with the end of the one before, so that nothing is cut in two (a multiple of 8 bytes)."""
    tail = b""
    for piece in pieces:
        whole = tail + piece
        # Eight more bytes, so that the last word of a window that ends with the file lies inside.
        yield whole + bytes(-len(whole) % 8 + 8)
        tail = whole[-2 * WINDOW_BYTES :]


def _memory_of(pid: int) -> Iterator[bytes]:
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
        for line in maps:
            span = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if span is not None and "[v" not in line:
                yield from _span(memory.fileno(), *(int(part, 16) for part in span.groups()))


def _span(fd: int, start: int, stop: int) -> Iterator[bytes]:
    def pieces() -> Iterator[bytes]:
        at = start
        while at < stop:
            try:
                piece = os.pread(fd, min(_PIECE_BYTES, stop - at), at)
            except (OSError, OverflowError):
                return  # a hole, or a region that went away
            if not piece:
                return
            yield piece
            at += len(piece)

    return _pieces(pieces())
