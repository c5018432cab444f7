"""Canonical bytes: one value, one encoding (RFC 8785 without floats)."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import UsageError
from sottovoce.model.canonical import canonical_json

SCALARS = st.none() | st.booleans() | st.integers() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_keys_are_sorted_and_nothing_is_wasted() -> None:
    value = {"b": [1, True, None, -2], "a": {"y": '\u00e9\n"', "x": ()}}
    assert canonical_json(value) == '{"a":{"x":[],"y":"é\\n\\""},"b":[1,true,null,-2]}'.encode()


def test_keys_are_in_the_order_of_rfc_8785() -> None:
    """The example of RFC 8785, 3.2.3: by UTF-16 code units, so that U+1F600 stands before U+FB33."""
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    names = list(json.loads(canonical_json(dict.fromkeys(keys, 0))))
    assert names == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


@given(value=VALUES)
def test_the_bytes_say_the_value_and_are_a_fixed_point(value: Any) -> None:
    encoded = canonical_json(value)
    assert json.loads(encoded) == value
    assert canonical_json(json.loads(encoded)) == encoded


@given(value=st.dictionaries(st.text(), SCALARS, max_size=6), order=st.randoms())
def test_the_order_of_insertion_does_not_matter(value: dict[str, Any], order: Any) -> None:
    keys = list(value)
    order.shuffle(keys)
    shuffled = {key: value[key] for key in keys}
    assert canonical_json(shuffled) == canonical_json(value)
    assert canonical_json(MappingProxyType(shuffled)) == canonical_json(value)


@given(one=VALUES, other=VALUES)
def test_different_values_have_different_bytes(one: Any, other: Any) -> None:
    assert (canonical_json(one) == canonical_json(other)) == (_typed(one) == _typed(other))


def _typed(value: Any) -> Any:
    """Python says True == 1; JSON does not."""
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    return type(value).__name__, value


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), b"x", {1: "x"}, {None: 1}, {1, 2}, object(), [[0.5]], {"a": {2: 1}}]
)
def test_what_json_cannot_say_in_one_way_is_refused(value: Any) -> None:
    with pytest.raises(UsageError):
        canonical_json(value)


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, ["a", "\ud83d"]])
def test_half_a_character_is_refused(value: Any) -> None:
    with pytest.raises(UsageError):
        canonical_json(value)
