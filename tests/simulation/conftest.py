"""How much the simulations have seen, in the last lines of the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

COUNTED = pytest.StashKey[dict[str, dict[str, int]]]()


@pytest.fixture(autouse=True, scope="module")
def counted(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    seen = request.config.stash.setdefault(COUNTED, {})
    name = request.module.__name__.rpartition(".test_")[2].replace("_", " ")
    seen[name] = getattr(getattr(request.module, "Simulation", None), "counted", {})


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for name, seen in config.stash.get(COUNTED, {}).items():
        said = ", ".join(f"{count} {what}" for what, count in seen.items())
        terminalreporter.write_line(f"simulation of {name}: {said}")
