"""The promise of an erasure: written once, whole, and before anything is destroyed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sottovoce.adapters.memory.sessions import MemoryRecordings
from sottovoce.errors import Conflict
from sottovoce.model.mark import Mark, MarkKind
from sottovoce.model.request import ErasureRequest
from sottovoce.usecases.erasure_requests import sessions_of

if TYPE_CHECKING:
    from conftest import Hall


def promise(
    hall: Hall, *, session_id: str | None = None, request_id: str | None = None
) -> ErasureRequest | Mark | None:
    """tx-e1 and nothing after it."""
    rights = hall.platform._rights
    with rights.promises.begin() as tx:
        person = rights.people.find(tx, "anna")
        return rights._requests.promise(tx, person, session_id, request_id, caller=hall.caller)


def test_I10_a_promise_is_whole_and_destroys_nothing(hall: Hall) -> None:
    """The promise of an erasure has its tombstone, its job, its inventory and its entry in the log; until it is carried
    out nothing is gone."""
    hall.grant()
    hall.analyze()
    hall.submit()
    keys = len(list(hall.platform.keyring.rows()))
    request = promise(hall)
    assert isinstance(request, ErasureRequest)
    found = json.loads(request.inventory or "")
    assert (found["sessions"], found["bodies"], found["objects_in_all"]) == (2, 1, 3)
    with hall.database.read() as tx:
        assert [stone.id for stone in tx.requests.tombstones()] == [request.subject_id]
        assert [job.ref for job in tx.jobs.due("erase", at=tx.now(), limit=9)] == [request.id]
        assert [one.id for one in tx.requests.unfinished()] == [request.id]
    assert {row.erase_request_id for row in hall.recordings()} == {request.id}
    assert len(list(hall.platform.keyring.rows())) == keys
    assert hall.audio_left() == (1, 1)
    assert "erasure.promised" in hall.kinds_of_events()


def test_C11d_a_person_who_asks_twice_is_promised_once(hall: Hall) -> None:
    """Asked again before it is done, an erasure is the same erasure, under the id of its first request."""
    hall.grant()
    first = promise(hall, request_id="req_" + "b" * 24)
    assert promise(hall, request_id="req_" + "c" * 24) == first
    assert hall.kinds_of_events().count("erasure.promised") == 1


def test_C12a_an_erasure_under_a_hold_is_put_off_once_for_each_thing_asked_for(hall: Hall) -> None:
    """While a legal hold stands an erasure waits, is written down once however often it is asked for, and destroys
    nothing; one session and the whole person are two requests."""
    hall.grant()
    session = hall.analyze().session_id
    hall.platform.mark(subject="anna", kind=MarkKind.HOLD, reason="legal_claims")
    whole, again, one = promise(hall), promise(hall), promise(hall, session_id=session)
    assert isinstance(whole, Mark)
    assert isinstance(one, Mark)
    assert again == whole
    assert (whole.session_id, one.session_id) == (None, session)
    assert whole.request_id != one.request_id
    assert hall.kinds_of_events().count("erasure.waits") == 2
    with hall.database.read() as tx:
        assert tx.requests.unfinished() == ()


def test_F24_a_session_that_changes_under_the_promise_is_not_promised(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a recording could not be taken from whoever works on it, nothing is promised, and asking again helps."""
    hall.grant()
    hall.submit()
    with monkeypatch.context() as patch:
        patch.setattr(MemoryRecordings, "swap", lambda *_, **__: False)
        with pytest.raises(Conflict):
            promise(hall)
    with hall.database.read() as tx:
        assert tx.requests.unfinished() == ()
        assert tx.requests.tombstones() == ()
    assert isinstance(promise(hall), ErasureRequest)


def test_M33_a_session_belongs_to_its_person(hall: Hall) -> None:
    """A session is found with the person it is of, and with nobody else."""
    hall.grant()
    hall.grant("berta")
    first, second = hall.analyze().session_id, hall.analyze().session_id
    with hall.database.read() as tx:
        people = hall.platform._record.people
        anna, berta = people.find(tx, "anna"), people.find(tx, "berta")
        assert {row.id for row in sessions_of(tx, anna, None)} == {first, second}
        assert [row.id for row in sessions_of(tx, anna, first)] == [first]
        assert sessions_of(tx, berta, first) == ()
        assert sessions_of(tx, None, first) == ()
