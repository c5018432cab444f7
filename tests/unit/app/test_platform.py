"""The cut of the Platform: its verbs stand in parts that neither hide nor call each other, on one hall."""

from __future__ import annotations

import ast
import inspect
import sys
from collections import Counter
from pathlib import Path

import pytest

from sottovoce import app
from sottovoce.app import Platform
from sottovoce.app.hall import Hall

PARTS = [*Platform.__bases__, Hall]


def own(part: type) -> set[str]:
    """What a class defines itself."""
    return {name for name in vars(part) if not name.startswith("__")}


def test_no_part_hides_a_name_of_another() -> None:
    """Which of two verbs of one name is called would be left to the order of the parts."""
    counted = Counter(name for part in (Platform, *PARTS) for name in own(part))
    assert [name for name, times in counted.items() if times > 1] == []


@pytest.mark.parametrize("part", Platform.__bases__, ids=lambda part: part.__name__)
def test_a_part_calls_itself_and_the_hall_only(part: type, platform: Platform) -> None:
    """Asked of the code: every attribute of `self` is one of the part, of the hall, or wired by the hall."""
    assert part.__bases__ == (Hall,)
    tree = ast.parse(Path(sys.modules[part.__module__].__file__ or "").read_text(encoding="utf-8"))
    asked = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    assert asked - own(part) - own(Hall) - set(vars(platform)) == set()
    assert asked & set(vars(platform)), "a part without a use case has nothing to do here"


def test_everything_is_wired_by_the_hall(platform: Platform) -> None:
    """A part that kept something of its own would be a second place to look for what a home consists of."""
    wired = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(Hall)))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    assert set(vars(platform)) == wired


@pytest.mark.parametrize("name", app.__all__)
def test_every_name_of_the_surface_is_there(name: str) -> None:
    assert getattr(app, name) is not None


def test_the_functions_of_the_surface_are_no_modules() -> None:
    """A file of the package of the name of a function would take its place when it is imported."""
    files = {path.stem for path in Path(app.__file__ or "").parent.glob("*.py")}
    assert files & set(app.__all__) == set()
