"""Lines of tombstones that are none: refused as damaged, whatever they hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sottovoce.errors import IntegrityError, UsageError
from sottovoce.model import tombstones
from sottovoce.model.canonical import canonical_json
from sottovoce.model.tombstones import SignedHead, TombstoneEntry, TombstoneHead, TombstoneKind

AT = datetime(2026, 1, 2, tzinfo=UTC)
RESTORED = TombstoneEntry(kind=TombstoneKind.RESTORED, at=AT, backup="b", tree_size=5, root="ab" * 32)
LINE = tombstones.encode(RESTORED, TombstoneHead())


def with_field(name: str, text: str) -> bytes:
    """The line with another value of a field, written as it is given."""
    said = canonical_json({**json.loads(LINE), name: "here"}).decode()
    return said.replace('"here"', text).encode()


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_C9a_a_date_beyond_the_calendar_is_damage(at: str) -> None:
    """An entry with a date that no clock can show is refused as damaged, not with a crash."""
    for read in (lambda line: tombstones.decode(line, TombstoneHead()), tombstones.decode_alone):
        with pytest.raises(IntegrityError):
            read(with_field("at", f'"{at}"'))


@pytest.mark.parametrize(
    "number", ["Infinity", "1e999", "-1", "true", '"1"', "1.0", "9" * 400, "NaN", "null"]
)
def test_a_number_that_is_none_is_damage(number: str) -> None:
    with pytest.raises(IntegrityError):
        tombstones.decode_alone(with_field("number", number))
    head = tombstones.head_line(SignedHead(TombstoneHead(1, bytes(32)), "note")).decode()
    with pytest.raises(IntegrityError):
        tombstones.parse_head_line(head.replace('"count":1', f'"count":{number}').encode())


@pytest.mark.parametrize("size_bytes", [0, 31, 33])
def test_a_head_has_a_hash_of_32_bytes(size_bytes: int) -> None:
    line = tombstones.head_line(SignedHead(TombstoneHead(1, bytes(size_bytes)), "note"))
    with pytest.raises(IntegrityError):
        tombstones.parse_head_line(line)


@pytest.mark.parametrize(
    "changes",
    [
        {"backup": True},
        {"backup": 7},
        {"tree_size": True},
        {"tree_size": "5"},
        {"root": "r"},
        {"root": "AB" * 32},
    ],
)
def test_a_field_of_another_type_is_in_no_entry(changes: dict[str, Any]) -> None:
    said = {**json.loads(LINE), **changes}
    with pytest.raises(IntegrityError):
        tombstones.decode(canonical_json(said), TombstoneHead())


def test_a_writer_is_told_of_a_number_that_is_none() -> None:
    entry = TombstoneEntry(kind=TombstoneKind.RESTORED, at=AT, backup="b", tree_size=-1, root="ab" * 32)
    with pytest.raises(UsageError):
        tombstones.encode(entry, TombstoneHead())
