"""The sealing desk over real folders: nothing in clear, nothing twice, nothing half."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sottovoce import app as house
from sottovoce.adapters import sealed_files
from sottovoce.errors import (
    AudioRejected,
    Conflict,
    InputUnreadable,
    IntegrityError,
    StorageError,
    UsageError,
)
from sottovoce.sealing import recipients, suites

PREFIX_KEY = bytes(range(16))
VOICE = b"RIFF" + bytes(i * 7 % 251 for i in range(150_000))


@pytest.fixture(scope="module")
def keys() -> tuple[str, str]:
    """(public file, private file)."""
    private = suites.generate_recipient(suites.SUITE_X25519, random_bytes=os.urandom)
    return recipients.public_document(private.public(), PREFIX_KEY), recipients.private_document(private)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "anna smith 1.wav"
    path.write_bytes(VOICE)
    return path


def files_below(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name != sealed_files.STATE_NAME
    )


def test_M16_a_recording_is_sealed_without_a_home_and_opens_with_the_private_half(
    tmp_path: Path, source: Path, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A contractor's machine needs nothing but the public key; only the private half gives the recording back."""
    monkeypatch.setenv("SOTTOVOCE_HOME", str(tmp_path / "no-home"))
    sealed = house.seal_file(source, to=keys[0], out=tmp_path / "out", contractor="anna smith")
    again = house.open_sealed_file(tmp_path / "out" / sealed.place, key=keys[1], out=tmp_path / "clear")
    assert Path(again.path).read_bytes() == VOICE
    assert Path(again.path).name == f"{sealed.envelope_id}.wav"
    assert Path(again.path).stat().st_mode & 0o777 == 0o600
    assert again.subject == "anna smith"
    assert not (tmp_path / "no-home").exists()


def test_X25_names_and_folders_say_nothing_of_whom(
    tmp_path: Path, source: Path, keys: tuple[str, str]
) -> None:
    """Whoever lists the storage sees random-looking names, one folder per contractor, and no id of a person."""
    one = house.seal_file(source, to=keys[0], out=tmp_path / "out", contractor="anna")
    two = house.seal_file(source, to=keys[0], out=tmp_path / "out", contractor="bert")
    prefixes = {Path(sealed.place).parent.name for sealed in (one, two)}
    assert prefixes == {house.contractor_prefix(keys[0], "anna"), house.contractor_prefix(keys[0], "bert")}
    assert one.envelope_id != two.envelope_id
    for path in files_below(tmp_path / "out"):
        assert b"anna" not in path.read_bytes() + os.fsencode(path.relative_to(tmp_path / "out"))
        assert VOICE[100:116] not in path.read_bytes()


def test_a_prefix_cannot_be_guessed_from_the_public_key_alone(keys: tuple[str, str]) -> None:
    bare = recipients.public_document(recipients.parse_public(keys[0]))
    assert house.contractor_prefix(keys[0], "anna") != house.contractor_prefix(bare, "anna")
    assert recipients.parse_prefix_key(keys[0]) == PREFIX_KEY
    assert house.contractor_prefix(keys[0], None) != house.contractor_prefix(keys[0], "")


@pytest.mark.parametrize("bad", ['"x"', '"' + "g" * 32 + '"', "7", '"00"'])
def test_a_malformed_prefix_key_is_refused(keys: tuple[str, str], bad: str) -> None:
    text = keys[0].replace(f'"{PREFIX_KEY.hex()}"', bad)
    with pytest.raises(IntegrityError):
        recipients.parse_prefix_key(text)


def test_M16_the_same_file_is_not_sealed_twice(tmp_path: Path, source: Path, keys: tuple[str, str]) -> None:
    """A run that is begun again seals what is missing, and nothing that is there."""
    first = house.seal_file(source, to=keys[0], out=tmp_path / "out")
    before = (tmp_path / "out" / first.place).read_bytes()
    again = house.seal_file(source, to=keys[0], out=tmp_path / "out")
    assert (first.status, again.status, again.place) == ("sealed", "sealed_before", first.place)
    assert (tmp_path / "out" / first.place).read_bytes() == before
    source.write_bytes(VOICE + b"more")
    changed = house.seal_file(source, to=keys[0], out=tmp_path / "out")
    assert (changed.status, changed.place != first.place) == ("sealed", True)


def test_a_sealed_file_that_was_cut_is_sealed_anew(
    tmp_path: Path, source: Path, keys: tuple[str, str]
) -> None:
    sealed = house.seal_file(source, to=keys[0], out=tmp_path / "out")
    os.truncate(tmp_path / "out" / sealed.place, 500)
    assert house.seal_file(source, to=keys[0], out=tmp_path / "out").status == "sealed"
    assert (tmp_path / "out" / sealed.place).stat().st_size == sealed.sealed_bytes


def test_another_folder_gives_other_names(tmp_path: Path, source: Path, keys: tuple[str, str]) -> None:
    """Names are drawn from the folder's own random state: nobody without it can test which file a name is of."""
    one = house.seal_file(source, to=keys[0], out=tmp_path / "one")
    two = house.seal_file(source, to=keys[0], out=tmp_path / "two")
    assert one.envelope_id != two.envelope_id
    state = tmp_path / "one" / sealed_files.STATE_NAME
    assert (state.stat().st_size, state.stat().st_mode & 0o777) == (32, 0o600)


# --- discarding the source --------------------------------------------------------------------------------------


def test_C9e_a_source_is_unlinked_after_its_sealed_file_was_read_back(
    tmp_path: Path, source: Path, keys: tuple[str, str]
) -> None:
    """With discard-source the recording goes when its sealed file was read from the disk and opened to its end."""
    sealed = house.seal_file(source, to=keys[0], out=tmp_path / "out", discard_source=True)
    assert (sealed.source, source.exists()) == ("unlinked", False)
    house.open_sealed_file(tmp_path / "out" / sealed.place, key=keys[1], out=tmp_path / "clear")


def test_C9e_file_and_folder_are_on_disk_before_the_source_goes(
    tmp_path: Path, source: Path, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sealed file and its name survive a power cut before the recording is unlinked."""
    seen: list[str] = []
    fsync, unlink = os.fsync, Path.unlink

    def told_fsync(fd: int) -> None:
        seen.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        fsync(fd)

    def told_unlink(path: Path, missing_ok: bool = False) -> None:
        seen.append(path.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "fsync", told_fsync)
    monkeypatch.setattr(Path, "unlink", told_unlink)
    sealed = house.seal_file(source, to=keys[0], out=tmp_path / "out", discard_source=True)
    prefix, gone = Path(sealed.place).parent.name, seen.index(source.name)
    named = [number for number, name in enumerate(seen) if name == prefix]
    assert named
    assert max(named) < gone
    assert any("(deleted)" in name for name in seen[: max(named)])  # the file, while it had no name


def test_a_file_sealed_by_an_earlier_run_is_proven_anew_before_it_goes(
    tmp_path: Path, source: Path, keys: tuple[str, str]
) -> None:
    first = house.seal_file(source, to=keys[0], out=tmp_path / "out")
    damaged = bytearray((tmp_path / "out" / first.place).read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "out" / first.place).write_bytes(damaged)
    sealed = house.seal_file(source, to=keys[0], out=tmp_path / "out", discard_source=True)
    assert (sealed.status, sealed.place, source.exists()) == ("sealed", first.place, False)
    assert files_below(tmp_path / "out") == [tmp_path / "out" / first.place]
    opened = house.open_sealed_file(tmp_path / "out" / first.place, key=keys[1], out=tmp_path / "clear")
    assert Path(opened.path).read_bytes() == VOICE


@pytest.mark.parametrize("offset", [0, 40, 60, 2000, 3300, -1])
def test_C9e_a_disk_that_lies_costs_no_source(
    tmp_path: Path, source: Path, keys: tuple[str, str], offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where what is read back is not what was written, the source stays and nothing is left."""
    honest = sealed_files.FileWriter.settle

    def settle(writer: sealed_files.FileWriter) -> None:
        honest(writer)
        at = offset % os.fstat(writer.fd).st_size
        os.pwrite(writer.fd, bytes([os.pread(writer.fd, 1, at)[0] ^ 1]), at)

    monkeypatch.setattr(sealed_files.FileWriter, "settle", settle)
    with pytest.raises(StorageError) as refused:
        house.seal_file(source, to=keys[0], out=tmp_path / "out", discard_source=True)
    assert refused.value.reason == "sealed_damaged"
    assert source.exists()
    assert files_below(tmp_path / "out") == []


# --- what the world does ----------------------------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_read_gives_no_sealed_file(
    tmp_path: Path, source: Path, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = sealed_files.FileWriter.write

    def write(writer: sealed_files.FileWriter, data: memoryview) -> None:
        with source.open("ab") as file:
            file.write(b"more")
        honest(writer, data)

    monkeypatch.setattr(sealed_files.FileWriter, "write", write)
    with pytest.raises(InputUnreadable) as refused:
        house.seal_file(source, to=keys[0], out=tmp_path / "out", discard_source=True)
    assert refused.value.reason == "file_changed"
    assert source.exists()
    assert files_below(tmp_path / "out") == []


def test_F10_a_full_disk_leaves_nothing_half_written(
    tmp_path: Path, source: Path, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up in the middle of a recording leaves neither a half file nor a lost source."""
    left = 100_000

    def write(_: int, data: memoryview) -> int:
        nonlocal left
        left -= len(data)
        if left < 0:
            raise OSError(errno.ENOSPC, "full")
        return len(data)

    monkeypatch.setattr(sealed_files.os, "write", write)
    with pytest.raises(StorageError) as refused:
        house.seal_file(source, to=keys[0], out=tmp_path / "out", discard_source=True)
    assert refused.value.reason == "storage_full"
    assert source.exists()
    assert files_below(tmp_path / "out") == []


@pytest.fixture(params=["anonymous", "hidden"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With anonymous files, and without."""
    if request.param == "hidden":
        honest = os.open

        def without(path: Any, flags: int, *more: Any, **named: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "no")
            return honest(path, flags, *more, **named)

        monkeypatch.setattr(sealed_files.os, "open", without)
    return str(request.param)


def test_it_works_where_there_are_no_anonymous_files(
    tmp_path: Path, source: Path, keys: tuple[str, str], file_system: str
) -> None:
    for discard in (False, True):
        sealed = house.seal_file(source, to=keys[0], out=tmp_path / "out", discard_source=discard)
    assert files_below(tmp_path / "out") == [tmp_path / "out" / sealed.place]
    house.open_sealed_file(tmp_path / "out" / sealed.place, key=keys[1], out=tmp_path / "clear")
    with pytest.raises(UsageError) as refused:
        house.open_sealed_file(tmp_path / "out" / sealed.place, key=keys[1], out=tmp_path / "clear")
    assert (refused.value.reason, file_system) == ("file_exists", file_system)
    assert len(files_below(tmp_path / "clear")) == 1


def test_what_a_killed_run_left_is_removed(tmp_path: Path, source: Path, keys: tuple[str, str]) -> None:
    sealed = house.seal_file(source, to=keys[0], out=tmp_path / "out")
    part = (tmp_path / "out" / sealed.place).with_name(".0011223344556677.sealed.part")
    part.write_bytes(b"half")
    house.seal_file(source, to=keys[0], out=tmp_path / "out")
    assert not part.exists()


def test_a_state_that_a_kill_has_cut_short_is_drawn_anew(
    tmp_path: Path, source: Path, keys: tuple[str, str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / sealed_files.STATE_NAME).write_bytes(b"short")
    house.seal_file(source, to=keys[0], out=tmp_path / "out")
    assert (tmp_path / "out" / sealed_files.STATE_NAME).stat().st_size == 32


def test_one_process_at_a_time(tmp_path: Path, source: Path, keys: tuple[str, str]) -> None:
    with house.sealing_desk(tmp_path / "out", to=keys[0]), pytest.raises(Conflict) as refused:
        house.seal_file(source, to=keys[0], out=tmp_path / "out")
    assert refused.value.reason == "seal_in_progress"


def test_many_threads_seal_many_files(tmp_path: Path, keys: tuple[str, str]) -> None:
    names = [tmp_path / f"{number}.wav" for number in range(16)]
    for number, name in enumerate(names):
        name.write_bytes(VOICE[: 1000 * number + 1])
    with house.sealing_desk(tmp_path / "out", to=keys[0]) as desk:
        threads = [threading.Thread(target=desk.seal, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(files_below(tmp_path / "out")) == 16


def make_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


@pytest.mark.parametrize("make", [make_link, os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_not_followed_and_not_waited_for(
    tmp_path: Path, keys: tuple[str, str], make: Callable[[Path], None]
) -> None:
    make(tmp_path / "it")
    with pytest.raises(InputUnreadable) as refused:
        house.seal_file(tmp_path / "it", to=keys[0], out=tmp_path / "out")
    assert refused.value.reason == "not_a_file"


def test_empty_and_too_large_files_are_refused(
    tmp_path: Path, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(AudioRejected) as refused:
        house.seal_file(tmp_path / "empty", to=keys[0], out=tmp_path / "out")
    assert refused.value.reason == "empty"
    with (tmp_path / "huge").open("wb") as file:
        file.truncate((1 << 30) + 1)
    with pytest.raises(AudioRejected) as refused:
        house.seal_file(tmp_path / "huge", to=keys[0], out=tmp_path / "out")
    assert refused.value.reason == "too_large"


@pytest.mark.parametrize("text", ["", "{}", "not json", "[]", '{"format": "sottovoce-recipient/1"}'])
def test_X28_what_is_no_recipients_key_seals_nothing(tmp_path: Path, source: Path, text: str) -> None:
    """A key file that is damaged, or whose id is not that of its key, is refused before anything is read."""
    with pytest.raises(IntegrityError):
        house.seal_file(source, to=text, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_X28_a_swapped_key_is_refused(tmp_path: Path, source: Path, keys: tuple[str, str]) -> None:
    """A public key that somebody put in the place of the pinned one, under its id, is refused."""
    other = suites.generate_recipient(suites.SUITE_X25519, random_bytes=os.urandom)
    mine = recipients.parse_public(keys[0]).key_id.hex()
    text = recipients.public_document(other.public()).replace(other.public().key_id.hex(), mine)
    with pytest.raises(IntegrityError):
        house.seal_file(source, to=text, out=tmp_path / "out")


def test_a_folder_that_is_a_file_and_one_that_cannot_be_written(
    tmp_path: Path, source: Path, keys: tuple[str, str]
) -> None:
    with pytest.raises(UsageError):
        house.seal_file(source, to=keys[0], out=source)
    with pytest.raises(StorageError):
        house.seal_file(source, to=keys[0], out=Path("/proc/nowhere"))


# --- opening ----------------------------------------------------------------------------------------------------


@pytest.fixture
def sealed(tmp_path: Path, source: Path, keys: tuple[str, str]) -> Path:
    return tmp_path / "out" / house.seal_file(source, to=keys[0], out=tmp_path / "out").place


@pytest.mark.parametrize(("at", "reason"), [(-1, "envelope_damaged"), (3400, "envelope_damaged")])
def test_a_name_appears_only_when_all_of_it_was_found_whole(
    tmp_path: Path, sealed: Path, keys: tuple[str, str], at: int, reason: str
) -> None:
    data = bytearray(sealed.read_bytes())
    data[at] ^= 1
    sealed.write_bytes(data)
    with pytest.raises(IntegrityError) as refused:
        house.open_sealed_file(sealed, key=keys[1], out=tmp_path / "clear")
    assert refused.value.reason == reason
    assert files_below(tmp_path / "clear") == []


def test_a_key_is_no_key_for_another_recipients_file(tmp_path: Path, sealed: Path) -> None:
    other = suites.generate_recipient(suites.SUITE_X25519, random_bytes=os.urandom)
    from sottovoce.errors import KeyUnavailable

    with pytest.raises(KeyUnavailable):
        house.open_sealed_file(sealed, key=recipients.private_document(other), out=tmp_path / "clear")


# --- what it touches --------------------------------------------------------------------------------------------

WATCHED = """
import json, os, sys
sys.path[:] = {path!r}
from sottovoce import app
written, reached = set(), set()

def hook(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        written.add(os.fspath(arguments[0]))
    elif event.startswith("socket.") and event != "socket.__new__":
        reached.add(event)

sys.addaudithook(hook)
app.seal_file({source!r}, to={key!r}, out={out!r}, contractor="anna", discard_source=True)
print(json.dumps([sorted(written), sorted(reached)]))
"""


def test_X15_nothing_is_written_but_into_the_folder_and_nothing_is_reached(
    tmp_path: Path, source: Path, keys: tuple[str, str]
) -> None:
    """While a recording is sealed no file is opened for writing outside the folder of sealed files, no temporary one
    either, and no network is touched."""
    out = tmp_path / "out"
    program = WATCHED.format(path=sys.path, source=str(source), key=keys[0], out=str(out))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    written, reached = json.loads(done.stdout)
    assert len(written) >= 2
    assert all(Path(path).is_relative_to(out) for path in written)
    assert reached == []
    assert not source.exists()
