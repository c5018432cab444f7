"""The benchmarks say how they are called, are all run by `make bench`, and each owns its section of the figures."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))
ELSEWHERE = {"bench_features.py"}  # `make bench-features`: it needs an environment of its own


def sections(source: str) -> Iterator[str]:
    """The names of the sections that this source writes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "record":
            name = node.args[0]
            yield name.value if isinstance(name, ast.Constant) else ast.unparse(name)


@pytest.mark.parametrize("file", BENCHMARKS, ids=lambda file: file.name)
def test_a_benchmark_says_what_it_measures_and_how_it_is_called(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    words = ast.get_docstring(ast.parse(source)) or ""
    assert words.partition("\n")[0].endswith(".")
    assert file.name in words
    assert ('"--record"' in source) == ("--record" in words)


def test_each_section_of_the_figures_has_one_benchmark() -> None:
    written = [name for file in BENCHMARKS for name in sections(file.read_text(encoding="utf-8"))]
    assert len(written) == len(set(written)) == len(BENCHMARKS)
    assert "tombstones" in written


def test_make_bench_runs_every_benchmark(tmp_path: Path) -> None:
    """Its own recipe, with a Python that only says what it was given."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "ran $@"\n', encoding="utf-8")
    python.chmod(0o755)
    recipe = re.search(
        r"^bench: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert recipe
    script = recipe[1].strip().removeprefix("@").replace("$$", "$").replace("$(BIN)", str(python.parent))
    done = subprocess.run(
        ["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    ran = re.findall(r"^ran benchmarks/(\S+)(?: (--record))?$", done.stdout, re.MULTILINE)
    assert {name for name, _ in ran} == {file.name for file in BENCHMARKS} - ELSEWHERE
    recorded = {name for name, flag in ran if flag}
    assert (
        recorded == {f.name for f in BENCHMARKS if '"--record"' in f.read_text(encoding="utf-8")} - ELSEWHERE
    )
