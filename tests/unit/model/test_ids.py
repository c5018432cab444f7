"""Ids and paths: random, opaque, safe in a file name."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.adapters.memory import SeededEntropy
from sottovoce.errors import UsageError
from sottovoce.model.ids import PREFIXES, check_id, new_id
from sottovoce.model.paths import PART, check_new_path, check_path, is_part

GOOD = "ses_" + "a" * 24


@pytest.mark.parametrize("kind", PREFIXES)
def test_an_id_carries_120_random_bits_and_its_kind(kind: str) -> None:
    asked = []

    def dice(size: int) -> bytes:
        asked.append(size)
        return bytes(range(size))

    made = new_id(kind, dice)
    assert asked == [15]
    prefix, _, random_part = made.partition("_")
    assert prefix == PREFIXES[kind]
    assert base64.b32decode(random_part.upper()) == bytes(range(15))
    assert check_id(made, kind) == made
    assert check_path(made) == made


def test_every_kind_has_a_prefix_of_its_own() -> None:
    assert len(set(PREFIXES.values())) == len(PREFIXES)


def test_X05_a_thousand_ids_of_one_instant_are_different() -> None:
    """Ids come from randomness and not from a clock: a thousand made at once are a thousand."""
    dice = SeededEntropy(5)
    assert len({new_id("consent", dice) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    "value",
    ["", "ses", "ses_", "ses_" + "a" * 23, "ses_" + "a" * 25, "SES_" + "a" * 24, "ses_" + "A" * 24, "ses_" + "1" * 24,
     "sub_" + "a" * 24, GOOD + "\n", " " + GOOD, "../" + GOOD, "ses_../" + "a" * 20, "ses-" + "a" * 24,
     "ses_" + "é" * 24],
)  # fmt: skip
def test_what_is_no_id_is_refused_without_repeating_it(value: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_id(value, "session")
    assert not value or value not in str(caught.value.to_dict()) or value in ("ses", "ses_")


@given(value=st.text(max_size=40))
def test_any_text_is_an_id_or_refused(value: str) -> None:
    try:
        check_id(value, "session")
    except UsageError:
        return
    assert value.startswith("ses_")
    assert len(value) == 28


@given(value=st.text(alphabet="ab/._-A~\n\0", max_size=12))
def test_a_checked_path_stays_below_its_folder(value: str) -> None:
    try:
        check_path(value)
    except UsageError:
        return
    parts = value.split("/")
    assert all(parts)
    assert not {".", ".."} & set(parts)
    assert set(value) <= set("ab/._-")


def test_an_unfinished_body_has_a_name_that_no_finished_one_has() -> None:
    assert is_part("a/x" + PART)
    assert not is_part("a/x")
    assert check_new_path("a/x") == "a/x"
    assert check_path("a/x.part") == "a/x.part"
    with pytest.raises(UsageError):
        check_new_path("a/x.part")
