"""A clinic backs up, loses its machine, and goes on: halves apart, tombstones kept, nobody back who was erased."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def clinic(cli: Any, jfk_path: Path) -> Any:
    """Two people with a session each, a backup, and then one of them erased."""
    for person in ("anna", "bert"):
        cli.grant(person)
        cli("analyze", jfk_path, "--subject", person)
    cli("backup", "create", "--data", cli.folder / "backups", "--keys", cli.folder / "safe")
    cli("erase", "--subject", "anna")
    return cli


def halves(cli: Any) -> list[str | Path]:
    (data,) = (cli.folder / "backups").iterdir()
    (keys,) = (cli.folder / "safe").iterdir()
    return ["--data", data, "--keys", keys]


def new_machine(cli: Any, name: str = "new") -> Path:
    home = cli.folder / name
    shutil.copytree(cli.home / "keys" / "kek", home / "keys" / "kek")
    return home


def test_C11b_M20_a_lost_machine_comes_back_without_those_who_were_erased(clinic: Any) -> None:
    """After a disk is lost, a backup brings everybody back but those who were erased since; the audit log says from
    which backup it went on."""
    seen = clinic.folder / "seen.checkpoint"
    clinic("audit", "checkpoint", "--out", seen)
    kept = clinic.folder / "tombstones.kept"
    shutil.copy(clinic.home / "tombstones.log", kept)
    new = new_machine(clinic)
    shutil.rmtree(clinic.home)

    refused = clinic("backup", "restore", "--home", new, *halves(clinic), "--tombstones", "nowhere", code=5)
    assert "tombstones_missing" in refused.err
    done = clinic("backup", "restore", "--home", new, *halves(clinic), "--tombstones", kept, "--json").json
    assert (done["people"], done["erasures"], done["findings"]) == (1, 1, [])
    assert clinic("sessions", "--home", new, "--subject", "anna", "--json").json in ([], {"sessions": []})
    session = clinic("sessions", "--home", new, "--subject", "bert", "--json").json[0]["session_id"]
    shown = clinic("show", "--home", new, session, "--purpose", "subject_access", "--json").json
    assert len(shown["features"]) == 88
    clinic("fsck", "--home", new)
    clinic("audit", "verify", "--home", new)
    told = clinic("audit", "verify", "--home", new, "--since", seen, code=1)
    assert "log_restored" in told.err
    again = clinic("backup", "restore", "--home", new, *halves(clinic), "--tombstones", kept, code=2)
    assert "home_not_empty" in again.err


def test_X14_an_old_key_store_backup_says_plainly_that_its_epoch_has_ended(clinic: Any) -> None:
    """After a rotation the older copy of the keys opens nothing; verifying and restoring it say so, and why."""
    clinic("keys", "rotate")
    assert "epoch_ended" in clinic("backup", "verify", clinic.folder / "safe", code=6).err
    tombstones = ["--tombstones", clinic.home / "tombstones.log"]
    new = new_machine(clinic)
    refused = clinic("backup", "restore", "--home", new, *halves(clinic), *tombstones, code=6)
    assert "epoch_ended" in refused.err
    assert "destroyed on purpose" in refused.err
    assert "epoch_ended" in clinic("backup", "drill", *halves(clinic), *tombstones, code=6).err
    assert "backups" in clinic("doctor", code=None).out


def test_F30_a_drill_finds_everything_and_a_restore_that_is_killed_changes_nothing_by_halves(
    clinic: Any,
) -> None:
    """A restore can be tried without touching the home; one that is killed leaves the home as it was, or restored."""
    tombstones = ["--tombstones", clinic.home / "tombstones.log"]
    drill = clinic("backup", "drill", *halves(clinic), *tombstones, "--json").json
    assert drill["sound"]
    assert drill["opened"] == drill["sampled"] == 2
    for delay_s in (0.4, 0.6, 0.8, 1.0):
        process = clinic.start("backup", "restore", "--replace", *halves(clinic), *tombstones)
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert clinic("sessions", "--subject", "anna", "--json").json in ([], {"sessions": []})
        assert len(clinic("sessions", "--subject", "bert", "--json").json) == 1
        clinic("fsck")
    assert not list(clinic.home.glob("restoring*"))
    assert not list(clinic.home.glob("*.re*ed"))
