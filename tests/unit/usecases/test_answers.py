"""The answers of the recording path, from values alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sottovoce.model.findings import Findings
from sottovoce.model.inference import Inference
from sottovoce.model.purpose import VOICE_ANALYSIS
from sottovoce.model.record import Decision, SealedRecord
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.usecases.answers import inference_view, submission_of, work_outcome
from sottovoce.usecases.intake import Ask
from sottovoce.usecases.vault import Sealed

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
END = NOW + timedelta(days=30)
ROW = Recording(
    id="ses_a", tenant="default", subject_id="sub_a", shape="submit", state=RecordingState.RECEIVED,
    received_at=NOW, discard_by=NOW + timedelta(days=1), keep=True, body_bytes=4321, attempts=2,
)  # fmt: skip
SAID = Inference(
    attribute="apparent_sex", model_sha256="ab" * 32, card_sha256="cd" * 32, feature_sha256="ef" * 32,
    labels=("female", "male"), probabilities=(0.1, 0.9), label_set=None, percent=None, guarantee="none",
    not_for="anything", demonstration=True,
)  # fmt: skip


def decision(name: str, purpose: str, *, expires_at: datetime = END) -> Decision:
    return Decision(name, "default", "sub_a", "ses_a", purpose, "m", "00" * 32, b"", NOW, expires_at)


def sealed(*decisions: Decision) -> Sealed:
    record = SealedRecord("rec_a", "default", "sub_a", "ses_a", "features", "compat", "1", b"", NOW, END)
    return Sealed(Findings("compat", "1", "ef" * 32, "p", "1", "00" * 32), (record,), decisions)


def test_C34b_what_a_model_said_is_told_with_the_decision_that_holds_it_and_with_no_other() -> None:
    """An inference that is kept is told with its own decision and its end; one that is not kept, with neither."""
    rules = decision("dec_rules", VOICE_ANALYSIS)
    own = decision("dec_own", "infer_apparent_sex", expires_at=END - timedelta(days=1))
    view = inference_view(SAID, sealed(rules, own))
    assert (view.decision_id, view.purpose, view.at) == ("dec_own", "infer_apparent_sex", NOW)
    assert view.expires_at == END - timedelta(days=1)
    for nothing in (sealed(rules), None):
        told = inference_view(SAID, nothing)
        assert (told.decision_id, told.at, told.expires_at) == (None, None, None)
        assert (told.purpose, told.inference) == ("infer_apparent_sex", SAID)


def test_a_submission_is_answered_in_the_callers_own_words() -> None:
    told = submission_of(ROW, Ask(subject="anna@example.org"))
    assert (told.session_id, told.subject, told.body_bytes) == ("ses_a", "anna@example.org", 4321)
    assert (told.state, told.discard_by, told.source) == (ROW.state, ROW.discard_by, "left_in_place")
    assert "anna" not in repr(told)


@pytest.mark.parametrize(
    ("written", "now", "told"),
    [
        (None, None, None),
        (None, "child_crashed", "child_crashed"),
        ("decode_failed", "overtaken", "decode_failed"),
    ],
)
def test_of_two_failures_the_one_that_was_written_down_is_told(
    written: str | None, now: str | None, told: str | None
) -> None:
    outcome = work_outcome(replace(ROW, failure=written), now)
    assert (outcome.session_id, outcome.attempts, outcome.failure) == ("ses_a", 2, told)
