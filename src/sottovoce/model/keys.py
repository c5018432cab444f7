"""Words of the key tree: KEK(n) of the provider > epoch key EK(n) > subject key > record key.

A key row is wrapped by the epoch key on the outside; keys of records and recordings are wrapped by their
subject's key of one class on the inside. Deleting the row erases what the key seals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

KEY_BYTES = 32

# One key per subject and class, made with the subject; no later write creates one.
SUBJECT_KEY_CLASSES = ("audio", "features", "insights", "evidence", "audit")

# subject: the subject's own key of a class. record: one sealed record. recording: one stored body.
# details: audit details of one subject and month. tenant: keys of the operator (blind index, identity, ...).
KeyKind = Literal["subject", "record", "recording", "details", "tenant"]


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One wrapped key of the key store."""

    key_id: str
    tenant: str
    kind: KeyKind
    key_class: str  # of SUBJECT_KEY_CLASSES, or "tenant"
    subject_id: str | None  # None for tenant keys
    epoch: int
    wrapped: bytes = field(repr=False)
    created_at: datetime  # aware UTC


@dataclass(frozen=True, slots=True)
class EpochRow:
    """One epoch of a key store: its number, its EK wrapped by the provider's KEK(n), and whether it is current."""

    epoch: int
    wrapped_ek: bytes = field(repr=False)
    current: bool
    created_at: datetime
