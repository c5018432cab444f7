"""audit verify, audit show: the log of what was done, pseudonymous, each entry chained to the one before."""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import INTEGRITY, OK
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside
from sottovoce.model.outcome import AuditLine, AuditReport

app = App(name="audit", help="Check and read the audit log.")


@app.command
def verify(*, common: Common = COMMON, world: Outside) -> int:
    """Check every entry and every link of the log.

    For example:
      sottovoce audit verify
    """
    with world.open(common) as platform, world.console.progress("checking the log"):
        report = platform.verify_audit()
    world.answer(common, payloads.audit_report(report), _report(report))
    if report.intact:
        return OK
    world.console.error(
        what=f"The audit log is not what was written: {report.problem}",
        code="integrity",
        hint="Keep a copy of this home as it is, and compare with a head that you noted elsewhere.",
    )
    return INTEGRITY


@app.command
def show(
    *,
    subject: Annotated[str | None, Parameter(help="Only entries about this person.")] = None,
    limit: Annotated[int, Parameter(help="The latest so many entries.")] = 50,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Show the latest entries of the log.

    Details are shown where the person's own key still opens them; erasing the
    person closes them for good.

    For example:
      sottovoce audit show --subject anna
    """
    with world.open(common) as platform:
        lines = platform.show_audit(subject=subject, limit=limit, caller=CALLER)
    world.answer(common, payloads.audit_lines(lines), _lines(lines))
    return OK


def _report(report: AuditReport) -> str:
    rows = [
        ("log", "intact" if report.intact else f"broken at entry {report.first_bad}"),
        ("entries", f"{report.events}, and {report.unsequenced} without a number yet"),
        ("head", report.head or "-"),
        ("evidence", report.evidence),
    ]
    return render.table(rows, indent=0)


def _lines(lines: tuple[AuditLine, ...]) -> str:
    if not lines:
        return "The log holds no such entries."
    rows = [
        (
            "-" if line.sequence is None else str(line.sequence),
            render.moment(line.at),
            line.kind,
            f"{line.actor} ({line.channel})",
            line.purpose or "-",
            line.outcome,
            "" if line.details is None else printable(json.dumps(line.details, ensure_ascii=False)),
        )
        for line in lines
    ]
    return render.table([("no", "when", "what", "who", "purpose", "outcome", "details"), *rows], indent=0)
