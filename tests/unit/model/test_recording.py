"""The life of a recording: the table of transitions, and what a worker may claim."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import Conflict
from sottovoce.model.recording import FINAL, LIFECYCLE, LifecycleEvent, Recording, RecordingState, advance

T0 = datetime(2026, 3, 1, tzinfo=UTC)
# The drawing of house.md and faults.md, written down a second time.
DRAWN = """
received commit committed
committed verify verified
received shred failed_shredded
received hold held
held retry received
held shred failed_shredded
"""


def recording(**changes: Any) -> Recording:
    made = Recording(
        id="ses_1", tenant="default", subject_id="sub_1", shape="submit", state=RecordingState.RECEIVED,
        received_at=T0, discard_by=T0 + timedelta(hours=1), keep=True, body_stored_at=T0,
    )  # fmt: skip
    return replace(made, **changes)


def test_the_table_is_the_drawing() -> None:
    drawn = {tuple(line.split()) for line in DRAWN.strip().splitlines()}
    assert {(old.value, event.value, new.value) for (old, event), new in LIFECYCLE.items()} == drawn


@pytest.mark.parametrize(("state", "event"), list(product(RecordingState, LifecycleEvent)))
def test_a_step_that_is_not_in_the_table_is_refused(state: RecordingState, event: LifecycleEvent) -> None:
    if (state, event) in LIFECYCLE:
        assert advance(state, event) is LIFECYCLE[state, event]
    else:
        with pytest.raises(Conflict) as caught:
            advance(state, event)
        assert caught.value.reason == "illegal_transition"


@given(events=st.lists(st.sampled_from(LifecycleEvent), max_size=12))
def test_X08_audio_is_never_called_verified_without_a_committed_result(events: list[LifecycleEvent]) -> None:
    """No order of events calls a recording verified before its result is committed, nor revives an ended one."""
    state, passed = RecordingState.RECEIVED, [RecordingState.RECEIVED]
    for event in events:
        try:
            state = advance(state, event)
        except Conflict:
            assert (state, event) not in LIFECYCLE
            continue
        assert passed[-1] not in FINAL
        passed.append(state)
    if state is RecordingState.VERIFIED:
        assert passed[-2] is RecordingState.COMMITTED
    if state is RecordingState.FAILED_SHREDDED:
        assert RecordingState.COMMITTED not in passed


def test_every_state_can_come_to_an_end() -> None:
    ending = set(FINAL)
    for _ in RecordingState:
        ending |= {old for (old, _), new in LIFECYCLE.items() if new in ending}
    assert ending == set(RecordingState)
    assert not {old for old, _ in LIFECYCLE} & FINAL


def test_a_step_releases_the_lease_and_changes_nothing_else() -> None:
    leased = recording(lease_owner="own_1", lease_until=T0, attempts=2, erase_request_id="req_1")
    assert leased.to(LifecycleEvent.COMMIT) == replace(
        leased, state=RecordingState.COMMITTED, lease_owner=None, lease_until=None
    )


def test_ended_says_whether_the_state_is_final() -> None:
    assert {state for state in RecordingState if recording(state=state).ended} == FINAL


@pytest.mark.parametrize(
    ("changes", "claimable"),
    [
        ({}, True),
        ({"attempts": 2, "lease_owner": "own_1", "lease_until": T0}, True),  # leases are looked at elsewhere
        ({"shape": "analyze"}, False),
        ({"body_stored_at": None}, False),
        ({"failure": "decode_failed"}, False),
        ({"erase_request_id": "req_1"}, False),
        *[({"state": state}, False) for state in RecordingState if state is not RecordingState.RECEIVED],
    ],
)
def test_F2_a_worker_claims_only_what_is_stored_and_not_stopped(
    changes: dict[str, Any], claimable: bool
) -> None:
    """A recording whose sealed body is not yet safely stored, that failed or is being erased is never processed."""
    assert recording(**changes).claimable is claimable
