"""Tombstones: what must not come back by an old backup, as lines of a chained file that holds internal ids only.

    {"at":"2026-03-01T12:00:00.000000+00:00","kind":"subject_erased","number":7,"previous":"3f2a...",
     "request_id":"req_...","subject_id":"sub_...","tenant":"default"}

One canonical JSON line for each entry, with its number and the hash of the line before. Beside entries the file has
lines of signed heads, which cover all entries up to one.

Rules upheld here:
1. An entry holds ids that this home made itself, codes of our tables and times, and nothing else: no name, no text.
2. What is not exactly an entry (another field, another spelling, a wrong number or hash) is refused.
3. A grant, or a restriction that was lifted, has no entry: forgetting those is the safe side. A legal hold and its
   lifting have one, so that a restored home neither destroys what a law keeps nor keeps what is free again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sottovoce.errors import IntegrityError, SchemaNewer, SottovoceError, UsageError
from sottovoce.model.canonical import JsonValue, canonical_json
from sottovoce.model.ids import check_id

FORMAT = "sottovoce-tombstones/1"
GENESIS = bytes(32)  # what stands before the first entry
HEAD_PREFIX = b'{"head":'  # how a line of a signed head begins; entries begin with {"at":
_LABEL = b"sottovoce/tombstone/1\x00"
_LONGEST_WORD = 128
_LARGEST = 2**53 - 1
_NUMBERS = frozenset({"tree_size", "follows", "replaced"})
_HASHES = frozenset({"root", "model_sha256", "replaced_hash"})
_HEX = re.compile("[0-9a-f]{64}")
_KIND = re.compile("[a-z_]{1,64}")


class TombstoneKind(StrEnum):
    BEGUN = "begun"  # the first line: which home the file is of
    SUBJECT_ERASED = "subject_erased"
    SESSION_ERASED = "session_erased"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"
    RESTRICTED = "restricted"
    OBJECTED = "objected"
    HELD = "held"
    HOLD_LIFTED = "hold_lifted"
    ERASURE_WAITS = "erasure_waits"  # asked for while a legal hold stands
    RESTORED = "restored"  # from here on the home went on from a backup
    MODEL_REMOVED = "model_removed"  # a model of the home's own was taken out
    REBUILT = "rebuilt"  # the second line of a file that was written anew, because the one before was lost


_KINDS = frozenset(map(str, TombstoneKind))
_ERASURE = frozenset({"subject_id", "request_id"})
_NO = frozenset({"subject_id", "purpose", "occurred_at"})
_MARK = frozenset({"subject_id", "mark_id", "reason", "asked_by"})
REQUIRED: dict[TombstoneKind, frozenset[str]] = {
    TombstoneKind.BEGUN: frozenset({"home", "format"}),
    TombstoneKind.SUBJECT_ERASED: _ERASURE,
    TombstoneKind.SESSION_ERASED: _ERASURE | {"session_id"},
    TombstoneKind.WITHDRAWN: _NO,
    TombstoneKind.REFUSED: _NO,
    TombstoneKind.RESTRICTED: _MARK,
    TombstoneKind.OBJECTED: _MARK,
    TombstoneKind.HELD: _MARK,
    TombstoneKind.HOLD_LIFTED: frozenset({"subject_id", "mark_id"}),
    TombstoneKind.ERASURE_WAITS: _MARK | {"request_id"},
    TombstoneKind.RESTORED: frozenset({"backup", "tree_size", "root"}),
    TombstoneKind.MODEL_REMOVED: frozenset({"model_sha256"}),
    TombstoneKind.REBUILT: frozenset({"replaced", "replaced_hash"}),
}
OPTIONAL: dict[TombstoneKind, frozenset[str]] = {
    TombstoneKind.WITHDRAWN: frozenset({"event_id"}),
    TombstoneKind.REFUSED: frozenset({"event_id"}),
    TombstoneKind.RESTRICTED: frozenset({"session_id"}),
    TombstoneKind.OBJECTED: frozenset({"session_id", "purpose"}),
    TombstoneKind.HELD: frozenset({"session_id"}),
    TombstoneKind.ERASURE_WAITS: frozenset({"session_id"}),
    TombstoneKind.RESTORED: frozenset({"follows"}),
}
_IDS = {
    "subject_id": "subject", "session_id": "session", "request_id": "request", "event_id": "consent",
    "mark_id": "mark",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TombstoneHead:
    """How many entries there are, and the hash of the last: it covers all of them."""

    count: int = 0
    hash: bytes = GENESIS  # (32,)


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head with the note that the home signed of it (audit/tombstones.py)."""

    head: TombstoneHead
    note: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TombstoneEntry:
    """One entry. `number` and `hash` are given by the file; 0 and nothing before."""

    kind: TombstoneKind
    at: datetime  # aware
    tenant: str = "default"
    subject_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None  # of an erasure
    event_id: str | None = None  # of the consent ledger
    purpose: str | None = None  # an id of model.purpose
    occurred_at: datetime | None = None  # when the person said it
    mark_id: str | None = None
    reason: str | None = None  # a code of model.mark
    asked_by: str | None = None
    home: str | None = None  # the name of the file in signed heads; which home it is of
    format: str | None = None
    backup: str | None = None  # of a restore: the id of the backup,
    tree_size: int | None = None  # the size of its audit log,
    root: str | None = None  # its root, hex,
    follows: int | None = None  # and how many entries its database had followed; None: all before this one
    model_sha256: str | None = None  # hex, of a model file
    replaced: int | None = None  # of a rebuilding: how many entries of the lost file were followed,
    replaced_hash: str | None = None  # and the hash of the last of them, hex
    number: int = 0
    hash: bytes = b""

    @property
    def head(self) -> TombstoneHead:
        """The head of the file as it was when this was its last entry."""
        return TombstoneHead(self.number, self.hash)


_SAID = tuple(
    each.name
    for each in fields(TombstoneEntry)
    if each.name not in ("kind", "at", "tenant", "number", "hash")
)


def begun(home: str, at: datetime, *, tenant: str) -> TombstoneEntry:
    """The first entry of a file."""
    return TombstoneEntry(kind=TombstoneKind.BEGUN, at=at, tenant=tenant, home=home, format=FORMAT)


def encode(entry: TombstoneEntry, after: TombstoneHead) -> bytes:
    """The line of an entry that follows `after`, without its newline. UsageError where a field is missing, is too much
    or holds what no entry may hold."""
    said = _fields(entry)
    wanted = REQUIRED[entry.kind]
    if not wanted <= said.keys() or said.keys() - wanted - OPTIONAL.get(entry.kind, frozenset()):
        raise UsageError(f"An entry of kind {entry.kind} does not have these fields.", reason="tombstone")
    return canonical_json(
        {
            "at": _time(entry.at), "kind": str(entry.kind), "number": after.count + 1,
            "previous": after.hash.hex(), "tenant": _word(entry.tenant), **said,
        }
    )  # fmt: skip


def follow(line: bytes, after: TombstoneHead) -> TombstoneHead:
    """The head after one more line, by its number and the hash that it names; its words are not looked at.
    IntegrityError where the line does not follow."""
    number, previous = b'"number":%d,' % (after.count + 1), b'"previous":"%s"' % after.hash.hex().encode()
    if number not in line or previous not in line:
        raise damaged()
    return TombstoneHead(after.count + 1, hash_of(line))


def decode(line: bytes, after: TombstoneHead) -> TombstoneEntry:
    """The entry of a line that follows `after`. IntegrityError where it does not; SchemaNewer for a kind that this
    version does not know."""
    head = follow(line, after)
    try:
        data = json.loads(line)
        kind = data.pop("kind")
        if kind not in _KINDS and _KIND.fullmatch(kind):
            raise SchemaNewer("The tombstones were written by a newer version of sottovoce.")
        del data["number"], data["previous"]
        for name in {"at", "occurred_at"} & data.keys():
            data[name] = datetime.fromisoformat(data[name])
        entry = TombstoneEntry(kind=TombstoneKind(kind), number=head.count, hash=head.hash, **data)
        if encode(entry, after) != line:
            raise damaged()
    except SchemaNewer:
        raise
    except (SottovoceError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise damaged() from None
    return entry


def decode_alone(line: bytes) -> TombstoneEntry:
    """The entry of a line of a broken file, whatever stands before it: number and hash are what it claims.
    IntegrityError where the line is no entry; SchemaNewer."""
    try:
        said = json.loads(line)
        after = TombstoneHead(_number(said["number"]) - 1, bytes.fromhex(said["previous"]))
    except (SottovoceError, ValueError, TypeError, KeyError, RecursionError):
        raise damaged() from None
    return decode(line, after)


def head_after(entries: Iterable[TombstoneEntry]) -> TombstoneHead:
    """The head of a file that has these entries and no others."""
    head = TombstoneHead()
    for entry in entries:
        head = follow(encode(entry, head), head)
    return head


def hash_of(line: bytes) -> bytes:
    """SHA-256 of a line without its newline, under a label of its own."""
    return hashlib.sha256(_LABEL + line).digest()


def head_line(signed: SignedHead) -> bytes:
    """The line of a signed head, without its newline."""
    said: JsonValue = {"count": signed.head.count, "hash": signed.head.hash.hex(), "note": signed.note}
    return HEAD_PREFIX + canonical_json(said) + b"}"


def parse_head_line(line: bytes) -> SignedHead:
    """What the line of a signed head claims, unverified. IntegrityError where it is none."""
    try:
        said = json.loads(line)["head"]
        signed = SignedHead(TombstoneHead(_number(said["count"]), bytes.fromhex(said["hash"])), said["note"])
        if len(signed.head.hash) != len(GENESIS) or head_line(signed) != line:
            raise damaged()
    except (SottovoceError, ValueError, TypeError, KeyError, RecursionError):
        raise damaged() from None
    return signed


_LOST = "Where it is lost for good, `sottovoce tombstones rebuild` says what a new one costs."


def missing() -> IntegrityError:
    return IntegrityError(
        "The tombstones of this home are missing; without them what was erased could come back unseen.",
        hint=f"Bring back the file of tombstones (setting `tombstones`), or mount its disk. {_LOST}",
        reason="tombstones_missing",
    )


def cut() -> IntegrityError:
    return IntegrityError(
        "The tombstones of this home are older than its database, or were cut short.",
        hint=f"Bring back the newest copy of the file of tombstones (setting `tombstones`). {_LOST}",
        reason="tombstones_cut",
    )


def damaged() -> IntegrityError:
    return IntegrityError(
        "The tombstones of this home are not what was written, or are those of another home.",
        hint=f"Bring back the file of tombstones from a copy (setting `tombstones`); do not repair it by hand. {_LOST}",
        reason="tombstones_damaged",
    )


def rebuilt_since() -> IntegrityError:
    return IntegrityError(
        "The tombstones of this home were written anew after this backup was made: nothing says any more what must not "
        "come back by it, so it cannot be restored.",
        hint="Use a backup that was made after that, and destroy the older ones.",
        reason="tombstones_rebuilt",
    )


def _fields(entry: TombstoneEntry) -> dict[str, JsonValue]:
    """What is said beside kind, time and tenant."""
    values = ((name, getattr(entry, name)) for name in _SAID)
    return {name: _checked(name, value) for name, value in values if value is not None}


def _checked(name: str, value: Any) -> JsonValue:
    if name in _IDS:
        return check_id(value, _IDS[name])
    if isinstance(value, datetime):
        return _time(value)
    if name in _NUMBERS:
        return _number(value)
    if name in _HASHES and not _HEX.fullmatch(value):
        raise UsageError("A hash of a tombstone has 64 hex digits.", reason="tombstone")
    return _word(value)


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise UsageError("A number of a tombstone is whole, and below 2^53.", reason="tombstone")
    return value


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _word(value: str) -> str:
    """A code or a name of ours: short, printable, without spaces."""
    if not 0 < len(value) <= _LONGEST_WORD or not all("!" <= character <= "~" for character in value):
        raise UsageError("A tombstone holds ids and codes only.", reason="tombstone")
    return value
