"""The measurement that users can run on their own home: it finds nothing, and it finds what is planted."""

from __future__ import annotations

import base64
import json
import sqlite3
import struct
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

# A debug line that somebody forgot: what is given to the extractor, or what comes of it, is written or kept.
AUDIO_LEAK = """
def leaking(self, source, *others):
    data = os.pread(source.fd, 1 << 20, 0)
    if data[:4] == b"RIFF":
        {leak}
    return plain(self, source, *others)
SealedExtractor.extract, plain = leaking, SealedExtractor.extract
"""
RESULT_LEAK = """
def leaking(self, source, options, places):
    result = self.extract(source, options)
    values, stored = result.features.values, result.features.to_float32_bytes()
    {leak}
    return plain(self, source, options, places)
SealedExtractor.extract_sealed, plain = leaking, SealedExtractor.extract_sealed
"""
_FILE, _LOG = "open(os.path.join(os.environ['TMPDIR'], 'debug.raw'), 'ab').write", "sys.stderr.write"
LEAKS = {
    "audio in a temporary file": ("files", AUDIO_LEAK.format(leak=f"{_FILE}(data)")),
    "audio in the log": ("files", AUDIO_LEAK.format(leak=f"{_LOG}(base64.b64encode(data).decode())")),
    "audio in memory": ("memory", AUDIO_LEAK.format(leak="kept.append(data)")),
    "results in a temporary file": ("files", RESULT_LEAK.format(leak=f"{_FILE}(stored)")),
    "results in the log": ("files", RESULT_LEAK.format(leak=f"{_LOG}(str(list(values)).replace(' ', ''))")),
    "results as numbers in memory": ("memory", RESULT_LEAK.format(leak="kept.append(values)")),
    "results as bytes in memory": ("memory", RESULT_LEAK.format(leak="kept.append(stored)")),
}
LEAKY = """
import base64, os, sys
from sottovoce.adapters.extractor import SealedExtractor
from sottovoce.doors.cli import residue_handler
kept = []
{leak}
raise SystemExit(residue_handler.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_I1_C9b_X13_X16_no_window_of_marked_recordings_is_left_anywhere(tmp_home: Path) -> None:
    """Of recordings that were submitted, analysed, broken, killed at work and erased, no piece of audio is found in any
    file of the home, in temporary folders, logs or memory, and no number of their results in any file, nor in the
    memory of the process that worked them off."""
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
@pytest.mark.parametrize("leak", list(LEAKS))
def test_X08_I1_a_forgotten_debug_line_is_found(tmp_home: Path, leak: str) -> None:
    """A line that writes a recording or its result to a temporary file or the log, or keeps it in memory, is noticed,
    and the verdict says so."""
    medium, code = LEAKS[leak]
    handler = (sys.executable, "-c", LEAKY.format(leak=code))
    report = residue_run.run(tmp_home, recordings=6, handler=handler)
    if medium == "memory" and not all(stage.run for stage in report.stages):
        pytest.skip("not run: the memory of other processes cannot be read here")
    assert not report.clean
    assert {stage.medium for stage in report.stages if stage.found and stage.promised} >= {medium}


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
        columns = "id, tenant, subject_id, session_id, pseudonym, requested_at, completed_at, receipt"
        with database._writing.begin() as connection:
            for number, window in enumerate(NEEDLES.windows):
                row = (f"r{number}", "default", "s", None, "p", number, None, window.hex() + str(window))
                connection.exec_driver_sql(f"INSERT INTO requests ({columns}) VALUES (?,?,?,?,?,?,?,?)", row)
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


RESULT = [20.0 + 1 / (7 + n) for n in range(88)]
TOLD = {"pitch_level": 123.456789012345, "hnr": None, "jitter": 1.23456789012345, "shimmer": 0.1234567890123}


def test_I1_a_result_is_found_in_every_form(tmp_path: Path) -> None:
    """The search knows a result as raw numbers, as text, in base64, and number by number."""
    needles = Needles(tuple(residue_search.unique_needles([residue_search.value_needles(RESULT, TOLD)])))
    row = struct.pack("<88f", *RESULT)
    forms = {
        "float32": row,
        "float64": struct.pack("<88d", *RESULT),
        "text": json.dumps(RESULT, separators=(",", ":")).encode(),
        "insight": json.dumps(TOLD, separators=(",", ":")).encode(),
        "one number": bytes(16) + struct.pack("<d", RESULT[40]),
        **{f"base64, shifted by {n}": base64.b64encode(bytes(n) + row) for n in range(3)},
    }
    for name, form in forms.items():
        assert needles.found_in(form + bytes(16)), name
    assert needles.found_in(bytes(4096)) == set()


def test_what_two_recordings_have_in_common_marks_neither() -> None:
    one, other = residue_search.value_needles(RESULT, TOLD), residue_search.value_needles(RESULT[::-1], TOLD)
    assert not set(residue_search.unique_needles([one, other])) & set(one) & set(other)


def test_the_needles_cover_every_form() -> None:
    assert len(NEEDLES.windows) == len(set(NEEDLES.windows)) == 6 * residue_search.WINDOWS_EACH
    assert {len(window) for window in NEEDLES.windows} == {residue_search.WINDOW_BYTES}
