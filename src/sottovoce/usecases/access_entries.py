"""What the audit log says of a person, in the words that they read: one line for each entry, and for each mark.

Values and pure functions. A new kind of entry gets its words here, and its place among the reads where somebody saw
something by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sottovoce.model.event import AuditEvent
from sottovoce.model.mark import REASONS, Mark

WORDS: dict[str, str] = {
    "consent.grant": "you agreed to something",
    "consent.refuse": "you said no to something",
    "consent.withdraw": "you took an agreement back",
    "recording.received": "a recording was taken in",
    "recording.stored": "a sealed recording was stored for a worker",
    "recording.claimed": "a worker began with a recording",
    "recording.committed": "the numbers of a recording were computed",
    "recording.verified": "the audio of a recording was destroyed and not found any more",
    "recording.failed_shredded": "a recording gave no result; its audio was destroyed",
    "recording.failed": "a recording gave no result",
    "recording.attempt_failed": "an attempt to analyse a recording failed",
    "recording.held": "a recording is held, sealed, for another attempt",
    "recording.retried": "another attempt with a held recording was asked for",
    "recording.imported": "results were brought along from another service",
    "inference.made": "a model estimated something about you, for a purpose that you had agreed to",
    "decisions.listed": "the log of what rules and models said of you was shown",
    "decision.replayed": "what a rule or model said of you was computed again from what is kept",
    "record.read": "results of a session were opened",
    "sealed.opened": "a sealed recording of yours was opened in clear, for somebody to hear",
    "record.expired": "results were destroyed because their time was over",
    "record.lost": "results were lost with their keys when the service was restored from a backup",
    "sessions.listed": "your sessions were listed",
    "audit.shown": "entries of the log about you were shown",
    "access_log.shown": "this log was shown",
    "session.facts": "the facts of a session were shown",
    "data.disclosed": "data of yours was handed to a recipient",
    "person.exported": "everything that is held of you was exported",
    "person.imported": "your data was brought along from another service",
    "person.rectified": "the name under which you are known here was corrected",
    "mark.placed": "a restriction, objection, legal hold or correction was recorded",
    "mark.lifted": "a restriction, objection or legal hold was lifted",
    "request.opened": "a request of yours was recorded",
    "request.extended": "the time to answer a request of yours was extended",
    "request.refused": "a request of yours was refused",
    "request.closed": "a request of yours was answered",
    "erasure.promised": "an erasure was promised",
    "erasure.waits": "an erasure was asked for and waits for a legal hold",
}
READS = frozenset({
    "record.read", "decisions.listed", "decision.replayed", "sessions.listed", "audit.shown", "access_log.shown",
    "session.facts", "data.disclosed", "person.exported", "sealed.opened",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """One line of the log, in plain words."""

    at: datetime
    kind: str
    words: str
    read: bool  # whether somebody saw something, as against something that was done
    actor: str
    channel: str
    purpose: str | None
    outcome: str
    session_id: str | None


@dataclass(frozen=True, slots=True)
class MarkView:
    """A mark as it is shown: to the person as well as to the operator."""

    id: str
    kind: str
    reason: str
    basis: str  # the reason in plain words, with its article
    asked_by: str
    purpose: str | None
    session_id: str | None
    detail: str | None  # opened
    placed_at: datetime
    lifted_at: datetime | None


def entry_of(event: AuditEvent, details: Mapping[str, object]) -> AccessEntry:
    """An entry in plain words. `details`: opened; empty where no key opens them any more."""
    session = details.get("session")
    return AccessEntry(
        at=event.at, kind=event.kind, words=WORDS.get(event.kind, event.kind.replace(".", " ")),
        read=event.kind in READS, actor=event.actor, channel=event.channel, purpose=event.purpose,
        outcome=event.outcome, session_id=session if isinstance(session, str) else None,
    )  # fmt: skip


def of_session(entries: tuple[AccessEntry, ...], session_id: str) -> tuple[AccessEntry, ...]:
    """Those of one session."""
    return tuple(entry for entry in entries if entry.session_id == session_id)


def mark_view(mark: Mark, detail: str | None) -> MarkView:
    """A mark in plain words. `detail`: opened."""
    return MarkView(
        id=mark.id, kind=str(mark.kind), reason=mark.reason, basis=REASONS[mark.kind].get(mark.reason, "-"),
        asked_by=mark.asked_by, purpose=mark.purpose, session_id=mark.session_id, detail=detail,
        placed_at=mark.placed_at, lifted_at=mark.lifted_at,
    )  # fmt: skip
