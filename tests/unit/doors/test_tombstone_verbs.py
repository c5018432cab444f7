"""tombstones show, rebuild on a real home: what is told, in which order, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sottovoce import app
from sottovoce.doors.cli import app as cli
from sottovoce.doors.cli.tombstones import FOLLOWS

ALL = ("voice_recording", "voice_analysis")


@pytest.fixture
def home(tmp_home: Path) -> Path:
    """A closed home in which somebody was erased."""
    with app.open(home=tmp_home) as platform:
        platform.grant(subject="anna", purposes=ALL)
        platform.erase(subject="anna")
    return tmp_home


def said(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_show_says_head_kinds_signature_and_place(home: Path, capsys: Any) -> None:
    code, out, err = said(capsys, "tombstones", "show", "--home", str(home))
    assert (code, err) == (0, "")
    for words in (
        str(home / "tombstones.log"),
        "2 entries",
        "1 begun, 1 subject_erased",
        "the first 2",
        "whole",
    ):
        assert words in out
    code, out, _ = said(capsys, "tombstones", "show", "--home", str(home), "--json")
    found = json.loads(out)
    assert (found["entries"], found["signed"], found["followed"], found["whole"]) == (2, 2, 2, True)


def test_a_home_that_is_closed_by_it_is_shown_and_rebuilt_after_yes(home: Path, capsys: Any) -> None:
    file = home / "tombstones.log"
    kept = file.read_bytes().replace(b"subject_erased", b"Subject_erased")
    file.write_bytes(kept)
    code, _, err = said(capsys, "sessions", "--home", str(home), "--subject", "anna")
    assert code == 5
    assert "tombstones rebuild" in err
    code, out, err = said(capsys, "tombstones", "show", "--home", str(home))
    assert code == 5
    assert "NOT whole: tombstones_damaged" in out
    code, out, err = said(capsys, "tombstones", "rebuild", "--home", str(home))
    assert (code, out) == (2, "")
    assert FOLLOWS in err
    assert "not_confirmed" in err
    assert file.read_bytes() == kept
    code, out, err = said(capsys, "tombstones", "rebuild", "--home", str(home), "--yes", "--json")
    assert code == 0
    assert FOLLOWS in err
    assert json.loads(out)["reason"] == "tombstones_damaged"
    assert (home / "tombstones.log.broken-1").read_bytes() == kept
    assert said(capsys, "sessions", "--home", str(home), "--subject", "anna")[0] == 0


def test_a_home_that_is_fine_is_refused(home: Path, capsys: Any) -> None:
    code, out, _ = said(capsys, "tombstones", "rebuild", "--home", str(home))
    assert (code, "nothing to rebuild" in out) == (0, True)
    code, _, err = said(capsys, "tombstones", "rebuild", "--home", str(home), "--yes")
    assert code == 2
    assert "tombstones_whole" in err
    code, _, err = said(capsys, "tombstones", "show", "--home", str(home.with_name("nowhere")))
    assert code == 4
    assert not home.with_name("nowhere").exists()
