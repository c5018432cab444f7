"""The import contracts of the house are kept, and a seeded violation of each one is caught."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# contract -> (file to plant or extend, the violating line)
SEEDS = {
    "storeys": ("model/seeded.py", "import sottovoce.usecases"),
    "storeys-benches-are-strangers": ("voice/seeded.py", "import sottovoce.sealing"),
    "storeys-exhaustive": ("lobby.py", ""),
    "fuse-box": ("usecases/seeded.py", "import sottovoce.adapters.memory"),
    "inside-the-box": ("app/audit.py", "import sottovoce.app.rights"),
    "doors-apart": ("doors/seeded.py", "import sottovoce.doors.cli"),
    "adapters-apart": ("adapters/seeded.py", "import sottovoce.adapters.memory"),
    "plain-model": ("model/seeded.py", "import numpy"),
    "no-io-inside": ("usecases/seeded.py", "import sqlalchemy"),
    "no-io-inside-files": ("usecases/seeded.py", "import sottovoce.durable"),
    "no-io-inside-benches": ("audit/seeded.py", "import pydantic"),
    "one-locksmith": ("usecases/seeded.py", "from cryptography.hazmat.primitives import hashes"),
    "one-locksmith-adapters": ("adapters/seeded.py", "import cryptography"),
    "no-knots": ("voice/seeded/__init__.py", "import sottovoce.voice.other_seed"),
}


def contract_names(root: Path) -> list[str]:
    config = configparser.ConfigParser()
    config.read(root / ".importlinter")
    return [section.rpartition(":")[2] for section in config.sections() if ":contract:" in section]


def lint(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    command += ["--no-cache", "--no-logo", "--config", str(folder / ".importlinter"), *options]
    return subprocess.run(
        command, cwd=folder / "src", capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def copy_of_house(tmp_path: Path, repo_root: Path) -> Path:
    shutil.copytree(repo_root / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repo_root / ".importlinter", tmp_path)
    return tmp_path


def seeded(house: Path, seed: str) -> None:
    relative, line = SEEDS[seed]
    planted = house / "src" / "sottovoce" / relative
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(f'"""Planted."""\n\n{line}\n', encoding="utf-8")
    if seed == "no-knots":
        other = house / "src" / "sottovoce" / "voice" / "other_seed.py"
        other.write_text("import sottovoce.voice.seeded\n", encoding="utf-8")


def test_every_contract_is_kept(repo_root: Path) -> None:
    result = lint(repo_root)
    assert result.returncode == 0, result.stdout


def test_every_contract_of_the_house_is_there(repo_root: Path) -> None:
    expected = {"storeys", "fuse-box", "inside-the-box", "doors-apart", "adapters-apart", "plain-model"}
    assert set(contract_names(repo_root)) == expected | {"no-io-inside", "one-locksmith", "no-knots"}


def test_every_contract_has_a_seed(repo_root: Path) -> None:
    assert {name for name in contract_names(repo_root) if name not in SEEDS} == set()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seeded_violation_is_caught(seed: str, copy_of_house: Path, repo_root: Path) -> None:
    contract = max((name for name in contract_names(repo_root) if seed.startswith(name)), key=len)
    assert lint(copy_of_house, "--contract", contract).returncode == 0
    seeded(copy_of_house, seed)
    result = lint(copy_of_house, "--contract", contract)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract}:" in result.stdout
    assert "BROKEN" in result.stdout
