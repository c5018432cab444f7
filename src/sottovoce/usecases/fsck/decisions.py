"""I5 for what models said: each inference had its own consent when it was committed, and has it still (BP4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sottovoce.model import consent as ledger
from sottovoce.model.consent import ConsentEvent, ConsentStatus, PurposeConsent
from sottovoce.model.inference import is_inference
from sottovoce.model.record import Decision
from sottovoce.ports import Database
from sottovoce.usecases.fsck.seen import Seen, Session, still_there


def check_inferences(
    database: Database, seen: Seen, session: Session, events: Sequence[ConsentEvent]
) -> None:
    """Compared with the ledger itself, not with what the decision says of itself."""
    now = ledger.fold(events)
    for decision in session.decisions:
        if not is_inference(decision.purpose) or not still_there(database, decision.id):
            continue
        if not _agreed_at(events, decision.purpose, session.recording.committed_at):
            what = "a model was run without the person's consent to that"
            seen.add("I5", "inference_without_consent", what, decision.id)
        if decision.expires_at > seen.now and not _granted(now, decision.purpose):
            what = "what a model said outlives the withdrawal of its purpose"
            seen.add("I5", "inference_after_withdrawal", what, decision.subject_id, safe=True)


def unagreed(decisions: Sequence[Decision], events: Sequence[ConsentEvent]) -> tuple[str, ...]:
    """Purposes of inferences that the person does not agree to now."""
    now = ledger.fold(events)
    inferred = dict.fromkeys(one.purpose for one in decisions if is_inference(one.purpose))
    return tuple(purpose for purpose in inferred if not _granted(now, purpose))


def _agreed_at(events: Sequence[ConsentEvent], purpose: str, at: datetime | None) -> bool:
    """Whether it was granted at that time. What was written in the same microsecond may have come before or after."""
    if at is None:
        return False
    before = [event for event in events if event.recorded_at < at]
    until = [event for event in events if event.recorded_at <= at]
    return _granted(ledger.fold(before), purpose) or _granted(ledger.fold(until), purpose)


def _granted(states: Mapping[str, PurposeConsent], purpose: str) -> bool:
    state = states.get(purpose)
    return state is not None and state.status is ConsentStatus.GRANTED
