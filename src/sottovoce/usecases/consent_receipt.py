"""What the receipt of a statement says: each purpose with the notice that was shown, and what remains after a "no".

Pure functions over values; `usecases/consent.py` signs what they return.

Rules upheld here, in order:
1. Internal ids, hashes, versions and times only; never what was said, nor what proves it.
2. A "no" is answered by what is still held, why, and until when; nothing is left out because it is awkward (C4b).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sottovoce.model.canonical import JsonValue
from sottovoce.model.consent import ConsentAction, ConsentEvent, NoticeVersion
from sottovoce.model.inference import is_inference
from sottovoce.model.lineage import LineageLine
from sottovoce.model.purpose import consent_purpose
from sottovoce.model.record import Decision, SealedRecord
from sottovoce.model.times import iso_us, words_of
from sottovoce.usecases.lineage import to_json


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one session."""

    session_id: str
    records: Sequence[SealedRecord]
    decisions: Sequence[Decision]


def receipt_kind(action: ConsentAction) -> str:
    return "consent" if action is ConsentAction.GRANT else "termination"


def receipt_body(
    receipt_id: str, events: Sequence[ConsentEvent], notices: Iterable[NoticeVersion], *, remains: Sequence[str],
    trained: Sequence[LineageLine],
) -> dict[str, JsonValue]:  # fmt: skip
    """Of one batch: its events, one at least. Field names follow ISO/IEC TS 27560 where it has one (record_id, schema,
    purposes, event, pii_principal)."""
    first, known = events[0], {notice.id: notice for notice in notices}
    body: dict[str, JsonValue] = {
        "receipt_id": receipt_id,
        "tenant": first.tenant,
        "subject_id": first.subject_id,
        "action": first.action.value,
        "channel": first.channel,
        "recorded_at": iso_us(first.recorded_at),
        "occurred_at": iso_us(first.occurred_at),
        "batch_id": first.batch_id,
        "purposes": [_purpose_line(event, known) for event in events],
        "remains": list(remains),
    }
    if trained:
        body["training"] = to_json(trained)
    return body


def remains_after(kept: Iterable[Kept], now: datetime) -> tuple[str, ...]:
    """What is still held after a "no", why, and until when: plain words."""
    remains: list[str] = []
    for session in kept:
        remains += [
            f"{record.kind} of session {session.session_id}: sealed, until {words_of(record.expires_at)}, "
            "kept for the person's own access"
            for record in session.records
        ]
        remains += [
            f"what was inferred of session {session.session_id} for {decision.purpose}: sealed, until "
            f"{words_of(decision.expires_at)}, by the consent to that purpose"
            for decision in session.decisions
            if is_inference(decision.purpose) and now < decision.expires_at
        ]
    remains.append("this receipt and the consent history, as proof, until the person is erased")
    remains.append("audit entries under a pseudonym that erasure unlinks")
    return tuple(remains)


def _purpose_line(event: ConsentEvent, notices: Mapping[str, NoticeVersion]) -> dict[str, JsonValue]:
    purpose = consent_purpose(event.purpose)
    notice = notices[event.notice_id] if event.notice_id else None
    return {
        "event_id": event.id,
        "purpose": purpose.id,
        "legal_basis": purpose.legal_basis,
        "notice_sha256": notice.sha256 if notice else None,
        "notice_version": notice.version if notice else None,
        "notice_locale": notice.locale if notice else None,
    }
