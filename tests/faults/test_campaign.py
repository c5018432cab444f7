"""The table of faults: a kill and a raise at every boundary of every verb that changes something."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("campaign.py")


def table(scenario: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT), scenario, *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert run.stdout, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    if not options:
        assert found["astray"] == [], "a boundary without a fault point"
        assert found["effects"] >= 2
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


@pytest.mark.parametrize("scenario", ["grant", "withdraw", "refuse"])
def test_C2a_X04_a_fault_anywhere_in_a_consent_change_ends_clean(scenario: str) -> None:
    """Killed or failing at any step, a change of consent is recorded whole or not at all."""
    assert table(scenario)["dirty"] == []


def test_I10_X07_a_fault_anywhere_in_an_erasure_ends_clean() -> None:
    """Killed or failing at any step, an erasure that was promised is carried out to its end."""
    assert table("erase")["dirty"] == []


@pytest.mark.parametrize("scenario", ["ask", "case", "lift", "restrict", "rectify", "export", "import"])
def test_C12a_C14b_F25_a_fault_anywhere_in_a_persons_right_ends_clean(scenario: str) -> None:
    """Killed or failing at any step, what a person asked for is done whole, resumed by the next start, or not begun."""
    assert table(scenario)["dirty"] == []


def test_F28_F29_a_fault_anywhere_in_a_rotation_loses_no_key() -> None:
    """Killed or failing at any step, changing the wrapping keys loses nothing and is finished by the next start."""
    assert table("rotate")["dirty"] == []


def test_F6_C9c_a_fault_anywhere_in_holding_a_failed_recording_ends_clean() -> None:
    """Killed or failing at any step, a recording that is held for a retry is held whole, or discarded."""
    assert table("hold")["dirty"] == []


def test_F6_a_fault_anywhere_in_retrying_a_held_recording_ends_clean() -> None:
    """Killed or failing at any step, a held recording that is tried again is finished or stays held until its end."""
    assert table("retry")["dirty"] == []


def test_I7_X11_a_fault_anywhere_in_an_expiry_ends_clean() -> None:
    """Killed or failing at any step, what is past its date is gone after the next start."""
    assert table("expire")["dirty"] == []


def test_I10_a_fault_anywhere_in_erasing_one_session_ends_clean() -> None:
    """Killed or failing at any step, the erasure of one session is carried out, and the other sessions stay."""
    assert table("erase-session")["dirty"] == []


def test_C4b_a_fault_anywhere_in_replacing_the_identity_leaves_every_receipt_verifiable() -> None:
    """Killed or failing at any step, every receipt verifies against the identity that the home has pinned."""
    assert table("identity")["dirty"] == []


@pytest.mark.parametrize(
    ("port", "scenario", "astray"),
    [
        ("bodies", "submit", "os.link"),
        ("receipt_copies", "analyze", "os.link"),
        ("long_lived", "analyze", "COMMIT"),
    ],
)
def test_a_boundary_without_a_fault_point_is_noticed(port: str, scenario: str, astray: str) -> None:
    """Every commit, fsync, rename and unlink of a scenario has to lie between two fault points."""
    assert astray in table(scenario, "--mode", "none", "--forget", port)["astray"]
