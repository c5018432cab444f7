"""A clinic backs up, loses its machine, and goes on: halves apart, tombstones kept, nobody back who was erased."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

CONSENTS = ("voice_recording", "voice_analysis", "data_retention_30_days")
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


def test_C34b_M20_after_a_loss_a_decision_is_computed_again_and_what_was_sealed_stays_closed(
    cli: Any, take_in_a_model: Callable[[Any], tuple[Path, str]], jfk_path: Path
) -> None:
    """A clinic that lost its machine computes an old decision again, to the bit, with the model that its backup brought
    back; recipient keys, alive or retired, come back by no backup, and it is told so before and after."""
    _, sha256 = take_in_a_model(cli)
    cli = cli.having(SOTTOVOCE_INFER="apparent_sex")
    cli.grant("anna", *CONSENTS, "infer_apparent_sex")
    (said,) = cli("analyze", jfk_path, "--subject", "anna", "--json").lines[0]["inferences"]
    sealed = {}
    for name in ("alive", "retired"):
        key = cli.folder / f"{name}.recipient.json"
        cli("keys", "recipient", "create", "--name", name, "--out", key)
        cli("seal", jfk_path, "--to", key, "--out", cli.folder / name, "--contractor", "anna")
        (sealed[name],) = (cli.folder / name).rglob("*.sealed")
    cli("open", sealed["alive"], "--out", cli.folder / "before")  # while the home is there it opens
    made = cli("backup", "create", "--data", cli.folder / "backups", "--keys", cli.folder / "safe")
    assert "1 of your own" in made.out
    assert "2, in no backup" in made.out
    keys = cli("keys", "recipient", "list", "--json").json
    retired = next(one["key_id"] for one in keys if one["name"] == "retired")
    cli("keys", "recipient", "retire", retired, "--grace-days", "0")
    assert "recipient_retired" in cli("open", sealed["retired"], "--out", cli.folder / "heard", code=None).err
    (listed,) = cli("backup", "list", cli.folder / "backups", "--json").json
    assert (listed["models"], listed["left_out"]) == ([sha256], {"recipient_keys": 2})
    assert "recipient keys: 2, in no backup" in cli("backup", "verify", cli.folder / "safe").out
    kept = cli.folder / "tombstones.kept"
    shutil.copy(cli.home / "tombstones.log", kept)
    drill = cli("backup", "drill", *halves(cli), "--tombstones", kept, "--json").json
    assert (drill["sound"], drill["models"], drill["decision"]) == (True, [sha256], "same")

    new = new_machine(cli)
    shutil.rmtree(cli.home)
    done = cli("backup", "restore", "--home", new, *halves(cli), "--tombstones", kept)
    assert "2, in no backup, what was sealed to them stays closed" in done.out
    replay = cli("decisions", "replay", said["decision_id"], "--home", new, "--json").json
    assert (replay["verdict"], replay["again"]["confidence"]) == ("same", said["confidence"])
    for file in sealed.values():
        refused = cli("open", file, "--home", new, "--out", cli.folder / "heard", code=None)
        assert refused.code != 0
        assert "recipient_unknown" in refused.err
    assert not list(cli.folder.glob("heard/*"))
    assert cli("keys", "recipient", "list", "--home", new, "--json").json in ([], {"keys": []})
    cli("fsck", "--home", new)

    cli("models", "remove", sha256, "--home", new)  # and a model that is taken out does not come back either
    shutil.copy(new / "tombstones.log", kept)
    again = new_machine(replace(cli, home=new), "again")
    back = cli("backup", "restore", "--home", again, *halves(cli), "--tombstones", kept, "--json").json
    assert (back["models"], back["models_removed_since"]) == ([], 1)
