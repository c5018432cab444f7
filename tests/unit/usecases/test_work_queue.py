"""The queue of stored recordings: claims, attempts, and what may be tried again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from sottovoce.errors import (
    ConsentRequired,
    ExtractionFailed,
    IntegrityError,
    KeyUnavailable,
    NotFound,
    SottovoceError,
    StorageError,
    UsageError,
)
from sottovoce.model.purpose import AUDIO_HOLD, RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import RecordingState

if TYPE_CHECKING:
    from conftest import Hall

HOLDING = (VOICE_RECORDING, VOICE_ANALYSIS, RETENTION, AUDIO_HOLD)
DIED = ExtractionFailed("The child died.", reason="child_crashed")


def test_F6_a_poison_file_is_tried_a_few_times_then_shredded(hall: Hall) -> None:
    """A file that always kills the child is given up after a fixed number of attempts; its audio is gone."""
    hall.grant()
    answer = hall.submit()
    hall.extractor.failing = [DIED] * 3
    states = []
    for _ in range(3):
        outcome = hall.platform.work_next()
        assert outcome is not None
        states.append((outcome.state, outcome.attempts))
        hall.advance(seconds=10)
    assert states == [
        (RecordingState.RECEIVED, 1), (RecordingState.RECEIVED, 2), (RecordingState.FAILED_SHREDDED, 3),
    ]  # fmt: skip
    assert hall.audio_left() == (0, 0)
    assert hall.recording(answer.session_id).failure == "child_crashed"  # type: ignore[union-attr]


def test_F7_attempts_are_counted_before_the_work(hall: Hall) -> None:
    """A worker that is killed in the middle has used up an attempt: no endless loop."""
    hall.grant()
    answer = hall.submit()
    seen = []
    hall.extractor.before = lambda: seen.append(hall.recording(answer.session_id).attempts)  # type: ignore[union-attr]
    hall.platform.work_next()
    assert seen == [1]


def test_F7_a_worker_killed_again_and_again_gives_up(hall: Hall) -> None:
    """A recording whose worker dies every time is given up, although no error was ever reported."""
    hall.grant()
    hall.submit()
    for _ in range(3):
        assert hall.platform._record._queue.claim_next(caller=hall.caller) is not None
        hall.adapters.liveness.close()  # type: ignore[attr-defined]  # the worker is killed
    assert hall.platform.work_next() is None
    hall.platform.sweep()
    assert hall.audio_left() == (0, 0)
    assert hall.recordings()[0].failure == "attempts_exhausted"


def test_F32_a_recording_is_worked_on_once(hall: Hall) -> None:
    """While one worker holds a recording no other takes it."""
    hall.grant()
    hall.submit()
    seen = []
    hall.extractor.before = lambda: seen.append(hall.platform.work_next())
    hall.platform.work_next()
    assert seen == [None]


def test_C2a_a_claim_is_refused_where_consent_is_gone(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker asks for consent again before it opens anything."""
    hall.grant()
    hall.submit()
    # A withdrawal that did not reach the recording (say, of another version): the claim still looks for itself.
    monkeypatch.setattr("sottovoce.usecases.consent.mark_failed", lambda *_: False)
    hall.platform.withdraw(subject="anna", purposes=[VOICE_ANALYSIS])
    assert hall.platform.work_next() is None
    assert hall.extractor.sources == []
    hall.platform.sweep()
    assert hall.audio_left() == (0, 0)


def test_F38_an_interrupted_worker_gives_its_recording_back(hall: Hall) -> None:
    """A worker that is told to stop releases what it holds; the next one does it."""
    hall.grant()
    answer = hall.submit()
    hall.extractor.failing = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        hall.platform.work_next()
    hall.advance(seconds=10)
    outcome = hall.platform.work_next()
    assert outcome is not None
    assert (outcome.session_id, outcome.state, outcome.attempts) == (
        answer.session_id,
        RecordingState.VERIFIED,
        2,
    )


@pytest.mark.parametrize(
    "error",
    [
        StorageError("Not now.", reason="storage_locked"),
        KeyUnavailable("Not now.", reason="provider_down"),
        ExtractionFailed("Not now.", reason="child_timeout"),
    ],
)
def test_F12_F16_what_may_pass_is_tried_again(hall: Hall, error: SottovoceError) -> None:
    """A store, key provider or child that fails for a moment loses no acknowledged recording."""
    hall.grant()
    hall.submit()
    hall.extractor.failing = [error]
    first = hall.platform.work_next()
    assert first is not None
    assert (first.state, first.failure) == (RecordingState.RECEIVED, error.public_code)
    hall.advance(seconds=10)
    second = hall.platform.work_next()
    assert second is not None
    assert second.state is RecordingState.VERIFIED


def test_retry_takes_only_what_is_held(hall: Hall) -> None:
    hall.grant()
    queued = hall.submit().session_id
    for session_id in (queued, "ses_" + "z" * 24):
        with pytest.raises(NotFound):
            hall.platform.retry(session_id)
    with pytest.raises(UsageError):
        hall.platform.retry("not an id")


def test_C2a_a_held_recording_is_not_retried_without_consent(new_hall: Callable[..., Hall]) -> None:
    """A held recording is worked on again only while the person still agrees; a withdrawal discards it."""
    hall = new_hall(on_failure="hold")
    hall.grant(purposes=HOLDING)
    held = hall.submit().session_id
    hall.extractor.failing = [IntegrityError("x", reason="quarantine")]
    hall.platform.work_next()
    assert hall.recording(held).state is RecordingState.HELD  # type: ignore[union-attr]
    hall.platform.withdraw(subject="anna", purposes=[VOICE_ANALYSIS])
    assert hall.audio_left() == (0, 0)
    with pytest.raises(NotFound):
        hall.platform.retry(held)


@pytest.mark.parametrize("gone", [AUDIO_HOLD, RETENTION, VOICE_ANALYSIS])
def test_M36_a_retry_asks_for_every_consent_again(
    new_hall: Callable[..., Hall], monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """Held audio is tried again only while the person still agrees to everything that this needs, whatever became of
    the withdrawal."""
    hall = new_hall(on_failure="hold")
    hall.grant(purposes=HOLDING)
    held = hall.submit().session_id
    hall.extractor.failing = [IntegrityError("x", reason="quarantine")]
    hall.platform.work_next()
    monkeypatch.setattr("sottovoce.usecases.consent.mark_failed", lambda *_: False)
    hall.platform.withdraw(subject="anna", purposes=[gone])
    with pytest.raises(ConsentRequired, match=gone):
        hall.platform.retry(held)
    assert hall.recording(held).state is RecordingState.HELD  # type: ignore[union-attr]


def test_a_claim_by_name_takes_that_recording_and_no_other(hall: Hall) -> None:
    hall.grant()
    first, second = hall.submit().session_id, hall.submit().session_id
    queue = hall.platform._record._queue
    taken = queue.claim(second, caller=hall.caller)
    assert taken is not None
    assert (taken[0].id, taken[0].attempts) == (second, 1)
    assert queue.claim(second, caller=hall.caller) is None
    assert queue.claim("ses_" + "z" * 24, caller=hall.caller) is None
    following = queue.claim_next(caller=hall.caller)
    assert following is not None
    assert following[0].id == first


def test_F9_nothing_is_claimed_at_its_deadline(hall: Hall) -> None:
    """A recording whose time is over is left to the discard: no worker begins with it."""
    hall.grant()
    session = hall.submit().session_id
    hall.advance(hours=24)
    queue = hall.platform._record._queue
    assert queue.claim_next(caller=hall.caller) is None
    assert queue.claim(session, caller=hall.caller) is None
    assert hall.recording(session).attempts == 0  # type: ignore[union-attr]


def test_what_was_overtaken_is_not_put_back(hall: Hall) -> None:
    """A worker whose recording was taken from it changes nothing of it any more."""
    hall.grant()
    session = hall.submit().session_id
    queue = hall.platform._record._queue
    taken = queue.claim(session, caller=hall.caller)
    assert taken is not None
    hall.platform.withdraw(subject="anna", purposes=[VOICE_ANALYSIS])
    ended = hall.recording(session)
    assert queue.put_back(taken[0], "child_crashed", taken[1])
    assert hall.recording(session) == ended
    assert "recording.attempt_failed" not in hall.kinds_of_events()
