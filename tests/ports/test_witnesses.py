"""Port `Witness`: what is delivered is kept and found again; what cannot be delivered is said, quickly."""

from __future__ import annotations

import os
import socket
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sottovoce.adapters.memory import MemoryWitness
from sottovoce.adapters.witness_command import CommandWitness
from sottovoce.adapters.witness_file import FileWitness
from sottovoce.adapters.witness_syslog import SyslogWitness
from sottovoce.audit.checkpoint import find_checkpoints
from sottovoce.errors import ConfigurationError, StorageError
from sottovoce.ports import Witness
from sottovoce.settings import Settings

NOTES = [f"log-of-tests\n{n}\n{'A' * 43}=\n\n— log-of-tests AAAAAAA=\n" for n in (1, 20, 300)]
KEEP = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')"


@pytest.fixture(params=["memory", "file", "syslog", "command"])
def witness(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Witness, Callable[[], str]]:
    """A witness, and everything that it kept."""
    file = tmp_path / "kept"
    if request.param == "file":
        return FileWitness(file), file.read_text
    if request.param == "command":
        return CommandWitness([sys.executable, "-c", KEEP, str(file)]), file.read_text
    if request.param == "syslog":
        lines: list[str] = []
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listening.bind(str(tmp_path / "log"))
        listening.close()
        made = SyslogWitness(send=lines.append, socket=tmp_path / "log")
        return made, lambda: "".join(f"Mar  1 12:00:00 host app[7]: {line}\n" for line in lines)
    memory = MemoryWitness()
    return memory, lambda: "\n".join(memory.kept)


def test_what_is_delivered_is_kept_in_order(witness: tuple[Witness, Callable[[], str]]) -> None:
    to, kept = witness
    for note in NOTES:
        to.deliver(note)
    assert list(find_checkpoints(kept())) == NOTES
    to.deliver(NOTES[2])  # again: no harm
    assert list(find_checkpoints(kept())) == [*NOTES, NOTES[2]]
    assert to.name
    assert "/" not in to.name


def unreachable(kind: str, folder: Path) -> Witness:
    if kind == "file":
        return FileWitness(folder / "not mounted" / "kept")
    if kind == "file is a link":
        (folder / "link").symlink_to(folder / "elsewhere")
        return FileWitness(folder / "link")
    if kind == "syslog":
        return SyslogWitness(socket=folder / "log")
    if kind == "syslog is a file":
        (folder / "log").touch()
        return SyslogWitness(socket=folder / "log")
    if kind == "no such program":
        return CommandWitness([str(folder / "program")])
    if kind == "program refuses":
        return CommandWitness([sys.executable, "-c", "raise SystemExit(3)"])
    return CommandWitness([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.3)


@pytest.mark.parametrize(
    "kind",
    ["file", "file is a link", "syslog", "syslog is a file", "no such program", "program refuses", "program hangs"],
)  # fmt: skip
def test_F36_what_cannot_be_delivered_is_said_quickly(kind: str, tmp_path: Path) -> None:
    """A witness that cannot be reached says so within seconds, with an error of ours that names no path."""
    started = time.monotonic()
    with pytest.raises(StorageError) as refused:
        unreachable(kind, tmp_path).deliver(NOTES[0])
    assert refused.value.reason == "witness_unreachable"
    assert str(tmp_path) not in f"{refused.value.message} {refused.value.hint}"
    assert time.monotonic() - started < 10


def test_a_witness_file_is_private_and_only_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "kept"
    FileWitness(file).deliver(NOTES[0])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.stat().st_ino
    with file.open("a") as written:
        written.write("log-of-tests\n9\n")  # a full disk cut this one short
    FileWitness(file).deliver(NOTES[1])
    assert file.stat().st_ino == before
    assert list(find_checkpoints(file.read_text())) == NOTES[:2]
    os.truncate(file, len(NOTES[0]) + 5)  # cut in the middle of a line
    FileWitness(file).deliver(NOTES[1])
    assert list(find_checkpoints(file.read_text())) == NOTES[:2]


def test_settings_name_witnesses(tmp_path: Path) -> None:
    named = ("file:/mnt/elsewhere/kept.txt", "syslog:", "command:keep --to 'a vault'")
    parts = Settings(home=tmp_path, witnesses=named).witness_parts
    assert parts == (
        ("file", ("/mnt/elsewhere/kept.txt",)), ("syslog", ()), ("command", ("keep", "--to", "a vault")),
    )  # fmt: skip
    for wrong in (
        "file:relative",
        "file:",
        "https://example.org/witness",
        "command:",
        "command: ",
        "command:'",
        "syslog:x",
        "",
    ):
        with pytest.raises(ConfigurationError) as refused:
            _ = Settings(home=tmp_path, witnesses=("syslog:", wrong)).witness_parts
        assert "Witness 2" in refused.value.message
        assert "relative" not in refused.value.message
