"""A home whose file of tombstones is lost: a new one is begun, nobody comes back by it, a kill does no harm."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sottovoce import app, app_backup
from sottovoce.adapters import tombstones_file
from sottovoce.adapters.memory import InlineExtractor
from sottovoce.adapters.tombstones_file import FileTombstones
from sottovoce.audit import tombstones as notes
from sottovoce.errors import Conflict, IntegrityError, KeyUnavailable, NotFound, StorageError
from sottovoce.model.mark import MarkKind
from sottovoce.model.tombstones import TombstoneEntry, TombstoneHead, head_after
from sottovoce.settings import Settings
from sottovoce.usecases import restoring

ALL = ("voice_recording", "voice_analysis", "data_retention_30_days")
REQUEST = "req_" + "b" * 24


class Numbers(InlineExtractor):
    def level(self) -> str:
        return "rlimits"

    def close(self) -> None:
        return


@dataclass
class House:
    home: Path
    platform: app.Platform = field(init=False)

    @property
    def file(self) -> Path:
        return self.home / "tombstones.log"

    def open(self) -> app.Platform:
        settings = Settings(home=self.home)
        adapters = replace(app.connect(settings), extractor=Numbers())
        self.platform = app.assemble(adapters, settings)
        return self.platform

    def refused(self) -> str:
        with pytest.raises(IntegrityError) as error:
            self.open()
        assert "tombstones rebuild" in error.value.hint
        return error.value.reason

    def rebuild(self) -> Any:
        with app.tombstone_desk(home=self.home, alone=True) as desk:
            return desk.rebuild()

    def view(self) -> Any:
        with app.tombstone_desk(home=self.home) as desk:
            return desk.view()

    def entries(self) -> list[TombstoneEntry]:
        return list(FileTombstones(self.file).read())

    def kinds(self) -> list[str]:
        return [str(entry.kind) for entry in self.entries()]

    def copy(self, name: str) -> Path:
        """A copy of the closed home."""
        return Path(shutil.copytree(self.home, self.home.with_name(name)))


@pytest.fixture
def house(tmp_home: Path) -> Iterator[House]:
    """A closed home: anna is erased, ben has withdrawn, cleo is restricted, dora is under a legal hold."""
    made = House(tmp_home)
    platform = made.open()
    for name in ("anna", "ben", "cleo", "dora"):
        platform.grant(subject=name, purposes=ALL)
    platform.erase(subject="anna", request_id=REQUEST)
    platform.withdraw(subject="ben", purposes=["voice_analysis"])
    platform.mark(subject="cleo", kind=MarkKind.RESTRICTION, reason="accuracy_contested")
    platform.mark(subject="dora", kind=MarkKind.HOLD, reason="legal_claims", asked_by="operator")
    platform.close()
    yield made
    made.platform.close()


def lose(house: House) -> None:
    house.file.unlink()


def cut(house: House) -> None:
    lines = house.file.read_bytes().splitlines(keepends=True)
    house.file.write_bytes(b"".join(lines[: next(n for n, line in enumerate(lines) if b"withdrawn" in line)]))


def damage(house: House) -> None:
    house.file.write_bytes(house.file.read_bytes().replace(b"withdrawn", b"Withdrawn"))


def spoil(house: House) -> None:
    house.file.write_bytes(b"not a line of ours\n" * 9 + os.urandom(300))


BREAKS = {
    lose: "tombstones_missing", cut: "tombstones_cut", damage: "tombstones_damaged", spoil: "tombstones_damaged",
}  # fmt: skip


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda one: one.__name__)
def test_F30_a_lost_file_of_tombstones_is_begun_anew_with_all_the_database_knows(
    house: House, break_it: Callable[[House], None]
) -> None:
    """Where the file of tombstones is lost for good, a new one has everything the database knows, the broken one is
    kept, the audit log tells of it, and the home opens again with nothing brought back."""
    before = {(entry.kind, entry.subject_id) for entry in house.entries()[1:]}
    applied = house.entries()[-1].head
    break_it(house)
    broken = house.file.read_bytes() if house.file.exists() else None
    assert house.refused() == BREAKS[break_it]
    view = house.view()
    assert view.problem.reason == BREAKS[break_it]
    assert view.followed == applied
    rebuilt = house.rebuild()
    assert (rebuilt.reason, rebuilt.lost, rebuilt.found) == (BREAKS[break_it], applied.count, 0)
    assert {(entry.kind, entry.subject_id) for entry in house.entries()[2:]} == before
    assert house.kinds()[:2] == ["begun", "rebuilt"]
    aside = house.file.with_name("tombstones.log.broken-1")
    assert (aside.read_bytes() if aside.exists() else None) == broken
    view = house.view()
    assert (view.problem, view.signed) == (None, view.head.count)
    platform = house.open()
    assert platform.replayed.entries == 0
    assert platform.fsck().sound
    assert platform.verify_audit().intact
    told = [line for line in platform.show_audit(kind="tombstones") if line.kind == "tombstones.rebuilt"]
    assert [line.outcome for line in told] == [BREAKS[break_it]]
    assert platform.erase(subject="anna", request_id=REQUEST).result == "erased"
    assert platform.erase(subject="anna").result == "nothing_held"
    assert platform.erase(subject="dora").result == "held"


def test_F30_what_only_a_broken_file_still_speaks_of_is_done(house: House, tmp_path: Path) -> None:
    """Where the database is an old copy as well, an erasure or a withdrawal that any readable line of the broken file
    speaks of is done before the home opens again."""
    old = house.copy("old")
    platform = house.open()
    platform.erase(subject="ben", request_id="req_" + "c" * 24)
    platform.withdraw(subject="cleo", purposes=["voice_analysis"])
    platform.grant(subject="eve", purposes=ALL)
    platform.erase(subject="eve")  # whom the old database never knew: of her nothing is here
    platform.close()
    for name in ("sottovoce.db", "keys/keys.db"):
        shutil.copy2(old / name, house.home / name)
    house.file.write_bytes(house.file.read_bytes().replace(b'"begun"', b'"Begun"', 1))
    assert house.refused() == "tombstones_damaged"
    rebuilt = house.rebuild()
    assert (rebuilt.found, rebuilt.changed) == (2, 2)
    platform = house.open()
    assert platform.erase(subject="ben", request_id="req_" + "c" * 24).result == "erased"
    assert platform.erase(subject="ben").result == "nothing_held"
    held = {state.purpose: state.status for state in platform.consents(subject="cleo")}
    assert held["voice_analysis"] == "withdrawn"
    assert platform.fsck().sound
    assert house.kinds().count("subject_erased") == 2


def test_F30_no_backup_from_before_the_rebuilding_can_be_restored(house: House, tmp_path: Path) -> None:
    """A backup made before the tombstones were written anew is refused with a code of its own; one made after works."""
    (data := tmp_path / "data").mkdir()
    (keys := tmp_path / "keys").mkdir()
    platform = house.open()
    early = platform.create_backup(data=data, keys=keys)
    platform.close()
    lose(house)
    house.rebuild()
    platform = house.open()
    late = platform.create_backup(data=data, keys=keys)
    halves = {"data": data / early.data_name, "keys": keys / early.keys_name, "tombstones": house.file}
    for given in (
        halves,
        {**halves, "keys": keys / late.keys_name},
        {**halves, "data": data / late.data_name},
    ):
        with pytest.raises(IntegrityError) as refused:
            app_backup.drill_backup(platform, **given)
        assert refused.value.reason == "tombstones_rebuilt"
    halves = {"data": data / late.data_name, "keys": keys / late.keys_name, "tombstones": house.file}
    assert app_backup.drill_backup(platform, **halves).sound
    platform.close()


def test_a_home_that_is_fine_is_not_rebuilt(house: House) -> None:
    before = house.file.read_bytes()
    with pytest.raises(Conflict) as refused:
        house.rebuild()
    assert refused.value.reason == "tombstones_whole"
    assert house.file.read_bytes() == before
    assert house.view().kinds["subject_erased"] == 1
    database = sqlite3.connect(house.home / "sottovoce.db")  # a home from before there was such a file
    database.execute("DELETE FROM tombstones_applied")
    database.commit()
    database.close()
    lose(house)
    with pytest.raises(Conflict):
        house.rebuild()
    assert not house.file.exists()


def test_nobody_has_the_home_open_and_there_is_one(house: House, tmp_path: Path) -> None:
    house.open()
    lose(house)
    with pytest.raises(StorageError) as refused:
        house.rebuild()
    assert refused.value.reason == "home_in_use"
    house.platform.close()
    with pytest.raises(NotFound), app.tombstone_desk(home=tmp_path / "no home"):
        pass
    assert not (tmp_path / "no home").exists()
    (house.home / "keys" / "keys.db").rename(tmp_path / "keys.db")
    with pytest.raises(KeyUnavailable):
        house.rebuild()
    assert not house.file.exists()


class Killed(BaseException):
    pass


STEPS = ("write", "fsync", "link", "rename", "replace", "sync_folder", "commit")


@pytest.mark.parametrize(
    ("step", "break_it"),
    [*((step, damage) for step in STEPS), *((step, lose) for step in STEPS if step != "link")],
)
def test_F9_a_rebuilding_that_is_killed_is_done_once_more(
    house: House, monkeypatch: pytest.MonkeyPatch, step: str, break_it: Callable[[House], None]
) -> None:
    """Killed at any step of writing the new file, the home stays closed, nothing of the broken file is lost, and doing
    it once more ends as if nothing had happened."""
    break_it(house)
    reason = house.refused()
    broken = house.file.read_bytes() if house.file.exists() else None

    def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        if step == "commit":
            kill_commit(patch)
        elif step == "rename":  # where the file system knows no second names
            patch.setattr(tombstones_file.os, "link", no_links)
            patch.setattr(Path, "replace", killed)
        elif step == "replace":
            patch.setattr(Path, "replace", killed)
        elif step == "sync_folder":
            patch.setattr(tombstones_file, "sync_folder", killed)
        else:
            patch.setattr(tombstones_file.os, step, killed)
        with pytest.raises(Killed):
            house.rebuild()
    assert house.refused() in (reason, "tombstones_missing", "tombstones_damaged", "tombstones_cut")
    rebuilt = house.rebuild()
    assert rebuilt.head.count == len(house.entries())
    kept = [path.read_bytes() for path in sorted(house.home.glob("tombstones.log.broken-*"))]
    assert broken is None or broken in kept
    platform = house.open()
    assert platform.fsck().sound
    assert platform.erase(subject="anna", request_id=REQUEST).result == "erased"


def no_links(*_: Any, **__: Any) -> None:
    raise OSError(1, "no links here")


def kill_commit(patch: pytest.MonkeyPatch) -> None:
    """The new file is in its place, and the transaction does not commit."""
    replace_file = FileTombstones.replace

    def then_killed(self: FileTombstones, entries: Any) -> TombstoneHead:
        replace_file(self, entries)
        raise Killed

    patch.setattr(FileTombstones, "replace", then_killed)


def test_heads_of_the_lost_file_are_of_another_file_and_a_second_rebuilding_has_another_name(
    house: House,
) -> None:
    lost = "\n".join(each.note for each in FileTombstones(house.file).signed())
    assert list(notes.find_notes(lost))
    names = [house.entries()[0].home]
    for _ in range(2):
        damage(house)
        house.rebuild()
        names.append(house.entries()[0].home)
    assert len(set(names)) == 3
    platform = house.open()
    signed = "\n".join(each.note for each in FileTombstones(house.file).signed())
    assert platform._heads.compare(signed) == 1
    assert platform._heads.compare(lost) == 0


def test_a_restore_before_the_rebuilding_still_explains_the_audit_log(house: House) -> None:
    """Restore points come from the audit log: the broken file is not asked."""
    platform = house.open()
    log = platform._settling.log_of_the_backup()
    details = {"backup": "b-1", "log_size": log.size, "log_root": log.root.hex()}
    with platform._adapters.database.begin() as tx:
        platform._trail.of(None, caller=app.LIBRARY).write(tx, "home.restored", details=details)
    platform.close()
    lose(house)
    house.rebuild()
    assert house.kinds()[2] == "restored"
    (point,) = restoring.restore_points(FileTombstones(house.file), house.open()._heads)
    assert (point.backup, point.size, point.root, point.signed) == ("b-1", log.size, log.root, True)


def test_the_head_of_entries_is_that_of_a_file_of_them(house: House) -> None:
    entries = house.entries()
    assert head_after(entries) == entries[-1].head
    assert head_after([]) == TombstoneHead()
