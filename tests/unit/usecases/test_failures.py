"""What becomes of a recording that gives no result, and in which words that is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sottovoce.errors import (
    AudioRejected,
    Conflict,
    ConsentRequired,
    ExtractionFailed,
    IntegrityError,
    KeyUnavailable,
    SottovoceError,
    StorageError,
)
from sottovoce.model.purpose import AUDIO_HOLD, RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import RecordingState
from sottovoce.usecases.discard import Discard
from sottovoce.usecases.failures import code_of, is_transient, overtaken

if TYPE_CHECKING:
    from conftest import Hall

HOLDING = (VOICE_RECORDING, VOICE_ANALYSIS, RETENTION, AUDIO_HOLD)


def test_F15_a_body_that_does_not_open_gives_no_features(new_hall: Callable[..., Hall]) -> None:
    """A stored body that was changed is not tried again and never held: it is shredded, and the log says why."""
    hall = new_hall(on_failure="hold")
    hall.grant(purposes=HOLDING)
    hall.submit()
    hall.extractor.failing = [IntegrityError("The body does not open.")]
    outcome = hall.platform.work_next()
    assert outcome is not None
    assert (outcome.state, outcome.failure) == (RecordingState.FAILED_SHREDDED, "integrity")


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ExtractionFailed("x", reason="child_timeout"), True),
        (StorageError("x", reason="storage_locked"), True),
        (KeyUnavailable("x", reason="provider_down"), True),
        (KeyUnavailable("x", reason="key_destroyed"), False),
        (AudioRejected("x", reason="decode_failed"), False),
        (ConsentRequired("x"), False),
        (IntegrityError("x"), False),
        (Conflict("x", reason="overtaken"), False),
    ],
)
def test_F12_F16_only_what_is_not_the_recordings_fault_is_tried_again(
    error: SottovoceError, transient: bool
) -> None:
    """A store, key provider or child that failed is tried again; a recording, consent or key that is gone is not."""
    assert is_transient(error) == transient


def test_a_failure_is_written_down_by_its_code_alone() -> None:
    assert code_of(AudioRejected("Something private.", reason="decode_failed")) == "decode_failed"
    assert code_of(RuntimeError("Something private.")) == "interrupted"
    assert code_of(KeyboardInterrupt()) == "interrupted"


def test_who_was_overtaken_is_told_by_whom(hall: Hall) -> None:
    hall.grant()
    hall.submit()
    (row,) = hall.recordings()
    assert overtaken(None).public_code == "subject_erasing"
    assert overtaken(replace(row, erase_request_id="req_" + "a" * 24)).public_code == "subject_erasing"
    assert isinstance(overtaken(replace(row, failure=ConsentRequired.code)), ConsentRequired)
    both = replace(row, failure=ConsentRequired.code, erase_request_id="req_" + "a" * 24)
    assert overtaken(both).public_code == "subject_erasing"  # an erasure is what counts
    assert overtaken(replace(row, failure="decode_failed")).public_code == "overtaken"


def test_C9c_where_giving_up_fails_too_the_first_cause_is_told_and_the_sweep_ends_it(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording whose discard fails as well is told of by what went wrong first, and is brought to its end later."""
    hall.grant()
    hall.extractor.failing = [AudioRejected("No.", reason="decode_failed")]

    def failing(*_: object, **__: object) -> object:
        raise StorageError("Not now.", reason="storage_locked")

    with monkeypatch.context() as patch:
        patch.setattr(Discard, "fail", failing)
        with pytest.raises(AudioRejected):
            hall.analyze()
    assert not hall.recordings()[0].ended
    hall.adapters.liveness.close()  # type: ignore[attr-defined]
    hall.platform.sweep()
    assert hall.recordings()[0].state is RecordingState.FAILED_SHREDDED
