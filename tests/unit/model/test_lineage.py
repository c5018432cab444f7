"""What follows for a round of training when people leave: pure rules."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import UsageError
from sottovoce.model.lineage import (
    WHY,
    Action,
    Departure,
    Leaving,
    RoundState,
    TrainingRound,
    check_guarantee,
    check_on_leave,
    check_sha256,
    concerns,
    line_of,
    view_of,
)

T0 = datetime(2026, 5, 1, tzinfo=UTC)
ROUND = TrainingRound(
    id="rnd_1", tenant="default", model="tone", number=1, state=RoundState.OPEN, profile="compat", people=2, records=3,
    epsilon=None, delta=None, unit="speaker", on_leave=Action.RETRAIN, use_until=T0 + timedelta(days=30), begun_at=T0,
)  # fmt: skip
LEFT = Departure("row_1", "default", "rnd_1", "spk_1", Leaving.WITHDRAWN, T0)


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (RoundState.PREPARING, Action.EXCLUDE), (RoundState.OPEN, Action.EXCLUDE),
        (RoundState.FINISHED, Action.RETRAIN), (RoundState.RETIRED, Action.NONE),
    ],
)  # fmt: skip
def test_C16a_what_follows_depends_on_whether_there_is_a_model(state: RoundState, action: Action) -> None:
    """Before there is a model the rows are dropped, then the policy of the round holds, and a retired one is done."""
    view = view_of(replace(ROUND, state=state), [LEFT], T0)
    assert (view.action, view.left, view.speakers_left) == (action, 1, 1)
    assert WHY[action] in line_of(replace(ROUND, state=state), 1).words()


def test_who_was_left_out_before_training_asks_for_nothing() -> None:
    done = replace(ROUND, state=RoundState.FINISHED)
    assert not view_of(done, [replace(LEFT, excluded=True)], T0).due
    assert view_of(done, [LEFT], T0).due
    assert not view_of(replace(done, on_leave=Action.COVERED), [LEFT], T0).due
    assert not view_of(done, [], T0 + timedelta(days=99)).due  # the table is not in use any more
    assert view_of(ROUND, [], T0 + timedelta(days=30)).past_date
    assert view_of(replace(ROUND, state=RoundState.PREPARING), [], T0).due


@pytest.mark.parametrize("reason", Leaving)
def test_what_stops_a_use_and_what_reaches_a_model(reason: Leaving) -> None:
    assert concerns(reason, ROUND)
    softer = reason in (Leaving.RESTRICTED, Leaving.NOT_KEPT)
    assert concerns(reason, replace(ROUND, state=RoundState.FINISHED)) is not softer


_NUMBERS = st.decimals(min_value=0, max_value=40, places=4)


@given(epsilon=_NUMBERS, per_million=st.integers(0, 999_999), people=st.integers(0, 5000))
def test_a_guarantee_covers_only_where_it_says_something(
    epsilon: object, per_million: int, people: int
) -> None:
    """Oracle in fractions: epsilon at most 10, delta below one over the people, for a whole speaker."""
    delta = f"{per_million / 1e6:.6f}"
    enough = Fraction(str(epsilon)) <= 10 and Fraction(delta) < Fraction(1, max(people, 1))
    speaker, recording = (check_guarantee(str(epsilon), delta, unit) for unit in ("speaker", "recording"))
    assert speaker is not None
    assert speaker.covers(people) is enough
    assert recording is not None
    assert not recording.covers(people)
    if enough:
        assert check_on_leave("covered", speaker, people) is Action.COVERED
    else:
        with pytest.raises(UsageError):
            check_on_leave("covered", speaker, people)


@given(text=st.text(max_size=70))
def test_a_hash_is_a_hash_or_an_error(text: str) -> None:
    with suppress(UsageError):
        assert len(bytes.fromhex(check_sha256(text))) == 32


@given(epsilon=st.text(max_size=8), delta=st.text(max_size=8))
def test_any_words_are_a_guarantee_or_an_error(epsilon: str, delta: str) -> None:
    with suppress(UsageError):
        made = check_guarantee(epsilon, delta, "speaker")
        assert made is not None
        assert float(made.epsilon) >= 0
        assert 0 <= float(made.delta) < 1
        assert (made.epsilon + made.delta).isascii()
