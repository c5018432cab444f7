"""The JSON form of every answer: plain objects, times as ISO 8601 in UTC, None where there is nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sottovoce.doors.cli.errors import hint
from sottovoce.errors import SottovoceError
from sottovoce.model.consent import PurposeConsent
from sottovoce.model.features import FeatureVector, Insight, Quality
from sottovoce.model.inference import Inference, InferenceView
from sottovoce.model.keys import DestructionPromise
from sottovoce.model.outcome import (
    Analysis,
    ArchiveOutcome,
    AuditLine,
    AuditProof,
    AuditReport,
    AuditSummary,
    Check,
    ConsentOutcome,
    ErasureOutcome,
    KeysStatus,
    RolledBack,
    RotationReport,
    SessionContent,
    SessionView,
    Submission,
    SweepReport,
    VerifiedProof,
    WorkOutcome,
)
from sottovoce.model.recipient import KnownAs
from sottovoce.voice.gate import findings_of

if TYPE_CHECKING:
    from sottovoce.sealing.receipt import Receipt

Json = dict[str, object]


def analysis(file: str, answer: Analysis) -> Json:
    """One line of `analyze --json`."""
    audio = answer.audio
    return {
        "file": file,
        "session_id": answer.session_id,
        "subject": answer.subject,
        **_features(answer.features),
        "quality": quality(answer.quality),
        "findings": findings(answer.features, answer.quality),
        "insights": insights(answer.insight),
        "inferences": [inference_view(view) for view in answer.inferences],
        "has_embedding": answer.has_embedding,
        "audio": {
            "state": str(audio.state),
            "shape": audio.shape,
            "copies_made": audio.copies_made,
            "source": audio.source,
            "receipt": audio.receipt_path,
            "receipt_id": audio.receipt_id,
            "discard_by": when(audio.discard_by),
            "ended_at": when(audio.ended_at),
        },
        "retention": {
            "kept": answer.retention.kept,
            "expires_at": when(answer.retention.expires_at),
            "basis": answer.retention.basis,
        },
    }


def submission(file: str, answer: Submission) -> Json:
    return {
        "file": file,
        "session_id": answer.session_id,
        "subject": answer.subject,
        "state": str(answer.state),
        "body_bytes": answer.body_bytes,
        "discard_by": when(answer.discard_by),
        "source": answer.source,
    }


def file_error(file: str, error: SottovoceError) -> Json:
    """A file that failed, in its place among the others."""
    return {"file": file, "error": error_object(error)}


def error_object(error: SottovoceError) -> Json:
    return {"code": error.public_code, "kind": error.code, "message": error.message, "hint": hint(error)}


def quality(value: Quality) -> Json:
    return {
        "duration_s": value.duration_s,
        "voiced_frames": value.voiced_frames,
        "clipped_share": value.clipped_share,
        "snr_db": value.snr_db,
        "steady_tones": value.steady_tones,
        "source_codec": value.source_codec,
        "source_rate_hz": value.source_rate_hz,
        "source_channels": value.source_channels,
        "channel": value.channel,
        "flags": list(value.flags),
        "has_voice": value.has_voice,
    }


def findings(vector: FeatureVector, value: Quality) -> list[Json]:
    """What the gate finds in a recording, with the measured values."""
    return [
        {"name": finding.name, "measured": finding.measured, "words": finding.words}
        for finding in findings_of(vector, value)
    ]


def insights(value: Insight) -> list[Json]:
    return [
        {
            "name": item.name,
            "title": item.title,
            "value": item.value,
            "unit": item.unit,
            "available": item.value is not None,
            "meaning": item.meaning,
            "features": list(item.features),
        }
        for item in value.items
    ]


def inference_view(view: InferenceView) -> Json:
    """What a model said, with the decision that holds it and when that ends."""
    return {
        **inference(view.inference),
        "purpose": view.purpose,
        "decision_id": view.decision_id,
        "expires_at": when(view.expires_at),
    }


def inference(said: Inference) -> Json:
    return {
        "attribute": said.attribute,
        "value": said.value,
        "available": said.probabilities is not None,
        "reason": said.reason or None,
        "confidence": said.confidence,
        "label_set": None if said.label_set is None else list(said.label_set),
        "percent": said.percent,
        "number": said.number,
        "unit": said.unit or None,
        "labels": list(said.labels),
        "model_sha256": said.model_sha256,
        "card_sha256": said.card_sha256,
        "feature_sha256": said.feature_sha256,
        "guarantee": said.guarantee,
        "not_for": said.not_for,
        "demonstration": said.demonstration,
    }


def work(outcome: WorkOutcome) -> Json:
    return {
        "session_id": outcome.session_id,
        "state": str(outcome.state),
        "failure": outcome.failure,
        "attempts": outcome.attempts,
        "receipt_id": outcome.receipt_id,
    }


def sessions(views: Iterable[SessionView]) -> list[Json]:
    return [
        {
            "session_id": view.session_id,
            "shape": view.shape,
            "state": str(view.state),
            "received_at": when(view.received_at),
            "ended_at": when(view.ended_at),
            "failure": view.failure,
            "kept": view.kept,
            "expires_at": when(view.expires_at),
            "records": list(view.record_kinds),
            "inferred": list(view.inferred),
            "receipt_id": view.receipt_id,
            "receipt": view.receipt_path,
        }
        for view in views
    ]


def content(value: SessionContent) -> Json:
    """With a recipient, as it is handed over: person and session by the names that this recipient alone knows."""
    if value.handed is not None:
        names: Json = {
            "recipient": value.handed.recipient_id,
            "subject": value.handed.subject,
            "session_id": value.handed.sessions[value.session_id],
        }
        return {**_content(value), **names}
    return _content(value)


def _content(value: SessionContent) -> Json:
    return {
        "session_id": value.session_id,
        "purpose": value.purpose,
        **({} if value.features is None else _features(value.features)),
        **({} if value.quality is None else {"quality": quality(value.quality)}),
        **({} if value.insight is None else {"insights": insights(value.insight)}),
        "inferences": [inference_view(view) for view in value.inferences],
        "has_embedding": value.has_embedding,
        "expires_at": when(value.expires_at),
    }


def handed(value: KnownAs) -> Json:
    """Under which names a recipient received something."""
    return {"recipient": value.recipient_id, "subject": value.subject, "sessions": dict(value.sessions)}


def consent(outcome: ConsentOutcome) -> Json:
    return {
        "subject": outcome.subject,
        "action": outcome.action,
        "consents": consents(outcome.states),
        "receipt": outcome.receipt_path,
        "receipt_id": outcome.receipt_id,
        "stopped_sessions": list(outcome.stopped_sessions),
        "remains": list(outcome.remains),
    }


def consents(states: Iterable[PurposeConsent]) -> list[Json]:
    return [
        {
            "purpose": state.purpose,
            "status": str(state.status),
            "since": when(state.since),
            "notice_id": state.notice_id,
        }
        for state in states
    ]


def erasure(outcome: ErasureOutcome) -> Json:
    return {
        "result": outcome.result,
        "request_id": outcome.request_id,
        "counts": outcome.counts,
        "receipt": outcome.receipt_path,
        # of whom nothing is held no file is kept: the signed answer is in the answer
        **({"signed": json.loads(outcome.receipt)} if outcome.receipt and not outcome.receipt_path else {}),
    }


def sweep(report: SweepReport) -> Json:
    return {
        "audio_discarded": report.audio_discarded,
        "interrupted_finished": report.interrupted_finished,
        "records_expired": report.records_expired,
        "erasures_resumed": report.erasures_resumed,
        "orphan_bodies": report.orphan_bodies,
        "orphan_keys": report.orphan_keys,
        "details_expired": report.details_expired,
        "epochs_ended": report.epochs_ended,
        "overdue": report.overdue,
        "clock_moved": report.clock_moved,
        "dry_run": report.dry_run,
        "errors": list(report.errors),
    }


def keys_status(status: KeysStatus) -> Json:
    return {
        "provider": status.provider,
        "epoch": status.epoch,
        "epoch_since": when(status.epoch_since),
        "rows": status.rows,
        "rotation_pending": status.rotation_pending,
        "rotation_due_at": when(status.rotation_due_at),
        "rotation_overdue": status.rotation_overdue,
        "copies": copies(status.copies),
        "identity_key_id": status.identity_key_id,
    }


def rotation(report: RotationReport) -> Json:
    return {
        "from_epoch": report.from_epoch,
        "to_epoch": report.to_epoch,
        "rows_rewrapped": report.rows_rewrapped,
        "took_s": report.took.total_seconds(),
        "destroyed": report.destroyed,
        "copies": copies(report.copies),
        "dry_run": False,
    }


def copies(promise: DestructionPromise) -> Json:
    """Until when a copy of the key store opens what is erased now."""
    return {"open_until": when(promise.date), "words": promise.words}


def audit_report(report: AuditReport) -> Json:
    return {
        "intact": report.intact,
        "events": report.events,
        "unsequenced": report.unsequenced,
        "first_bad": report.first_bad,
        "problem": report.problem,
        "between": None if report.between is None else list(report.between),
        "head": report.head,
        "root": report.root,
        "checkpoints": report.checkpoints,
        "compared": report.compared,
        "waiting_since": when(report.waiting_since),
        "unwitnessed_from": report.unwitnessed_from,
        "unwitnessed_since": when(report.unwitnessed_since),
        "archived": report.archived,
        "rolled_back": _rolled_back(report.rolled_back),
        "evidence": report.evidence,
    }


def _rolled_back(found: RolledBack | None) -> Json | None:
    if found is None:
        return None
    return {
        "covered": found.covered,
        "kept": found.kept,
        "restored_at": when(found.at),
        "backup": found.backup,
    }


def audit_summary(found: AuditSummary) -> Json:
    age = found.witnessed_age
    return {
        "verification": audit_report(found.verification),
        "entries": found.entries,
        "counts": found.counts,
        "from": when(found.since),
        "to": when(found.until),
        "quiet_days": found.quiet_days,
        "witnesses": [
            {
                "witness": state.witness,
                "entries": state.size,
                "at": when(state.at),
                "waiting_since": when(state.waiting_since),
                "lags": state.lags,
            }
            for state in found.witnesses
        ],
        "witnessed_at": when(found.witnessed_at),
        "witnessed_age_s": None if age is None else age.total_seconds(),
        "alarms": list(found.alarms),
    }


def archive(found: ArchiveOutcome, *, file: str) -> Json:
    return {
        "file": file,
        "first": found.first,
        "last": found.last,
        "until": when(found.until),
        "root": found.root,
    }


def audit_proof(proof: AuditProof) -> Json:
    return {"id": proof.event_id, "sequence": proof.sequence, "entries": proof.size, "proof": proof.text}


def verified_proof(file: str, value: VerifiedProof, *, pinned: str | Path) -> Json:
    return {
        "file": file,
        "verified": True,
        "kind": "checkpoint" if value.sequence is None else "audit entry",
        "log": value.origin,
        "entries": value.size,
        "root": value.root,
        "sequence": value.sequence,
        "entry": value.entry,
        "against": str(pinned),
    }


def audit_lines(lines: Iterable[AuditLine]) -> list[Json]:
    return [
        {
            "id": line.event_id,
            "sequence": line.sequence,
            "at": when(line.at),
            "kind": line.kind,
            "actor": line.actor,
            "channel": line.channel,
            "purpose": line.purpose,
            "outcome": line.outcome,
            "pseudonym": line.pseudonym,
            "details": line.details,
        }
        for line in lines
    ]


def checks(found: Iterable[Check]) -> list[Json]:
    return [
        {"name": check.name, "state": check.state, "found": check.found, "hint": check.hint}
        for check in found
    ]


def receipt(file: str, value: Receipt, *, pinned: str | Path) -> Json:
    return {
        "file": file,
        "verified": True,
        "kind": value.kind,
        "key_id": value.key_id,
        "against": str(pinned),
        "body": dict(value.body),
    }


def when(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _features(vector: FeatureVector) -> Json:
    return {
        "features": vector.as_dict(),
        "feature_profile": vector.profile,
        "feature_version": vector.version,
        "feature_rate_hz": vector.sample_rate_hz,
    }
