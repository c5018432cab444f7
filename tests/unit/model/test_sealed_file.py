"""The note inside a sealed recording, which anybody with the public key can write."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import IntegrityError, UsageError
from sottovoce.model.sealed_file import SealedNote, format_hint, parse_note

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=512).filter(str.strip)


@given(st.one_of(st.none(), names), st.integers(0, 1 << 40), st.sampled_from(["", "wav", "flac", "m4a"]))
def test_every_note_reads_as_it_was_written(subject: str | None, size_bytes: int, kind: str) -> None:
    note = SealedNote(size_bytes, subject, kind)
    try:
        data = note.to_bytes(3072)
    except UsageError:  # control characters take six bytes each
        assert subject is not None
        assert len(json.dumps(subject, ensure_ascii=False).encode()) > 2900
        return
    assert len(data) == 3072
    assert parse_note(data) == note


@given(st.binary(max_size=300))
def test_any_bytes_are_a_note_or_refused(data: bytes) -> None:
    try:
        note = parse_note(data)
    except IntegrityError:
        return
    assert note is None or isinstance(note, SealedNote)


@pytest.mark.parametrize(
    "content",
    [
        [], {}, {"subject": "a"}, {"subject": "a", "size_bytes": 1, "format": "", "more": 1},
        {"subject": "", "size_bytes": 1, "format": ""}, {"subject": " ", "size_bytes": 1, "format": ""},
        {"subject": "a" * 513, "size_bytes": 1, "format": ""}, {"subject": 7, "size_bytes": 1, "format": ""},
        {"subject": "\ud800", "size_bytes": 1, "format": ""}, {"subject": "a", "size_bytes": True, "format": ""},
        {"subject": "a", "size_bytes": -1, "format": ""}, {"subject": "a", "size_bytes": 1.0, "format": ""},
        {"subject": "a", "size_bytes": 1 << 60, "format": ""},
        {"subject": "a", "size_bytes": 1, "format": "../../x"}, {"subject": "a", "size_bytes": 1, "format": 3},
    ],
)  # fmt: skip
def test_X18_a_hostile_note_is_refused(content: object) -> None:
    """Whatever a stranger seals into a note: an id, a size and a kind of file within their bounds, or nothing."""
    with pytest.raises(IntegrityError):
        parse_note(json.dumps(content).encode())


def test_a_deep_note_is_refused() -> None:
    with pytest.raises(IntegrityError):
        parse_note(b"[" * 3000)


@pytest.mark.parametrize("subject", ["", " ", "a" * 513, "\ud800", "\x01" * 512])
def test_ids_that_fit_no_note_are_refused(subject: str) -> None:
    with pytest.raises(UsageError):
        SealedNote(1, subject).to_bytes(3072)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("a.WAV", "wav"),
        ("a.tar.gz", "gz"),
        ("noend", ""),
        ("a.", ""),
        ("a.joan smith", ""),
        ("a.verylongending", ""),
    ],
)
def test_how_a_name_ends(name: str, hint: str) -> None:
    assert format_hint(name) == hint
