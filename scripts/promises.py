"""Write docs/reference/promises.md: each promise of the design in words, and the tests that prove it.

A test that proves a row of the design carries the row's id in its name (`test_X20_nan_is_refused`,
`test_M12_X25_...` for several) and says the promise in the first sentence of its docstring.

Usage: python scripts/promises.py [--check]      --check: write nothing, exit 1 where the page is out of date.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "promises.md"

IDS = re.compile(r"test_((?:(?:[MCXFI]\d+[a-z]?|BP\d)_)+)")
ORDER = {"M": 0, "C": 1, "BP": 2, "X": 3, "F": 4, "I": 5}
KINDS = {
    "M": "Capabilities",
    "C": "Rights and rules",
    "BP": "Beyond what others offer",
    "X": "Mistakes we do not make",
    "F": "Faults we survive",
    "I": "Invariants",
}
HEAD = """# Promises, and the tests that prove them

Written by `make promises` from the tests: do not edit. Each line is one promise in the words of its test, and
the test that fails when it is broken. The ids are those of the design: M capabilities, C rights and rules, X
mistakes, F faults, I invariants. An id on this page says that these tests exist, not that every part of the row
is built; the [changelog](../../CHANGELOG.md) says what exists.
"""


@dataclass(frozen=True, order=True)
class Promise:
    kind_order: int
    number: int
    id: str
    words: str
    test: str


def ids_of(name: str) -> list[str]:
    match = IDS.match(name)
    return match[1].rstrip("_").split("_") if match else []


def first_sentence(docstring: str) -> str:
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s+(?=[A-Z\"'`])", paragraph)[0]


def promise(id_: str, words: str, test: str) -> Promise:
    letters, digits = re.match(r"([A-Z]+)(\d+)", id_).groups()  # type: ignore[union-attr]
    return Promise(ORDER[letters], int(digits), id_, words, test)


def promises_of(path: Path, root: Path) -> Iterator[Promise]:
    """Promises of one test file; ValueError where a test has an id and no sentence."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for id_ in ids_of(node.name):
            place = f"{path.relative_to(root).as_posix()}::{node.name}"
            docstring = ast.get_docstring(node)
            if not docstring:
                raise ValueError(f"{place} carries {id_} and has no docstring that states the promise")
            yield promise(id_, first_sentence(docstring), place)


def collect(root: Path = ROOT) -> list[Promise]:
    files = sorted((root / "tests").rglob("test_*.py"))
    return sorted({found for path in files for found in promises_of(path, root)})


def page(promises: list[Promise]) -> str:
    rows = len({found.id for found in promises})
    tests = len({found.test for found in promises})
    parts = [HEAD, f"{rows} rows of the design are proven in part or whole by {tests} tests.\n"]
    for kind, title in KINDS.items():
        of_kind = [found for found in promises if found.kind_order == ORDER[kind]]
        if of_kind:
            parts.append(f"## {title}\n\n| id | promise | test |\n|---|---|---|")
            cell = "| {0.id} | {1} | `{0.test}` |"
            parts += [cell.format(found, found.words.replace("|", "\\|")) for found in of_kind]
            parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    try:
        text = page(collect())
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is out of date: run `make promises`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
