"""The keyring: made, opened, destroyed and rotated keys, over the fakes and over files that are killed."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.keys_local import LocalKeys
from sottovoce.adapters.keystore_sqlite import SqliteKeyStore
from sottovoce.adapters.memory import MemoryKeys, MemoryKeyStore
from sottovoce.errors import Conflict, IntegrityError, KeyUnavailable, UsageError
from sottovoce.ports import Keys, KeyStore
from sottovoce.sealing.keytree import epoch_key_context, unwrap_row
from sottovoce.usecases import epochs
from sottovoce.usecases.keyring import Keyring, NewKey, details_key_id, subject_key_id

ANNA, BERT = "sub_anna", "sub_bert"
Pair = tuple[Keyring, Keyring, Any]  # two processes over one home, and its long-lived store
AT = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class HandClock:
    """A clock that tests move."""

    seconds: float = 1000.0

    def now(self) -> datetime:
        return AT

    def monotonic_s(self) -> float:
        return self.seconds


@dataclass
class CountingKeys:
    """A provider that counts how often it is asked to unwrap."""

    inner: MemoryKeys
    unwraps: int = 0

    def unwrap(self, epoch: int, wrapped: bytes, context: bytes) -> bytes:
        self.unwraps += 1
        return self.inner.unwrap(epoch, wrapped, context)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def make(
    provider: Keys | None = None,
    long_lived: KeyStore | None = None,
    short_lived: KeyStore | None = None,
    **more: object,
) -> Keyring:
    return Keyring(
        provider=provider or MemoryKeys(),
        long_lived=long_lived or MemoryKeyStore(),
        short_lived=short_lived or MemoryKeyStore(),
        random_bytes=os.urandom,
        clock=more.pop("clock", HandClock()),  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
def keyring() -> Keyring:
    made = make()
    made.set_up()
    made.make_subject(ANNA)
    made.make_subject(BERT)
    return made


def record(key_id: str, subject_id: str = ANNA, key_class: str = "features") -> NewKey:
    return NewKey("record", key_class, subject_id, key_id)


def recording(key_id: str, subject_id: str = ANNA) -> NewKey:
    return NewKey("recording", "audio", subject_id, key_id)


def all_ids(keyring: Keyring) -> list[str]:
    return [row.key_id for row in keyring.rows()]


# --- making and opening ---------------------------------------------------------------------------------------


def test_M13_every_record_has_a_random_key_of_its_own(keyring: Keyring) -> None:
    """Every sealed record has a random key of its own, below the key of the person it belongs to."""
    keys = keyring.new_keys([record("r1"), record("r2"), record("r3", BERT, "insights")])
    assert len({bytes(key) for key in keys.values()}) == 3
    assert keyring.open_keys(["r1", "r2", "r3"]) == keys
    rows = {row.key_id: row for row in keyring.rows()}
    assert all(key not in row.wrapped for key in keys.values() for row in rows.values())
    assert rows["r1"].epoch == rows["r3"].epoch == 1


def test_M13_what_is_of_audio_stands_in_the_short_lived_store_only(keyring: Keyring) -> None:
    """Keys of audio live in a store of their own that never enters a backup."""
    keyring.new_key(recording("a1"))
    keyring.new_key(record("r1"))
    assert {row.key_id for row in keyring.short_lived.list()} == {
        "a1", subject_key_id(ANNA, "audio"), subject_key_id(BERT, "audio"),
    }  # fmt: skip
    assert not any(row.key_class == "audio" for row in keyring.long_lived.list())
    with pytest.raises(UsageError):
        keyring.new_keys([record("r2"), recording("a2")])
    assert not keyring.exists("r2")


def test_subject_keys_are_made_with_the_subject(keyring: Keyring) -> None:
    assert keyring.has_subject(ANNA)
    assert not keyring.has_subject("sub_nobody")
    classes = ("audio", "features", "insights", "evidence", "audit")
    keys = [keyring.subject_key(person, name) for person in (ANNA, BERT) for name in classes]
    assert len(set(keys)) == 10
    keyring.make_subject(ANNA)
    assert keyring.subject_key(ANNA, "audit") == keys[4]
    with pytest.raises(UsageError):
        keyring.subject_key(ANNA, "thoughts")


def test_a_half_made_subject_is_completed(keyring: Keyring) -> None:
    kept = keyring.subject_key(ANNA, "audit")
    keyring.destroy([subject_key_id(ANNA, "features"), subject_key_id(ANNA, "insights")])
    assert not keyring.has_subject(ANNA)
    keyring.make_subject(ANNA)
    assert keyring.has_subject(ANNA)
    assert keyring.subject_key(ANNA, "audit") == kept


def test_details_and_tenant_keys_are_found_again(keyring: Keyring) -> None:
    key_id, key = keyring.details_key(ANNA, "2026-01")
    assert key_id == details_key_id(keyring.subject_key(ANNA, "audit"), "2026-01")
    assert ANNA not in key_id  # it stands in clear in audit entries
    assert key_id != keyring.details_key(BERT, "2026-01")[0]
    assert keyring.details_key(ANNA, "2026-01") == (key_id, key)
    assert keyring.details_key(ANNA, "2026-02")[1] != key
    assert keyring.open_key(key_id) == key
    assert keyring.tenant_key("blind_index") != keyring.tenant_key("audit")
    with pytest.raises(KeyUnavailable):
        keyring.tenant_key("other")


# --- destroying -----------------------------------------------------------------------------------------------


def test_M15_C11e_a_record_dies_with_its_row(keyring: Keyring) -> None:
    """Erasing one record destroys its key; the person's other records stay readable."""
    keys = keyring.new_keys([record("r1"), record("r2")])
    assert keyring.destroy(["r1", "never"]) == 1
    assert keyring.destroy(["r1"]) == 0
    assert not keyring.exists("r1")
    with pytest.raises(KeyUnavailable) as refused:
        keyring.open_key("r1")
    assert refused.value.reason == "key_destroyed"
    assert keyring.open_key("r2") == keys["r2"]


def test_M15_a_person_is_erased_by_destroying_every_key_of_theirs(keyring: Keyring) -> None:
    """Erasing a person destroys all of their keys in both stores, and nobody else's."""
    keyring.new_keys([record("r1"), record("b1", BERT)])
    keyring.new_key(recording("a1"))
    keyring.details_key(ANNA, "2026-01")
    assert keyring.holds_anything_of(ANNA)
    assert keyring.destroy_subject(ANNA) == 5 + 3
    assert not keyring.holds_anything_of(ANNA)
    assert keyring.destroy_subject(ANNA) == 0
    assert keyring.has_subject(BERT)
    assert keyring.open_key("b1")
    for call in (lambda: keyring.new_key(record("r2")), lambda: keyring.details_key(ANNA, "2026-02")):
        with pytest.raises(KeyUnavailable) as refused:
            call()
        assert refused.value.reason == "key_destroyed"
    assert not keyring.holds_anything_of(ANNA)


# --- provider -------------------------------------------------------------------------------------------------


def test_F16_with_the_provider_down_nothing_is_sealed_or_read_and_keys_are_still_destroyed() -> None:
    """While the key provider is down no recording is taken and none is read, but keys are still destroyed."""
    provider, clock = MemoryKeys(), HandClock()
    keyring = make(provider, clock=clock, ek_cache_s=60.0)
    keyring.set_up()
    keyring.make_subject(ANNA)
    keyring.new_keys([record("r1"), record("r2")])
    provider.available = False
    assert keyring.open_key("r1"), "an epoch key is kept for a bounded time"
    clock.seconds += 61
    for call in (lambda: keyring.new_key(record("r3")), lambda: keyring.open_key("r1"), keyring.rotate):
        with pytest.raises(KeyUnavailable):
            call()
    assert keyring.destroy(["r1"]) == 1
    assert not keyring.exists("r1")
    assert keyring.destroy_subject(ANNA) == 6
    provider.available = True
    assert keyring.status().epoch == 1


def test_the_provider_is_asked_once_per_epoch_and_cache_period() -> None:
    provider, clock = CountingKeys(MemoryKeys()), HandClock()
    keyring = make(provider, clock=clock, ek_cache_s=60.0)  # type: ignore[arg-type]
    keyring.set_up()
    keyring.make_subject(ANNA)
    for number in range(20):
        keyring.new_key(record(f"r{number}"))
        keyring.open_key(f"r{number}")
    assert provider.unwraps == 2
    clock.seconds += 61
    keyring.open_key("r1")
    assert provider.unwraps == 3


def test_X23_a_second_process_opens_its_own_and_another_home_opens_nothing() -> None:
    """Keys survive a restart, and the keys of one home never open what another home sealed."""
    provider, long_lived, short_lived = MemoryKeys(), MemoryKeyStore(), MemoryKeyStore()
    first = make(provider, long_lived, short_lived)
    first.set_up()
    first.make_subject(ANNA)
    key = first.new_key(record("r1"))
    again = make(provider, long_lived, short_lived)
    again.set_up()
    assert again.open_key("r1") == key
    other_provider = MemoryKeys()
    other_provider.create(1)
    with pytest.raises(IntegrityError):
        make(other_provider, long_lived, short_lived).open_key("r1")
    with pytest.raises(IntegrityError):
        make(provider, long_lived, short_lived, tenant="another").open_key("r1")
    with pytest.raises(IntegrityError):
        make(provider, short_lived, long_lived).open_key("r1")


# --- set-up ---------------------------------------------------------------------------------------------------


def test_set_up_is_idempotent(keyring: Keyring) -> None:
    before = (all_ids(keyring), keyring.tenant_key("blind_index"), keyring.identity())
    keyring.set_up()
    assert (all_ids(keyring), keyring.tenant_key("blind_index"), keyring.identity()) == before


def test_before_set_up_the_error_says_so() -> None:
    with pytest.raises(KeyUnavailable) as refused:
        make().new_key(NewKey("tenant", "tenant", None, "x"))
    assert refused.value.reason == "not_set_up"
    assert make().resume_rotation() is None
    assert make().status().epoch is None


def test_set_up_never_makes_a_new_key_over_a_lost_one(keyring: Keyring) -> None:
    keyring.provider.destroy(1)
    again = make(keyring.provider, keyring.long_lived, keyring.short_lived)
    again.set_up()
    assert again.provider.epochs() == ()
    with pytest.raises(KeyUnavailable):
        again.identity()
    assert again.resume_rotation() is None


# --- rotation -------------------------------------------------------------------------------------------------


def test_M14_rotation_rewraps_every_live_row_and_changes_no_key(keyring: Keyring) -> None:
    """A new epoch re-wraps every key, changes none of them, and destroys the old epoch's key at the provider."""
    keys = keyring.new_keys([record(f"r{number}") for number in range(20)])
    keys |= {"a1": keyring.new_key(recording("a1"))}
    identity, told = keyring.identity(), []
    report = keyring.rotate(progress=lambda done, total: told.append((done, total)))
    assert report == (1, 2, 10 + 3 + 21)
    assert told[-1] == (34, 34)
    assert keyring.open_keys(list(keys)) == keys
    assert keyring.identity() == identity
    assert keyring.provider.epochs() == (2,)
    assert [row.epoch for store in (keyring.long_lived, keyring.short_lived) for row in store.epochs()] == [
        2,
        2,
    ]
    assert {row.epoch for row in keyring.rows()} == {2}
    assert keyring.rotate() == (2, 3, 34)


def test_M15_F31_an_old_copy_of_the_key_store_is_dead_after_the_epoch() -> None:
    """After a rotation no row of an older key-store backup opens, of erased people and of the living alike."""
    provider, long_lived, short_lived = MemoryKeys(), MemoryKeyStore(), MemoryKeyStore()
    keyring = make(provider, long_lived, short_lived)
    keyring.set_up()
    for person in (ANNA, BERT):
        keyring.make_subject(person)
        keyring.new_keys([record(f"{person}-1", person), record(f"{person}-2", person)])
    backup_rows, backup_epoch = list(long_lived.list()), long_lived.epochs()[0]
    control = copy_of(backup_rows, backup_epoch)
    assert make(provider, control, short_lived).open_key(f"{ANNA}-1"), (
        "the control: before the epoch it opens"
    )
    keyring.destroy_subject(ANNA)
    keyring.destroy([f"{BERT}-1"])
    keyring.rotate()
    restored = make(provider, copy_of(backup_rows, backup_epoch), short_lived)
    for row in backup_rows:
        with pytest.raises(KeyUnavailable):
            restored.open_key(row.key_id)
    with pytest.raises(KeyUnavailable):
        restored.resume_rotation()
    assert [row.epoch for row in restored.long_lived.epochs()] == [1], "nothing was changed"
    assert keyring.open_key(f"{BERT}-2"), "what lives goes on living"


def copy_of(rows: list, epoch: object) -> MemoryKeyStore:
    store = MemoryKeyStore()
    store.begin_epoch(epoch.epoch, epoch.wrapped_ek, at=AT)  # type: ignore[attr-defined]
    store.insert(rows)
    return store


def test_F31_even_a_kept_epoch_key_opens_nothing_of_the_new_epoch(keyring: Keyring) -> None:
    """Who copied an old epoch key opens nothing that was re-wrapped since."""
    keyring.new_key(record("r1"))
    old = keyring.long_lived.epochs()[0]
    context = epoch_key_context(tenant="default", store="long_lived", epoch=1)
    kept = keyring.provider.unwrap(1, old.wrapped_ek, context)
    subject_row = keyring.long_lived.get([subject_key_id(ANNA, "features")]).popitem()[1]
    assert unwrap_row(subject_row, epoch_key=kept), "the control: it opened before"
    keyring.rotate()
    for row in keyring.long_lived.list():
        if row.kind == "subject":
            with pytest.raises(IntegrityError):
                unwrap_row(row, epoch_key=kept)


def test_a_lost_or_locked_provider_key_stops_a_rotation_before_anything_changes(keyring: Keyring) -> None:
    keyring.provider.destroy(1)
    again = make(keyring.provider, keyring.long_lived, keyring.short_lived)
    with pytest.raises(KeyUnavailable):
        again.rotate()
    assert again.provider.epochs() == ()
    assert [row.epoch for row in again.long_lived.epochs()] == [1]


def test_F28_readers_and_writers_go_on_while_keys_are_rotated(monkeypatch: pytest.MonkeyPatch) -> None:
    """While keys are rotated no read and no write fails."""
    monkeypatch.setattr(epochs, "REWRAP_BATCH", 3)
    stores = (MemoryKeys(), MemoryKeyStore(), MemoryKeyStore())
    keyring, others = make(*stores), [make(*stores, ek_cache_s=0.0), make(*stores)]
    keyring.set_up()
    keyring.make_subject(ANNA)
    made = keyring.new_keys([record(f"r{number}") for number in range(10)])
    failures: list[BaseException] = []
    end = threading.Event()

    def work(other: Keyring, name: str) -> None:
        try:
            for number in itertools.count():
                if end.is_set():
                    return
                key = other.new_key(record(f"{name}{number}"))
                assert other.open_keys([f"{name}{number}", "r1"]) == {
                    f"{name}{number}": key,
                    "r1": made["r1"],
                }
                made[f"{name}{number}"] = key
                time.sleep(0.002)  # or rows come faster than they are wrapped anew, three at once
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=work, args=(other, name)) for other, name in zip(others, "xy", strict=True)
    ]
    for thread in threads:
        thread.start()
    for _ in range(8):
        keyring.rotate()
    end.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert keyring.open_keys(list(made)) == made
    assert keyring.provider.epochs() == (9,)


class Stopped(Exception):
    """What a fault test raises at a step."""


def steps_of_a_rotation() -> list[str]:
    keyring, steps = filled(MemoryKeys(), MemoryKeyStore(), MemoryKeyStore())[0], []
    keyring.rotate(step=steps.append)
    return steps


def filled(*collaborators: object) -> tuple[Keyring, dict[str, bytes]]:
    keyring = make(*collaborators)  # type: ignore[arg-type]
    keyring.set_up()
    keyring.make_subject(ANNA)
    keys = keyring.new_keys([record(f"r{number}") for number in range(7)])
    return keyring, keys | {"a1": keyring.new_key(recording("a1"))}


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "REWRAP_BATCH", 3)


STEPS = [
    "kek_created", "epoch_begun:short_lived", "epoch_begun:long_lived", "rewrapped:short_lived",
    "epoch_dropped:short_lived", "rewrapped:long_lived", "rewrapped:long_lived", "rewrapped:long_lived",
    "rewrapped:long_lived", "rewrapped:long_lived", "epoch_dropped:long_lived", "kek_destroyed",
]  # fmt: skip


def test_the_table_of_steps_is_complete(small_batches: None) -> None:
    assert steps_of_a_rotation() == STEPS


@pytest.mark.parametrize("at", range(len(STEPS)))
def test_F29_a_rotation_that_stopped_at_any_step_is_finished_and_no_key_is_lost(
    at: int, small_batches: None
) -> None:
    """A rotation that was interrupted at any step is finished at the next start, and no key is lost."""
    stores = (MemoryKeys(), MemoryKeyStore(), MemoryKeyStore())
    keyring, keys = filled(*stores)
    seen: list[str] = []

    def stop(step: str) -> None:
        seen.append(step)
        if len(seen) == at + 1:
            raise Stopped

    with pytest.raises(Stopped):
        keyring.rotate(step=stop)
    assert seen == STEPS[: at + 1]
    again = make(*stores)
    assert again.open_keys(list(keys)) == keys, "mixed epochs are readable"
    keys["new"] = again.new_key(record("new"))
    pending = STEPS[at] != "kek_destroyed"
    assert again.status().rotation_pending is pending
    assert (again.resume_rotation() is not None) is pending
    assert again.resume_rotation() is None
    assert again.open_keys(list(keys)) == make(*stores).open_keys(list(keys)) == keys
    assert again.provider.epochs() == (2,)
    assert {row.epoch for row in again.rows()} == {2}
    assert again.rotate().after == 3


@given(st.integers(1, 8_000), st.floats(0, 100))
def test_F28_a_batch_that_kept_writers_waiting_is_followed_by_a_smaller_one(
    batch: int, took_s: float
) -> None:
    """While keys are re-wrapped nobody waits long: a step that took too long is followed by a shorter one."""
    following = epochs._next_batch(batch, took_s=took_s)
    assert epochs.REWRAP_FLOOR <= following <= epochs.REWRAP_BATCH
    if epochs.REWRAP_FLOOR < following < epochs.REWRAP_BATCH:
        assert following == pytest.approx(
            min(1.25 * batch, batch * epochs.LOCKED_S / max(took_s, 1e-9)), abs=1
        )
    if took_s > 2 * epochs.LOCKED_S and batch > 2 * epochs.REWRAP_FLOOR:
        assert following < batch / 1.9


def test_a_rotation_after_an_interrupted_one_finishes_both(small_batches: None) -> None:
    stores = (MemoryKeys(), MemoryKeyStore(), MemoryKeyStore())
    keyring, keys = filled(*stores)
    with pytest.raises(Stopped):
        keyring.rotate(step=raise_stopped)
    report = make(*stores).rotate()
    assert (report.before, report.after) == (1, 3)
    assert make(*stores).open_keys(list(keys)) == keys


def raise_stopped(_: str) -> None:
    raise Stopped


def test_two_processes_that_rotate_at_once_help_each_other(small_batches: None) -> None:
    stores = (MemoryKeys(), MemoryKeyStore(), MemoryKeyStore())
    keyring, keys = filled(*stores)
    other = make(*stores)
    interleaved = False

    def meanwhile(step: str) -> None:
        nonlocal interleaved
        if step == "epoch_begun:long_lived" and not interleaved:
            interleaved = True
            other.resume_rotation()

    keyring.rotate(step=meanwhile)
    assert interleaved
    assert make(*stores).open_keys(list(keys)) == keys
    assert not keyring.status().rotation_pending


# --- kill -9 over real files ----------------------------------------------------------------------------------

CHILD = """
import os, sys, pathlib
from sottovoce.adapters.clock_system import SystemClock
from sottovoce.adapters.keys_local import LocalKeys
from sottovoce.adapters.keystore_sqlite import SqliteKeyStore
from sottovoce.usecases import epochs, keyring
home, verb, at = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
epochs.REWRAP_BATCH = 3
seen = []
def die(step):
    seen.append(step)
    if len(seen) == at + 1:
        os._exit(137)
class Dying:
    def __init__(self, inner, verbs):
        self.inner, self.verbs = inner, verbs
    def __getattr__(self, name):
        real = getattr(self.inner, name)
        def call(*a, **k):
            result = real(*a, **k)
            if verb == "set_up" and name in self.verbs:
                die(name)
            return result
        return call
changing = ("create", "wrap", "begin_epoch", "insert")
ring = keyring.Keyring(
    provider=Dying(LocalKeys(home / "kek"), changing), long_lived=Dying(SqliteKeyStore(home / "keys.db"), changing),
    short_lived=Dying(SqliteKeyStore(home / "audio-keys.db"), changing), random_bytes=os.urandom, clock=SystemClock(),
)
ring.set_up() if verb == "set_up" else ring.rotate(step=die)
"""


def kill(home: Path, verb: str, at: int) -> int:
    return subprocess.run([sys.executable, "-c", CHILD, str(home), verb, str(at)], check=False).returncode


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with keys in files, to be copied for each kill."""
    folder = tmp_path_factory.mktemp("home")
    with Opened(folder) as keyring:
        keyring.set_up()
        keyring.make_subject(ANNA)
        keyring.new_keys([record(f"r{number}") for number in range(7)])
        keyring.new_key(recording("a1"))
    return folder


class Opened:
    """The keyring of a home, its files closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.stores = [SqliteKeyStore(folder / name) for name in ("keys.db", "audio-keys.db")]
        self.keyring = make(LocalKeys(folder / "kek"), *self.stores)

    def __enter__(self) -> Keyring:
        return self.keyring

    def __exit__(self, *_: object) -> None:
        for store in self.stores:
            store.close()


KEY_IDS = [f"r{number}" for number in range(7)] + [
    "a1",
    subject_key_id(ANNA, "audit"),
    "ten:default:identity-1",
]


@pytest.mark.parametrize("at", range(len(STEPS)))
def test_F29_M14_kill_9_at_any_step_of_a_rotation_loses_no_key(at: int, home: Path, tmp_path: Path) -> None:
    """A process killed at any step of a rotation loses no key, and the next start finishes the rotation."""
    copy = shutil.copytree(home, tmp_path / "home")
    with Opened(home) as original:
        keys = original.open_keys(KEY_IDS)
    assert kill(copy, "rotate", at) == 137
    with Opened(copy) as keyring:
        assert keyring.open_keys(KEY_IDS) == keys
        keyring.set_up()
        keyring.resume_rotation()
        assert keyring.open_keys(KEY_IDS) == keys
        assert keyring.provider.epochs() == (2,)
        assert {row.epoch for row in keyring.rows()} == {2}
        assert not keyring.status().rotation_pending
    assert sorted(path.name for path in (copy / "kek").iterdir()) == ["kek-2.json"]


SET_UP_CHANGES = (
    9  # create, wrap and begin for each store, then the keys of the tenant in one and the identity
)


def test_a_kill_at_any_step_of_the_set_up_is_repaired_by_setting_up_again(tmp_path: Path) -> None:
    for at in range(SET_UP_CHANGES):
        folder = tmp_path / str(at)
        folder.mkdir()
        if kill(folder, "set_up", at) != 137:
            assert at == 7, "every change of a set-up was tried"
            break
        with Opened(folder) as keyring:
            keyring.set_up()
            assert keyring.resume_rotation() is None
            keyring.make_subject(ANNA)
            keyring.new_key(record("r1"))
            assert keyring.identity()
            assert keyring.provider.epochs() == (1,)
    else:
        pytest.fail("a set-up has more changes than this test knows")


# --- copies of the file that were made before -----------------------------------------------------------------


def opened_of(folder: Path, kek: Path) -> set[str]:
    """Ids of the rows of key files that open with the KEKs that are left."""
    stores = [SqliteKeyStore(folder / name) for name in ("keys.db", "audio-keys.db")]
    keyring = make(LocalKeys(kek), *stores)
    opened = set()
    for row in list(keyring.rows()):
        try:
            keyring.open_key(row.key_id)
        except KeyUnavailable:
            continue
        opened.add(row.key_id)
    for store in stores:
        store.close()
    return opened


def test_F31_X14_C11e_a_byte_copy_of_the_key_store_opens_nothing_after_the_epoch(
    home: Path, tmp_path: Path
) -> None:
    """A copy of the key store opens an erased record until the epoch ends, and not one row of it opens after that."""
    live, copy = Path(shutil.copytree(home, tmp_path / "live")), tmp_path / "copy"
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("kek"))
    with Opened(live) as keyring:
        everything = set(all_ids(keyring))
        assert keyring.destroy(["r1"]) == 1
        assert not keyring.exists("r1")
    assert opened_of(copy, live / "kek") == everything, (
        "within the epoch the copy opens, the erased record included"
    )
    with Opened(live) as keyring:
        keyring.rotate()
        assert keyring.open_key("r2"), "what lives goes on living"
    assert opened_of(copy, live / "kek") == set()


def test_X14_a_copy_of_the_providers_folder_undoes_the_end_of_an_epoch(home: Path, tmp_path: Path) -> None:
    """Who kept a copy of the key folder can open the older copy of the key store that goes with it: the documentation
    says so, because no program can prevent it."""
    live, copy = Path(shutil.copytree(home, tmp_path / "live")), tmp_path / "copy"
    shutil.copytree(home, copy)
    with Opened(live) as keyring:
        keyring.destroy(["r1"])
        keyring.rotate()
    assert "r1" in opened_of(copy, copy / "kek")
    assert opened_of(copy, live / "kek") == set()


# --- status ---------------------------------------------------------------------------------------------------


def test_status_tells_epochs_rows_and_the_providers_words(keyring: Keyring) -> None:
    keyring.new_key(record("r1"))
    keyring.new_key(recording("a1"))
    keyring.details_key(ANNA, "2026-01")
    status = keyring.status()
    assert status.epoch == 1
    assert status.rows == {"details": 1, "record": 1, "recording": 1, "subject": 10, "tenant": 3}
    assert {(one.store, one.epoch, one.current, one.rows) for one in status.epochs} == {
        ("short_lived", 1, True, 3),
        ("long_lived", 1, True, 13),
    }
    assert status.provider == keyring.provider.describe()
    assert keyring.describe_destruction() == status.provider["destruction"]
    assert not status.rotation_pending
    assert ANNA not in repr(status)


def test_no_repr_of_the_keyring_shows_a_key(keyring: Keyring) -> None:
    shown = repr(keyring)
    assert "_epochs" not in shown
    assert keyring.tenant_key("audit").hex() not in shown
    assert repr(keyring.tenant_key("audit")) not in shown


# --- two processes at the same time ---------------------------------------------------------------------------


def test_a_kek_that_vanishes_between_two_looks_is_told_from_a_lost_one(
    pair: Pair,
) -> None:
    ours, other, store = pair
    stale = store.epochs()[0]
    other.rotate()
    with pytest.raises(epochs.EpochGone):
        ours._epochs.alive_epoch_key("long_lived", store, stale)
    ours.provider.destroy(2)
    with pytest.raises(KeyUnavailable):
        ours._epochs.alive_epoch_key("long_lived", store, store.epochs()[0])


def test_an_epoch_that_another_began_at_the_same_time_stands(
    pair: Pair,
) -> None:
    ours, other, store = pair
    key = ours.open_key("r1")
    store.before_begin.append(other.rotate)
    ours.rotate()
    assert ours.open_key("r1") == other.open_key("r1") == key
    assert not ours.status().rotation_pending


def test_a_rotation_whose_page_was_finished_by_another_goes_on(
    pair: Pair,
) -> None:
    ours, other, store = pair
    key = ours.open_key("r1")
    store.after_page.append(other.resume_rotation)
    ours.rotate()
    assert ours.open_key("r1") == other.open_key("r1") == key
    assert ours.provider.epochs() == (2,)


def test_a_store_that_refuses_an_epoch_for_another_reason_is_not_overheard() -> None:
    class Refusing(MemoryKeyStore):
        def begin_epoch(
            self, epoch: int, wrapped_ek: bytes, *, at: datetime, ends_by: datetime | None = None
        ) -> None:
            raise Conflict("no")

    with pytest.raises(Conflict):
        make(MemoryKeys(), Refusing(), MemoryKeyStore()).set_up()
