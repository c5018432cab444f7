"""training at the command line, over a platform of plain values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sottovoce.model.lineage import Action, Departure, Leaving, RoundState, TrainingRound, view_of

T0 = datetime(2026, 5, 1, tzinfo=UTC)
OPEN = TrainingRound(
    id="rnd_" + "a" * 24, tenant="default", model="tone", number=2, state=RoundState.OPEN, profile="compat", people=3,
    records=5, epsilon="3", delta="0.001", unit="speaker", on_leave=Action.RETRAIN,
    use_until=datetime(2026, 5, 20, tzinfo=UTC),
    begun_at=T0, dataset_sha256="cd" * 32,
)  # fmt: skip
DONE = replace(OPEN, state=RoundState.FINISHED, version="1.0", model_sha256="ab" * 32, finished_at=T0)
LEFT = Departure("row_abc", "default", OPEN.id, "spk_abc", Leaving.WITHDRAWN, T0)


@pytest.fixture
def trained(platform: Any) -> Any:
    view = view_of(DONE, (LEFT,), T0)
    platform.answers |= {
        "begin_training": OPEN, "finish_training": DONE, "retire_training": replace(DONE, state=RoundState.RETIRED),
        "training_rounds": (view,), "training_round": (view, (LEFT,)),
    }  # fmt: skip
    return platform


def test_begin_says_what_was_written_and_until_when(
    run: Callable[..., Any], trained: Any, tmp_path: Path
) -> None:
    out = str(tmp_path / "t.csv")
    done = run("training", "begin", "--model", "tone", "-o", out, "--epsilon", "3", "--delta", "0.001")
    assert done.code == 0
    for words in ("5 rows of 3 people", OPEN.id, "cd" * 32, "2026-05-20 00:00:00 UTC", "epsilon 3"):
        assert words in done.out
    verb, _, named = trained.asked[-1]
    assert (verb, named["model"], named["epsilon"], named["on_leave"]) == (
        "begin_training",
        "tone",
        "3",
        "retrain",
    )
    answer = json.loads(run("training", "begin", "--model", "tone", "-o", out, "--json").out)
    assert (answer["round"]["records"], answer["written"]) == (5, out)


def test_finish_and_retire(run: Callable[..., Any], trained: Any) -> None:
    done = run("training", "finish", OPEN.id, "--model-hash", "ab" * 32, "--version", "1.0", "--dropped", "1")
    assert (done.code, "version 1.0" in done.out) == (0, True)
    assert trained.asked[-1][2]["dropped"] == 1
    assert "retired" in run("training", "retire", OPEN.id).out


def test_C16a_due_lists_the_models_that_need_action_and_fails(run: Callable[..., Any], trained: Any) -> None:
    """Where a model has to be trained anew because somebody left, the command says so and ends with 1."""
    done = run("training", "due")
    assert done.code == 1
    assert "a model of a new round" in done.out
    assert json.loads(run("training", "due", "--json").out)[0]["action"] == "retrain"
    assert run("training", "list").code == 0
    trained.answers["training_rounds"] = ()
    done = run("training", "due")
    assert (done.code, done.out.strip()) == (0, "Nothing has to be done.")


def test_show_lists_the_rows_to_drop(run: Callable[..., Any], trained: Any) -> None:
    done = run("training", "show", OPEN.id)
    assert done.code == 0
    for words in ("row_abc", "spk_abc", "withdrawn", "2026-05-01", "retrain"):
        assert words in done.out
    answer = json.loads(run("training", "show", OPEN.id, "--json").out)
    assert answer["rows_to_drop"] == [
        {"row": "row_abc", "speaker": "spk_abc", "reason": "withdrawn", "day": "2026-05-01"}
    ]
    assert answer["model_sha256"] == "ab" * 32
