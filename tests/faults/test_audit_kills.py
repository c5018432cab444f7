"""Kills while the audit log is written: a short run of audit_kills.py, which does forty."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("audit_kills.py")


def test_C29b_F35_what_was_acknowledged_survives_a_kill_at_any_moment() -> None:
    """However a process that writes the log is killed, every entry that it acknowledged is there afterwards, numbered,
    and the log fits everything that its witness took."""
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "4", "--seed", "7"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(run.stdout)
    assert found["kills"] == 4
    assert (found["lost"], found["bad"], found["intact"]) == (0, [], True)
    assert found["acknowledged"] > 4
