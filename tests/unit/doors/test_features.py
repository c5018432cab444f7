"""`sottovoce features`: tables of people's own files; one bad file never stops the others."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sottovoce.doors.cli import features as door
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.features import LLD_NAMES, egemaps

PITCH = "F0semitoneFrom27.5Hz_sma3nz_amean"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    t = np.arange(32000) / 16000
    samples = 0.1 * sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 9))
    path = tmp_path / "tone.wav"
    soundfile.write(path, samples, 16000, subtype="PCM_16")
    return path


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_columns_are_file_start_end_and_the_88_names(run: Callable[..., Any], recording: Path) -> None:
    done = run("features", str(recording))
    (row,) = rows_of(done.out)
    assert done.code == 0
    assert tuple(row) == ("file", "start", "end", *FEATURE_NAMES)
    assert (row["start"], row["end"]) == ("0 days 00:00:00.000000", "0 days 00:00:02.000000")
    expected = egemaps(soundfile.read(recording)[0], 16000)
    assert [float(row[name]) for name in FEATURE_NAMES] == list(expected.values)


def test_M06_features_opens_no_home_and_stores_nothing(
    run: Callable[..., Any], platform: Any, recording: Path, tmp_path: Path
) -> None:
    """`features` opens no home, asks no consent ledger and leaves nothing but the file that was asked for."""
    before = sorted(tmp_path.rglob("*"))
    assert run("features", str(recording)).code == 0
    assert platform.opened_with == []
    assert sorted(tmp_path.rglob("*")) == before


def test_one_bad_file_never_stops_the_others(
    run: Callable[..., Any], recording: Path, tmp_path: Path
) -> None:
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"not a recording" * 9)
    done = run("features", str(noise), str(tmp_path / "absent.wav"), str(tmp_path), str(recording))
    assert done.code == 1
    assert len(rows_of(done.out)) == 1
    assert "unknown_format" in done.err
    assert done.err.count("input_unreadable") == 2
    assert run("features", str(noise)).code == 4


def test_windows_and_json(run: Callable[..., Any], recording: Path) -> None:
    lines = run("features", str(recording), "--per", "0.5", "--profile", "corrected", "--json").lines
    assert [(line["start"], line["end"]) for line in lines] == [(0, 0.5), (0.5, 1), (1, 1.5), (1.5, 2)]
    assert all(len(line) == 91 for line in lines)


def test_contours(run: Callable[..., Any], recording: Path) -> None:
    rows = rows_of(run("features", str(recording), "--lld").out)
    assert tuple(rows[0]) == ("file", "start", "end", *LLD_NAMES)
    assert len(rows) == 1 + (32000 - 960) // 160
    assert rows[1]["start"] == "0 days 00:00:00.010000"


def test_files_of_each_kind(run: Callable[..., Any], recording: Path, tmp_path: Path) -> None:
    assert run("features", str(recording), "-o", str(tmp_path / "a.csv")).out == ""
    assert run("features", str(recording), "-o", str(tmp_path / "a.json")).code == 0
    (row,) = rows_of((tmp_path / "a.csv").read_text())
    (same,) = json.loads((tmp_path / "a.json").read_text())
    assert float(row[PITCH]) == same[PITCH]
    assert run("features", str(recording), "-o", str(tmp_path / "no" / "a.csv")).code == 2


@pytest.mark.parametrize(
    "wrong",
    [("-o", "a.xlsx"), ("--lld", "--per", "3"), ("--per", "0.01"), ("--jobs", "0"), ("--profile", "other")],
)
def test_requests_that_make_no_sense_are_refused(
    run: Callable[..., Any], recording: Path, wrong: tuple[str, ...]
) -> None:
    assert run("features", str(recording), *wrong).code == 2


def test_parquet_needs_pyarrow(
    run: Callable[..., Any], recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    done = run("features", str(recording), "-o", str(tmp_path / "a.parquet"))
    assert done.code == 2
    assert "extra_missing" in done.err


def test_X22_what_is_wrong_with_a_recording_is_said(run: Callable[..., Any], tmp_path: Path) -> None:
    """Of a silent file the answer says that it is silent, with its level, beside the numbers."""
    path = tmp_path / "silent.wav"
    soundfile.write(path, np.zeros(16000), 16000, subtype="PCM_16")
    assert "almost silent: the level is 120 dB" in run("features", str(path)).err


def test_several_processes_give_the_same_rows_in_order(run: Callable[..., Any], recording: Path) -> None:
    one = run("features", str(recording), str(recording)).out
    assert run("features", str(recording), str(recording), "--jobs", "2").out == one


@pytest.mark.parametrize(
    ("seconds", "shown"), [(1.5, "0 days 00:00:01.500000"), (90061.25, "1 days 01:01:01.250000")]
)
def test_times_are_written_as_pandas_does(seconds: float, shown: str) -> None:
    assert door.timedelta(seconds) == shown
