"""Times as text, the same everywhere: ISO 8601 in UTC, to the second for receipts and other programs, to the
microsecond where the text has to give the same time again; and, for people to read, without the letter in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def iso_s(at: datetime) -> str: ...
@overload
def iso_s(at: datetime | None) -> str | None: ...
def iso_s(at: datetime | None) -> str | None:
    """To the second, cut off; None stays None."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


def words_of(at: datetime) -> str:
    """For people, to the second, cut off: 2026-03-01 12:00:00 UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@overload
def iso_us(at: datetime) -> str: ...
@overload
def iso_us(at: datetime | None) -> str | None: ...
def iso_us(at: datetime | None) -> str | None:
    """To the microsecond, always with six digits; None stays None."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")
