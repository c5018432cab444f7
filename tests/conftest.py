"""Fixtures that every room shares: the recordings beside the checkout, a throw-away home, no leftovers.

Hypothesis runs the profile named by HYPOTHESIS_PROFILE: `ci` (default: derandomised, so that two runs
of the suite do the same thing) or `dev` (new examples each time).
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]


def _stay_inside(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook: nothing under test may look up or reach another machine."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in ("127.0.0.1", "::1", "localhost", None):
        raise ConnectionRefusedError("a test reached for the network")


sys.addaudithook(_stay_inside)

settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("dev", deadline=None, max_examples=200)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def load_script() -> Callable[[str], ModuleType]:
    """A program of the repository as a module, by its path from the root: `load_script("scripts/promises.py")`.

    It finds what it imports from its own folder, is loaded once, and nothing is left in the search path.
    """
    return _script


def _script(path: str) -> ModuleType:
    name = "_program_" + path.removesuffix(".py").replace("/", "_")
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / path)
        if spec is None or spec.loader is None:
            raise FileNotFoundError(path)
        module = importlib.util.module_from_spec(spec)
        before = list(sys.path)
        sys.path.insert(0, str((ROOT / path).parent))
        sys.modules[name] = module  # its dataclasses look themselves up there
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            sys.path[:] = before
    return sys.modules[name]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared recordings that lies beside the checkout; the test is skipped without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared recordings (../shared/data) are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def jfk_path() -> Path:
    """The bundled real recording: 11 seconds, public domain."""
    return ROOT / "src" / "sottovoce" / "data" / "jfk.flac"


@pytest.fixture
def tmp_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of sottovoce that nobody has used yet; SOTTOVOCE_* of the caller's shell does not leak in."""
    for name in [name for name in os.environ if name.startswith("SOTTOVOCE_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("SOTTOVOCE_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def _same_dice() -> None:
    """Ordinary (non-cryptographic) randomness starts at the same place in every test."""
    random.seed(20260101)
    np.random.seed(20260101)


def _children_of(pid: int) -> set[int]:
    """Process ids of the direct children that still run; zombies already ended and do not count."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


@pytest.fixture
def no_leftover_children() -> Iterator[None]:
    """Fail the test when a child process that it started is still alive at its end."""
    before = _children_of(os.getpid())
    yield
    left = _children_of(os.getpid()) - before
    if left:
        pytest.fail(f"{len(left)} child process(es) were left running", pytrace=False)
