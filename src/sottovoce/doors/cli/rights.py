"""erase, sweep: a person's right to be erased, and everything that is due."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.errors import OK, SOME_FAILED
from sottovoce.doors.cli.world import CALLER, COMMON, Common, DryRun, Outside, Subject, World
from sottovoce.model.outcome import ErasureOutcome, SweepReport


def erase(
    *,
    subject: Subject,
    session: Annotated[str | None, Parameter(help="Only this session, not the whole person.")] = None,
    request_id: Annotated[
        str | None, Parameter(help="An earlier request: its stored receipt is the answer.")
    ] = None,
    dry_run: DryRun = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Erase a person, or one of their sessions.

    The promise is recorded first, then the keys are destroyed, then rows and
    bodies are removed and looked for again. What was interrupted is resumed the
    next time this home is opened; the request id, on standard error before it
    begins, then leads to the receipt. The answer is a signed receipt; it needs no
    consent, and a person of whom nothing is held gets a receipt that says so.

    For example:
      sottovoce erase --subject anna --dry-run
      sottovoce erase --subject anna
    """
    with world.open(common) as platform:
        if request_id is None and not dry_run:
            request_id = _announced(platform.new_request_id(), world)
        with world.console.progress("erasing"):
            outcome = platform.erase(
                subject=subject, session_id=session, request_id=request_id, dry_run=dry_run, caller=CALLER
            )
    world.answer(common, payloads.erasure(outcome), _erasure(outcome))
    return OK


def sweep(
    *,
    dry_run: DryRun = False,
    clock_is_right: Annotated[
        bool, Parameter(help="Say that the time of this machine is right, after it was moved.")
    ] = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Discard and expire everything that is due.

    Audio past its deadline, results past their promise, what an interrupted run
    left behind. Where the clock of this machine was set, no result expires until
    somebody says that it is right; audio is discarded regardless. Opening this
    home does the urgent part of it by itself; nothing can be destroyed while
    nothing runs.

    For example:
      sottovoce sweep --dry-run
    """
    with world.open(common) as platform, world.console.progress("sweeping"):
        if clock_is_right and not dry_run:
            platform.confirm_clock(caller=CALLER)
        report = platform.sweep(dry_run=dry_run, caller=CALLER)
    world.answer(common, payloads.sweep(report), _sweep(report))
    return SOME_FAILED if report.errors or report.clock_moved else OK


def _announced(request_id: str, world: World) -> str:
    """Said before anything is promised: after a kill this id is the only way to the receipt of who is not held any
    more. The same line for everybody, known or not."""
    world.console.message(f"request ID: {request_id}; repeat with --request-id {request_id} if interrupted")
    return request_id


def _erasure(outcome: ErasureOutcome) -> str:
    words = {
        "erased": "Erased: the keys are destroyed, rows and bodies are not found any more.",
        "nothing_held": "Nothing is held.",
        "would_erase": "Nothing was done. This would be erased:",
        "held": "Nothing was erased: a legal hold stands (`sottovoce marks`). It runs by itself when that is lifted.",
    }
    lines = [words[outcome.result]]
    counts = [(name.replace("_", " "), str(number)) for name, number in outcome.counts.items() if number]
    if counts:
        lines.append(render.table(counts))
    if outcome.receipt_path:
        lines.append(f"  receipt  {outcome.receipt_path}")
    elif outcome.result == "nothing_held" and outcome.receipt:
        lines.append("  receipt  the same signed words for everybody; --json gives them")
    if outcome.request_id:
        lines.append(f"  request  {outcome.request_id}")
    return "\n".join(lines)


def _sweep(report: SweepReport) -> str:
    counts = {
        "recordings whose audio was discarded": report.audio_discarded,
        "interrupted recordings brought to their end": report.interrupted_finished,
        "results expired": report.records_expired,
        "erasures resumed": report.erasures_resumed,
        "bodies without a recording": report.orphan_bodies,
        "keys without data": report.orphan_keys,
        "key epochs ended": report.epochs_ended,
        "found past their deadline": report.overdue,
    }
    rows = [(str(number), name) for name, number in counts.items() if number]
    head = "This would be done:" if report.dry_run else "Done:"
    lines = [head, render.table(rows)] if rows else ["Nothing is due."]
    if report.clock_moved:
        lines.append("The clock of this machine was set: no result expires until you say --clock-is-right.")
    if report.errors:
        lines.append(f"Not finished, tried again at the next sweep: {', '.join(report.errors)}")
    return "\n".join(lines)
