"""The consent ledger's rules: events in server sequence, folded by a pure function into what holds now.

Rules upheld here, in order:
1. The server's sequence decides; on a tie withdrawal comes last, so it wins (C1c).
2. A grant that occurred before the last withdrawal or refusal revives nothing (C2b, X01).
3. A grant on an older notice version than that of the last withdrawal revives nothing, and takes the place of no
   grant on a newer one (C2b).
4. Consent holds for the notice it was given on: a later material notice asks again, an editorial one does not (C3a).
5. Unknown means no.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class ConsentAction(StrEnum):
    GRANT = "grant"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"


class ConsentStatus(StrEnum):
    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    NEVER_ASKED = "never_asked"


@dataclass(frozen=True, slots=True)
class NoticeVersion:
    """The exact text a person was shown: one row per purpose, version and locale."""

    id: str
    tenant: str
    purpose: str
    version: str
    ordinal: int  # 1, 2, ... per purpose; the locales of one version share it
    locale: str
    material: bool  # a material change asks everybody again; an editorial one nobody
    sha256: str  # of `text`, the exact bytes
    text: bytes = field(repr=False)
    published_at: datetime


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One grant, refusal or withdrawal. Refusals are rows too."""

    id: str
    tenant: str
    subject_id: str
    sequence: int  # given by the server on insert; 0 before
    batch_id: str  # all purposes of one call share it
    purpose: str
    action: ConsentAction
    notice_id: str | None  # None only for a withdrawal or refusal without a notice
    notice_ordinal: int  # 0 where there is no notice
    channel: str  # "operator-cli", "web", "keypress", "spoken", ...
    evidence: bytes | None = field(repr=False)  # sealed: e.g. the hash of the spoken "yes"
    occurred_at: datetime  # when the person acted
    recorded_at: datetime  # when the server wrote it


@dataclass(frozen=True, slots=True)
class PurposeConsent:
    """What holds for one purpose now."""

    purpose: str
    status: ConsentStatus = ConsentStatus.NEVER_ASKED
    event_id: str | None = None
    notice_id: str | None = None
    notice_ordinal: int = 0
    since: datetime | None = None
    barrier_at: datetime | None = None  # occurrence of the last withdrawal or refusal
    barrier_ordinal: int = 0


@dataclass(frozen=True, slots=True)
class ConsentDecision:
    """Whether a set of purposes is allowed now, and if not why: `consent_required` or `reconsent_required`."""

    missing: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()  # granted, but on a notice that has changed materially

    @property
    def allowed(self) -> bool:
        return not self.missing and not self.outdated


def fold(events: Iterable[ConsentEvent]) -> dict[str, PurposeConsent]:
    """State per purpose from events in any order."""
    states: dict[str, PurposeConsent] = {}
    for event in sorted(events, key=lambda e: (e.sequence, e.action is not ConsentAction.GRANT, e.id)):
        before = states.get(event.purpose, PurposeConsent(event.purpose))
        states[event.purpose] = _apply(before, event)
    return states


def material_ordinals(notices: Iterable[NoticeVersion]) -> dict[str, int]:
    """For each purpose the ordinal of its latest material notice: older grants have to be asked again."""
    latest: dict[str, int] = {}
    for notice in notices:
        if notice.material:
            latest[notice.purpose] = max(latest.get(notice.purpose, 0), notice.ordinal)
    return latest


def decide(
    states: Mapping[str, PurposeConsent], purposes: Sequence[str], *, material: Mapping[str, int]
) -> ConsentDecision:
    """Whether every purpose is granted, on a notice that still stands."""
    missing, outdated = [], []
    for purpose in purposes:
        state = states.get(purpose, PurposeConsent(purpose))
        if state.status is not ConsentStatus.GRANTED:
            missing.append(purpose)
        elif state.notice_ordinal < material.get(purpose, 0):
            outdated.append(purpose)
    return ConsentDecision(tuple(missing), tuple(outdated))


def _apply(state: PurposeConsent, event: ConsentEvent) -> PurposeConsent:
    if event.action is ConsentAction.GRANT:
        return state if _revives_nothing(state, event) else _granted(state, event)
    stopped = {ConsentAction.REFUSE: ConsentStatus.REFUSED, ConsentAction.WITHDRAW: ConsentStatus.WITHDRAWN}
    barrier_at = event.occurred_at if state.barrier_at is None else max(state.barrier_at, event.occurred_at)
    return PurposeConsent(
        purpose=state.purpose, status=stopped[event.action], event_id=event.id, notice_id=event.notice_id,
        notice_ordinal=event.notice_ordinal, since=event.recorded_at, barrier_at=barrier_at,
        barrier_ordinal=max(state.barrier_ordinal, event.notice_ordinal, state.notice_ordinal),
    )  # fmt: skip


def _revives_nothing(state: PurposeConsent, grant: ConsentEvent) -> bool:
    """A late grant: from before the last stop, or on an older notice than the one that stands."""
    if state.status is ConsentStatus.GRANTED and grant.notice_ordinal < state.notice_ordinal:
        return True
    if state.barrier_at is None:
        return False
    return grant.occurred_at < state.barrier_at or grant.notice_ordinal < state.barrier_ordinal


def _granted(state: PurposeConsent, grant: ConsentEvent) -> PurposeConsent:
    return PurposeConsent(
        purpose=state.purpose, status=ConsentStatus.GRANTED, event_id=grant.id, notice_id=grant.notice_id,
        notice_ordinal=grant.notice_ordinal, since=grant.recorded_at, barrier_at=state.barrier_at,
        barrier_ordinal=state.barrier_ordinal,
    )  # fmt: skip
