"""The deletion feed: what each recipient is told to undo, in which order, and whether it has done so (GDPR 19).

    tell()               in the transaction of the change: an entry for each recipient who has something of the person
    Feed.page()          a signed page of one recipient's feed
    Feed.acknowledge()   the recipient's word that it has applied its feed up to an entry
    Feed.status()        who is behind, since when

Rules upheld here, in order:
1. A recipient is told in the transaction that makes the change, or the change is not made. Telling needs no key: an
   erasure goes on while the key provider is down (I10).
2. Entries are numbered without a gap and chained by hash, one chain for each recipient; they never change and never
   go, also when the person is erased. They hold an opaque name that this recipient alone can place (C15a).
3. A page is cut by number: what is added meanwhile moves nothing. The last page says so, and when it was made; every
   other page of the same cut is the same bytes for ever.
4. A recipient is told of a withdrawal where it touches what it has, and of nothing else that the person decides.
5. Acknowledged is what the recipient has shown to have read: number and hash of an entry, under its own key. Who has
   not applied an entry within the set time is overdue, wherever that is asked (C15b).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sottovoce.errors import Conflict, IntegrityError, KeyUnavailable, UsageError
from sottovoce.model.canonical import JsonValue
from sottovoce.model.ids import check_id
from sottovoce.model.mark import Mark, MarkKind
from sottovoce.model.purpose import RETENTION, VOICE_ANALYSIS, VOICE_RECORDING
from sottovoce.model.recipient import (
    FEED_FORMAT,
    GENESIS,
    LARGEST_PAGE,
    Acknowledgement,
    Disclosure,
    FeedEntry,
    FeedKind,
    Recipient,
    entry_hash,
    known,
)
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.sealing import acknowledgement, envelope
from sottovoce.sealing.context import encode_context
from sottovoce.sealing.pseudonym import recipient_subkey, rectification_name
from sottovoce.usecases.keyring import Keyring
from sottovoce.usecases.receipts import ReceiptBook
from sottovoce.usecases.trail import Trail

# Consents that all else rests on: taken back, they touch whatever a recipient has.
_BASIC = frozenset({VOICE_RECORDING, VOICE_ANALYSIS, RETENTION})
_TOLD_OF_MARK = {
    MarkKind.RESTRICTION: (FeedKind.RESTRICTED, FeedKind.RESTRICTION_LIFTED),
    MarkKind.OBJECTION: (FeedKind.OBJECTED, FeedKind.OBJECTION_LIFTED),
    MarkKind.CORRECTION: (FeedKind.RECTIFIED, None),
}
_CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A signed page, and where it stands."""

    recipient_id: str
    text: str
    after: int
    through: int  # number of its last entry; `after` where it has none
    entries: int
    last: bool


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How far one recipient has come with its feed."""

    recipient_id: str
    name: str
    kind: str
    ended_at: datetime | None
    destroyed: bool  # has stated that nothing is left there
    entries: int
    through: int  # acknowledged up to this number
    acknowledged_at: datetime | None
    oldest_at: datetime | None  # of the oldest entry that is not acknowledged
    due_at: datetime | None
    overdue: bool

    @property
    def waiting(self) -> int:
        return self.entries - self.through


@dataclass(frozen=True, slots=True)
class Told:
    """What one recipient was told for one cause, and whether it has done it."""

    recipient_id: str
    name: str
    kind: str  # of the entry
    number: int
    told_at: datetime
    applied_at: datetime | None  # as the recipient says
    due_at: datetime
    overdue: bool


# --- telling, within the transaction of the change ----------------------------------------------------------


def tell(
    tx: UnitOfWork, subject_id: str, kind: FeedKind, *, cause: str, session_id: str | None = None,
    purposes: Iterable[str] | None = None, only: str | None = None,
) -> tuple[FeedEntry, ...]:  # fmt: skip
    """Append an entry to the feed of every recipient who has something of the person (of the session).

    `purposes`: tell only whom they touch, and name those that do. `only`: tell one recipient.
    """
    had: dict[str, list[Disclosure]] = {}
    for row in tx.recipients.disclosures_of(subject_id):
        had.setdefault(row.recipient_id, []).append(row)
    told = []
    for recipient_id, rows in sorted(
        had.items()
    ):  # in one order, so that two who tell never wait for each other
        recipient = tx.recipients.lock(recipient_id)
        if recipient is None or not recipient.is_told or only not in (None, recipient_id):
            continue
        named = () if purposes is None else _touching(rows, purposes)
        opaque = _opaque_session(rows, session_id)
        if (purposes is not None and not named) or (session_id is not None and opaque is None):
            continue
        told.append(_append(tx, rows[0], kind, cause=cause, opaque_session=opaque, purposes=named))
    return tuple(told)


def tell_mark(
    tx: UnitOfWork, mark: Mark, *, lifted: bool = False, only: str | None = None
) -> tuple[FeedEntry, ...]:
    """Tell of a restriction, objection or correction, or that one is lifted; nobody is told of a legal hold."""
    kind = _TOLD_OF_MARK.get(mark.kind, (None, None))[lifted]
    if kind is None:
        return ()
    purposes = None if mark.purpose is None else (mark.purpose,)
    return tell(
        tx, mark.subject_id, kind, cause=mark.id, session_id=mark.session_id, purposes=purposes, only=only
    )


def correction_cause(keyring: Keyring, subject_id: str) -> str:
    """The cause of telling that a person's name was corrected. Not the id of its audit entry: a feed outlives the
    person, and would then link entries of the log that nothing may link (C29c)."""
    return f"rectified:{rectification_name(keyring.subject_key(subject_id, 'evidence'), subject_id)}"


def name_of(keyring: Keyring, recipient: Recipient) -> str:
    """The name of a recipient, opened; its id where no key opens it now."""
    try:
        key = recipient_subkey(keyring.tenant_key(key_name(recipient.id)), "name")
        return envelope.open(key, recipient.sealed_name, name_context(recipient)).decode()
    except KeyUnavailable:
        return recipient.id


def key_name(recipient_id: str) -> str:
    """Which of the tenant's keys is that recipient's."""
    return f"recipient:{recipient_id}"


def owner_of_key(key_id: str) -> str | None:
    """The recipient whose key that is, from the id of the key's row; None for any other key."""
    _, marker, recipient_id = key_id.rpartition(":recipient:")
    return recipient_id if marker else None


def name_context(recipient: Recipient) -> bytes:
    return encode_context(
        tenant=recipient.tenant, subject=recipient.id, record=recipient.id, kind="recipient-name", version="1"
    )


def _append(
    tx: UnitOfWork, row: Disclosure, kind: FeedKind, *, cause: str, opaque_session: str | None,
    purposes: Sequence[str],
) -> FeedEntry:  # fmt: skip
    head = tx.recipients.head(row.recipient_id)
    entry = FeedEntry(
        recipient_id=row.recipient_id, tenant=row.tenant, number=1 if head is None else head.number + 1, kind=kind,
        opaque_subject=row.opaque_subject, opaque_session=opaque_session, purposes=" ".join(purposes), at=tx.now(),
        cause=cause, previous=GENESIS if head is None else head.hash,
    )  # fmt: skip
    entry = replace(entry, hash=entry_hash(entry))
    tx.recipients.append(entry)
    return entry


def _touching(rows: Sequence[Disclosure], purposes: Iterable[str]) -> tuple[str, ...]:
    wanted = {row.purpose for row in rows} | _BASIC
    return tuple(sorted(wanted & set(purposes)))


def _opaque_session(rows: Sequence[Disclosure], session_id: str | None) -> str | None:
    if session_id is None:
        return None
    return next((row.opaque_session for row in rows if row.session_id == session_id), None)


# --- reading and acknowledging ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Feed:
    database: Database
    keyring: Keyring
    trail: Trail
    receipts: ReceiptBook
    apply_within: timedelta
    tenant: str

    def page(self, recipient_id: str, *, after: int, limit: int, caller: Caller) -> FeedPage:
        """The entries after number `after`, `limit` of them at most, signed. NotFound, UsageError."""
        check_id(recipient_id, "recipient")
        if after < 0 or not 1 <= limit <= LARGEST_PAGE:
            raise UsageError(
                f"A page has 1 to {LARGEST_PAGE} entries after a number from 0 on.", reason="page"
            )
        signer = self.receipts.plain_signer()  # the same page is the same bytes
        with self.database.begin() as tx:
            self._known(tx, recipient_id)
            before = tx.recipients.entry(recipient_id, after) if after else None
            if after and before is None:
                raise UsageError("This feed has no entry of that number yet.", reason="page")
            entries = tx.recipients.entries(recipient_id, after=after, limit=limit + 1)
            now, last = tx.now(), len(entries) <= limit
            entries = entries[:limit]
            self.trail.of(None, caller=caller).write(
                tx, "feed.exported", details={"recipient": recipient_id, "after": after, "entries": len(entries)}
            )  # fmt: skip
        body: dict[str, JsonValue] = {
            "format": FEED_FORMAT, "recipient": recipient_id, "after": after,
            "previous": GENESIS if before is None else before.hash,
            "entries": [entry.to_dict() for entry in entries], "last": last,
        }  # fmt: skip
        if last:
            body["as_of"] = now.astimezone(UTC).isoformat(timespec="seconds")
        through = entries[-1].number if entries else after
        return FeedPage(recipient_id, signer.sign("feed", body), after, through, len(entries), last)

    def acknowledge(self, text: str, *, caller: Caller) -> FeedStatus:
        """Take a recipient's acknowledgement; the same one again changes nothing. IntegrityError (reasons
        `acknowledgement_malformed`, `_forged`, `_forked`), Conflict (`acknowledgement_old`), NotFound."""
        claim = acknowledgement.parse(text)
        check_id(claim.recipient_id, "recipient")
        with self.database.read() as tx:
            self._known(tx, claim.recipient_id)
        key = self.keyring.tenant_key(key_name(claim.recipient_id))
        acknowledgement.check(claim, recipient_subkey(key, "acknowledgement"))
        with self.database.begin() as tx:
            tx.recipients.lock(claim.recipient_id)
            if self._is_new(tx, claim):
                taken = Acknowledgement(
                    claim.recipient_id, self.tenant, claim.through, claim.hash, claim.applied_at, tx.now()
                )
                tx.recipients.acknowledge(taken)
                self.trail.of(None, caller=caller).write(
                    tx, "feed.acknowledged", details={"recipient": claim.recipient_id, "through": claim.through}
                )  # fmt: skip
            return self._status(tx, self._known(tx, claim.recipient_id))

    def status(self, recipient_id: str | None = None) -> tuple[FeedStatus, ...]:
        """How far each recipient has come, or one of them. NotFound."""
        with self.database.read() as tx:
            if recipient_id is not None:
                check_id(recipient_id, "recipient")
                return (self._status(tx, self._known(tx, recipient_id)),)
            return tuple(self._status(tx, recipient) for recipient in tx.recipients.all(self.tenant))

    def told(self, tx: UnitOfWork, causes: Iterable[str]) -> tuple[Told, ...]:
        """What recipients were told for these causes, and whether they have done it."""
        found = []
        for entry in (entry for cause in causes for entry in tx.recipients.told(cause)):
            recipient = tx.recipients.get(entry.recipient_id)
            if recipient is not None:
                found.append(self._told(tx, recipient, entry))
        return tuple(found)

    # --- helpers ---------------------------------------------------------------------------------------

    def _known(self, tx: UnitOfWork, recipient_id: str) -> Recipient:
        recipient = known(tx.recipients.get(recipient_id))
        return known(recipient if recipient.tenant == self.tenant else None)

    def _is_new(self, tx: UnitOfWork, claim: acknowledgement.Claim) -> bool:
        """Rule 5: what it covers is in our feed; and it goes further than the last one."""
        entry = tx.recipients.entry(claim.recipient_id, claim.through)
        if entry is None or entry.hash != claim.hash:
            raise IntegrityError(
                "The recipient has applied another feed than this one.",
                hint="Was this home restored from a backup? Let the recipient read its feed anew, from the first page.",
                reason="acknowledgement_forked",
            )
        if claim.applied_at > tx.now() + _CLOCKS_DIFFER:
            raise IntegrityError(
                "The acknowledgement is from the future.", hint="Check the recipient's clock.",
                reason="acknowledgement_malformed",
            )  # fmt: skip
        before = tx.recipients.acknowledgements(claim.recipient_id)
        if before and claim.through < before[-1].through:
            raise Conflict(
                f"This recipient has acknowledged up to entry {before[-1].through} already.",
                hint="An older acknowledgement changes nothing.",
                reason="acknowledgement_old",
            )
        return not before or claim.through > before[-1].through

    def _status(self, tx: UnitOfWork, recipient: Recipient) -> FeedStatus:
        head = tx.recipients.head(recipient.id)
        done = tx.recipients.acknowledgements(recipient.id)
        through = done[-1].through if done else 0
        waiting = tx.recipients.entries(recipient.id, after=through, limit=1)
        oldest_at = waiting[0].at if waiting and recipient.is_told else None
        due_at = None if oldest_at is None else oldest_at + self.apply_within
        return FeedStatus(
            recipient_id=recipient.id, name=name_of(self.keyring, recipient), kind=str(recipient.kind),
            ended_at=recipient.ended_at, destroyed=recipient.destroyed, entries=head.number if head else 0,
            through=through, acknowledged_at=done[-1].received_at if done else None, oldest_at=oldest_at,
            due_at=due_at, overdue=due_at is not None and tx.now() > due_at,
        )  # fmt: skip

    def _told(self, tx: UnitOfWork, recipient: Recipient, entry: FeedEntry) -> Told:
        done = tx.recipients.acknowledgements(recipient.id)
        applied_at = next((one.applied_at for one in done if one.through >= entry.number), None)
        due_at = entry.at + self.apply_within
        late = applied_at is None and recipient.is_told and tx.now() > due_at
        return Told(
            recipient_id=recipient.id, name=name_of(self.keyring, recipient), kind=str(entry.kind),
            number=entry.number, told_at=entry.at, applied_at=applied_at, due_at=due_at, overdue=late,
        )  # fmt: skip
