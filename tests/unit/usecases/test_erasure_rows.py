"""Rows of the design about erasing, where the tests beside it left a gap: C11a and F24."""

from __future__ import annotations

from typing import Any

import pytest

from sottovoce.adapters.memory import MemoryUnitOfWork
from sottovoce.errors import Conflict, ConsentRequired, StorageError
from sottovoce.usecases.keyring import Keyring

Hall = Any


@pytest.mark.parametrize("left", ["keys", "rows"])
@pytest.mark.parametrize("whole", [True, False])
def test_C11a_erased_is_said_of_nothing_whose_keys_or_rows_are_left(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, left: str, whole: bool
) -> None:
    """While a key or a row of what was to be erased is there, no receipt says that it is gone; it is tried again."""
    hall.grant()
    session = None if whole else hall.analyze().session_id
    hall.submit()
    if session is None:
        hall.analyze()
    with monkeypatch.context() as patch:
        if left == "keys":
            patch.setattr(Keyring, "destroy_subject", lambda *_: 0)
            patch.setattr(Keyring, "destroy", lambda *_: 0)
        else:
            patch.setattr(MemoryUnitOfWork, "erase_rows", lambda *_: {})
            patch.setattr(MemoryUnitOfWork, "erase_session_rows", lambda *_: {})
        with pytest.raises(StorageError) as refused:
            hall.platform.erase(subject="anna", session_id=session, caller=hall.caller)
        assert refused.value.reason == "erasure_incomplete"
    with hall.database.read() as tx:
        (request,) = tx.requests.unfinished()
        assert request.receipt is None
    hall.platform.sweep(caller=hall.caller)
    with hall.database.read() as tx:
        done = tx.requests.get(request.id)
        assert tx.requests.unfinished() == ()
    assert done is not None
    assert done.receipt is not None


@pytest.mark.parametrize("shape", ["submit", "analyze"])
@pytest.mark.parametrize("whole", [True, False])
def test_F24_work_that_ends_after_the_promise_and_before_the_erasure_commits_nothing(
    hall: Hall, shape: str, whole: bool
) -> None:
    """Once an erasure is promised no result is stored of what it covers, however slowly it is carried out."""
    hall.grant()

    def promise() -> None:
        session = None if whole else hall.recordings()[0].id
        hall.platform._rights._promise("anna", session, None, caller=hall.caller)

    hall.extractor.before = promise
    if shape == "submit":
        hall.submit()
        hall.platform.work_next(caller=hall.caller)
    else:
        with pytest.raises((Conflict, ConsentRequired)):
            hall.analyze()
    with hall.database.read() as tx:
        assert [tx.records.of_session(one.id) for one in hall.recordings()] == [()]
    hall.extractor.before = None
    hall.platform.sweep(caller=hall.caller)
    assert hall.recordings() == ()
    assert [row for row in hall.platform.keyring.rows() if row.kind in ("record", "recording")] == []
    assert hall.audio_left() == (0, 0)
