"""How much the simulation has seen, in the last lines of the run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

COUNTED = pytest.StashKey[dict[str, int]]()


@pytest.fixture(autouse=True, scope="module")
def counted(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    machine = getattr(request.module, "Simulation", None)
    request.config.stash[COUNTED] = getattr(machine, "counted", {})


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    seen = config.stash.get(COUNTED, {})
    if seen:
        said = ", ".join(f"{count} {what}" for what, count in seen.items())
        terminalreporter.write_line(f"simulation: {said}")
