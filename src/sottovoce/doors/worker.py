"""The worker's door: takes queued recordings, one after the other, until it is told to stop.

SIGTERM and the first Ctrl-C let the recording in hand finish (whatever is killed later is discarded by the next
open() or sweep); a second Ctrl-C interrupts it. Between recordings it waits without using the processor.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sottovoce.model.outcome import WorkOutcome
from sottovoce.model.subject import Caller

if TYPE_CHECKING:
    from sottovoce.app import Platform

WORKER = Caller(actor="worker", channel="worker")
SWEEPER = Caller(actor="worker", channel="sweeper")
POLL_S = 1.0
SWEEP_EVERY_S = 60.0


class Stop:
    """A request to stop that a signal handler may make and a wait notices at once."""

    def __init__(self) -> None:
        self.asked = False
        self.interrupted = False  # by the keyboard
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def ask(self) -> None:
        """Safe in a signal handler."""
        self.asked = True
        os.write(self._writer, b".")

    def wait(self, seconds: float) -> None:
        """Until asked, at most so long."""
        select.select([self._reader], [], [], seconds)

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


def run(
    platform: Platform,
    *,
    once: bool,
    report: Callable[[WorkOutcome], None],
    stop: Stop | None = None,
    poll_s: float = POLL_S,
    sweep_every_s: float = SWEEP_EVERY_S,
) -> list[WorkOutcome]:
    """Work until nothing waits (`once`) or until told to stop; what was done, each told to `report` at once.

    Without `once` it also sweeps from time to time, and what was done is reported but not collected. Raises
    KeyboardInterrupt after a clean stop by the keyboard.
    """
    if stop is not None:
        return _loop(platform, stop, once=once, report=report, poll_s=poll_s, sweep_every_s=sweep_every_s)
    with _signals() as from_signals:
        done = _loop(
            platform, from_signals, once=once, report=report, poll_s=poll_s, sweep_every_s=sweep_every_s
        )
    if from_signals.interrupted:
        raise KeyboardInterrupt
    return done


def _loop(
    platform: Platform,
    stop: Stop,
    *,
    once: bool,
    report: Callable[[WorkOutcome], None],
    poll_s: float,
    sweep_every_s: float,
) -> list[WorkOutcome]:
    done: list[WorkOutcome] = []
    since_sweep_s = 0.0
    while not stop.asked:
        begun_s = time.monotonic()
        outcome = platform.work_next(caller=WORKER)
        if outcome is not None:
            report(outcome)
            if once:
                done.append(outcome)
                continue
            # a queue that never empties must not put the sweep off (F9)
            since_sweep_s += time.monotonic() - begun_s
        elif once:
            break
        else:
            stop.wait(poll_s)
            since_sweep_s += poll_s
        if since_sweep_s >= sweep_every_s:
            since_sweep_s = 0.0
            platform.sweep(caller=SWEEPER)
    return done


@contextmanager
def _signals() -> Iterator[Stop]:
    """SIGTERM and SIGINT ask to stop; a second SIGINT interrupts. The handlers before are put back."""
    stop = Stop()

    def terminate(*_: object) -> None:
        stop.ask()

    def interrupt(*_: object) -> None:
        if stop.interrupted:
            raise KeyboardInterrupt
        stop.interrupted = True
        stop.ask()

    before = {
        signal.SIGTERM: signal.signal(signal.SIGTERM, terminate),
        signal.SIGINT: signal.signal(signal.SIGINT, interrupt),
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()
