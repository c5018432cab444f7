"""One entry of the audit log, pseudonymous: in clear only what happened, when, by which way, for which purpose."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sottovoce.model.canonical import JsonValue

EVENT_FORMAT = 1


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Immutable once written. `leaf` hashes everything above it; number and link come from the sequencer."""

    id: str
    tenant: str
    at: datetime
    kind: str  # "recording.received", "record.read", "consent.withdraw", ...
    actor: str
    channel: str
    pseudonym: str | None  # of the subject, under the subject's own audit key; None: concerns nobody
    purpose: str | None
    outcome: str  # "ok" or an error code
    details_key_id: str | None  # row of the key store that opens `details`
    details: bytes | None = field(repr=False)  # sealed JSON
    leaf: bytes = b""  # RFC 6962 leaf hash of to_canonical()
    sequence: int | None = None
    link: bytes | None = None  # chain link over the previous one

    def to_canonical(self) -> dict[str, JsonValue]:
        """What the leaf hash covers: every field but leaf, sequence and link (ciphertext for the details)."""
        return {
            "format": EVENT_FORMAT,
            "id": self.id,
            "tenant": self.tenant,
            "at": self.at.isoformat(timespec="microseconds"),
            "kind": self.kind,
            "actor": self.actor,
            "channel": self.channel,
            "pseudonym": self.pseudonym,
            "purpose": self.purpose,
            "outcome": self.outcome,
            "details_key_id": self.details_key_id,
            "details": None if self.details is None else self.details.hex(),
        }
