"""The key of a home that signs: replaced by a statement of the one before, never made anew over a lost one."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from sottovoce.adapters.clock_system import SystemClock
from sottovoce.adapters.memory import MemoryKeys, MemoryKeyStore
from sottovoce.errors import KeyUnavailable
from sottovoce.sealing.receipt import identity_document, sign, trusted_keys, verify
from sottovoce.usecases.keyring import Keyring

AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def keyring() -> Keyring:
    made = Keyring(
        provider=MemoryKeys(), long_lived=MemoryKeyStore(), short_lived=MemoryKeyStore(), random_bytes=os.urandom,
        clock=SystemClock(),
    )  # fmt: skip
    made.set_up()
    return made


def all_ids(keyring: Keyring) -> list[str]:
    return [row.key_id for row in keyring.rows()]


def test_the_identity_is_replaced_by_a_statement_of_the_old_one(keyring: Keyring) -> None:
    old = keyring.identity()
    statement = keyring.replace_identity()
    assert keyring.replace_identity() == statement, "a repeated call gives the same statement"
    assert keyring.identity() == old, "until it is retired the old one signs"
    keys = trusted_keys(identity_document(old.public_key, created_at=AT, statements=[statement]))
    new = keyring.retire_identity()
    assert keyring.identity() == new != old
    assert keyring.retire_identity() == new
    assert verify(sign("recording", {}, identity=new).to_json(), trusted=keys).key_id == new.key_id
    for number in range(20):
        keyring.replace_identity()
        assert keyring.retire_identity() != new, number
    assert sum("identity" in key_id for key_id in all_ids(keyring)) == 1
    keyring.set_up()
    assert sum("identity" in key_id for key_id in all_ids(keyring)) == 1


def test_without_an_identity_nothing_signs(keyring: Keyring) -> None:
    keyring.destroy(["ten:default:identity-1"])
    for call in (keyring.identity, keyring.replace_identity):
        with pytest.raises(KeyUnavailable):
            call()


def test_a_set_up_between_a_replacement_and_its_end_makes_no_third_one(keyring: Keyring) -> None:
    old = keyring.identity()
    keyring.replace_identity()
    keyring.set_up()
    assert sum("identity" in key_id for key_id in all_ids(keyring)) == 2
    assert keyring.identity() == old
    keyring.rotate()
    assert keyring.identity() == old
    assert keyring.retire_identity() != old
