"""Times as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from sottovoce.model.times import iso_s, iso_us, words_of

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=ZONES)  # noqa: DTZ001


@given(TIMES)
def test_the_text_is_in_utc_and_gives_the_time_again(at: datetime) -> None:
    for text, unit in ((iso_us(at), timedelta(microseconds=1)), (iso_s(at), timedelta(seconds=1))):
        again = datetime.fromisoformat(text)
        assert text.endswith("+00:00")
        assert again.utcoffset() == timedelta(0)
        assert timedelta(0) <= at - again < unit


@given(TIMES)
def test_the_words_for_people_name_the_same_second_of_utc(at: datetime) -> None:
    assert words_of(at) == iso_s(at).replace("T", " ").replace("+00:00", " UTC")


def test_no_time_is_no_text_and_the_length_is_always_the_same() -> None:
    assert (iso_s(None), iso_us(None)) == (None, None)
    whole = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (iso_s(whole), iso_us(whole)) == ("2026-03-01T12:00:00+00:00", "2026-03-01T12:00:00.000000+00:00")
