"""A file in the place of the tombstones that is something else: refused without reading it into memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from sottovoce.adapters.tombstones_file import FileTombstones
from sottovoce.errors import IntegrityError


def test_M05_a_line_without_end_is_damage_and_costs_no_memory(tmp_path: Path) -> None:
    """A line of many megabytes among the tombstones is refused as damage before it is read whole."""
    path = tmp_path / "tombstones.log"
    with path.open("wb") as file:
        file.truncate(64 << 20)
        file.seek(0, 2)
        file.write(b"\n")
    tracemalloc.start()
    with pytest.raises(IntegrityError):
        list(FileTombstones(path, reserve_bytes=0).chain())
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
