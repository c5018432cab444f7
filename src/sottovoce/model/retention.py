"""When something kept has to go: the earlier of the promise made at insert and the policy of now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_DEFAULT_DAYS = {"features": 30, "insight": 30, "embedding": 30, "decision": 30}


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Days that each kind of record is kept; a person may shorten, nobody may lengthen a promise."""

    days: Mapping[str, int] = field(default_factory=lambda: dict(_DEFAULT_DAYS))

    def promise(self, kind: str, created_at: datetime) -> datetime:
        """The expiry to write beside a new record."""
        return created_at + timedelta(days=self.days[kind])

    def due(self, kind: str, created_at: datetime, promised: datetime) -> datetime:
        """due = min(promise at insert, policy now): a longer policy never extends a promise (C10a, X11)."""
        return min(promised, self.promise(kind, created_at))
