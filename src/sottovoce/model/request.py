"""What a person asks for: the erasure as a promise that survives a kill, and every request as a case with a clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sottovoce.errors import Conflict, UsageError


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """Holds internal ids only; stays, with its receipt, as the proof that the erasure took place."""

    id: str
    tenant: str
    subject_id: str
    session_id: str | None  # None: the whole subject
    pseudonym: str  # of the subject in the audit log, taken while the audit key still lived
    requested_at: datetime
    completed_at: datetime | None = None
    receipt: str | None = field(default=None, repr=False)
    # JSON: what there was when it was promised; ids only
    inventory: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The mark that an erasure leaves: an internal id that must not come back."""

    id: str  # of the subject or session
    tenant: str
    request_id: str
    at: datetime


# --- cases ------------------------------------------------------------------------------------------------


class CaseKind(StrEnum):
    ACCESS = "access"
    RECTIFICATION = "rectification"
    ERASURE = "erasure"
    RESTRICTION = "restriction"
    PORTABILITY = "portability"
    OBJECTION = "objection"
    HUMAN_REVIEW = "human_review"


def case_kind(word: str) -> CaseKind:
    """The kind of that name; UsageError where there is none."""
    try:
        return CaseKind(word)
    except ValueError:
        raise UsageError(
            "There is no such kind of request.",
            hint="Kinds are: " + ", ".join(CaseKind),
            reason="kind_unknown",
        ) from None


class CaseState(StrEnum):
    OPEN = "open"
    CLOSING = "closing"  # the answer is decided and being carried out; resumed after a kill
    CLOSED = "closed"
    REFUSED = "refused"


ENDED = frozenset({CaseState.CLOSED, CaseState.REFUSED})
CASE_ARTICLES: dict[CaseKind, str] = {
    CaseKind.ACCESS: "GDPR 15",
    CaseKind.RECTIFICATION: "GDPR 16",
    CaseKind.ERASURE: "GDPR 17",
    CaseKind.RESTRICTION: "GDPR 18",
    CaseKind.PORTABILITY: "GDPR 20",
    CaseKind.OBJECTION: "GDPR 21",
    CaseKind.HUMAN_REVIEW: "GDPR 22(3)",
}
EXTENSION_REASONS: dict[str, str] = {
    "complexity": "the request is complex",
    "number_of_requests": "there are many requests",
}
REFUSAL_REASONS: dict[str, str] = {
    "identity_not_proven": "there are reasonable doubts about who asks, and they were not removed",
    "manifestly_unfounded": "the request is manifestly unfounded",
    "excessive": "the request is excessive, in particular repetitive",
    "legal_obligation": "a law demands otherwise",
    "legal_claims": "needed for legal claims",
    "rights_of_others": "the rights of others stand against it",
}
OUTCOMES: dict[str, str] = {
    "fulfilled": "what was asked for was done",
    "partly": "what was asked for was done in part; the note says what was not",
    "nothing_held": "nothing is held of the person",
    "taken_back": "the person took the request back",
}
# How identity was checked. Only reasonable doubt allows to ask for more than one is known by (GDPR 12(6)): a
# document is the last resort, and not for what does no harm if a stranger asks for it.
IDENTITY_METHODS: dict[str, str] = {
    "none": "not checked: nothing is disclosed or destroyed by it",
    "known": "known to the operator: an authenticated account or an ongoing relation",
    "callback": "called back, or answered, at the contact that was known before",
    "document": "a document was seen, because there were reasonable doubts",
}
_NO_PROOF_NEEDED = frozenset({CaseKind.OBJECTION, CaseKind.RESTRICTION})


def check_identity(kind: CaseKind, method: str) -> str:
    """The method itself; UsageError where it is unknown, too little or more than that kind of request allows (C14b)."""
    if method not in IDENTITY_METHODS:
        raise UsageError(
            "There is no such way to check an identity.",
            hint="Use one of: " + ", ".join(IDENTITY_METHODS),
            reason="identity_method",
        )
    if method == "none" and kind not in _NO_PROOF_NEEDED:
        raise UsageError(
            f"A request for {kind.replace('_', ' ')} needs to know who asks.",
            hint="Use known or callback.",
            reason="identity_too_little",
        )
    if method == "document" and kind in _NO_PROOF_NEEDED:
        raise UsageError(
            f"A document is out of proportion for a request for {kind}.",
            hint="Use none, known or callback.",
            reason="identity_too_much",
        )
    return method


def check_code(code: str, table: dict[str, str], what: str) -> str:
    """A reason code or outcome of one of the tables above; UsageError else."""
    if code not in table:
        raise UsageError(
            f"There is no such {what}.", hint="Use one of: " + ", ".join(table), reason="reason_unknown"
        )
    return code


@dataclass(frozen=True, slots=True)
class Case:
    """A request of a data subject. What was shown as proof is sealed, under a key that dies when the case ends."""

    id: str
    tenant: str
    subject_id: str | None  # None: nothing was held of whoever asked
    session_id: str | None
    kind: CaseKind
    law: str  # key of the clock in deadlines.toml, e.g. "gdpr.request"
    state: CaseState
    received_at: datetime
    identity_method: str
    identity_key_id: str | None  # None: no proof is stored (any more)
    identity: bytes | None = field(repr=False)  # sealed
    request_id: str  # of the erasure, where that is what is asked for
    extended_at: datetime | None = None
    extension_reason: str | None = None
    refusal_reason: str | None = None
    outcome: str | None = None
    ended_at: datetime | None = None
    receipt: str | None = field(default=None, repr=False)
    decision_id: str | None = None  # of a human review: the decision that is contested

    @property
    def ended(self) -> bool:
        return self.state in ENDED


def check_open(case: Case) -> Case:
    """The case itself; Conflict where it is not open any more."""
    if case.state is not CaseState.OPEN:
        raise Conflict(
            f"This request is {case.state}.",
            hint="`sottovoce requests show` says how it ended.",
            reason="case_ended",
        )
    return case
