"""`python -m sottovoce` and the command `sottovoce`.

What is asked about the command line itself is answered before anything is loaded: `sottovoce --help` is quick.
"""

from __future__ import annotations

import os
import sys

from sottovoce.doors.cli.verbs import quick_answer

TYPE_CHECKING = False  # see sottovoce/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable

    from sottovoce.app import Platform
    from sottovoce.model.outcome import WorkOutcome


def main() -> int:
    """Run the command line of this process; returns its exit code."""
    try:
        answer = quick_answer(sys.argv[1:])
        if answer is not None:
            return _print(answer)
        from sottovoce.doors.cli.app import main as run

        return run(run_worker=_run_worker)
    except KeyboardInterrupt:  # while loading
        return 130


def _print(answer: str) -> int:
    try:
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
    except OSError:  # nobody reads: let the interpreter's last flush go nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _run_worker(
    platform: Platform, *, once: bool, report: Callable[[WorkOutcome], None]
) -> list[WorkOutcome]:
    """Both doors meet here: the command line starts the worker's loop without importing it."""
    from sottovoce.doors.worker import run

    return run(platform, once=once, report=report)


if __name__ == "__main__":
    sys.exit(main())
