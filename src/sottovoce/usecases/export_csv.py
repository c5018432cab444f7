"""The package of a person as tables, which a spreadsheet opens and does not run. Pure functions over its content."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from sottovoce.model.features import FEATURE_NAMES
from sottovoce.model.times import iso_us
from sottovoce.usecases.access_entries import AccessEntry
from sottovoce.usecases.export_content import Content, SessionCopy, inferences
from sottovoce.usecases.facts_card import audio_words
from sottovoce.usecases.handover import DisclosureView
from sottovoce.voice.meanings import MEANINGS

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


def tables(content: Content) -> dict[str, bytes]:
    """Name -> bytes of every table."""
    return {
        "sessions.csv": _csv(_SESSION_COLUMNS, (_session_row(copy) for copy in content.sessions)),
        "features.csv": _csv(("session_id", "profile", "version", *FEATURE_NAMES), _feature_rows(content)),
        "features_explained.csv": _csv(("feature", "meaning"), MEANINGS.items()),
        "insights.csv": _csv(_INSIGHT_COLUMNS, _insight_rows(content)),
        "inferences.csv": _csv(_INFERENCE_COLUMNS, _inference_rows(content)),
        "consents.csv": _csv(_CONSENT_COLUMNS, _consent_rows(content)),
        "recipients.csv": _csv(_RECIPIENT_COLUMNS, (_recipient_row(one) for one in content.recipients)),
        "access_log.csv": _csv(_ENTRY_COLUMNS, (_entry_row(entry) for entry in content.entries)),
    }


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


def _inference_rows(content: Content) -> Iterable[tuple[object, ...]]:
    for copy in content.sessions:
        for decision, said in inferences(copy):
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
