"""What the fuzzed readers share."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def mutate(load_script: Callable[[str], ModuleType]) -> ModuleType:
    """Ways to damage an input (tests/fuzz/mutate.py, which also runs by itself)."""
    return load_script("tests/fuzz/mutate.py")
