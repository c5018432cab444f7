"""The worker's loop: works while there is something, waits without hurry, sweeps, stops when told."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from sottovoce.doors.worker import Stop, run
from sottovoce.model.outcome import WorkOutcome
from sottovoce.model.recording import RecordingState


def outcome(number: int) -> WorkOutcome:
    return WorkOutcome(f"ses_{number}", RecordingState.VERIFIED, None, 1, None)


@pytest.fixture
def stop() -> Any:
    made = Stop()
    yield made
    made.close()


def test_once_does_everything_that_waits_and_ends(platform: Any, stop: Stop) -> None:
    waiting = [outcome(1), outcome(2)]
    platform.answers["work_next"] = lambda **_: waiting.pop(0) if waiting else None
    seen: list[WorkOutcome] = []
    assert run(platform, once=True, report=seen.append, stop=stop) == seen == [outcome(1), outcome(2)]
    assert platform.asked[0][2]["caller"].channel == "worker"


def test_asked_to_stop_it_finishes_the_recording_in_hand_and_takes_no_other(
    platform: Any, stop: Stop
) -> None:
    def work(**_: Any) -> WorkOutcome:
        stop.ask()
        return outcome(1)

    platform.answers["work_next"] = work
    seen: list[WorkOutcome] = []
    assert run(platform, once=False, report=seen.append, stop=stop) == []
    assert seen == [outcome(1)]


def test_waiting_ends_at_once_when_asked(platform: Any, stop: Stop) -> None:
    platform.answers["work_next"] = None
    threading.Timer(0.1, stop.ask).start()
    start = time.monotonic()
    run(platform, once=False, report=lambda _: None, stop=stop, poll_s=30)
    assert time.monotonic() - start < 5


def test_F9_a_queue_that_never_empties_does_not_put_the_sweep_off(platform: Any, stop: Stop) -> None:
    """A worker that always has something to do still sweeps, so that deadlines are kept under load."""

    def work(**_: Any) -> WorkOutcome:
        time.sleep(0.01)
        return outcome(1)

    platform.answers |= {"work_next": work, "sweep": lambda **_: stop.ask()}
    run(platform, once=False, report=lambda _: None, stop=stop, sweep_every_s=0.03)
    assert platform.verbs_asked()[-1] == "sweep"
    assert platform.verbs_asked().count("work_next") <= 3


def test_between_recordings_it_sweeps(platform: Any, stop: Stop) -> None:
    platform.answers["work_next"] = None
    platform.answers["sweep"] = lambda **_: stop.ask()
    run(platform, once=False, report=lambda _: None, stop=stop, poll_s=0.01, sweep_every_s=0.03)
    assert platform.verbs_asked().count("work_next") == 3
    assert platform.asked[-1][2]["caller"].channel == "sweeper"
