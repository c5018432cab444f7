"""fsck: does this home keep what was promised of it? Each invariant says what was looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sottovoce.doors.cli.console import Style, printable
from sottovoce.doors.cli.errors import INTEGRITY, OK
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside

if TYPE_CHECKING:
    from sottovoce.usecases.fsck import Checked, Finding, FsckReport

_SHOWN = 5  # findings of one kind that are listed one by one


def fsck(
    *,
    repair: Annotated[bool, Parameter(help="Do what is safe about what is found, then look again.")] = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Check the invariants I1 to I10 on this home.

    Opening the home sweeps what is overdue, as every verb does; what is found
    after that is a finding. Exit code 5 where something is left that is not as
    promised. With --repair, what the home would do by itself is done at once;
    audio in clear, a damaged log and lost records are named and left alone.

    For example:
      sottovoce fsck
      sottovoce fsck --repair --json
    """
    with world.open(common) as platform, world.console.progress("checking the home"):
        report = platform.fsck(repair=repair, caller=CALLER)
    world.answer(common, payload(report), _lines(report, world.console.style))
    if report.sound:
        return OK
    safe = any(finding.safe for finding in report.findings)
    world.console.error(
        what=f"{len(report.findings)} findings: this home is not as promised.",
        code="integrity",
        hint="Run it with --repair."
        if safe and not repair
        else "See docs/how-to/check-a-home.md for each finding.",
    )
    return INTEGRITY


def payload(report: FsckReport) -> dict[str, object]:
    """The JSON form."""
    return {
        "sound": report.sound,
        "invariants": [
            {
                "id": one.id, "title": one.title, "applicable": one.applicable, "looked_at": one.looked_at,
                "findings": [_finding(finding) for finding in one.findings],
            }
            for one in report.checked
        ],
        "repaired": [_finding(finding) for finding in report.repaired],
    }  # fmt: skip


def _finding(finding: Finding) -> dict[str, object]:
    return {"code": finding.code, "what": finding.what, "ref": finding.ref, "repairable": finding.safe}


def _lines(report: FsckReport, style: Style) -> str:
    lines = [line for one in report.checked for line in _invariant(one, style)]
    if report.repaired:
        lines.append(f"repaired: {len(report.repaired)} findings")
    return "\n".join(lines)


def _invariant(one: Checked, style: Style) -> list[str]:
    mark = (
        style.dim("n/a ") if not one.applicable else style.bad("FAIL") if one.findings else style.good("ok  ")
    )
    lines = [
        f"{mark}  {one.id:<4}{one.title}",
        f"{'':<10}{style.dim('looked at: ' + printable(one.looked_at))}",
    ]
    lines += [f"{'':<10}{printable(f'{f.what} [{f.code}] {f.ref}').rstrip()}" for f in one.findings[:_SHOWN]]
    if len(one.findings) > _SHOWN:
        lines.append(f"{'':<10}... and {len(one.findings) - _SHOWN} more")
    return lines
