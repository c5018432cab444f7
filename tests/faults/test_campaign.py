"""The table of faults: a kill and a raise at every boundary of every verb that changes something."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("campaign.py")


def table(scenario: str) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), scenario], capture_output=True, text=True, timeout=600, check=False
    )
    assert run.stdout, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("scenario", ["analyze", "analyze-once", "analyze-unlink"])
def test_C9a_X09_F3_F4_F5_a_fault_anywhere_in_analyze_ends_clean(scenario: str) -> None:
    """Killed or failing at any step, an analysis leaves no audio, loses nothing it has acknowledged, and says
    nothing untrue."""
    found = table(scenario)
    assert found["points"] >= 18
    assert found["dirty"] == []


@pytest.mark.parametrize("scenario", ["submit", "work"])
def test_C9a_X09_F1_F2_F4_F5_I9_a_fault_anywhere_in_submit_and_worker_ends_clean(scenario: str) -> None:
    """Killed or failing at any step, a submission is either kept whole and finished, or leaves nothing."""
    found = table(scenario)
    assert found["points"] >= 18
    assert found["dirty"] == []


@pytest.mark.parametrize("scenario", ["grant", "withdraw"])
def test_C2a_X04_a_fault_anywhere_in_a_consent_change_ends_clean(scenario: str) -> None:
    """Killed or failing at any step, a change of consent is recorded whole or not at all."""
    assert table(scenario)["dirty"] == []


def test_I10_X07_a_fault_anywhere_in_an_erasure_ends_clean() -> None:
    """Killed or failing at any step, an erasure that was promised is carried out to its end."""
    assert table("erase")["dirty"] == []


def test_F28_F29_a_fault_anywhere_in_a_rotation_loses_no_key() -> None:
    """Killed or failing at any step, changing the wrapping keys loses nothing and is finished by the next start."""
    assert table("rotate")["dirty"] == []
