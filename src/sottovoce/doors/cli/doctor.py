"""doctor, version: is this home, and this machine, what the promises need?"""

from __future__ import annotations

from sottovoce import __version__
from sottovoce.doors.cli import payloads
from sottovoce.doors.cli.console import Style, printable
from sottovoce.doors.cli.errors import OK, SOME_FAILED
from sottovoce.doors.cli.world import COMMON, Common, Outside
from sottovoce.model.outcome import Check


def doctor(*, common: Common = COMMON, world: Outside) -> int:
    """Check this home and this machine, one line per check.

    For example:
      sottovoce doctor
    """
    with world.open(common) as platform, world.console.progress("checking"):
        found = platform.doctor()
    world.answer(common, payloads.checks(found), _checks(found, world.console.style))
    return SOME_FAILED if any(check.state == "fail" for check in found) else OK


def version(*, common: Common = COMMON, world: Outside) -> int:
    """Print the version.

    For example:
      sottovoce version
    """
    world.answer(common, {"version": __version__}, __version__)
    return OK


def _checks(found: tuple[Check, ...], style: Style) -> str:
    mark = {"ok": style.good("ok  "), "warn": style.warn("warn"), "fail": style.bad("fail")}
    width = max((len(check.name) for check in found), default=0)
    lines: list[str] = []
    for check in found:
        lines.append(f"{mark[check.state]}  {check.name:<{width}}  {printable(check.found)}")
        if check.hint and check.state != "ok":
            lines.append(f"{'':<{width + 8}}{style.dim(printable(check.hint))}")
    return "\n".join(lines)
