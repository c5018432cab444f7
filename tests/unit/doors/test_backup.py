"""backup create, list, verify, restore, drill: what is asked of the house, what is told, and with which exit code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sottovoce import app_backup
from sottovoce.errors import IntegrityError, KeyUnavailable
from sottovoce.model.backup import (
    CONTENTS,
    BackupFile,
    DrillReport,
    Half,
    ListedBackup,
    MadeBackup,
    Manifest,
    RestoreReport,
    Settled,
    VerifiedBackup,
)

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
PAIR = "bkp_" + "a" * 24
HALVES = ["--data", "d", "--keys", "k", "--tombstones", "t"]


def manifest(half: Half) -> Manifest:
    files = tuple(BackupFile(name, 2048, "0" * 64) for name in sorted(CONTENTS[half]))
    return Manifest(
        half=half, pair=PAIR, home="log-of-tests", tenant="default", schema="1", created_at=NOON, files=files,
        epoch=3, log_size=9, log_root="0" * 64, tombstones=4, tombstones_hash="0" * 64,
        worthless_after="2026-06-01 at the latest",
    )  # fmt: skip


DRILL = DrillReport(
    pair=PAIR, data_at=NOON, records=9, sampled=3, opened=3, log_intact=True, findings=(), replayed=1,
    took=timedelta(seconds=0.5),
)  # fmt: skip
RESTORE = RestoreReport(
    pair=PAIR, data_at=NOON, keys_at=NOON, restored_at=NOON + timedelta(hours=3), log_size=9, replayed=2,
    settled=Settled(lost_people=1, lost_records=2, in_flight=3, keys_collected=4), erasures=1, expired=5,
    people=6, records=7,
)  # fmt: skip


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], list[dict[str, Any]]]:
    """Let a verb of the house answer with a value, or raise it; what it was asked."""

    def answer(verb: str, value: Any) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def call(*arguments: Any, **named: Any) -> Any:
            asked.append({"arguments": arguments, **named})
            if isinstance(value, BaseException):
                raise value
            return value

        monkeypatch.setattr(app_backup, verb, call)
        return asked

    return answer


def test_create_says_where_the_halves_are_and_until_when_the_keys_open(run: Any, platform: Any) -> None:
    data, keys = manifest(Half.DATA), manifest(Half.KEYS)
    platform.answers["create_backup"] = MadeBackup(data, keys, "n-data", "n-keys", timedelta(seconds=1))
    done = run("backup", "create", "--data", "d", "--keys", "k")
    assert done.code == 0
    assert platform.asked[-1][2]["data"] == Path("d")
    for words in (PAIR, "d/n-data, 4 KiB", "k/n-keys", "until 2026-06-01", "keep it apart"):
        assert words in done.out
    said = run("backup", "create", "--data", "d", "--keys", "k", "--json").json
    assert said["data"]["folder"] == "d/n-data"
    assert said["keys"]["epoch"] == 3


MODEL = "ab" * 32


def with_model(half: Half = Half.DATA, **changes: Any) -> Manifest:
    """A manifest of a home with a model and two recipient keys."""
    said = manifest(half)
    parts = tuple(BackupFile(MODEL + suffix, 2048, MODEL) for suffix in (".tflite", ".card.json"))
    return replace(
        said, files=said.files + (parts if half is Half.DATA else ()), **{"recipient_keys": 2, **changes}
    )


def test_M16_create_says_which_models_are_in_it_and_that_recipient_keys_are_not(
    run: Any, platform: Any
) -> None:
    """Who makes a backup is told how many keys that others seal to are in none of it."""
    made = MadeBackup(with_model(), with_model(Half.KEYS), "n-data", "n-keys", timedelta(seconds=1))
    platform.answers["create_backup"] = made
    done = run("backup", "create", "--data", "d", "--keys", "k")
    for words in ("1 of your own, abababababab", "2, in no backup", "take in what was sealed to them"):
        assert words in done.out
    said = run("backup", "create", "--data", "d", "--keys", "k", "--json").json
    assert (said["data"]["models"], said["keys"]["models"]) == ([MODEL], None)
    assert said["keys"]["left_out"] == {"recipient_keys": 2}


def test_list_and_verify_say_what_an_older_backup_does_not_hold(run: Any, house: Any) -> None:
    old = replace(manifest(Half.DATA), format=1, recipient_keys=None)
    house("list_backups", (ListedBackup("old", old), ListedBackup("new", with_model())))
    lines = run("backup", "list", "shelf").out.splitlines()
    assert "not held" in lines[1]
    assert "not said" in lines[1]
    assert " 1 " in lines[2]
    assert "2, in no backup" in lines[2]
    house("backup_folders", (Path("shelf/old"),))
    house("verify_backups", (VerifiedBackup("old", old, None),))
    assert "models: not held; recipient keys: not said" in run("backup", "verify", "shelf").out
    said = run("backup", "verify", "shelf", "--json").json[0]
    assert (said["format"], said["models"], said["left_out"]) == (1, None, {"recipient_keys": None})


def test_restore_and_drill_tell_of_models_and_of_the_keys_that_are_gone(run: Any, house: Any) -> None:
    house("restore_backup", replace(RESTORE, models=(MODEL,), models_removed=1, recipient_keys=2))
    done = run("backup", "restore", *HALVES)
    for words in (
        "1 of your own, abababababab; 1 removed since, and not brought back",
        "recipient keys: 2, in no backup, what was sealed to them stays closed",
    ):
        assert words in done.out
    said = run("backup", "restore", *HALVES, "--json").json
    assert (said["models"], said["models_removed_since"], said["lost"]["recipient_keys"]) == ([MODEL], 1, 2)
    house("restore_backup", replace(RESTORE, models=None, recipient_keys=None))
    assert (
        "from before they were part of one; those that are here stay" in run("backup", "restore", *HALVES).out
    )
    house("restore_backup", RESTORE)
    assert "recipient keys" not in run("backup", "restore", *HALVES).out
    house("drill_backup", replace(DRILL, models=(MODEL,), decision="same"))
    assert "one decision computed again: same" in run("backup", "drill", *HALVES).out
    house("drill_backup", replace(DRILL, models=(MODEL,)))
    assert "none whose features are kept" in run("backup", "drill", *HALVES).out
    house("drill_backup", replace(DRILL, models=(MODEL,), models_refused=("signature_broken",)))
    done = run("backup", "drill", *HALVES)
    assert done.code == 1
    assert "REFUSED: signature_broken" in done.out
    assert run("backup", "drill", *HALVES, "--json").json["models_refused"] == ["signature_broken"]


def test_list_shows_what_cannot_be_read_beside_what_can(run: Any, house: Any) -> None:
    found = (ListedBackup("n-data", manifest(Half.DATA)), ListedBackup("other", None, "manifest_missing"))
    house("list_backups", found)
    done = run("backup", "list", "shelf")
    assert done.code == 0
    assert "n-data" in done.out
    assert "manifest_missing" in done.out
    assert [one["problem"] for one in run("backup", "list", "shelf", "--json").json] == [
        None,
        "manifest_missing",
    ]
    house("list_backups", ())
    assert "no backup" in run("backup", "list", "shelf").out


def test_verify_ends_with_6_where_the_keys_open_nothing_any_more(run: Any, house: Any) -> None:
    house("backup_folders", (Path("shelf/n-keys"),))
    asked = house("verify_backups", (VerifiedBackup("n-keys", manifest(Half.KEYS), True),))
    assert run("backup", "verify", "shelf").code == 0
    assert asked[0]["key"] is None
    house("verify_backups", (VerifiedBackup("n-keys", manifest(Half.KEYS), False),))
    done = run("backup", "verify", "shelf")
    assert done.code == 6
    assert "epoch_ended" in done.err
    house("verify_backups", (VerifiedBackup("n-data", manifest(Half.DATA), None),))
    assert run("backup", "verify", "shelf", "--json").json[0]["epoch_alive"] is None


def test_verify_names_each_backup_that_is_wrong_and_goes_on(run: Any, house: Any, tmp_path: Path) -> None:
    house("backup_folders", (tmp_path / "one", tmp_path / "two"))
    house("verify_backups", IntegrityError("It is not what was signed.", reason="backup_altered"))
    done = run("backup", "verify", "shelf")
    assert done.code == 5
    assert "one: It is not what was signed. [backup_altered]" in done.err
    assert "two: It" in done.err
    said = run("backup", "verify", "shelf", "--json").json
    assert [(one["name"], one["verified"], one["code"]) for one in said] == [
        ("one", False, "backup_altered"), ("two", False, "backup_altered"),
    ]  # fmt: skip


def test_restore_tells_what_is_lost_replayed_and_swept(run: Any, house: Any) -> None:
    asked = house("restore_backup", RESTORE)
    done = run("backup", "restore", "--home", "new", *HALVES)
    assert done.code == 0
    assert asked[0]["home"] == Path("new")
    assert asked[0]["replace"] is False
    for words in (
        "from 2026-05-01 12:00:00 UTC to 2026-05-01 15:00:00 UTC", "1 people and 2 records", "3 recordings in flight",
        "2 tombstones", "1 erasures", "5 records past their date, 4 keys", "9 entries", "clean",
    ):  # fmt: skip
        assert words in done.out
    assert "replaced" not in done.out
    assert "feeds" not in done.out
    said = run("backup", "restore", *HALVES, "--replace", "--json").json
    assert said["lost"]["recordings_in_flight"] == 3
    assert asked[-1]["replace"] is True
    house("restore_backup", replace(RESTORE, findings=("log_broken",), replaced=True))
    done = run("backup", "restore", *HALVES)
    assert done.code == 5
    assert "log_broken" in done.out
    house("restore_backup", replace(RESTORE, feeds=3, settled=replace(RESTORE.settled, recipients_ended=2)))
    done = run("backup", "restore", *HALVES)
    for words in ("3 recipients", "(forked)", "reads it anew", "is not known", "2 ended", "add them anew"):
        assert words in done.out
    assert run("backup", "restore", *HALVES, "--json").json["feeds"]["recipients"] == 3
    house("restore_backup", KeyUnavailable("It has ended.", reason="epoch_ended"))
    assert run("backup", "restore", *HALVES).code == 6


def test_a_restore_without_tombstones_is_not_even_begun(run: Any, house: Any) -> None:
    asked = house("restore_backup", RESTORE)
    assert run("backup", "restore", *HALVES[:4]).code == 2
    assert asked == []


@pytest.mark.parametrize(
    ("report", "code"), [(DRILL, 0), (replace(DRILL, opened=2), 1), (replace(DRILL, log_intact=False), 1)]
)
def test_drill_ends_with_1_where_not_everything_came_back(
    report: DrillReport, code: int, run: Any, house: Any, platform: Any
) -> None:
    asked = house("drill_backup", report)
    done = run("backup", "drill", *HALVES, "--sample", "3")
    assert done.code == code
    assert asked[0]["arguments"] == (platform,)
    assert asked[0]["sample"] == 3
    assert f"{report.opened} of 3 records tried, of 9" in done.out
    assert ("drill_failed" in done.err) is (code == 1)
    assert run("backup", "drill", *HALVES, "--json").json["sound"] is (code == 0)
    assert run("backup", "drill", *HALVES, "--sample", "0").code == 2
