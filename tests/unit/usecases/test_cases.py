"""Requests of data subjects as cases: clocks, reasons, identity, kills in the middle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce.errors import Conflict, NotFound, StorageError, UsageError
from sottovoce.model.mark import MarkKind
from sottovoce.model.request import CaseKind, CaseState
from sottovoce.sealing import receipt as receipts
from sottovoce.usecases.cases import Asked

Hall = Any


def _open(hall: Hall, kind: CaseKind = CaseKind.ACCESS, subject: str = "anna", **given: Any) -> Any:
    return hall.platform.open_request(subject=subject, kind=kind, caller=hall.caller, **given)


def _close(hall: Hall, case: Any, outcome: str = "fulfilled") -> Any:
    return hall.platform.close_request(case.id, outcome=outcome, caller=hall.caller)


def _receipt(hall: Hall, case: Any) -> dict[str, Any]:
    with hall.database.read() as tx:
        text = tx.cases.get(case.id).receipt
    receipts.verify(text, trusted=receipts.trusted_keys(hall.platform.identity()))
    body: dict[str, Any] = json.loads(text)["body"]
    return body


# --- clocks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "due", "extended"),
    [
        ("gdpr.request", datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)),
        ("ccpa.request", datetime(2026, 2, 15, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)),
        ("pipeda.access", datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)),
    ],
)
def test_C14a_a_case_shows_when_it_is_due_and_when_it_is_overdue(
    hall: Hall, law: str, due: datetime, extended: datetime
) -> None:
    """Each request shows until when it has to be answered under its law, and that it is overdue after that."""
    hall.grant()
    case = _open(hall, law=law)
    assert (case.due_at, case.overdue) == (due, False)
    longer = hall.platform.extend_request(case.id, reason="complexity", caller=hall.caller)
    assert (longer.due_at, longer.extended) == (extended, True)
    hall.clock.advance(extended - hall.clock.now())
    assert not hall.platform.request(case.id).overdue
    hall.advance(seconds=1)
    assert [one.overdue for one in hall.platform.requests()] == [True]


def test_C14a_an_extension_needs_a_reason_comes_once_and_in_time(hall: Hall) -> None:
    """More time is taken once, for a reason from a list, and only while the first time limit still runs."""
    hall.grant()
    case = _open(hall)
    with pytest.raises(UsageError):
        hall.platform.extend_request(case.id, reason="holidays", caller=hall.caller)
    hall.platform.extend_request(case.id, reason="number_of_requests", caller=hall.caller)
    with pytest.raises(Conflict) as refused:
        hall.platform.extend_request(case.id, reason="complexity", caller=hall.caller)
    assert refused.value.reason == "extension_used"
    late = _open(hall)
    hall.advance(days=32)
    with pytest.raises(Conflict) as refused:
        hall.platform.extend_request(late.id, reason="complexity", caller=hall.caller)
    assert refused.value.reason == "extension_late"


def test_C14a_a_refusal_needs_a_reason_and_is_said_in_a_receipt(hall: Hall) -> None:
    """Nobody is refused without a reason from a list; the signed answer names it."""
    hall.grant()
    case = _open(hall, CaseKind.ERASURE)
    with pytest.raises(UsageError):
        hall.platform.refuse_request(case.id, reason="", caller=hall.caller)
    ended = hall.platform.refuse_request(case.id, reason="identity_not_proven", caller=hall.caller)
    assert (ended.state, ended.refusal_reason) == ("refused", "identity_not_proven")
    body = _receipt(hall, case)
    assert "doubts" in body["refusal_reason"]
    assert body["outcome"] is None
    assert body["in_time"] is True
    for again in (
        lambda: hall.platform.refuse_request(case.id, reason="excessive", caller=hall.caller),
        lambda: hall.platform.extend_request(case.id, reason="complexity", caller=hall.caller),
        lambda: _close(hall, case),
    ):
        with pytest.raises(Conflict) as refused:
            again()
        assert refused.value.reason == "case_ended"
    assert hall.platform.sessions(subject="anna") == ()
    assert hall.platform.consents(subject="anna")


def test_a_request_that_came_by_letter_counts_from_its_receipt(hall: Hall) -> None:
    hall.grant()
    before = hall.clock.now() - timedelta(days=40)
    assert _open(hall, received_at=before).overdue
    with pytest.raises(UsageError):
        _open(hall, received_at=hall.clock.now() + timedelta(seconds=1))


def test_M37_overdue_requests_are_seen_by_doctor(hall: Hall) -> None:
    """A request that was not answered in time is a failed check of the home."""
    hall.grant()

    def check() -> str:
        return next(one.state for one in hall.platform.doctor() if one.name == "requests")

    assert check() == "ok"
    _open(hall)
    assert check() == "ok"
    _open(hall, law="hipaa.accounting")
    assert check() == "warn"  # that clock was never checked against the text of the law
    hall.advance(days=32)
    assert check() == "fail"


# --- doing it ---------------------------------------------------------------------------------------------


def test_M37_only_what_was_done_is_called_fulfilled(hall: Hall, tmp_path: Path) -> None:
    """A request is closed as fulfilled only if this home can show that it was done after it came in."""
    hall.grant()
    hall.analyze()
    doing = {
        CaseKind.ACCESS: lambda: hall.platform.export_person(
            subject="anna", out=tmp_path / "a.zip", caller=hall.caller
        ),
        CaseKind.PORTABILITY: lambda: hall.platform.export_person(
            subject="anna", out=tmp_path / "b.zip", caller=hall.caller
        ),
        CaseKind.RESTRICTION: lambda: hall.platform.mark(
            subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested", caller=hall.caller
        ),
        CaseKind.OBJECTION: lambda: hall.platform.mark(
            subject="anna", kind=MarkKind.OBJECTION, reason="objection", caller=hall.caller
        ),
        CaseKind.RECTIFICATION: lambda: hall.platform.mark(
            subject="anna", kind=MarkKind.CORRECTION, reason="statement", note="no", caller=hall.caller
        ),
    }
    for kind, act in doing.items():
        act()  # done before: it does not count
        hall.advance(seconds=1)
        case = _open(hall, kind)
        with pytest.raises(Conflict) as refused:
            _close(hall, case)
        assert refused.value.reason == "not_done"
        with pytest.raises(Conflict):
            _close(hall, case, "nothing_held")
        hall.advance(seconds=1)
        if kind in (CaseKind.ACCESS, CaseKind.PORTABILITY):
            (tmp_path / "a.zip").unlink(missing_ok=True)
            (tmp_path / "b.zip").unlink(missing_ok=True)
        act()
        assert _close(hall, case).state == "closed"
    assert _close(hall, _open(hall, CaseKind.HUMAN_REVIEW)).state == "closed"
    assert _close(hall, _open(hall), "taken_back").outcome == "taken_back"


def test_M37_closing_an_erasure_carries_it_out(hall: Hall) -> None:
    """A request to be erased is closed by erasing; its receipt names the erasure, which stands on its own."""
    hall.grant()
    hall.analyze()
    case = _open(hall, CaseKind.ERASURE, proof="account page")
    ended = _close(hall, case)
    assert (ended.state, ended.identity_kept) == ("closed", False)
    with hall.database.read() as tx:
        assert tx.subjects.ids() == ()
        assert tx.requests.get(case.request_id).receipt is not None
    assert _receipt(hall, case)["erasure_request_id"] == case.request_id
    assert hall.platform.request(case.id).state == "closed"
    assert [row for row in hall.platform.keyring.rows() if row.subject_id] == []
    kinds = hall.kinds_of_events()
    assert kinds.index("request.opened") < kinds.index("erasure.completed") < kinds.index("request.closed")


def test_an_erasure_of_one_session_leaves_the_rest(hall: Hall) -> None:
    hall.grant()
    first, second = hall.analyze().session_id, hall.analyze().session_id
    _close(hall, _open(hall, CaseKind.ERASURE, session_id=first))
    assert [one.id for one in hall.recordings()] == [second]
    with pytest.raises(NotFound):
        _open(hall, CaseKind.ERASURE, session_id=first)


def test_C12a_an_erasure_case_waits_for_a_legal_hold_and_ends_by_itself(hall: Hall) -> None:
    """A request to be erased stays visible while a legal hold stands, and ends when it is lifted."""
    hall.grant()
    hall.analyze()
    held = hall.platform.mark(
        subject="anna", kind=MarkKind.HOLD, reason="legal_claims", caller=hall.caller
    ).marks[0]
    case = _open(hall, CaseKind.ERASURE)
    assert _close(hall, case).state == "closing"
    assert _close(hall, case).state == "closing"
    assert [one.id for one in hall.platform.requests()] == [case.id]
    hall.platform.lift(held.id, caller=hall.caller)
    assert hall.platform.request(case.id).state == "closed"
    assert hall.platform.requests() == ()


def test_C5b_somebody_without_consents_and_somebody_unknown_can_ask(hall: Hall) -> None:
    """Everybody can ask, also without any consent and also if nothing is held of them."""
    unknown = _open(hall, subject="nobody", proof="passport")
    assert (unknown.known, unknown.identity_kept) == (False, False)  # nothing is stored of a stranger
    with pytest.raises(Conflict):
        _close(hall, unknown)
    assert _close(hall, unknown, "nothing_held").outcome == "nothing_held"
    hall.platform.refuse(subject="anna", purposes=["voice_recording"], caller=hall.caller)
    assert _open(hall).known


# --- identity ---------------------------------------------------------------------------------------------


def test_F13_a_lost_answer_of_the_commit_keeps_the_proof_of_an_opened_case(hall: Hall) -> None:
    """Where a request was recorded and only the answer got lost, the proof of identity can still be opened."""

    class LosesAnswers:
        def __init__(self, database: Any) -> None:
            self._database = database

        def __getattr__(self, name: str) -> Any:
            return getattr(self._database, name)

        @contextmanager
        def begin(self) -> Iterator[Any]:
            with self._database.begin() as tx:
                yield tx
            raise StorageError("The connection ended.", reason="storage")

    hall.grant()
    cases = replace(hall.platform._cases, database=LosesAnswers(hall.database))
    asked = Asked(subject="anna", kind=CaseKind.ACCESS, identity="document", proof="passport L01X00T47")
    with pytest.raises(StorageError):
        cases.open(asked, caller=hall.caller)
    with hall.database.read() as tx:
        (case,) = tx.cases.unfinished()
    assert hall.platform.keyring.exists(case.identity_key_id)


@pytest.mark.parametrize("ending", ["closed", "refused", "erased"])
def test_C14b_the_proof_of_identity_dies_with_the_case(hall: Hall, ending: str) -> None:
    """What a person showed to prove who they are is sealed, and destroyed when the request ends, whatever its end."""
    hall.grant()
    kind = CaseKind.ERASURE if ending == "erased" else CaseKind.HUMAN_REVIEW
    case = _open(hall, kind, identity="document", proof="passport L01X00T47")
    with hall.database.read() as tx:
        stored = tx.cases.get(case.id)
    assert b"L01X00T47" not in stored.identity
    assert hall.platform.keyring.exists(stored.identity_key_id)
    hall.advance(hours=2)
    assert hall.platform.sweep(caller=hall.caller).orphan_keys == 0  # the collector leaves it alone
    assert "key_without_data" not in {one.code for one in hall.platform.fsck().findings}
    if ending == "refused":
        hall.platform.refuse_request(case.id, reason="excessive", caller=hall.caller)
    else:
        _close(hall, case)
    assert not hall.platform.keyring.exists(stored.identity_key_id)
    with hall.database.read() as tx:
        after = tx.cases.get(case.id)
    assert (after.identity, after.identity_key_id) == (None, None)


def test_C14b_identity_is_checked_in_proportion(hall: Hall) -> None:
    """A stranger gets nobody's data, and nobody has to show a passport to object."""
    hall.grant()
    for kind in (CaseKind.ACCESS, CaseKind.ERASURE, CaseKind.PORTABILITY):
        with pytest.raises(UsageError) as refused:
            _open(hall, kind, identity="none")
        assert refused.value.reason == "identity_too_little"
    for kind in (CaseKind.OBJECTION, CaseKind.RESTRICTION):
        with pytest.raises(UsageError) as refused:
            _open(hall, kind, identity="document")
        assert refused.value.reason == "identity_too_much"
        assert _open(hall, kind, identity="none").identity_method == "none"
    with pytest.raises(UsageError):
        _open(hall, identity="fingerprint")
    rows = [row for row in hall.platform.keyring.rows() if row.kind == "record"]
    assert rows == []


def test_a_case_that_could_not_be_written_leaves_no_key(hall: Hall) -> None:
    hall.grant()
    hall.database.disk_full = True
    keys = len(list(hall.platform.keyring.rows()))
    with pytest.raises(StorageError):
        _open(hall, proof="x")
    assert len(list(hall.platform.keyring.rows())) == keys


# --- kills ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["erase_person", "destroy", "publish_text"])
def test_C14b_a_case_that_was_killed_in_the_middle_is_resumed(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A crash while a request is being carried out loses nothing: the next start brings it to its end, once."""
    hall.grant()
    hall.analyze()
    case = _open(hall, CaseKind.ERASURE, proof="x")
    owner = {
        "erase_person": type(hall.platform._rights),
        "destroy": type(hall.platform.keyring),
        "publish_text": type(hall.platform._receipts),
    }[step]

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, step, killed)
        with pytest.raises(KeyboardInterrupt):
            _close(hall, case)
    hall.platform.start()
    ended = hall.platform.request(case.id)
    assert (ended.state, ended.identity_kept) == ("closed", False)
    with hall.database.read() as tx:
        assert tx.subjects.ids() == ()
    assert hall.kinds_of_events().count("request.closed") == 1


def test_C14b_a_sweep_finishes_what_was_decided_too(hall: Hall) -> None:
    """Where a service runs for long, what was decided and interrupted is finished by the next sweep."""
    hall.grant()
    case = _open(hall, CaseKind.HUMAN_REVIEW, proof="x")
    with hall.database.begin() as tx:
        stored = tx.cases.get(case.id)
        closing = replace(stored, state=CaseState.CLOSING, outcome="fulfilled")
        assert tx.cases.swap(closing, expected=stored)
    hall.platform.sweep(dry_run=True, caller=hall.caller)
    assert hall.platform.request(case.id).state == "closing"
    hall.platform.sweep(caller=hall.caller)
    assert (hall.platform.request(case.id).state, hall.platform.request(case.id).identity_kept) == (
        "closed",
        False,
    )


def test_two_who_end_the_same_case_end_it_once(hall: Hall) -> None:
    hall.grant()
    case = _open(hall, CaseKind.HUMAN_REVIEW)
    cases = hall.platform._cases
    with hall.database.begin() as tx:
        current = tx.cases.get(case.id)
    ended = _close(hall, case)
    assert cases._finish(current, caller=hall.caller).ended_at == ended.ended_at
    with pytest.raises(NotFound):
        hall.platform.request("cas_" + "a" * 24)
    with pytest.raises(UsageError):
        hall.platform.request("anna")
    assert [one.id for one in hall.platform.requests(everything=True)] == [case.id]
    assert hall.platform.requests() == ()
