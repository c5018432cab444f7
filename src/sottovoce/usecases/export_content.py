"""What a person's package says, in plain values: made by `usecases/export.py`, written down as JSON, CSV and a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sottovoce.model.consent import ConsentEvent, NoticeVersion, PurposeConsent
from sottovoce.model.features import Embedding, FeatureVector, Insight, Quality
from sottovoce.model.inference import Inference, is_inference
from sottovoce.model.record import Decision, SealedRecord, StoredReceipt
from sottovoce.model.recording import Recording
from sottovoce.model.request import Case
from sottovoce.usecases.access_entries import AccessEntry, MarkView
from sottovoce.usecases.handover import DisclosureView

_NO_RECIPIENTS = (
    "Nothing of you was handed to anybody, as far as is written down in this service. Who opened it here, and for "
    "what, is in the access log."
)
_RECIPIENTS = (
    "Each of these was handed what stands beside it. When you have something erased, restricted or corrected here, or "
    "take a consent back, they are told. Each knows you by a name of its own, which you can tell it when you ask it."
)


@dataclass(slots=True)
class SessionCopy:
    """One session with its results opened; what is past its date is not."""

    recording: Recording
    records: list[tuple[SealedRecord, datetime]] = field(default_factory=list)  # with the date when it is due
    features: FeatureVector | None = None
    quality: Quality | None = None
    insight: Insight | None = None
    embedding: Embedding | None = None
    decisions: list[tuple[Decision, dict[str, object] | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Everything of a person in plain values."""

    made_at: datetime
    tenant: str
    subject_id: str
    name: str = field(repr=False)
    consents: tuple[ConsentEvent, ...]
    states: tuple[PurposeConsent, ...]
    evidence: Mapping[str, str | None] = field(repr=False)
    notices: tuple[NoticeVersion, ...]
    sessions: tuple[SessionCopy, ...]
    retention: Mapping[str, int]
    entries: tuple[AccessEntry, ...]
    marks: tuple[MarkView, ...]
    cases: tuple[Case, ...]
    receipts: tuple[StoredReceipt, ...]
    recipients: tuple[DisclosureView, ...] = ()


def recipients_in_words(content: Content) -> str:
    """Whether anybody else has received something, and what follows."""
    return _RECIPIENTS if content.recipients else _NO_RECIPIENTS


def inferences(copy: SessionCopy) -> Iterable[tuple[Decision, Inference]]:
    """What models said of a session, where a key opens it."""
    for decision, opened in copy.decisions:
        if is_inference(decision.purpose) and opened is not None:
            lists = {name: tuple(value) for name, value in opened.items() if isinstance(value, list | tuple)}
            yield decision, Inference(**{**opened, **lists})  # type: ignore[arg-type]
