"""Rounds of training and whose results they used, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter

from sottovoce.adapters.memory.tables import Tables, already_there
from sottovoce.model.lineage import Departure, TrainingRound, TrainingUse


class MemoryLineage:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, training: TrainingRound) -> None:
        same = lambda one: (one.tenant, one.model, one.number) == (  # noqa: E731
            training.tenant, training.model, training.number,
        )  # fmt: skip
        if self._tables.training_rounds.where(same):
            raise already_there("round_exists")
        self._tables.training_rounds.insert(training.id, training, taken="round_exists")

    def get(self, round_id: str) -> TrainingRound | None:
        return self._tables.training_rounds.rows.get(round_id)

    def rounds(self, tenant: str) -> tuple[TrainingRound, ...]:
        found = self._tables.training_rounds.where(lambda one: one.tenant == tenant)
        return tuple(sorted(found, key=attrgetter("model", "number")))

    def swap(self, new: TrainingRound, *, expected: TrainingRound) -> bool:
        stored = self.get(expected.id)
        if stored is None or stored.state is not expected.state:
            return False
        self._tables.training_rounds.put(expected.id, new)
        return True

    def add_uses(self, uses: Sequence[TrainingUse]) -> None:
        for use in uses:
            self._tables.check_references(use.subject_id, use.session_id)
            self._tables.training_uses.insert(use.label, use, taken="use_exists")

    def uses_of_round(self, round_id: str) -> tuple[TrainingUse, ...]:
        found = self._tables.training_uses.where(lambda use: use.round_id == round_id)
        return tuple(sorted(found, key=attrgetter("label")))

    def uses_of_subject(self, subject_id: str) -> tuple[TrainingUse, ...]:
        found = self._tables.training_uses.where(lambda use: use.subject_id == subject_id)
        return tuple(sorted(found, key=attrgetter("at", "label")))

    def drop_uses(self, labels: Sequence[str]) -> int:
        return self._tables.training_uses.drop(labels)

    def depart(self, departures: Sequence[Departure], *, at: datetime) -> None:
        for one in departures:
            if one.label not in self._tables.training_departures.rows:
                self._tables.training_departures.put(one.label, one)
            use = self._tables.training_uses.rows.get(one.label)
            if use is not None and use.left_at is None:
                self._tables.training_uses.put(one.label, replace(use, left_at=at))

    def departures(self, round_id: str) -> tuple[Departure, ...]:
        found = self._tables.training_departures.where(lambda one: one.round_id == round_id)
        return tuple(sorted(found, key=attrgetter("label")))

    def exclude(self, round_id: str) -> int:
        found = [one for one in self.departures(round_id) if not one.excluded]
        for one in found:
            self._tables.training_departures.put(one.label, replace(one, excluded=True))
        return len(found)
