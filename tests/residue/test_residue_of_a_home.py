"""The measurement that users can run on their own home: it finds nothing, and it finds what is planted."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.database import SqliteDatabase
from sottovoce.adapters.database import engine as sqlite_engine
from sottovoce.doors.cli import residue_run, residue_search
from sottovoce.doors.cli.residue_search import Needles

NOISE = residue_search.marked_samples(5, samples=4_000)
NEEDLES = Needles(tuple(residue_search.audio_needles(NOISE)))

# A debug line that somebody forgot: what is to be analysed is written to a temporary file, or to the log.
LEAKS = {
    "a temporary file": "open(os.path.join(os.environ['TMPDIR'], 'debug.raw'), 'ab').write(os.pread(fd, 1 << 20, 0))",
    "the log": "sys.stderr.write(base64.b64encode(os.pread(fd, 1 << 20, 0)).decode())",
    "memory": "kept.append(os.pread(fd, 1 << 20, 0))",
}
LEAKY = """
import base64, os, sys
from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.doors.cli import residue_handler
kept, plain = [], SealedExtractor.extract
def leaking(self, source, options):
    fd = source.fd
    {leak}
    return plain(self, source, options)
SealedExtractor.extract = leaking
raise SystemExit(residue_handler.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_I1_C9b_X13_X16_no_window_of_marked_recordings_is_left_anywhere(tmp_home: Path) -> None:
    """Of recordings that were submitted, analysed, broken, killed at work and erased, no piece of audio is found in any
    file of the home, in temporary folders, logs or memory, and no piece of the features in any file."""
    report = residue_run.run(tmp_home, recordings=24)
    assert report.clean, report
    at_rest = [stage for stage in report.stages if stage.medium == "files"]
    assert len(at_rest) >= 8
    promised = [stage for stage in report.stages if stage.promised]
    assert len(promised) == len(report.stages) - 1
    assert all(stage.windows >= 4_000 and stage.found == 0 for stage in promised)
    assert set(report.controls.values()) == {True}
    if not all(stage.run for stage in report.stages):
        pytest.skip(
            "the files are clean; the search of memory was not run: it takes root or the right to trace"
        )
    assert report.controls["memory"]


@pytest.mark.slow
@pytest.mark.parametrize("place", list(LEAKS))
def test_X08_a_forgotten_debug_line_is_found(tmp_home: Path, place: str) -> None:
    """A line that writes what it is given to a temporary file, to the log or keeps it in memory is noticed."""
    handler = (sys.executable, "-c", LEAKY.format(leak=LEAKS[place]))
    report = residue_run.run(tmp_home, recordings=6, handler=handler)
    if place == "memory" and not all(stage.run for stage in report.stages):
        pytest.skip("not run: the memory of other processes cannot be read here")
    assert not report.clean
    media = {stage.medium for stage in report.stages if stage.found}
    assert media >= {"memory" if place == "memory" else "files"}


@pytest.mark.parametrize("secure", [True, False])
def test_X13_deleted_rows_leave_no_bytes_and_without_secure_delete_they_would(
    tmp_path: Path, secure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is deleted from the database is overwritten in its files; with that switched off, the search finds it."""
    if not secure:
        prepare = sqlite_engine._prepare

        def careless(connection: sqlite3.Connection, record: object) -> None:
            prepare(connection, record)
            connection.execute("PRAGMA secure_delete=OFF")

        monkeypatch.setattr(sqlite_engine, "_prepare", careless)
    database = SqliteDatabase(tmp_path / "data.db", reserve_bytes=1 << 16)
    try:
        with database._writing.begin() as connection:
            for number, window in enumerate(NEEDLES.windows):
                connection.exec_driver_sql("INSERT INTO requests VALUES (?,?,?,?,?,?,?,?)", (
                    f"r{number}", "default", "s", None, "p", number, None, window.hex() + str(window),
                ))  # fmt: skip
                connection.exec_driver_sql(
                    "UPDATE requests SET pseudonym = ? WHERE id = ?", (window, f"r{number}")
                )
        database.tidy()
        assert len(residue_search.search_files([tmp_path], NEEDLES).found) == len(NEEDLES.windows)
        with database._writing.begin() as connection:
            connection.exec_driver_sql("DELETE FROM requests")
        database.tidy()
        left = residue_search.search_files([tmp_path], NEEDLES).found
        assert (len(left) == 0) is secure
    finally:
        database.close()


@given(offset=st.integers(0, 300), number=st.integers(0, len(NEEDLES.windows) - 1), tail=st.integers(8, 40))
def test_a_window_is_found_at_any_offset(offset: int, number: int, tail: int) -> None:
    assert number in NEEDLES.found_in(bytes(offset) + NEEDLES.windows[number] + bytes(tail))


@given(offset=st.integers((8 << 20) - 100, (8 << 20) + 10), at_the_end=st.booleans())
def test_a_window_across_two_pieces_of_a_file_is_found(
    tmp_path_factory: pytest.TempPathFactory, offset: int, at_the_end: bool
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "file").write_bytes(bytes(offset) + NEEDLES.windows[3] + (b"" if at_the_end else bytes(100)))
    assert residue_search.search_files([folder], NEEDLES).found == {3}


def test_unrelated_bytes_hold_no_window() -> None:
    other = residue_search.marked_samples(6, samples=100_000).tobytes()
    assert NEEDLES.found_in(other) == set()


def test_the_needles_cover_every_form() -> None:
    assert len(NEEDLES.windows) == len(set(NEEDLES.windows)) == 6 * residue_search.WINDOWS_EACH
    assert {len(window) for window in NEEDLES.windows} == {residue_search.WINDOW_BYTES}
