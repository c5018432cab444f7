"""The canonical context: injective, versioned, and read the same way by everybody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import UsageError
from sottovoce.sealing.context import Context, encode_context, encode_fields

words = st.text(max_size=12)
five = st.tuples(words, words, words, words, words)


def as_bytes(fields: tuple[str, str, str, str, str]) -> bytes:
    tenant, subject, record, kind, version = fields
    return encode_context(tenant=tenant, subject=subject, record=record, kind=kind, version=version)


@given(five, five)
def test_X25_two_different_contexts_never_share_their_bytes(one: tuple, other: tuple) -> None:
    """What is sealed for one person, recording and kind is never mistaken for another's."""
    assert (as_bytes(one) == as_bytes(other)) == (one == other)


@given(five, st.integers(0, 4), st.integers(0, 12))
def test_moving_a_border_between_two_words_changes_the_bytes(fields: tuple, index: int, cut: int) -> None:
    joined = fields[index] + fields[(index + 1) % 5]
    moved = list(fields)
    moved[index], moved[(index + 1) % 5] = joined[:cut], joined[cut:]
    assert (as_bytes(tuple(moved)) == as_bytes(fields)) == (tuple(moved) == fields)


def decode(data: bytes) -> list[str | bytes | int | None]:
    """An independent reader of the encoding."""
    fields: list[str | bytes | int | None] = []
    while data:
        size = int.from_bytes(data[1:5], "big")
        kind, content, data = data[:1], data[5 : 5 + size], data[5 + size :]
        assert len(content) == size
        readers = {b"s": content.decode if kind == b"s" else str, b"b": lambda c=content: c}
        readers |= {b"i": lambda c=content: int.from_bytes(c, "big", signed=True), b"n": lambda: None}
        fields.append(readers[kind]())
    return fields


field = st.one_of(words, st.binary(max_size=12), st.integers(-(2**63), 2**63 - 1), st.none())


@given(words, st.lists(field, max_size=6))
def test_an_independent_reader_gets_every_field_back(label: str, fields: list) -> None:
    assert decode(encode_fields(label, *fields)) == [label, *fields]


def test_a_context_value_encodes_like_the_function() -> None:
    context = Context(tenant="t", subject="s", record="r", kind="k", version="1")
    assert context.to_bytes() == encode_context(tenant="t", subject="s", record="r", kind="k", version="1")


def test_text_that_utf8_cannot_hold_is_refused() -> None:
    with pytest.raises(UsageError):
        encode_context(tenant="\ud800", subject="s", record="r", kind="k", version="1")


def test_vectors(repo_root: Path) -> None:
    cases = json.loads((repo_root / "vectors/context/context_v1.json").read_text())["cases"]
    assert len(cases) >= 5
    for case in cases:
        assert encode_context(**case["context"]).hex() == case["encoded"], case["id"]
