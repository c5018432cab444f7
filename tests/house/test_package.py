"""What a user installs: the wheel carries everything the code needs, the locks are sound, importing is light."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

HEAVY = (
    "numpy",
    "scipy",
    "sqlalchemy",
    "alembic",
    "cryptography",
    "soundfile",
    "pydantic",
    "cyclopts",
    "rich",
)
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)(?: ;[^\\]*)? \\$")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> zipfile.ZipFile:
    """The wheel, built by the locked backend without isolation and without any network."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)]
    subprocess.run(command, cwd=repo_root, check=True, capture_output=True, timeout=120)
    return zipfile.ZipFile(next(target.glob("*.whl")))


def test_the_wheel_carries_every_file_of_the_package(wheel: zipfile.ZipFile, repo_root: Path) -> None:
    sources = repo_root / "src"
    wanted = {
        path.relative_to(sources).as_posix()
        for path in (sources / "sottovoce").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= set(wheel.namelist())
    assert {"sottovoce/py.typed", "sottovoce/data/jfk.flac"} <= wanted


def test_the_wheel_carries_licence_and_notice(wheel: zipfile.ZipFile) -> None:
    names = {Path(name).name for name in wheel.namelist() if ".dist-info/" in name}
    assert {"LICENSE", "NOTICE", "entry_points.txt"} <= names


@pytest.fixture(scope="module")
def tracked(repo_root: Path) -> set[str]:
    """What git tracks, by its path from the root."""
    if not (repo_root / ".git").exists():
        pytest.skip("this is no checkout: nobody says which files belong to it")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repo_root, check=True, capture_output=True)
    return {name for name in listed.stdout.decode().split("\0") if (repo_root / name).is_file()}


def test_the_source_archive_is_to_carry_every_tracked_folder(tracked: set[str], repo_root: Path) -> None:
    configuration = tomllib.loads((repo_root / "pyproject.toml").read_text(encoding="utf-8"))
    included = configuration["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert sorted(included) == sorted({"/" + name.partition("/")[0] for name in tracked})


def test_the_source_archive_carries_every_tracked_file(
    tracked: set[str], tmp_path: Path, repo_root: Path
) -> None:
    """Whoever has the archive only can run the tests, the SDK, the demonstrations and the benchmarks."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=repo_root, check=True, capture_output=True, timeout=120)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        carried = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked - carried == set()
    assert not [name for name in carried if "__pycache__" in name or name.endswith((".pyc", ".so"))]


def locked(path: Path) -> dict[str, str]:
    found = [LOCKED.match(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {match[1]: match[2] for match in found if match}


@pytest.mark.parametrize("name", ["run.txt", "formats.txt", "dev.txt"])
def test_every_line_of_a_lock_is_exact_and_hashed(name: str, repo_root: Path) -> None:
    text = (repo_root / "requirements" / name).read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"\n(?=\S)", text) if not block.startswith("#")]
    assert blocks
    for block in blocks:
        assert LOCKED.match(block.splitlines()[0]), block.splitlines()[0]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block)
    assert "://" not in text


def test_locks_agree_with_each_other(repo_root: Path) -> None:
    run, formats, dev = (
        locked(repo_root / "requirements" / f"{name}.txt") for name in ("run", "formats", "dev")
    )
    assert run.items() <= formats.items() <= dev.items()
    assert "av" not in run, "PyAV's wheel has GPL parts: never a default"
    assert {"hatchling", "pytest", "mypy"} & set(run) == {"hatchling"}


def test_importing_sottovoce_loads_no_heavy_package() -> None:
    code = f"import json, sys, sottovoce; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(result.stdout) == []


@pytest.mark.parametrize("arguments", [["--help"], ["analyze", "--help"]])
def test_help_needs_neither_numpy_nor_a_web_framework(arguments: list[str]) -> None:
    code = (
        f"import json, sys\nsys.argv = ['sottovoce', *{arguments!r}]\n"
        "from sottovoce.__main__ import main\n"
        "try:\n    code = main()\nexcept SystemExit as end:\n    code = end.code or 0\n"
        "heavy = [m for m in ('numpy', 'scipy', 'fastapi', 'sqlalchemy') if m in sys.modules]\n"
        "print(json.dumps([code, heavy]), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Usage" in result.stdout
    assert json.loads(result.stderr.splitlines()[-1]) == [0, []]
