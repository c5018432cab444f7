"""The process that `sottovoce residue` watches: it does with marked recordings what a service does, and nothing more.

    python -m sottovoce.doors.cli.residue_handler HOME

Reads one command per line (a JSON list) and answers with one line each. It gets paths, never contents, so that what
is later found in its memory or its files was left there by its work.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sottovoce.errors import SottovoceError
from sottovoce.model.subject import Caller

if TYPE_CHECKING:
    from sottovoce.app import Platform

PURPOSES = ("voice_recording", "voice_analysis", "data_retention_30_days")
CONTROL_BODY = "residue_control"
_CALLER = Caller(actor="residue", channel="operator-cli")


def main(arguments: list[str]) -> int:
    from sottovoce import app

    with app.open(home=Path(arguments[0])) as platform:
        print_line("ready")
        for line in sys.stdin:
            try:
                print_line(answer(platform, *json.loads(line)))
            except SottovoceError as error:
                print_line(error.public_code)
    return 0


def answer(platform: Platform, verb: str, *given: str) -> str:
    """One command; "ok", or the code of what was refused."""
    match verb:
        case "grant":
            platform.grant(subject=given[0], purposes=PURPOSES, caller=_CALLER)
        case "analyze":
            platform.analyze(given[1], subject=given[0], caller=_CALLER)
        case "submit":
            platform.submit(given[1], subject=given[0], caller=_CALLER)
        case "work":
            outcome = platform.work_next(caller=_CALLER)
            return "nothing" if outcome is None else outcome.failure or "ok"
        case "erase":
            platform.erase(subject=given[0], caller=_CALLER)
        case "plant":
            plant(platform, Path(given[0]).read_text(), Path(given[1]))
        case "unplant":
            platform._adapters.bodies.delete(CONTROL_BODY)
    return "ok"


def plant(platform: Platform, control: str, temporary: Path) -> None:
    """The control, by each medium's own way: memory, database with its WAL, body store, temporary file, log."""
    global _held
    _held = bytearray(control.encode())
    platform.sessions(subject="residue-nobody", caller=Caller(actor=control, channel="operator-cli"))
    with platform._adapters.database.begin() as tx:
        platform._trail.of(None, caller=Caller(actor=control, channel="operator-cli")).write(
            tx, "residue.control"
        )
    platform._adapters.bodies.delete(CONTROL_BODY)
    with platform._adapters.bodies.writer(CONTROL_BODY) as writer:
        writer.write(control.encode())
    (temporary / "control").write_text(control)
    sys.stderr.write(control + "\n")
    sys.stderr.flush()


_held = bytearray()


def print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
