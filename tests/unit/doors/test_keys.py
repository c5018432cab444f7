"""keys at the command line, over a platform of plain values."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sottovoce.model.keys import DestructionPromise

END = datetime(2026, 6, 1, 9, tzinfo=UTC)


def test_M15_the_status_names_the_day_after_which_no_copy_opens_what_was_erased(
    run: Callable[..., Any], platform: Any
) -> None:
    """`keys status` says after which day what is erased now opens from no copy of the key store."""
    promise = DestructionPromise(END, "2026-06-01 at the latest, when epoch 1 ends")
    platform.answers["keys_status"] = replace(platform.answers["keys_status"], copies=promise)
    assert "opens from no copy of the key store after 2026-06-01 at the latest" in run("keys", "status").out
    shown = json.loads(run("keys", "status", "--json").out)
    assert shown["copies"] == {"open_until": END.isoformat(), "words": promise.words}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"rotation_pending": True}, "pending: run `sottovoce keys rotate`"),
        ({"rotation_overdue": True}, "overdue: run `sottovoce keys rotate`"),
        ({"rotation_due_at": None}, "complete; the next by hand"),
        ({"rotation_due_at": END}, "complete; the next by a sweep on 2026-06-01"),
    ],
)
def test_M15_the_status_says_how_the_epoch_ends(
    state: dict[str, Any], words: str, run: Callable[..., Any], platform: Any
) -> None:
    """`keys status` says whether the end of the key epoch is due, overdue or a matter of hand."""
    platform.answers["keys_status"] = replace(platform.answers["keys_status"], **state)
    assert words in run("keys", "status").out


def test_M15_a_rotation_says_that_older_copies_are_dead_and_a_new_one_is_needed(
    run: Callable[..., Any], platform: Any
) -> None:
    """After a rotation the operator is told to make a new copy of the key store."""
    done = run("keys", "rotate")
    assert done.code == 0
    assert "make a new one" in done.out
    assert "copies" in json.loads(run("keys", "rotate", "--json").out)


def test_M15_the_schedule_alarms_when_the_end_of_the_epoch_is_overdue(
    run: Callable[..., Any], platform: Any
) -> None:
    """`retention show` fails while a key epoch outlives its promised end."""
    platform.answers |= {
        "retention": (), "keys_status": replace(platform.answers["keys_status"], rotation_overdue=True),
    }  # fmt: skip
    done = run("retention", "show")
    assert done.code != 0
    assert "overdue: run `sottovoce keys rotate`" in done.out
    assert json.loads(run("retention", "show", "--json").out)["key_copies"]["overdue"] is True
