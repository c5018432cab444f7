"""Clocks of laws as data: what `data/deadlines.toml` says, and the arithmetic of due dates.

No number of a law stands here. Due dates are computed when they are asked for, in UTC; months and years are calendar
ones, and where the target month is shorter its last day counts.
"""

from __future__ import annotations

import tomllib
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sottovoce.errors import ConfigurationError, UsageError

UNITS = ("hours", "days", "months", "years", "none")
STATUSES = ("in_force", "reported", "proposed")
_MONTHS_A_YEAR = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """One clock."""

    key: str  # "gdpr.request"
    law: str
    article: str
    starts: str
    limit: int
    unit: str
    extension: int  # in the same unit; 0: none
    condition: str
    status: str
    checked_on: date | None  # None: nobody has compared the entry with the text of the law
    source: str

    def due(self, started_at: datetime, *, extended: bool = False) -> datetime | None:
        """When the time is over; None for a clock without a number."""
        if self.unit == "none":
            return None
        return later(started_at, self.limit + (self.extension if extended else 0), self.unit)

    def is_stale(self, on: date, *, age: timedelta) -> bool:
        """Whether the entry was never checked, or longer ago than `age`."""
        return self.checked_on is None or on - self.checked_on > age


def later(at: datetime, count: int, unit: str) -> datetime:
    """`at` and so many units, in UTC."""
    at = at.astimezone(UTC)
    if unit in ("hours", "days"):
        return at + timedelta(**{unit: count})
    months = count * (_MONTHS_A_YEAR if unit == "years" else 1)
    year, month = divmod(at.year * _MONTHS_A_YEAR + at.month - 1 + months, _MONTHS_A_YEAR)
    return at.replace(year=year, month=month + 1, day=min(at.day, monthrange(year, month + 1)[1]))


def parse_deadlines(text: str) -> dict[str, Deadline]:
    """Key -> clock. ConfigurationError naming the entry that is not of the form."""
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        raise ConfigurationError("The deadlines cannot be read as TOML.", reason="deadlines") from None
    found = {}
    for law, entries in content.items():
        for name, entry in entries.items():
            key = f"{law}.{name}"
            found[key] = _deadline(key, entry)
    return found


def clock_of(deadlines: Mapping[str, Deadline], key: str) -> Deadline:
    """The clock of a request; UsageError where there is none of that key that begins with its receipt."""
    found = deadlines.get(key)
    if found is None or found.starts != "receipt" or found.unit == "none":
        fit = ", ".join(one.key for one in deadlines.values() if one.starts == "receipt")
        raise UsageError(
            f"There is no clock {key!r} for requests.", hint=f"Clocks are: {fit}", reason="law_unknown"
        )
    return found


def _deadline(key: str, entry: Any) -> Deadline:
    wanted = {one.name for one in fields(Deadline)} - {"key"}
    try:
        checked = entry["checked_on"]
        deadline = Deadline(
            key=key, **{**entry, "checked_on": date.fromisoformat(checked) if checked else None}
        )
        whole = all(type(number) is int and number >= 0 for number in (deadline.limit, deadline.extension))
        if set(entry) != wanted or not whole or deadline.unit not in UNITS or deadline.status not in STATUSES:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(f"The deadline {key} is not of the form.", reason="deadlines") from None
    return deadline
