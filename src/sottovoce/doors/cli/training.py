"""training begin, finish, retire, list, show, due: rounds of training, and what follows when people leave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from sottovoce.doors.cli import render
from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK, SOME_FAILED
from sottovoce.doors.cli.world import CALLER, COMMON, Common, Outside
from sottovoce.model.lineage import RoundView, TrainingRound

app = App(
    name="training",
    help="Train on what people agreed to; know what to do when they leave.",
    help_formatter="plain",
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
)
RoundId = Annotated[str, Parameter(help="The id of a round (training list gives it).")]
ModelName = Annotated[str, Parameter(help="The name of the model; its rounds are counted.")]


@app.command
def begin(
    *,
    model: ModelName,
    out: Annotated[
        Path, Parameter(name=("--out", "-o"), help="The table to write: NAME.csv or NAME.parquet.")
    ],
    profile: Annotated[
        str | None, Parameter(help="Of the features: compat or corrected (needed where there are both).")
    ] = None,
    epsilon: Annotated[
        str | None, Parameter(help="Of the guarantee that you are going to train with.")
    ] = None,
    delta: Annotated[str | None, Parameter(help="Of that guarantee.")] = None,
    unit: Annotated[str, Parameter(help="What it is for: speaker or recording.")] = "speaker",
    on_leave: Annotated[
        str, Parameter(help="What is done when somebody leaves: retrain, retire or covered.")
    ] = "retrain",
    recipient: Annotated[
        str | None,
        Parameter(help="The id of who receives the table (recipients list); its feed tells it the rest."),
    ] = None,
    days: Annotated[int, Parameter(help="Leave out what is due within so many days.")] = 0,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Write the table of a new round: features of everybody who agrees now.

    Exactly those whose consent to model_training holds; nobody who is being
    erased, is restricted or has objected, nothing past its date. Each person's
    access log says it. Rows and speakers have labels of this round alone; the
    numbers are personal data all the same: delete the file by the date that is
    printed.

    For example:
      sottovoce training begin --model tone -o tone-1.csv
      sottovoce training begin --model tone -o tone-2.csv --epsilon 3 --delta 0.00001 --on-leave covered
    """
    with world.open(common) as platform:
        done = platform.begin_training(
            model=model, out=out, profile=profile, epsilon=epsilon, delta=delta, unit=unit, on_leave=on_leave,
            usable_days=days, recipient=recipient, caller=CALLER,
        )  # fmt: skip
    text = "\n".join(
        [
            f"{_size(done)} written to {printable(str(out))}",
            *_facts(done),
            f"Use it until {render.moment(done.use_until)}, when the first of its rows is due; "
            "delete it when it has served.",
        ]
    )
    world.answer(common, {"round": _json(done), "written": str(out)}, text)
    return OK


@app.command
def finish(
    round_id: RoundId,
    /,
    *,
    model_hash: Annotated[str, Parameter(help="SHA-256 of the model file, hexadecimal.")],
    version: Annotated[str, Parameter(help="The version of the model.")],
    dropped: Annotated[
        int, Parameter(help="How many rows were dropped because their people had left (training show).")
    ] = 0,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Record the model that came of a round.

    Where people left since the table was written, their rows have to be dropped
    before training: `training show` lists them.

    For example:
      sottovoce training finish rnd_... --model-hash 9f2b... --version 1.0
    """
    with world.open(common) as platform:
        done = platform.finish_training(
            round_id, model_sha256=model_hash, version=version, dropped=dropped, caller=CALLER
        )
    text = f"model {done.model} version {done.version} recorded: {_size(done)}"
    world.answer(common, {"round": _json(done)}, text)
    return OK


@app.command
def retire(round_id: RoundId, /, *, common: Common = COMMON, world: Outside) -> int:
    """Give a round up, or say that its model is not in use any more.

    For example:
      sottovoce training retire rnd_...
    """
    with world.open(common) as platform:
        done = platform.retire_training(round_id, caller=CALLER)
    world.answer(common, {"round": _json(done)}, f"round {done.number} of {done.model} is retired")
    return OK


@app.command(name="list")
def list_rounds(
    *,
    model: Annotated[str | None, Parameter(help="Rounds of this model only.")] = None,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """List the rounds of training, with how many have left.

    For example:
      sottovoce training list
    """
    with world.open(common) as platform:
        views = platform.training_rounds(model=model)
    world.answer(common, [_view(view) for view in views], _table(views) if views else "No rounds.")
    return OK


@app.command
def due(*, common: Common = COMMON, world: Outside) -> int:
    """List the rounds and models that somebody has to do something about.

    Exit code 1 where there is one.

    For example:
      sottovoce training due
    """
    with world.open(common) as platform:
        views = platform.training_rounds(only_due=True)
    text = _table(views) if views else "Nothing has to be done."
    world.answer(common, [_view(view) for view in views], text)
    return SOME_FAILED if views else OK


@app.command
def show(round_id: RoundId, /, *, common: Common = COMMON, world: Outside) -> int:
    """Show a round, and the rows of its table that have to be dropped.

    For example:
      sottovoce training show rnd_...
    """
    with world.open(common) as platform:
        view, departures = platform.training_round(round_id)
    lines = [f"round {view.round.number} of {view.round.model}: {view.round.state}", *_facts(view.round)]
    if view.why:
        lines.append(f"To do: {view.action}: {view.why}" if view.left else f"To do: {view.why}")
    rows = [(one.label, one.speaker, str(one.reason), f"{one.day:%Y-%m-%d}") for one in departures]
    if rows:
        lines += [
            "",
            "Rows that may not be used any more:",
            render.table([("row", "speaker", "why", "since"), *rows]),
        ]
    payload = {
        **_view(view),
        "rows_to_drop": [
            {
                "row": one.label,
                "speaker": one.speaker,
                "reason": str(one.reason),
                "day": f"{one.day:%Y-%m-%d}",
            }
            for one in departures
        ],
    }
    world.answer(common, payload, "\n".join(lines))
    return OK


def _facts(one: TrainingRound) -> list[str]:
    guarantee = one.guarantee
    return [
        f"round     {one.id}",
        f"table     sha256 {one.dataset_sha256 or '-'}",
        f"model     {f'version {one.version}, sha256 {one.model_sha256}' if one.version else 'none yet'}",
        f"guarantee {guarantee.words() if guarantee else 'none'}",
        f"on leave  {one.on_leave}",
    ]


def _size(one: TrainingRound) -> str:
    return f"{render.counted(one.records, 'row')} of {render.people(one.people)}"


def _table(views: tuple[RoundView, ...]) -> str:
    head = ("model", "round", "state", "version", "people", "rows", "left", "to do")
    return render.table([head, *(_line(view) for view in views)], indent=0)


def _line(view: RoundView) -> tuple[str, ...]:
    one = view.round
    return (
        one.model, f"{one.number} {one.id}", str(one.state), one.version or "-", str(one.people), str(one.records),
        str(view.left), view.why if view.due else "-",
    )  # fmt: skip


def _view(view: RoundView) -> dict[str, object]:
    return {
        **_json(view.round), "rows_left": view.left, "speakers_left": view.speakers_left, "action": str(view.action),
        "due": view.due, "why": view.why, "past_date": view.past_date,
    }  # fmt: skip


def _json(one: TrainingRound) -> dict[str, object]:
    return {
        "id": one.id, "model": one.model, "number": one.number, "state": str(one.state), "profile": one.profile,
        "people": one.people, "records": one.records, "epsilon": one.epsilon, "delta": one.delta, "unit": one.unit,
        "on_leave": str(one.on_leave), "use_until": one.use_until.isoformat(), "begun_at": one.begun_at.isoformat(),
        "dataset_sha256": one.dataset_sha256, "model_sha256": one.model_sha256, "version": one.version,
        "finished_at": one.finished_at and one.finished_at.isoformat(),
        "retired_at": one.retired_at and one.retired_at.isoformat(),
    }  # fmt: skip
