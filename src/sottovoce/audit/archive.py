"""An old part of the log in a file of its own: its entries, and a signed statement of where it was cut off.

    sottovoce.audit-archive@v1
    c290dG92b2NlLmF1ZGl0...         the statement in base64: a signed note
    {"actor":"operator",...}        one entry on each line, in canonical form and in order; nothing after the last

The statement says what the log was before the part and after it: number of entries, chain link, and the roots of the
complete subtrees of the tree (RFC 6962); and it carries the signed checkpoint over everything up to the cut.

Rules upheld here:
1. The statement fixes every entry: links and tree are computed from the entries, and have to lead from where the part
   begins to where it ends. One byte more, less or changed is found.
2. It counts with a signature by a key that was pinned before, under the name of the log, and so does its checkpoint.
3. A statement is no checkpoint and no checkpoint a statement: the second line of the one is a word, of the other a
   number.
4. An archive holds what the log held: pseudonyms and sealed details. Destroying a key closes them in every copy.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sottovoce.audit import checkpoint
from sottovoce.audit.chain import GENESIS, chain_link, leaf_of
from sottovoce.audit.checkpoint import Checkpoint
from sottovoce.audit.rows import canonical_row
from sottovoce.audit.tree import Frontier
from sottovoce.errors import IntegrityError, UsageError
from sottovoce.model.canonical import JsonValue, canonical_json
from sottovoce.model.log import EventRow

HEADER = b"sottovoce.audit-archive@v1"
MAXIMUM_LINE_BYTES = 1 << 20
_WORD = "archive"
_FORMAT = 1
_PAGE = 512

Leaves = Callable[[int, int], Sequence[bytes]]
"""(start, end) -> the leaf hashes of the entries numbered start + 1 to end, as the log has them."""


@dataclass(frozen=True, slots=True)
class Place:
    """The log after so many entries."""

    size: int = 0
    link: bytes = GENESIS  # (32,) the chain link of the last of them
    nodes: tuple[bytes, ...] = ()  # (32,) each: the frontier of the tree over them

    def root(self) -> bytes:
        """(32,) of the tree over these entries."""
        return Frontier(self.size, self.nodes).root()

    def after(self, leaves: Iterable[bytes]) -> Place:
        """The log some entries further on."""
        frontier, link = Frontier(self.size, self.nodes), self.link
        for leaf in leaves:
            link = chain_link(link, leaf)
            frontier.extend([leaf])
        return Place(frontier.size, link, frontier.nodes)


@dataclass(frozen=True, slots=True)
class Cut:
    """Which part of the log an archive holds."""

    origin: str
    start: Place
    end: Place
    checkpoint: str  # signed text: the log at `end`

    def to_text(self) -> str:
        """The note text, which is what is signed."""
        said: dict[str, JsonValue] = {
            "format": _FORMAT,
            "start": _place_to_json(self.start),
            "end": _place_to_json(self.end),
            "checkpoint": self.checkpoint,
        }
        return f"{self.origin}\n{_WORD}\n{canonical_json(said).decode()}\n"


@dataclass(frozen=True, slots=True)
class Archive:
    """What a verified archive holds."""

    cut: Cut
    first_at: datetime | None
    last_at: datetime | None


def sign_cut(
    origin: str, start: Place, end: Place, *, public_key: bytes, sign_bytes: Callable[[bytes], bytes]
) -> str:
    """The signed statement, with a checkpoint of the log at its end."""
    signed = checkpoint.sign(
        Checkpoint(origin, end.size, end.root()), public_key=public_key, sign_bytes=sign_bytes
    )
    text = Cut(origin, start, end, signed).to_text()
    return checkpoint.sign_note(text, name=origin, public_key=public_key, sign_bytes=sign_bytes)


def verify_cut(text: str, *, origin: str, trusted: Iterable[bytes]) -> Cut:
    """What a signed statement says, checked against pinned keys (32 bytes each). UnknownSigner, IntegrityError."""
    keys = tuple(trusted)
    cut = _parse_cut(checkpoint.verify_note(text, name=origin, trusted=keys), origin)
    said = checkpoint.verify(cut.checkpoint, origin=origin, trusted=keys)
    if (said.size, said.root) != (cut.end.size, cut.end.root()):
        raise _malformed()
    return cut


def archive_lines(statement: str, pages: Iterable[Sequence[EventRow]]) -> Iterator[bytes]:
    """The lines of an archive, each with its newline."""
    yield HEADER + b"\n"
    yield base64.b64encode(statement.encode()) + b"\n"
    for page in pages:
        for row in page:
            yield canonical_row(row) + b"\n"


def verify_archive(
    lines: Iterable[bytes], *, origin: str, trusted: Iterable[bytes], log: Leaves | None = None
) -> Archive:
    """Check an archive line by line (each with its newline). `log`: where the log is at hand, its leaf hashes are
    compared, and the first entry that differs is named.

    UnknownSigner; IntegrityError with reason `archive_damaged` or `archive_malformed`.
    """
    reader = iter(lines)
    cut = _read_head(reader, origin=origin, trusted=trusted)
    place = cut.start
    first, last = b"", b""
    while page := list(islice(reader, _PAGE)):
        leaves = [leaf_of(_without_newline(line)) for line in page]
        if log is not None:
            _compare(place.size, leaves, log(place.size, place.size + len(leaves)))
        if place.size + len(leaves) > cut.end.size:
            raise _damaged("there are entries after its last one")
        first, last = first or page[0], page[-1]
        place = place.after(leaves)
    if place.size < cut.end.size:
        raise _damaged(f"entries {place.size + 1} to {cut.end.size} are missing")
    if place != cut.end:
        raise _damaged("what it holds is not what was signed")
    return Archive(cut, _time_of(first), _time_of(last))


def _read_head(lines: Iterator[bytes], *, origin: str, trusted: Iterable[bytes]) -> Cut:
    if next(lines, b"") != HEADER + b"\n":
        raise _malformed()
    encoded = _without_newline(next(lines, b""))
    try:
        statement = base64.b64decode(encoded, validate=True)
        text = statement.decode()
    except (binascii.Error, ValueError):
        raise _malformed() from None
    if base64.b64encode(statement) != encoded:
        raise _malformed()
    return verify_cut(text, origin=origin, trusted=trusted)


def _compare(before: int, leaves: Sequence[bytes], stored: Sequence[bytes]) -> None:
    for number, (leaf, wanted) in enumerate(zip(leaves, stored, strict=False), start=before + 1):
        if leaf != wanted:
            raise _damaged(f"entry {number} is not the one that the log has")


def _without_newline(line: bytes) -> bytes:
    if not line.endswith(b"\n") or len(line) > MAXIMUM_LINE_BYTES:
        raise _damaged("its last line is cut off")
    return line[:-1]


def _parse_cut(body: str, origin: str) -> Cut:
    """The statement in its one spelling."""
    lines = body.split("\n")
    if len(lines) != 4 or lines[0] != origin or lines[1] != _WORD or lines[3]:
        raise _malformed()
    try:
        said = json.loads(lines[2])
        cut = Cut(origin, _place_of(said["start"]), _place_of(said["end"]), said["checkpoint"])
        same = isinstance(cut.checkpoint, str) and cut.to_text() == body
    except (ValueError, KeyError, TypeError, RecursionError, UsageError):
        raise _malformed() from None
    if not same or not cut.start.size < cut.end.size:
        raise _malformed()
    return cut


def _place_to_json(place: Place) -> dict[str, JsonValue]:
    return {"size": place.size, "link": place.link.hex(), "nodes": [node.hex() for node in place.nodes]}


def _place_of(said: dict[str, object]) -> Place:
    size, link, nodes = said["size"], said["link"], said["nodes"]
    if type(size) is not int or size < 0 or not isinstance(link, str) or not isinstance(nodes, list):
        raise ValueError("no place in a log")
    place = Place(size, bytes.fromhex(link), tuple(bytes.fromhex(node) for node in nodes))
    if {len(place.link), *map(len, place.nodes)} != {32} or len(place.nodes) != size.bit_count():
        raise ValueError("no place in a log")
    return place


def _time_of(line: bytes) -> datetime | None:
    """When an entry was written. The line has been verified, so it is an entry as we write it."""
    return datetime.fromisoformat(json.loads(line)["at"]) if line else None


def _damaged(what: str) -> IntegrityError:
    return IntegrityError(
        f"This archive is not what was written: {what}.",
        hint="Take another copy of it; what is in the log itself is not touched by this.",
        reason="archive_damaged",
    )


def _malformed() -> IntegrityError:
    return IntegrityError("This is not an archive of an audit log.", reason="archive_malformed")
