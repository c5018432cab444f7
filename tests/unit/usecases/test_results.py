"""A result before it is stored: its keys are made for what was measured, and none is left where it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from sottovoce.errors import ConsentRequired, ExtractionFailed, StorageError
from sottovoce.model.recording import RecordingState
from sottovoce.ports import Place
from sottovoce.usecases.keyring import Keyring

if TYPE_CHECKING:
    from conftest import Hall


def test_I1_a_worker_makes_keys_for_what_was_measured_and_leaves_none_behind(hall: Hall) -> None:
    """Where a result cannot be sealed, no key of it is left, and the recording is tried again."""
    hall.grant()
    session = hall.submit().session_id
    before = {row.key_id for row in hall.platform.keyring.rows()}
    sealing, made = hall.extractor.extract_sealed, []

    def failing(source: object, options: object, places: Callable[[], Sequence[Place]]) -> object:
        made.extend(place.key_id for place in places())
        assert all(hall.platform.keyring.exists(key_id) for key_id in made)
        raise ExtractionFailed("Not now.", reason="child_timeout")

    hall.extractor.extract_sealed = failing  # type: ignore[method-assign, assignment]
    outcome = hall.platform.work_next()
    assert outcome is not None
    assert outcome.state is RecordingState.RECEIVED
    assert len(made) == 3
    assert {row.key_id for row in hall.platform.keyring.rows()} == before
    hall.extractor.extract_sealed = sealing  # type: ignore[method-assign]
    hall.advance(seconds=10)
    again = hall.platform.work_next()
    assert again is not None
    assert again.state is RecordingState.VERIFIED
    assert hall.platform.show(session, purpose="subject_access").features is not None


def test_F24_an_erasure_while_a_worker_seals_wins(hall: Hall) -> None:
    """A person erased while a result of theirs is being sealed has no result and no key when both have ended."""
    hall.grant()
    hall.submit()

    def erased(source: object, options: object, places: Callable[[], Sequence[Place]]) -> object:
        hall.platform.erase(subject="anna")
        places()
        raise AssertionError("keys were made for a person who is erased")

    hall.extractor.extract_sealed = erased  # type: ignore[method-assign, assignment]
    outcome = hall.platform.work_next()
    assert outcome is not None
    assert outcome.failure is not None
    assert not [row for row in hall.platform.keyring.rows() if row.kind in ("record", "recording")]


def test_I3_keys_of_a_result_that_was_committed_are_never_forgotten(hall: Hall) -> None:
    """Where the answer of a commit was lost but the commit was not, the keys of the stored result stay."""
    hall.grant()
    session = hall.analyze().session_id
    row = hall.recording(session)
    assert row is not None
    with hall.database.read() as tx:
        ids = [record.id for record in tx.records.of_session(session)]
    hall.platform._record._results.forget(row, ids)
    assert all(hall.platform.keyring.exists(key_id) for key_id in ids)
    assert hall.platform.show(session, purpose="subject_access").features is not None


def test_where_keys_cannot_be_destroyed_now_the_cause_before_is_what_is_told(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector takes such keys later; the caller learns why there is no result."""
    hall.grant()
    hall.extractor.before = lambda: hall.platform.withdraw(subject="anna", purposes=["voice_analysis"])
    real = Keyring.destroy

    def failing(keyring: Keyring, key_ids: Sequence[str]) -> int:
        if any(key_id.startswith("rec_") for key_id in key_ids):
            raise StorageError("Not now.", reason="storage_locked")
        return real(keyring, key_ids)

    with monkeypatch.context() as patch:
        patch.setattr(Keyring, "destroy", failing)
        with pytest.raises(ConsentRequired):
            hall.analyze()
    hall.advance(hours=2)
    hall.platform.sweep()
    assert [row for row in hall.platform.keyring.rows() if row.kind == "record"] == []
