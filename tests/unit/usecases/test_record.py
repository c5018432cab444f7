"""The one path in its two shapes, on the shipped fakes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sottovoce.app import verify_receipt
from sottovoce.errors import (
    AudioRejected,
    Conflict,
    ConsentRequired,
    ExtractionFailed,
    NotFound,
    StorageError,
)
from sottovoce.model.purpose import RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import RecordingState

if TYPE_CHECKING:
    from conftest import Hall

REJECTED = AudioRejected("No.", reason="decode_failed")
DIED = ExtractionFailed("The child died.", reason="child_crashed")


def receipt_body(hall: Hall, text: str | None) -> dict:
    assert text is not None
    return dict(verify_receipt(text, key=hall.platform.identity()).body)


# --- analyze ----------------------------------------------------------------------------------------------


def test_M01_analyze_returns_features_and_the_audio_is_verified_gone(hall: Hall) -> None:
    """An analysed recording gives 88 features, an insight and a signed receipt, and no copy of its audio was made."""
    hall.grant()
    answer = hall.analyze()
    assert len(answer.features.values) == 88
    assert answer.audio.state is RecordingState.VERIFIED
    assert answer.audio.copies_made == 0
    assert answer.audio.source == "left_in_place"
    assert answer.retention.kept
    assert receipt_body(hall, answer.audio.receipt)["state"] == "verified"
    assert hall.audio_left() == (0, 0)


def test_C9e_the_receipt_says_the_shape_and_what_became_of_the_source(hall: Hall) -> None:
    """A receipt says whether a sealed body was stored and whether the source file was left in place or unlinked."""
    hall.grant()
    inline = receipt_body(hall, hall.analyze().audio.receipt)
    assert (inline["shape"], inline["audio"]["copies_made"]) == ("analyze", 0)
    assert inline["audio"]["source"] == "left in place"
    unlinked = receipt_body(hall, hall.analyze(discard_source=True).audio.receipt)
    assert unlinked["audio"]["source"] == "unlinked, blocks not proven"
    hall.submit()
    outcome = hall.platform.work_next()
    assert outcome is not None
    with hall.database.read() as tx:
        stored = tx.receipts.get(outcome.receipt_id or "")
    queued = receipt_body(hall, stored.text if stored else None)
    assert (queued["shape"], queued["audio"]["copies_made"]) == ("submit", 1)


@pytest.mark.parametrize("missing", [VOICE_RECORDING, VOICE_ANALYSIS])
def test_C2c_analyze_needs_recording_and_analysis_consent_and_stores_nothing_without(
    hall: Hall, missing: str
) -> None:
    """Without consent to recording and analysis nothing is analysed and nothing is stored."""
    hall.grant(purposes=[p for p in (VOICE_RECORDING, VOICE_ANALYSIS) if p != missing])
    with pytest.raises(ConsentRequired, match=missing):
        hall.analyze()
    assert hall.recordings() == ()
    assert hall.extractor.sources == []


def test_C2c_an_unknown_person_is_refused_and_stays_unknown(hall: Hall) -> None:
    """A person who was never asked is refused, and no row is written about them."""
    with pytest.raises(ConsentRequired):
        hall.analyze("nobody")
    with hall.database.read() as tx:
        assert hall.platform._record.people.find(tx, "nobody") is None


def test_M22_without_retention_the_result_is_returned_once_and_not_kept(hall: Hall) -> None:
    """Without the consent to keep, the result is returned once; no record is kept, receipt and audit stay."""
    hall.grant(purposes=(VOICE_RECORDING, VOICE_ANALYSIS))
    answer = hall.analyze()
    assert not answer.retention.kept
    assert answer.audio.receipt is not None
    with hall.database.read() as tx:
        assert tx.records.of_session(answer.session_id) == ()
    assert [row for row in hall.platform.keyring.rows() if row.kind == "record"] == []
    assert "recording.verified" in hall.kinds_of_events()
    with pytest.raises(NotFound):
        hall.platform.show(answer.session_id, purpose="subject_access")


@pytest.mark.parametrize("ask", [{"discard_source": True}, {}])
def test_C2c_submit_and_discard_source_need_the_retention_consent(hall: Hall, ask: dict[str, bool]) -> None:
    """What would leave nothing behind if the result could not be kept needs the consent to keep it."""
    hall.grant(purposes=(VOICE_RECORDING, VOICE_ANALYSIS))
    with pytest.raises(ConsentRequired, match=RETENTION):
        hall.analyze(**ask) if ask else hall.submit()
    assert hall.recordings() == ()


@pytest.mark.parametrize("error", [REJECTED, DIED, KeyboardInterrupt(), RuntimeError("surprise")])
def test_C9c_a_failed_analyze_is_shredded_at_once(hall: Hall, error: BaseException) -> None:
    """Whatever goes wrong while a recording is analysed, it ends at once, without a result, with a receipt."""
    hall.grant()
    hall.extractor.failing = [error]
    with pytest.raises(type(error)):
        hall.analyze()
    (recording,) = hall.recordings()
    assert recording.state is RecordingState.FAILED_SHREDDED
    assert recording.receipt_id is not None
    with hall.database.read() as tx:
        assert tx.records.of_session(recording.id) == ()


def test_M02_the_source_of_a_failed_analyze_is_left_in_place(hall: Hall) -> None:
    """A file that gave no result is never unlinked."""
    hall.grant()
    hall.extractor.failing = [REJECTED]
    source = hall.source()
    with pytest.raises(AudioRejected):
        hall.analyze(source=source, discard_source=True)
    assert not source.unlinked


def test_X08_the_source_goes_only_after_the_features_are_committed(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Audio is never given up before its features are safe."""
    hall.grant()
    states = []

    class Watched(hall.source):  # type: ignore[name-defined]
        def discard(self) -> bool:
            states.append(hall.recordings()[0].state)
            return super().discard()

    assert hall.analyze(source=Watched(), discard_source=True).audio.source == "unlinked"
    assert states == [RecordingState.COMMITTED]


# --- submit and worker ------------------------------------------------------------------------------------


def test_M12_a_submitted_body_is_ciphertext(hall: Hall) -> None:
    """What a submission stores is sealed: no piece of the recording is in it."""
    hall.grant()
    source = hall.source()
    answer = hall.submit(source=source)
    with hall.bodies.reader(answer.session_id) as fd:
        import os

        stored = os.pread(fd, 1 << 20, 0)
    assert len(stored) > len(source.data)
    assert source.data[16:48] not in stored
    assert hall.audio_left() == (1, 1)


def test_M01_the_worker_brings_a_submission_to_its_end(hall: Hall) -> None:
    """A submitted recording becomes sealed records, and then its key and its body are gone."""
    hall.grant()
    answer = hall.submit()
    outcome = hall.platform.work_next()
    assert outcome is not None
    assert (outcome.session_id, outcome.state, outcome.attempts) == (
        answer.session_id,
        RecordingState.VERIFIED,
        1,
    )
    assert hall.audio_left() == (0, 0)
    assert hall.platform.work_next() is None
    content = hall.platform.show(answer.session_id, purpose=VOICE_ANALYSIS)
    assert content.features is not None


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
        assert hall.platform._record._claim(caller=hall.caller) is not None
        hall.adapters.liveness.close()  # type: ignore[attr-defined]  # the worker is killed
    assert hall.platform.work_next() is None
    hall.platform.sweep()
    assert hall.audio_left() == (0, 0)
    assert hall.recordings()[0].failure == "attempts_exhausted"


# --- consent, erasure and time against running work -------------------------------------------------------


def withdraw(hall: Hall, *purposes: str) -> None:
    hall.platform.withdraw(subject="anna", purposes=purposes)


@pytest.mark.parametrize("purpose", [VOICE_RECORDING, VOICE_ANALYSIS])
@pytest.mark.parametrize("shape", ["analyze", "submit"])
def test_C2a_withdrawal_during_extraction_stops_the_commit(hall: Hall, shape: str, purpose: str) -> None:
    """Consent withdrawn while a recording is worked on: no feature of it is kept."""
    hall.grant()
    hall.extractor.before = lambda: withdraw(hall, purpose)
    if shape == "analyze":
        with pytest.raises(ConsentRequired):
            hall.analyze()
    else:
        hall.submit()
        hall.platform.work_next()
    (recording,) = hall.recordings()
    assert recording.state is RecordingState.FAILED_SHREDDED
    with hall.database.read() as tx:
        assert tx.records.of_session(recording.id) == ()
    assert [row for row in hall.platform.keyring.rows() if row.kind == "record"] == []


def test_C2a_withdrawal_of_a_queued_recording_discards_it_at_once(hall: Hall) -> None:
    """Consent withdrawn while a recording waits: its audio is gone when the withdrawal returns."""
    hall.grant()
    hall.submit()
    outcome = hall.platform.withdraw(subject="anna", purposes=[VOICE_RECORDING])
    assert len(outcome.stopped_sessions) == 1
    assert hall.audio_left() == (0, 0)
    assert hall.platform.work_next() is None


def test_M22_retention_withdrawn_during_analyze_returns_the_result_but_keeps_nothing(hall: Hall) -> None:
    """Consent to keep, withdrawn while a recording is analysed: the result is returned, and not kept."""
    hall.grant()
    hall.extractor.before = lambda: withdraw(hall, RETENTION)
    answer = hall.analyze()
    assert not answer.retention.kept
    with hall.database.read() as tx:
        assert tx.records.of_session(answer.session_id) == ()
    assert [row for row in hall.platform.keyring.rows() if row.kind == "record"] == []


@pytest.mark.parametrize("shape", ["analyze", "submit"])
@pytest.mark.parametrize("whole", [True, False])
def test_F24_erasure_during_extraction_wins(hall: Hall, shape: str, whole: bool) -> None:
    """A person erased while a recording is worked on: nothing of it comes back."""
    hall.grant()

    def erase() -> None:
        session = None if whole else hall.recordings()[0].id
        assert hall.platform.erase(subject="anna", session_id=session).result == "erased"

    hall.extractor.before = erase
    if shape == "analyze":
        with pytest.raises((Conflict, ConsentRequired)):
            hall.analyze()
    else:
        hall.submit()
        hall.platform.work_next()
    assert hall.recordings() == ()
    assert [row for row in hall.platform.keyring.rows() if row.kind in ("record", "recording")] == []
    assert hall.audio_left() == (0, 0)


@pytest.mark.parametrize("shape", ["analyze", "submit"])
def test_F9_no_commit_after_the_deadline(hall: Hall, shape: str) -> None:
    """A recording that is worked on past its deadline is not committed any more; the deadline holds."""
    hall.grant()
    hall.extractor.before = lambda: hall.advance(hours=25)
    if shape == "analyze":
        with pytest.raises(Conflict):
            hall.analyze()
    else:
        hall.submit()
        hall.platform.work_next()
    hall.platform.sweep()
    (recording,) = hall.recordings()
    assert recording.state is RecordingState.FAILED_SHREDDED
    assert hall.audio_left() == (0, 0)


def test_C9b_nothing_says_verified_while_the_body_is_still_there(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where deleting the audio fails, nothing says that it is gone; the next sweep brings it to its end."""
    hall.grant()
    answer = hall.submit()
    with monkeypatch.context() as patch:
        patch.setattr(hall.bodies, "delete", lambda path: True)  # a store that lies
        with pytest.raises(StorageError) as raised:
            hall.platform.work_next()
    assert raised.value.reason == "audio_remains"
    assert hall.recording(answer.session_id).state is RecordingState.COMMITTED  # type: ignore[union-attr]
    hall.adapters.liveness.close()  # type: ignore[attr-defined]
    hall.platform.sweep()
    assert hall.recording(answer.session_id).state is RecordingState.VERIFIED  # type: ignore[union-attr]
    assert hall.audio_left() == (0, 0)


# --- idempotency ------------------------------------------------------------------------------------------


def test_F13_the_same_key_submits_once(hall: Hall) -> None:
    """A submission repeated with the same idempotency key is one recording."""
    hall.grant()
    first = hall.submit(idempotency_key="k1")
    again = hall.submit(idempotency_key="k1")
    assert (again.session_id, again.body_bytes) == (first.session_id, first.body_bytes)
    assert len(hall.recordings()) == 1
    assert hall.submit(idempotency_key="k2").session_id != first.session_id


def test_F2_an_interrupted_put_is_resumed_by_its_retry(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission killed while it was stored is taken up again by its retry, as the same recording."""
    hall.grant()

    def killed(*_: object, **__: object) -> int:
        raise SystemExit(137)

    with monkeypatch.context() as patch:
        patch.setattr("sottovoce.usecases.record.envelope.seal_stream", killed)
        patch.setattr(type(hall.platform._discard), "fail", lambda *a, **k: False)
        patch.setattr(type(hall.platform._discard), "settle", lambda *a, **k: None)
        with pytest.raises(SystemExit):
            hall.submit(idempotency_key="k1")
    (left,) = hall.recordings()
    assert left.state is RecordingState.RECEIVED
    assert left.body_stored_at is None
    assert hall.platform.work_next() is None  # never claimed without an acknowledged body
    hall.adapters.liveness.close()  # type: ignore[attr-defined]
    assert hall.submit(idempotency_key="k1").session_id == left.id
    outcome = hall.platform.work_next()
    assert outcome is not None
    assert outcome.state is RecordingState.VERIFIED


def test_F13_an_answered_analyze_is_not_answered_twice(hall: Hall) -> None:
    """The same idempotency key never analyses twice; the answer says where the first result is."""
    hall.grant()
    first = hall.analyze(idempotency_key="k")
    with pytest.raises(Conflict) as raised:
        hall.analyze(idempotency_key="k")
    assert first.session_id in raised.value.hint
    with pytest.raises(Conflict):
        hall.submit(idempotency_key="k")


def test_F13_a_failed_request_may_be_tried_again_under_its_key(hall: Hall) -> None:
    """An idempotency key whose request failed is free again."""
    hall.grant()
    hall.extractor.failing = [REJECTED]
    with pytest.raises(AudioRejected):
        hall.analyze(idempotency_key="k")
    assert hall.analyze(idempotency_key="k").audio.state is RecordingState.VERIFIED


# --- open() -----------------------------------------------------------------------------------------------


def test_C9d_open_discards_what_is_overdue_before_it_serves(hall: Hall) -> None:
    """Where nothing ran past the deadline, the next start destroys the overdue audio before it answers anything."""
    hall.grant()
    answer = hall.submit()
    hall.advance(hours=25)
    report = hall.platform.start()
    assert (report.audio_discarded, report.overdue) == (1, 1)
    assert hall.audio_left() == (0, 0)
    assert hall.recording(answer.session_id).state is RecordingState.FAILED_SHREDDED  # type: ignore[union-attr]


def test_F3_an_interrupted_analyze_ends_at_the_next_start(hall: Hall) -> None:
    """An analysis whose process was killed is closed at the next start, without a result."""
    from sottovoce.usecases.record import Ask

    hall.grant()
    left, _ = hall.platform._record._receive("analyze", Ask(subject="anna"), caller=hall.caller)  # type: ignore[arg-type]
    hall.platform.start()
    assert hall.recording(left.id).state is RecordingState.RECEIVED  # type: ignore[union-attr]  # its process lives
    hall.adapters.liveness.close()  # type: ignore[attr-defined]  # now it does not
    assert hall.platform.start().interrupted_finished == 1
    assert hall.recording(left.id).state is RecordingState.FAILED_SHREDDED  # type: ignore[union-attr]


def test_M01_names_of_files_and_people_are_in_no_receipt(hall: Hall) -> None:
    """A receipt names internal ids only."""
    hall.grant("anna@example.org")
    text = hall.analyze("anna@example.org").audio.receipt or ""
    assert "anna" not in text
    assert json.loads(text)["body"]["subject_id"].startswith("sub_")
