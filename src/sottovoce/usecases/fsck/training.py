"""Rounds of training against the consents of a person: I5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sottovoce.model import consent as ledger
from sottovoce.model.consent import PurposeConsent
from sottovoce.model.lineage import TrainingUse
from sottovoce.model.purpose import MODEL_TRAINING
from sottovoce.ports import Database
from sottovoce.usecases.fsck.seen import Seen


def check_uses(
    seen: Seen, database: Database, uses: Sequence[TrainingUse], states: Mapping[str, PurposeConsent]
) -> None:
    """Nobody stays in a round whose consent to training was taken back: each such row is written down as left, and
    among the rows that have to be dropped."""
    if not uses:
        return
    agrees = ledger.decide(states, (MODEL_TRAINING,), material={}).allowed
    with database.read() as tx:
        departed = {
            one.label
            for round_id in {use.round_id for use in uses}
            for one in tx.lineage.departures(round_id)
        }
        still = {use.label for use in tx.lineage.uses_of_subject(uses[0].subject_id)}
    for use in uses:
        if use.label not in still:
            continue  # erased meanwhile
        if use.left_at is None and not agrees:
            seen.add(
                "I5",
                "trained_after_withdrawal",
                "a round of training still counts on who has left",
                use.round_id,
            )
        if (use.left_at is not None) != (use.label in departed):
            seen.add("I5", "departure_missing", "a row to drop and its use do not agree", use.round_id)
