"""Several processes on one home, and a great many things due at once: crowds.py as tests.

SOTTOVOCE_EXPIRED_AT_ONCE says how many records are due at once (default 3,000; the row asks for 1,000,000).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("crowds.py")
AT_ONCE = int(os.environ.get("SOTTOVOCE_EXPIRED_AT_ONCE", "3000"))


def run(what: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT), what, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=7200, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_F9_C9a_with_all_workers_dead_and_the_queue_lost_the_sweep_destroys_the_audio() -> None:
    """When nobody works any more, the audio is destroyed at the promised time all the same, and not before."""
    seen = run("dead-workers")
    assert seen["killed"] == -9
    # before the deadline: what has a result is finished, what has none waits with its sealed audio
    assert sorted(seen["before"]["states"].values()) == ["received"] * 5 + ["verified"]
    assert seen["half_stored"] >= 1  # by a process that was killed: collected, for it is older than any work
    assert (seen["before"]["keys"], seen["before"]["bodies"]) == (5, 5)
    # after it: opening the home was enough, and no worker was asked
    assert seen["after"]["at_open"]["keys"] == 0
    assert (seen["after"]["keys"], seen["after"]["bodies"]) == (0, 0)
    assert sorted(seen["after"]["states"].values()) == ["failed_shredded"] * 5 + ["verified"]
    assert (seen["asked_again"], seen["after"]["errors"], seen["after"]["fsck"]) == (0, [], [])


def test_F32_of_several_workers_each_recording_is_worked_on_by_one() -> None:
    """However many workers there are, each recording is analysed once, kept once and answered by one receipt."""
    seen = run("two-workers")
    assert sum(seen["done"]) == seen["asked"] == seen["sessions"]
    assert seen["busy"] > 1  # more than one of them had something to do
    assert (seen["states"], seen["attempts"], seen["receipts"]) == (["verified"], [1], [1])
    assert seen["kinds"] == [["features", "insight"]]
    assert seen["committed"] == [1] * seen["sessions"]
    assert (seen["keys"], seen["bodies"]) == (0, 0)


def test_F32_of_several_sweepers_each_item_goes_once() -> None:
    """However many sweep at once, each result is destroyed and told of once, and each recording has one receipt."""
    seen = run("two-sweepers")
    assert (seen["expired"], seen["expired_twice"], seen["records_left"]) == (3 * seen["count"], 0, 0)
    assert (seen["shredded"], seen["shredded_twice"]) == (12, 0)
    assert sum(report["records"] for report in seen["reports"]) == 3 * seen["count"]
    assert seen["receipts"] == {"1": seen["count"] + 12}
    assert (seen["keys"], seen["bodies"], seen["fsck"]) == (0, 0, [])


def test_F33_a_great_many_at_once_go_in_bounded_batches_while_the_service_answers() -> None:
    """Whatever number of results is due at once, they go in small steps, and others are served meanwhile."""
    seen = run("expire", "--count", str(AT_ONCE))
    due = -(-AT_ONCE // 3) * 3  # three of each recording
    assert (seen["sweep"]["records"], seen["sweep"]["errors"]) == (due, [])
    assert seen["sweep"]["transactions"] >= AT_ONCE // 500
    assert seen["left"] == {"records": 2, "decisions": 1}  # the one that is not due
    assert seen["keys_left"] == 3
    assert seen["log_intact"]
    assert seen["meanwhile"]["answers"] > 0
    # Nobody waits as long as a writer is given (5 s); the machine of the tests may be a slow and busy one.
    assert seen["sweep"]["longest_lock_s"] < 2.0
    assert max(seen["meanwhile"]["longest_read_s"], seen["meanwhile"]["longest_write_s"]) < 5.0
    assert seen["sweep"]["peak_rss_mb"] < 400
