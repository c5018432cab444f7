"""Is any piece of a recording in these files? Every 16-byte block of theirs is looked up among all its windows.

Whatever of the recording stands there in one run of at least 31 bytes, at any offset, covers a whole block and is
found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

WINDOW_BYTES = 16  # two unrelated files share one by chance with a probability below 1e-25
_DISTINCT = 8  # windows of silence or of a header's zeros would be found anywhere


def windows_of(recording: bytes) -> frozenset[bytes]:
    """Every 16 consecutive bytes of a recording, at any offset, without those that say nothing."""
    every = (recording[i : i + WINDOW_BYTES] for i in range(len(recording) - WINDOW_BYTES + 1))
    return frozenset(window for window in every if len(set(window)) >= _DISTINCT)


def found_in(data: bytes, windows: frozenset[bytes]) -> int:
    """How many 16-byte blocks of the data are windows of the recording."""
    return sum(data[i : i + WINDOW_BYTES] in windows for i in range(0, len(data), WINDOW_BYTES))


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
