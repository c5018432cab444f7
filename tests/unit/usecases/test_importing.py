"""A person's package taken in by another home: as it was, never longer than promised, never somebody else."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce.errors import Conflict
from sottovoce.model.purpose import RETENTION, VOICE_ANALYSIS, VOICE_RECORDING

Hall = Any


def _export(hall: Hall, out: Path) -> dict[str, Any]:
    hall.platform.export_person(subject="anna", out=out, caller=hall.caller)
    found: dict[str, Any] = json.loads(zipfile.ZipFile(out).read("data.json"))
    return found


@pytest.fixture
def other(new_hall: Callable[..., Hall], tmp_path: Path) -> Hall:
    made = new_hall(home=tmp_path / "other", seed=8)
    yield made
    made.platform.close()


def _moved(hall: Hall, other: Hall, tmp_path: Path, **given: Any) -> Any:
    out = tmp_path / f"{hashlib.sha256(str(given).encode()).hexdigest()[:8]}.zip"
    _export(hall, out)
    other.clock.advance(hall.clock.now() - other.clock.now())
    return other.platform.import_person(out, key=hall.platform.identity(), caller=other.caller, **given)


def test_C13a_a_package_can_be_taken_in_by_another_home(hall: Hall, other: Hall, tmp_path: Path) -> None:
    """A person can move: consents with their notices and results arrive as they were, and keep their date."""
    hall.grant()
    analysis = hall.analyze()
    hall.platform.refuse(subject="anna", purposes=["model_training"], evidence="said no", caller=hall.caller)
    outcome = _moved(hall, other, tmp_path)
    assert (outcome.consents, outcome.sessions, outcome.records, outcome.left_out) == (4, 1, 2, {})
    shown = other.platform.show(analysis.session_id, purpose="subject_access", caller=other.caller)
    assert shown.features == hall.stored(analysis.features)
    assert shown.quality == analysis.quality
    assert shown.insight == analysis.insight
    assert shown.expires_at == analysis.retention.expires_at
    here = {state.purpose: state.status for state in hall.platform.consents(subject="anna")}
    there = {state.purpose: state.status for state in other.platform.consents(subject="anna")}
    assert there == here
    again = _export(other, tmp_path / "again.zip")
    assert [one["evidence"] for one in again["consents"]] == [None, None, None, "said no"]
    left = [one.code for one in other.platform.fsck().findings]
    assert set(left) <= {"reserve_missing"}  # the fake home has no files for it
    assert "person.imported" in other.kinds_of_events()
    assert outcome.receipt_path is None or Path(outcome.receipt_path).name.startswith("rct_")


def test_X23_a_record_that_was_taken_in_has_a_key_of_its_own(hall: Hall, other: Hall, tmp_path: Path) -> None:
    """Nothing of the old home's keys or ciphertext is used in the new one."""
    hall.grant()
    session = hall.analyze().session_id
    _moved(hall, other, tmp_path)
    with hall.database.read() as tx, other.database.read() as elsewhere:
        before, after = tx.records.of_session(session), elsewhere.records.of_session(session)
    assert len(after) == 2
    assert not {one.id for one in before} & {one.id for one in after}
    assert not {one.body for one in before} & {one.body for one in after}


def test_C10a_a_promise_is_never_extended_by_moving(
    hall: Hall, new_hall: Callable[..., Hall], tmp_path: Path
) -> None:
    """Moving to a service that keeps longer, or shorter, never lets a result live longer than was promised."""
    hall.grant()
    analysis = hall.analyze()
    hall.advance(days=5)
    short = new_hall(home=tmp_path / "short", seed=9, features_days=10, insight_days=10)
    _moved(hall, short, tmp_path, subject="a")
    shown = short.platform.show(analysis.session_id, purpose="subject_access", caller=short.caller)
    assert shown.expires_at == hall.recordings()[0].received_at + timedelta(days=10)
    strict = new_hall(home=tmp_path / "strict", seed=11, features_days=7, insight_days=7)
    strict.clock.advance(hall.clock.now() - strict.clock.now())
    strict.grant()
    brief = strict.analyze()
    long = new_hall(home=tmp_path / "long", seed=12)
    _moved(strict, long, tmp_path, subject="c")
    shown = long.platform.show(brief.session_id, purpose="subject_access", caller=long.caller)
    assert shown.expires_at == brief.retention.expires_at == strict.clock.now() + timedelta(days=7)
    with long.database.read() as tx:
        (decision,) = tx.records.decisions_of_session(brief.session_id)
    assert decision.expires_at == shown.expires_at
    late = new_hall(home=tmp_path / "late", seed=10, features_days=5, insight_days=5)
    outcome = _moved(hall, late, tmp_path, subject="b")
    assert outcome.left_out == {"past its date": 1}
    short.platform.close()
    late.platform.close()


def test_a_foreign_notice_makes_nobody_elses_consent_outdated(
    hall: Hall, other: Hall, tmp_path: Path
) -> None:
    """Taking in one person never makes another person's consent invalid."""
    other.grant("ben")
    for version in ("2", "3"):
        hall.platform.grant(
            subject="anna", purposes=[RETENTION, VOICE_ANALYSIS, VOICE_RECORDING],
            notice=f"words {version}".encode(), notice_version=version, caller=hall.caller,
        )  # fmt: skip
    hall.analyze()
    outcome = _moved(hall, other, tmp_path)
    assert outcome.left_out == {"no consent that stands here to keep it": 1}
    other.analyze("ben")  # still allowed


def test_somebody_who_is_here_already_is_not_merged(hall: Hall, other: Hall, tmp_path: Path) -> None:
    """Two people are never merged: an id that is taken is refused, under another it is accepted."""
    hall.grant()
    hall.analyze()
    other.grant("anna")
    keys = len(list(other.platform.keyring.rows()))
    with pytest.raises(Conflict) as refused:
        _moved(hall, other, tmp_path)
    assert refused.value.reason == "subject_exists"
    assert len(list(other.platform.keyring.rows())) == keys
    assert _moved(hall, other, tmp_path, subject="anna-2").sessions == 1


def test_F30_what_was_erased_here_does_not_come_back_by_a_package(hall: Hall, tmp_path: Path) -> None:
    """An old package of a person who was erased is refused by the home that erased them."""
    hall.grant()
    hall.analyze()
    _export(hall, tmp_path / "old.zip")
    hall.platform.erase(subject="anna", caller=hall.caller)
    keys = len(list(hall.platform.keyring.rows()))
    with pytest.raises(Conflict) as refused:
        hall.platform.import_person(tmp_path / "old.zip", caller=hall.caller)
    assert refused.value.reason == "erased_here"
    assert len(list(hall.platform.keyring.rows())) == keys


def test_a_recording_that_is_here_already_is_not_taken_in_under_another_name(
    hall: Hall, other: Hall, tmp_path: Path
) -> None:
    """The same package twice, under two ids: the second is refused as a whole, and leaves no key."""
    hall.grant()
    hall.analyze()
    _moved(hall, other, tmp_path, subject="anna")
    keys = len(list(other.platform.keyring.rows()))
    with pytest.raises(Conflict) as refused:
        _moved(hall, other, tmp_path, subject="anna-2")
    assert refused.value.reason == "session_exists"
    assert len(list(other.platform.keyring.rows())) == keys
