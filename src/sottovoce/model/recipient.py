"""Recipients: who has received something of a person, and the feed that tells each of them what to undo.

    disclosure   what a recipient has of a person, under names that only this recipient knows the person by
    feed entry   "erase", "restrict", ... for one recipient: numbered, chained by hash, without a word about the person
    acknowledgement   the recipient's word that it has applied its feed up to a number

A feed entry outlives the person's rows and keys. What stays of them in it is one opaque name, made for this recipient
alone: it leads back to the person only for who still holds the recipient's own copy of the data.

Rules upheld here:
1. An entry is bound to its recipient, its number and the entry before: nothing can be left out, changed, moved to
   another feed or told twice without a hash that does not fit (C15a).
2. What is handed out of an entry is `to_canonical()`: no internal id, no name, no reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from sottovoce.errors import Conflict, NotFound, UsageError
from sottovoce.model.canonical import JsonValue, canonical_json

FEED_FORMAT = "sottovoce-feed/1"
GENESIS = "0" * 64  # what stands before the first entry of a feed
LARGEST_PAGE = 1000  # entries
LONGEST_NAME = 100  # characters
_LABEL = b"sottovoce/feed-entry/1\x00"


class RecipientKind(StrEnum):
    TEAM = "team"  # within the operator of this service
    PROCESSOR = "processor"  # works for the operator, by contract (GDPR 28)
    OUTSIDE = "outside"  # anybody else: a partner, a customer, another controller


class FeedKind(StrEnum):
    """What a recipient has to do with what it has (GDPR 19, 7(3), 21)."""

    ERASED = "erased"  # destroy everything of the person
    SESSION_ERASED = "session_erased"  # destroy everything of one session
    RESTRICTED = "restricted"  # keep it, use it for nothing
    RESTRICTION_LIFTED = "restriction_lifted"
    OBJECTED = "objected"  # stop using it for these purposes (none named: for any)
    OBJECTION_LIFTED = "objection_lifted"
    RECTIFIED = "rectified"  # something was corrected: ask for it anew
    WITHDRAWN = "consent_withdrawn"  # stop using it for these purposes


class DisclosureForm(StrEnum):
    SHOWN = "shown"  # opened for a purpose, and handed over as it was shown
    PACKAGE = "package"  # the person's package
    TRAINING = "training"  # a table for the training of a model
    BY_HAND = "by_hand"  # handed over outside of this service, and written down


@dataclass(frozen=True, slots=True)
class Recipient:
    """An organisation or a team, known inside by a random id; its name is sealed under its own key."""

    id: str
    tenant: str
    sealed_name: bytes = field(repr=False)
    kind: RecipientKind
    created_at: datetime
    ended_at: datetime | None = None  # receives nothing more
    destroyed: bool = False  # has stated that nothing is left there: is told nothing more

    @property
    def is_told(self) -> bool:
        return not self.destroyed


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What one recipient received of one person (of one session)."""

    id: str
    tenant: str
    recipient_id: str
    subject_id: str
    session_id: str | None  # None: of the person as a whole
    purpose: str
    what: str  # kinds of data, e.g. "features insight"
    form: DisclosureForm
    opaque_subject: str  # how this recipient knows the person
    opaque_session: str | None  # and the session
    note: bytes | None = field(repr=False)  # sealed free text
    at: datetime  # when it was handed over


@dataclass(frozen=True, slots=True)
class KnownAs:
    """Under which names something was handed over: what the recipient's feed will speak of."""

    recipient_id: str
    subject: str
    sessions: Mapping[str, str]  # session id -> the recipient's name for it


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One thing that one recipient is told."""

    recipient_id: str
    tenant: str
    number: int  # 1, 2, ... of this recipient
    kind: FeedKind
    opaque_subject: str
    opaque_session: str | None
    purposes: str  # separated by spaces; empty: not about purposes, or about all
    at: datetime
    cause: str  # id of the request, mark or consent batch behind it; never handed out
    previous: str  # hash of the entry before, hex
    hash: str = ""

    def to_canonical(self) -> dict[str, JsonValue]:
        """What the recipient gets, but for the hash; it covers exactly this and the recipient's id."""
        return {
            "number": self.number, "kind": str(self.kind), "subject": self.opaque_subject,
            "session": self.opaque_session, "purposes": list(self.purposes.split()),
            "at": self.at.astimezone(UTC).isoformat(timespec="seconds"), "previous": self.previous,
        }  # fmt: skip

    def to_dict(self) -> dict[str, JsonValue]:
        return {**self.to_canonical(), "hash": self.hash}


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A recipient's word, checked: everything up to entry `through` is applied there."""

    recipient_id: str
    tenant: str
    through: int
    hash: str  # of that entry
    applied_at: datetime  # as the recipient says
    received_at: datetime


def entry_hash(entry: FeedEntry) -> str:
    """SHA-256 over a label, the recipient and the canonical entry, hex."""
    covered = {"recipient": entry.recipient_id, **entry.to_canonical()}
    return hashlib.sha256(_LABEL + canonical_json(covered)).hexdigest()


def follows(entry: FeedEntry, before: FeedEntry | None) -> bool:
    """Whether an entry is whole and comes right after the one before (None: it is the first)."""
    number, previous = (0, GENESIS) if before is None else (before.number, before.hash)
    return (entry.number, entry.previous, entry.hash) == (number + 1, previous, entry_hash(entry))


def recipient_kind(word: str) -> RecipientKind:
    """The kind of that name; UsageError where there is none."""
    try:
        return RecipientKind(word)
    except ValueError:
        raise UsageError(
            "There is no such kind of recipient.",
            hint="Kinds are: " + ", ".join(RecipientKind),
            reason="recipient_kind",
        ) from None


def check_name(name: str) -> str:
    """The name, one line of printable characters; UsageError else."""
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(
            f"The name of a recipient has 1 to {LONGEST_NAME} printable characters.", reason="recipient_name"
        )
    return name


def check_receives(recipient: Recipient | None) -> Recipient:
    """The recipient itself; NotFound where there is none, Conflict where it receives nothing more."""
    found = known(recipient)
    if found.ended_at is not None:
        raise Conflict("This recipient has ended: nothing is handed over to it.", reason="recipient_ended")
    return found


def known(recipient: Recipient | None) -> Recipient:
    """The recipient itself; NotFound where there is none."""
    if recipient is None:
        raise NotFound(
            "There is no recipient of this id.", hint="`sottovoce recipients list` lists them.",
            reason="recipient_unknown",
        )  # fmt: skip
    return recipient
