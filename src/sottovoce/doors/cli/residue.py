"""Is any piece of a recording in these files? A search for every 16-byte window of it, at every offset."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path

WINDOW_BYTES = 16  # two unrelated files share one by chance with a probability below 1e-25
_DISTINCT = 8  # windows of silence or of a header's zeros would be found anywhere


def windows_of(recording: bytes) -> frozenset[bytes]:
    """Consecutive 16-byte pieces of a recording, without the ones that say nothing."""
    pieces = (
        recording[i : i + WINDOW_BYTES] for i in range(0, len(recording) - WINDOW_BYTES + 1, WINDOW_BYTES)
    )
    return frozenset(piece for piece in pieces if len(set(piece)) >= _DISTINCT)


def found_in(data: bytes | mmap.mmap, windows: frozenset[bytes]) -> int:
    """At how many offsets one of the windows stands."""
    return sum(data[i : i + WINDOW_BYTES] in windows for i in range(len(data) - WINDOW_BYTES + 1))


def files_with(folder: Path, windows: frozenset[bytes]) -> tuple[int, list[Path]]:
    """How many files lie under the folder, and which of them hold a piece of the recording."""
    looked_at, holding = 0, []
    for path in _files(folder):
        looked_at += 1
        if found_in(path.read_bytes(), windows):
            holding.append(path)
    return looked_at, holding


def size_of(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
