"""Rounds of training, whose results they used, and which rows have to be left out since."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from sottovoce.adapters.database.rows import chunks, fetch, fetch_one, insert, insert_all, row_of
from sottovoce.adapters.database.schema import training_departures, training_rounds, training_uses
from sottovoce.model.lineage import Departure, TrainingRound, TrainingUse


class SqlLineage:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, training: TrainingRound) -> None:
        insert(self._connection, training_rounds, row_of(training), taken="round_exists")

    def get(self, round_id: str) -> TrainingRound | None:
        return fetch_one(self._connection, TrainingRound, training_rounds, {"id": round_id})

    def rounds(self, tenant: str) -> tuple[TrainingRound, ...]:
        order = ("model", "number")
        return fetch(self._connection, TrainingRound, training_rounds, {"tenant": tenant}, order=order)

    def swap(self, new: TrainingRound, *, expected: TrainingRound) -> bool:
        this = training_rounds.update().where(
            training_rounds.c.id == expected.id, training_rounds.c.state == expected.state
        )
        return self._connection.execute(this.values(row_of(new))).rowcount == 1

    def add_uses(self, uses: Sequence[TrainingUse]) -> None:
        rows = [row_of(use) for use in uses]
        insert_all(self._connection, training_uses, rows, taken="use_exists")

    def uses_of_round(self, round_id: str) -> tuple[TrainingUse, ...]:
        return fetch(self._connection, TrainingUse, training_uses, {"round_id": round_id}, order=("label",))

    def uses_of_subject(self, subject_id: str) -> tuple[TrainingUse, ...]:
        where = {"subject_id": subject_id}
        return fetch(self._connection, TrainingUse, training_uses, where, order=("at", "label"))

    def drop_uses(self, labels: Sequence[str]) -> int:
        dropped = 0
        for some in chunks(labels):
            these = training_uses.delete().where(training_uses.c.label.in_(some))
            dropped += self._connection.execute(these).rowcount
        return dropped

    def depart(self, departures: Sequence[Departure], *, at: datetime) -> None:
        known = self._departed([one.label for one in departures])
        rows = [row_of(one) for one in departures if one.label not in known]
        insert_all(self._connection, training_departures, rows, taken="departure_exists")
        for some in chunks([one.label for one in departures]):
            here = training_uses.c.label.in_(some) & training_uses.c.left_at.is_(None)
            self._connection.execute(training_uses.update().where(here).values(left_at=at))

    def departures(self, round_id: str) -> tuple[Departure, ...]:
        where = {"round_id": round_id}
        return fetch(self._connection, Departure, training_departures, where, order=("label",))

    def exclude(self, round_id: str) -> int:
        these = training_departures.update().where(
            training_departures.c.round_id == round_id, training_departures.c.excluded.is_(False)
        )
        return self._connection.execute(these.values(excluded=True)).rowcount

    def _departed(self, labels: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for some in chunks(labels):
            query = sa.select(training_departures.c.label).where(training_departures.c.label.in_(some))
            found |= set(self._connection.execute(query).scalars())
        return found
