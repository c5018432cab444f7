"""Backups in words: what a manifest says of one half, and what came of making, checking, restoring and trying one.

A backup has two halves that are kept apart: `data` (the database: ciphertext, ids, states; the home's own model files
with their cards) and `keys` (the key store alone). Each half is a folder with a signed manifest. Neither holds a KEK, a
key of audio, the private half of a recipient key, audio, or the tombstones.

Manifests of format 1 are of a time when model files were in no half; they are read, and say nothing of models.
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

FORMAT = 2  # of the manifest
_WITHOUT_MODELS = 1  # the format before
MANIFEST_NAME = "manifest.json"
IDENTITY_NAME = "identity.json"
DATABASE_NAME = "sottovoce.db"
KEY_STORE_NAME = "keys.db"

MODEL_SUFFIX, CARD_SUFFIX, SIGNER_SUFFIX = ".tflite", ".card.json", ".signer.json"
_MODEL_NAME = re.compile(r"([0-9a-f]{64})(\.tflite|\.card\.json|\.signer\.json)")
_HEX = re.compile(r"[0-9a-f]{64}")
_FIELDS = frozenset(
    {
        "format", "half", "pair", "home", "tenant", "schema", "created_at", "files", "epoch", "log", "tombstones",
        "worthless_after",
    }
)  # fmt: skip
_FIELDS_OF = {_WITHOUT_MODELS: _FIELDS, FORMAT: _FIELDS | {"left_out"}}


class Half(StrEnum):
    DATA = "data"
    KEYS = "keys"


# Files of every backup. The half with the data has those of model files as well, where the home has some.
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
    format: int = FORMAT
    # private halves of recipient keys that the home had, and that are in neither half; None: the manifest does not say
    recipient_keys: int | None = 0

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    @property
    def models(self) -> tuple[str, ...] | None:
        """Hashes of the home's own models in this half, in order; None where this half, or its format, has none."""
        if self.half is not Half.DATA or self.format == _WITHOUT_MODELS:
            return None
        names = sorted(file.name for file in self.files if is_of_model(file.name))
        return tuple(name.removesuffix(MODEL_SUFFIX) for name in names if name.endswith(MODEL_SUFFIX))

    def file(self, name: str) -> BackupFile:
        return next(file for file in self.files if file.name == name)

    def to_body(self) -> dict[str, JsonValue]:
        """The body of the signed receipt of kind `backup`."""
        body: dict[str, JsonValue] = {
            "format": self.format,
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
        if self.format != _WITHOUT_MODELS:
            body["left_out"] = {"recipient_keys": self.recipient_keys}
        return body


def manifest_of(body: Mapping[str, Any]) -> Manifest:
    """The manifest in the body of a receipt. SchemaNewer for a later format; IntegrityError (reason
    `manifest_malformed`) where it is not exactly one."""
    try:
        if _count(body["format"]) > FORMAT:
            raise SchemaNewer("The backup was made by a newer version of sottovoce.")
        said = _count(body["format"])
        if body.keys() - {"checkpoint"} != _FIELDS_OF[said]:
            raise malformed()
        half = Half(body["half"])
        files = tuple(
            BackupFile(_text(f["name"]), _count(f["size_bytes"]), _hex(f["sha256"])) for f in body["files"]
        )
        _check_contents(files, half, models=half is Half.DATA and said != _WITHOUT_MODELS)
        created_at = datetime.fromisoformat(_text(body["created_at"]))
        if created_at.tzinfo is None:
            raise malformed()
        return Manifest(
            half=half, pair=_text(body["pair"]), home=_text(body["home"]), tenant=_text(body["tenant"]),
            schema=_text(body["schema"]), created_at=created_at, files=files, epoch=_count(body["epoch"]),
            log_size=_count(body["log"]["size"]), log_root=_hex(body["log"]["root"]),
            tombstones=_count(body["tombstones"]["count"]), tombstones_hash=_hex(body["tombstones"]["hash"]),
            worthless_after=_text(body["worthless_after"]), format=said,
            recipient_keys=None if said == _WITHOUT_MODELS else _left_out(body["left_out"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError):
        raise malformed() from None


def is_of_model(name: str) -> bool:
    """Whether a file of a half is a model, its card or the identity that was pinned with it."""
    return _MODEL_NAME.fullmatch(name) is not None


def malformed() -> IntegrityError:
    return IntegrityError(
        "This is not the manifest of a backup of sottovoce.",
        hint="Name the folder of one backup, or of several, as `backup create` made it.",
        reason="manifest_malformed",
    )


def _check_contents(files: tuple[BackupFile, ...], half: Half, *, models: bool) -> None:
    """What every backup has, each once; beside it only whole models, where there may be any: a file whose content is
    of the hash that names it, its card, and with or without its signer."""
    hashes = {file.name: file.sha256 for file in files}
    if len(hashes) != len(files) or not CONTENTS[half] <= hashes.keys():
        raise malformed()
    parts: dict[str, set[str]] = {}
    for name in hashes.keys() - CONTENTS[half]:
        found = _MODEL_NAME.fullmatch(name) if models else None
        if found is None:
            raise malformed()
        parts.setdefault(found[1], set()).add(found[2])
    for sha256, suffixes in parts.items():
        if not suffixes >= {MODEL_SUFFIX, CARD_SUFFIX} or hashes[sha256 + MODEL_SUFFIX] != sha256:
            raise malformed()


def _left_out(value: Any) -> int:
    if value.keys() != {"recipient_keys"}:
        raise malformed()
    return _count(value["recipient_keys"])


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
    models: tuple[str, ...] | None = ()  # the home's own that came back; None: the backup is older than that
    models_removed: int = 0  # in the backup, taken out since: they do not come back
    recipient_keys: int | None = 0  # that the home had and are in no backup; None: the backup does not say


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
    models: tuple[str, ...] | None = ()  # as of RestoreReport
    models_refused: tuple[str, ...] = ()  # codes of those that do not verify with their cards
    # verdict of one decision of such a model, computed once more; None: there is none to compute
    decision: str | None = None
    recipient_keys: int | None = 0

    @property
    def sound(self) -> bool:
        everything = self.opened == self.sampled and not self.models_refused
        return everything and self.decision in (None, "same") and self.log_intact and not self.findings
