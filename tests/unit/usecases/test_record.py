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
