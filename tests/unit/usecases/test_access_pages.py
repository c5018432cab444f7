"""The pages that a person reads: plain text in tables, whatever somebody wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from sottovoce.model.mark import MarkKind
from sottovoce.model.subject import Caller
from sottovoce.usecases.access_pages import entries_table, facts_page, log_page, moment

Hall = Any
EVIL = "<script>alert(1)</script>"


def test_the_pages_have_no_script_and_escape_every_word(hall: Hall) -> None:
    """Whatever somebody called themselves or wrote stays text on the pages that people read."""
    hall.grant()
    session = hall.analyze().session_id
    evil = Caller(actor=EVIL, channel='"><img src=x>')
    hall.platform.show(session, purpose="subject_access", caller=evil)
    hall.platform.mark(subject="anna", kind=MarkKind.HOLD, reason="legal_claims", note=EVIL, caller=evil)
    for page in (
        facts_page(hall.platform.facts(session, caller=evil)),
        log_page(hall.platform.access_log(subject="anna", caller=evil)),
    ):
        assert "<script" not in page
        assert "<img" not in page
        assert "&lt;script&gt;" in page
        assert "script-src" not in page
        assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page


def test_a_time_is_told_in_utc_to_the_second_wherever_it_was_written() -> None:
    at = datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC)
    assert moment(at) == moment(at.astimezone(timezone(timedelta(hours=2)))) == "2026-03-01 12:00:00 UTC"
    assert moment(None) == "-"


def test_a_log_without_entries_says_so() -> None:
    assert "No entries." in entries_table(())
