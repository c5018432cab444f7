"""Pages of the documentation: links resolve, generated pages are up to date, nothing is left unwritten."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md")
PAGES = [ROOT / name for name in TOP] + sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"")
HEADING = re.compile(r"^#+\s+(.+)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that the usual Markdown renderers make of the headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(text)]
    return {heading.strip().replace(" ", "-") for heading in plain}


def broken_links(page: Path) -> list[str]:
    broken = []
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    for target in ("".join(found) for found in LINK.findall(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        missing_anchor = bool(anchor) and aim.suffix == ".md" and aim.exists() and anchor not in anchors(aim)
        if not aim.exists() or missing_anchor:
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Here\n\n[a](#here) [b](#there) [c](nowhere.md) ![d](no.svg)\n", encoding="utf-8")
    assert broken_links(page) == ["#there", "nowhere.md", "no.svg"]


def test_every_page_is_linked_from_the_index() -> None:
    """Directly, or from the index of a folder (docs/reference/features) that is itself linked."""
    listed = linked_from(ROOT / "docs" / "index.md")
    for page in [page for page in listed if page.name == "index.md"]:
        listed |= linked_from(page)
    pages = set((ROOT / "docs").rglob("*.md")) - {ROOT / "docs" / "index.md"}
    assert sorted(str(page.relative_to(ROOT)) for page in pages - listed) == []


def linked_from(index: Path) -> set[Path]:
    text = index.read_text(encoding="utf-8")
    return {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)", text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_is_left_half_written(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ") or page.name == "README.md"
    assert not re.search(r"\b(TODO|FIXME|TBD|XXX)\b", text)


@pytest.mark.parametrize("script", ["promises.py", "cli_reference.py"])
def test_a_generated_page_is_up_to_date(script: str) -> None:
    command = [sys.executable, str(ROOT / "scripts" / script), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr


def test_every_make_command_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        code = "\n".join(CODE.findall(page.read_text(encoding="utf-8")))
        named = set(re.findall(r"(?:^|[$`]\s?)make ([a-z-]+)", code, re.MULTILINE))
        assert named <= targets, page.name


def test_integration_runs_the_commands_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\$ make ([a-z]+)", readme, re.MULTILINE)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    listed = re.findall(r"^for target in ([a-z ]+); do$", script, re.MULTILINE)[0].split()
    assert set(named) == {"demo", "test"}
    assert set(listed) == {*named, "check"}
