"""The files of a home as anybody with access to the disk sees them: audio in clear, and the space kept aside.

A container that we accept is looked for at the start of every file, and its longer marks anywhere in it, so that a
recording inside a database, a log or a forgotten temporary file is seen as well. Ciphertext shows such a mark by
chance about once in 2^61 bytes. Links are not followed; sockets and devices are not opened.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_START = re.compile(
    rb"RIFF|RIFX|RF64|FORM....AIF[FC]|\.snd|OggS|fLaC|\x1a\x45\xdf\xa3|....ftyp|#!AMR|ID3[\x02-\x04]", re.DOTALL
)  # fmt: skip
# At least eight fixed bytes each: found anywhere, they are no coincidence.
_ANYWHERE = re.compile(
    rb"(?:RIFF|RIFX|RF64)....WAVE|FORM....AIF[FC]|fLaC[\x00\x80]\x00\x00\x22|OggS\x00\x02\x00{8}|#!AMR-WB\n",
    re.DOTALL,
)
_PIECE_BYTES = 1 << 20
_OVERLAP_BYTES = 32


@dataclass(frozen=True, slots=True)
class FilesSeen:
    """What a look over a folder found; no name of a file, since a name may be a person's."""

    files: int
    looked_at_bytes: int
    audio: int  # files that hold audio in clear
    unreadable: int


def look_over(folder: Path) -> FilesSeen:
    """Every regular file below the folder, read once."""
    files = size_bytes = audio = unreadable = 0
    for path in regular_files(folder):
        files += 1
        try:
            found, read_bytes = _holds_audio(path)
        except FileNotFoundError:  # removed meanwhile, as the home's own files come and go
            continue
        except OSError:
            unreadable += 1
            continue
        audio += int(found)
        size_bytes += read_bytes
    return FilesSeen(files, size_bytes, audio, unreadable)


def regular_files(folder: Path) -> Iterator[Path]:
    """Files below a folder in order of their names; links are not followed."""
    for path in sorted(folder.rglob("*")):
        try:
            if stat.S_ISREG(path.lstat().st_mode):
                yield path
        except FileNotFoundError:
            continue


def broken_reserves(wanted: Mapping[Path, int]) -> Sequence[str]:
    """Names of the reserve files that are missing or smaller than wanted (bytes really allocated count)."""
    return [path.name for path, size_bytes in wanted.items() if _allocated_bytes(path) < size_bytes]


def _holds_audio(path: Path) -> tuple[bool, int]:
    total, tail, found = 0, b"", False
    with path.open("rb", buffering=0) as file:
        while piece := file.read(_PIECE_BYTES):
            window = tail + piece
            found = found or _ANYWHERE.search(window) is not None
            found = found or (total == 0 and _START.match(window) is not None)
            total += len(piece)
            tail = window[-_OVERLAP_BYTES:]
    return found, total


def _allocated_bytes(path: Path) -> int:
    try:
        there = path.lstat()
    except OSError:
        return 0
    return min(there.st_size, there.st_blocks * 512)
