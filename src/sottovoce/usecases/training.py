"""Rounds of training: a data team gets one table of the features of those who agree, and answers with a model.

Rules upheld here, in order:
1. The round stands in the database before anything of it is opened; who is in it is chosen by `training_choice.py`.
2. Whoever leaves while the table is made is not in it: asked again before it is handed over, and once more after (F25).
3. A model is recorded only when the rows that had to be dropped were; who leaves later is listed with what follows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from sottovoce.errors import Conflict, NotFound
from sottovoce.model.ids import RandomBytes, check_id, new_id
from sottovoce.model.lineage import (
    Departure,
    RoundState,
    RoundView,
    TrainingRound,
    check_guarantee,
    check_model_name,
    check_on_leave,
    check_sha256,
    view_of,
)
from sottovoce.model.purpose import MODEL_TRAINING
from sottovoce.model.retention import RetentionPolicy
from sottovoce.model.subject import Caller
from sottovoce.ports import Database, UnitOfWork
from sottovoce.usecases.group import GroupCommit
from sottovoce.usecases.handover import RecipientDesk
from sottovoce.usecases.trail import Trail
from sottovoce.usecases.training_choice import Choosing, Chosen, TableRow, nobody_agrees
from sottovoce.usecases.vault import Vault

_PATIENCE = 5  # how often a table is made anew because somebody left meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A round that a data team asks for. The guarantee is what it states of its training."""

    model: str
    profile: str | None = None  # of the features; None: the only one that there is
    epsilon: str | None = None
    delta: str | None = None
    unit: str = "speaker"
    on_leave: str = "retrain"
    usable_days: int = 0  # results that are due within so many days are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """How a table becomes a file outside the home."""

    render: Callable[[Sequence[TableRow]], bytes]
    write: Callable[[bytes], None]  # refuses a file that is there
    take_back: Callable[[bytes], None]  # removes the file where it holds exactly these bytes


@dataclass(frozen=True, kw_only=True)
class Training:
    database: Database
    vault: Vault
    trail: Trail
    reads: GroupCommit
    retention: RetentionPolicy
    random_bytes: RandomBytes
    tenant: str

    # --- begin -----------------------------------------------------------------------------------------

    def begin(
        self, ask: Ask, handover: Handover, *, desk: RecipientDesk | None = None, caller: Caller
    ) -> TrainingRound:
        """Hand over the table of a new round; the round with its counts and the hash of the table. `desk`: of the
        recipient that it is handed to, whose own names for people and sessions are in it then. UsageError, NotFound
        where nobody agrees or nothing is kept, Conflict where people leave faster than the table is made."""
        people, profile = self._choosing.who(ask.profile, usable_days=ask.usable_days, desk=desk)
        begun = self._record(ask, profile, len(people), caller=caller)
        try:
            chosen = self._choosing.choose(begun, people, desk, caller=caller, usable_days=ask.usable_days)
            rows = [row for one in chosen if (row := self._choosing.open(one)) is not None]
            return self._hand_over(begun, chosen, rows, handover, caller=caller)
        except BaseException:  # who interrupts it gets no table, and nobody's results count as used
            self._give_up(begun.id, caller=caller)
            raise

    def _record(self, ask: Ask, profile: str, people: int, *, caller: Caller) -> TrainingRound:
        """The round stands in the database before anything of it is opened."""
        guarantee = check_guarantee(ask.epsilon, ask.delta, ask.unit)
        on_leave = check_on_leave(ask.on_leave, guarantee, people)
        model = check_model_name(ask.model)
        with self.database.begin() as tx:
            before = [one.number for one in tx.lineage.rounds(self.tenant) if one.model == model]
            begun = TrainingRound(
                id=new_id("round", self.random_bytes), tenant=self.tenant, model=model,
                number=max(before, default=0) + 1, state=RoundState.PREPARING, profile=profile, people=0, records=0,
                epsilon=guarantee.epsilon if guarantee else None, delta=guarantee.delta if guarantee else None,
                unit=guarantee.unit if guarantee else "speaker", on_leave=on_leave, use_until=tx.now(),
                begun_at=tx.now(),
            )  # fmt: skip
            tx.lineage.add(begun)
            self._note(tx, "training.begun", begun, caller=caller)
        return begun

    # --- handing over ----------------------------------------------------------------------------------

    def _hand_over(
        self, begun: TrainingRound, chosen: Sequence[Chosen], rows: Sequence[TableRow], handover: Handover, *,
        caller: Caller,
    ) -> TrainingRound:  # fmt: skip
        """Rule 2: rendered without those who have left, recorded, written, and looked at once more."""
        due = {one.use.label: self._choosing.due(one.record) for one in chosen}
        for _ in range(_PATIENCE):
            gone = self._gone(begun.id)
            left = sorted((row for row in rows if row.label not in gone), key=lambda row: row.label)
            if not left:
                raise nobody_agrees()
            data = handover.render(left)
            opened = self._opened(begun, left, data, min(due[row.label] for row in left), gone, caller=caller)
            if opened is None:
                continue
            try:
                handover.write(data)
                if self._gone(begun.id) == gone:
                    return opened
            except BaseException:
                handover.take_back(data)
                raise
            handover.take_back(data)
        raise Conflict("People leave while the table is made.", hint="Try again.", reason="training_busy")

    def _gone(self, round_id: str) -> frozenset[str]:
        with self.database.read() as tx:
            return frozenset(one.label for one in tx.lineage.departures(round_id))

    def _opened(
        self, begun: TrainingRound, rows: Sequence[TableRow], data: bytes, use_until: datetime,
        gone: frozenset[str], *, caller: Caller,
    ) -> TrainingRound | None:  # fmt: skip
        """Write down what is handed over; None where somebody has left since."""
        with self.database.begin() as tx:
            stored = tx.lineage.get(begun.id)
            if stored is None or {one.label for one in tx.lineage.departures(begun.id)} != gone:
                return None
            opened = replace(
                stored, state=RoundState.OPEN, people=len({row.speaker for row in rows}), records=len(rows),
                dataset_sha256=hashlib.sha256(data).hexdigest(), use_until=use_until,
            )  # fmt: skip
            there = {row.label for row in rows}
            unused = [use.label for use in tx.lineage.uses_of_round(begun.id) if use.label not in there]
            tx.lineage.drop_uses(unused)
            tx.lineage.exclude(begun.id)  # who left before is not in the table
            tx.lineage.swap(opened, expected=stored)
            self._note(tx, "training.handed_over", opened, caller=caller)
        return opened

    def _give_up(self, round_id: str, *, caller: Caller) -> None:
        """Nothing was handed over: the round is of no use, and used nobody's results."""
        with self.database.begin() as tx:
            stored = tx.lineage.get(round_id)
            if stored is None or stored.state not in (RoundState.PREPARING, RoundState.OPEN):
                return
            tx.lineage.drop_uses([use.label for use in tx.lineage.uses_of_round(round_id)])
            self._retired(tx, stored, "training.failed", caller=caller)

    # --- what comes of it ------------------------------------------------------------------------------

    def finish(
        self, round_id: str, *, model_sha256: str, version: str, dropped: int = 0, caller: Caller
    ) -> TrainingRound:
        """Record the model of a round. `dropped`: how many rows were left out, because their people had left; it has
        to be all of them. NotFound; Conflict (reason `rows_to_drop` or `round_ended`); UsageError."""
        version, sha256 = check_model_name(version), check_sha256(model_sha256)
        with self.database.begin() as tx:
            stored = self._stored(tx, round_id)
            if stored.state is not RoundState.OPEN:
                raise Conflict(f"This round is {stored.state}.", reason="round_ended")
            waiting = sum(not one.excluded for one in tx.lineage.departures(round_id))
            if waiting != dropped:
                raise Conflict(
                    f"{waiting} rows of this table may not be used any more, and {dropped} were dropped.",
                    hint="`sottovoce training show ROUND` lists them: drop them, train, and give their number with "
                    "--dropped.",
                    reason="rows_to_drop",
                )
            tx.lineage.exclude(round_id)
            there = [use for use in tx.lineage.uses_of_round(round_id) if use.left_at is None]
            done = replace(
                stored, state=RoundState.FINISHED, model_sha256=sha256, version=version, finished_at=tx.now(),
                people=len({use.speaker for use in there}), records=len(there),
            )  # fmt: skip
            tx.lineage.swap(done, expected=stored)
            self._note(tx, "training.finished", done, caller=caller)
        return done

    def retire(self, round_id: str, *, caller: Caller) -> TrainingRound:
        """Give a round up, or say that its model is not in use any more. NotFound, Conflict."""
        with self.database.begin() as tx:
            stored = self._stored(tx, round_id)
            if stored.state is RoundState.RETIRED:
                raise Conflict("This round is retired already.", reason="round_ended")
            return self._retired(tx, stored, "training.retired", caller=caller)

    def rounds(self, *, model: str | None = None, only_due: bool = False) -> tuple[RoundView, ...]:
        """Rounds by model and number, with who has left and what follows."""
        with self.database.read() as tx:
            views = tuple(
                view_of(one, tx.lineage.departures(one.id), tx.now())
                for one in tx.lineage.rounds(self.tenant)
                if model in (None, one.model)
            )
        return tuple(view for view in views if view.due) if only_due else views

    def show(self, round_id: str) -> tuple[RoundView, tuple[Departure, ...]]:
        """One round, and the rows of its table that have to be dropped. NotFound."""
        with self.database.read() as tx:
            stored = self._stored(tx, round_id)
            departures = tx.lineage.departures(round_id)
            view = view_of(stored, departures, tx.now())
        return view, tuple(one for one in departures if not one.excluded)

    # --- helpers ---------------------------------------------------------------------------------------

    @cached_property
    def _choosing(self) -> Choosing:
        return Choosing(
            database=self.database, vault=self.vault, trail=self.trail, reads=self.reads, retention=self.retention,
            random_bytes=self.random_bytes, tenant=self.tenant,
        )  # fmt: skip

    def _stored(self, tx: UnitOfWork, round_id: str) -> TrainingRound:
        check_id(round_id, "round")
        stored = tx.lineage.get(round_id)
        if stored is None or stored.tenant != self.tenant:
            raise NotFound("There is no round of this id.", hint="`sottovoce training list` lists them.")
        return stored

    def _retired(self, tx: UnitOfWork, stored: TrainingRound, kind: str, *, caller: Caller) -> TrainingRound:
        retired = replace(stored, state=RoundState.RETIRED, retired_at=tx.now())
        tx.lineage.swap(retired, expected=stored)
        self._note(tx, kind, retired, caller=caller)
        return retired

    def _note(self, tx: UnitOfWork, kind: str, training: TrainingRound, *, caller: Caller) -> None:
        details = {"round": training.id, "model": training.model, "people": training.people,
                   "records": training.records, "dataset_sha256": training.dataset_sha256,
                   "model_sha256": training.model_sha256}  # fmt: skip
        self.trail.of(None, caller=caller).write(tx, kind, purpose=MODEL_TRAINING, details=details)
