"""Port `Database`: marks, cases and a person's rows, one suite over the fake and every real one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce.adapters.database import SqliteDatabase
from sottovoce.adapters.memory import MemoryDatabase
from sottovoce.errors import Conflict
from sottovoce.model.mark import Mark, MarkKind
from sottovoce.model.record import SealedRecord
from sottovoce.model.recording import Recording, RecordingState
from sottovoce.model.request import Case, CaseKind, CaseState, ErasureRequest, Tombstone
from sottovoce.model.subject import Subject, SubjectState
from sottovoce.ports import Database, UnitOfWork

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
DAY = timedelta(days=1)


def mark(n: int = 1, who: str = "ada", **changes: Any) -> Mark:
    made = Mark(
        id=f"mrk_{n}", tenant="default", subject_id=who, session_id=None, kind=MarkKind.HOLD, purpose=None,
        reason="legal_claims", asked_by="person", request_id=None, detail=b"sealed", placed_at=T0 + n * DAY,
    )  # fmt: skip
    return replace(made, **changes)


def case(n: int = 1, who: str | None = "ada", **changes: Any) -> Case:
    made = Case(
        id=f"cas_{n}", tenant="default", subject_id=who, session_id=None, kind=CaseKind.ACCESS, law="gdpr.request",
        state=CaseState.OPEN, received_at=T0 + n * DAY, identity_method="known", identity_key_id=None, identity=None,
        request_id=f"req_{n}",
    )  # fmt: skip
    return replace(made, **changes)


def people(tx: UnitOfWork, *names: str) -> None:
    for name in names:
        tx.subjects.add(Subject(name, "default", f"blind {name}", b"sealed", SubjectState.ACTIVE, T0))
        session = f"session of {name}"
        tx.recordings.add(
            Recording(session, "default", name, "analyze", RecordingState.VERIFIED, T0, T0, keep=True)
        )
        tx.records.add(
            [
                SealedRecord(
                    f"rec_{name}", "default", name, session, "features", "compat", "1", b"x", T0, T0 + DAY
                )
            ]
        )


def test_marks_are_found_by_person_and_kind_and_lifted_once(database: Database) -> None:
    with database.begin() as tx:
        people(tx, "ada", "ben")
        for one in (mark(2), mark(1), mark(3, kind=MarkKind.OBJECTION, purpose="p"), mark(4, "ben")):
            tx.marks.add(one)
        assert tx.marks.of_subject("ada") == (mark(1), mark(2), mark(3, kind=MarkKind.OBJECTION, purpose="p"))
        assert [one.id for one in tx.marks.standing(MarkKind.HOLD)] == ["mrk_1", "mrk_2", "mrk_4"]
        assert tx.marks.lift("mrk_1", at=T0) is True
        assert tx.marks.lift("mrk_1", at=T0 + DAY) is False
        assert tx.marks.lift("nothing", at=T0) is False
        assert tx.marks.get("mrk_1") == mark(1, lifted_at=T0)
        assert [one.id for one in tx.marks.standing(MarkKind.HOLD)] == ["mrk_2", "mrk_4"]
        assert tx.marks.get("nothing") is None


def test_F24_a_mark_brings_nobody_back(database: Database) -> None:
    """Nothing that is recorded late of somebody who was erased is accepted."""
    with pytest.raises(Conflict) as refused, database.begin() as tx:
        tx.marks.add(mark())
    assert refused.value.reason == "unknown_reference"
    with database.begin() as tx:
        people(tx, "ada")
        tx.marks.add(mark())
    with pytest.raises(Conflict) as refused, database.begin() as tx:
        tx.marks.add(mark())
    assert refused.value.reason == "mark_exists"


def test_C10b_what_is_restricted_or_held_is_not_due(database: Database) -> None:
    """A restriction or a legal hold keeps a person's results from being swept; an objection does not."""
    late: dict[str, Any] = {"promised_before": T0 + 9 * DAY, "created_before": T0 + 9 * DAY, "limit": 10}
    with database.begin() as tx:
        people(tx, "ada", "ben", "carl", "dora")
        tx.marks.add(mark(1, "ada"))
        tx.marks.add(mark(2, "ben", kind=MarkKind.RESTRICTION))
        tx.marks.add(mark(3, "carl", kind=MarkKind.OBJECTION))
        tx.marks.add(mark(4, "dora", lifted_at=T0))
        assert {one.id for one in tx.records.due("features", **late)} == {"rec_carl", "rec_dora"}
        tx.marks.lift("mrk_2", at=T0)
        assert {one.id for one in tx.records.due("features", **late)} == {"rec_ben", "rec_carl", "rec_dora"}
        assert len(tx.records.due("features", **{**late, "limit": 1})) == 1


def test_cases_change_by_compare_and_swap(database: Database) -> None:
    with database.begin() as tx:
        for one in (
            case(2),
            case(1),
            case(3, None, state=CaseState.CLOSED),
            case(4, state=CaseState.CLOSING),
        ):
            tx.cases.add(one)
        assert [one.id for one in tx.cases.unfinished()] == ["cas_1", "cas_2", "cas_4"]
        assert [one.id for one in tx.cases.of_subject("ada")] == ["cas_1", "cas_2", "cas_4"]
        assert [one.id for one in tx.cases.latest(limit=2)] == ["cas_3", "cas_4"]
        assert tx.cases.latest(limit=0) == ()
        extended = case(1, extended_at=T0)
        assert tx.cases.swap(extended, expected=case(1)) is True
        assert tx.cases.swap(case(1, state=CaseState.CLOSED), expected=case(1)) is False
        assert tx.cases.swap(case(9), expected=case(9)) is False
        assert tx.cases.get("cas_1") == extended
    with pytest.raises(Conflict), database.begin() as tx:
        tx.cases.add(case(1))


def test_the_key_of_a_proof_of_identity_has_its_data(database: Database) -> None:
    with database.begin() as tx:
        people(tx, "ada")
        tx.cases.add(case(1, identity_key_id="rec_proof", identity=b"sealed"))
        assert tx.records.existing(["rec_proof", "rec_ada", "rec_x"]) == {"rec_proof", "rec_ada"}


def test_another_outside_id_for_the_same_person(database: Database) -> None:
    with database.begin() as tx:
        people(tx, "ada", "ben")
        tx.subjects.rename("ada", blind_index="new", sealed_name=b"name")
        found = tx.subjects.find("default", "new")
        assert found is not None
        assert (found.id, found.sealed_name) == ("ada", b"name")
        assert tx.subjects.find("default", "blind ada") is None
    with pytest.raises(Conflict) as refused, database.begin() as tx:
        tx.subjects.rename("ada", blind_index="blind ben", sealed_name=b"x")
    assert refused.value.reason == "subject_exists"


def test_X06_a_persons_rows_are_exported_alike_and_nobody_elses(database: Database) -> None:
    """Both stores give a person all of their rows, of every table, and none of another person's."""
    with database.begin() as tx:
        people(tx, "ada", "ben")
        tx.marks.add(mark(1))
        tx.marks.add(mark(2, "ben"))
        tx.cases.add(case(1))
        request = ErasureRequest("req_9", "default", "ada", "session of ada", "p", T0, inventory="{}")
        tx.requests.add(request, Tombstone("ada", "default", "req_9", T0))
    with database.read() as tx:
        rows = tx.export_rows("ada", pseudonym="p")
        sealed = tx.sealed_columns()
    assert set(rows) == {"subjects", "recordings", "records", "marks", "cases", "requests", "tombstones"}
    assert "ben" not in str(rows)
    assert rows["marks"][0]["detail"] == "c2VhbGVk"
    assert rows["marks"][0]["placed_at"] == "2026-03-02T12:00:00.123456+00:00"
    assert (rows["records"][0]["kind"], rows["recordings"][0]["state"]) == ("features", "verified")
    assert rows["recordings"][0]["keep"] is True
    assert set(rows) <= set(sealed)
    assert sealed["marks"] == ("detail",)
    with database.begin() as tx:
        assert tx.erase_session_rows("session of ada") == {"records": 1, "recordings": 1}
        assert tx.erase_rows("ada") == {"marks": 1, "subjects": 1}


def test_the_fake_names_the_same_sealed_columns_as_the_database(tmp_path: Path) -> None:
    sqlite = SqliteDatabase(tmp_path / "data.db", reserve_bytes=1 << 16)
    with sqlite.read() as tx, MemoryDatabase().read() as fake:
        assert tx.sealed_columns() == fake.sealed_columns()
    sqlite.close()
