"""The retention policy as it holds now: shown, planned, changed, and stopped by a clock that was set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.memory import SeededEntropy
from sottovoce.errors import UsageError
from sottovoce.model.ids import new_id
from sottovoce.model.retention import RECORD_KINDS, SCHEDULE, RetentionPolicy, check_days
from sottovoce.usecases.keyring import NewKey


def days_of(hall: Any) -> dict[str, int | None]:
    return {row.kind.id: row.days for row in hall.platform.retention()}


def counts(hall: Any) -> dict[str, int]:
    return {row.kind: row.count for row in hall.platform.footprint()}


def test_M30_the_defaults_of_the_schedule(hall: Any) -> None:
    """Audio goes at once, features and voice profiles after 30 days, details of the log after seven years."""
    days = days_of(hall)
    assert days["audio"] == 0
    assert [days[kind] for kind in RECORD_KINDS] == [30, 30, 30, 30]
    assert days["audit"] == 2555
    assert {row.kind.id for row in hall.platform.retention()} == {kind.id for kind in SCHEDULE}


def test_C10a_a_shorter_policy_shortens_what_is_kept_and_a_longer_one_extends_no_promise(hall: Any) -> None:
    """What was promised when a result was stored is never exceeded, whatever an operator sets later."""
    hall.grant()
    hall.platform.set_retention(features=10, caller=hall.caller)
    hall.analyze()
    hall.platform.set_retention(features=30, caller=hall.caller)
    hall.advance(days=10, minutes=1)
    hall.platform.sweep(caller=hall.caller)
    after = counts(hall)
    assert "features" not in after
    assert after["insight"] == 1
    hall.platform.set_retention(insight=5, caller=hall.caller)
    hall.platform.sweep(caller=hall.caller)
    assert "insight" not in counts(hall)


def test_M31_a_plan_says_what_would_go_and_changes_nothing(hall: Any) -> None:
    """Before a policy is shortened, its effect on what is stored can be seen, and seeing it deletes nothing."""
    hall.grant()
    hall.analyze()
    hall.advance(days=12)
    hall.analyze()
    (planned,) = hall.platform.plan_retention(features=11)
    assert (planned.records, planned.due_now, planned.would_be_due) == (2, 0, 1)
    assert days_of(hall)["features"] == 30
    hall.platform.sweep(caller=hall.caller)
    assert counts(hall)["features"] == 2
    hall.platform.set_retention(features=11, caller=hall.caller)
    hall.platform.sweep(caller=hall.caller)
    assert counts(hall)["features"] == 1
    assert "retention.changed" in hall.kinds_of_events()


@pytest.mark.parametrize(
    "changes", [{"features": 31}, {"features": -1}, {"audio": 5}, {"audit": 1}, {"transcript": 9}, {"x": 1}]
)
def test_what_the_schedule_does_not_allow_is_refused(hall: Any, changes: dict[str, int]) -> None:
    """No setting keeps audio, or keeps results for longer than people were told."""
    with pytest.raises(UsageError):
        hall.platform.set_retention(**changes, caller=hall.caller)
    with pytest.raises(UsageError):
        hall.platform.plan_retention(**changes)
    assert days_of(hall)["features"] == 30


def test_another_process_follows_within_a_second(hall: Any, tmp_home: Any) -> None:
    from sottovoce.app import assemble
    from sottovoce.settings import Settings

    other = assemble(hall.adapters, Settings(home=tmp_home))
    assert {row.kind.id: row.days for row in other.retention()}["features"] == 30
    hall.platform.set_retention(features=3, caller=hall.caller)
    hall.advance(seconds=1.1)
    assert {row.kind.id: row.days for row in other.retention()}["features"] == 3


def test_overdue_results_are_counted_until_the_sweep(hall: Any) -> None:
    """A result that is kept past its day is an alarm, not a silence."""
    hall.grant()
    hall.analyze()
    hall.advance(days=31)
    overdue = {row.kind.id: row.overdue for row in hall.platform.retention()}
    assert (overdue["features"], overdue["insight"], overdue["decision"]) == (1, 1, 1)
    hall.platform.sweep(caller=hall.caller)
    assert not any(row.overdue for row in hall.platform.retention())


# --- the clock ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [timedelta(days=400), timedelta(days=-400)])
def test_M31_a_clock_that_was_set_expires_no_result(hall: Any, by: timedelta) -> None:
    """Somebody who sets the clock of the machine forward deletes nobody's results: the sweep waits for a person who
    knows the time."""
    hall.grant()
    hall.analyze()
    hall.platform.sweep(caller=hall.caller)
    hall.clock.jump(by)
    report = hall.platform.sweep(caller=hall.caller)
    assert (report.clock_moved, report.records_expired) == (True, 0)
    assert counts(hall)["features"] == 1
    failing = {check.name for check in hall.platform.doctor() if check.state == "fail"}
    assert "clock" in failing


def test_M31_audio_is_discarded_whatever_the_clock_says(hall: Any) -> None:
    """A clock that was set never keeps audio longer: the sweep of recordings does not wait."""
    hall.grant()
    hall.submit()
    hall.clock.jump(timedelta(days=400))
    report = hall.platform.sweep(caller=hall.caller)
    assert report.clock_moved
    assert report.audio_discarded == 1
    assert hall.audio_left() == (0, 0)


def test_a_confirmed_clock_counts_again(hall: Any) -> None:
    hall.grant()
    hall.analyze()
    hall.clock.jump(timedelta(days=31))
    assert hall.platform.sweep(caller=hall.caller).records_expired == 0
    hall.platform.confirm_clock(caller=hall.caller)
    report = hall.platform.sweep(caller=hall.caller)
    assert (report.clock_moved, report.records_expired) == (False, 3)
    assert "clock.confirmed" in hall.kinds_of_events()


def test_time_that_passes_is_no_jump_and_drift_is_followed(hall: Any) -> None:
    for _ in range(40):
        hall.advance(days=1)
        hall.clock.jump(timedelta(minutes=5))
        assert not hall.platform.sweep(caller=hall.caller).clock_moved


def test_keys_in_the_making_are_not_collected_by_a_jump(hall: Any) -> None:
    """A clock set forward must not make the collector take the key of a result that is about to be stored; time that
    really passes does."""
    hall.grant()
    hall.platform.sweep(caller=hall.caller)
    with hall.database.read() as tx:
        person = tx.subjects.ids()[0]
    key_id = new_id("record", SeededEntropy(3))
    hall.platform.keyring.new_key(
        NewKey(key_id=key_id, kind="record", key_class="features", subject_id=person)
    )
    hall.clock.jump(timedelta(days=2))
    assert hall.platform.sweep(caller=hall.caller).orphan_keys == 0
    hall.clock.jump(timedelta(days=-2))
    hall.advance(days=2)
    assert hall.platform.sweep(caller=hall.caller).orphan_keys == 1


@given(days=st.integers(0, 30), later=st.integers(0, 30), age=st.integers(0, 60))
def test_C10a_due_is_the_earlier_of_promise_and_policy(days: int, later: int, age: int) -> None:
    """A result is due at the earlier of what was promised at its storing and what the policy says now."""
    from datetime import UTC, datetime

    born = datetime(2026, 1, 1, tzinfo=UTC)
    promised = RetentionPolicy({"features": days}).promise("features", born)
    due = RetentionPolicy({"features": later}).due("features", born, promised)
    assert due == born + timedelta(days=min(days, later))
    assert (due <= born + timedelta(days=age)) == (min(days, later) <= age)


@pytest.mark.parametrize("kind", RECORD_KINDS)
def test_zero_days_means_not_kept(new_hall: Callable[..., Any], kind: str) -> None:
    assert check_days(kind, 0) == 0
