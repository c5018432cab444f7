"""Habits that the linters cannot see: rules are real errors, failures are never swallowed, the model is plain."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sottovoce

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield f"line {node.lineno}: assert (it vanishes under python -O)"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"line {node.lineno}: print"
        if isinstance(node, ast.ExceptHandler) and swallows(node):
            yield f"line {node.lineno}: a broad except that swallows everything"


def takes_from_the_surface(tree: ast.AST) -> Iterator[str]:
    """Imports of the lazy public names of `sottovoce` itself: the import contracts do not look through those."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name == "sottovoce" for alias in node.names):
            yield f"line {node.lineno}: import sottovoce"
        if isinstance(node, ast.ImportFrom) and node.module == "sottovoce":
            named = {alias.name for alias in node.names} - {"__version__"}
            yield from (f"line {node.lineno}: {name}" for name in sorted(named & set(sottovoce.__all__)))


def swallows(handler: ast.ExceptHandler) -> bool:
    broad = handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"}
    )
    nothing = all(isinstance(step, ast.Pass | ast.Continue) or is_ellipsis(step) for step in handler.body)
    return broad and nothing


def is_ellipsis(step: ast.stmt) -> bool:
    return isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)


def imported_roots(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_source_has_no_assert_no_print_no_swallowing(path: Path) -> None:
    assert list(offences(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_source_takes_nothing_from_the_public_surface(path: Path) -> None:
    assert list(takes_from_the_surface(ast.parse(path.read_text(encoding="utf-8")))) == []


def test_a_name_taken_from_the_surface_would_be_caught() -> None:
    for source in ("import sottovoce", "from sottovoce import Settings"):
        assert list(takes_from_the_surface(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    assert x\n",
        "print('hello')\n",
        "try:\n    f()\nexcept Exception:\n    pass\n",
        "try:\n    f()\nexcept:\n    ...\n",
        "for x in y:\n    try:\n        f()\n    except BaseException:\n        continue\n",
    ],
)
def test_each_offence_would_be_caught(source: str) -> None:
    assert list(offences(ast.parse(source)))


def test_model_errors_and_ports_import_the_standard_library_only() -> None:
    package = ROOT / "src" / "sottovoce"
    plain = [package / "errors.py", package / "ports.py", *sorted((package / "model").rglob("*.py"))]
    for path in plain:
        for name in imported_roots(ast.parse(path.read_text(encoding="utf-8"))):
            inside = name.startswith(("sottovoce.errors", "sottovoce.model"))
            assert inside or name.partition(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "a module starts with its docstring"
