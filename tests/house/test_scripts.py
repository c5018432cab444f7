"""The scripts that write generated pages collect what they should and refuse what they must."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def promises(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("scripts/promises.py")


@pytest.fixture
def figures(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("scripts/figures.py")


def test_a_script_is_loaded_once_finds_its_neighbours_and_leaves_the_search_path_alone(
    load_script: Callable[[str], ModuleType],
) -> None:
    before = list(sys.path)
    page = load_script("scripts/model_page.py")  # it imports model_pictures from beside it
    assert load_script("scripts/model_page.py") is page
    assert page.model_pictures.__file__ == str(Path(str(page.__file__)).with_name("model_pictures.py"))
    assert sys.path == before


def test_scripts_are_loaded_in_one_way(repo_root: Path) -> None:
    """A second loader beside the fixture `load_script` would again have its own idea of the search path."""
    word = "spec_from_file" + "_location"
    found = [file for file in (repo_root / "tests").rglob("*.py") if word in file.read_text(encoding="utf-8")]
    assert found == [repo_root / "tests" / "conftest.py"]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_X20_nan_is_refused", ["X20"]),
        ("test_M12_X25_a_moved_row_does_not_open", ["M12", "X25"]),
        ("test_C9a_kill", ["C9a"]),
        ("test_BP4_switch_unset", ["BP4"]),
        ("test_Xylophone_is_no_id", []),
        ("test_plain", []),
    ],
)
def test_ids_are_read_from_the_name(name: str, ids: list[str], promises: ModuleType) -> None:
    assert promises.ids_of(name) == ids


def test_promises_are_collected_in_the_order_of_the_design(tmp_path: Path, promises: ModuleType) -> None:
    folder = tmp_path / "tests" / "unit"
    folder.mkdir(parents=True)
    (folder / "test_a.py").write_text(
        'class TestThings:\n    def test_X9_x(self):\n        """Nine. More words."""\n'
        'def test_X10_M2_both():\n    """Both hold\n    at once. And so on."""\ndef test_plain():\n    pass\n',
        encoding="utf-8",
    )
    found = promises.collect(tmp_path)
    assert [(one.id, one.words) for one in found] == [
        ("M2", "Both hold at once."),
        ("X9", "Nine."),
        ("X10", "Both hold at once."),
    ]
    assert found[1].test == "tests/unit/test_a.py::test_X9_x"
    assert "| X9 | Nine. | `tests/unit/test_a.py::test_X9_x` |" in promises.page(found)


def test_a_promise_without_words_is_refused(tmp_path: Path, promises: ModuleType) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_a.py").write_text("def test_X9_x():\n    pass\n", encoding="utf-8")
    with pytest.raises(ValueError, match="X9"):
        promises.collect(tmp_path)


def test_figures_replace_their_own_section_only(tmp_path: Path, figures: ModuleType) -> None:
    page = tmp_path / "figures.md"
    figures.record("one", "One", "| a |\n|---|\n| 1 |", conditions="quiet", page=page)
    figures.record("two", "Two", "second", page=page)
    figures.record("one", "One", "newer \\1 text", page=page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Figures\n")
    assert "| 1 |" not in text
    assert text.index("newer \\1 text") < text.index("second")
    assert text.count("<!-- end: one -->") == text.count("<!-- end: two -->") == 1
    with pytest.raises(ValueError, match="name"):
        figures.record("No Good", "x", "x", page=page)
