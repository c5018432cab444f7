"""The snippets of the documentation do what the page says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if page.exists()]
RUN = [page for page in PAGES if re.search(r"^```\w+ run", page.read_text(encoding="utf-8"), re.MULTILINE)]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_snippets_of_a_page_run(page: Path, desk: Any, snippets_of: Callable[[Path], list[Any]]) -> None:
    for snippet in snippets_of(page):
        desk.run(snippet)


def test_readme_tutorial_and_how_to_pages_have_snippets_that_run() -> None:
    names = {str(page.relative_to(ROOT)) for page in RUN}
    assert {"README.md", "docs/tutorial/first-recording.md"} <= names
    assert sum(name.startswith("docs/how-to/") for name in names) >= 4


@pytest.mark.parametrize(
    "lie",
    [
        "$ true  # exit 3\n",
        "$ false\n",
        "$ echo one two\none ... three\n",
        "$ printf 'b\\na\\n'\na\nb\n",
    ],
)
def test_a_page_that_lies_is_caught(lie: str, desk: Any, tmp_path: Path, snippets_of: Any) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```console run\n{lie}```\n", encoding="utf-8")
    with pytest.raises(AssertionError):
        for snippet in snippets_of(page):
            desk.run(snippet)


def test_a_page_that_tells_the_truth_passes(desk: Any, tmp_path: Path, snippets_of: Any) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```console run\n$ NAME=ada\n$ echo hello  $NAME\nhello ...\n$ (exit 3)  # exit 3\n```\n"
        "```python run\nimport sottovoce\n```\n",
        encoding="utf-8",
    )
    snippets = snippets_of(page)
    assert len(snippets) == 2
    for snippet in snippets:
        desk.run(snippet)
