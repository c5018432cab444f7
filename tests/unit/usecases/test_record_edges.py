"""The one path at its edges: what comes between two steps, and the embedding as a purpose of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sottovoce.errors import (
    Conflict,
    ConsentRequired,
    ExtractionFailed,
    IntegrityError,
    KeyUnavailable,
    NotFound,
    SottovoceError,
    StorageError,
    UsageError,
)
from sottovoce.model.features import Embedding
from sottovoce.model.purpose import (
    AUDIO_HOLD,
    EMBEDDING,
    RETENTION,
    VOICE_ANALYSIS,
    VOICE_RECORDING,
    PurposeGrant,
)
from sottovoce.model.recording import RecordingState
from sottovoce.ports import Place

if TYPE_CHECKING:
    from conftest import Hall

HOLDING = (VOICE_RECORDING, VOICE_ANALYSIS, RETENTION, AUDIO_HOLD)


def interrupting(hall: Hall, action: Callable[[], object]) -> object:
    """A source that lets something happen while it is read, between tx1 and tx1b."""

    class Source(hall.source):  # type: ignore[misc,name-defined]
        def read_into(self, buffer: memoryview) -> int:
            nonlocal action
            action, now = (lambda: None), action
            now()
            return int(super().read_into(buffer))

    return Source()


@pytest.mark.parametrize(
    ("meanwhile", "error"),
    [
        (lambda hall: hall.platform.withdraw(subject="anna", purposes=[VOICE_ANALYSIS]), ConsentRequired),
        (lambda hall: hall.platform.erase(subject="anna"), SottovoceError),
        (lambda hall: hall.advance(hours=25), Conflict),
    ],
    ids=["withdrawn", "erased", "past the deadline"],
)
def test_C2a_F24_what_comes_between_promise_and_acknowledgement_wins(
    hall: Hall, meanwhile: Callable[[Hall], object], error: type[SottovoceError]
) -> None:
    """A recording withdrawn, erased or overdue while it is being stored is not accepted, and nothing of it stays."""
    hall.grant()
    with pytest.raises(error):
        hall.submit(source=interrupting(hall, lambda: meanwhile(hall)))
    hall.platform.sweep()
    assert hall.audio_left() == (0, 0)
    assert hall.platform.work_next() is None
    assert all(recording.ended for recording in hall.recordings())


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


def test_F32_a_recording_is_worked_on_once(hall: Hall) -> None:
    """While one worker holds a recording no other takes it."""
    hall.grant()
    hall.submit()
    seen = []
    hall.extractor.before = lambda: seen.append(hall.platform.work_next())
    hall.platform.work_next()
    assert seen == [None]


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


def test_F15_a_body_that_does_not_open_gives_no_features(new_hall: Callable[..., Hall]) -> None:
    """A stored body that was changed is not tried again and never held: it is shredded, and the log says why."""
    hall = new_hall(on_failure="hold")
    hall.grant(purposes=HOLDING)
    hall.submit()
    hall.extractor.failing = [IntegrityError("The body does not open.")]
    outcome = hall.platform.work_next()
    assert outcome is not None
    assert (outcome.state, outcome.failure) == (RecordingState.FAILED_SHREDDED, "integrity")


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


def test_F13_a_request_that_is_being_worked_on_is_not_begun_again(hall: Hall) -> None:
    """The same request, repeated while it runs, is told so and does nothing."""
    hall.grant()
    seen: list[str] = []

    def again() -> None:
        with pytest.raises(Conflict) as raised:
            hall.analyze(idempotency_key="k")
        seen.append(raised.value.public_code)

    hall.extractor.before = again
    hall.analyze(idempotency_key="k")
    assert seen == ["in_progress"]


# --- the embedding ----------------------------------------------------------------------------------------


def embedding_hall(new_hall: Callable[..., Hall], tmp_path: object) -> Hall:
    hall = new_hall(embedding_model=str(tmp_path))
    vector = Embedding(values=tuple(i / 768 for i in range(768)), model_sha256="ab" * 32)
    hall.extractor.extraction = replace(hall.extractor.extraction, embedding=vector)
    return hall


def test_C2d_the_embedding_is_a_purpose_of_its_own(new_hall: Callable[..., Hall], tmp_path: object) -> None:
    """A voice embedding is computed only with a consent of its own, and opened only for that purpose."""
    hall = embedding_hall(new_hall, tmp_path)
    hall.grant()
    with pytest.raises(ConsentRequired, match=EMBEDDING):
        hall.analyze(embedding=True)
    hall.grant(purposes=[EMBEDDING])
    answer = hall.analyze(embedding=True)
    assert answer.has_embedding
    assert hall.platform.show(answer.session_id, purpose=EMBEDDING).has_embedding
    content = hall.platform.show(answer.session_id, purpose=EMBEDDING)
    assert (content.features, content.insight) == (None, None)
    with hall.database.read() as tx:
        (record,) = (r for r in tx.records.of_session(answer.session_id) if r.kind == "embedding")
    grant = PurposeGrant(EMBEDDING, record.subject_id, record.session_id)
    opened = hall.platform._disclosure.vault.open_embedding(record, grant)
    assert opened.values == pytest.approx(hall.extractor.extraction.embedding.values, abs=1e-6)  # type: ignore[union-attr]
    assert b"embedding" not in record.body


def test_C2d_an_embedding_withdrawn_meanwhile_is_not_kept(
    new_hall: Callable[..., Hall], tmp_path: object
) -> None:
    """Consent to the embedding, withdrawn while it is computed: nothing of that recording is kept."""
    hall = embedding_hall(new_hall, tmp_path)
    hall.grant()
    hall.grant(purposes=[EMBEDDING])
    hall.extractor.before = lambda: hall.platform.withdraw(subject="anna", purposes=[EMBEDDING])
    with pytest.raises(ConsentRequired):
        hall.analyze(embedding=True)
    (recording,) = hall.recordings()
    assert recording.state is RecordingState.FAILED_SHREDDED


def test_an_embedding_without_a_model_is_refused_and_leaves_nothing(hall: Hall) -> None:
    hall.grant()
    hall.grant(purposes=[EMBEDDING])
    with pytest.raises(UsageError) as raised:
        hall.analyze(embedding=True)
    assert raised.value.reason == "embedding_model"
    assert all(recording.ended for recording in hall.recordings())


# --- health and names -------------------------------------------------------------------------------------


def test_doctor_says_what_is_wrong(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing that endangers a promise has a line of its own."""
    from sottovoce.adapters import host_linux

    def broken() -> str:
        raise ExtractionFailed("No child could be started.", reason="parent_failed")

    hall.grant()
    monkeypatch.setattr(hall.extractor, "level", broken)
    monkeypatch.setattr(host_linux, "active_swaps", lambda: ("/swapfile",))
    monkeypatch.setattr(host_linux, "free_bytes", lambda _: 1 << 20)
    monkeypatch.setattr(host_linux, "open_to_others", lambda _: ("keys",))
    monkeypatch.setattr(host_linux, "core_dumps_possible", lambda: True)
    found = {check.name: check for check in hall.platform.doctor()}
    assert found["sealed child"].state == "fail"
    assert [found[name].state for name in ("swap", "disk", "permissions")] == ["warn"] * 3
    assert "keys" in found["permissions"].found
    assert "core dumps" in found
    monkeypatch.setattr(hall.extractor, "level", lambda: "seccomp")
    assert {c.name: c for c in hall.platform.doctor()}["sealed child"].state == "ok"


def test_receipts_are_copied_anew_where_the_copy_is_missing(hall: Hall) -> None:
    """The copy of a receipt that somebody deleted is there again when it is asked for."""
    hall.grant()
    answer = hall.analyze()
    path = f"{answer.audio.receipt_id}.json"
    assert hall.adapters.receipt_copies.delete(path)
    (view,) = hall.platform.sessions(subject="anna")
    assert hall.adapters.receipt_copies.exists(path)
    assert view.receipt_path is not None
    assert view.receipt_path.endswith(path)


def test_insights_of_an_unknown_rule_table_are_refused(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    from sottovoce.voice import bodies
    from sottovoce.voice.insight import insight_from_values

    hall.grant()
    session = hall.analyze().session_id

    def other(*given: object, **named: object) -> object:
        return replace(insight_from_values(*given, **named), model_sha256="00" * 32)  # type: ignore[arg-type]

    monkeypatch.setattr(bodies.insights, "insight_from_values", other)
    with pytest.raises(IntegrityError) as raised:
        hall.platform.show(session, purpose="subject_access")
    assert raised.value.reason == "rule_table_unknown"


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
