"""The answers of the recording path, made of what was found and what was stored of it: pure functions over values."""

from __future__ import annotations

from sottovoce.model.features import Extraction, Insight
from sottovoce.model.inference import Inference, InferenceView, purpose_for
from sottovoce.model.outcome import Analysis, AudioFate, Retention, Submission, WorkOutcome
from sottovoce.model.recording import Recording
from sottovoce.usecases.intake import Ask
from sottovoce.usecases.vault import Sealed

_KEPT = "kept by the person's consent to data_retention_30_days"
_RETURNED_ONCE = "returned once, no record is kept: the person has not consented to data_retention_30_days"


def analysis_of(
    ended: Recording, ask: Ask, extraction: Extraction, insight: Insight, *,
    audio: AudioFate, inferences: tuple[InferenceView, ...], sealed: Sealed | None,
) -> Analysis:  # fmt: skip
    """The answer of `analyze`. `sealed`: what was stored of the result; None: returned once."""
    return Analysis(
        session_id=ended.id, subject=ask.subject, features=extraction.features,
        quality=extraction.quality, insight=insight, audio=audio,
        retention=Retention(
            kept=sealed is not None, expires_at=sealed.expires_at if sealed else None,
            basis=_KEPT if sealed else _RETURNED_ONCE,
        ),
        has_embedding=extraction.embedding is not None, inferences=inferences,
    )  # fmt: skip


def inference_view(said: Inference, sealed: Sealed | None) -> InferenceView:
    """What a model said, with the decision that holds it where it is kept."""
    purpose = purpose_for(said.attribute)
    held = next((one for one in sealed.decisions if one.purpose == purpose), None) if sealed else None
    if held is None:
        return InferenceView(None, purpose, said, None, None)
    return InferenceView(held.id, purpose, said, held.at, held.expires_at)


def submission_of(recording: Recording, ask: Ask) -> Submission:
    """The answer of `submit`."""
    return Submission(
        session_id=recording.id, subject=ask.subject, state=recording.state,
        body_bytes=recording.body_bytes, discard_by=recording.discard_by, source="left_in_place",
    )  # fmt: skip


def work_outcome(recording: Recording, failed: str | None) -> WorkOutcome:
    """The answer of a worker. `failed`: the code of what went wrong in this attempt, told where no end was written."""
    return WorkOutcome(
        recording.id, recording.state, recording.failure or failed, recording.attempts, recording.receipt_id
    )
