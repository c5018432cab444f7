"""Rows of keys: made once whoever else makes them, opened whatever rotates meanwhile, swapped by nobody."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from sottovoce.adapters.clock_system import SystemClock
from sottovoce.adapters.memory import MemoryKeys, MemoryKeyStore
from sottovoce.errors import Conflict, IntegrityError, KeyUnavailable, UsageError
from sottovoce.ports import Keys, KeyStore
from sottovoce.usecases.key_rows import NewKey, subject_key_id
from sottovoce.usecases.keyring import Keyring

ANNA, BERT = "sub_anna", "sub_bert"
Pair = tuple[Keyring, Keyring, Any]  # two processes over one home, and its long-lived store


def make(
    provider: Keys | None = None, long_lived: KeyStore | None = None, short_lived: KeyStore | None = None,
    **more: float,
) -> Keyring:  # fmt: skip
    return Keyring(
        provider=provider or MemoryKeys(), long_lived=long_lived or MemoryKeyStore(),
        short_lived=short_lived or MemoryKeyStore(), random_bytes=os.urandom, clock=SystemClock(),
        ek_cache_s=more.get("ek_cache_s", 300.0),
    )  # fmt: skip


def record(key_id: str, subject_id: str = ANNA) -> NewKey:
    return NewKey("record", "features", subject_id, key_id)


@pytest.fixture
def keyring() -> Keyring:
    made = make()
    made.set_up()
    made.make_subject(ANNA)
    made.make_subject(BERT)
    return made


def test_taken_ids_and_missing_keys(keyring: Keyring) -> None:
    keyring.new_key(record("r1"))
    with pytest.raises(Conflict) as refused:
        keyring.new_key(record("r1"))
    assert refused.value.reason == "key_exists"
    with pytest.raises(KeyUnavailable) as missing:
        keyring.open_keys(["r1", "never"])
    assert missing.value.reason == "key_destroyed"
    assert keyring.new_keys([]) == {}
    assert keyring.open_keys([]) == {}
    with pytest.raises(UsageError):
        keyring.new_key(NewKey("record", "features", None, "r9"))


def test_keys_of_audio_and_others_are_not_made_in_one_call_nor_adopted_at_another_size(
    keyring: Keyring,
) -> None:
    before = len(list(keyring.rows()))
    with pytest.raises(UsageError):
        keyring.new_keys([record("r1"), NewKey("recording", "audio", ANNA, "a1")])
    for size in (0, 31, 33):
        with pytest.raises(UsageError):
            keyring.adopt_key(NewKey("recording", "audio", ANNA, "a1"), bytes(size))
    assert len(list(keyring.rows())) == before


def test_a_row_that_survives_its_subject_key_does_not_open(keyring: Keyring) -> None:
    keyring.new_key(record("r1"))
    keyring.destroy([subject_key_id(ANNA, "features")])
    with pytest.raises(KeyUnavailable) as refused:
        keyring.open_key("r1")
    assert refused.value.reason == "key_destroyed"
    assert keyring.exists("r1")


def test_X25_rows_swapped_between_two_people_do_not_open(keyring: Keyring) -> None:
    """Somebody who swaps two people's key rows in the store opens neither."""
    keyring.new_keys([record("r1"), record("b1", BERT)])
    rows = keyring.long_lived.get(["r1", "b1"])
    keyring.long_lived.delete(["r1", "b1"])
    keyring.long_lived.insert(
        [replace(rows["r1"], wrapped=rows["b1"].wrapped), replace(rows["b1"], wrapped=rows["r1"].wrapped)]
    )
    for key_id in ("r1", "b1"):
        with pytest.raises(IntegrityError):
            keyring.open_key(key_id)


# --- two processes at the same time ---------------------------------------------------------------------------


def test_two_who_make_one_subject_agree(pair: Pair) -> None:
    ours, other, store = pair
    store.before_insert.append(lambda: other.make_subject(BERT))
    ours.make_subject(BERT)
    assert ours.subject_key(BERT, "audit") == other.subject_key(BERT, "audit")
    store.before_insert.append(lambda: other.details_key(ANNA, "2026-01"))
    assert ours.details_key(ANNA, "2026-01") == other.details_key(ANNA, "2026-01")


def test_F28_a_rotation_between_two_reads_of_one_call_is_not_noticed(
    pair: Pair,
) -> None:
    """A read or write that meets a rotation half-way is repeated by itself."""
    ours, other, store = pair
    key = ours.open_key("r1")
    store.after_get.append(other.rotate)
    assert ours.open_key("r1") == key
    store.before_insert.append(other.rotate)
    assert ours.new_key(record("r2")) == other.open_key("r2")
    assert ours.provider.epochs() == (3,)


def test_F28_a_reader_outlasts_many_rotations_in_a_row(pair: Pair) -> None:
    """Reading does not fail because keys are rotated meanwhile, even again and again."""
    ours, other, store = pair
    store.after_get += [other.rotate] * 10
    assert ours.open_key("r1") == other.open_key("r1")
    assert ours.provider.epochs() == (11,)


def test_a_store_that_never_rests_ends_in_an_error_of_ours(
    pair: Pair,
) -> None:
    ours, other, store = pair
    store.after_get += [other.rotate] * 200
    with pytest.raises(Conflict) as refused:
        ours.open_key("r1")
    assert refused.value.reason == "epoch_retired"
