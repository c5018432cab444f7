"""What `import sottovoce` offers: about a dozen names, typed, loaded when they are used."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sottovoce

HEAVY = {
    "numpy",
    "scipy",
    "soundfile",
    "sqlalchemy",
    "alembic",
    "pydantic",
    "cryptography",
    "rich",
    "cyclopts",
    "fastapi",
}


def modules_after(code: str) -> set[str]:
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_loads_nothing_heavy() -> None:
    assert modules_after("import sottovoce") & HEAVY == set()


def test_errors_and_values_load_nothing_heavy_either() -> None:
    loaded = modules_after(
        "import sottovoce; sottovoce.AudioRejected; sottovoce.Analysis; sottovoce.FEATURE_NAMES"
    )
    assert loaded & HEAVY == set()


def test_asking_the_command_line_for_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['sottovoce', '--help']\nfrom sottovoce.__main__ import main; main()\nprint()"
    )
    assert modules_after(code) & HEAVY == set()


@pytest.mark.parametrize("name", sottovoce.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(sottovoce, name) is not None
    assert name in dir(sottovoce)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'audio'"):
        sottovoce.audio  # noqa: B018


def test_the_names_are_few_and_the_package_is_typed() -> None:
    assert len(sottovoce.__all__) <= 15
    assert (Path(sottovoce.__file__).parent / "py.typed").exists()


def test_a_type_checker_sees_every_name(tmp_path: Path) -> None:
    """The lazy table and the names given to type checkers are the same."""
    import ast

    tree = ast.parse(Path(sottovoce.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: step.module
        for step in block.body
        if isinstance(step, ast.ImportFrom)
        for alias in step.names
    }
    assert imported == sottovoce._PLACES
    assert set(sottovoce.__all__) == set(imported) | {"__version__"}


def test_one_version(repo_root: Path) -> None:
    project = tomllib.loads((repo_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == sottovoce.__version__
