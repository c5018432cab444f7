"""What is kept of a recording: sealed records, and the decision log beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

RecordKind = Literal["features", "insight", "embedding"]
RECORD_KEY_CLASS: dict[str, str] = {"features": "features", "insight": "insights", "embedding": "features"}


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """Ciphertext with what is needed to find, open and expire it. Unique per session, kind and version."""

    id: str  # also the id of its key row
    tenant: str
    subject_id: str
    session_id: str
    kind: RecordKind
    profile: str
    version: str
    body: bytes = field(repr=False)
    created_at: datetime
    expires_at: datetime  # the promise made at insert


@dataclass(frozen=True, slots=True)
class DueRecord:
    """A record or decision that has to go, and whose it is."""

    id: str
    subject_id: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Which model or rule said something of a recording: its hash in clear, what it saw and said sealed (M87)."""

    id: str
    tenant: str
    subject_id: str
    session_id: str
    purpose: str
    model: str
    model_sha256: str
    body: bytes = field(repr=False)  # sealed: feature hash and output
    at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredReceipt:
    """A signed receipt as it was handed out."""

    id: str
    tenant: str
    subject_id: str
    session_id: str | None
    kind: str
    text: str = field(repr=False)
    at: datetime
