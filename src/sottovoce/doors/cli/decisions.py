"""decisions list, replay: what rules and models said of a person, and the same computed once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import payloads, render
from sottovoce.doors.cli.errors import INTEGRITY, OK
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside

if TYPE_CHECKING:
    from sottovoce.model.inference import Inference
    from sottovoce.usecases.inference import DecisionView, Replay

app = App(name="decisions", help="Show and replay what rules and models said of a person.")


@app.command(name="list")
def list_decisions(
    *,
    subject: Annotated[str | None, Parameter(help="Your own id of the person.")] = None,
    session: Annotated[str | None, Parameter(help="Only this session.")] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """List what rules and models said of a person, with their hashes.

    The reading is written to the audit log before anything is shown. A person
    who doubts a decision can have a human look at it: `sottovoce requests open
    --kind human_review --decision ID`.

    For example:
      sottovoce decisions list --subject anna
      sottovoce decisions list --session ses_aaaaaaaaaaaaaaaaaaaaaaaa --json
    """
    with world.open(common) as platform:
        found = platform.decisions(subject=subject, session_id=session, caller=CALLER)
    world.answer(common, [_payload(one) for one in found], _table(found))
    return OK


@app.command
def replay(
    decision: Annotated[str, Parameter(help="The id of a decision (decisions list gives it).")],
    /,
    *,
    purpose: Annotated[
        str | None, Parameter(help="What it is opened for (else its own purpose); subject_access is a right.")
    ] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Compute a decision once more, from what is kept.

    Runs exactly the model of the logged hash on exactly the features of the
    logged hash. The same value, to the bit, is exit code 0; another one is 5; and
    where it cannot be computed any more, it says why (exit code 0).

    For example:
      sottovoce decisions replay dec_aaaaaaaaaaaaaaaaaaaaaaaa
    """
    with world.open(common) as platform:
        found = platform.replay(decision, purpose=purpose, caller=CALLER)
    world.answer(common, _replay_payload(found), _replay(found))
    return INTEGRITY if found.verdict == "differs" else OK


def _payload(one: DecisionView) -> payloads.Json:
    return {
        "id": one.id,
        "session_id": one.session_id,
        "purpose": one.purpose,
        "model": one.model,
        "model_sha256": one.model_sha256,
        "feature_sha256": one.feature_sha256,
        "at": payloads.when(one.at),
        "expires_at": payloads.when(one.expires_at),
        "inference": None if one.inference is None else payloads.inference(one.inference),
        "values": None if one.values is None else dict(one.values),
    }


def _replay_payload(found: Replay) -> payloads.Json:
    return {
        "decision": _payload(found.decision),
        "verdict": found.verdict,
        "reason": found.reason,
        "words": found.words,
        "again": None if found.again is None else payloads.inference(found.again),
    }


def _table(found: tuple[DecisionView, ...]) -> str:
    if not found:
        return "No decisions are kept."
    head = ("decision", "when", "purpose", "by", "model", "said")
    rows = [
        (one.id, render.moment(one.at), one.purpose, one.model, one.model_sha256[:16], _said(one))
        for one in found
    ]
    return render.table([head, *rows], indent=0)


def _said(one: DecisionView) -> str:
    if one.inference is not None:
        return _words(one.inference)
    return "-" if one.values is None else f"{len(one.values)} values of the voice profile"


def _words(said: Inference) -> str:
    return render.said(said)


def _replay(found: Replay) -> str:
    one = found.decision
    rows = [
        ("decision", one.id),
        ("by", f"{one.model} ({one.model_sha256[:16]})"),
        ("features", (one.feature_sha256 or "-")[:16]),
        ("said", _said(one)),
        ("again", "-" if found.again is None else _words(found.again)),
        ("verdict", found.words),
    ]
    return render.table(rows, indent=0)
