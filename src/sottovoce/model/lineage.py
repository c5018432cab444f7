"""Training lineage: which rounds of training a person's features went into, and what follows when the person leaves.

A round is one table of features handed to a data team, and the model that came of it. Whose features they were stands
in rows of the person (`TrainingUse`), erased with them. What stays is the round with its counts, and for each row that
has to be left out its label in that table (`Departure`), which leads to nobody without the table itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Literal

from sottovoce.errors import UsageError

# What a guarantee is about: a speaker with all their recordings, or one recording. Only the first bounds the influence
# of a person: with five recordings each, 2.31 for a recording was 15.5 for a speaker.
Unit = Literal["speaker", "recording"]
UNITS: tuple[Unit, ...] = ("speaker", "recording")
# Beyond these a guarantee says next to nothing: at epsilon 10 an odds ratio of 22,000; at delta 1/n one person of the
# n may be given away outright (Dwork and Roth 2014, section 2.3; NIST SP 800-226, 2.2).
MOST_EPSILON = Decimal(10)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,18})?([eE]-?[0-9]{1,2})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class RoundState(StrEnum):
    PREPARING = "preparing"  # recorded before anything was opened; no table was handed over yet
    OPEN = "open"  # the table is with the data team
    FINISHED = "finished"  # a model came of it
    RETIRED = "retired"  # given up, or its model is not used any more


class Leaving(StrEnum):
    """Why a row of a round has to be left out."""

    WITHDRAWN = "withdrawn"
    OBJECTED = "objected"
    RESTRICTED = "restricted"
    NOT_KEPT = "not_kept"  # the consent to keep the result was taken back
    ERASED = "erased"


class Action(StrEnum):
    EXCLUDE = "exclude"  # no model yet: the row is dropped from the table before training
    RETRAIN = "retrain"  # a new round without the person, then this one is retired
    RETIRE = "retire"  # this model is not used any more
    COVERED = "covered"  # the influence of one person was bounded by (epsilon, delta); nothing else is done
    NONE = "none"  # retired before


WHY: dict[Action, str] = {
    Action.EXCLUDE: "no model was trained yet: the rows are dropped from the table first",
    Action.RETRAIN: "a model of a new round without these rows takes its place",
    Action.RETIRE: "the model is taken out of use",
    Action.COVERED: "what one person could change was bounded when the model was trained, as the data team states",
    Action.NONE: "the model is not in use any more",
}


@dataclass(frozen=True, slots=True)
class Guarantee:
    """(epsilon, delta) as the data team states it, for one unit. Numbers are decimal text: they are signed."""

    epsilon: str
    delta: str
    unit: Unit

    def covers(self, people: int) -> bool:
        """Whether it bounds what one person of so many can change in the model."""
        weak = Decimal(self.epsilon) > MOST_EPSILON or Decimal(self.delta) * max(people, 1) >= 1
        return self.unit == "speaker" and not weak

    def words(self) -> str:
        return f"epsilon {self.epsilon}, delta {self.delta} for one {self.unit}, as stated by the data team"


@dataclass(frozen=True, slots=True)
class TrainingRound:
    """One round of training of a model. Holds counts and hashes, never who."""

    id: str
    tenant: str
    model: str
    number: int  # 1, 2, ... for each model
    state: RoundState
    profile: str  # of the features
    people: int
    records: int
    epsilon: str | None  # None: trained without such a guarantee
    delta: str | None
    unit: Unit
    on_leave: Action  # the policy: retrain, retire or covered
    use_until: datetime  # the first of its rows is due then: the table has to be gone
    begun_at: datetime
    dataset_sha256: str | None = None  # of the table as it was handed over
    model_sha256: str | None = None
    version: str | None = None
    finished_at: datetime | None = None
    retired_at: datetime | None = None

    @property
    def guarantee(self) -> Guarantee | None:
        if self.epsilon is None or self.delta is None:
            return None
        return Guarantee(self.epsilon, self.delta, self.unit)

    def action(self) -> Action:
        """What has to be done where somebody left."""
        match self.state:
            case RoundState.PREPARING | RoundState.OPEN:
                return Action.EXCLUDE
            case RoundState.FINISHED:
                return self.on_leave
        return Action.NONE


@dataclass(frozen=True, slots=True)
class TrainingUse:
    """One session of one person in one round. Erased with the person, or with the session."""

    label: str  # of the row in the table: random, of this round alone
    tenant: str
    round_id: str
    subject_id: str
    session_id: str
    speaker: str  # the person's label in that table
    at: datetime
    left_at: datetime | None = None  # since when it may not be used


@dataclass(frozen=True, slots=True)
class Departure:
    """A row of a round's table that has to be left out. Leads to nobody without the table.

    Only the day is kept: a time to the microsecond would lead from here to the request that it came from."""

    label: str
    tenant: str
    round_id: str
    speaker: str
    reason: Leaving
    day: datetime  # midnight, UTC
    excluded: bool = False  # the data team has dropped it before training


@dataclass(frozen=True, slots=True)
class LineageLine:
    """What a receipt tells a person of one round that used their features (C16a)."""

    round_id: str
    model: str
    number: int
    version: str | None
    model_sha256: str | None
    recordings: int
    guarantee: Guarantee | None
    action: Action

    def words(self) -> str:
        model = f"model {self.model}, round {self.number}"
        if self.version is not None:
            model += f", version {self.version}"
        bound = f" ({self.guarantee.words()})" if self.action is Action.COVERED and self.guarantee else ""
        return f"{model}, used {self.recordings} of your recordings: {self.action}: {WHY[self.action]}{bound}"


@dataclass(frozen=True, slots=True)
class RoundView:
    """A round as it is shown, with what has to be done about it."""

    round: TrainingRound
    left: int  # rows that have to be left out, those that were excluded before training not counted
    speakers_left: int
    action: Action
    due: bool  # somebody has to do something now
    why: str
    past_date: bool  # the table is past the date of one of its rows


def line_of(training: TrainingRound, recordings: int) -> LineageLine:
    return LineageLine(
        training.id, training.model, training.number, training.version, training.model_sha256, recordings,
        training.guarantee, training.action(),
    )  # fmt: skip


def view_of(training: TrainingRound, departures: Iterable[Departure], now: datetime) -> RoundView:
    """The round, who is missing in it now, and what follows."""
    left = [one for one in departures if not one.excluded]
    past = training.state in (RoundState.PREPARING, RoundState.OPEN) and now >= training.use_until
    action = training.action() if left else Action.NONE
    due = past or action in (Action.EXCLUDE, Action.RETRAIN, Action.RETIRE)
    why = WHY[action] if left else ""
    if training.state is RoundState.PREPARING:
        past, due, why = False, True, "no table was handed over yet; where it was interrupted, retire it"
    if past:
        why = "the table is past the date of some of its rows: delete it, then finish or retire the round"
    return RoundView(training, len(left), len({one.speaker for one in left}), action, due, why, past)


def concerns(reason: Leaving, training: TrainingRound) -> bool:
    """A restriction, or the end of keeping, stops a use that has not happened yet; the others reach a model that is
    there, too."""
    if reason in (Leaving.RESTRICTED, Leaving.NOT_KEPT):
        return training.state in (RoundState.PREPARING, RoundState.OPEN)
    return True


# --- what is given by people ------------------------------------------------------------------------------


def check_model_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(
            "The name of a model has 1 to 64 letters, digits, dots, dashes or underscores.",
            reason="model_name",
        )
    return name


def check_sha256(text: str) -> str:
    if not _SHA256.fullmatch(text.lower()):
        raise UsageError("The hash of a model is a SHA-256 of 64 hexadecimal digits.", reason="model_hash")
    return text.lower()


def check_guarantee(epsilon: str | None, delta: str | None, unit: str) -> Guarantee | None:
    """None where neither is given. UsageError for half of one, for numbers that are none or out of range."""
    if epsilon is None and delta is None:
        return None
    if epsilon is None or delta is None:
        raise UsageError(
            "A guarantee is an epsilon and a delta.", hint="Give both or none.", reason="guarantee"
        )
    for known in UNITS:
        if unit == known:
            return Guarantee(_decimal(epsilon, below=None), _decimal(delta, below=Decimal(1)), known)
    raise UsageError("A guarantee is for a speaker or for a recording.", reason="guarantee")


def check_on_leave(action: str, guarantee: Guarantee | None, people: int) -> Action:
    """The policy of a round. `covered` only where a guarantee for a speaker is strong enough to say so."""
    if action not in (Action.RETRAIN, Action.RETIRE, Action.COVERED):
        raise UsageError("Give retrain, retire or covered.", reason="on_leave")
    if action == Action.COVERED and (guarantee is None or not guarantee.covers(people)):
        raise UsageError(
            "Covered needs a guarantee for one speaker that bounds what a person can change.",
            hint=f"An epsilon of at most {MOST_EPSILON}, a delta below one over the number of people, for a speaker.",
            reason="guarantee_too_weak",
        )
    return Action(action)


def _decimal(text: str, *, below: Decimal | None) -> str:
    try:
        number = Decimal(text if _NUMBER.fullmatch(text) else "NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0 or (below is not None and number >= below):
        raise UsageError(
            "An epsilon is a number from 0 on, a delta one from 0 to below 1.", reason="guarantee"
        )
    return text
