"""Recipient key files: read in one way only, or refused."""

from __future__ import annotations

import json
import random

import pytest

from sottovoce.errors import IntegrityError
from sottovoce.sealing import recipients, suites

PRIVATE = suites.generate_recipient(random_bytes=random.Random(1).randbytes)
TEXT = recipients.public_document(PRIVATE.public(), bytes(16))


def test_both_halves_come_back() -> None:
    assert recipients.parse_public(TEXT) == PRIVATE.public()
    assert recipients.parse_private(recipients.private_document(PRIVATE)) == PRIVATE
    assert recipients.parse_prefix_key(TEXT) == bytes(16)


@pytest.mark.parametrize("name", ["format", "suite", "key_id", "public_key", "prefix_key"])
def test_X28_a_key_file_that_says_something_twice_is_refused(name: str) -> None:
    """Two keys in one file, of which two programs would take one each, are none."""
    said = json.loads(TEXT)
    doubled = f"{json.dumps({name: said[name]})[:-1]}, {TEXT.strip()[1:]}"
    with pytest.raises(IntegrityError) as refused:
        recipients.parse_public(doubled)
    assert refused.value.reason == "recipient_malformed"


@pytest.mark.parametrize("text", ["[" * 60_000, "NaN", "[]", "5", "", "{}", " " * 70_000])
def test_what_is_no_key_file_is_refused(text: str) -> None:
    for read in (recipients.parse_public, recipients.parse_private, recipients.parse_prefix_key):
        with pytest.raises(IntegrityError):
            read(text)


@pytest.mark.parametrize("named", ["00 " * 10 + "00", "0" * 31, "G" * 32, 5, [], True, "\u0661" * 32])
def test_a_prefix_key_has_16_bytes(named: object) -> None:
    with pytest.raises(IntegrityError):
        recipients.parse_prefix_key(json.dumps({**json.loads(TEXT), "prefix_key": named}))
