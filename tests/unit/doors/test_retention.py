"""retention at the command line, over a platform of plain values."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sottovoce.doors.cli.retention import page
from sottovoce.model.keys import DestructionPromise
from sottovoce.model.retention import SCHEDULE, PlannedChange, ScheduleRow

NOW = datetime(2026, 5, 1, tzinfo=UTC)
COPIES = DestructionPromise(None, "you rotate; then at <once>")
ROWS = tuple(ScheduleRow(kind, kind.days, 3, 0) for kind in SCHEDULE)


@pytest.fixture
def scheduled(platform: Any) -> Any:
    change = PlannedChange("features", 30, 20, 7, 0, 2)
    platform.answers |= {
        "retention": ROWS, "plan_retention": (change,), "set_retention": (change,), "now": NOW,
        "confirm_clock": None,
    }  # fmt: skip
    return platform


def test_show(run: Callable[..., Any], scheduled: Any) -> None:
    done = run("retention", "show")
    assert done.code == 0
    assert "destroyed at once" in done.out
    assert "at most 30 days" in done.out
    rows = json.loads(run("retention", "show", "--json").out)["schedule"]
    assert {row["kind"]: row["days"] for row in rows}["audit"] == 2555
    assert "at most 90 days; not stored by this version" in done.out  # transcripts
    assert "at most 365 days; not stored by this version" in done.out  # user profiles


def test_M30_overdue_is_an_alarm(run: Callable[..., Any], scheduled: Any) -> None:
    """Where something is kept past its day, showing the schedule fails."""
    scheduled.answers["retention"] = (ScheduleRow(SCHEDULE[2], 30, 3, 2),)
    done = run("retention", "show")
    assert done.code == 1
    assert "2 overdue" in done.out


def test_plan_and_set(run: Callable[..., Any], scheduled: Any) -> None:
    planned = run("retention", "plan", "features=20")
    assert (planned.code, "Nothing was changed" in planned.out) == (0, True)
    done = run("retention", "set", "features=20", "--json")
    assert json.loads(done.out)["changes"][0]["would_be_due"] == 2
    assert ("set_retention", 20) in [(verb, named.get("features")) for verb, _, named in scheduled.asked]


@pytest.mark.parametrize(
    "words",
    [(), ("features",), ("features=",), ("features=-1",), ("features=1", "features=2"), ("features=٣",)],
)
def test_what_is_no_change_is_refused(
    run: Callable[..., Any], scheduled: Any, words: tuple[str, ...]
) -> None:
    assert run("retention", "set", *words).code == 2
    assert "set_retention" not in scheduled.verbs_asked()


def test_C7a_the_public_page_is_made_from_the_policy_in_force(
    run: Callable[..., Any], scheduled: Any, tmp_path: Path
) -> None:
    """The schedule for the public is written from the policy that the sweep goes by, so the two can't differ."""
    out = tmp_path / "schedule.html"
    assert run("retention", "schedule", "-o", str(out), "--name", "<Example> & Co").code == 0
    text = out.read_text()
    assert "&lt;Example&gt; &amp; Co" in text
    assert "2026-05-01" in text
    shorter = tuple(ScheduleRow(r.kind, 12 if r.kind.id == "features" else r.days, 0, 0) for r in ROWS)
    assert "at most 12 days" in page(shorter, NOW, "", COPIES)
    assert "Transcripts" not in text


def test_the_public_page_fetches_and_runs_nothing() -> None:
    found: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append(tag)
            assert not any(name in ("src", "href") or name.startswith("on") for name, _ in attrs)

    Tags().feed(page(ROWS, NOW, "x", COPIES))
    assert "script" not in found


def test_sweep_says_that_the_clock_was_set(run: Callable[..., Any], scheduled: Any) -> None:
    from sottovoce.model.outcome import SweepReport

    scheduled.answers["sweep"] = SweepReport(clock_moved=True)
    done = run("sweep")
    assert done.code == 1
    assert "--clock-is-right" in done.out
    scheduled.answers["sweep"] = SweepReport(records_expired=3)
    assert run("sweep", "--clock-is-right").code == 0
    assert "confirm_clock" in scheduled.verbs_asked()
