"""The caller's own file: its digest, and when it may be unlinked."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.source_file import open_source
from sottovoce.errors import InputUnreadable


@given(size=st.integers(0, 700_000))
def test_the_digest_is_that_of_the_whole_file(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    path = tmp_path_factory.mktemp("source") / "a.wav"
    data = os.urandom(size)
    path.write_bytes(data)
    with open_source(path) as source:
        assert source.digest() == hashlib.sha256(data).hexdigest()
        assert source.digest() == hashlib.sha256(data).hexdigest()  # reading moves nothing


def test_a_file_is_unlinked_and_its_name_is_looked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"audio")
    with open_source(path) as source:
        assert source.discard()
    assert not path.exists()


def test_a_file_that_changed_meanwhile_is_not_unlinked(tmp_path: Path) -> None:
    """A file that somebody wrote to while it was analysed holds what we haven't read: it stays."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"audio")
    with open_source(path) as source:
        with path.open("ab") as file:
            file.write(b"more audio")
        assert not source.discard()
    assert path.read_bytes() == b"audiomore audio"


def test_a_file_that_was_replaced_meanwhile_is_not_unlinked(tmp_path: Path) -> None:
    path, other = tmp_path / "a.wav", tmp_path / "b.wav"
    path.write_bytes(b"audio")
    other.write_bytes(b"other")
    with open_source(path) as source:
        other.replace(path)
        assert not source.discard()
    assert path.read_bytes() == b"other"


def test_only_regular_files_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nowhere", Path("/dev/null")):
        with pytest.raises(InputUnreadable), open_source(path):
            pass
