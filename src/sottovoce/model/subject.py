"""The data subject: the person whose voice it is, known inside only by a random id."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class SubjectState(StrEnum):
    ACTIVE = "active"
    ERASING = "erasing"  # the promise to erase is committed; nothing but the erasure may touch the subject


@dataclass(frozen=True, slots=True)
class Subject:
    id: str
    tenant: str
    blind_index: str = field(repr=False)  # HMAC of the operator's own id, under a tenant key
    sealed_name: bytes = field(repr=False)  # the operator's own id, sealed under the subject's evidence key
    state: SubjectState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks and by which way: at the command line the operator, in the library the embedding program."""

    actor: str = "operator"
    channel: str = "library"  # "operator-cli", "library", "worker", "sweeper", ...
