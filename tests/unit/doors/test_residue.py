"""The search of the demonstration finds what is there, at any offset, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sottovoce.doors.cli import residue

CLIP = random.Random(1).randbytes(4096)


@given(st.integers(0, 300), st.integers(0, 4096 - 64), st.integers(31, 64))
def test_a_planted_run_of_31_bytes_is_found_at_any_offset(offset: int, start: int, length: int) -> None:
    piece = CLIP[start : start + length]
    assert residue.found_in(bytes(offset) + piece + bytes(50), residue.windows_of(CLIP)) >= 1


def test_unrelated_bytes_hold_none_and_silence_is_no_evidence() -> None:
    windows = residue.windows_of(CLIP)
    assert residue.found_in(random.Random(2).randbytes(8192), windows) == 0
    assert residue.windows_of(bytes(4096)) == frozenset()


def test_every_file_of_a_folder_is_searched(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "clean").write_bytes(bytes(100))
    (tmp_path / "deep" / "dirty").write_bytes(b"x" + CLIP[:200])
    looked_at, holding = residue.files_with(tmp_path, residue.windows_of(CLIP))
    assert looked_at == 2
    assert holding == [tmp_path / "deep" / "dirty"]
