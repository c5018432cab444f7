"""Port `Tombstones`: what is added is kept in order and chained, is durable, and cannot be changed unseen."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sottovoce.adapters import tombstones_file
from sottovoce.adapters.memory import MemoryTombstones
from sottovoce.adapters.tombstones_file import FileTombstones
from sottovoce.errors import IntegrityError, SchemaNewer, StorageError, UsageError
from sottovoce.model.tombstones import (
    SignedHead,
    TombstoneEntry,
    TombstoneHead,
    TombstoneKind,
    begun,
)
from sottovoce.ports import Tombstones

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
HOME = "sottovoce.tombstones/" + "0a" * 16


def own_id(prefix: str, number: int = 0) -> str:
    return f"{prefix}_" + f"{number:024d}".translate(str.maketrans("0123456789", "abcdefghij"))


def erased(number: int = 0) -> TombstoneEntry:
    return TombstoneEntry(
        kind=TombstoneKind.SUBJECT_ERASED, at=T0 + timedelta(seconds=number), subject_id=own_id("sub", number),
        request_id=own_id("req", number),
    )  # fmt: skip


ONE_OF_EACH = [
    begun(HOME, T0, tenant="default"),
    erased(1),
    replace(erased(2), kind=TombstoneKind.SESSION_ERASED, session_id=own_id("ses")),
    TombstoneEntry(
        kind=TombstoneKind.WITHDRAWN, at=T0, subject_id=own_id("sub"), purpose="voice_analysis",
        occurred_at=T0 - timedelta(days=1), event_id=own_id("con"),
    ),
    TombstoneEntry(
        kind=TombstoneKind.REFUSED, at=T0, subject_id=own_id("sub"), purpose="voice_analysis", occurred_at=T0
    ),
    TombstoneEntry(
        kind=TombstoneKind.RESTRICTED, at=T0, subject_id=own_id("sub"), mark_id=own_id("mrk"),
        reason="accuracy_contested", asked_by="person",
    ),
    TombstoneEntry(
        kind=TombstoneKind.OBJECTED, at=T0, subject_id=own_id("sub"), mark_id=own_id("mrk", 1),
        reason="objection", asked_by="person", purpose="model_training",
    ),
    TombstoneEntry(
        kind=TombstoneKind.HELD, at=T0, subject_id=own_id("sub"), mark_id=own_id("mrk", 2),
        session_id=own_id("ses"), reason="legal_claims", asked_by="operator",
    ),
    TombstoneEntry(
        kind=TombstoneKind.ERASURE_WAITS, at=T0, subject_id=own_id("sub"), mark_id=own_id("mrk", 3),
        reason="legal_hold", asked_by="person", request_id=own_id("req"),
    ),
    TombstoneEntry(kind=TombstoneKind.HOLD_LIFTED, at=T0, subject_id=own_id("sub"), mark_id=own_id("mrk", 2)),
    TombstoneEntry(kind=TombstoneKind.RESTORED, at=T0, backup="b-1", tree_size=17, root="ab" * 32),
    TombstoneEntry(kind=TombstoneKind.MODEL_REMOVED, at=T0, model_sha256="cd" * 32),
    TombstoneEntry(kind=TombstoneKind.REBUILT, at=T0, replaced=0, replaced_hash="00" * 32),
]  # fmt: skip


@pytest.fixture(params=["memory", "file"])
def tombstones(request: pytest.FixtureRequest, tmp_path: Path) -> Tombstones:
    return MemoryTombstones() if request.param == "memory" else FileTombstones(tmp_path / "tombstones.log")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tombstones.log"


def plain(entries: list[TombstoneEntry]) -> list[TombstoneEntry]:
    return [replace(entry, number=0, hash=b"") for entry in entries]


# --- both adapters ------------------------------------------------------------------------------------------


def test_what_is_added_is_read_again_in_order(tombstones: Tombstones) -> None:
    assert tombstones.head() == TombstoneHead()
    assert list(tombstones.read()) == list(tombstones.chain()) == list(tombstones.signed()) == []
    first = tombstones.append(ONE_OF_EACH[:3])
    last = tombstones.append(ONE_OF_EACH[3:])
    entries = list(tombstones.read())
    assert plain(entries) == ONE_OF_EACH
    assert [entry.number for entry in entries] == list(range(1, len(ONE_OF_EACH) + 1))
    assert [entry.head for entry in entries] == list(tombstones.chain())
    assert (entries[2].head, entries[-1].head) == (first, last) == (first, tombstones.head())
    assert list(tombstones.read(after=3)) == entries[3:]
    assert list(tombstones.read(after=len(entries))) == []
    assert tombstones.append([]) == last


def test_the_chain_is_that_of_an_independent_computation(tombstones: Tombstones) -> None:
    """Oracle: SHA-256 over a label and the canonical JSON of each entry, written down here a second time."""
    head = tombstones.append([begun(HOME, T0, tenant="default"), erased(1)])
    previous = bytes(32)
    for number, said in enumerate(
        (
            {"kind": "begun", "home": HOME, "format": "sottovoce-tombstones/1"},
            {"kind": "subject_erased", "subject_id": own_id("sub", 1), "request_id": own_id("req", 1)},
        ),
        start=1,
    ):
        at = "2026-03-01T12:00:00.123456+00:00" if number == 1 else "2026-03-01T12:00:01.123456+00:00"
        whole = {"at": at, "tenant": "default", "number": number, "previous": previous.hex(), **said}
        line = json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()
        previous = hashlib.sha256(b"sottovoce/tombstone/1\0" + line).digest()
    assert head == TombstoneHead(2, previous)


def test_signed_heads_are_kept_beside_the_entries(tombstones: Tombstones) -> None:
    head = tombstones.append([begun(HOME, T0, tenant="default")])
    signed = SignedHead(head, 'a note\nof "two" lines — ü\n')
    tombstones.add_signed(signed)
    later = tombstones.append([erased()])
    tombstones.add_signed(SignedHead(later, "another"))
    assert list(tombstones.signed()) == [signed, SignedHead(later, "another")]
    assert [entry.number for entry in tombstones.read()] == [1, 2]
    assert tombstones.head() == later


@pytest.mark.parametrize(
    "wrong",
    [
        replace(erased(), subject_id="anna@example.org"), replace(erased(), request_id=None),
        replace(erased(), session_id=own_id("ses")), replace(erased(), tenant="two words"),
        replace(erased(), reason="x"), replace(ONE_OF_EACH[3], purpose="a" * 200),
        replace(ONE_OF_EACH[5], reason="she said so"), replace(ONE_OF_EACH[5], mark_id="anna"),
    ],
)  # fmt: skip
def test_C5c_a_tombstone_holds_ids_and_codes_only(wrong: TombstoneEntry, tombstones: Tombstones) -> None:
    """A tombstone can hold no name, no address and no sentence: only ids that the service made itself, and codes."""
    tombstones.append([erased(9)])
    with pytest.raises(UsageError) as refused:
        tombstones.append([erased(1), wrong])
    assert "anna" not in refused.value.message
    assert len(list(tombstones.read())) == 1  # all or nothing


def test_several_threads_make_one_chain(tombstones: Tombstones) -> None:
    threads = [
        threading.Thread(target=lambda n=n: [tombstones.append([erased(n)]) for _ in range(20)]) for n in range(4)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [head.count for head in tombstones.chain()] == list(range(1, 81))


def test_F10_an_entry_is_still_written_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk does not stop the promise of an erasure: space for its tombstone was kept aside."""
    memory = MemoryTombstones()
    memory.append([erased()])
    memory.disk_full = True
    memory.append([erased(1)])
    with pytest.raises(StorageError) as refused:
        memory.append([erased(2)])
    assert refused.value.reason == "storage_full"

    path = tmp_path / "tombstones.log"
    file = FileTombstones(path)
    before = file.append([erased()])
    reserve = path.with_name("tombstones.log.reserve")
    assert reserve.stat().st_size == tombstones_file.RESERVE_BYTES == reserve.stat().st_blocks * 512
    write = os.write

    def full(fd: int, data: memoryview) -> int:
        if reserve.exists():
            raise OSError(28, "no space")
        return write(fd, data)

    monkeypatch.setattr(tombstones_file.os, "write", full)
    assert file.append([erased(1)]).count == 2
    monkeypatch.setattr(tombstones_file.os, "posix_fallocate", lambda *_: full(-1, memoryview(b"")))

    def always(fd: int, data: memoryview) -> int:
        raise OSError(28, "no space")

    monkeypatch.setattr(tombstones_file.os, "write", always)
    with pytest.raises(StorageError) as refused:
        file.append([erased(2)])
    assert refused.value.reason == "storage_full"
    monkeypatch.undo()
    assert [head.count for head in file.chain()] == [1, 2]
    assert next(iter(file.chain())) == before


def test_what_is_replaced_is_put_aside_and_stays_legible(tombstones: Tombstones) -> None:
    tombstones.append(ONE_OF_EACH[:3])
    tombstones.add_signed(SignedHead(tombstones.head(), "a note"))
    head = tombstones.replace([begun(HOME, T0, tenant="default"), erased(7)])
    assert head == tombstones.head() == list(tombstones.chain())[-1]
    assert plain(list(tombstones.read())) == [begun(HOME, T0, tenant="default"), erased(7)]
    assert list(tombstones.signed()) == []
    assert plain(list(tombstones.legible())) == [
        *ONE_OF_EACH[:3],
        begun(HOME, T0, tenant="default"),
        erased(7),
    ]
    assert tombstones.replace([]) == TombstoneHead()
    assert tombstones.append([erased(8)]).count == 1
    assert len(list(tombstones.legible())) == 6


# --- the file -----------------------------------------------------------------------------------------------


def test_the_file_is_private_and_never_followed_through_a_link(file: Path) -> None:
    FileTombstones(file).append([erased()])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    link = file.with_name("link")
    link.symlink_to(file)
    for use in (lambda: FileTombstones(link).append([erased()]), lambda: FileTombstones(link).head()):
        with pytest.raises(StorageError) as refused:
            use()
        assert refused.value.reason == "tombstones_unreachable"
        assert str(file.parent) not in f"{refused.value.message} {refused.value.hint}"


def test_a_folder_that_is_not_mounted_is_an_error_and_not_a_new_file(tmp_path: Path) -> None:
    away = FileTombstones(tmp_path / "not mounted" / "tombstones.log")
    assert away.head() == TombstoneHead()
    with pytest.raises(StorageError):
        away.append([erased()])
    assert not (tmp_path / "not mounted").exists()


def test_an_entry_is_on_the_disk_before_it_is_acknowledged(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[int, bool]] = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        synced.append((os.fstat(fd).st_size, stat.S_ISDIR(os.fstat(fd).st_mode)))
        fsync(fd)

    monkeypatch.setattr(tombstones_file.os, "fsync", watched)
    tombstones = FileTombstones(file)
    tombstones.append([erased()])
    assert synced[0] == (file.stat().st_size, False)
    assert synced[1][1]  # the folder, since the file is new
    tombstones.append([erased(1)])
    assert synced[2:] == [(file.stat().st_size, False)]


@pytest.mark.parametrize("torn", [b'{"at":"2026', b"\x00" * 300, b'{"head":{"count":1'])
def test_a_line_that_a_power_cut_tore_is_cut_off(torn: bytes, file: Path) -> None:
    tombstones = FileTombstones(file)
    head = tombstones.append([begun(HOME, T0, tenant="default"), erased(1)])
    whole = file.read_bytes()
    with file.open("ab") as end:
        end.write(torn)
    assert tombstones.head() == head
    assert len(list(tombstones.read())) == 2
    assert tombstones.append([erased(2)]).count == 3
    assert file.read_bytes().startswith(whole)
    assert [head.count for head in tombstones.chain()] == [1, 2, 3]


def test_a_write_that_fails_leaves_the_file_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tombstones = FileTombstones(file)
    tombstones.append([erased()])
    before = file.read_bytes()
    write = os.write

    def short(fd: int, data: memoryview) -> int:
        if len(data) > 100:
            return write(fd, data[:100])
        raise OSError(5, "broken")

    monkeypatch.setattr(tombstones_file.os, "write", short)
    with pytest.raises(StorageError):
        tombstones.append([erased(1), erased(2)])
    assert file.read_bytes() == before


def test_two_processes_make_one_chain(file: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from sottovoce.adapters.tombstones_file import FileTombstones\n"
        "from sottovoce.model.tombstones import TombstoneEntry\n"
        "t = FileTombstones(Path(sys.argv[1]))\n"
        "e = TombstoneEntry(kind=__import__('sottovoce.model.tombstones').model.tombstones.TombstoneKind"
        "('subject_erased'), at=datetime.now(UTC), subject_id=sys.argv[2], request_id=sys.argv[3])\n"
        "[t.append([e]) for _ in range(50)]\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(file), own_id("sub", n), own_id("req", n)])
        for n in range(2)
    ]
    assert [process.wait(60) for process in running] == [0, 0]
    entries = list(FileTombstones(file).read())
    assert len(entries) == 100
    assert {entry.subject_id for entry in entries} == {own_id("sub", 0), own_id("sub", 1)}


def test_every_whole_line_of_a_broken_file_is_legible(file: Path) -> None:
    tombstones = FileTombstones(file)
    tombstones.append(ONE_OF_EACH)
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"subject_erased", b"session_erased")
    file.write_bytes(
        b"\x00garbage\n" + b"".join([*lines[:3], *lines[4:]]) + b'{"head":\n' + b"[1]\n" + lines[0][:40]
    )
    assert plain(list(tombstones.legible())) == [ONE_OF_EACH[0], ONE_OF_EACH[2], *ONE_OF_EACH[4:]]
    tombstones.replace([begun(HOME, T0, tenant="default")])
    kept = file.with_name("tombstones.log.broken-1")
    assert kept.read_bytes().startswith(b"\x00garbage\n")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (file, kept)} == {0o600}
    (file.parent / "tombstones.log.broken-x").write_bytes(lines[0])  # not one of ours
    assert plain(list(tombstones.legible()))[:3] == [ONE_OF_EACH[0], ONE_OF_EACH[2], ONE_OF_EACH[4]]
    tombstones.replace([])
    assert file.with_name("tombstones.log.broken-2").exists()


def test_an_entry_of_a_newer_version_is_not_taken_for_damage(file: Path) -> None:
    tombstones = FileTombstones(file)
    tombstones.append([erased()])
    file.write_bytes(file.read_bytes().replace(b"subject_erased", b"moved_to_mars_"))
    with pytest.raises(SchemaNewer):
        list(tombstones.read())


def found_out(path: Path, known: TombstoneHead) -> set[bool]:
    """Whether a reader who knows a head notices that the file is not what was written, by each way of reading."""
    file = FileTombstones(path)
    noticed = set()
    for heads in (file.chain(), (entry.head for entry in file.read())):
        try:
            noticed.add(known not in list(heads))
        except (IntegrityError, SchemaNewer):
            noticed.add(True)
    return noticed


Change = Callable[[list[bytes]], list[bytes]]


@st.composite
def changes(draw: st.DrawFn, lines: int) -> Change:
    """A cut of whole lines, a flipped bit, two lines swapped, a line dropped or doubled."""
    kind = draw(st.sampled_from(["cut", "flip", "swap", "drop", "double"]))
    at = draw(st.integers(0, lines - 1))
    if kind == "cut":
        return lambda given: given[:at]
    if kind == "drop":
        return lambda given: given[:at] + given[at + 1 :]
    if kind == "double":
        return lambda given: given[: at + 1] + given[at:]
    if kind == "swap":
        other = draw(st.integers(0, lines - 1).filter(lambda n: n != at))

        def swap(given: list[bytes]) -> list[bytes]:
            changed = list(given)
            changed[at], changed[other] = changed[other], changed[at]
            return changed

        return swap
    byte, bit = draw(st.integers(0, 10_000)), draw(st.integers(0, 7))

    def flip(given: list[bytes]) -> list[bytes]:
        line = bytearray(given[at])
        line[byte % (len(line) - 1)] ^= 1 << bit
        return [*given[:at], bytes(line), *given[at + 1 :]]

    return flip


@given(data=st.data(), count=st.integers(2, 12))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)  # fmt: skip
def test_C11b_every_change_that_a_known_head_covers_is_found(
    data: st.DataObject, count: int, tmp_path: Path
) -> None:
    """A file of tombstones that was cut, altered or reordered anywhere before a head that is known is recognised."""
    path = tmp_path / "tombstones.log"
    path.unlink(missing_ok=True)
    file = FileTombstones(path)
    head = file.append([begun(HOME, T0, tenant="default"), *(erased(n) for n in range(1, count))])
    lines = path.read_bytes().splitlines(keepends=True)
    assert found_out(path, head) == {False}
    changed = data.draw(changes(len(lines)))(lines)
    path.write_bytes(b"".join(changed))
    assert found_out(path, head) == {True}
