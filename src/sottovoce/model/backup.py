"""Backups in words: what a manifest says of one half, and what came of making, checking, restoring and trying one.

A backup has two halves that are kept apart: `data` (the database: ciphertext, ids, states) and `keys` (the key store
alone). Each half is a folder with a signed manifest. Neither holds a KEK, a key of audio, audio, or the tombstones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sottovoce.errors import IntegrityError, SchemaNewer
from sottovoce.model.canonical import JsonValue

FORMAT = 1  # of the manifest
MANIFEST_NAME = "manifest.json"
IDENTITY_NAME = "identity.json"
DATABASE_NAME = "sottovoce.db"
KEY_STORE_NAME = "keys.db"

_HEX = re.compile(r"[0-9a-f]{64}")
_FIELDS = frozenset(
    {
        "format", "half", "pair", "home", "tenant", "schema", "created_at", "files", "epoch", "log", "tombstones",
        "worthless_after",
    }
)  # fmt: skip


class Half(StrEnum):
    DATA = "data"
    KEYS = "keys"


CONTENTS: dict[Half, frozenset[str]] = {
    Half.DATA: frozenset({DATABASE_NAME, IDENTITY_NAME}),
    Half.KEYS: frozenset({KEY_STORE_NAME, IDENTITY_NAME}),
}


@dataclass(frozen=True, slots=True)
class BackupFile:
    """One file of a half."""

    name: str
    size_bytes: int
    sha256: str  # 64 hex characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the home signed of one half of a backup."""

    half: Half
    pair: str  # the id that both halves carry
    home: str  # the name of the home's audit log, which never changes
    tenant: str
    schema: str  # version of the database, or of the key store
    created_at: datetime  # aware
    files: tuple[BackupFile, ...]
    epoch: int  # of the keys, when it was made
    log_size: int  # entries of the audit log, as signed just before
    log_root: str  # hex
    tombstones: int  # entries of the file of tombstones by then
    tombstones_hash: str  # hex
    worthless_after: str  # when the half with the keys opens nothing any more: a date, or plain words

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def file(self, name: str) -> BackupFile:
        return next(file for file in self.files if file.name == name)

    def to_body(self) -> dict[str, JsonValue]:
        """The body of the signed receipt of kind `backup`."""
        return {
            "format": FORMAT,
            "half": str(self.half),
            "pair": self.pair,
            "home": self.home,
            "tenant": self.tenant,
            "schema": self.schema,
            "created_at": self.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
            "files": [{"name": f.name, "size_bytes": f.size_bytes, "sha256": f.sha256} for f in self.files],
            "epoch": self.epoch,
            "log": {"size": self.log_size, "root": self.log_root},
            "tombstones": {"count": self.tombstones, "hash": self.tombstones_hash},
            "worthless_after": self.worthless_after,
        }


def manifest_of(body: Mapping[str, Any]) -> Manifest:
    """The manifest in the body of a receipt. SchemaNewer for a later format; IntegrityError (reason
    `manifest_malformed`) where it is not exactly one."""
    try:
        if _count(body["format"]) > FORMAT:
            raise SchemaNewer("The backup was made by a newer version of sottovoce.")
        if body.keys() - {"checkpoint"} != _FIELDS or body["format"] != FORMAT:
            raise malformed()
        half = Half(body["half"])
        files = tuple(
            BackupFile(_text(f["name"]), _count(f["size_bytes"]), _hex(f["sha256"])) for f in body["files"]
        )
        if len(files) != len(CONTENTS[half]) or {file.name for file in files} != CONTENTS[half]:
            raise malformed()
        created_at = datetime.fromisoformat(_text(body["created_at"]))
        if created_at.tzinfo is None:
            raise malformed()
        return Manifest(
            half=half, pair=_text(body["pair"]), home=_text(body["home"]), tenant=_text(body["tenant"]),
            schema=_text(body["schema"]), created_at=created_at, files=files, epoch=_count(body["epoch"]),
            log_size=_count(body["log"]["size"]), log_root=_hex(body["log"]["root"]),
            tombstones=_count(body["tombstones"]["count"]), tombstones_hash=_hex(body["tombstones"]["hash"]),
            worthless_after=_text(body["worthless_after"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError):
        raise malformed() from None


def malformed() -> IntegrityError:
    return IntegrityError(
        "This is not the manifest of a backup of sottovoce.",
        hint="Name the folder of one backup, or of several, as `backup create` made it.",
        reason="manifest_malformed",
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise malformed()
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise malformed()
    return value


def _hex(value: Any) -> str:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise malformed()
    return value


# --- outcomes ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MadeBackup:
    """The answer of `backup create`."""

    data: Manifest
    keys: Manifest
    data_name: str  # of the new sub-folders
    keys_name: str
    took: timedelta


@dataclass(frozen=True, slots=True)
class ListedBackup:
    """One sub-folder as its manifest describes it; `problem` is a code where it cannot be read. Nothing is verified."""

    name: str
    manifest: Manifest | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class VerifiedBackup:
    """One half that is what the home signed."""

    name: str
    manifest: Manifest
    # of the half with the keys; None of the other, and where no home is at hand to ask
    epoch_alive: bool | None


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """From where a home went on after a restore, as its tombstones say it."""

    backup: str
    size: int  # entries of the audit log that were there
    root: bytes = field(repr=False)
    at: datetime
    signed: bool  # a signed head of the tombstones covers it
    number: int  # of its entry among the tombstones
    follows: int  # entries the database of the backup had followed: restores among them are its ancestors


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What was put in order after the copy, before anything is served."""

    lost_people: int = 0  # rows of people whose keys the half with the keys does not have
    lost_records: int = 0
    in_flight: int = 0  # recordings that end as FAILED_SHREDDED: their audio keys were in no backup
    keys_collected: int = 0  # keys that the half with the data has nothing for
    recipients_ended: int = 0  # recipients whose keys the half with the keys does not have


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """The answer of `backup restore`."""

    pair: str  # of the half with the data
    data_at: datetime  # what happened after this is lost
    keys_at: datetime
    restored_at: datetime
    log_size: int  # entries of the audit log in the backup
    replayed: int  # entries of the tombstones that the backup did not know
    settled: Settled
    erasures: int  # carried out again
    expired: int  # records past their date
    findings: tuple[str, ...] = ()  # codes of what fsck still finds
    replaced: bool = False  # a home in use was put in the place of
    people: int = 0
    records: int = 0
    feeds: int = 0  # of recipients who are told: each may have come further than the backup


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """The answer of `backup drill`."""

    pair: str
    data_at: datetime
    records: int  # there are
    sampled: int
    opened: int
    log_intact: bool
    findings: tuple[str, ...]
    replayed: int
    took: timedelta

    @property
    def sound(self) -> bool:
        return self.opened == self.sampled and self.log_intact and not self.findings
