"""models evaluate: how good a model is on people of one's own, counted by person, with intervals.

What fewer than ten people stand behind is told as "not enough data".
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from sottovoce.doors.cli.console import printable
from sottovoce.doors.cli.errors import OK, SOME_FAILED
from sottovoce.doors.cli.files import read_small, read_text
from sottovoce.doors.cli.render import table
from sottovoce.doors.cli.world import COMMON, Common, Outside

if TYPE_CHECKING:
    from sottovoce.doors.cli.models_data import Data
    from sottovoce.learning.evaluation import Calibration, Sets
    from sottovoce.learning.intervals import Estimate
    from sottovoce.usecases.evaluation import Evaluation
    from sottovoce.usecases.models import VerifiedModel

NOT_ENOUGH = "not enough data"
_CARD_SUFFIX = ".card.json"


def evaluate(
    data: Annotated[Path, Parameter(help="A CSV of features and labels, or a folder with a manifest.csv.")],
    /,
    *,
    model: Annotated[Path | None, Parameter(help="A model file (else the shipped one).")] = None,
    card: Annotated[Path | None, Parameter(help="Its signed card (else MODEL.card.json).")] = None,
    key: Annotated[Path | None, Parameter(help="The signer's identity file (else pinned ones).")] = None,
    speaker: Annotated[str, Parameter(help="The column that says who speaks.")] = "speaker",
    label: Annotated[str, Parameter(help="The column that says what is true.")] = "label",
    group: Annotated[tuple[str, ...], Parameter(help="A column whose groups are told apart.")] = (),
    profile: Annotated[
        Literal["compat", "corrected"] | None, Parameter(help="Of which profile a CSV's features are.")
    ] = None,
    demonstration: Annotated[bool, Parameter(help="Accept a model that is a demonstration only.")] = False,
    common: Common = COMMON,
    world: Outside,
) -> int:
    """Measure a model on recordings of which you know the truth; nothing is stored.

    Error with its interval, by group with counts, calibration, and how often
    the prediction sets hold the truth. The speaker is the unit: recordings of
    one person count once. Below ten people: "not enough data". The figures are
    about people: to publish them needs what every release of statistics needs.

    For example:
      sottovoce models evaluate features.csv --profile compat --group language
      sottovoce models evaluate recordings/ --label gender --model apparent-sex.tflite
    """
    from sottovoce.doors.cli.models_data import Columns, read_data
    from sottovoce.usecases.evaluation import evaluate as judge

    found = _model(model, card, key, demonstration, common)
    columns = Columns(speaker, label, group)
    made_for = found.model.network.about.feature_profile
    with world.console.progress("measuring"):
        given = read_data(data, columns, profile=profile, model_profile=made_for)
        outcome = judge(found, given.table)
    world.answer(common, payload(outcome, given), shown(outcome, given))
    return SOME_FAILED if given.failed else OK


def _model(
    model: Path | None, card: Path | None, key: Path | None, demonstration: bool, common: Common
) -> VerifiedModel:
    from sottovoce import app as house
    from sottovoce.settings import default_home

    file = house.shipped_model() if model is None else model
    return house.verify_model(
        read_small(file),
        read_text(card or file.with_name(file.name + _CARD_SUFFIX)),
        key=None if key is None else read_text(key),
        home=common.folder or default_home(),
        demonstration=demonstration,
    )


# --- as JSON ----------------------------------------------------------------------------------------------


def payload(outcome: Evaluation, data: Data) -> dict[str, object]:
    """Figures as numbers 0..1 (or in the unit of the quantity), None for "not enough data"."""
    found = outcome.found
    answer: dict[str, object] = {
        "attribute": outcome.attribute,
        "model_sha256": outcome.model_sha256,
        "unit": outcome.unit or None,
        "recordings": outcome.recordings,
        "left_out": {
            "without_voice": outcome.without_voice,
            "without_label": outcome.without_label,
            "failed": dict(data.failed),
        },
        "error": _estimate(found.error),
        "groups": {name: _estimate(one) for name, one in found.groups.items()},
    }
    if not outcome.unit:
        answer["calibration"] = _calibration(_of(found, "calibration"), told=found.error.enough)
        answer["sets"] = _sets(_of(found, "sets"))
    return answer


def _of(found: object, name: str) -> Any:
    """A part that only an evaluation of labels has."""
    return getattr(found, name, None)


def _estimate(one: Estimate | None) -> dict[str, object]:
    if one is None:
        return {"value": None, "low": None, "high": None, "speakers": 0, "recordings": 0}
    told = one.enough
    return {
        "value": one.value if told else None,
        "low": one.low if told else None,
        "high": one.high if told else None,
        "speakers": one.speakers,
        "recordings": one.recordings,
    }


def _calibration(found: Calibration, *, told: bool) -> dict[str, object]:
    return {
        "expected_error": found.error if told else None,
        "brier": found.brier if told else None,
        "bins": [
            {"from": one.low, "to": one.high, "confidence": one.confidence if one.right and one.right.enough else None,
             "right": _estimate(one.right)}
            for one in found.bins
        ],
    }  # fmt: skip


def _sets(found: Sets | None) -> dict[str, object] | None:
    if found is None:
        return None
    sizes = found.sizes
    told = found.coverage.enough
    return {
        "percent": found.percent,
        "coverage": _estimate(found.coverage),
        "sizes": {"none": sizes.none, "one": sizes.one, "several": sizes.several} if told else None,
        "wrong_when_one": _estimate(found.wrong_when_one),
        "unlike": found.unlike if told else None,
    }


# --- as text ----------------------------------------------------------------------------------------------


def shown(outcome: Evaluation, data: Data) -> str:
    found = outcome.found
    unit = outcome.unit
    people = "1 person" if found.error.speakers == 1 else f"{found.error.speakers} people"
    lines = [f"{outcome.attribute}: {outcome.recordings} recordings of {people}"]
    left = {"no voice": outcome.without_voice, "no label": outcome.without_label, **data.failed}
    told = ", ".join(f"{count} {words}" for words, count in left.items() if count)
    lines += [f"left out: {told}"] if told else []
    title = f"mean absolute error, {unit}" if unit else "share of wrong answers"
    rows = [(title, "95 % interval", "people", "recordings")]
    rows.append((f"all: {_figure(found.error, unit)}", *_rest(found.error, unit)))
    rows += [(f"{name}: {_figure(one, unit)}", *_rest(one, unit)) for name, one in found.groups.items()]
    lines += ["", table([tuple(printable(cell) for cell in row) for row in rows])]
    if not unit:
        lines += ["", _calibration_shown(_of(found, "calibration"), told=found.error.enough)]
        sets = _of(found, "sets")
        lines += ["", "prediction sets: not available" if sets is None else _sets_shown(sets)]
    return "\n".join(lines)


def _figure(one: Estimate, unit: str) -> str:
    if not one.enough:
        return NOT_ENOUGH
    return f"{one.value:.2f}" if unit else f"{100 * one.value:.1f} %"


def _rest(one: Estimate, unit: str) -> tuple[str, str, str]:
    if not one.enough or one.low is None or one.high is None:
        interval = "-"
    else:
        interval = (
            f"{one.low:.2f} to {one.high:.2f}" if unit else f"{100 * one.low:.1f} to {100 * one.high:.1f} %"
        )
    return interval, str(one.speakers), str(one.recordings)


def _calibration_shown(found: Calibration, *, told: bool) -> str:
    rows = [("confidence", "right", "95 % interval", "people", "recordings")]
    for one in found.bins:
        if one.right is None:
            continue
        span = f"{100 * one.low:.0f} to {100 * one.high:.0f} %"
        rows.append((span, _figure(one.right, ""), *_rest(one.right, "")))
    words = f"calibration error {100 * found.error:.1f} %, Brier score {found.brier:.4f}"
    return f"{words if told else 'calibration: ' + NOT_ENOUGH}\n{table(rows)}"


def _sets_shown(found: Sets) -> str:
    words = f"prediction sets of {found.percent} %: "
    if not found.coverage.enough:
        return words + NOT_ENOUGH
    interval, people, _ = _rest(found.coverage, "")
    sizes = found.sizes
    wrong = "-" if found.wrong_when_one is None else _figure(found.wrong_when_one, "")
    return (
        f"{words}hold the truth for {_figure(found.coverage, '')} ({interval}, {people} people)\n"
        f"one label {100 * sizes.one:.1f} %, not determined {100 * (sizes.none + sizes.several):.1f} % "
        f"(no label {100 * sizes.none:.1f} %, several {100 * sizes.several:.1f} %)\n"
        f"of these unlike what was learned {100 * found.unlike:.1f} %; "
        f"wrong where it said one label: {wrong}"
    )
