"""The table of exit codes: complete, stable, and one rule for several files."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce import errors as ours
from sottovoce.doors.cli import errors

PROMISED = {
    "usage": 2, "configuration": 2, "consent_required": 3, "reconsent_required": 3, "audio_rejected": 4,
    "input_unreadable": 4, "integrity": 5, "key_unavailable": 6, "storage": 7, "schema_newer": 7,
    "unknown_signer": 8,
}  # fmt: skip


def kinds(parent: type[ours.SottovoceError] = ours.SottovoceError) -> list[type[ours.SottovoceError]]:
    found = [kind for kind in parent.__subclasses__() if kind.__module__ == "sottovoce.errors"]
    return found + [deeper for kind in found for deeper in kinds(kind)]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_kind_of_error_has_an_exit_code(kind: type[ours.SottovoceError]) -> None:
    assert errors.EXIT_CODES[kind.code] == PROMISED.get(kind.code, errors.EXIT_CODES[kind.code])
    assert 1 < errors.exit_code(kind()) <= 8


def test_the_promised_exit_codes() -> None:
    assert {code: errors.EXIT_CODES[code] for code in PROMISED} == PROMISED


@given(st.lists(st.integers(0, 8), max_size=6))
def test_several_files_make_one_exit_code(codes: list[int]) -> None:
    if not codes or not any(codes):
        expected = 0
    elif all(code == codes[0] for code in codes):
        expected = codes[0]
    else:
        expected = 1
    assert errors.combined(codes) == expected


def test_a_reason_does_not_hide_the_kind() -> None:
    assert errors.exit_code(ours.AudioRejected(reason="too_short")) == 4
    assert errors.exit_code(ours.StorageError(reason="storage_full")) == 7


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_stray_refusal_of_the_system_is_a_storage_error_without_its_path(number: int) -> None:
    error = errors.as_ours(OSError(number, "words of the system", "/secret/path"))
    assert errors.exit_code(error) == 7
    assert "secret" not in error.message + error.hint
    assert error.hint


def test_the_unexpected_is_internal_and_says_nothing_of_what_it_held() -> None:
    try:
        raise ValueError("my name is Anna")
    except ValueError as problem:
        error = errors.as_ours(problem)
    assert (error.public_code, errors.exit_code(error)) == ("internal", 1)
    assert "Anna" not in error.message
    assert "ValueError at test_exit_codes.py:" in error.message


def test_the_trace_holds_places_but_neither_messages_nor_values() -> None:
    def inner(secret: str) -> None:
        raise KeyError(secret)

    try:
        try:
            inner("my name is Anna")
        except KeyError:
            raise RuntimeError("Anna again") from None
    except RuntimeError as problem:
        text = errors.trace(problem)
    assert "inner" in text
    assert "builtins.KeyError" in text
    assert "builtins.RuntimeError" in text
    assert "my name is Anna" not in text.replace('inner("my name is Anna")', "")  # our own source line


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_every_kind_of_error_says_what_to_try(kind: type[ours.SottovoceError]) -> None:
    assert errors.hint(kind()).endswith(".")
    assert errors.hint(kind(hint="Do this.")) == "Do this."


def test_a_reason_leads_to_the_verb_that_shows_it() -> None:
    assert "training list" in errors.hint(ours.Conflict(reason="round_ended"))
    assert errors.hint(ours.Conflict(hint="Own.", reason="round_ended")) == "Own."
    assert "sessions" in errors.hint(ours.NotFound())
