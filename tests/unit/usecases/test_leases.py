"""Leases: until when a recording is somebody's, and that a process that ended holds nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.memory import MemoryLiveness
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.usecases.leases import Leases, released

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
ROW = Recording(
    id="ses_a", tenant="default", subject_id="sub_a", shape="submit", state=RecordingState.RECEIVED,
    received_at=NOW, discard_by=NOW + timedelta(days=1), keep=True, attempts=2,
)  # fmt: skip


@given(
    st.timedeltas(timedelta(milliseconds=1), timedelta(days=1)),
    st.timedeltas(timedelta(0), timedelta(days=2)),
)
def test_a_lease_ends_exactly_when_its_time_is_over(length: timedelta, later: timedelta) -> None:
    leases = Leases(liveness=MemoryLiveness(), length=length)
    held = leases.taken(ROW, NOW)
    assert leases.ended(held, NOW + later) == (later >= length)


def test_what_nobody_holds_is_free() -> None:
    leases = Leases(liveness=MemoryLiveness(), length=timedelta(seconds=120))
    held = leases.taken(ROW, NOW)
    assert leases.ended(ROW, NOW)
    assert not leases.ended(held, NOW)
    assert released(held) == ROW  # and nothing else has changed
    assert leases.ended(released(held), NOW)


def test_F3_a_process_that_ended_holds_nothing() -> None:
    """What a killed process worked on is free at once for the next one, before its lease has run out."""
    running: set[str] = set()
    first, second = MemoryLiveness(running), MemoryLiveness(running)
    held = Leases(liveness=first, length=timedelta(seconds=120)).taken(ROW, NOW)
    others = Leases(liveness=second, length=timedelta(seconds=120))
    assert not others.ended(held, NOW)
    first.close()
    assert others.ended(held, NOW)
