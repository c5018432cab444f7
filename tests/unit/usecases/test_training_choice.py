"""Who is in a round of training: exactly those who agree now, each with an entry, and nothing that is gone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from sottovoce.errors import NotFound, StorageError, UsageError
from sottovoce.model.features import FEATURE_NAMES
from sottovoce.model.mark import MarkKind
from sottovoce.model.purpose import MODEL_TRAINING, RETENTION

Hall = Any
ALL = (*("voice_recording", "voice_analysis"), RETENTION, MODEL_TRAINING)


def _speakers(rows: list[dict[str, str]]) -> set[str]:
    return {row["speaker"] for row in rows}


def test_C16a_a_round_has_exactly_those_who_agree_and_says_so_in_their_log(
    hall: Hall, tmp_path: Path
) -> None:
    """The table of a round holds the features of the people who agree to training, and each of them can see it."""
    hall.person("anna", recordings=2)
    hall.person("ben")
    hall.person("carl", purposes=ALL[:3])
    done, rows = hall.begin_round(tmp_path)
    assert (done.people, done.records, done.number, str(done.state)) == (2, 3, 1, "open")
    assert len(rows) == 3
    assert len(_speakers(rows)) == 2
    assert list(rows[0]) == ["row", "speaker", "profile", "version", *FEATURE_NAMES]
    assert [float(rows[0][name]) for name in FEATURE_NAMES] == pytest.approx(
        [20.0 + i / 7 for i in range(88)], rel=1e-6
    )
    written = next(tmp_path.glob("*.csv"))
    assert hashlib.sha256(written.read_bytes()).hexdigest() == done.dataset_sha256
    assert written.stat().st_mode & 0o777 == 0o600
    for name, reads in (("anna", 2), ("ben", 1), ("carl", 0)):
        log = hall.platform.access_log(subject=name, caller=hall.caller)
        assert sum(one.kind == "record.read" and one.purpose == MODEL_TRAINING for one in log) == reads


def test_C16b_the_next_round_excludes_who_has_left(hall: Hall, tmp_path: Path) -> None:
    """Whoever withdraws, objects, is restricted or erased, or whose results are past their date, is in no later one."""
    for name in ("anna", "ben", "carl", "dora", "eve", "finn"):
        hall.person(name)
    assert hall.begin_round(tmp_path)[0].people == 6
    hall.platform.withdraw(subject="anna", purposes=[MODEL_TRAINING], caller=hall.caller)
    hall.platform.erase(subject="ben", caller=hall.caller)
    mark = hall.platform.mark
    mark(
        subject="carl",
        kind=MarkKind.OBJECTION,
        reason="objection",
        purpose=MODEL_TRAINING,
        caller=hall.caller,
    )
    mark(subject="dora", kind=MarkKind.RESTRICTION, reason="accuracy_contested", caller=hall.caller)
    hall.platform.withdraw(subject="eve", purposes=[RETENTION], caller=hall.caller)
    done, rows = hall.begin_round(tmp_path)
    assert (done.people, done.number) == (1, 2)
    assert len(_speakers(rows)) == 1
    hall.advance(days=30)
    with pytest.raises(NotFound) as refused:
        hall.begin_round(tmp_path)
    assert refused.value.reason == "nobody_agrees"
    assert [str(one.round.state) for one in hall.platform.training_rounds()] == ["open", "open"]


def test_C16b_a_legal_hold_keeps_and_does_not_train(hall: Hall, tmp_path: Path) -> None:
    """What is kept beyond its date only because of a legal hold is not used for training."""
    hall.person("anna")
    hall.platform.mark(subject="anna", kind=MarkKind.HOLD, reason="legal_claims", caller=hall.caller)
    assert hall.begin_round(tmp_path)[0].people == 1  # the person agrees, and it is in date
    hall.advance(days=31)
    hall.platform.sweep(caller=hall.caller)
    with pytest.raises(NotFound):
        hall.begin_round(tmp_path)


def test_C16a_the_tables_of_two_rounds_are_not_joined_by_their_labels(hall: Hall, tmp_path: Path) -> None:
    """Rows and speakers have other labels in every round, in an order that says nothing; no internal id is in it."""
    sessions = hall.person("anna", recordings=3) + hall.person("ben")
    _, first = hall.begin_round(tmp_path)
    _, second = hall.begin_round(tmp_path)
    for column in ("row", "speaker"):
        assert not {row[column] for row in first} & {row[column] for row in second}
    assert [row["row"] for row in first] == sorted(row["row"] for row in first)
    text = "".join(path.read_text() for path in tmp_path.glob("*.csv"))
    people = {one.subject_id for one in hall.recordings("anna")}
    assert not [one for one in (*sessions, *people, "anna", "ses_", "sub_") if one in text]


def test_results_that_are_due_soon_can_be_left_out(hall: Hall, tmp_path: Path) -> None:
    hall.person("anna")
    hall.advance(days=20)
    hall.person("ben")
    done, _ = hall.begin_round(tmp_path, usable_days=15)
    assert done.people == 1
    assert (done.use_until - hall.clock.now()).days == 30
    assert (hall.begin_round(tmp_path)[0].use_until - hall.clock.now()).days == 10
    with pytest.raises(UsageError):
        hall.begin_round(tmp_path, usable_days=-1)


def test_F25_what_is_destroyed_while_the_table_is_made_is_left_out(hall: Hall, tmp_path: Path) -> None:
    """Results that a sweep destroys between the decision and the reading are not in the table."""
    hall.person("anna")
    session = hall.person("ben")[0]
    real = hall.platform._training._choosing.vault.open_features
    with hall.database.read() as tx:
        record = next(one for one in tx.records.of_session(session) if one.kind == "features")

    class Vault:
        def open_features(self, one: Any, grant: Any) -> Any:
            hall.platform.keyring.destroy([record.id])
            return real(one, grant)

    object.__setattr__(hall.platform._training._choosing, "vault", Vault())
    done, rows = hall.begin_round(tmp_path)
    assert (done.people, done.records, len(rows)) == (1, 1, 1)
    with hall.database.read() as tx:
        assert len(tx.lineage.uses_of_round(done.id)) == 1


def test_X37_the_entries_are_durable_before_anything_is_opened(hall: Hall, tmp_path: Path) -> None:
    """Where the audit log cannot be written, no table is made."""
    hall.person("anna")
    opened: list[str] = []
    real = hall.platform._training._choosing.vault.open_features

    class Vault:
        def open_features(self, one: Any, grant: Any) -> Any:
            opened.append(one.id)
            return real(one, grant)

    object.__setattr__(hall.platform._training._choosing, "vault", Vault())
    hall.database.disk_full = True
    with pytest.raises(StorageError):
        hall.begin_round(tmp_path)
    assert (opened, list(tmp_path.glob("*.csv"))) == ([], [])


def test_a_recipient_outside_gets_nobody_whose_notice_says_that_nobody_outside_does(
    hall: Hall, tmp_path: Path
) -> None:
    hall.person("anna")
    outside = hall.platform.add_recipient("elsewhere", kind="outside").id
    with pytest.raises(NotFound):
        hall.begin_round(tmp_path, recipient=outside)
    assert hall.begin_round(tmp_path)[0].people == 1
