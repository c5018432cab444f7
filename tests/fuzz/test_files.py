"""A few hundred damaged recordings and a table of bombs through the sealed child; `make fuzz` runs ten thousand."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CASES = os.environ.get("FUZZ_CASES", "180")
HAS_FORMATS = importlib.util.find_spec("av") is not None


@pytest.mark.slow
def test_X21_M05_damaged_recordings_give_numbers_or_a_declared_error_and_hurt_nobody() -> None:
    """Recordings of every format, damaged in eleven ways, get an answer or a reason; nothing of them is left behind,
    and the service goes on as if they had never come."""
    run = subprocess.run(
        [sys.executable, str(HERE / "files.py"), "--cases", CASES, "--workers", "1", "--seed", "3"],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert run.stdout, run.stderr
    found = json.loads(run.stdout)
    assert (found["undeclared"], found["hurt"], found["left"]) == (0, [], [])
    assert found["cases"] == int(CASES)
    answers = {answer for counts in found["outcomes"].values() for answer in counts}
    assert {"accepted", "header_invalid", "decode_failed", "unknown_format"} <= answers
    assert not answers & {"child_crashed", "child_result", "parent_failed"}


@pytest.mark.slow
def test_X18_files_that_declare_far_more_than_they_hold_cost_no_memory() -> None:
    """A file that promises gigabytes, hours, thousands of channels or a million empty parts is answered at once and
    within the memory of a child."""
    run = subprocess.run(
        [sys.executable, str(HERE / "bombs.py"), "--quick"], capture_output=True, text=True, check=False, timeout=300
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    rows = dict(line.strip("| ").split(" | ")[0:3:2] for line in run.stdout.splitlines()[2:])
    assert len(rows) >= 30
    assert rows["wav, 65,535 channels"] == "channels"
    assert rows["flac, 2^36 - 1 samples declared"] == "too_long"
    if HAS_FORMATS:
        assert rows["mp4, tables of 4 billion entries"] == "decode_failed"
