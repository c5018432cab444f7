"""JSON of strangers: one reading, or none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.model.strict_json import read_json

PLAIN = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(PLAIN)
def test_what_anybody_would_write_is_read_as_it_was_meant(value: object) -> None:
    text = json.dumps(value)
    assert read_json(text, maximum_bytes=1 << 20) == value
    assert read_json(text.encode(), maximum_bytes=1 << 20) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}', '[{"b": {"a": 1, "a": 1}}]', "NaN", "[Infinity]", "[-Infinity]", "[1e999]", "[-1e999]",
        "1" * 19, "-" + "1" * 19, "9" * 5000, "[" * 100_000, '{"a":' * 100_000, "", "{", "[1] 2", " " * 200_001,
    ],
)  # fmt: skip
def test_M05_what_two_parsers_would_read_in_two_ways_is_refused(text: str) -> None:
    """A text with a doubled key, a number that is none, too many digits, endless nesting or too much of it is refused
    at once."""
    with pytest.raises(ValueError):
        read_json(text, maximum_bytes=200_000)


@pytest.mark.parametrize(
    "data", [b"\xff\xfe1\x00", '"a"'.encode("utf-16"), b'"\xed\xa0\x80"', b"\xef\xbb\xbf1"]
)
def test_bytes_of_another_encoding_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_json(data, maximum_bytes=100)
