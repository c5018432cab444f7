"""Leases: who works on a recording, and until when nobody else does.

A lease runs out by the clock of the database; of a holder that is known to have ended it ends at once, so that an
embedded home takes over from a killed process without waiting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sottovoce.model.recording import Recording
from sottovoce.ports import Liveness


@dataclass(frozen=True, kw_only=True)
class Leases:
    liveness: Liveness
    length: timedelta  # longer than any extraction

    def taken(self, recording: Recording, now: datetime) -> Recording:
        """The same recording, held by this process; it is held when the swap of it is committed."""
        return replace(recording, lease_owner=self.liveness.owner(), lease_until=now + self.length)

    def ended(self, recording: Recording, now: datetime) -> bool:
        """Whether nobody works on a recording: its lease has run out, or its holder is known to have ended."""
        if recording.lease_owner is None or recording.lease_until is None:
            return True
        return recording.lease_until <= now or not self.liveness.alive(recording.lease_owner)


def released(recording: Recording) -> Recording:
    """The same recording, held by nobody."""
    return replace(recording, lease_owner=None, lease_until=None)
