"""The tables: one per value of the model, columns named exactly like the fields of the dataclass.

Rules upheld here:
1. Every table has a tenant column from the first migration (C5d).
2. In clear stand ids, states, times, purposes, profiles and sizes; what a person said, is or is called is
   ciphertext in a bytes column (C5c, law 7).
3. Portable SQL only: times are BIGINT microseconds since the epoch (UTC), ids are text, PostgreSQL comes later.
4. A row that belongs to a person cannot exist without the person's row: foreign keys, so that nothing written
   late can bring back somebody who was erased (F24).

A change of this file needs a migration; `tests/unit/adapters/test_migrations.py` compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from sottovoce.model.consent import ConsentAction
from sottovoce.model.lineage import Action, Leaving, RoundState
from sottovoce.model.mark import MarkKind
from sottovoce.model.recipient import DisclosureForm, FeedKind, RecipientKind
from sottovoce.model.recording import RecordingState
from sottovoce.model.request import CaseKind, CaseState
from sottovoce.model.subject import SubjectState

REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0009",
    "0010",
)  # every version this release can read, oldest first; the last is written
HEAD = REVISIONS[-1]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(at: datetime) -> int:
    """Whole microseconds since the epoch. ValueError for a naive time: it names no instant."""
    if at.tzinfo is None:
        raise ValueError("a stored time must be aware (UTC)")
    return (at - _EPOCH) // _MICROSECOND


def from_microseconds(value: int) -> datetime:
    return _EPOCH + value * _MICROSECOND


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware datetime, stored as BIGINT microseconds since the epoch."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else from_microseconds(value)


class Word(sa.types.TypeDecorator[StrEnum]):
    """A StrEnum, stored as its text."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        self.kind = kind
        super().__init__()

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> StrEnum | None:  # noqa: ARG002
        return None if value is None else self.kind(value)


# BIGINT everywhere but SQLite, where only INTEGER PRIMARY KEY counts by itself.
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)


def _text(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, **{"nullable": False, **options})


def _id(name: str = "id") -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=True)


def _count(name: str) -> sa.Column[int]:
    """A key that is a number we give."""
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.Text, nullable=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, Instant, nullable=nullable)


def _bytes(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=nullable)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _subject_id() -> sa.Column[str]:
    return sa.Column("subject_id", sa.Text, sa.ForeignKey("subjects.id"), nullable=False)


def _session_id(*, nullable: bool = False) -> sa.Column[str]:
    return sa.Column("session_id", sa.Text, sa.ForeignKey("recordings.id"), nullable=nullable)


def _recipient_id(**options: Any) -> sa.Column[str]:
    return sa.Column(
        "recipient_id", sa.Text, sa.ForeignKey("recipients.id"), **{"nullable": False, **options}
    )


subjects = sa.Table(
    "subjects",
    metadata,
    _id(),
    _tenant(),
    _text("blind_index"),
    _bytes("sealed_name"),
    sa.Column("state", Word(SubjectState), nullable=False),
    _time("created_at"),
    sa.UniqueConstraint("tenant", "blind_index"),
)

notices = sa.Table(
    "notices",
    metadata,
    _id(),
    _tenant(),
    _text("purpose"),
    _text("version"),
    _number("ordinal"),
    _text("locale"),
    _flag("material"),
    _text("sha256"),
    _bytes("text"),
    _time("published_at"),
    sa.UniqueConstraint("tenant", "purpose", "version", "locale"),
)

consent_events = sa.Table(
    "consent_events",
    metadata,
    sa.Column("sequence", _COUNTER, primary_key=True, autoincrement=True),
    _text("id", unique=True),
    _tenant(),
    _subject_id(),
    _text("batch_id"),
    _text("purpose"),
    sa.Column("action", Word(ConsentAction), nullable=False),
    sa.Column("notice_id", sa.Text, sa.ForeignKey("notices.id"), nullable=True),
    _number("notice_ordinal"),
    _text("channel"),
    _bytes("evidence", nullable=True),
    _time("occurred_at"),
    _time("recorded_at"),
    sa.Index(None, "subject_id", "sequence"),
    sqlite_autoincrement=True,  # a number is never given twice, not even after an erasure
)

recordings = sa.Table(
    "recordings",
    metadata,
    _id(),
    _tenant(),
    _subject_id(),
    _text("shape"),
    sa.Column("state", Word(RecordingState), nullable=False),
    _time("received_at"),
    _time("discard_by"),
    _flag("keep"),
    _flag("discard_source"),
    _text("profile"),
    _text("channel"),
    _flag("accept_truncated"),
    _text("idempotency", nullable=True),
    _time("body_stored_at", nullable=True),
    _number("body_bytes"),
    _text("lease_owner", nullable=True),
    _time("lease_until", nullable=True),
    _number("attempts"),
    _text("failure", nullable=True),
    _time("hold_until", nullable=True),
    _text("erase_request_id", nullable=True),
    _time("committed_at", nullable=True),
    _time("ended_at", nullable=True),
    _text("receipt_id", nullable=True),
    sa.UniqueConstraint("tenant", "subject_id", "idempotency"),
    sa.Index(None, "subject_id", "received_at"),
    sa.Index(None, "state", "discard_by"),
)

records = sa.Table(
    "records",
    metadata,
    _id(),
    _tenant(),
    _subject_id(),
    _session_id(),
    _text("kind"),
    _text("profile"),
    _text("version"),
    _bytes("body"),
    _time("created_at"),
    _time("expires_at"),
    sa.UniqueConstraint("session_id", "kind", "profile", "version"),  # exactly once (I4)
    sa.Index(None, "subject_id", "created_at"),
    sa.Index(None, "kind", "expires_at"),
    sa.Index(None, "kind", "created_at"),
)

decisions = sa.Table(
    "decisions",
    metadata,
    _id(),
    _tenant(),
    _subject_id(),
    _session_id(),
    _text("purpose"),
    _text("model"),
    _text("model_sha256"),
    _bytes("body"),
    _time("at"),
    _time("expires_at"),
    sa.Index(None, "subject_id", "at"),
    sa.Index(None, "session_id"),
    sa.Index(None, "expires_at"),
    sa.Index(None, "at"),
)

receipts = sa.Table(
    "receipts",
    metadata,
    _id(),
    _tenant(),
    _subject_id(),
    _session_id(nullable=True),
    _text("kind"),
    _text("text"),
    _time("at"),
    sa.Index(None, "subject_id", "at"),
    sa.Index(None, "session_id"),
)

# No foreign key: the proof that an erasure took place outlives the person's row.
requests = sa.Table(
    "requests",
    metadata,
    _id(),
    _tenant(),
    _text("subject_id"),
    _text("session_id", nullable=True),
    _text("pseudonym"),
    _time("requested_at"),
    _time("completed_at", nullable=True),
    _text("receipt", nullable=True),
    _text("inventory", nullable=True),
    sa.Index(None, "completed_at", "requested_at"),
    sa.Index(None, "subject_id"),
)

marks = sa.Table(
    "marks",
    metadata,
    _id(),
    _tenant(),
    _subject_id(),
    _session_id(nullable=True),
    sa.Column("kind", Word(MarkKind), nullable=False),
    _text("purpose", nullable=True),
    _text("reason"),
    _text("asked_by"),
    _text("request_id", nullable=True),
    _bytes("detail", nullable=True),
    _time("placed_at"),
    _time("lifted_at", nullable=True),
    sa.Index(None, "subject_id", "kind"),
    sa.Index(None, "session_id"),
    sa.Index(None, "kind", "lifted_at"),
)

recipients = sa.Table(
    "recipients",
    metadata,
    _id(),
    _tenant(),
    _bytes("sealed_name"),
    sa.Column("kind", Word(RecipientKind), nullable=False),
    _time("created_at"),
    _time("ended_at", nullable=True),
    _flag("destroyed"),
)


disclosures = sa.Table(
    "disclosures",
    metadata,
    _id(),
    _tenant(),
    _recipient_id(),
    _subject_id(),
    _session_id(nullable=True),
    _text("purpose"),
    _text("what"),
    sa.Column("form", Word(DisclosureForm), nullable=False),
    _text("opaque_subject"),
    _text("opaque_session", nullable=True),
    _bytes("note", nullable=True),
    _time("at"),
    sa.Index(None, "subject_id"),
    sa.Index(None, "session_id"),
    sa.Index(None, "recipient_id"),
)

# No subject: what a recipient is told outlives the person, under a name that only that recipient knows them by.
feed_entries = sa.Table(
    "feed_entries",
    metadata,
    _recipient_id(primary_key=True),
    _count("number"),
    _tenant(),
    sa.Column("kind", Word(FeedKind), nullable=False),
    _text("opaque_subject"),
    _text("opaque_session", nullable=True),
    _text("purposes"),
    _time("at"),
    _text("cause"),
    _text("previous"),
    _text("hash"),
    sa.Index(None, "cause"),
)

acknowledgements = sa.Table(
    "acknowledgements",
    metadata,
    _recipient_id(primary_key=True),
    _count("through"),
    _tenant(),
    _text("hash"),
    _time("applied_at"),
    _time("received_at"),
)

# No foreign key: the log of requests outlives the person's row; internal ids only once the person is erased.
cases = sa.Table(
    "cases",
    metadata,
    _id(),
    _tenant(),
    _text("subject_id", nullable=True),
    _text("session_id", nullable=True),
    sa.Column("kind", Word(CaseKind), nullable=False),
    _text("law"),
    sa.Column("state", Word(CaseState), nullable=False),
    _time("received_at"),
    _text("identity_method"),
    _text("identity_key_id", nullable=True),
    _bytes("identity", nullable=True),
    _text("request_id"),
    _time("extended_at", nullable=True),
    _text("extension_reason", nullable=True),
    _text("refusal_reason", nullable=True),
    _text("outcome", nullable=True),
    _time("ended_at", nullable=True),
    _text("receipt", nullable=True),
    _text("decision_id", nullable=True),
    sa.Index(None, "subject_id"),
    sa.Index(None, "state", "received_at"),
    sa.Index(None, "identity_key_id"),
)

tombstones = sa.Table(
    "tombstones",
    metadata,
    _id("request_id"),
    _text("id"),
    _tenant(),
    _time("at"),
    sa.Index(None, "id"),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("position", _COUNTER, primary_key=True, autoincrement=True),  # order of writing
    _text("id", unique=True),
    _tenant(),
    _time("at"),
    _text("kind"),
    _text("actor"),
    _text("channel"),
    _text("pseudonym", nullable=True),
    _text("purpose", nullable=True),
    _text("outcome"),
    _text("details_key_id", nullable=True),
    _bytes("details", nullable=True),
    _bytes("leaf"),
    sa.Column("sequence", sa.BigInteger, nullable=True, unique=True),
    _bytes("link", nullable=True),
    sa.Index(None, "pseudonym", "position"),
    sqlite_autoincrement=True,
)

# Beside the events: nodes of their tree (only ever added), what was signed, and how far each witness has come.
tree_nodes = sa.Table(
    "tree_nodes",
    metadata,
    _count("level"),
    _count("number"),
    _tenant(),
    _bytes("hash"),
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    _count("size"),
    _tenant(),
    _time("at"),
    _text("text"),
)

witness_marks = sa.Table(
    "witness_marks",
    metadata,
    _id("witness"),
    _tenant(),
    sa.Column("size", sa.BigInteger, nullable=False),
    _time("at"),
)

# Of entries whose contents are in an archive: the leaf hash, and the signed statement of where they were cut off.
archived_leaves = sa.Table(
    "archived_leaves",
    metadata,
    _count("sequence"),
    _tenant(),
    _bytes("leaf"),
)

archive_cuts = sa.Table(
    "archive_cuts",
    metadata,
    _count("size"),
    _tenant(),
    _time("at"),
    _time("until"),
    _text("text"),
)

retention_rules = sa.Table(
    "retention_rules",
    metadata,
    _id("kind"),
    _tenant(),
    _number("days"),
    _time("at"),
)

clock_marks = sa.Table(
    "clock_marks",
    metadata,
    _id("tenant"),
    _text("boot"),
    _time("started_at"),
)

# One row: the head of the file of tombstones up to which this database has done what it says.
tombstones_applied = sa.Table(
    "tombstones_applied",
    metadata,
    _id("tenant"),
    sa.Column("count", sa.BigInteger, nullable=False),
    _bytes("hash"),
)

# Rounds of training: counts and hashes. Whose features they were stands in `training_uses`, erased with the person.
training_rounds = sa.Table(
    "training_rounds",
    metadata,
    _id(),
    _tenant(),
    _text("model"),
    _number("number"),
    sa.Column("state", Word(RoundState), nullable=False),
    _text("profile"),
    _number("people"),
    _number("records"),
    _text("epsilon", nullable=True),
    _text("delta", nullable=True),
    _text("unit"),
    sa.Column("on_leave", Word(Action), nullable=False),
    _time("use_until"),
    _time("begun_at"),
    _text("dataset_sha256", nullable=True),
    _text("model_sha256", nullable=True),
    _text("version", nullable=True),
    _time("finished_at", nullable=True),
    _time("retired_at", nullable=True),
    sa.UniqueConstraint("tenant", "model", "number"),
)

training_uses = sa.Table(
    "training_uses",
    metadata,
    _id("label"),
    _tenant(),
    _text("round_id"),
    _subject_id(),
    _session_id(),
    _text("speaker"),
    _time("at"),
    _time("left_at", nullable=True),
    sa.Index(None, "round_id"),
    sa.Index(None, "subject_id"),
    sa.Index(None, "session_id"),
)

# Rows that a data team has to leave out of its table: labels of that table, which lead to nobody from here.
training_departures = sa.Table(
    "training_departures",
    metadata,
    _id("label"),
    _tenant(),
    _text("round_id"),
    _text("speaker"),
    sa.Column("reason", Word(Leaving), nullable=False),
    _time("day"),
    _flag("excluded"),
    sa.Index(None, "round_id"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    _id("kind"),
    _id("ref"),
    _tenant(),
    _time("due_at"),
    sa.Index(None, "kind", "due_at"),
    sa.Index(None, "ref"),
)
