"""Every command line that a message, a docstring or a page of the documentation names, exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sottovoce.doors.cli.app import app
from sottovoce.doors.cli.verbs import SECTIONS, VERBS

ROOT = Path(__file__).resolve().parents[3]
NAMED = re.compile(r"(?:`|\$ )sottovoce((?: +--(?:home|json)(?: +[\w$./\"-]+)?)*)((?: +[a-z][a-z-]*){1,3})")
TEXTS = [
    *sorted((ROOT / "src" / "sottovoce").rglob("*.py")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *sorted((ROOT / "docs" / "tutorial").glob("*.md")),
    *sorted((ROOT / "docs" / "reference").glob("*.md")),
    ROOT / "README.md",
]


def unknown(text: str) -> list[str]:
    """The command lines in a text that name a verb, or a verb of a group, that does not exist."""
    return [found[2].strip() for found in NAMED.finditer(text) if not _exists(found[2].split())]


def _exists(words: list[str]) -> bool:
    group = app
    for place, word in enumerate(words):
        if word not in group:
            # `sottovoce open take.sealed` names a file; `sottovoce keys rotat` a verb that is none.
            return place > 0 and (group.default_command is not None or not _verbs_of(group))
        group = group[word]
    return True


def _verbs_of(group: object) -> list[str]:
    return [name for name in group if not name.startswith("-")]  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_command_lines_that_are_named_exist(path: Path) -> None:
    assert unknown(path.read_text(encoding="utf-8")) == []


def test_a_verb_that_does_not_exist_is_found() -> None:
    assert unknown("`sottovoce keys rotat` `sottovoce anallyze x` `sottovoce sessions --subject x`") == [
        "keys rotat",
        "anallyze x",
    ]
    assert unknown("`sottovoce --home again keys recipient retyre`") == ["keys recipient retyre"]


def test_every_line_of_the_list_of_verbs_is_aligned() -> None:
    for _, verbs in SECTIONS:
        for verb in verbs:
            assert len(f"{verb.name} {verb.arguments}") <= 34, verb.name
    assert list(VERBS) == [verb.name for _, verbs in SECTIONS for verb in verbs]
