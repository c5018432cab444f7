"""A person's request to be erased, as the promise that survives a kill."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ErasureRequest:
    """Holds internal ids only; stays, with its receipt, as the proof that the erasure took place."""

    id: str
    tenant: str
    subject_id: str
    session_id: str | None  # None: the whole subject
    pseudonym: str  # of the subject in the audit log, taken while the audit key still lived
    requested_at: datetime
    completed_at: datetime | None = None
    receipt: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The mark that an erasure leaves: an internal id that must not come back."""

    id: str  # of the subject or session
    tenant: str
    request_id: str
    at: datetime
