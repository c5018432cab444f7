"""Restriction, objection, legal hold and rectification: what they forbid, and what they never touch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sottovoce.errors import Conflict, ConsentRequired, NotFound, UsageError
from sottovoce.model.mark import REASONS, MarkKind
from sottovoce.model.purpose import CONSENT_PURPOSES, RETENTION
from sottovoce.model.recording import RecordingState

Hall = Any


def _mark(hall: Hall, kind: MarkKind, reason: str, subject: str = "anna", **given: Any) -> Any:
    return hall.platform.mark(subject=subject, kind=kind, reason=reason, caller=hall.caller, **given)


def _restrict(hall: Hall) -> Any:
    return _mark(hall, MarkKind.RESTRICTION, "accuracy_contested")


def _hold(hall: Hall, **given: Any) -> str:
    outcome = _mark(hall, MarkKind.HOLD, "legal_claims", asked_by="authority", note="case 12/26", **given)
    found: str = outcome.marks[0].id
    return found


def _show(hall: Hall, session_id: str, purpose: str = "subject_access") -> Any:
    return hall.platform.show(session_id, purpose=purpose, caller=hall.caller)


# --- restriction ------------------------------------------------------------------------------------------


def test_C12b_restricted_data_is_stored_and_used_for_nothing(hall: Hall) -> None:
    """While a person's data is restricted nothing but keeping it happens with it."""
    hall.grant(purposes=CONSENT_PURPOSES)
    session = hall.analyze().session_id
    _restrict(hall)
    for purpose in ("voice_analysis", "research_statistics", "model_training", "infer_age"):
        with pytest.raises(ConsentRequired) as refused:
            _show(hall, session, purpose)
        assert refused.value.reason == "restricted"
    for verb in (hall.analyze, hall.submit):
        with pytest.raises(ConsentRequired) as refused:
            verb()
        assert refused.value.reason == "restricted"
    hall.platform.unrestrict(subject="anna", caller=hall.caller)
    assert _show(hall, session, "voice_analysis").features is not None
    assert hall.analyze().retention.kept


def test_C12b_the_persons_own_rights_go_on_under_a_restriction(hall: Hall, tmp_path: Path) -> None:
    """A restriction never stands between a person and their own data."""
    hall.grant()
    session = hall.analyze().session_id
    _restrict(hall)
    assert _show(hall, session).features is not None
    assert hall.platform.sessions(subject="anna")[0].kept
    hall.platform.export_person(subject="anna", out=tmp_path / "a.zip", caller=hall.caller)
    hall.platform.withdraw(subject="anna", purposes=[RETENTION], caller=hall.caller)
    assert hall.platform.erase(subject="anna", caller=hall.caller).result == "erased"


def test_C12b_a_restriction_stops_what_is_under_way(hall: Hall) -> None:
    """A recording that is being analysed when its person's data is restricted gives no result."""
    hall.grant()
    submitted = hall.submit().session_id
    hall.extractor.before = lambda: _restrict(hall)
    with pytest.raises((Conflict, ConsentRequired)):
        hall.analyze()
    hall.extractor.before = None
    states = {one.id: (one.state, one.failure) for one in hall.recordings()}
    assert states[submitted] == (RecordingState.FAILED_SHREDDED, "restricted")
    assert {state for state, _ in states.values()} == {RecordingState.FAILED_SHREDDED}
    assert hall.audio_left() == (0, 0)
    assert hall.platform.work_next(caller=hall.caller) is None


def test_C10b_restricted_and_held_results_are_not_swept(hall: Hall) -> None:
    """What is restricted or under a legal hold stays when its time is over, and goes when that is lifted."""
    for subject in ("anna", "ben", "carl"):
        hall.grant(subject)
        hall.analyze(subject)
    _restrict(hall)
    held = _hold(hall, subject="ben")
    hall.advance(days=31)
    kept = hall.platform.sweep(caller=hall.caller).records_expired
    assert kept == 3  # carl's features, insight and decision
    assert hall.platform.fsck().findings == () or {f.code for f in hall.platform.fsck().findings} <= {
        "reserve_missing"
    }
    session = hall.recordings()[0].id
    assert _show(hall, session).features is not None  # not swept, so still the person's to see
    hall.platform.unrestrict(subject="anna", caller=hall.caller)
    hall.platform.lift(held, caller=hall.caller)
    assert hall.platform.sweep(caller=hall.caller).records_expired == 6


def test_audio_is_discarded_under_every_mark(hall: Hall) -> None:
    """No restriction and no legal hold lets audio live beyond the deadline that was promised."""
    hall.grant()
    hall.submit()
    _hold(hall)
    hall.advance(hours=25)
    assert hall.platform.sweep(caller=hall.caller).audio_discarded == 1
    assert hall.audio_left() == (0, 0)


# --- objection --------------------------------------------------------------------------------------------


def test_an_objection_forbids_its_purpose_and_no_other(hall: Hall) -> None:
    """A person who objects to research is left out of it; what they did not object to goes on."""
    hall.grant(purposes=CONSENT_PURPOSES)
    session = hall.analyze().session_id
    mark = _mark(hall, MarkKind.OBJECTION, "objection", purpose="anonymized_research").marks[0]
    assert mark.purpose == "research_statistics"
    with pytest.raises(ConsentRequired) as refused:
        _show(hall, session, "research_statistics")
    assert refused.value.reason == "objected"
    assert _show(hall, session, "model_training").features is not None
    hall.analyze()
    _mark(hall, MarkKind.OBJECTION, "objection")
    with pytest.raises(ConsentRequired):
        _show(hall, session, "model_training")
    hall.platform.lift(mark.id, caller=hall.caller)
    with pytest.raises(Conflict):
        hall.platform.lift(mark.id, caller=hall.caller)


# --- legal hold -------------------------------------------------------------------------------------------


def test_C12a_a_legal_hold_blocks_shredding_and_not_withdrawal(hall: Hall) -> None:
    """Under a legal hold a person can withdraw as ever; only destroying waits."""
    hall.grant()
    session = hall.analyze().session_id
    _hold(hall)
    outcome = hall.platform.withdraw(subject="anna", purposes=list(CONSENT_PURPOSES), caller=hall.caller)
    assert {state.status for state in outcome.states} == {"withdrawn"}
    hall.advance(days=1)
    hall.platform.sweep(caller=hall.caller)
    assert _show(hall, session).features is not None
    with pytest.raises(ConsentRequired):
        _show(hall, session, "voice_analysis")
    waits = hall.platform.erase(subject="anna", caller=hall.caller)
    assert waits.result == "held"
    assert _show(hall, session).features is not None


def test_C12a_the_person_sees_the_hold_with_its_basis(hall: Hall, tmp_path: Path) -> None:
    """A legal hold is shown to the person: who asked, since when, on what legal ground."""
    hall.grant()
    session = hall.analyze().session_id
    _hold(hall)
    (seen,) = hall.platform.marks(subject="anna")
    assert (seen.asked_by, seen.detail, seen.lifted_at) == ("authority", "case 12/26", None)
    assert "GDPR 17(3)(e)" in seen.basis
    assert "GDPR 17(3)(e)" in hall.platform.facts(session, caller=hall.caller).marks[0].basis
    answer = json.loads(hall.platform.erase(subject="anna", caller=hall.caller).receipt)["body"]
    assert answer["result"] == "held"
    assert "GDPR 17(3)(e)" in answer["holds"][0]["basis"]
    assert answer["holds"][0]["id"] == seen.id
    assert "lifted" in answer["remains"][0]["until"]


def test_C12a_an_erasure_that_waits_runs_by_itself_when_the_hold_is_lifted(hall: Hall) -> None:
    """Who asked to be erased during a legal hold is erased when it ends, without asking again."""
    hall.grant()
    hall.analyze()
    first, second = _hold(hall), _hold(hall)
    waits = hall.platform.erase(subject="anna", caller=hall.caller)
    again = hall.platform.erase(subject="anna", request_id=waits.request_id, caller=hall.caller)
    assert (again.result, again.request_id, again.receipt) == ("held", waits.request_id, waits.receipt)
    assert hall.platform.lift(first, caller=hall.caller).erasures_run == 0
    assert hall.platform.lift(second, caller=hall.caller).erasures_run == 1
    done = hall.platform.erase(subject="anna", request_id=waits.request_id, caller=hall.caller)
    assert done.result == "erased"
    with hall.database.read() as tx:
        assert tx.subjects.ids() == ()
        assert tx.marks.standing(MarkKind.ERASURE_WAITING) == ()
    assert [row for row in hall.platform.keyring.rows() if row.subject_id] == []


def test_C12a_a_lifted_hold_is_noticed_at_the_next_start_too(hall: Hall) -> None:
    """A kill between lifting a hold and the erasure that waited for it loses nothing."""
    hall.grant()
    session = hall.analyze().session_id
    other = hall.analyze().session_id
    held = _hold(hall)
    assert hall.platform.erase(subject="anna", session_id=session, caller=hall.caller).result == "held"
    with hall.database.begin() as tx:
        tx.marks.lift(held, at=tx.now())
    assert "erasure_waiting" in {one.code for one in hall.platform.fsck().findings}
    hall.platform.start()
    assert [one.id for one in hall.recordings()] == [other]
    assert "erasure_waiting" not in {one.code for one in hall.platform.fsck().findings}


def test_no_hold_is_placed_on_a_person_who_is_being_erased(hall: Hall) -> None:
    """An erasure that was promised before a legal hold wins over it."""
    hall.grant()
    hall.analyze()
    with hall.database.begin() as tx:
        tx.subjects.set_erasing(hall.recordings()[0].subject_id)
    with pytest.raises(Conflict) as refused:
        _hold(hall)
    assert refused.value.reason == "subject_erasing"


# --- rectification ----------------------------------------------------------------------------------------


def test_rectifying_the_id_keeps_the_person(hall: Hall) -> None:
    """A wrong id is corrected: everything is found under the right one, nothing under the wrong one."""
    hall.grant("ana")
    session = hall.analyze("ana").session_id
    hall.grant("ben")
    hall.platform.rectify(subject="ana", new_id="anna", caller=hall.caller)
    assert [one.session_id for one in hall.platform.sessions(subject="anna")] == [session]
    assert hall.platform.sessions(subject="ana") == ()
    assert _show(hall, session).features is not None
    with hall.database.read() as tx:
        person = hall.platform._record.people.find(tx, "anna")
        assert hall.platform._record.people.name_of(person) == "anna"
    with pytest.raises(Conflict) as refused:
        hall.platform.rectify(subject="anna", new_id="ben", caller=hall.caller)
    assert refused.value.reason == "subject_exists"
    with pytest.raises(NotFound):
        hall.platform.rectify(subject="ana", new_id="x", caller=hall.caller)


def test_a_persons_statement_stands_sealed_beside_the_data(hall: Hall) -> None:
    """What a person says of their data is kept beside it, as ciphertext, and shown to them."""
    hall.grant()
    session = hall.analyze().session_id
    words = "I had a cold that day."
    mark = _mark(hall, MarkKind.CORRECTION, "statement", session_id=session, note=words).marks[0]
    assert mark.detail == words
    with hall.database.read() as tx:
        stored = tx.marks.get(mark.id)
    assert words.encode() not in stored.detail
    assert hall.platform.marks(subject="anna")[0].detail == words
    with pytest.raises(NotFound):
        hall.platform.lift(mark.id, caller=hall.caller)  # a statement is not lifted
    with pytest.raises(NotFound):
        _mark(hall, MarkKind.CORRECTION, "statement", session_id="ses_" + "a" * 24, note=words)


def test_every_act_is_in_the_log(hall: Hall) -> None:
    hall.grant()
    _restrict(hall)
    hall.platform.unrestrict(subject="anna", caller=hall.caller)
    hall.platform.rectify(subject="anna", new_id="anna-2", caller=hall.caller)
    held = _hold(hall, subject="anna-2")
    hall.platform.erase(subject="anna-2", caller=hall.caller)
    hall.platform.lift(held, caller=hall.caller)
    kinds = [kind for kind in hall.kinds_of_events() if kind.split(".")[0] in ("mark", "person", "erasure")]
    assert kinds == [
        "mark.placed", "mark.lifted", "person.rectified", "mark.placed", "erasure.waits", "mark.lifted",
        "erasure.promised", "erasure.completed",
    ]  # fmt: skip


def test_unknown_people_reasons_and_askers_are_refused(hall: Hall) -> None:
    hall.grant()
    for kind in MarkKind:
        assert REASONS[kind]
    with pytest.raises(NotFound):
        _mark(hall, MarkKind.HOLD, "legal_claims", subject="nobody")
    with pytest.raises(NotFound):
        hall.platform.marks(subject="nobody")
    with pytest.raises(NotFound):
        hall.platform.unrestrict(subject="anna", caller=hall.caller)
    for given in ({"reason": "because"}, {"reason": "legal_claims", "asked_by": "a friend"}):
        with pytest.raises(UsageError):
            _mark(hall, MarkKind.HOLD, **given)
    with pytest.raises(UsageError):
        _mark(hall, MarkKind.HOLD, "legal_claims", purpose="voice_analysis")
    with pytest.raises(UsageError):
        _mark(hall, MarkKind.CORRECTION, "statement", note="x" * 5000)


# --- the erasure receipt ----------------------------------------------------------------------------------


def test_C11c_the_receipt_lists_stores_objects_versions_counts_and_what_remains(hall: Hall) -> None:
    """The receipt of an erasure names what was in each store, each object with its version, and what remains."""
    hall.grant()
    session = hall.analyze().session_id
    with hall.database.read() as tx:
        records = {(one.id, one.kind) for one in tx.records.of_session(session)}
        subject = tx.subjects.ids()[0]
        rows = tx.rows_of(subject)
    keys = len(list(hall.platform.keyring.rows(subject_id=subject)))
    body = json.loads(hall.platform.erase(subject="anna", caller=hall.caller).receipt)["body"]
    objects = {(one["id"], one["kind"]) for one in body["found"]["objects"]}
    assert records <= objects
    assert body["found"]["objects_in_all"] == 3
    assert all(one["version"] and one["session_id"] == session for one in body["found"]["objects"])
    stores = {(line["store"], line["object"]): line["count"] for line in body["stores"]}
    assert stores["key store", "keys"] == keys
    assert {table: stores["database", table] for table in rows} == rows
    assert {"what", "why", "until"} == set(body["remains"][0])
    assert any("epoch" in line["until"] for line in body["remains"])
    assert any("statistics" in line["what"] for line in body["remains"])
    assert body["key_destruction"]


def test_C11c_the_receipt_tells_of_all_of_it_after_an_interruption(hall: Hall) -> None:
    """An erasure that was interrupted after its keys were gone still says in its receipt how many there were."""
    hall.grant()
    hall.analyze()
    rights = hall.platform._rights
    with hall.database.read() as tx:
        subject = tx.subjects.ids()[0]
    keys = len(list(hall.platform.keyring.rows(subject_id=subject)))
    request = rights._promise("anna", None, None, caller=hall.caller)
    rights._destroy_keys(request)  # and then a kill
    assert rights.resume(caller=hall.caller) == 1
    with hall.database.read() as tx:
        done = tx.requests.get(request.id)
    body = json.loads(done.receipt)["body"]
    assert body["found"]["keys"] == keys
    assert body["found"]["objects_in_all"] == 3
    assert done.inventory is None
