"""Acknowledgements and the names that recipients know people by, against a second implementation."""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import IntegrityError
from sottovoce.sealing import acknowledgement
from sottovoce.sealing.pseudonym import opaque_name, recipient_subkey

KEY = bytes(range(32))
T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEYS = st.binary(min_size=32, max_size=32)


def signed(**changes: object) -> str:
    given = {"recipient_id": "rcp_a", "through": 7, "last_hash": "ab" * 32, "applied_at": T0, **changes}
    return acknowledgement.sign(KEY, **given)  # type: ignore[arg-type]


def test_an_acknowledgement_is_made_as_documented() -> None:
    content = {
        "format": "sottovoce-acknowledgement/1", "recipient": "rcp_a", "through": 7, "hash": "ab" * 32,
        "applied_at": "2026-03-01T12:00:00+00:00",
    }  # fmt: skip
    text = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    mac = hmac.new(KEY, b"sottovoce/acknowledgement/1\x00" + text, hashlib.sha256).hexdigest()
    assert json.loads(signed()) == {**content, "mac": mac}
    claim = acknowledgement.parse(signed())
    acknowledgement.check(claim, KEY)
    assert (claim.recipient_id, claim.through, claim.hash, claim.applied_at) == ("rcp_a", 7, "ab" * 32, T0)


@given(st.sampled_from(["recipient", "through", "hash", "applied_at", "mac"]), KEYS)
def test_C15a_no_word_of_an_acknowledgement_can_be_changed(field: str, other_key: bytes) -> None:
    """A recipient's word that it has erased something cannot be made or altered by somebody else."""
    data = json.loads(signed())
    other = {
        "recipient": "rcp_b", "through": 8, "hash": "cd" * 32, "applied_at": "2026-03-02T12:00:00+00:00",
        "mac": "0" * 64,
    }  # fmt: skip
    claim = acknowledgement.parse(json.dumps({**data, field: other[field]}))
    with pytest.raises(IntegrityError) as refused:
        acknowledgement.check(claim, KEY)
    assert refused.value.reason == "acknowledgement_forged"
    if other_key != KEY:
        with pytest.raises(IntegrityError):
            acknowledgement.check(acknowledgement.parse(signed()), other_key)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_refused_by_one_of_our_errors(text: str) -> None:
    with pytest.raises(IntegrityError):
        acknowledgement.parse(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": 1}, {"through": 0}, {"through": True}, {"through": 1.5}, {"through": 2**60}, {"hash": "AB" * 32},
        {"mac": "ab"}, {"applied_at": "2026-03-01T12:00:00"}, {"applied_at": 5}, {"recipient": None},
        {"format": "sottovoce-acknowledgement/2"}, {"hash": None},
    ],
)  # fmt: skip
def test_what_is_not_exactly_an_acknowledgement_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(IntegrityError) as refused:
        acknowledgement.parse(json.dumps({**json.loads(signed()), **changes}))
    assert refused.value.reason == "acknowledgement_malformed"
    with pytest.raises(IntegrityError):
        acknowledgement.parse(signed().replace('"through": 7', '"through": 7, "through": 8'))


def fields(*words: str) -> bytes:
    return b"".join(b"s" + struct.pack(">I", len(word)) + word.encode() for word in words)


@given(KEYS, st.text("abc", min_size=1))
def test_C15a_two_recipients_have_no_name_in_common(key: bytes, internal_id: str) -> None:
    """What one recipient calls a person means nothing to another: their data cannot be joined by it."""
    expected = hmac.new(key, fields("sottovoce/recipient-name/1", internal_id), hashlib.sha256).hexdigest()
    assert opaque_name(key, internal_id) == expected
    other = bytes(a ^ 1 for a in key)
    assert opaque_name(other, internal_id) != expected
    assert opaque_name(key, internal_id + "a") != expected
    assert recipient_subkey(key, internal_id).hex() != expected  # another use, another label
    assert len(recipient_subkey(key, "name")) == 32
