"""Wrapping of keys: what is moved, altered or wrapped for another does not open."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import IntegrityError, KeyUnavailable, UsageError
from sottovoce.model.keys import KeyRow
from sottovoce.sealing.keytree import (
    WRAP_OVERHEAD_BYTES,
    epoch_key_context,
    rewrap_outer,
    unwrap_key,
    unwrap_row,
    wrap_key,
    wrap_row,
)

EK, OTHER_EK, SK, KEY = (bytes([n]) * 32 for n in (1, 2, 3, 4))
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def a_row(**changes: object) -> KeyRow:
    words = {
        "key_id": "rec_1", "tenant": "default", "kind": "record", "key_class": "features", "subject_id": "sub_1",
        "epoch": 7, "epoch_key": EK, "subject_key": SK, "created_at": AT, "random_bytes": os.urandom,
    }  # fmt: skip
    return wrap_row(KEY, **{**words, **changes})


def test_M13_a_record_key_needs_the_epoch_key_and_the_key_of_the_person() -> None:
    """A record's key opens only with the epoch key and the person's own key together."""
    row = a_row()
    assert unwrap_row(row, epoch_key=EK, subject_key=SK) == KEY
    with pytest.raises(IntegrityError):
        unwrap_row(row, epoch_key=OTHER_EK, subject_key=SK)
    with pytest.raises(IntegrityError):
        unwrap_row(row, epoch_key=EK, subject_key=OTHER_EK)
    with pytest.raises(KeyUnavailable) as refused:
        unwrap_row(row, epoch_key=EK)
    assert refused.value.reason == "key_destroyed"


def test_subject_and_tenant_keys_stand_directly_below_the_epoch_key() -> None:
    row = a_row(kind="subject", subject_key=None)
    assert unwrap_row(row, epoch_key=EK) == KEY
    with pytest.raises(UsageError):
        a_row(kind="tenant", key_class="tenant", subject_id=None)


@pytest.mark.parametrize(
    "moved",
    [
        {"key_id": "rec_2"},
        {"subject_id": "sub_2"},
        {"subject_id": None},
        {"key_class": "insights"},
        {"tenant": "another"},
        {"epoch": 8},
        {"kind": "recording"},
        {"kind": "details"},
    ],
)
@pytest.mark.parametrize("kind", ["record", "subject"])
def test_X25_a_key_row_moved_elsewhere_does_not_open(kind: str, moved: dict) -> None:
    """A stored key that is moved to another person, record, class, tenant or epoch is refused."""
    subject_key = SK if kind == "record" else None
    row = replace(a_row(kind=kind, subject_key=subject_key), **moved)
    needs = SK if row.kind != "subject" else None
    with pytest.raises(IntegrityError):
        unwrap_row(row, epoch_key=EK, subject_key=needs)


def test_X25_the_inside_alone_is_bound_to_its_place() -> None:
    """Even who holds the epoch key cannot give one person's key row to another person."""
    row, place = a_row(), a_row(key_id="rec_2", subject_id="sub_2")
    outer = {name: getattr(place, name) for name in ("tenant", "subject_id", "key_class", "kind", "key_id")}
    inside = unwrap_key(EK, row.wrapped, _outer_context(row))
    forged = replace(row, **outer)
    forged = replace(forged, wrapped=wrap_key(EK, inside, _outer_context(forged), random_bytes=os.urandom))
    with pytest.raises(IntegrityError):
        unwrap_row(forged, epoch_key=EK, subject_key=SK)


def _outer_context(row: KeyRow) -> bytes:
    """Written anew from the reference text of the key tree."""
    words = ["sottovoce/key-tree/outer/1", row.tenant, row.key_id, row.subject_id, row.key_class, row.kind]
    parts = []
    for word in words:
        content = b"" if word is None else word.encode()
        parts.append((b"n" if word is None else b"s") + len(content).to_bytes(4, "big") + content)
    return b"".join(parts) + b"i" + (8).to_bytes(4, "big") + row.epoch.to_bytes(8, "big")


@given(st.integers(0, 10_000))
def test_a_flipped_bit_anywhere_is_refused(position: int) -> None:
    row = a_row()
    bit = position % (8 * len(row.wrapped))
    broken = bytearray(row.wrapped)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IntegrityError):
        unwrap_row(replace(row, wrapped=bytes(broken)), epoch_key=EK, subject_key=SK)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_crash_the_reader(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        unwrap_row(replace(a_row(), wrapped=data), epoch_key=EK, subject_key=SK)


def test_M14_rewrapping_changes_the_outside_only_and_the_old_epoch_key_opens_nothing() -> None:
    """A new epoch needs neither the person's key nor the data, and ends what the old epoch key could open."""
    row = a_row()
    moved = rewrap_outer(row, old_ek=EK, new_ek=OTHER_EK, new_epoch=8, random_bytes=os.urandom)
    assert moved.epoch == 8
    assert len(moved.wrapped) == len(row.wrapped)
    assert unwrap_row(moved, epoch_key=OTHER_EK, subject_key=SK) == KEY
    with pytest.raises(IntegrityError):
        unwrap_row(moved, epoch_key=EK, subject_key=SK)
    with pytest.raises(IntegrityError):
        rewrap_outer(moved, old_ek=EK, new_ek=OTHER_EK, new_epoch=9, random_bytes=os.urandom)


def test_sizes() -> None:
    assert len(a_row().wrapped) == 32 + 2 * WRAP_OVERHEAD_BYTES
    assert len(a_row(kind="subject", subject_key=None).wrapped) == 32 + WRAP_OVERHEAD_BYTES


def test_randomness_is_passed_in() -> None:
    calls: list[int] = []

    def counted(size: int) -> bytes:
        calls.append(size)
        return bytes(size)

    assert a_row(random_bytes=counted) == a_row(random_bytes=counted)
    assert calls == [12, 12, 12, 12]


def test_a_wrapped_value_that_is_no_key_is_refused() -> None:
    row = a_row(kind="subject", subject_key=None)
    short = wrap_key(EK, b"short", _outer_context(row), random_bytes=os.urandom)
    with pytest.raises(IntegrityError):
        unwrap_row(replace(row, wrapped=short), epoch_key=EK)


@pytest.mark.parametrize("bad", [b"", b"x" * 16, b"x" * 33])
def test_keys_of_another_size_are_refused(bad: bytes) -> None:
    with pytest.raises(UsageError):
        wrap_key(bad, KEY, b"", random_bytes=os.urandom)
    with pytest.raises(UsageError):
        unwrap_key(bad, bytes(60), b"")
    with pytest.raises(UsageError):
        a_row(subject_key=bad)


def test_no_repr_shows_a_key() -> None:
    row = a_row()
    assert row.wrapped.hex() not in repr(row)
    assert repr(row.wrapped) not in repr(row)


def test_epoch_key_contexts_differ() -> None:
    contexts = {
        epoch_key_context(tenant=tenant, store=store, epoch=epoch)
        for tenant in ("a", "b")
        for store in ("long_lived", "short_lived")
        for epoch in (1, 2)
    }
    assert len(contexts) == 8
