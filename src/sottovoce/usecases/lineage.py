"""What the lineage of training says and does when a person leaves: called in the transaction that makes them leave.

Rules upheld here:
1. Which rows have to be left out is written down in the same transaction as the withdrawal, objection or erasure.
2. What is kept of an erased person are labels of a table that is not here, and counts (C16a).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sottovoce.model.canonical import JsonValue
from sottovoce.model.lineage import (
    WHY,
    Departure,
    Leaving,
    LineageLine,
    TrainingRound,
    TrainingUse,
    concerns,
    line_of,
)
from sottovoce.ports import UnitOfWork


def leave(
    tx: UnitOfWork, subject_id: str, reason: Leaving, *, session_id: str | None = None
) -> tuple[LineageLine, ...]:
    """Write down that what a person (or one of their sessions) gave to rounds of training has to be left out, and
    which rounds these are: for the person's receipt."""
    by_round: dict[str, list[TrainingUse]] = {}
    for use in tx.lineage.uses_of_subject(subject_id):
        if session_id in (None, use.session_id):
            by_round.setdefault(use.round_id, []).append(use)
    lines = []
    for round_id, uses in by_round.items():
        training = tx.lineage.get(round_id)
        if training is not None and concerns(reason, training):
            lines.append(_depart(tx, training, uses, reason))
    return tuple(sorted(lines, key=lambda line: (line.model, line.number)))


def to_json(lines: Sequence[LineageLine]) -> list[JsonValue]:
    """The lines as a receipt holds them."""
    return [
        {
            "round_id": line.round_id, "model": line.model, "round": line.number, "version": line.version,
            "model_sha256": line.model_sha256, "recordings": line.recordings,
            "epsilon": line.guarantee.epsilon if line.guarantee else None,
            "delta": line.guarantee.delta if line.guarantee else None,
            "unit": line.guarantee.unit if line.guarantee else None,
            "action": line.action.value, "why": WHY[line.action],
        }
        for line in lines
    ]  # fmt: skip


def _depart(
    tx: UnitOfWork, training: TrainingRound, uses: Sequence[TrainingUse], reason: Leaving
) -> LineageLine:
    now = tx.now()
    departures = [
        Departure(use.label, use.tenant, use.round_id, use.speaker, reason, _midnight(now)) for use in uses
    ]
    tx.lineage.depart(departures, at=now)
    return line_of(training, len(uses))


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
