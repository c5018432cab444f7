"""A person's own access log, and the privacy facts of a session: who could see it, who did, when it dies.

Rules upheld here, in order:
1. What is told is derived from the audit log and the rows as they stand, never kept beside them (BP5).
2. Looking is an entry of its own, committed before anything is shown (law 2); no consent is asked (law 6).
3. Unknown and erased people look the same: NotFound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sottovoce.errors import IntegrityError, KeyUnavailable, NotFound
from sottovoce.model import consent as ledger
from sottovoce.model.event import AuditEvent
from sottovoce.model.features import Quality
from sottovoce.model.ids import check_id
from sottovoce.model.inference import Inference as ModelSaid
from sottovoce.model.inference import is_inference
from sottovoce.model.mark import REASONS, Mark, forbids, keeps
from sottovoce.model.purpose import PURPOSES, SUBJECT_ACCESS, PurposeGrant
from sottovoce.model.record import Decision, SealedRecord
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.retention import RetentionPolicy
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.sealing.pseudonym import audit_pseudonym
from sottovoce.usecases import pages
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.handover import DisclosureView, disclosed
from sottovoce.usecases.people import People, locked
from sottovoce.usecases.trail import Trail
from sottovoce.usecases.vault import Vault

_WORDS: dict[str, str] = {
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
_READS = frozenset({
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


@dataclass(frozen=True, slots=True)
class Opener:
    """Who can open what of a session, and on what ground."""

    purpose: str
    title: str
    legal_basis: str
    opens: tuple[str, ...]  # kinds that are kept of this session


@dataclass(frozen=True, slots=True)
class Inference:
    """What a rule or model said of a session."""

    model: str
    model_sha256: str
    purpose: str
    at: datetime
    until: datetime
    # of a model: the value in words; "-" of a rule table, or where no key opens it
    said: str = field(default="-", repr=False)


@dataclass(frozen=True, slots=True)
class FactsCard:
    """The privacy facts of one session."""

    session_id: str
    captured_at: datetime
    captured_by: str  # actor and channel of the entry of its beginning; "-" where no key opens it any more
    shape: str
    quality: Quality | None
    audio: str  # what became of it, in plain words
    state: str
    openers: tuple[Opener, ...]
    accesses: tuple[AccessEntry, ...]
    kept: tuple[tuple[str, datetime], ...]  # kind, due date
    stays_on: bool  # restricted or held: what is due is not destroyed before that is lifted
    inferred: tuple[Inference, ...]
    marks: tuple[MarkView, ...]
    key_copies: str  # until when a copy of the key store opens it once it is erased, in plain words
    recipients: tuple[DisclosureView, ...] = ()  # who else has received something of it


@dataclass(frozen=True, kw_only=True)
class AccessLog:
    database: Database
    people: People
    vault: Vault
    trail: Trail
    reads: GroupCommit
    retention: RetentionPolicy
    tenant: str

    def log(self, subject: str, *, session_id: str | None = None, caller: Caller) -> tuple[AccessEntry, ...]:
        """Everything that happened with a person's data, oldest first; of one session where it is named."""
        if session_id is not None:
            check_id(session_id, "session")
        with self.database.read() as tx:
            person = self.people.find(tx, subject)
        if person is None:
            raise nothing_held()
        self._note(person.id, "access_log.shown", session_id, caller=caller)
        with self.database.read() as tx:
            entries = self.entries(tx, person.id)
        return entries if session_id is None else of_session(entries, session_id)

    def card(self, session_id: str, *, caller: Caller) -> FactsCard:
        """The privacy facts of a session; NotFound."""
        check_id(session_id, "session")
        with self.database.read() as tx:
            recording = tx.recordings.get(session_id)
        if recording is None or recording.tenant != self.tenant:
            raise NotFound("There is no session of this id.")
        self._note(recording.subject_id, "session.facts", session_id, caller=caller)
        with self.database.read() as tx:
            recording = tx.recordings.get(session_id)
            if recording is None:
                raise NotFound("There is no session of this id.")
            return self._card(tx, recording)

    def entries(self, tx: UnitOfWork, subject_id: str) -> tuple[AccessEntry, ...]:
        """The person's entries, opened with their own key."""
        return tuple(self._entry(event) for event in tx.events.of_pseudonym(self.pseudonym(subject_id)))

    def pseudonym(self, subject_id: str) -> str:
        """How the log calls the person."""
        return audit_pseudonym(self.trail.keyring.subject_key(subject_id, "audit"), subject_id)

    def mark_view(self, mark: Mark, detail: str | None) -> MarkView:
        return MarkView(
            id=mark.id, kind=str(mark.kind), reason=mark.reason, basis=REASONS[mark.kind].get(mark.reason, "-"),
            asked_by=mark.asked_by, purpose=mark.purpose, session_id=mark.session_id, detail=detail,
            placed_at=mark.placed_at, lifted_at=mark.lifted_at,
        )  # fmt: skip

    # --- one session -----------------------------------------------------------------------------------

    def _card(self, tx: UnitOfWork, recording: Recording) -> FactsCard:
        entries = of_session(self.entries(tx, recording.subject_id), recording.id)
        marks = tx.marks.of_subject(recording.subject_id)
        records = tx.records.of_session(recording.id)
        stays_on = keeps(marks)
        kept = tuple(
            (record.kind, self.due(record)) for record in records if stays_on or tx.now() < self.due(record)
        )
        born = next((e for e in entries if e.kind in ("recording.received", "recording.imported")), None)
        return FactsCard(
            session_id=recording.id, captured_at=recording.received_at,
            captured_by="-" if born is None else f"{born.actor} ({born.channel})", shape=recording.shape,
            quality=self._quality(records, recording), audio=audio_words(recording), state=str(recording.state),
            openers=self._openers(tx, recording, tuple(kind for kind, _ in kept), marks),
            accesses=tuple(entry for entry in entries if entry.read), kept=kept, stays_on=stays_on and bool(kept),
            inferred=tuple(
                Inference(one.model, one.model_sha256, one.purpose, one.at, self.decision_due(one), self._said(one))
                for one in tx.records.decisions_of_session(recording.id)
                if stays_on or tx.now() < self.decision_due(one)
            ),
            marks=tuple(
                self.mark_view(mark, None)
                for mark in marks
                if mark.lifted_at is None and mark.session_id in (None, recording.id)
            ),
            key_copies=self.trail.keyring.destroyed_by(tx.now()).words,
            recipients=tuple(
                one
                for one in disclosed(tx, recording.subject_id, keyring=self.trail.keyring, tenant=self.tenant)
                if one.session_id == recording.id
            ),
        )  # fmt: skip

    def _openers(
        self, tx: UnitOfWork, recording: Recording, kinds: tuple[str, ...], marks: tuple[Mark, ...]
    ) -> tuple[Opener, ...]:
        """The purposes that would open something of it now: what `show` would allow."""
        states = ledger.fold(tx.consents.of_subject(recording.subject_id))
        material = tx.consents.material(self.tenant)
        found = []
        for purpose in PURPOSES.values():
            opens = tuple(kind for kind in kinds if kind in purpose.opens)
            by_right = purpose.basis == "right"
            allowed = by_right or (
                ledger.decide(states, (purpose.id,), material=material).allowed
                and forbids(marks, (purpose.id,)) is None
            )
            if opens and allowed:
                found.append(Opener(purpose.id, purpose.title, purpose.legal_basis, opens))
        return tuple(found)

    def _quality(self, records: tuple[SealedRecord, ...], recording: Recording) -> Quality | None:
        """How it was captured stands sealed beside the features; the person's own right opens it."""
        grant = PurposeGrant(SUBJECT_ACCESS, recording.subject_id, recording.id)
        for record in records:
            if record.kind == "features":
                try:
                    return self.vault.open_features(record, grant)[1]
                except (KeyUnavailable, IntegrityError):
                    return None
        return None

    def _said(self, decision: Decision) -> str:
        if not is_inference(decision.purpose):
            return "-"
        grant = PurposeGrant(SUBJECT_ACCESS, decision.subject_id, decision.session_id)
        try:
            return said_words(self.vault.open_inference(decision, grant))
        except (KeyUnavailable, IntegrityError):
            return "-"

    def decision_due(self, decision: Decision) -> datetime:
        return self.retention.due("decision", decision.at, decision.expires_at)

    def due(self, record: SealedRecord) -> datetime:
        return self.retention.due(record.kind, record.created_at, record.expires_at)

    def _entry(self, event: AuditEvent) -> AccessEntry:
        details = self.trail.open_details(event) or {}
        session = details.get("session")
        return AccessEntry(
            at=event.at, kind=event.kind, words=_WORDS.get(event.kind, event.kind.replace(".", " ")),
            read=event.kind in _READS, actor=event.actor, channel=event.channel, purpose=event.purpose,
            outcome=event.outcome, session_id=session if isinstance(session, str) else None,
        )  # fmt: skip

    def _note(self, subject_id: str, kind: str, session_id: str | None, *, caller: Caller) -> None:
        scribe = self.trail.of(subject_id, caller=caller)

        def write(tx: UnitOfWork) -> None:
            locked(tx, subject_id)
            scribe.write(
                tx, kind, purpose=SUBJECT_ACCESS, details={"session": session_id} if session_id else None
            )

        self.reads.run(write)


def said_words(said: ModelSaid) -> str:
    """What a model said, in a few words: the value with the model's own confidence where there is one."""
    sure = "" if said.confidence is None else f" (the model's own confidence: {said.confidence:.0%})"
    why = f" ({said.reason})" if said.reason else ""
    return said.value + sure + why


def nothing_held() -> NotFound:
    """The same for everybody of whom nothing is held, whether unknown or erased."""
    return NotFound(
        "Nothing is held of this person.",
        hint="Check the id; a person who was erased looks the same as one who was never here.",
        reason="nothing_held",
    )


def of_session(entries: tuple[AccessEntry, ...], session_id: str) -> tuple[AccessEntry, ...]:
    return tuple(entry for entry in entries if entry.session_id == session_id)


def audio_words(recording: Recording) -> str:
    """What became of the audio, in plain words."""
    if recording.ended:
        if recording.body_stored_at is None:
            return "no copy was ever made of it"
        return "the sealed copy and its key were destroyed, and not found after that"
    if recording.state is RecordingState.HELD:
        return "sealed, held for another attempt"
    return "being worked on"


def log_page(entries: tuple[AccessEntry, ...]) -> str:
    """The log as one HTML page."""
    return pages.page("Who did what with your data", [entries_table(entries)])


def entries_table(entries: tuple[AccessEntry, ...]) -> str:
    rows = [
        (moment(e.at), e.words, f"{e.actor} ({e.channel})", e.purpose or "-", e.outcome, e.session_id or "-")
        for e in entries
    ]
    return pages.table(("When", "What", "Who", "Purpose", "Outcome", "Session"), rows, empty="No entries.")


def marks_table(marks: tuple[MarkView, ...]) -> str:
    rows = [
        (
            mark.kind.replace("_", " "), mark.basis, mark.asked_by, mark.purpose or "all", mark.detail or "-",
            moment(mark.placed_at), moment(mark.lifted_at),
        )
        for mark in marks
    ]  # fmt: skip
    heads = ("What", "Basis", "Asked by", "Purpose", "Note", "Since", "Lifted")
    return pages.table(heads, rows, empty="No restriction, objection, legal hold or correction is recorded.")


def recipients_table(rows: tuple[DisclosureView, ...]) -> str:
    """Who has received something, as part of a page."""
    lines = [
        (moment(d.at), d.recipient, d.recipient_kind, d.purpose, d.what, d.form.replace("_", " "), d.known_as)
        for d in rows
    ]  # fmt: skip
    heads = ("When", "Who", "Of which kind", "Purpose", "What", "How", "Known there as")
    return pages.table(heads, lines, empty="Nobody, as far as is written down here.")


def facts_page(card: FactsCard) -> str:
    """The privacy facts of a session as one HTML page."""
    facts: list[tuple[str, object]] = [
        ("Session", card.session_id),
        ("Captured", moment(card.captured_at)),
        ("Captured by", card.captured_by),
        ("How", {"analyze": "analysed at once", "submit": "sealed, then analysed by a worker"}[card.shape]),
        ("State", card.state),
        ("Audio", card.audio),
        ("Copies of its keys", f"erased now, it opens from none after {card.key_copies}"),
    ]
    if card.quality is not None:
        facts.append(("Source", source_words(card.quality)))
    opened = [(o.title, o.purpose, o.legal_basis, ", ".join(o.opens)) for o in card.openers]
    inferred = [(i.model, i.said, i.purpose, moment(i.at), moment(i.until)) for i in card.inferred]
    return pages.page(
        "Privacy facts of a session",
        [
            pages.table(("Fact", "Value"), facts),
            pages.heading("Who can open it"),
            pages.table(("For", "Purpose", "Ground", "What"), opened, empty="Nothing of it is kept."),
            pages.heading("Who else has received it"),
            recipients_table(card.recipients),
            pages.heading("Who did"),
            entries_table(card.accesses),
            pages.heading("When it dies"),
            pages.table(
                ("What", "Until"), [(kind, moment(due)) for kind, due in card.kept], empty="It is gone."
            ),
            *(
                [pages.paragraph("It stays beyond that date until the marks below are lifted.")]
                if card.stays_on
                else []
            ),
            pages.heading("What was inferred"),
            pages.table(("By", "What", "Purpose", "When", "Kept until"), inferred, empty="Nothing."),
            pages.heading("Restrictions and legal holds"),
            marks_table(card.marks),
        ],
    )


def source_words(quality: Quality) -> str:
    return (
        f"{quality.source_codec}, {quality.source_rate_hz} Hz, {quality.source_channels} channel(s), "
        f"{quality.duration_s:.1f} s analysed of channel {quality.channel}"
    )


def moment(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
