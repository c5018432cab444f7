"""ingest at the command line: what is told, what stops it, and a process of the pool that dies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sottovoce.adapters.memory import MemoryDatabase
from sottovoce.doors.cli import ingest, ingest_pool
from sottovoce.errors import AudioRejected, ExtractionFailed, KeyUnavailable, StorageError
from sottovoce.model.corpus import CorpusFile, FootprintRow, IngestOutcome
from sottovoce.model.retention import RECORD_KINDS
from sottovoce.model.subject import Caller
from sottovoce.settings import Settings

REQUEST = ingest_pool.Request("/nowhere", Caller(actor="tester", channel="test"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("anna/1.wav", "anna/2.wav", "bert/3.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


@pytest.fixture
def taking(platform: Any) -> Any:
    """A platform that takes in whatever it is given."""
    platform.answers |= {
        "unwilling": frozenset(),
        "ingest_file": IngestOutcome("taken", "ses_" + "a" * 24, "left_in_place", 1000),
        "footprint": (FootprintRow("features", 3, 2100), FootprintRow("key", 12, 960)),
    }
    return platform


def test_every_kind_of_thing_that_is_stored_has_words() -> None:
    with MemoryDatabase().read() as tx:
        kinds = {row.kind for row in tx.footprint()}
    assert {*RECORD_KINDS, *kinds, "sealed_audio", "key"} == set(ingest._KIND_WORDS)


def test_every_file_is_taken_and_the_footprint_told(
    run: Callable[..., Any], taking: Any, folder: Path
) -> None:
    done = run("ingest", str(folder), "--subject-from", "name", "--jobs", "1")
    assert done.code == 0
    assert "3 taken in" in " ".join(done.out.split())
    assert "2.1 kB" in done.out
    assert [named["subject"] for verb, _, named in taking.asked if verb == "ingest_file"] == [
        "anna",
        "anna",
        "bert",
    ]


def test_one_bad_file_never_stops_the_others(run: Callable[..., Any], taking: Any, folder: Path) -> None:
    taking.fails[str(folder / "anna/2.wav")] = AudioRejected(reason="too_short")
    done = run("ingest", str(folder), "--subject-from", "name", "--jobs", "1", "--json")
    assert done.code == 1
    assert '"taken": 2, "failed": 1' in done.out
    assert "too_short" in done.out


@pytest.mark.parametrize(("error", "code"), [(StorageError(reason="storage_full"), 7), (KeyUnavailable(), 6)])
def test_F10_a_full_disk_or_a_missing_key_stops_the_run(
    run: Callable[..., Any], taking: Any, folder: Path, error: Exception, code: int
) -> None:
    """What would fail for every other recording as well ends the ingest, with its reason; the rest is not begun."""
    taking.fails[str(folder / "anna/2.wav")] = error
    done = run("ingest", str(folder), "--subject-from", "name", "--jobs", "1")
    assert done.code == code
    assert sum(verb == "ingest_file" for verb, *_ in taking.asked) == 2
    assert "1 taken in" in " ".join(done.out.split())


def test_who_has_not_consented_is_not_begun(run: Callable[..., Any], platform: Any, folder: Path) -> None:
    platform.answers |= {"footprint": (), "unwilling": frozenset({"anna", "bert"})}
    done = run("ingest", str(folder), "--subject-from", "name")
    assert done.code == 3
    assert "2 of 2 people have not consented" in done.err
    assert "ingest_file" not in platform.verbs_asked()


def test_a_report_that_cannot_be_written_stops_before_anything_is_done(
    run: Callable[..., Any], taking: Any, folder: Path
) -> None:
    done = run("ingest", str(folder), "--subject-from", "name", "--report", str(folder / "no/where.csv"))
    assert done.code == 2
    assert taking.asked == []


def test_jobs_are_one_to_sixty_four(run: Callable[..., Any], taking: Any, folder: Path) -> None:
    assert run("ingest", str(folder), "--subject-from", "name", "--jobs", "65").code == 2


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000, "2.0 MB"), (3e12, "3.0 TB")]
)
def test_amounts(size: float, words: str) -> None:
    assert ingest.amount(size) == words


def test_a_process_that_dies_is_replaced_and_its_file_given_once_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A recording that ends its process twice is reported; the others are taken in."""
    monkeypatch.setattr(ingest_pool, "_serve", _dies_on_bad)
    files = [CorpusFile(name, "anna") for name in ("1", "bad", "2", "3")]
    with_settings = Settings(home=tmp_path)
    answers = {
        file.path: answer for file, answer in ingest_pool.side_by_side(with_settings, files, REQUEST, jobs=2)
    }
    assert answers.keys() == {"1", "bad", "2", "3"}
    assert isinstance(answers["bad"], ExtractionFailed)
    assert answers["bad"].reason == "process_died"
    assert all(answers[name].status == "taken" for name in ("1", "2", "3"))


def _dies_on_bad(pipe: Any, _settings: Any, _request: Any) -> None:
    try:
        while True:
            if pipe.recv().path == "bad":
                os._exit(9)
            pipe.send(IngestOutcome("taken", None, "left_in_place", 1))
    except EOFError:
        return


def test_processes_end_when_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_pool, "_serve", _dies_on_bad)
    files = [CorpusFile(str(number), "anna") for number in range(50)]
    taken = ingest_pool.side_by_side(Settings(home=tmp_path), files, REQUEST, jobs=2)
    next(taken)
    taken.close()
    import multiprocessing

    assert multiprocessing.active_children() == []
