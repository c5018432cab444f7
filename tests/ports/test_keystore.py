"""The port KeyStore: one suite over the fake and SQLite, then what only a file can promise."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sottovoce.adapters.keystore_sqlite import SqliteKeyStore, _decode, _encode, _tag
from sottovoce.adapters.memory import MemoryKeyStore
from sottovoce.errors import Conflict, IntegrityError, SchemaNewer, StorageError
from sottovoce.model.keys import KeyRow
from sottovoce.model.tombstones import TombstoneHead
from sottovoce.ports import KeyStore

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
DAY_ONE = datetime(1970, 1, 1)  # noqa: DTZ001


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyStore]:
    if request.param == "memory":
        yield MemoryKeyStore()
        return
    opened = SqliteKeyStore(tmp_path / "keys.db")
    yield opened
    opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.db"


def a_row(
    key_id: str = "k1", *, epoch: int = 1, subject_id: str | None = "sub_1", wrapped: bytes = b"w" * 88
) -> KeyRow:
    return KeyRow(key_id, "default", "record", "features", subject_id, epoch, wrapped, AT)


def begun(store: KeyStore, epoch: int = 1) -> KeyStore:
    store.begin_epoch(epoch, b"wrapped ek", at=AT)
    return store


def test_rows_come_back_as_they_went_in(store: KeyStore) -> None:
    begun(store)
    rows = [a_row("b"), a_row("a", subject_id=None), a_row("ü" * 40, wrapped=bytes(range(256)))]
    store.insert(rows)
    assert store.get(["b", "a", "ü" * 40, "missing"]) == {row.key_id: row for row in rows}
    assert list(store.list()) == sorted(rows, key=lambda row: row.key_id)
    assert list(store.list(subject_id="sub_1")) == [rows[0], rows[2]]
    assert list(store.list(subject_id="nobody")) == []
    assert store.get([]) == {}
    store.insert([])


def test_exactly_one_epoch_is_current(store: KeyStore) -> None:
    assert store.epochs() == ()
    begun(store, 1)
    begun(store, 4)
    assert [(row.epoch, row.current) for row in store.epochs()] == [(1, False), (4, True)]
    assert store.epochs()[0].wrapped_ek == b"wrapped ek"
    assert store.epochs()[0].created_at == AT
    for old in (1, 3, 4):
        with pytest.raises(Conflict):
            begun(store, old)
    assert [row.epoch for row in store.epochs()] == [1, 4]


def test_M15_the_promised_end_of_an_epoch_is_kept_with_it(store: KeyStore) -> None:
    """The end that was promised when a key epoch began is stored beside it, and no later setting changes it."""
    begun(store, 1)
    end = AT + timedelta(days=30)
    store.begin_epoch(2, b"ek", at=AT, ends_by=end)
    assert [row.ends_by for row in store.epochs()] == [None, end]


def test_F28_a_row_of_a_retired_epoch_is_not_inserted(store: KeyStore) -> None:
    """While keys are rotated nothing is written under the old epoch: the writer is told to use the new one."""
    with pytest.raises(Conflict):
        store.insert([a_row()])
    begun(store, 1)
    begun(store, 2)
    with pytest.raises(Conflict) as refused:
        store.insert([a_row("new", epoch=2), a_row("old", epoch=1)])
    assert refused.value.reason == "epoch_retired"
    assert store.get(["new", "old"]) == {}


def test_a_taken_id_inserts_nothing_of_the_batch(store: KeyStore) -> None:
    begun(store)
    store.insert([a_row("taken")])
    for batch in ([a_row("new"), a_row("taken", wrapped=b"other")], [a_row("twice"), a_row("twice")]):
        with pytest.raises(Conflict) as refused:
            store.insert(batch)
        assert refused.value.reason == "key_exists"
    assert list(store.list()) == [a_row("taken")]


def test_C11e_deleting_a_row_leaves_the_others(store: KeyStore) -> None:
    """Erasing one record of a living person deletes that record's key row and no other."""
    begun(store)
    store.insert([a_row("a"), a_row("b"), a_row("c", subject_id="sub_2")])
    assert store.delete(["a", "missing"]) == 1
    assert store.delete(["a"]) == 0
    assert set(store.get(["a", "b", "c"])) == {"b", "c"}
    assert store.delete_subject("sub_1") == 1
    assert store.delete_subject("sub_1") == 0
    assert list(store.list()) == [a_row("c", subject_id="sub_2")]
    store.insert([a_row("a")])
    assert store.get(["a"]) == {"a": a_row("a")}


def test_rewrap_replaces_only_what_still_stands_in_the_old_epoch(store: KeyStore) -> None:
    begun(store)
    rows = [a_row(name) for name in "abc"]
    store.insert(rows)
    begun(store, 2)
    moved = [replace(row, epoch=2, wrapped=b"n" * 88) for row in rows]
    store.delete(["b"])
    assert store.rewrap(moved[:2], from_epoch=1) == 1
    assert store.rewrap(moved, from_epoch=1) == 1
    assert store.rewrap(moved, from_epoch=1) == 0
    assert store.get(list("abc")) == {"a": moved[0], "c": moved[2]}
    assert store.rows_in_epoch(1, limit=10) == ()
    assert len(store.rows_in_epoch(2, limit=1)) == 1


def test_F28_an_epoch_with_rows_is_not_dropped(store: KeyStore) -> None:
    """The key of an epoch is given up only when no row stands under that epoch any more."""
    begun(store)
    store.insert([a_row()])
    with pytest.raises(Conflict):
        store.drop_epoch(1)
    begun(store, 2)
    with pytest.raises(Conflict):
        store.drop_epoch(1)
    store.delete(["k1"])
    store.drop_epoch(1)
    store.drop_epoch(1)
    assert [row.epoch for row in store.epochs()] == [2]
    with pytest.raises(Conflict):
        store.drop_epoch(2)


def test_a_list_that_is_read_slowly_sees_no_deleted_row(store: KeyStore) -> None:
    begun(store)
    store.insert([a_row(f"k{number:04}") for number in range(1200)])
    rows = store.list()
    first = next(rows)
    store.delete([f"k{number:04}" for number in range(900, 1200)])
    begun(store, 2)  # a writer is not held up by the reader
    rest = [row.key_id for row in rows]
    assert first.key_id == "k0000"
    assert rest[:10] == [f"k{number:04}" for number in range(1, 11)]
    assert rest == sorted(rest)


def test_threads_share_one_store(store: KeyStore) -> None:
    begun(store)
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(20):
                store.insert([a_row(f"{name}{number}")])
                assert store.get([f"{name}{number}"])
                if number % 2:
                    store.delete([f"{name}{number}"])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "wxyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(list(store.list())) == 40


names = st.sampled_from(["a", "b", "c", "d"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), st.lists(names, max_size=3), st.integers(1, 3)),
        st.tuples(st.just("delete"), st.lists(names, max_size=3)),
        st.tuples(st.just("delete_subject"), st.sampled_from(["sub_1", "sub_2"])),
        st.tuples(st.just("begin_epoch"), st.integers(1, 4)),
        st.tuples(st.just("drop_epoch"), st.integers(1, 4)),
        st.tuples(st.just("rewrap"), st.lists(names, max_size=3), st.integers(1, 3), st.integers(1, 3)),
    ),
    max_size=14,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_the_fake_and_the_file_agree_whatever_is_asked_of_them(tmp_path: Path, steps: list) -> None:
    file = tmp_path / f"{os.urandom(6).hex()}.db"
    stores: list[KeyStore] = [MemoryKeyStore(), SqliteKeyStore(file, reserve_bytes=1)]
    for step in steps:
        answers = [answer(store, *step) for store in stores]
        assert answers[0] == answers[1], step
        states = [(store.epochs(), list(store.list()), sorted_rows(store)) for store in stores]
        assert states[0] == states[1], step
    stores[1].close()  # type: ignore[attr-defined]


def sorted_rows(store: KeyStore) -> list:
    return [sorted(store.rows_in_epoch(e, limit=99), key=lambda row: row.key_id) for e in range(1, 5)]


def answer(store: KeyStore, verb: str, *arguments: object) -> object:
    def subject_of(name: str) -> str:
        return "sub_1" if name < "c" else "sub_2"

    try:
        if verb == "insert":
            names, epoch = arguments
            return store.insert([a_row(name, epoch=epoch, subject_id=subject_of(name)) for name in names])
        if verb == "begin_epoch":
            return store.begin_epoch(arguments[0], b"ek%d" % arguments[0], at=AT)
        if verb == "rewrap":
            names, old, new = arguments
            rows = [
                a_row(name, epoch=new, subject_id=subject_of(name), wrapped=b"%d" % new * 88)
                for name in names
            ]
            return store.rewrap(rows, from_epoch=old)
        return getattr(store, verb)(*arguments)
    except Conflict as error:
        return error.reason


# --- the file -------------------------------------------------------------------------------------------------


def contents(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(path.name + "*")))


def test_M15_X13_the_bytes_of_a_deleted_key_are_gone_from_the_file_and_its_journal(path: Path) -> None:
    """When a key is erased, its bytes are in neither the key file nor its journal, however many were there before."""
    store, rng = SqliteKeyStore(path), random.Random(5)
    begun(store)
    live: dict[str, KeyRow] = {}
    dead: list[KeyRow] = []
    for how_many in (20, 190, 300, 100, 250, 60, 330, 150):
        new = [a_row(rng.randbytes(12).hex(), wrapped=rng.randbytes(88 + 28 * (i % 2))) for i in range(200)]
        store.insert(new)
        live |= {row.key_id: row for row in new}
        gone = rng.sample(sorted(live), min(len(live), how_many))
        assert store.delete(gone) == len(gone)
        dead += [live.pop(key_id) for key_id in gone]
    for epoch in (2, 3):
        begun(store, epoch)
        dead += live.values()
        live = {i: replace(r, epoch=epoch, wrapped=rng.randbytes(len(r.wrapped))) for i, r in live.items()}
        assert store.rewrap(list(live.values()), from_epoch=epoch - 1) == len(live)
    store.delete_subject("sub_1")
    dead += live.values()
    new = [a_row(rng.randbytes(12).hex(), epoch=3, wrapped=rng.randbytes(88)) for _ in range(50)]
    store.insert(new)
    found = contents(path)
    assert all(row.wrapped in found and row.key_id.encode() in found for row in new), "the control is found"
    assert not any(window in found for row in dead for window in windows_of(row.wrapped))
    assert not any(row.key_id.encode() in found for row in dead)
    assert len(dead) > 1500
    assert path.with_name(path.name + "-journal").stat().st_size == 0
    store.close()


def windows_of(wrapped: bytes) -> list[bytes]:
    return [wrapped[:16], wrapped[40:56], wrapped[-16:]]


def test_M15_a_freed_slot_is_used_again(path: Path) -> None:
    """The key file does not grow when as many keys come as go."""
    store = SqliteKeyStore(path)
    begun(store)
    for turn in range(20):
        store.insert([a_row(f"{turn}-{number}") for number in range(50)])
        if turn == 1:
            size = path.stat().st_size
        store.delete([f"{turn}-{number}" for number in range(50)])
    assert path.stat().st_size <= size
    store.close()


def test_another_process_sees_it_and_settings_are_safe(path: Path) -> None:
    store = SqliteKeyStore(path)
    begun(store)
    store.insert([a_row()])
    again = SqliteKeyStore(path)
    assert again.get(["k1"]) == {"k1": a_row()}
    assert again._read("PRAGMA journal_mode") == [("truncate",)]
    assert again._read("PRAGMA synchronous") == [(2,)]
    assert again._read("PRAGMA secure_delete") == [(1,)]
    assert path.stat().st_mode & 0o777 == 0o600
    store.close()
    again.close()
    store.close()


FIRST_VERSION = """
CREATE TABLE epoch (
    epoch INTEGER PRIMARY KEY, wrapped_ek BLOB NOT NULL, current INTEGER NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE slot (slot INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE place (
    slot INTEGER PRIMARY KEY, key_tag BLOB NOT NULL UNIQUE, subject_tag BLOB, epoch INTEGER NOT NULL
);
CREATE INDEX place_subject ON place (subject_tag);
CREATE INDEX place_epoch ON place (epoch);
CREATE TABLE free (slot INTEGER PRIMARY KEY, size_bytes INTEGER NOT NULL);
CREATE INDEX free_size ON free (size_bytes);
PRAGMA application_id = 1398164307;
PRAGMA user_version = 1;
INSERT INTO epoch VALUES (3, x'01', 1, '2026-01-02T03:04:05.678901+00:00');
"""


def test_a_key_file_of_the_first_version_is_brought_forward_with_what_it_holds(path: Path) -> None:
    with sqlite3.connect(path) as old:
        old.executescript(FIRST_VERSION)
        content = ks_encode(a_row("before", epoch=3))
        old.execute("INSERT INTO slot (slot, content) VALUES (1, ?)", (content,))
        old.execute("INSERT INTO place VALUES (1, ?, NULL, 3)", (_tag("key", "before"),))
    old.close()
    for _ in range(2):
        store = SqliteKeyStore(path)
        (epoch,) = store.epochs()
        assert (epoch.epoch, epoch.current, epoch.created_at, epoch.ends_by) == (3, True, AT, None)
        assert list(store.list()) == [a_row("before", epoch=3)]
        store.close()


def ks_encode(row: KeyRow) -> bytes:
    """A slot as the first version wrote it, written anew from the reference text."""
    words = json.dumps([row.key_id, row.tenant, row.kind, row.key_class, row.subject_id]).encode()
    created_us = (row.created_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    content = struct.pack(">IQHH", row.epoch, created_us, len(words), len(row.wrapped)) + words + row.wrapped
    return content + bytes(-len(content) % 64)


@given(
    st.text(st.characters(codec="utf-8"), max_size=40), st.none() | st.text(st.characters(codec="utf-8"), max_size=40),
    st.binary(max_size=200), st.datetimes(timezones=st.just(UTC), min_value=DAY_ONE), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_a_slot_is_written_as_ever_and_read_back(
    key_id: str, subject_id: str | None, wrapped: bytes, at: datetime, epoch: int
) -> None:
    row = replace(a_row(key_id, epoch=epoch, subject_id=subject_id, wrapped=wrapped), created_at=at)
    assert _encode(row) == ks_encode(row)
    assert _decode(_encode(row)) == row


def test_F29_a_kill_in_the_middle_of_a_transaction_leaves_all_or_nothing(path: Path) -> None:
    """A process killed while it writes keys leaves the key file as it was before."""
    store = SqliteKeyStore(path)
    begun(store)
    store.insert([a_row("before")])
    store.close()
    code = (
        "import os, sys, pathlib\nfrom datetime import UTC, datetime\n"
        "from sottovoce.adapters import keystore_sqlite as ks\nfrom sottovoce.model.keys import KeyRow\n"
        "store, real = ks.SqliteKeyStore(pathlib.Path(sys.argv[1])), ks._insert\n"
        "def insert(db, row):\n    real(db, row)\n    db.execute('PRAGMA cache_spill = 1')\n"
        "    if row.key_id == 'n999': os._exit(137)\n"
        "ks._insert = insert\nstore._db.execute('PRAGMA cache_size = 10')\n"
        "store.insert([KeyRow(f'n{i}', 't', 'record', 'features', 's', 1, b'w' * 88,"
        " datetime.now(UTC)) for i in range(1000)])\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 137
    assert path.with_name(path.name + "-journal").stat().st_size > 0, (
        "the control: something was being written"
    )
    again = SqliteKeyStore(path)
    assert [row.key_id for row in again.list()] == ["before"]
    again.insert([a_row("after")])
    again.close()


def test_a_locked_store_says_so(path: Path) -> None:
    store = SqliteKeyStore(path, busy_timeout_s=0.05)
    begun(store)
    store.insert([a_row()])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for call in (lambda: store.insert([a_row("x")]), lambda: store.delete(["k1"]), lambda: begun(store, 2)):
        with pytest.raises(StorageError) as refused:
            call()
        assert refused.value.reason == "storage_locked"
    assert set(store.get(["k1"])) == {"k1"}
    other.execute("COMMIT")
    other.close()
    assert store.delete(["k1"]) == 1
    store.close()


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    SqliteKeyStore(path).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    before = path.read_bytes()
    with pytest.raises(SchemaNewer):
        SqliteKeyStore(path)
    assert path.read_bytes() == before


def test_what_is_no_key_store_is_damage(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"not a database at all, but long enough to look at" * 40)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE people (name TEXT)")
    other.close()
    for file in (path, tmp_path / "other.db"):
        with pytest.raises(IntegrityError) as refused:
            SqliteKeyStore(file)
        assert refused.value.reason == "keystore_damaged"


@pytest.mark.parametrize("garbage", [b"", b"short", bytes(300), b"\xff" * 300])
def test_a_damaged_row_is_an_error_of_ours(path: Path, garbage: bytes) -> None:
    store = SqliteKeyStore(path)
    begun(store)
    store.insert([a_row()])
    store._db.execute("UPDATE slot SET content = ?", (garbage,))
    for read in (
        lambda: store.get(["k1"]),
        lambda: list(store.list()),
        lambda: store.rows_in_epoch(1, limit=1),
    ):
        with pytest.raises(IntegrityError):
            read()
    assert store.delete(["k1"]) == 1, "a damaged row can still be erased"
    store.close()


def test_a_folder_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        SqliteKeyStore(tmp_path / "missing" / "keys.db")


def test_times_keep_their_microseconds_and_zone(path: Path) -> None:
    store = SqliteKeyStore(path)
    begun(store)
    later = AT.astimezone(UTC) + timedelta(days=4000, microseconds=1)
    store.insert([replace(a_row(), created_at=later)])
    assert store.get(["k1"])["k1"].created_at == later
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("whole_subject", [True, False])
def test_I10_keys_are_erased_on_a_full_disk(small_disk: Path, whole_subject: bool) -> None:
    """With the disk full nothing new is written, and keys can still be erased."""
    store = SqliteKeyStore(small_disk / "keys.db")
    begun(store)
    rows = [a_row(f"k{number:05}", wrapped=os.urandom(88)) for number in range(3000)]
    store.insert(rows)
    with pytest.raises(OSError, match="space"), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    with pytest.raises(StorageError) as refused:
        store.insert([a_row(f"n{number}") for number in range(3000)])
    assert refused.value.reason == "storage_full"
    erased = store.delete_subject("sub_1") if whole_subject else store.delete([row.key_id for row in rows])
    assert erased == 3000
    assert list(store.list()) == []
    found = contents(small_disk / "keys.db")
    assert not any(row.wrapped[:16] in found for row in rows)
    assert (small_disk / "keys.db.reserve").stat().st_size > 0, "the reserve is kept again"
    store.close()


def test_F10_a_disk_that_does_not_even_unlink_is_told_as_a_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the space kept aside can't be given back either, the erasure says so in its own words, and is resumed."""
    store = SqliteKeyStore(tmp_path / "keys.db", reserve_bytes=1 << 16)
    reserve = tmp_path / "keys.db.reserve"
    reserve.unlink()
    reserve.mkdir()  # cannot be unlinked

    def full(_places: object) -> int:
        raise StorageError(reason="storage_full")

    monkeypatch.setattr(store, "_erase_batch", full)
    with pytest.raises(StorageError) as refused:
        store._erase([object()])  # type: ignore[list-item]
    assert refused.value.reason == "storage_full"
    store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_store_knows_how_far_it_has_followed_the_tombstones(kind: str, path: Path) -> None:
    store = MemoryKeyStore() if kind == "memory" else SqliteKeyStore(path)
    assert store.followed() is None
    for count in (3, 7, 2):
        store.set_followed(TombstoneHead(count, bytes([count]) * 32))
        assert store.followed() == TombstoneHead(count, bytes([count]) * 32)
    if isinstance(store, SqliteKeyStore):
        store.close()
        store = SqliteKeyStore(path)
        assert store.followed() == TombstoneHead(2, bytes([2]) * 32)
        store.close()
