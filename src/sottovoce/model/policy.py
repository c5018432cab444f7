"""The operator's policy: limits and lifetimes as named data with units. Settings fill it, the hall obeys it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sottovoce.errors import ConfigurationError
from sottovoce.model.features import SandboxLevel
from sottovoce.model.retention import RetentionPolicy

MAXIMUM_HOLD = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    discard_by_inline: timedelta = timedelta(minutes=15)
    discard_by_queued: timedelta = timedelta(hours=24)
    on_failure: Literal["shred", "hold"] = "shred"
    hold_ttl: timedelta = timedelta(days=7)
    max_attempts: int = 3
    retry_after: timedelta = timedelta(seconds=5)
    lease: timedelta = timedelta(seconds=120)  # longer than any extraction
    max_analysed_s: float = 30.0
    wall_limit_s: float = 60.0
    max_body_bytes: int = 1 << 30
    profile: str = "compat"
    sandbox: SandboxLevel = "rlimits"  # the least confinement that is accepted
    refuse_swap: bool = False
    embedding_model: str | None = None
    orphan_grace: timedelta = timedelta(hours=1)  # longer than any lease
    apply_within: timedelta = timedelta(days=7)  # a recipient has so long to do what its feed says
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)

    def __post_init__(self) -> None:
        if not timedelta(0) < self.hold_ttl <= MAXIMUM_HOLD:
            raise ConfigurationError("Audio may be held for a retry for at most 30 days.")
        if self.lease.total_seconds() <= self.wall_limit_s:
            raise ConfigurationError("The lease must outlast the wall-clock limit of an extraction.")
        if self.orphan_grace <= self.lease:
            raise ConfigurationError("The grace for orphans must outlast any lease.")

    def held_until(self, received_at: datetime, promised: datetime | None) -> datetime | None:
        """Until when audio that could not be analysed may be held: min(promise, policy now, 30 days), counted from
        when it was received, so that no retry and no longer policy extends it (M36). None: the policy holds nothing."""
        if self.on_failure != "hold":
            return None
        policy = received_at + min(self.hold_ttl, MAXIMUM_HOLD)
        return policy if promised is None else min(policy, promised)
