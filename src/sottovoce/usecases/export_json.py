"""The package of a person for programs: plain values, which `import` of another home reads. Pure functions."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from sottovoce.model.consent import ConsentEvent, NoticeVersion, PurposeConsent
from sottovoce.model.purpose import PURPOSES
from sottovoce.model.request import CASE_ARTICLES, Case
from sottovoce.model.times import iso_us
from sottovoce.usecases.export_content import Content, SessionCopy, recipients_in_words
from sottovoce.usecases.facts_card import audio_words
from sottovoce.usecases.portable import PACKAGE_FORMAT
from sottovoce.voice.meanings import MEANINGS


def data(content: Content) -> dict[str, object]:
    """The whole content as plain values; what `import` reads."""
    return {
        "format": PACKAGE_FORMAT,
        "made_at": iso_us(content.made_at),
        "tenant": content.tenant,
        "subject_id": content.subject_id,
        "name": content.name,
        "recipients": [_plain(asdict(one)) for one in content.recipients],
        "recipients_in_words": recipients_in_words(content),
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
