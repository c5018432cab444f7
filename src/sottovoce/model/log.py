"""What stands beside the entries of the audit log: nodes of its tree, checkpoints, who has seen them, and archives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TreeNode:
    """The root of a complete subtree over the leaves number << level up to (number + 1) << level (RFC 6962)."""

    level: int  # 8, 16, 24, ...: what lies between is computed from at most 128 of these
    number: int
    hash: bytes  # (32,)


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint that this home signed. Never changed, never contradicted by a later one."""

    size: int  # entries that it covers
    at: datetime
    text: str  # C2SP signed note


@dataclass(frozen=True, slots=True)
class WitnessMark:
    """How far a witness has kept up."""

    witness: str
    size: int  # of the newest checkpoint that it has
    at: datetime  # when it got that one


@dataclass(frozen=True, slots=True)
class ArchivedLeaf:
    """What stays in the log of an entry whose contents went to an archive."""

    sequence: int
    leaf: bytes  # (32,)


@dataclass(frozen=True, slots=True)
class ArchiveCut:
    """Where the contents of an old part of the log were taken out."""

    size: int  # entries up to the cut, those of earlier archives included
    at: datetime
    until: datetime  # when the last of them was written
    text: str  # signed statement (audit/archive.py)


# One entry as a plain row, in the order of the fields of AuditEvent; the time in microseconds since 1970 (UTC).
EventRow = tuple[
    str, str, int, str, str, str, str | None, str | None, str, str | None, bytes | None, bytes, int | None, bytes | None
]  # fmt: skip
