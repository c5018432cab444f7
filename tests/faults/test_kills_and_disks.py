"""Real processes killed at random, and a disk that is full or fails at any moment; `make faults` runs many more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def run(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    if "not_run" in found:
        pytest.skip(f"not run: {found['not_run']}")
    return found


@pytest.mark.slow
def test_F1_F3_F32_I9_worker_and_command_line_killed_at_random_lose_nothing() -> None:
    """Whatever was acknowledged survives kills of all processes at random moments, and no audio is left behind."""
    found = run("kills.py", "--kills", os.environ.get("KILLS", "10"))
    assert found["dirty"] == []
    assert (found["bodies_left"], found["keys_of_recordings_left"], found["findings"]) == (0, 0, 0)
    assert found["acknowledged"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["submit", "erase"])
def test_F10_I10_a_full_disk_at_any_moment_loses_nothing_and_erasing_goes_on(verb: str) -> None:
    """On a full disk a verb ends with a declared error, old data stay, and an erasure goes through."""
    found = run("full_disk.py", verb, "--step", "30")
    assert found["dirty"] == []
    assert found["tries"] >= 3


@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "step"), [("submit", "24"), ("erase", "24")])
def test_F10_I10_a_disk_that_fails_at_any_write_loses_nothing_and_erasing_goes_on(
    scenario: str, step: str
) -> None:
    """Where the disk answers a write with an error, once or from then on, or takes only half of it, the verb ends with
    a declared error or well, old data open afterwards, and an erasure goes through."""
    found = run("io_errors.py", scenario, "--step", step)
    assert found["dirty"] == []
    assert found["tries"] >= 8
    assert {"write", "pwrite", "fsync"} <= set(found["calls"])
    assert found["refused"] >= 1


def test_F10_a_file_that_cannot_be_removed_is_no_failure_of_the_verb() -> None:
    """Where the disk refuses to remove a file, a verb that has done its work says so, and no raw error of the system
    reaches anybody."""
    found = run("io_errors.py", "submit", "--how", "on", "--calls", "unlink")
    assert found["dirty"] == []
    assert found["tries"] >= 4
