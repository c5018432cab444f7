"""Taking a recording in: purposes, first rows, options for the child, and retries under one idempotency key."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import AudioRejected, Conflict, ConsentRequired, UsageError
from sottovoce.model.findings import Findings
from sottovoce.model.policy import Policy
from sottovoce.model.purpose import EMBEDDING, RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recording import Recording, RecordingState, Shape
from sottovoce.usecases.intake import Ask, extract_options, needed_at_commit, purposes_of

if TYPE_CHECKING:
    from conftest import Hall

REJECTED = AudioRejected("No.", reason="decode_failed")
FINDINGS = Findings("compat", "egemaps-88/1", "ab" * 32, "voice_profile", "1", "cd" * 32)
shapes = st.sampled_from(["analyze", "submit"])


def a_recording(hall: Hall, shape: Shape, ask: Ask, *, keep: bool = True) -> Recording:
    with hall.database.begin() as tx:
        return hall.platform._record._intake.new_recording(tx, shape, ask, "sub_" + "a" * 24, keep=keep)


# --- purposes ---------------------------------------------------------------------------------------------


@given(shapes, st.booleans(), st.booleans(), st.booleans())
def test_C2c_every_recording_needs_its_purposes_and_what_would_leave_nothing_needs_keeping(
    shape: Shape, discard: bool, must_keep: bool, embedding: bool
) -> None:
    """Recording and analysis are always asked for, the embedding by itself, and keeping wherever nothing else would
    be left of the recording."""
    ask = Ask(subject="anna", discard_source=discard, must_keep=must_keep, embedding=embedding)
    needed = purposes_of(shape, ask)
    assert {VOICE_RECORDING, VOICE_ANALYSIS} <= set(needed)
    assert (EMBEDDING in needed) == embedding
    assert (RETENTION in needed) == any((shape == "submit", discard, must_keep))
    assert len(set(needed)) == len(needed)


@pytest.mark.parametrize("shape", ["analyze", "submit"])
@pytest.mark.parametrize("discard", [True, False])
@pytest.mark.parametrize("embedding", ["ef" * 32, None])
def test_C2c_at_the_commit_the_same_purposes_are_asked_for_by_what_was_made(
    hall: Hall, shape: Shape, discard: bool, embedding: str | None
) -> None:
    """What is stored of a recording needs the consents of what was really made of it: an embedding that was made needs
    its own, one that was not needs none."""
    made = replace(FINDINGS, embedding_sha256=embedding)
    leased = a_recording(hall, shape, Ask(subject="anna", discard_source=discard))
    wanted = purposes_of(shape, Ask(subject="anna", discard_source=discard, embedding=embedding is not None))
    assert needed_at_commit(leased, made) == wanted


@pytest.mark.parametrize("ask", [{"discard_source": True}, {}])
def test_C2c_submit_and_discard_source_need_the_retention_consent(hall: Hall, ask: dict[str, bool]) -> None:
    """What would leave nothing behind if the result could not be kept needs the consent to keep it."""
    hall.grant(purposes=(VOICE_RECORDING, VOICE_ANALYSIS))
    with pytest.raises(ConsentRequired, match=RETENTION):
        hall.analyze(**ask) if ask else hall.submit()
    assert hall.recordings() == ()


# --- first rows and options -------------------------------------------------------------------------------


def test_a_first_row_is_held_has_its_deadline_and_no_name(hall: Hall) -> None:
    ask = Ask(subject="anna@example.org", idempotency_key="a private word", channel="1", discard_source=True)
    inline, queued = a_recording(hall, "analyze", ask), a_recording(hall, "submit", ask, keep=False)
    policy = Policy()
    assert inline.discard_by - inline.received_at == policy.discard_by_inline
    assert queued.discard_by - queued.received_at == policy.discard_by_queued
    assert (inline.attempts, queued.attempts) == (1, 0)  # an analysis is its own attempt
    assert (inline.keep, queued.keep) == (True, False)
    assert inline.lease_owner == hall.adapters.liveness.owner()
    assert inline.lease_until == inline.received_at + policy.lease
    assert inline.id != queued.id
    assert inline.idempotency == queued.idempotency
    for word in ("anna", "private"):
        assert word not in repr(inline)


def test_the_child_is_told_what_the_row_and_the_policy_say(hall: Hall) -> None:
    policy = Policy(max_analysed_s=12.0, wall_limit_s=34.0, max_body_bytes=56, embedding_model="/models/w2v")
    row = a_recording(hall, "analyze", Ask(subject="anna", channel="1", accept_truncated=True))
    options = extract_options(replace(row, profile="corrected"), policy)
    assert (options.profile, options.channel, options.accept_truncated) == ("corrected", "1", True)
    assert (options.max_analysed_s, options.wall_limit_s, options.max_body_bytes) == (12.0, 34.0, 56)
    assert options.embedding_model is None
    assert extract_options(row, policy, embedding=True).embedding_model == "/models/w2v"
    with pytest.raises(UsageError) as raised:
        extract_options(row, Policy(), embedding=True)
    assert raised.value.reason == "embedding_model"


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
        patch.setattr("sottovoce.usecases.body_store.envelope.seal_stream", killed)
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


def test_F13_a_submission_that_another_process_still_stores_is_left_to_it(hall: Hall) -> None:
    """A submission repeated while its first attempt still runs is told so; when that process has ended, or its time is
    over, the repetition takes the recording up."""
    hall.grant()
    ask = Ask(subject="anna", idempotency_key="k")
    record = hall.platform._record
    first, _ = record._receive("submit", ask, caller=hall.caller)
    with pytest.raises(Conflict) as raised:
        hall.submit(idempotency_key="k")
    assert raised.value.public_code == "in_progress"
    hall.clock.advance(Policy().lease + timedelta(seconds=1))
    again, _ = record._receive("submit", ask, caller=hall.caller)
    assert again.id == first.id
    assert again.lease_until is not None
    assert first.lease_until is not None
    assert again.lease_until > first.lease_until
