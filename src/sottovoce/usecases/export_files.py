"""The files of a person's package: JSON for programs, CSV for tables, one page for the person. Pure functions."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from sottovoce.model.consent import ConsentEvent, NoticeVersion, PurposeConsent
from sottovoce.model.features import FEATURE_NAMES, Embedding, FeatureVector, Insight, Quality
from sottovoce.model.inference import Inference, is_inference
from sottovoce.model.purpose import PURPOSES
from sottovoce.model.record import Decision, SealedRecord, StoredReceipt
from sottovoce.model.recording import Recording
from sottovoce.model.request import CASE_ARTICLES, Case
from sottovoce.model.times import iso_us
from sottovoce.usecases import pages
from sottovoce.usecases.access_log import (
    AccessEntry,
    MarkView,
    audio_words,
    entries_table,
    marks_table,
    moment,
    recipients_table,
    said_words,
)
from sottovoce.usecases.handover import DisclosureView
from sottovoce.usecases.portable import PACKAGE_FORMAT, to_json
from sottovoce.voice.meanings import MEANINGS

NO_RECIPIENTS = (
    "Nothing of you was handed to anybody, as far as is written down in this service. Who opened it here, and for "
    "what, is in the access log."
)
RECIPIENTS = (
    "Each of these was handed what stands beside it. When you have something erased, restricted or corrected here, or "
    "take a consent back, they are told. Each knows you by a name of its own, which you can tell it when you ask it."
)
_KIND_WORDS = {
    "features": "88 numbers that describe the sound of the voice",
    "insight": "the voice profile in plain words",
    "embedding": "768 numbers that characterise the voice and can identify the speaker",
    "decision": "which rule or model said what of a recording",
}


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


def members(content: Content) -> dict[str, bytes]:
    """Name -> bytes of every file but raw tables, receipts and notices."""
    return {
        "index.html": page(content).encode(),
        "data.json": to_json(data(content)),
        "sessions.csv": _csv(_SESSION_COLUMNS, (_session_row(copy) for copy in content.sessions)),
        "features.csv": _csv(("session_id", "profile", "version", *FEATURE_NAMES), _feature_rows(content)),
        "features_explained.csv": _csv(("feature", "meaning"), MEANINGS.items()),
        "insights.csv": _csv(_INSIGHT_COLUMNS, _insight_rows(content)),
        "inferences.csv": _csv(_INFERENCE_COLUMNS, _inference_rows(content)),
        "consents.csv": _csv(_CONSENT_COLUMNS, _consent_rows(content)),
        "recipients.csv": _csv(_RECIPIENT_COLUMNS, (_recipient_row(one) for one in content.recipients)),
        "access_log.csv": _csv(_ENTRY_COLUMNS, (_entry_row(entry) for entry in content.entries)),
    }


# --- JSON -------------------------------------------------------------------------------------------------


def data(content: Content) -> dict[str, object]:
    """The whole content as plain values; what `import` reads."""
    return {
        "format": PACKAGE_FORMAT,
        "made_at": iso_us(content.made_at),
        "tenant": content.tenant,
        "subject_id": content.subject_id,
        "name": content.name,
        "recipients": [_plain(asdict(one)) for one in content.recipients],
        "recipients_in_words": RECIPIENTS if content.recipients else NO_RECIPIENTS,
        "retention_days": dict(content.retention),
        "purposes": [_purpose(state) for state in content.states],
        "consents": [_consent(event, content.evidence.get(event.id)) for event in content.consents],
        "notices": [_notice(notice) for notice in content.notices],
        "sessions": [_session(copy) for copy in content.sessions],
        "marks": [_plain(asdict(mark)) for mark in content.marks],
        "requests": [_case(case) for case in content.cases],
        "access_log": [_plain(asdict(entry)) for entry in content.entries],
        "receipts": [{"id": r.id, "kind": r.kind, "session_id": r.session_id} for r in content.receipts],
        "features_explained": dict(MEANINGS),
    }


def _purpose(state: PurposeConsent) -> dict[str, object]:
    purpose = PURPOSES.get(state.purpose)
    return {
        "purpose": state.purpose,
        "title": purpose.title if purpose else state.purpose,
        "legal_basis": purpose.legal_basis if purpose else None,
        "status": str(state.status),
        "since": iso_us(state.since),
        "notice_id": state.notice_id,
    }


def _consent(event: ConsentEvent, evidence: str | None) -> dict[str, object]:
    return {
        "id": event.id, "sequence": event.sequence, "batch_id": event.batch_id, "purpose": event.purpose,
        "action": str(event.action), "notice_id": event.notice_id, "channel": event.channel, "evidence": evidence,
        "occurred_at": iso_us(event.occurred_at), "recorded_at": iso_us(event.recorded_at),
    }  # fmt: skip


def _notice(notice: NoticeVersion) -> dict[str, object]:
    return {
        "id": notice.id, "purpose": notice.purpose, "version": notice.version, "ordinal": notice.ordinal,
        "locale": notice.locale, "material": notice.material, "sha256": notice.sha256,
        "published_at": iso_us(notice.published_at), "file": f"notices/{notice.id}.txt",
    }  # fmt: skip


def _session(copy: SessionCopy) -> dict[str, object]:
    recording = copy.recording
    found = {name: _plain(value) for name, value in asdict(recording).items()}
    found["audio"] = audio_words(recording)
    found["records"] = [
        {
            "id": record.id, "kind": record.kind, "profile": record.profile, "version": record.version,
            "created_at": iso_us(record.created_at), "expires_at": iso_us(record.expires_at), "due_at": iso_us(due),
        }
        for record, due in copy.records
    ]  # fmt: skip
    if copy.features is not None:
        vector = copy.features
        found["features"] = {
            "profile": vector.profile, "version": vector.version, "sample_rate_hz": vector.sample_rate_hz,
            "values": vector.as_dict(),
        }  # fmt: skip
    found["quality"] = None if copy.quality is None else _plain(asdict(copy.quality))
    found["insight"] = None if copy.insight is None else _plain(asdict(copy.insight))
    if copy.embedding is not None:
        found["embedding"] = _plain(asdict(copy.embedding))
    found["decisions"] = [
        {
            "id": decision.id, "purpose": decision.purpose, "model": decision.model,
            "model_sha256": decision.model_sha256, "at": iso_us(decision.at), "expires_at": iso_us(decision.expires_at),
            "content": opened,
        }
        for decision, opened in copy.decisions
    ]  # fmt: skip
    return found


def _case(case: Case) -> dict[str, object]:
    return {
        "id": case.id, "kind": str(case.kind), "article": CASE_ARTICLES[case.kind], "state": str(case.state),
        "received_at": iso_us(case.received_at), "ended_at": iso_us(case.ended_at), "outcome": case.outcome,
        "extension_reason": case.extension_reason, "refusal_reason": case.refusal_reason,
        "identity_method": case.identity_method, "decision_id": case.decision_id,
    }  # fmt: skip


def _plain(value: object) -> object:
    match value:
        case datetime():
            return iso_us(value)
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case str():
            return str(value)
        case _:
            return value


# --- CSV --------------------------------------------------------------------------------------------------

_SESSION_COLUMNS = (
    "session_id",
    "shape",
    "state",
    "received_at",
    "ended_at",
    "failure",
    "kinds",
    "due_at",
    "audio",
)
_INSIGHT_COLUMNS = ("session_id", "model", "name", "title", "value", "unit", "meaning")
_INFERENCE_COLUMNS = (
    "session_id", "decision_id", "purpose", "attribute", "value", "confidence", "label_set", "percent", "model_sha256",
    "feature_sha256", "at", "expires_at", "guarantee", "not_for", "reason",
)  # fmt: skip
_CONSENT_COLUMNS = (
    "id", "purpose", "action", "occurred_at", "recorded_at", "channel", "notice_version", "locale", "notice_sha256",
    "evidence",
)  # fmt: skip
_RECIPIENT_COLUMNS = (
    "at", "recipient", "recipient_kind", "recipient_id", "purpose", "what", "form", "session_id", "known_as", "note",
)  # fmt: skip
_ENTRY_COLUMNS = ("at", "what", "kind", "actor", "channel", "purpose", "outcome", "session_id")


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Comma-separated values in UTF-8, lines ended as RFC 4180 has it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return buffer.getvalue().encode(errors="backslashreplace")


def _cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula (CWE-1236); numbers stay numbers."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return "" if value is None else value


def _session_row(copy: SessionCopy) -> tuple[object, ...]:
    recording = copy.recording
    return (
        recording.id, recording.shape, str(recording.state), iso_us(recording.received_at), iso_us(recording.ended_at),
        recording.failure, " ".join(record.kind for record, _ in copy.records),
        iso_us(min((due for _, due in copy.records), default=None)), audio_words(recording),
    )  # fmt: skip


def _feature_rows(content: Content) -> Iterable[tuple[object, ...]]:
    for copy in content.sessions:
        if copy.features is not None:
            yield copy.recording.id, copy.features.profile, copy.features.version, *copy.features.values


def _insight_rows(content: Content) -> Iterable[tuple[object, ...]]:
    for copy in content.sessions:
        for item in copy.insight.items if copy.insight else ():
            model = copy.insight.version if copy.insight else ""
            yield copy.recording.id, model, item.name, item.title, item.value, item.unit, item.meaning


def _inferences(copy: SessionCopy) -> Iterable[tuple[Decision, Inference]]:
    """What models said of a session, where a key opens it."""
    for decision, opened in copy.decisions:
        if is_inference(decision.purpose) and opened is not None:
            lists = {name: tuple(value) for name, value in opened.items() if isinstance(value, list | tuple)}
            yield decision, Inference(**{**opened, **lists})  # type: ignore[arg-type]


def _inference_rows(content: Content) -> Iterable[tuple[object, ...]]:
    for copy in content.sessions:
        for decision, said in _inferences(copy):
            yield (
                copy.recording.id, decision.id, decision.purpose, said.attribute, said.value, said.confidence,
                None if said.label_set is None else " ".join(said.label_set), said.percent, said.model_sha256,
                said.feature_sha256, iso_us(decision.at), iso_us(decision.expires_at), said.guarantee, said.not_for,
                said.reason or None,
            )  # fmt: skip


def _consent_rows(content: Content) -> Iterable[tuple[object, ...]]:
    notices = {notice.id: notice for notice in content.notices}
    for event in content.consents:
        notice = notices.get(event.notice_id or "")
        yield (
            event.id, event.purpose, str(event.action), iso_us(event.occurred_at), iso_us(event.recorded_at),
            event.channel, notice.version if notice else None, notice.locale if notice else None,
            notice.sha256 if notice else None, content.evidence.get(event.id),
        )  # fmt: skip


def _recipient_row(one: DisclosureView) -> tuple[object, ...]:
    return (
        iso_us(one.at), one.recipient, one.recipient_kind, one.recipient_id, one.purpose, one.what, one.form,
        one.session_id, one.known_as, one.note,
    )  # fmt: skip


def _entry_row(entry: AccessEntry) -> tuple[object, ...]:
    return (
        iso_us(entry.at), entry.words, entry.kind, entry.actor, entry.channel, entry.purpose, entry.outcome,
        entry.session_id,
    )  # fmt: skip


# --- the page ---------------------------------------------------------------------------------------------


def page(content: Content) -> str:
    """One page that a person can read, without a script and with every word escaped."""
    parts = [
        pages.paragraph(
            f"Made {moment(content.made_at)} for {content.name}. Everything that this service holds of you."
        ),
        pages.heading("What you agreed to"),
        pages.table(
            ("Purpose", "Legal basis", "State", "Since"), _state_rows(content), empty="You were never asked."
        ),
        *_notice_parts(content),
        pages.heading("Restrictions, objections and legal holds"),
        marks_table(content.marks),
        pages.heading("Your requests"),
        pages.table(("What", "Article", "Received", "State", "Outcome"), _case_rows(content)),
        pages.heading("How long it is kept"),
        pages.table(
            ("What", "Days"), [(_KIND_WORDS.get(k, k), days) for k, days in content.retention.items()]
        ),
        pages.heading("Who receives it"),
        pages.paragraph(RECIPIENTS if content.recipients else NO_RECIPIENTS),
        *([recipients_table(content.recipients)] if content.recipients else []),
        pages.heading("Your sessions"),
        *(part for copy in content.sessions for part in _session_parts(copy)),
        *([] if content.sessions else [pages.paragraph("None.")]),
        pages.heading("What the 88 numbers are"),
        pages.table(("Name", "Meaning"), MEANINGS.items()),
        pages.heading("Who did what with your data"),
        entries_table(content.entries),
        pages.heading("The other files"),
        pages.paragraph(
            "data.json has all of this for programs, the .csv files for tables, notices/ the exact texts that you were "
            "shown, receipts/ the signed receipts, tables/ every row as it is stored. manifest.json has the hash of "
            "every file and signature.json signs it: `sottovoce export verify FILE.zip` checks both."
        ),
    ]
    return pages.page("What is held of you", parts)


def _state_rows(content: Content) -> Iterable[tuple[object, ...]]:
    for state in content.states:
        purpose = PURPOSES.get(state.purpose)
        title, basis = (purpose.title, purpose.legal_basis) if purpose else (state.purpose, "-")
        yield title, basis, str(state.status).replace("_", " "), moment(state.since)


def _notice_parts(content: Content) -> list[str]:
    parts = []
    for notice in content.notices:
        parts.append(
            pages.paragraph(
                f"The notice you were shown ({notice.purpose}, {notice.version}, {notice.locale}):"
            )
        )
        parts.append(pages.quotation(notice.text.decode("utf-8", errors="backslashreplace")))
    return parts


def _case_rows(content: Content) -> Iterable[tuple[object, ...]]:
    for case in content.cases:
        outcome = case.outcome or case.refusal_reason or "-"
        yield (
            str(case.kind).replace("_", " "), CASE_ARTICLES[case.kind], moment(case.received_at), str(case.state),
            outcome.replace("_", " "),
        )  # fmt: skip


def _session_parts(copy: SessionCopy) -> list[str]:
    recording = copy.recording
    parts = [
        f"<h3>{pages.text(moment(recording.received_at))}</h3>",
        pages.paragraph(f"Session {recording.id}, {recording.state}. The audio: {audio_words(recording)}."),
    ]
    if copy.insight is not None:
        made = f"Made by {copy.insight.version} (table {copy.insight.model_sha256[:16]}…)."
        items = [(item.title, item.shown, item.meaning) for item in copy.insight.items]
        parts += [pages.paragraph(made), pages.table(("What", "Value", "Meaning"), items)]
    inferred = [
        (
            said.attribute.replace("_", " "),
            said_words(said),
            decision.purpose,
            said.guarantee,
            f"Not for: {said.not_for}",
        )
        for decision, said in _inferences(copy)
    ]
    if inferred:
        heads = ("Inferred by a model", "It said", "Purpose", "Privacy guarantee of its training", "")
        parts.append(pages.table(heads, inferred))
    kept = [(_KIND_WORDS.get(record.kind, record.kind), moment(due)) for record, due in copy.records]
    parts.append(pages.table(("Kept", "Until"), kept, empty="No result is kept of it."))
    return parts
