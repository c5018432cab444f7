"""What stands on a person's data until it is lifted: restriction, objection, legal hold, correction, waiting erasure.

A mark is a row of its own, so that who asked, why and since when can be shown to the person. Reasons are codes of
the tables below; words in free text are sealed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sottovoce.errors import ConsentRequired, UsageError


class MarkKind(StrEnum):
    RESTRICTION = "restriction"  # stored, not otherwise used (GDPR 18)
    OBJECTION = "objection"  # not used for one purpose, or for none at all (GDPR 21)
    HOLD = "hold"  # a recorded duty to keep: blocks shredding, never withdrawal (C12a)
    CORRECTION = "correction"  # the person's own statement beside what is stored (GDPR 16)
    ERASURE_WAITING = "erasure_waiting"  # asked for under a hold: runs by itself when that is lifted


REASONS: dict[MarkKind, dict[str, str]] = {
    MarkKind.RESTRICTION: {
        "accuracy_contested": "the person contests the accuracy (GDPR 18(1)(a))",
        "unlawful_not_erased": "the use was unlawful, and the person prefers restriction to erasure (GDPR 18(1)(b))",
        "needed_for_claims": "the person needs the data for legal claims (GDPR 18(1)(c))",
        "objection_pending": "an objection is being decided (GDPR 18(1)(d))",
    },
    MarkKind.OBJECTION: {"objection": "the person objects (GDPR 21)"},
    MarkKind.HOLD: {
        "legal_claims": "needed for legal claims (GDPR 17(3)(e))",
        "legal_obligation": "a law demands that it is kept (GDPR 17(3)(b))",
        "public_health": "public interest in public health (GDPR 17(3)(c))",
    },
    MarkKind.CORRECTION: {"statement": "the person's own statement (GDPR 16)"},
    MarkKind.ERASURE_WAITING: {"legal_hold": "asked for while a legal hold stands"},
}
ASKERS = ("person", "operator", "authority")
_KEEPS = frozenset({MarkKind.RESTRICTION, MarkKind.HOLD})


@dataclass(frozen=True, slots=True)
class Mark:
    id: str
    tenant: str
    subject_id: str
    session_id: str | None  # None: all that is held of the person
    kind: MarkKind
    purpose: str | None  # of an objection; None: every purpose
    reason: str  # a code of REASONS
    asked_by: str  # one of ASKERS
    request_id: str | None  # of an erasure that waits
    detail: bytes | None = field(repr=False)  # sealed free text: the case number, the statement, ...
    placed_at: datetime
    lifted_at: datetime | None = None


def check_reason(kind: MarkKind, reason: str) -> str:
    """The reason itself, or UsageError where it is none of that kind."""
    if reason not in REASONS[kind]:
        raise UsageError(
            f"There is no such reason for a {kind}.",
            hint="Reasons are: " + ", ".join(REASONS[kind]),
            reason="reason_unknown",
        )
    return reason


def check_asker(asked_by: str) -> str:
    if asked_by not in ASKERS:
        raise UsageError(
            "Nobody of that kind can ask for it.",
            hint="Use one of: " + ", ".join(ASKERS),
            reason="asker_unknown",
        )
    return asked_by


def keeps(marks: Iterable[Mark]) -> bool:
    """Whether what is held is neither swept nor shredded now: a restriction or a hold stands."""
    return any(mark.kind in _KEEPS and mark.lifted_at is None for mark in marks)


def forbidden(mark: Mark) -> ConsentRequired:
    """The refusal of a use that a mark forbids."""
    hint = "`sottovoce marks --subject ID` shows who asked for it, why and since when."
    if mark.kind is MarkKind.OBJECTION:
        return ConsentRequired("The person has objected to this use.", hint=hint, reason="objected")
    return ConsentRequired(
        "The person's data is restricted: it is stored, and not otherwise used.",
        hint=hint,
        reason="restricted",
    )


def holds(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    """The legal holds that stand."""
    return tuple(mark for mark in marks if mark.kind is MarkKind.HOLD and mark.lifted_at is None)


def forbids(marks: Iterable[Mark], purposes: Iterable[str]) -> Mark | None:
    """The mark that forbids a use for these purposes, if one does (C12b). The person's own rights are not asked."""
    wanted = set(purposes)
    for mark in marks:
        if mark.lifted_at is not None:
            continue
        if mark.kind is MarkKind.RESTRICTION:
            return mark
        if mark.kind is MarkKind.OBJECTION and (mark.purpose is None or mark.purpose in wanted):
            return mark
    return None
