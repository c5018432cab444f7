"""Audio of a failed attempt: held by the person's own consent and no other way, and never longer than promised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sottovoce.app import assemble
from sottovoce.errors import AudioRejected
from sottovoce.model.purpose import AUDIO_HOLD, RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import RecordingState
from sottovoce.settings import Settings

if TYPE_CHECKING:
    from conftest import Hall

ALL = (VOICE_RECORDING, VOICE_ANALYSIS, RETENTION)
REJECTED = AudioRejected("No.", reason="decode_failed")
HOLDING = (*ALL, AUDIO_HOLD)


def held(new_hall: Callable[..., Hall], **settings: object) -> Hall:
    """A person who agrees that failed audio is held, and one recording that is."""
    hall = new_hall(**{"on_failure": "hold", "hold_ttl_s": 3600, **settings})
    hall.grant(purposes=HOLDING)
    hall.submit()
    hall.extractor.failing = [REJECTED]
    outcome = hall.platform.work_next()
    assert outcome is not None
    assert outcome.state is RecordingState.HELD
    assert hall.audio_left() == (1, 1)
    return hall


def test_C9c_policy_hold_keeps_the_sealed_audio_for_a_retry(new_hall: Callable[..., Hall]) -> None:
    """With the policy hold and the person's consent to it, a recording that fails waits, sealed, for a retry."""
    hall = held(new_hall)
    hall.platform.retry(hall.recordings()[0].id)
    outcome = hall.platform.work_next()
    assert outcome is not None
    assert outcome.state is RecordingState.VERIFIED
    assert hall.audio_left() == (0, 0)


def test_C9c_held_audio_goes_when_its_time_is_over(new_hall: Callable[..., Hall]) -> None:
    """Held audio is destroyed when its time is over, whatever runs or does not."""
    hall = held(new_hall)
    hall.advance(hours=2)
    report = hall.platform.sweep()
    assert report.audio_discarded == 1
    assert hall.audio_left() == (0, 0)
    assert hall.recordings()[0].state is RecordingState.FAILED_SHREDDED


def test_C9c_nothing_is_held_against_a_withdrawal(new_hall: Callable[..., Hall]) -> None:
    """Consent withdrawn while a worker runs: the audio is not held for a retry."""
    hall = new_hall(on_failure="hold")
    hall.grant(purposes=HOLDING)
    hall.submit()
    hall.extractor.before = lambda: hall.platform.withdraw(subject="anna", purposes=[VOICE_ANALYSIS])
    outcome = hall.platform.work_next()
    assert outcome is not None
    assert outcome.state is RecordingState.FAILED_SHREDDED
    assert hall.audio_left() == (0, 0)


def test_M36_without_a_consent_of_its_own_nothing_is_held(new_hall: Callable[..., Hall]) -> None:
    """A recording that fails is destroyed although the policy says hold, where the person did not agree to that."""
    hall = new_hall(on_failure="hold")
    hall.grant()
    hall.submit()
    hall.extractor.failing = [REJECTED]
    outcome = hall.platform.work_next()
    assert outcome is not None
    assert outcome.state is RecordingState.FAILED_SHREDDED
    assert hall.audio_left() == (0, 0)


@pytest.mark.parametrize("action", ["withdraw", "refuse"])
def test_M36_taking_the_consent_to_hold_back_destroys_the_audio_at_once(
    new_hall: Callable[..., Hall], action: str
) -> None:
    """Who takes back that failed recordings are held has them destroyed when the answer comes."""
    hall = held(new_hall)
    outcome = getattr(hall.platform, action)(subject="anna", purposes=[AUDIO_HOLD])
    assert len(outcome.stopped_sessions) == 1
    assert hall.audio_left() == (0, 0)


def test_M36_a_recording_that_was_held_is_not_tried_again_without_that_consent(
    new_hall: Callable[..., Hall],
) -> None:
    """Between the retry and the worker the consent to hold still counts: taken back, the audio goes at once."""
    hall = held(new_hall)
    hall.platform.retry(hall.recordings()[0].id)
    hall.platform.withdraw(subject="anna", purposes=[AUDIO_HOLD])
    assert hall.audio_left() == (0, 0)
    assert hall.platform.work_next() is None


def test_M36_no_retry_makes_audio_live_longer(new_hall: Callable[..., Hall]) -> None:
    """A recording that is held, tried again and held again keeps the date that was promised first."""
    hall = held(new_hall)
    promised = hall.recordings()[0].discard_by
    for _ in range(3):
        hall.advance(minutes=10)
        hall.platform.retry(hall.recordings()[0].id)
        hall.extractor.failing = [REJECTED]
        hall.platform.work_next()
        assert hall.recordings()[0].discard_by == promised
    hall.advance(minutes=31)
    hall.platform.sweep()
    assert hall.audio_left() == (0, 0)


def test_M36_held_audio_is_gone_after_thirty_days_from_its_receipt(new_hall: Callable[..., Hall]) -> None:
    """However long it waited for a worker before it failed: thirty days after it came, held audio is gone."""
    hall = new_hall(on_failure="hold", hold_ttl_s=30 * 86400, discard_by_queued_s=30 * 86400)
    hall.grant(purposes=HOLDING)
    hall.submit()
    hall.advance(days=20)
    hall.extractor.failing = [REJECTED]
    hall.platform.work_next()
    (recording,) = hall.recordings()
    assert recording.discard_by == recording.received_at + timedelta(days=30)
    hall.advance(days=10)
    hall.platform.sweep()
    assert hall.audio_left() == (0, 0)


@pytest.mark.parametrize("policy", [{"on_failure": "hold", "hold_ttl_s": 60}, {"on_failure": "shred"}])
def test_C10a_a_shorter_policy_ends_a_hold_at_the_next_sweep(
    new_hall: Callable[..., Hall], policy: dict[str, object]
) -> None:
    """Audio that is held goes at the next sweep where the policy of now holds it no longer."""
    hall = held(new_hall)
    hall.advance(minutes=2)
    shorter = assemble(hall.adapters, Settings(home=hall.platform.home, **policy))  # type: ignore[arg-type]
    assert hall.audio_left() == (0, 0)
    shorter.close()


def test_C10a_a_longer_policy_keeps_nothing_longer(new_hall: Callable[..., Hall]) -> None:
    """Audio that is held goes on the date that was promised, also where the policy of now is longer."""
    hall = held(new_hall)
    longer = assemble(
        hall.adapters, Settings(home=hall.platform.home, on_failure="hold", hold_ttl_s=30 * 86400)
    )
    hall.advance(minutes=61)
    longer.sweep()
    assert hall.audio_left() == (0, 0)
    longer.close()


def test_C10b_audio_held_without_a_consent_is_found_and_swept(new_hall: Callable[..., Hall]) -> None:
    """Audio that is held without the consent to that is found by fsck, and destroyed by the next sweep."""
    hall = new_hall(on_failure="hold", hold_ttl_s=3600)
    hall.grant()
    hall.submit()
    (recording,) = hall.recordings()
    until = recording.received_at + timedelta(hours=1)
    with hall.database.begin() as tx:
        tx.recordings.swap(
            replace(recording, state=RecordingState.HELD, hold_until=until, discard_by=until),
            expected=recording,
        )
    found = [finding.code for finding in hall.platform.fsck().findings]
    assert "held_without_consent" in found
    hall.platform.sweep()
    assert hall.audio_left() == (0, 0)
    assert "held_without_consent" not in [finding.code for finding in hall.platform.fsck().findings]


def test_C10c_a_moved_clock_never_stops_the_discard_of_held_audio(new_hall: Callable[..., Hall]) -> None:
    """With the clock of the machine set by hand results stay, and held audio past its date goes regardless."""
    hall = held(new_hall)
    hall.platform.sweep()
    hall.clock.jump(timedelta(hours=2))
    report = hall.platform.sweep()
    assert (report.clock_moved, report.audio_discarded) == (True, 1)
    assert hall.audio_left() == (0, 0)
