"""The audit log in the words that a person reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sottovoce.model.event import AuditEvent
from sottovoce.model.mark import MarkKind
from sottovoce.usecases.access_entries import READS, WORDS, entry_of, of_session

Hall = Any
SESSION = "ses_" + "a" * 24


def _event(kind: str) -> AuditEvent:
    return AuditEvent(
        id="evt_" + "a" * 24, tenant="default", pseudonym="p" * 64, kind=kind, actor="dr-k", channel="web",
        purpose=None, outcome="ok", details_key_id=None, details=None, at=datetime(2026, 3, 1, tzinfo=UTC),
    )  # fmt: skip


def test_every_kind_of_read_has_words() -> None:
    assert set(WORDS) >= READS
    assert len(set(WORDS.values())) == len(WORDS)


def test_an_entry_without_words_of_its_own_is_told_by_its_kind() -> None:
    entry = entry_of(_event("something.new"), {"session": SESSION})
    assert (entry.words, entry.read, entry.session_id) == ("something new", False, SESSION)
    assert entry_of(_event("record.read"), {}).read


def test_an_entry_whose_details_do_not_open_is_of_no_session() -> None:
    there, closed = entry_of(_event("record.read"), {"session": SESSION}), entry_of(_event("record.read"), {})
    assert of_session((there, closed), SESSION) == (there,)
    assert entry_of(_event("record.read"), {"session": 7}).session_id is None


def test_a_mark_is_shown_with_its_reason_in_words(hall: Hall) -> None:
    hall.grant()
    (seen,) = hall.platform.mark(
        subject="anna", kind=MarkKind.RESTRICTION, reason="accuracy_contested", note="see the letter",
        caller=hall.caller,
    ).marks  # fmt: skip
    assert (seen.kind, seen.detail, seen.lifted_at) == ("restriction", "see the letter", None)
    assert "18" in seen.basis
