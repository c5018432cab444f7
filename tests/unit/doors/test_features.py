"""`sottovoce features`: tables of people's own files; one bad file never stops the others."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from sottovoce.doors.cli import features as verb
from sottovoce.doors.cli import features_measure
from sottovoce.doors.cli import features_write as door
from sottovoce.doors.cli.console import Console
from sottovoce.doors.cli.features_measure import ROWS_AT_ONCE, Request, measure
from sottovoce.doors.cli.features_progress import progress
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.voice.features import LLD_NAMES, egemaps, egemaps_per, lld

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


# --- outputs ------------------------------------------------------------------------------------------------


@pytest.fixture
def high_rate(tmp_path: Path) -> Path:
    """12 seconds at 44.1 kHz: more than one block of the resampler and many of the decoder."""
    t = np.arange(12 * 44100) / 44100
    phase = 2 * np.pi * np.cumsum(150 + 20 * np.sin(2 * np.pi * 0.8 * t)) / 44100
    samples = 0.1 * sum(np.sin(k * phase) / k for k in range(1, 9)) * (np.sin(3 * t) > -0.6)
    path = tmp_path / "high.flac"
    soundfile.write(path, samples, 44100, subtype="PCM_16")
    return path


def test_F8_read_in_blocks_the_values_are_those_of_the_whole(
    run: Callable[..., Any], high_rate: Path
) -> None:
    """A file that is read block by block gives the numbers of the whole recording, to the last bit."""
    samples = soundfile.read(high_rate)[0]
    (row,) = rows_of(run("features", str(high_rate)).out)
    assert [float(row[name]) for name in FEATURE_NAMES] == list(egemaps(samples, 44100).values)
    rows = rows_of(run("features", str(high_rate), "--lld").out)
    assert [[float(row[name]) for name in LLD_NAMES] for row in rows] == lld(samples, 44100).values.tolist()
    rows = rows_of(run("features", str(high_rate), "--per", "5").out)
    windows = list(egemaps_per(samples, 44100, 5))
    assert [[float(row[name]) for name in FEATURE_NAMES] for row in rows] == [
        list(w.values) for *_, w in windows
    ]


@pytest.mark.parametrize("arguments", [(), ("--lld",), ("--per", "0.5")])
def test_parquet_csv_and_json_hold_the_same(
    run: Callable[..., Any], recording: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    files = {suffix: tmp_path / f"out.{suffix}" for suffix in ("csv", "json", "parquet")}
    for path in files.values():
        assert run("features", str(recording), str(recording), *arguments, "-o", str(path)).code == 0
    expected = json.loads(files["json"].read_text())
    table = parquet.read_table(files["parquet"])
    assert table.to_pylist() == expected
    assert table.column_names == list(expected[0])
    rows = rows_of(files["csv"].read_text())
    names = table.column_names[3:]
    assert [[float(row[name]) for name in names] for row in rows] == [
        [o[name] for name in names] for o in expected
    ]
    assert [row["end"] for row in rows] == [door.timedelta(o["end"]) for o in expected]


def test_csv_is_read_by_pandas(run: Callable[..., Any], recording: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    run("features", str(recording), "--per", "0.5", "-o", str(tmp_path / "a.csv"))
    frame = pandas.read_csv(tmp_path / "a.csv")
    assert list(pandas.to_timedelta(frame["end"]).dt.total_seconds()) == [0.5, 1.0, 1.5, 2.0]
    whole = egemaps(soundfile.read(recording)[0], 16000)
    assert list(whole.dataframe().columns) == list(frame.columns[3:])


def test_a_long_table_is_written_in_pieces(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    soundfile.write(path, 0.1 * np.random.default_rng(1).standard_normal(50 * 8000), 8000, subtype="PCM_16")
    rows = rows_of(run("features", str(path), "--lld").out)
    assert len(rows) == 1 + (50 * 16000 - 960) // 160 > ROWS_AT_ONCE
    assert rows[4097]["start"] == "0 days 00:00:40.970000"


def test_an_output_that_cannot_be_made_is_refused_before_anything_is_measured(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    done = run("features", str(tmp_path / "absent.wav"), "-o", str(tmp_path / "no" / "a.csv"))
    assert done.code == 2
    assert "input_unreadable" not in done.err


def test_nothing_is_left_of_a_run_without_a_result(
    run: Callable[..., Any], tmp_path: Path, recording: Path
) -> None:
    cut = tmp_path / "cut.wav"
    cut.write_bytes(recording.read_bytes()[:40000])
    done = run("features", str(cut), "--per", "0.5", "-o", str(tmp_path / "a.csv"))
    assert (done.code, "truncated" in done.err) == (4, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.wav", "tone.wav"]


def test_of_a_file_that_breaks_half_way_no_row_is_written(
    run: Callable[..., Any], tmp_path: Path, recording: Path
) -> None:
    samples = 0.1 * np.random.default_rng(1).standard_normal(20 * 16000)
    broken = tmp_path / "broken.flac"
    soundfile.write(broken, samples, 16000, subtype="PCM_16")
    data = broken.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    done = run("features", str(broken), str(recording), "--per", "1")
    assert done.code == 1
    assert {row["file"] for row in rows_of(done.out)} == {str(recording)}


def test_bad_files_are_told_in_one_table(run: Callable[..., Any], recording: Path, tmp_path: Path) -> None:
    names = ("absent.wav", "noise.wav")
    (tmp_path / "noise.wav").write_bytes(b"not a recording" * 9)
    for jobs in ("1", "2"):
        done = run("features", *(str(tmp_path / name) for name in names), str(recording), "--jobs", jobs)
        assert done.code == 1
        lines = done.err.splitlines()
        first = lines.index("2 of 3 files could not be measured:") + 1
        table = lines[first : first + 2]
        assert [line.split()[:2] for line in table] == [
            [str(tmp_path / "absent.wav"), "input_unreadable"], [str(tmp_path / "noise.wav"), "unknown_format"],
        ]  # fmt: skip
        assert len(rows_of(done.out)) == 1


def test_a_helper_that_dies_is_told_and_the_run_ends(
    run: Callable[..., Any], recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "_measure_there", die)
    done = run("features", str(recording), str(recording), str(recording), "--jobs", "2")
    assert done.code == 4
    assert done.err.count("extraction_failed") == 3


def die(*_: object) -> None:
    """Runs in a helper process."""
    os._exit(9)


# --- progress -----------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("count", [1, 3])
def test_on_a_terminal_a_bar_moves_and_elsewhere_nothing_is_said(recording: Path, count: int) -> None:
    files = (str(recording),) * count
    request = Request("compat", "0", False, None)
    for stderr in (Terminal(), io.StringIO()):
        console = Console(io.StringIO(), stderr, {"TERM": "xterm"})
        size_bytes = count * recording.stat().st_size
        with progress(console, size_bytes=size_bytes, files=count, shown=True) as bar:
            for _ in verb._all(files, request, 1, bar):
                bar.done()
        assert ("tone.wav" in stderr.getvalue()) == stderr.isatty()
        assert ("files" in stderr.getvalue()) == (stderr.isatty() and count > 1)


def test_progress_counts_each_byte_once(recording: Path) -> None:
    read: list[int] = []
    assert measure(str(recording), Request("compat", "0", False, None), read.append).error is None
    assert sum(read) == recording.stat().st_size
    assert all(size > 0 for size in read)


# --- bad signals --------------------------------------------------------------------------------------------


def written(path: Path, samples: Any, rate: int, subtype: str = "FLOAT") -> str:
    soundfile.write(path, samples, rate, subtype=subtype)
    return str(path)


@pytest.mark.parametrize(
    ("samples", "rate", "reason"),
    [
        (np.full(16000, np.nan), 16000, "non_finite"),
        (np.concatenate((np.zeros(70000), [np.inf], np.zeros(9000))), 16000, "non_finite"),
        (np.zeros(1), 16000, "too_short"),
        (np.zeros(16000), 1, "sample_rate"),
        (np.zeros(16000), 768_000, "sample_rate"),
        (np.zeros((160, 1000)), 16000, "channels"),
        (np.full(16000, 1e30), 16000, "amplitude"),
    ],
    ids=["NaN", "late infinity", "one sample", "1 Hz", "768 kHz", "1,000 channels", "volts"],
)
@pytest.mark.parametrize("arguments", [(), ("--lld",), ("--per", "0.5")], ids=["whole", "lld", "per"])
def test_X20_bad_signals_are_refused_with_their_reason(
    run: Callable[..., Any], tmp_path: Path, samples: Any, rate: int, reason: str, arguments: tuple[str, ...]
) -> None:
    """The command refuses what cannot be the recording of a voice, with the reason, and writes no row."""
    done = run("features", written(tmp_path / "bad.wav", samples, rate), *arguments)
    assert (done.code, done.out) == (4, "")
    assert f"[{reason}]" in done.err


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (np.full(32000, 0.5), "without voice"),
        (np.sign(np.sin(2 * np.pi * 150 * np.arange(32000) / 16000) + 1e-9), "clipped: 100 %"),
        (np.zeros(32000), "almost silent"),
        (0.1 * np.random.default_rng(1).standard_normal(32000), "without voice"),
    ],
    ids=["DC", "full-scale square", "silence", "noise"],
)
def test_X22_odd_signals_have_sound_values_and_a_note(
    run: Callable[..., Any], tmp_path: Path, samples: Any, said: str
) -> None:
    """An offset, a square at full scale, silence and noise give finite numbers, and a note that says what they are."""
    done = run("features", written(tmp_path / "odd.wav", np.clip(samples, -1, 1), 16000, "PCM_16"))
    (row,) = rows_of(done.out)
    assert done.code == 0
    assert all(np.isfinite(float(row[name])) for name in FEATURE_NAMES)
    assert said in done.err


def test_X22_of_many_windows_each_finding_is_told_once(run: Callable[..., Any], tmp_path: Path) -> None:
    """Of a recording in windows the note says in how many of them something is wrong, not the same thing each time."""
    samples = np.concatenate((np.zeros(32000), 0.1 * np.random.default_rng(1).standard_normal(32000)))
    done = run("features", written(tmp_path / "half.wav", samples, 16000, "PCM_16"), "--per", "1")
    assert "2 of 4 windows, the first: almost silent" in done.err
    assert done.err.count("note:") == 2


def test_X18_what_is_longer_than_the_limit_is_told(
    run: Callable[..., Any], recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording beyond the limit is refused where it says so, and cut with a note where it does not."""
    monkeypatch.setattr(features_measure, "LONGEST_S", 1.8)
    done = run("features", str(recording))
    assert (done.code, "[too_long]" in done.err, "longer than 0.0005 hours" in done.err) == (4, True, True)
    streamed = bytearray(recording.read_bytes())
    streamed[4:8] = streamed[40:44] = b"\xff" * 4  # a header that leaves the length open
    path = tmp_path / "streamed.wav"
    path.write_bytes(streamed)
    for arguments in ((), ("--lld",), ("--per", "1")):
        done = run("features", str(path), *arguments)
        assert (done.code, "cut: only the first" in done.err) == (0, True)


def test_an_interrupted_run_leaves_nothing_behind(
    run: Callable[..., Any], recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Any:
        yield measure(str(recording), Request("compat", "0", False, None))
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "_all", interrupted)
    for suffix in (".csv", ".json"):
        assert run("features", str(recording), "-o", str(tmp_path / f"out{suffix}")).code == 130
    assert list(tmp_path.iterdir()) == [recording]
