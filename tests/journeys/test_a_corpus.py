"""A data team's folder of recordings: taken in by several processes, killed on the way, resumed, reported."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.slow

FILES = 10


@pytest.fixture
def corpus(tmp_path: Path, jfk_path: Path) -> Path:
    """Ten different recordings of two people, one broken file and one that is no audio."""
    samples, rate = soundfile.read(jfk_path, dtype="int16")
    folder = tmp_path / "corpus"
    for number in range(FILES):
        person = folder / ("anna" if number % 2 else "bert")
        person.mkdir(parents=True, exist_ok=True)
        soundfile.write(person / f"{number}.wav", np.roll(samples, 997 * number)[: 6 * rate], rate)
    (folder / "anna" / "notes.txt").write_text("call her back")
    (folder / "bert" / "empty.wav").write_bytes(b"")
    return folder


@pytest.fixture
def team(cli_at: Callable[..., Any]) -> Any:
    cli = cli_at()
    for person in ("anna", "bert"):
        cli.grant(person)
    return cli


def verified(home: Path) -> int:
    """Recordings with a stored result."""
    with sqlite3.connect(f"file:{home / 'sottovoce.db'}?mode=ro", uri=True) as database:
        return int(database.execute("SELECT count(*) FROM recordings WHERE state = 'verified'").fetchone()[0])


def features(home: Path) -> list[int]:
    with sqlite3.connect(f"file:{home / 'sottovoce.db'}?mode=ro", uri=True) as database:
        query = "SELECT count(*) FROM records WHERE kind = 'features' GROUP BY session_id"
        return [row[0] for row in database.execute(query)]


def killed_on_the_way(team: Any, corpus: Path, *, after: int, whole_group: bool) -> None:
    """Start an ingest, and kill it without a word once some recordings are in."""
    target = verified(team.home) + after
    command = ("ingest", corpus, "--subject-from", "name", "--jobs", "2")
    process = team.start(*command, start_new_session=True)
    deadline = time.monotonic() + 90
    while verified(team.home) < target and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if whole_group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()


def test_M16_an_ingest_that_is_killed_twice_takes_in_every_file_exactly_once(team: Any, corpus: Path) -> None:
    """A corpus of recordings is taken in completely and without doubles, whatever kills the work on the way."""
    killed_on_the_way(team, corpus, after=2, whole_group=True)
    killed_on_the_way(team, corpus, after=2, whole_group=False)
    report = corpus.parent / "outcome.csv"
    done = team("ingest", corpus, "--subject-from", "name", "--report", report, "--json", code=1)
    summary = done.lines[-1]
    assert summary["summary"]["taken"] + summary["summary"]["done_before"] == FILES
    assert summary["summary"]["done_before"] >= 4
    assert features(team.home) == [1] * FILES
    with report.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FILES + 2
    bad = {row["file"]: row["code"] for row in rows if row["code"]}
    assert bad == {"anna/notes.txt": "unknown_format", "bert/empty.wav": "empty"}
    assert report.stat().st_mode & 0o077 == 0
    again = team("ingest", corpus, "--subject-from", "name", "--json", code=1).lines[-1]
    assert again["summary"] == {"done_before": FILES, "refused_before": 2}
    assert len(list(corpus.rglob("*.wav"))) == FILES + 1  # nothing was unlinked
    team("fsck")
    team("audit", "verify")


def test_C9e_sources_are_unlinked_only_after_their_results_are_stored(team: Any, corpus: Path) -> None:
    """With --discard-source the recordings go as they are taken in, a bad file stays, and what is left is reported."""
    done = team("ingest", corpus, "--subject-from", "name", "--discard-source", "--json", code=1)
    assert done.lines[-1]["sources"] == {"unlinked": FILES}
    left = sorted(path.name for path in corpus.rglob("*") if path.is_file())
    assert left == ["empty.wav", "notes.txt"]
    assert verified(team.home) == FILES


def test_people_without_consent_are_named_before_anything_is_begun(
    cli_at: Callable[..., Any], corpus: Path
) -> None:
    """Nobody's recording is opened in bulk without their consent; the others are taken in."""
    cli = cli_at()
    cli.grant("bert")
    would = cli("ingest", corpus, "--subject-from", "name", "--dry-run", "--json", code=1).json
    assert (would["files"], would["people"], would["would_be_taken"]) == (FILES + 2, 2, 6)
    done = cli("ingest", corpus, "--subject-from", "name", "--json", code=1)
    assert "1 of 2 people have not consented" in done.err
    assert done.lines[-1]["summary"] == {"taken": 5, "failed": 7}
    assert verified(cli.home) == 5


def test_two_ingests_at_once_take_every_file_once(team: Any, corpus: Path) -> None:
    """Two people who begin the same ingest do no harm: each recording is analysed once."""
    command = ("ingest", corpus, "--subject-from", "name", "--json", "--jobs", "1")
    both = [team.start(*command) for _ in range(2)]
    ends = [json.loads(process.communicate()[0].splitlines()[-1])["summary"] for process in both]
    assert sum(end.get("taken", 0) for end in ends) == FILES
    assert features(team.home) == [1] * FILES


def test_a_summary_for_people(team: Any, corpus: Path) -> None:
    done = team("ingest", corpus, "--subject-from", "name", code=1)
    assert "10 taken in" in " ".join(done.out.split())
    assert "anna/notes.txt" in done.out
    assert "features, sealed" in done.out
    shown = team("footprint").out
    assert "signed receipts" in shown
