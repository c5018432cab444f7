"""One step from the old home to the new: killed anywhere it is the one or the other, and nothing is left beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters import backup_restore
from sottovoce.adapters.backup_restore import HomeLock, destroy, install, prepared, recover
from sottovoce.errors import StorageError

OLD, NEW = b"the old one" * 500, b"the new one" * 700
STEPS = ("rename", "unlink", "fsync", "rmdir")


def make(folder: Path) -> dict[str, Path]:
    """A home with its database elsewhere, as settings may have it."""
    home, elsewhere = folder / "home", folder / "elsewhere"
    for place in (home / "bodies", home / "receipts", elsewhere):
        place.mkdir(parents=True)
    targets = {"sottovoce.db": elsewhere / "db", "keys.db": home / "keys.db", "log": elsewhere / "log"}
    for target in targets.values():
        target.write_bytes(OLD)
    for name in ("db-wal", "db-shm"):
        (elsewhere / name).write_bytes(OLD)
    (home / "bodies" / "old").write_bytes(OLD)
    return targets


def bring(folder: Path, targets: dict[str, Path]) -> None:
    home = folder / "home"
    with prepared(home) as new:
        for place in (new / "bodies", new / "receipts"):
            place.mkdir(parents=True)
        for name in targets:
            (new / name).write_bytes(OLD + NEW if name == "log" else NEW)
        (new / "receipts" / "new").write_bytes(NEW)
        files = {new / name: target for name, target in targets.items()}
        install(home, files, ("bodies", "receipts"), growing=targets["log"])


def is_new(folder: Path, targets: dict[str, Path]) -> bool:
    """Whether it is the new home; fails where it is neither, or where anything else is left."""
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    contents = {name: target.read_bytes() for name, target in targets.items()}
    files = {str(target.relative_to(folder)) for target in targets.values()}
    if contents["keys.db"] == NEW:
        assert contents == {"sottovoce.db": NEW, "keys.db": NEW, "log": OLD + NEW}
        assert left == files | {"home/receipts/new"}
        return True
    assert set(contents.values()) == {OLD}
    assert left == files | {"elsewhere/db-wal", "elsewhere/db-shm", "home/bodies/old"}
    return False


def committed(folder: Path) -> bool:
    return (folder / "home" / "restoring" / "swap.json").exists()


def stopped_at(number: int, folder: Path) -> dict[str, Path]:
    """A restore that was killed at its so many-th step."""
    targets = make(folder)
    killed_at(number, lambda: bring(folder, targets))
    return targets


def killed_at(number: int, work: Callable[[], Any]) -> bool:
    """Run in a child that ends without a word at the so many-th step on the disk; False where there are fewer."""
    pid = os.fork()
    if pid == 0:
        count = 0

        def step(plain: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal count
                count += 1
                if count == number:
                    os._exit(9)
                return plain(*args, **kwargs)

            return call

        for name in STEPS:
            setattr(os, name, step(getattr(os, name)))
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 9)
    return code == 9


def test_M20_a_restore_killed_at_any_step_is_the_old_home_or_the_new_one(tmp_path: Path) -> None:
    """Whenever the machine stops, the home is the one or the other; the next to open it leaves nothing beside it."""
    outcomes = []
    number = 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        targets = make(folder)
        killed = killed_at(number, lambda folder=folder, targets=targets: bring(folder, targets))  # type: ignore[misc]
        recover(folder / "home")
        outcomes.append(is_new(folder, targets))
        if not killed:
            break
    assert outcomes == sorted(outcomes)  # old up to the commit, new from then on
    assert number > 25
    assert 5 < outcomes.count(False) < number - 5


@pytest.mark.parametrize("name", ["finish", "put_in_place", "_read"])
def test_a_disk_that_fails_after_the_commit_is_never_told_as_if_nothing_had_changed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = make(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(backup_restore, name, full)
    with pytest.raises(StorageError) as error:
        bring(tmp_path, targets)
    assert error.value.reason == "restore_unfinished"
    monkeypatch.undo()
    recover(tmp_path / "home")
    assert is_new(tmp_path, targets)


def test_a_disk_that_fails_before_the_commit_and_while_tidying_up_tells_the_first_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = make(tmp_path)
    numbers = iter((28, 5, 5, 5, 5, 5, 5, 5))

    def broken(*_: Any, **__: Any) -> None:
        raise OSError(next(numbers), "broken")

    monkeypatch.setattr(backup_restore, "_lay", broken)
    monkeypatch.setattr(backup_restore, "destroy", broken)
    with pytest.raises(StorageError) as error:
        bring(tmp_path, targets)
    assert error.value.reason == "storage_full"
    monkeypatch.undo()
    recover(tmp_path / "home")
    assert not is_new(tmp_path, targets)


@pytest.mark.parametrize("done", [False, True], ids=["before the commit", "after the commit"])
def test_a_recovery_that_is_killed_is_finished_by_the_next_one(tmp_path: Path, done: bool) -> None:
    tries = {step: tmp_path / f"step {step}" for step in range(1, 60)}
    step = next(step for step, folder in tries.items() if stopped_at(step, folder) and committed(folder))
    for number in range(1, 60):
        folder = tmp_path / str(number)
        targets = stopped_at(step if done else step - 1, folder)
        killed = killed_at(number, lambda folder=folder: recover(folder / "home"))  # type: ignore[misc]
        recover(folder / "home")
        assert is_new(folder, targets) is done
        if not killed:
            assert number > 5
            return
    pytest.fail("a recovery never ends")


def test_a_growing_file_is_whole_where_the_disk_takes_only_some_bytes_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets, honest = make(tmp_path), os.write
    monkeypatch.setattr(os, "write", lambda fd, data: honest(fd, data[:1000]))
    bring(tmp_path, targets)
    assert is_new(tmp_path, targets)


@given(size=st.integers(0, 40), cut=st.integers(0, 40), other=st.booleans())
def test_a_growing_file_is_extended_only_where_it_is_the_beginning(
    tmp_path_factory: pytest.TempPathFactory, size: int, cut: int, other: bool
) -> None:
    folder = tmp_path_factory.mktemp("grow")
    whole = bytes(range(size))
    there = (b"x" if other else b"") + whole[:cut]
    (folder / "longer").write_bytes(whole)
    (folder / "there").write_bytes(there)
    extended = backup_restore._extend(folder / "there", folder / "longer")
    assert extended is whole.startswith(there)
    assert (folder / "there").read_bytes() == (whole if extended else there)
    assert not backup_restore._extend(folder / "nowhere", folder / "longer")


def test_what_is_destroyed_is_overwritten_first(tmp_path: Path) -> None:
    """The blocks of the file hold zeros before its name goes; a second name shows them."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "keys").write_bytes(OLD)
    os.link(tmp_path / "inside" / "keys", tmp_path / "seen")
    (tmp_path / "outside").write_bytes(OLD)
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "outside")
    destroy(tmp_path / "inside")
    destroy(tmp_path / "never was there")
    assert not (tmp_path / "inside").exists()
    assert (tmp_path / "seen").read_bytes() == bytes(len(OLD))
    assert (tmp_path / "outside").read_bytes() == OLD  # a link is no reason to touch what it names


def test_the_lock_of_a_home_is_shared_by_users_and_alone_for_a_restore(tmp_path: Path) -> None:
    one, two, restoring = HomeLock(tmp_path), HomeLock(tmp_path), HomeLock(tmp_path)
    one.share()
    two.share()
    with pytest.raises(StorageError) as error:
        restoring.alone()
    assert error.value.reason == "home_in_use"
    one.close()
    one.close()
    two.close()
    restoring.alone()
    with pytest.raises(StorageError) as error:
        one.share()
    assert error.value.reason == "home_restoring"
    del restoring  # who forgets to close it lets go of it
    one.share()
    one.close()


def test_who_opens_a_home_finishes_what_was_committed(tmp_path: Path) -> None:
    for number in range(1, 40):
        folder = tmp_path / str(number)
        targets = stopped_at(number, folder)
        done = committed(folder) or (not (folder / "home" / "restoring").exists() and number > 5)
        lock = HomeLock(folder / "home")
        lock.share()
        lock.close()
        (folder / "home" / "run" / "home.lock").unlink()
        assert is_new(folder, targets) is done
