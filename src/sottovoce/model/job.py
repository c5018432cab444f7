"""Work that has to happen later, written down in the transaction that made it necessary. Opaque ids only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

JobKind = Literal["extract", "discard", "erase"]


@dataclass(frozen=True, slots=True)
class Job:
    """At most one job per kind and reference; state and leases are those of what it refers to."""

    kind: JobKind
    ref: str  # session id or request id
    due_at: datetime
