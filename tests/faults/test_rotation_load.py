"""Rotation under load, as a test: a few seconds of rotation_load.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("rotation_load.py")
ROWS = 3_000


def test_F28_F29_M14_nobody_fails_while_keys_are_rotated_and_rotators_are_killed() -> None:
    """Several processes read, write and erase while others rotate the keys and are killed twenty times and more:
    no operation fails, no key is lost, no destroyed key is back, and an older copy of the key store opens nothing."""
    command = [sys.executable, str(SCRIPT), "--seconds", "5", "--rows", str(ROWS), "--kills-per-s", "8"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.stdout, run.stderr
    found = json.loads(run.stdout)
    assert found["failures"] == {}
    assert found["kills"] >= 20
    assert found["epochs_ended"] >= 2
    assert found["operations"] >= 100
    assert found["copy_opened_before"] > ROWS, "the control: before the epoch ended it opened"
    assert found["copy_opened_after"] == 0


def test_F28_M14_people_are_recorded_shown_and_erased_while_keys_are_rotated() -> None:
    """While the keys of a home rotate and the rotating process is killed again and again, recordings are taken, shown
    and erased without a failure, and the home is found in order afterwards."""
    command = [sys.executable, str(SCRIPT.with_name("rotation_hall_load.py")), "--seconds", "6"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.stdout, run.stderr
    found = json.loads(run.stdout)
    assert found["failures"] == {}
    assert found["kills"] >= 2
    assert found["operations"] >= 20


def test_F10_I10_F29_a_rotation_on_a_full_disk_loses_no_key_and_erasing_goes_on() -> None:
    """When the disk fills up during a rotation, no key is lost, erasing goes on, and the rotation is finished later."""
    command = [sys.executable, str(SCRIPT.with_name("full_disk.py")), "rotate", "--step", "6"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    found = json.loads(run.stdout)
    if "not_run" in found:
        pytest.skip(found["not_run"])
    assert found["refused"] >= 1, "the fault was met"
    assert found["dirty"] == []
