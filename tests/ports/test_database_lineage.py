"""Port `Database`: rounds of training and whose results they used, one suite over the fake and every real one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sottovoce.errors import Conflict
from sottovoce.model.lineage import Action, Departure, Leaving, RoundState, TrainingRound, TrainingUse
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.subject import Subject, SubjectState
from sottovoce.ports import Database, UnitOfWork

T0 = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def database(database: Database) -> Database:
    """With two people in it."""
    with database.begin() as tx:
        people(tx, "ada", "ben")
    return database


def people(tx: UnitOfWork, *names: str) -> None:
    for name in names:
        tx.subjects.add(Subject(name, "default", f"blind {name}", b"sealed", SubjectState.ACTIVE, T0))
        session = f"session of {name}"
        tx.recordings.add(
            Recording(session, "default", name, "analyze", RecordingState.VERIFIED, T0, T0, keep=True)
        )


def training(number: int = 1, model: str = "tone", **changes: Any) -> TrainingRound:
    made = TrainingRound(
        id=f"rnd_{model}{number}", tenant="default", model=model, number=number, state=RoundState.OPEN,
        profile="compat", people=2, records=2, epsilon="3", delta="0.001", unit="speaker", on_leave=Action.RETRAIN,
        use_until=T0 + 30 * DAY, begun_at=T0,
    )  # fmt: skip
    return replace(made, **changes)


def use(n: int, who: str = "ada", **changes: Any) -> TrainingUse:
    made = TrainingUse(
        f"row_{n}", "default", "rnd_tone1", who, f"session of {who}", f"spk_{who}", T0 + n * DAY
    )
    return replace(made, **changes)


def departure(n: int, **changes: Any) -> Departure:
    made = Departure(f"row_{n}", "default", "rnd_tone1", "spk_ada", Leaving.WITHDRAWN, T0)
    return replace(made, **changes)


def test_rounds_come_back_as_they_were_written_in_order(database: Database) -> None:
    made = [training(2), training(1), training(1, "age", epsilon=None, delta=None, unit="recording")]
    with database.begin() as tx:
        for one in made:
            tx.lineage.add(one)
        tx.lineage.add(replace(training(1), id="rnd_else", tenant="other"))
    with database.read() as tx:
        assert tx.lineage.rounds("default") == (made[2], made[1], made[0])
        assert tx.lineage.get("rnd_tone2") == made[0]
        assert tx.lineage.get("rnd_none") is None


def test_a_number_of_a_model_is_taken_once(database: Database) -> None:
    with database.begin() as tx:
        tx.lineage.add(training())
    with pytest.raises(Conflict) as refused, database.begin() as tx:
        tx.lineage.add(replace(training(), id="rnd_other"))
    assert refused.value.reason == "round_exists"


def test_a_round_is_changed_only_in_the_state_it_is_expected_in(database: Database) -> None:
    done = replace(training(), state=RoundState.FINISHED, version="1", model_sha256="ab", finished_at=T0)
    with database.begin() as tx:
        tx.lineage.add(training())
        assert tx.lineage.swap(done, expected=training())
        assert not tx.lineage.swap(training(), expected=training())
        assert tx.lineage.get(done.id) == done
        assert not tx.lineage.swap(training(7), expected=training(7))


def test_F24_nothing_is_used_of_somebody_who_was_erased(database: Database) -> None:
    """A round cannot be given results of a person who is not there any more."""
    with database.begin() as tx:
        tx.erase_rows("ada")
    with pytest.raises(Conflict) as refused, database.begin() as tx:
        tx.lineage.add_uses([use(1, "ben"), use(2)])
    assert refused.value.reason == "unknown_reference"
    with database.read() as tx:
        assert tx.lineage.uses_of_subject("ben") == ()


def test_uses_by_round_and_by_person(database: Database) -> None:
    mine = [use(3), use(1), use(2, round_id="rnd_age1")]
    with database.begin() as tx:
        tx.lineage.add_uses([*mine, use(4, "ben")])
        tx.lineage.add_uses([])
    with database.read() as tx:
        assert tx.lineage.uses_of_subject("ada") == (mine[1], mine[2], mine[0])
        assert [one.label for one in tx.lineage.uses_of_round("rnd_tone1")] == ["row_1", "row_3", "row_4"]
    with database.begin() as tx:
        assert tx.lineage.drop_uses(["row_1", "row_9"]) == 1
        assert tx.lineage.drop_uses([]) == 0
    with database.read() as tx:
        assert [one.label for one in tx.lineage.uses_of_subject("ada")] == ["row_2", "row_3"]


def test_C16a_a_departure_is_written_once_and_marks_the_use(database: Database) -> None:
    """A row that has to be left out is written down once, with the first reason."""
    with database.begin() as tx:
        tx.lineage.add_uses([use(1), use(2)])
        tx.lineage.depart([departure(1)], at=T0 + DAY)
        tx.lineage.depart([departure(1, reason=Leaving.ERASED), departure(2)], at=T0 + 2 * DAY)
        tx.lineage.depart([], at=T0)
    with database.read() as tx:
        assert tx.lineage.departures("rnd_tone1") == (departure(1), departure(2))
        left = {one.label: one.left_at for one in tx.lineage.uses_of_subject("ada")}
        assert left == {"row_1": T0 + DAY, "row_2": T0 + 2 * DAY}
    with database.begin() as tx:
        assert tx.lineage.exclude("rnd_tone1") == 2
        assert tx.lineage.exclude("rnd_tone1") == 0
        assert tx.lineage.departures("rnd_tone1") == (
            departure(1, excluded=True),
            departure(2, excluded=True),
        )


def test_C16a_uses_are_erased_with_the_person_and_departures_stay(database: Database) -> None:
    """Which rounds used a person's recordings is erased with the person; which rows to leave out is not forgotten."""
    with database.begin() as tx:
        tx.lineage.add(training())
        tx.lineage.add_uses([use(1), use(2, "ben")])
        tx.lineage.depart([departure(1)], at=T0)
        assert tx.rows_of("ada")["training_uses"] == 1
        assert tx.export_rows("ada", pseudonym=None)["training_uses"][0]["round_id"] == "rnd_tone1"
        assert tx.erase_rows("ada")["training_uses"] == 1
        assert tx.erase_session_rows("session of ben")["training_uses"] == 1
    with database.read() as tx:
        assert tx.lineage.uses_of_round("rnd_tone1") == ()
        assert tx.lineage.departures("rnd_tone1") == (departure(1),)
        assert tx.lineage.rounds("default") == (training(),)


def test_many_rows_go_through_in_parts(database: Database) -> None:
    uses = [use(n) for n in range(1200)]
    with database.begin() as tx:
        tx.lineage.add_uses(uses)
        tx.lineage.depart([departure(n) for n in range(1200)], at=T0)
        assert len(tx.lineage.departures("rnd_tone1")) == 1200
        assert all(one.left_at == T0 for one in tx.lineage.uses_of_subject("ada"))
        assert tx.lineage.drop_uses([one.label for one in uses]) == 1200
