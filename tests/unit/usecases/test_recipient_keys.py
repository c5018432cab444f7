"""Recipient keys of a home: handed out, retired after a grace, and then nobody opens anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sottovoce.errors import KeyUnavailable, NotFound, UsageError
from sottovoce.sealing import recipients, suites
from sottovoce.usecases.keyring import NewKey


def key(hall: Any, key_id: str) -> bytes:
    return hall.platform._recipient_keys.private(bytes.fromhex(key_id)).data


def rows(hall: Any) -> list[str]:
    return [row.key_id for row in hall.platform.keyring.rows() if row.kind == "recipient"]


@pytest.mark.parametrize(("suite", "number"), [("xwing", 3), ("x25519", 2), ("rsa", 1)])
def test_a_key_is_made_shown_and_found(hall: Any, suite: str, number: int) -> None:
    made = hall.platform.create_recipient_key(name="agency", suite=suite)
    public = recipients.parse_public(made.document)
    assert (public.suite, public.key_id.hex(), made.state, made.name) == (
        number,
        made.key_id,
        "active",
        "agency",
    )
    assert suites.RecipientPrivate(number, key(hall, made.key_id)).public() == public
    assert hall.platform.recipient_key(made.key_id[:10]) == made
    assert hall.platform.recipient_keys() == (made,)


def test_M16_the_private_half_and_the_name_are_stored_sealed_in_no_backed_up_store(hall: Any) -> None:
    """Of a recipient key only ciphertext is stored, under a row of the key store that no backup holds."""
    made = hall.platform.create_recipient_key(name="Joan Smith Agency", suite="x25519")
    secret = key(hall, made.key_id)
    stored = b""
    for info in hall.adapters.recipients.list():
        stored += hall.platform._recipient_keys._read(info.path)
    assert stored
    assert secret not in stored
    assert b"Joan" not in stored
    assert [row.key_id for row in hall.adapters.short_lived.list() if row.kind == "recipient"] == rows(hall)
    assert not [row for row in hall.adapters.long_lived.list() if row.kind == "recipient"]
    assert secret.hex() not in repr(made)
    assert "Joan" not in repr(made)


def test_two_homes_and_two_keys_have_prefixes_of_their_own(hall: Any) -> None:
    one, two = (hall.platform.create_recipient_key(suite="x25519") for _ in range(2))
    prefixes = {
        recipients.prefix_of(recipients.parse_prefix_key(made.document), "anna") for made in (one, two)
    }
    assert len(prefixes) == 2
    assert len(hall.platform.recipient_keys()) == 2


def test_M16_a_retired_key_opens_until_its_day_and_never_after(hall: Any) -> None:
    """After its grace the private half is destroyed: not even this home opens what was sealed to it."""
    made = hall.platform.create_recipient_key(suite="x25519")
    retired = hall.platform.retire_recipient_key(made.key_id, grace_days=7)
    assert retired.state == "retiring"
    hall.advance(days=6)
    hall.platform.sweep()
    assert key(hall, made.key_id)
    hall.advance(days=1)
    with pytest.raises(KeyUnavailable) as refused:  # before any sweep has come by
        key(hall, made.key_id)
    assert refused.value.reason == "recipient_retired"
    assert rows(hall)
    hall.platform.sweep()
    assert rows(hall) == []
    assert [info.path for info in hall.adapters.recipients.list()] == [made.key_id + ".retired"]
    shown = hall.platform.recipient_key(made.key_id)
    assert (shown.state, shown.document, shown.destroyed_at) == ("destroyed", None, retired.destroyed_at)


def test_a_home_that_is_opened_destroys_what_is_due(hall: Any) -> None:
    made = hall.platform.create_recipient_key(suite="x25519")
    hall.platform.retire_recipient_key(made.key_id, grace_days=1)
    hall.advance(days=2)
    hall.platform.start()
    assert rows(hall) == []


def test_a_date_is_moved_forward_and_never_back(hall: Any) -> None:
    made = hall.platform.create_recipient_key(suite="x25519")
    first = hall.platform.retire_recipient_key(made.key_id, grace_days=5)
    assert hall.platform.retire_recipient_key(made.key_id, grace_days=30).destroyed_at == first.destroyed_at
    sooner = hall.platform.retire_recipient_key(made.key_id, grace_days=1)
    assert sooner.destroyed_at < first.destroyed_at
    assert hall.platform.retire_recipient_key(made.key_id, grace_days=0).state == "destroyed"
    assert hall.platform.retire_recipient_key(made.key_id, grace_days=3).state == "destroyed"
    assert rows(hall) == []


def test_retired_at_once(hall: Any) -> None:
    made = hall.platform.create_recipient_key(suite="x25519")
    assert hall.platform.retire_recipient_key(made.key_id, grace_days=0).state == "destroyed"
    with pytest.raises(KeyUnavailable) as refused:
        key(hall, made.key_id)
    assert refused.value.reason == "recipient_retired"


def test_a_key_whose_row_is_lost_says_so(hall: Any) -> None:
    made = hall.platform.create_recipient_key(suite="x25519")
    hall.platform.keyring.destroy(rows(hall))
    with pytest.raises(KeyUnavailable) as refused:
        key(hall, made.key_id)
    assert refused.value.reason == "recipient_lost"
    assert hall.platform.recipient_key(made.key_id).state == "lost"


def test_a_row_that_a_crash_left_without_a_key_is_collected(hall: Any) -> None:
    made = hall.platform.create_recipient_key(suite="x25519")
    hall.platform.keyring.new_key(NewKey("recipient", "audio", None, "rcp:default:" + "a" * 64))
    hall.platform.sweep()
    assert len(rows(hall)) == 2  # it may be in the making
    hall.advance(hours=2)
    hall.platform.sweep()
    assert len(rows(hall)) == 1
    assert key(hall, made.key_id)


def test_M14_keys_survive_a_rotation(hall: Any) -> None:
    """What was sealed to a recipient key still opens after the keys of the home were rotated."""
    made = hall.platform.create_recipient_key(suite="xwing")
    before = key(hall, made.key_id)
    hall.platform.rotate_keys()
    assert key(hall, made.key_id) == before


def test_everything_is_in_the_audit_log(hall: Any) -> None:
    made = hall.platform.create_recipient_key(name="agency", suite="x25519")
    hall.platform.retire_recipient_key(made.key_id, grace_days=0)
    told = [kind for kind in hall.kinds_of_events() if kind.startswith("recipient_key.")]
    assert told == ["recipient_key.created", "recipient_key.retired", "recipient_key.destroyed"]


@pytest.mark.parametrize("name", ["", "x" * 201, "line\nbreak", "\x1b[31m"])
def test_odd_names_are_refused(hall: Any, name: str) -> None:
    with pytest.raises(UsageError):
        hall.platform.create_recipient_key(name=name)


def test_what_is_not_there_and_what_is_not_clear(hall: Any) -> None:
    with pytest.raises(UsageError):
        hall.platform.create_recipient_key(suite="dsa")
    with pytest.raises(NotFound):
        hall.platform.recipient_key("00")
    with pytest.raises(NotFound):
        hall.platform.recipient_key("")
    made = [hall.platform.create_recipient_key(suite="x25519") for _ in range(17)]
    first = [one.key_id[0] for one in made]
    twice = next(letter for letter in first if first.count(letter) > 1)
    with pytest.raises(UsageError):
        hall.platform.recipient_key(twice)
    for days in (-1, 91):
        with pytest.raises(UsageError):
            hall.platform.retire_recipient_key(made[0].key_id, grace_days=days)


def test_a_stranger_s_key_is_unknown(hall: Any) -> None:
    with pytest.raises(KeyUnavailable) as refused:
        key(hall, "ab" * 32)
    assert refused.value.reason == "recipient_unknown"


def test_the_public_file_is_json_with_nothing_private(hall: Any) -> None:
    made = hall.platform.create_recipient_key(suite="x25519", name="agency")
    assert set(json.loads(made.document)) == {"format", "suite", "key_id", "public_key", "prefix_key"}
