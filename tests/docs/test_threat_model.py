"""The threat model names only promises that have tests, assets and attackers that it has told of, and all of those."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "threat-model.md"
PROMISES = ROOT / "docs" / "reference" / "promises.md"
ID = re.compile(r"(?:[MCXFI]\d+[a-z]?|BP\d)")


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose heading row begins with that word, without heading and rule."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first}"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


@pytest.fixture(scope="module")
def controls() -> list[list[str]]:
    return rows(PAGE.read_text(encoding="utf-8"), "control")


def test_every_row_that_a_control_names_has_a_test(controls: list[list[str]]) -> None:
    proven = set(re.findall(r"^\| (\S+) \|", PROMISES.read_text(encoding="utf-8"), re.MULTILINE))
    assert len(controls) > 10
    for control, *_, named in controls:
        ids = [one.strip() for one in named.strip(" |").split(",")]
        assert ids, control
        for one in ids:
            assert ID.fullmatch(one), f"{control}: {one}"
            assert one in proven, f"{control}: {one} has no test"


def test_every_control_says_what_it_does_not_stop(controls: list[list[str]]) -> None:
    for cells in controls:
        assert len(cells) == 6, cells[0]
        assert all(cells), cells[0]


def test_every_asset_and_attacker_meets_a_control_or_is_not_claimed(controls: list[list[str]]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assets = set(re.findall(r"^\| (A\d) \|", text, re.MULTILINE))
    attackers = set(re.findall(r"^\| (T\d) \|", text, re.MULTILINE))
    protected = {one for cells in controls for one in cells[1].split(", ")}
    faced = {one for cells in controls for one in cells[2].split(", ")}
    assert protected == assets
    not_claimed = set(re.findall(r"\bT\d\b", text.partition("## What is not claimed")[2]))
    assert faced | not_claimed == attackers
    assert faced & not_claimed == set()
