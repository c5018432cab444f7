"""residue: marked recordings go through this home, then every file and every process that handled them is searched."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sottovoce.doors.cli.errors import INTEGRITY, OK
from sottovoce.doors.cli.residue_process import HANDLER
from sottovoce.doors.cli.world import COMMON, Common, Outside
from sottovoce.errors import UsageError

if TYPE_CHECKING:
    from sottovoce.doors.cli.residue_report import ResidueReport

_SMALLEST, _LARGEST = 6, 200


def residue(
    *,
    recordings: Annotated[
        int, Parameter(help="How many marked recordings (30 windows in 6 forms each).")
    ] = 24,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Put marked recordings through this home and search for what is left.

    Pseudo-random recordings of a person who does not exist are submitted,
    worked off, analysed inline, cut short, interrupted by a kill and erased.
    At every stage all files of the home, the temporary folder, the log and the
    memory of the processes that handled them are searched for windows of the
    audio and of the results. A control shows that the search finds what is
    there. Searching memory takes root or the right to trace; else it is
    reported as not run.

    For example:
      sottovoce residue
      sottovoce residue --home /srv/voices --recordings 48 --json
    """
    from sottovoce.doors.cli.residue_report import lines_of, payload
    from sottovoce.settings import default_home

    if not _SMALLEST <= recordings <= _LARGEST:
        raise UsageError(f"--recordings is {_SMALLEST} to {_LARGEST}.")
    with world.console.progress("marked recordings go through this home"):
        report = run(common.folder or default_home(), recordings=recordings)
    world.answer(common, payload(report), "\n".join(lines_of(report)))
    if report.clean:
        return OK
    world.console.error(
        what=f"{report.found} windows found; {sum(report.controls.values())} of {len(report.controls)} controls found.",
        code="integrity",
        hint="See docs/how-to/check-a-home.md; what was found names its stage.",
    )
    return INTEGRITY


def run(home: Path, *, recordings: int, handler: Sequence[str] = HANDLER) -> ResidueReport:
    """The whole measurement; leaves the home without the marked person, and the temporary folder removed."""
    from sottovoce.doors.cli.residue_measure import Measurement

    folder = Path(tempfile.mkdtemp(prefix="sottovoce-residue-"))
    try:
        return Measurement(home.absolute(), folder, recordings, handler).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
