"""Rows of the design about keeping and stopping: C10b, C10c, F9, F16, F27, F32, each by its id."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sottovoce.errors import ConsentRequired
from sottovoce.model.job import Job
from sottovoce.model.mark import MarkKind
from sottovoce.model.purpose import RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import RecordingState
from sottovoce.usecases import retention

Hall = Any


def _records(hall: Hall) -> int:
    with hall.database.read() as tx:
        sessions = [one.id for person in tx.subjects.ids() for one in tx.recordings.of_subject(person)]
        return sum(
            len(tx.records.of_session(one)) + len(tx.records.decisions_of_session(one)) for one in sessions
        )


def _record_keys(hall: Hall) -> int:
    return sum(row.kind == "record" for row in hall.platform.keyring.rows())


# --- C10b: what is swept and what is not ------------------------------------------------------------------


def test_C10b_failed_held_and_orphaned_audio_is_swept_in_every_state(new_hall: Callable[..., Hall]) -> None:
    """Audio of failed, held and forgotten recordings, and of recordings that nobody knows: all of it goes."""
    hall = new_hall(on_failure="hold")
    hall.grant(purposes=(VOICE_RECORDING, VOICE_ANALYSIS, RETENTION, "audio_hold"))
    from sottovoce.errors import AudioRejected

    held = hall.submit().session_id
    hall.extractor.failing = [AudioRejected(reason="header_invalid")]
    hall.platform.work_next()
    assert hall.recording(held).state is RecordingState.HELD
    hall.submit()  # never worked on
    with hall.bodies.writer("ses_" + "o" * 24) as writer:  # a body that no recording knows
        writer.write(b"sealed, and nobody's")
    assert len(list(hall.bodies.list())) == 3
    hall.advance(days=8)
    report = hall.platform.sweep(caller=hall.caller)
    assert (report.audio_discarded, report.orphan_bodies) == (2, 1)
    assert list(hall.bodies.list()) == []
    assert hall.audio_left() == (0, 0)
    assert {one.state for one in hall.recordings()} == {RecordingState.FAILED_SHREDDED}


@pytest.mark.parametrize("mark", [MarkKind.HOLD, MarkKind.RESTRICTION])
def test_C10b_a_hold_that_comes_between_finding_and_destroying_wins(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, mark: MarkKind
) -> None:
    """A legal hold or restriction placed while a sweep is under way still keeps what was not destroyed yet."""
    hall.grant()
    hall.analyze()
    hall.advance(days=31)
    real, reasons = retention.due, {MarkKind.HOLD: "legal_claims", MarkKind.RESTRICTION: "accuracy_contested"}
    placed: list[Any] = []

    def found(*given: Any, **named: Any) -> Any:
        answer = real(*given, **named)
        if answer and not placed:
            placed.append(mark)
            monkeypatch.setattr(retention, "due", real)
            after.append(
                lambda: hall.platform.mark(
                    subject="anna", kind=mark, reason=reasons[mark], caller=hall.caller
                )
            )
        return answer

    after: list[Callable[[], Any]] = []
    scribes = retention.RetentionSweep._scribes

    def meanwhile(sweep: Any, *given: Any, **named: Any) -> Any:
        while after:
            after.pop()()
        return scribes(sweep, *given, **named)

    monkeypatch.setattr(retention, "due", found)
    monkeypatch.setattr(retention.RetentionSweep, "_scribes", meanwhile)
    assert hall.platform.sweep(caller=hall.caller).records_expired == 0
    assert placed == [mark]
    assert (_records(hall), _record_keys(hall)) == (3, 3)


# --- C10c: alarm, resumption, clocks ----------------------------------------------------------------------


def test_C10c_an_overdue_item_is_an_alarm_then_swept(hall: Hall) -> None:
    """What is past its day is counted and warned about until it is swept, and the sweep says how much it was."""
    hall.grant()
    hall.analyze()
    hall.submit()

    def state(name: str) -> str:
        return next(one.state for one in hall.platform.doctor() if one.name == name)

    assert state("overdue") == "ok"
    hall.advance(days=31)
    assert state("overdue") == "warn"
    overdue = {row.kind.id: row.overdue for row in hall.platform.retention() if row.overdue}
    assert overdue == {"audio": 1, "features": 1, "insight": 1, "decision": 1}
    report = hall.platform.sweep(caller=hall.caller)
    assert (report.overdue, report.audio_discarded, report.records_expired) == (1, 1, 3)
    assert state("overdue") == "ok"
    assert not any(row.overdue for row in hall.platform.retention())


@pytest.mark.parametrize("step", ["before keys", "after keys", "between kinds"])
def test_C10c_a_killed_sweep_resumes(hall: Hall, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A sweep that was killed in the middle is finished by the next one; nothing that was due can be read meanwhile."""
    hall.grant()
    sessions = [hall.analyze().session_id for _ in range(3)]
    hall.advance(days=31)
    keyring = hall.platform.keyring
    destroy, calls = type(keyring).destroy, []

    def killed(self: Any, ids: Any) -> int:
        calls.append(ids)
        if step == "before keys":
            raise SystemExit(137)
        done: int = destroy(self, ids)
        if step == "after keys" or len(calls) == 2:
            raise SystemExit(137)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(type(keyring), "destroy", killed)
        with pytest.raises(SystemExit):
            hall.platform._sweep.sweep(caller=hall.caller)
    assert _records(hall) > 0
    for session in sessions:
        with pytest.raises(Exception, match=r"kept|destroyed"):
            hall.platform.show(session, purpose="subject_access", caller=hall.caller)
    hall.platform.sweep(caller=hall.caller)
    assert (_records(hall), _record_keys(hall)) == (0, 0)
    assert hall.kinds_of_events().count("record.expired") == 3  # one for each kind: nothing is told twice


@pytest.mark.parametrize("by", [timedelta(days=400), timedelta(days=-400), timedelta(hours=-20)])
def test_C10c_F19_a_clock_that_was_set_never_keeps_audio_longer(hall: Hall, by: timedelta) -> None:
    """However the clock of the machine is set, audio goes when its time has passed, and results wait for a person."""
    hall.grant()
    hall.analyze()
    hall.submit()
    hall.advance(hours=23)
    hall.platform.sweep(caller=hall.caller)
    assert hall.audio_left() == (1, 1)
    hall.clock.jump(by)
    hall.advance(hours=2)  # 25 h have really passed
    report = hall.platform.sweep(caller=hall.caller)
    assert (report.clock_moved, report.records_expired) == (True, 0)
    assert hall.audio_left() == (0, 0)
    assert _records(hall) == 3


def test_C10c_F19_a_recording_from_the_future_is_discarded(hall: Hall) -> None:
    """Where the clock was set back while the machine was off, audio whose age nobody knows is discarded."""
    hall.grant()
    hall.submit()
    hall.clock.jump(timedelta(days=-3))
    with hall.database.begin() as tx:  # another run of the machine: the reading of before says nothing
        tx.policy.set_clock(hall.platform._clock_watch._reading())
    hall.platform.sweep(caller=hall.caller)
    assert hall.audio_left() == (0, 0)


# --- F9, F16: nobody works, no provider -------------------------------------------------------------------


def test_F9_the_sweeper_alone_destroys_audio_at_the_deadline(hall: Hall) -> None:
    """With every worker dead and the queue lost, the sweep destroys the keys of the audio at the promised time."""
    hall.grant()
    sessions = [hall.submit().session_id for _ in range(3)]
    with hall.database.begin() as tx:
        for session in sessions:
            tx.jobs.drop(session)

    def asked() -> None:
        raise AssertionError("nobody works any more")

    hall.extractor.before = asked
    hall.advance(hours=23)
    hall.platform.sweep(caller=hall.caller)
    assert hall.audio_left() == (3, 3)
    hall.advance(hours=2)
    assert hall.platform.sweep(caller=hall.caller).audio_discarded == 3
    assert hall.audio_left() == (0, 0)
    with hall.database.begin() as tx:  # a queue that comes back revives nothing
        tx.jobs.put(Job("extract", sessions[0], tx.now()))
    assert hall.platform.work_next(caller=hall.caller) is None
    for recording in hall.recordings():
        with hall.database.read() as tx:
            body = json.loads(tx.receipts.get(recording.receipt_id).text)["body"]
        assert body["state"] == "failed_shredded"


def test_F16_what_is_due_is_destroyed_while_the_key_provider_is_down(hall: Hall) -> None:
    """A key provider that does not answer never keeps anything longer: keys are destroyed without it."""
    hall.grant()
    session = hall.analyze().session_id
    hall.submit()
    hall.advance(days=31)
    hall.adapters.keys.available = False
    report = hall.platform._sweep.sweep(caller=hall.caller)
    assert report.errors
    with hall.database.read() as tx:
        features = next(one for one in tx.records.of_session(session) if one.kind == "features")
    assert not hall.platform.keyring.exists(features.id)
    assert hall.audio_left()[1] == 0
    hall.adapters.keys.available = True
    hall.platform.sweep(caller=hall.caller)
    assert (_records(hall), _record_keys(hall), hall.audio_left()) == (0, 0, (0, 0))


# --- F27: withdrawn in the middle -------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before the claim", "before the commit"])
@pytest.mark.parametrize("shape", ["submit", "analyze"])
def test_F27_a_consent_withdrawn_in_the_middle_stops_the_job_and_says_when(
    hall: Hall, shape: str, when: str
) -> None:
    """A consent taken back while a recording is worked on: nothing is kept, and its receipt says since when."""
    hall.grant()
    said: list[Any] = []

    def withdraw() -> None:
        hall.advance(minutes=1)
        outcome = hall.platform.withdraw(
            subject="anna", purposes=[VOICE_ANALYSIS], occurred_at=hall.clock.now() - timedelta(seconds=40),
            caller=hall.caller,
        )  # fmt: skip
        said.append(outcome)

    if shape == "submit":
        hall.submit()
    if when == "before the claim":
        withdraw()
    else:
        hall.extractor.before = withdraw
    if shape == "analyze":
        with pytest.raises(ConsentRequired):
            hall.analyze()
    else:
        assert (hall.platform.work_next(caller=hall.caller) is None) is (when == "before the claim")
    assert len(hall.extractor.sources) == (when == "before the commit")
    assert (_records(hall), _record_keys(hall), hall.audio_left()) == (0, 0, (0, 0))
    assert {one.state for one in hall.recordings()} <= {RecordingState.FAILED_SHREDDED}
    body = json.loads(said[0].receipt)["body"]
    from datetime import datetime

    took = datetime.fromisoformat(body["recorded_at"]) - datetime.fromisoformat(body["occurred_at"])
    assert took == timedelta(seconds=40)
    stopped = {one.id: one.failure for one in hall.recordings()}
    assert set(said[0].stopped_sessions) == set(stopped)


# --- F32, F33: more than one, and very many ---------------------------------------------------------------


def test_F32_of_two_sweepers_each_takes_what_the_other_left(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sweeps at once destroy and tell of each result once."""
    hall.grant()
    for _ in range(4):
        hall.analyze()
    hall.advance(days=31)
    scribes, done = retention.RetentionSweep._scribes, []

    def other_first(sweep: Any, *given: Any, **named: Any) -> Any:
        made = scribes(sweep, *given, **named)
        if not done:
            done.append(1)
            done.append(hall.platform._sweep._expire(caller=hall.caller))
        return made

    monkeypatch.setattr(retention.RetentionSweep, "_scribes", other_first)
    assert hall.platform.sweep(caller=hall.caller).records_expired == 0
    assert done[1] == 12
    assert hall.kinds_of_events().count("record.expired") == 3


def test_F33_opening_serves_before_a_great_many_have_expired(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start destroys a bounded part of what is due and then serves; what is due and left is read by nobody."""
    monkeypatch.setattr(retention, "_BATCH", 2)
    monkeypatch.setattr(retention, "_AT_OPEN", 4)
    hall.grant()
    sessions = [hall.analyze().session_id for _ in range(5)]
    hall.advance(days=31)
    assert hall.platform._sweep.overdue(caller=hall.caller).records_expired == 4
    assert _records(hall) == 11
    for session in sessions:
        with pytest.raises(Exception, match="kept"):
            hall.platform.show(session, purpose="subject_access", caller=hall.caller)
    assert hall.platform.sweep(caller=hall.caller).records_expired == 11
    assert _records(hall) == 0
