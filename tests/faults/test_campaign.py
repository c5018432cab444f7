"""The table of faults: a kill or a raise at every boundary of every verb that changes something.

Both at every boundary of the path of a recording and of an erasure; elsewhere they take turns, and `make faults` does
both everywhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("campaign.py")
BOTH = ("analyze", "submit", "work", "erase")


def table(scenario: str, *options: str) -> dict[str, Any]:
    how = options or ("--mode", "both" if scenario in BOTH else "turns")
    command = [sys.executable, str(SCRIPT), scenario, *how]
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


@pytest.mark.parametrize("scenario", ["sealed", "recipient-key", "recipient-key-retire"])
def test_M16_F1_F2_a_fault_anywhere_in_an_arrival_of_a_sealed_recording_ends_clean(scenario: str) -> None:
    """Killed or failing at any step, a sealed recording is taken in whole or not at all, and a recipient key is there
    whole, or gone with its date."""
    assert table(scenario)["dirty"] == []


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


@pytest.mark.parametrize("scenario", ["train", "train-withdraw", "train-erase"])
def test_C16a_F25_a_fault_anywhere_in_a_round_of_training_ends_clean(scenario: str) -> None:
    """Killed or failing at any step, no table is left that its round does not know; who left is not forgotten."""
    assert table(scenario)["dirty"] == []


@pytest.mark.parametrize("scenario", ["infer", "infer-work", "infer-withdraw"])
def test_I5_a_kill_while_a_model_is_run_or_withdrawn_leaves_nothing_it_said(scenario: str) -> None:
    """Killed or failing at any step of an inference or of its withdrawal, nothing a model said outlives its consent."""
    assert table(scenario)["dirty"] == []


@pytest.mark.parametrize("scenario", ["rotate", "rotate-batches", "rotate-due"])
def test_F28_F29_M14_a_fault_anywhere_in_a_rotation_loses_no_key(scenario: str) -> None:
    """Killed or failing at any step, changing the wrapping keys loses nothing and is finished by the next start."""
    found = table(scenario)
    assert found["points"] >= 20
    assert found["dirty"] == []


def test_M20_a_fault_anywhere_in_taking_a_model_out_leaves_it_whole_or_gone_with_its_tombstone() -> None:
    """Killed or failing at any step, a model that is taken out is whole, or gone, and no backup brings it back."""
    assert table("model-remove")["dirty"] == []


def test_M20_a_fault_anywhere_in_making_a_backup_leaves_no_half_one() -> None:
    """Killed or failing at any step, a backup is there whole and signed, or it is not there."""
    assert table("backup")["dirty"] == []


@pytest.mark.slow
def test_M20_F30_a_fault_anywhere_in_a_restore_leaves_the_old_home_or_the_restored_one() -> None:
    """Killed or failing at any step, a home is what it was, or what the backup and the tombstones make of it: nobody
    who was erased is back, and nothing is left beside it."""
    found = table("restore")
    assert found["points"] >= 40
    assert found["dirty"] == []


@pytest.mark.parametrize("scenario", ["hold", "hold-refused", "hold-withdrawn"])
def test_F6_C9c_M36_a_fault_anywhere_in_holding_a_failed_recording_ends_clean(scenario: str) -> None:
    """Killed or failing at any step, a recording is held whole by the person's consent to that, or discarded."""
    assert table(scenario)["dirty"] == []


@pytest.mark.parametrize(
    "scenario", ["recipient-add", "hand-over", "hand-over-by-hand", "hand-over-package", "acknowledge"]
)
def test_C15a_F25_a_fault_anywhere_in_a_hand_over_ends_clean(scenario: str) -> None:
    """Killed or failing at any step, who has received something is known, and nothing is handed over unrecorded."""
    assert table(scenario)["dirty"] == []


@pytest.mark.parametrize("scenario", ["tell-erased", "tell-session-erased", "tell-withdrawn"])
def test_C15a_a_fault_anywhere_in_what_recipients_are_told_ends_clean(scenario: str) -> None:
    """Killed or failing at any step, what was done was told to every recipient exactly once, and nothing else was."""
    assert table(scenario)["dirty"] == []


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
