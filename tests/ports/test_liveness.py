"""Port `Liveness`: one suite over the fake and lock files; what only processes can show is in the second half."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sottovoce.adapters.liveness_file import FileLiveness
from sottovoce.adapters.memory import MemoryLiveness, SeededEntropy
from sottovoce.errors import StorageError
from sottovoce.model.ids import check_id

NOBODY = "own_" + "a" * 24


@pytest.fixture(params=["memory", "file"])
def start(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], MemoryLiveness | FileLiveness]]:
    """Starts another "process" of the same home."""
    started: list[MemoryLiveness | FileLiveness] = []
    running: set[str] = set()

    def _start() -> MemoryLiveness | FileLiveness:
        seed = SeededEntropy(len(started))
        new: MemoryLiveness | FileLiveness
        if request.param == "memory":
            new = MemoryLiveness(running, random_bytes=seed)
        else:
            new = FileLiveness(tmp_path / "run", seed)
        started.append(new)
        return new

    yield _start
    for each in started:
        each.close()


def test_a_process_has_one_id_and_is_alive(start: Callable[[], FileLiveness]) -> None:
    one = start()
    assert check_id(one.owner(), "owner") == one.owner()
    assert one.alive(one.owner())


def test_others_are_seen_until_they_end(start: Callable[[], FileLiveness]) -> None:
    one, two = start(), start()
    assert one.owner() != two.owner()
    gone = two.owner()
    assert one.alive(gone)
    two.close()
    assert not one.alive(gone)
    assert not one.alive(gone)
    two.close()  # idempotent
    assert one.alive(one.owner())


def test_who_never_was_is_not_alive(start: Callable[[], FileLiveness]) -> None:
    assert not start().alive(NOBODY)


@pytest.mark.parametrize("value", ["", "x", "../../etc/passwd", "ses_" + "a" * 24, NOBODY + "/x"])
def test_of_what_is_no_id_nothing_is_certain(start: Callable[[], FileLiveness], value: str) -> None:
    assert start().alive(value)


def test_an_id_is_not_used_again(start: Callable[[], FileLiveness]) -> None:
    one = start()
    first = one.owner()
    one.close()
    assert one.owner() != first


# --- processes ----------------------------------------------------------------------------------------

_HOLD = (
    "import os, sys; from pathlib import Path; from sottovoce.adapters.liveness_file import FileLiveness;"
    "print(FileLiveness(Path(sys.argv[1]), os.urandom).owner(), flush=True); sys.stdin.read()"
)


def _holder(folder: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def _finish(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=20)


def test_a_killed_process_is_known_to_have_ended_at_once(tmp_path: Path) -> None:
    own = FileLiveness(tmp_path, os.urandom)
    process, owner = _holder(tmp_path)
    try:
        assert own.alive(owner)
        assert own.alive(owner)  # asking harms nobody
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        assert (tmp_path / f"{owner}.lock").exists()
        assert not own.alive(owner)
        assert not (tmp_path / f"{owner}.lock").exists()  # tidied up
        assert not own.alive(owner)
    finally:
        _finish(process)


def test_starting_removes_what_killed_processes_left_and_nothing_else(tmp_path: Path) -> None:
    killed, gone = _holder(tmp_path)
    _finish(killed)
    running, there = _holder(tmp_path)
    try:
        own = FileLiveness(tmp_path, os.urandom)
        mine = own.owner()
        assert {path.stem for path in tmp_path.iterdir()} == {there, mine}
        assert not own.alive(gone)
        own.close()
        assert {path.stem for path in tmp_path.iterdir()} == {there}
    finally:
        _finish(running)


def test_a_forked_child_is_not_its_parent(tmp_path: Path) -> None:
    """The child gets an id of its own, and does not keep its parent's alive."""
    script = (
        "import os, sys; from pathlib import Path; from sottovoce.adapters.liveness_file import FileLiveness\n"
        "own = FileLiveness(Path(sys.argv[1]), os.urandom); print(own.owner(), flush=True)\n"
        "if os.fork() == 0:\n"
        "    print(own.owner(), flush=True); sys.stdin.read()\n"
        "os._exit(0)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        parent, child = process.stdout.readline().strip(), process.stdout.readline().strip()
        process.wait(20)
        own = FileLiveness(tmp_path, os.urandom)
        assert parent != child
        assert not own.alive(parent)
        assert own.alive(child)
    finally:
        process.communicate(timeout=20)  # closes its stdin: the child ends


def test_lock_files_are_private_and_not_inherited(tmp_path: Path) -> None:
    own = FileLiveness(tmp_path / "run", os.urandom)
    path = tmp_path / "run" / f"{own.owner()}.lock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    descriptors = [int(fd) for fd in os.listdir("/proc/self/fd") if _leads_to(fd, path)]
    assert len(descriptors) == 1
    assert not os.get_inheritable(descriptors[0])
    own.close()
    assert not path.exists()
    assert not [fd for fd in os.listdir("/proc/self/fd") if _leads_to(fd, path)]


def _leads_to(fd: str, path: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}") == str(path)
    except OSError:
        return False


def test_a_folder_that_cannot_be_used_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        FileLiveness(tmp_path / "file", os.urandom).owner()


def test_an_unreadable_lock_counts_as_alive(tmp_path: Path) -> None:
    (tmp_path / f"{NOBODY}.lock").symlink_to(tmp_path / "elsewhere")  # refused, so nothing is certain
    assert FileLiveness(tmp_path, os.urandom).alive(NOBODY)
