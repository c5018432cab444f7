"""restrict, unrestrict, object, hold, lift, rectify, marks: what stands on a person's data until it is lifted."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from sottovoce.doors.cli import render
from sottovoce.doors.cli.access_log import plain
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside, Subject, World
from sottovoce.errors import UsageError
from sottovoce.model.mark import MarkKind
from sottovoce.usecases.access_entries import MarkView
from sottovoce.usecases.marks import MarkOutcome

Asker = Annotated[str, Parameter(help="Who asks: person, operator or authority.")]
Note = Annotated[str | None, Parameter(help="In your own words; stored sealed, shown to the person.")]


def restrict(
    *,
    subject: Subject,
    reason: Annotated[
        str, Parameter(help="accuracy_contested, unlawful_not_erased, needed_for_claims, objection_pending.")
    ],
    asked_by: Asker = "person",
    note: Note = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Restrict a person's data: stored, and not otherwise used.

    Recordings under way give no result any more; what is kept is neither opened
    nor swept until the restriction is lifted. The person's own rights go on.

    For example:
      sottovoce restrict --subject anna --reason accuracy_contested
    """
    with world.open(common) as platform:
        outcome = platform.mark(
            subject=subject,
            kind=MarkKind.RESTRICTION,
            reason=reason,
            asked_by=asked_by,
            note=note,
            caller=CALLER,
        )
    return _answer(world, common, outcome, "Restricted.")


def unrestrict(*, subject: Subject, common: Common = COMMON, world: Outside) -> int:
    """Lift the restriction of a person's data.

    For example:
      sottovoce unrestrict --subject anna
    """
    with world.open(common) as platform:
        outcome = platform.unrestrict(subject=subject, caller=CALLER)
    return _answer(world, common, outcome, "Not restricted any more.")


def object_to(
    *,
    subject: Subject,
    purpose: Annotated[
        str | None, Parameter(help="The use that the person objects to (else every use).")
    ] = None,
    note: Note = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Record a person's objection to one use of their data, or to all.

    For example:
      sottovoce object --subject anna --purpose research_statistics
    """
    with world.open(common) as platform:
        outcome = platform.mark(
            subject=subject,
            kind=MarkKind.OBJECTION,
            reason="objection",
            purpose=purpose,
            note=note,
            caller=CALLER,
        )
    return _answer(world, common, outcome, "The objection is recorded and in force.")


def hold(
    *,
    subject: Subject,
    reason: Annotated[str, Parameter(help="legal_claims, legal_obligation or public_health.")],
    asked_by: Asker = "operator",
    note: Note = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Put a person's data under a legal hold: nothing kept is destroyed.

    It blocks shredding only: withdrawing, reading and exporting go on, and audio
    is discarded as ever. The person sees it with its basis. An erasure that is
    asked for meanwhile waits, and runs by itself when the hold is lifted.

    For example:
      sottovoce hold --subject anna --reason legal_claims --note "case 12/26"
    """
    with world.open(common) as platform:
        outcome = platform.mark(
            subject=subject, kind=MarkKind.HOLD, reason=reason, asked_by=asked_by, note=note, caller=CALLER
        )
    return _answer(world, common, outcome, "Held.")


def lift(
    mark: Annotated[str, Parameter(help="The id of a hold, objection or restriction.")],
    /,
    *,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Lift a legal hold, an objection or a restriction.

    Erasures that waited for a hold run before this returns.

    For example:
      sottovoce lift mrk_aaaaaaaaaaaaaaaaaaaaaaaa
    """
    with world.open(common) as platform, world.console.progress("lifting"):
        outcome = platform.lift(mark, caller=CALLER)
    return _answer(world, common, outcome, "Lifted.")


def rectify(
    *,
    subject: Subject,
    new_id: Annotated[str | None, Parameter(help="The right id of the person.")] = None,
    statement: Annotated[
        str | None, Parameter(help="The person's own statement, kept beside the data.")
    ] = None,
    session: Annotated[str | None, Parameter(help="The session that the statement is about.")] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Correct what is recorded of a person: their id, or by a statement of theirs.

    Numbers that were computed are not changed by hand; the person's statement is
    kept sealed beside them and goes wherever they are shown to the person.

    For example:
      sottovoce rectify --subject ana --new-id anna
      sottovoce rectify --subject anna --statement "I had a cold that day."
    """
    if (new_id is None) == (statement is None):
        raise UsageError(
            "Give either --new-id or --statement.",
            hint="--new-id is the right id of the person, --statement the person's own words.",
        )
    with world.open(common) as platform:
        if statement is not None:
            outcome = platform.mark(
                subject=subject, kind=MarkKind.CORRECTION, reason="statement", session_id=session, note=statement,
                caller=CALLER,
            )  # fmt: skip
            return _answer(world, common, outcome, "The statement is recorded.")
        platform.rectify(subject=subject, new_id=str(new_id), caller=CALLER)
    world.answer(common, {"rectified": True}, "Corrected.")
    return OK


def marks(*, subject: Subject, common: Common = COMMON, world: Outside) -> int:
    """Show restrictions, objections, holds and corrections of a person.

    For example:
      sottovoce marks --subject anna
    """
    with world.open(common) as platform:
        found = platform.marks(subject=subject)
    world.answer(
        common, [plain(mark) for mark in found], _marks(found) or "Nothing stands on this person's data."
    )
    return OK


def _answer(world: World, common: Common, outcome: MarkOutcome, words: str) -> int:
    payload = {
        "marks": [plain(mark) for mark in outcome.marks],
        "stopped_sessions": list(outcome.stopped_sessions),
        "erasures_run": outcome.erasures_run,
    }
    lines = [words, _marks(outcome.marks)]
    lines += [f"  stopped  {session}" for session in outcome.stopped_sessions]
    lines += (
        [f"  erasures that had waited and were carried out: {outcome.erasures_run}"]
        if outcome.erasures_run
        else []
    )
    world.answer(common, payload, "\n".join(lines))
    return OK


def _marks(marks: tuple[MarkView, ...]) -> str:
    rows = [
        (
            mark.id, mark.kind, mark.basis, f"asked by the {mark.asked_by}", f"since {render.moment(mark.placed_at)}",
            f"lifted {render.moment(mark.lifted_at)}" if mark.lifted_at else "stands", mark.purpose or "",
            printable(mark.detail or ""),
        )
        for mark in marks
    ]  # fmt: skip
    return render.table(rows)
