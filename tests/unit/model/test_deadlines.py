"""Clocks of laws as data, and their arithmetic."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.errors import ConfigurationError, UsageError
from sottovoce.model.deadlines import Deadline, clock_of, later, parse_deadlines

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def text(repo_root: Path) -> str:
    return (repo_root / "src" / "sottovoce" / "data" / "deadlines.toml").read_text()


def test_C14a_the_clock_of_each_law_is_computed_from_the_file(text: str) -> None:
    """How long a request may take is computed from a file that names law and article, one clock per law."""
    clocks = parse_deadlines(text)
    due = {key: (clock.due(NOON), clock.due(NOON, extended=True)) for key, clock in clocks.items()}
    at = lambda *day: datetime(*day, 12, tzinfo=UTC)  # noqa: E731
    assert due["gdpr.request"] == (at(2026, 4, 1), at(2026, 6, 1))
    assert due["ccpa.request"] == (NOON + timedelta(days=45), NOON + timedelta(days=90))
    assert due["pipeda.access"] == (NOON + timedelta(days=30), NOON + timedelta(days=60))
    assert due["hipaa.accounting"] == (NOON + timedelta(days=60), NOON + timedelta(days=90))
    assert due["gdpr.breach_authority"][0] == NOON + timedelta(hours=72)
    assert due["hipaa.documents"][0] == at(2032, 3, 1)
    assert due["gdpr.breach_person"] == (None, None)
    assert all(clock.article and clock.source and clock.condition for clock in clocks.values())


def test_C14a_an_entry_that_nobody_checked_lately_says_so(text: str) -> None:
    """A clock that was not compared with the text of the law lately, or never, is shown as such."""
    clocks = parse_deadlines(text)
    year, lately, later_on = timedelta(days=365), date(2026, 12, 1), date(2028, 1, 1)
    never = {key for key, clock in clocks.items() if clock.checked_on is None}
    assert {key for key, clock in clocks.items() if clock.is_stale(lately, age=year)} == never
    assert all(clock.is_stale(later_on, age=year) for clock in clocks.values())
    checked = clocks["gdpr.request"]
    assert checked.checked_on is not None
    assert not checked.is_stale(checked.checked_on + year, age=year)
    assert checked.is_stale(checked.checked_on + timedelta(days=366), age=year)


def test_C14a_what_was_not_read_in_its_wording_says_so_and_what_was_names_it(text: str) -> None:
    """Each clock names the text it was compared with, or says that the wording was not at hand."""
    for clock in parse_deadlines(text).values():
        missing = "not at hand" in clock.source + clock.condition
        assert missing is (clock.checked_on is None), clock.key
        assert "general knowledge" not in clock.source


def test_C14a_no_deadline_stands_in_code(repo_root: Path) -> None:
    """The number of days or months that a law allows stands in the file of deadlines and nowhere in the program."""
    folder = repo_root / "src" / "sottovoce"
    for name in ("model/deadlines.py", "model/request.py", "usecases/cases.py", "doors/cli/requests.py"):
        code = (folder / name).read_text()
        numbers = {
            int(found)
            for found in re.findall(r"(?<![\w.])(\d+)(?![\w.])", re.sub(r'"[^"\n]*"|#.*', "", code))
        }
        assert numbers & {2, 24, 30, 45, 60, 72, 90} == set(), name


@given(st.dates(date(1999, 1, 1), date(2090, 1, 1)), st.integers(0, 40))
def test_months_are_calendar_months(day_of_start: date, count: int) -> None:
    """Oracle: walk month by month, then cut the day to the length of the month."""
    start = datetime(day_of_start.year, day_of_start.month, day_of_start.day, 7, 30, tzinfo=UTC)
    year, month = start.year, start.month
    for _ in range(count):
        month += 1
        if month > 12:
            year, month = year + 1, 1
    day = min(start.day, monthrange(year, month)[1])
    expected = start.replace(year=year, month=month, day=day)
    assert later(start, count, "months") == expected
    assert later(start, 0, "years") == start


def test_the_end_of_a_short_month_and_other_time_zones() -> None:
    assert later(datetime(2026, 1, 31, tzinfo=UTC), 1, "months") == datetime(2026, 2, 28, tzinfo=UTC)
    assert later(datetime(2024, 2, 29, tzinfo=UTC), 1, "years") == datetime(2025, 2, 28, tzinfo=UTC)
    tokyo = datetime(2026, 2, 1, 3, tzinfo=timezone(timedelta(hours=9)))  # still January in UTC
    assert later(tokyo, 1, "months") == datetime(2026, 2, 28, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    "change",
    [
        ('unit = "months"', 'unit = "weeks"'),
        ("limit = 1\n", "limit = -1\n"),
        ('status = "in_force"', "status = 5"),
        ("article =", "artikel ="),
        ('checked_on = "2026-11-21"', 'checked_on = "soon"'),
        ("[gdpr.request]", "[[gdpr.request]]"),
        ("[gdpr.request]", "[gdpr"),
    ],
)
def test_an_entry_that_is_not_of_the_form_is_refused(text: str, change: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        parse_deadlines(text.replace(*change, 1))


def test_only_clocks_that_begin_with_a_receipt_are_those_of_requests(text: str) -> None:
    clocks = parse_deadlines(text)
    assert isinstance(clock_of(clocks, "gdpr.request"), Deadline)
    for key in ("gdpr.breach_authority", "aiact.logs", "nothing"):
        with pytest.raises(UsageError) as refused:
            clock_of(clocks, key)
        assert "gdpr.request" in refused.value.hint
