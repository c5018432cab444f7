"""The adapters of a home: made from the settings, with nothing made where they are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sottovoce.adapters.witness_command import CommandWitness
from sottovoce.adapters.witness_file import FileWitness
from sottovoce.adapters.witness_syslog import SyslogWitness
from sottovoce.app import connect
from sottovoce.errors import ConfigurationError, StorageError
from sottovoce.settings import Settings


def test_a_home_that_cannot_be_made_is_refused_without_its_path(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(StorageError) as refused:
        connect(Settings(home=in_the_way / "home"))
    assert refused.value.reason == "home"
    assert str(tmp_path) not in str(refused.value)


def test_a_witness_that_cannot_be_used_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        connect(Settings(home=tmp_path / "home", witnesses=("pigeon:post",)))
    assert refused.value.reason == "witness"
    assert not (tmp_path / "home").exists()


def test_each_witness_that_is_named_gets_its_adapter_in_order(tmp_path: Path) -> None:
    named = (f"file:{tmp_path / 'seen'}", "syslog:", "command:true", f"file:{tmp_path / 'again'}")
    adapters = connect(Settings(home=tmp_path / "home", witnesses=named))
    for close in adapters.closing:
        close()
    kinds = [type(witness) for witness in adapters.witnesses]
    assert kinds == [FileWitness, SyslogWitness, CommandWitness, FileWitness]


def test_the_folders_of_a_home_are_for_its_owner_alone(tmp_path: Path) -> None:
    for close in connect(Settings(home=tmp_path / "home")).closing:
        close()
    folders = [path for path in (tmp_path / "home").rglob("*") if path.is_dir()]
    assert {path.name for path in folders} >= {"keys", "run", "bodies", "receipts"}
    assert {oct(path.stat().st_mode & 0o777) for path in (*folders, tmp_path / "home")} == {"0o700"}
