"""The content of a signed package read as hostile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce.app import verify_package
from sottovoce.errors import IntegrityError, UsageError
from sottovoce.usecases import import_package, portable

Hall = Any


@pytest.fixture
def other(new_hall: Callable[..., Hall], tmp_path: Path) -> Hall:
    made = new_hall(home=tmp_path / "other", seed=8)
    yield made
    made.platform.close()


@pytest.fixture
def package(hall: Hall, tmp_path: Path) -> portable.Package:
    hall.grant()
    hall.analyze()
    hall.platform.export_person(subject="anna", out=tmp_path / "a.zip", caller=hall.caller)
    return verify_package(tmp_path / "a.zip", home=hall.platform.home)


def _repacked(package: portable.Package, change: Callable[[dict[str, Any]], None]) -> portable.Package:
    data = package.json("data.json")
    change(data)
    return portable.Package(
        {**package.members, "data.json": portable.to_json(data)}, package.manifest, package.signed
    )


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        *parts, last = path.split("/")
        for part in parts:
            data = data[int(part) if part.isdigit() else part]
        data[int(last) if last.isdigit() else last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sessions/0/features/values", {}),
        ("sessions/0/features/values/VoicedSegmentsPerSec", "NaN"),
        ("sessions/0/features/values/VoicedSegmentsPerSec", 1e300),
        ("sessions/0/id", "ses_../../../etc"),
        ("sessions/0/state", "received"),
        ("sessions/0/records", []),
        ("sessions/0/received_at", "2026-01-01"),
        ("sessions/0/insight/items", [{"name": "pitch_level", "value": True}]),
        ("sessions/0/insight/model_sha256", "0" * 64),
        ("sessions/0/quality", None),
        ("sessions/0/quality/duration_s", "long"),
        ("sessions/0/quality/snr_db", {"deep": [1]}),
        ("sessions/0/quality/voiced_frames", 10**400),
        ("sessions/0/quality/flags", "clipped"),
        ("sessions/0/quality/flags", [5]),
        ("sessions/0/discard_source", "yes"),
        ("sessions/0/embedding", {"values": [0.0] * 768, "model_sha256": "a\0b"}),
        ("consents/0/action", "agree"),
        ("consents/0/notice_id", "ntc_" + "a" * 24),
        ("consents/0/occurred_at", "2099-01-01T00:00:00+00:00"),
        ("notices/0/sha256", "0" * 64),
        ("notices/0/purpose", "data_retention_30_days\u0000"),
        ("name", "\ud800"),
        ("name", 5),
        ("consents", None),
        ("subject_id", "anna"),
    ],
)
def test_a_signed_package_with_impossible_content_is_refused_as_a_whole(
    package: portable.Package, hall: Hall, other: Hall, path: str, value: Any
) -> None:
    other.clock.advance(hall.clock.now() - other.clock.now())
    keys = len(list(other.platform.keyring.rows()))
    with pytest.raises((IntegrityError, UsageError)):
        other.platform._imports.take_in(_repacked(package, _set(path, value)), caller=other.caller)
    with other.database.read() as tx:
        assert tx.subjects.ids() == ()
    assert len(list(other.platform.keyring.rows())) == keys


def test_a_package_is_read_as_it_was_written(package: portable.Package) -> None:
    content = import_package.read(package, "default")
    assert (content.name, len(content.consents), len(content.sessions)) == ("anna", 3, 1)


@pytest.mark.parametrize("part", ["sessions", "consents", "notices"])
def test_nothing_is_in_a_package_twice(package: portable.Package, part: str) -> None:
    doubled = _repacked(package, lambda data: data[part].append(data[part][0]))
    with pytest.raises(IntegrityError) as refused:
        import_package.read(doubled, "default")
    assert refused.value.reason == "export_malformed"


def test_an_older_package_without_the_last_field_of_quality_is_read(package: portable.Package) -> None:
    older = _repacked(package, lambda data: data["sessions"][0]["quality"].pop("steady_tones"))
    assert import_package.read(older, "default").sessions[0].extraction.quality.steady_tones is None


@pytest.mark.parametrize("named", ["records/0/created_at", "received_at", "committed_at", "ended_at"])
def test_C10a_a_result_from_the_future_is_not_taken_in(
    package: portable.Package, hall: Hall, other: Hall, named: str
) -> None:
    """A package that dates a result ahead, so that it would be kept for longer than anything here, is refused."""
    other.clock.advance(hall.clock.now() - other.clock.now())
    ahead = (other.clock.now() + timedelta(days=1)).isoformat()

    def change(data: dict[str, Any]) -> None:
        for record in data["sessions"][0]["records"]:
            record["due_at"] = "8000-01-01T00:00:00+00:00"
            record["created_at"] = ahead
        _set(f"sessions/0/{named}", ahead)(data)

    with pytest.raises(IntegrityError) as refused:
        other.platform._imports.take_in(_repacked(package, change), caller=other.caller)
    assert refused.value.reason == "export_malformed"
