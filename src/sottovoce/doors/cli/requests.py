"""requests open, list, show, extend, refuse, close: what people ask for, each as a case with a clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import render
from sottovoce.doors.cli.access_log import plain
from sottovoce.doors.cli.console import Style, printable
from sottovoce.doors.cli.errors import OK, SOME_FAILED
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside, Subject
from sottovoce.model.request import case_kind
from sottovoce.usecases.cases import CaseView
from sottovoce.usecases.feed import Told

app = App(name="requests", help="Answer what people ask for, in time, each as a case.")

CaseId = Annotated[str, Parameter(help="The id of a request (requests list gives it).")]


@app.command(name="open")
def open_case(
    *,
    subject: Subject,
    kind: Annotated[
        str,
        Parameter(
            help="access, rectification, erasure, restriction, portability, objection or human_review."
        ),
    ],
    law: Annotated[
        str, Parameter(help="The clock: gdpr.request, ccpa.request, pipeda.access, ...")
    ] = "gdpr.request",
    identity: Annotated[
        str, Parameter(help="How it was checked: none, known, callback or document.")
    ] = "known",
    proof: Annotated[
        str | None, Parameter(help="What was shown; stored sealed, destroyed at the end.")
    ] = None,
    received_at: Annotated[datetime | None, Parameter(help="When it came in (UTC; else now).")] = None,
    session: Annotated[str | None, Parameter(help="The session that it is about.")] = None,
    decision: Annotated[
        str | None, Parameter(help="Of a human_review: the decision that is contested (decisions list).")
    ] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Record a request of a person; its clock runs from its receipt.

    Ask for as little proof of identity as the risk allows. It needs no consent,
    and somebody of whom nothing is held may ask as well.

    For example:
      sottovoce requests open --subject anna --kind access
      sottovoce requests open --subject anna --kind erasure --received-at 2026-03-01 --identity callback
      sottovoce requests open --subject anna --kind human_review --decision dec_aaaaaaaaaaaaaaaaaaaaaaaa
    """
    with world.open(common) as platform:
        case = platform.open_request(
            subject=subject, kind=case_kind(kind), law=law, identity=identity, proof=proof,
            received_at=utc(received_at), session_id=session, decision_id=decision, caller=CALLER,
        )  # fmt: skip
    world.answer(common, _payload(case), _case(case))
    return OK


@app.command(name="list")
def list_cases(
    *,
    all: Annotated[bool, Parameter(help="Also those that have ended.")] = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """List requests, oldest first, with what is overdue; exit code 1 if anything is.

    For example:
      sottovoce requests list
      sottovoce requests list --all --json
    """
    with world.open(common) as platform:
        cases = platform.requests(everything=all)
    world.answer(common, [_payload(case) for case in cases], _cases(cases, world.console.style))
    return SOME_FAILED if any(case.overdue and case.ended_at is None for case in cases) else OK


@app.command
def show(case: CaseId, /, *, common: Common = COMMON, world: Outside) -> int:
    """Show a request with its clock as it stands now.

    For example:
      sottovoce requests show cas_aaaaaaaaaaaaaaaaaaaaaaaa
    """
    with world.open(common) as platform:
        found = platform.request(case)
    world.answer(common, _payload(found), _case(found))
    return OK


@app.command
def extend(
    case: CaseId,
    /,
    *,
    reason: Annotated[str, Parameter(help="complexity or number_of_requests.")],
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Take the longer time that the law allows, once, within the first.

    For example:
      sottovoce requests extend cas_aaaaaaaaaaaaaaaaaaaaaaaa --reason complexity
    """
    with world.open(common) as platform:
        found = platform.extend_request(case, reason=reason, caller=CALLER)
    world.answer(common, _payload(found), _case(found))
    return OK


@app.command
def refuse(
    case: CaseId,
    /,
    *,
    reason: Annotated[
        str,
        Parameter(
            help="identity_not_proven, manifestly_unfounded, excessive, legal_obligation, legal_claims or "
            "rights_of_others."
        ),
    ],
    common: Common = COMMON,
    world: Outside,
) -> int:
    """End a request without doing what was asked, for a reason.

    For example:
      sottovoce requests refuse cas_aaaaaaaaaaaaaaaaaaaaaaaa --reason identity_not_proven
    """
    with world.open(common) as platform:
        found = platform.refuse_request(case, reason=reason, caller=CALLER)
    world.answer(common, _payload(found), _case(found))
    return OK


@app.command
def close(
    case: CaseId,
    /,
    *,
    outcome: Annotated[str, Parameter(help="fulfilled, partly, nothing_held or taken_back.")] = "fulfilled",
    common: Common = COMMON,
    world: Outside,
) -> int:
    """End a request that was answered; an erasure is carried out by it.

    Anything else has to have been done since the request came in: a package was
    exported, a restriction or objection recorded, something corrected. What was
    shown as proof of identity is destroyed. The answer is a signed receipt.

    For example:
      sottovoce requests close cas_aaaaaaaaaaaaaaaaaaaaaaaa
      sottovoce requests close cas_aaaaaaaaaaaaaaaaaaaaaaaa --outcome nothing_held
    """
    with world.open(common) as platform, world.console.progress("closing"):
        found = platform.close_request(case, outcome=outcome, caller=CALLER)
    world.answer(common, _payload(found), _case(found))
    return OK


def _payload(case: CaseView) -> dict[str, object]:
    """A case as a plain object; the copy of its receipt under the name that it has everywhere."""
    fields = plain(case)
    return {("receipt" if name == "receipt_path" else name): value for name, value in fields.items()}


def utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def _state(case: CaseView) -> str:
    if case.state == "closing":
        return "decided, not carried out yet (a legal hold, or an interruption)"
    return case.state


def _due(case: CaseView) -> str:
    if case.due_at is None:
        return "-"
    late = ""
    if case.overdue:
        late = " OVERDUE" if case.ended_at is None else " answered late"
    return render.moment(case.due_at) + late


def _told(one: Told) -> str:
    """What a recipient was told because of the request, and whether it has done it."""
    words = f"{printable(one.name)}: told {one.kind.replace('_', ' ')} {render.moment(one.told_at)}, "
    if one.applied_at is not None:
        return f"{words}applied {render.moment(one.applied_at)}"
    return f"{words}not applied yet, due {render.moment(one.due_at)}" + (" OVERDUE" if one.overdue else "")


def _cases(cases: tuple[CaseView, ...], style: Style) -> str:
    if not cases:
        return "No requests."
    rows = [(case.id, case.kind, _state(case), render.moment(case.received_at), _due(case)) for case in cases]
    text = render.table([("id", "kind", "state", "received", "due"), *rows], indent=0)
    behind = sum(case.recipients_overdue for case in cases)
    if behind:
        text += "\n" + style.bad(f"{behind} told and not done in time by recipients")
    late = sum(case.overdue and case.ended_at is None for case in cases)
    return f"{text}\n{style.bad(f'{late} overdue')}" if late else text


def _case(case: CaseView) -> str:
    checked = "" if case.clock_checked else " (this clock was not checked against the text of the law lately)"
    proof = ", what was shown is sealed until the end" if case.identity_kept else ""
    rows = [
        ("request", case.id),
        ("kind", f"{case.kind} ({case.article})"),
        ("state", _state(case)),
        ("received", render.moment(case.received_at)),
        ("due", _due(case)),
        ("clock", case.clock + checked),
        ("identity", case.identity_method + proof),
    ]
    rows += [] if case.known else [("person", "nothing is held of whoever asked")]
    rows += [("extended", case.extension_reason or "")] if case.extended else []
    rows += [("contested", case.decision_id)] if case.decision_id else []
    rows += [("outcome", case.outcome)] if case.outcome else []
    rows += [("refused", case.refusal_reason)] if case.refusal_reason else []
    rows += [("ended", render.moment(case.ended_at))] if case.ended_at else []
    rows += [("receipt", case.receipt_path)] if case.receipt_path else []
    rows += [("recipient", _told(one)) for one in case.recipients]
    return render.table(rows, indent=0)
