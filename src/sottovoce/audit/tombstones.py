"""Signed heads of the file of tombstones, as notes in the manner of C2SP signed-note.

    sottovoce.tombstones/3f2a...       which home the file is of
    17                                 entries that are covered
    CsUYapGGPo4dkMgIAUqom/Xaj...       hash of the last of them (model/tombstones.py)
    chain                              a chain, and no tree: this is no checkpoint of an audit log

    — sottovoce.tombstones/3f2a... Az3g...

Whoever keeps such a note outside the home sees when the file was cut short or written anew.

Rules upheld here:
1. A note counts only with a signature by a key that was pinned before; one by such a key that does not fit spoils it.
2. A note of the audit log is never taken for one of tombstones, nor the other way round: their names and the number of
   their lines differ.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC

from sottovoce.audit import checkpoint
from sottovoce.audit.checkpoint import TOMBSTONES
from sottovoce.errors import IntegrityError
from sottovoce.model.tombstones import SignedHead, TombstoneEntry, TombstoneHead

_REBUILT = b"sottovoce/tombstones-rebuilt/1\x00"
_TEXT = re.compile(r"(sottovoce\.tombstones/[0-9a-f]{32})\n([1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\nchain\n")


def name_of(origin: str) -> str:
    """The name of the file of tombstones of a home, from the origin of its audit log."""
    return TOMBSTONES + origin.rpartition("/")[2]


def name_after_rebuilding(name: str, rebuilt: TombstoneEntry) -> str:
    """The name of a file that was written anew, from the name of its home and the entry that says so: heads that were
    signed before are of another file, whoever keeps them."""
    said = (
        f"{name}\n{rebuilt.replaced_hash}\n{rebuilt.at.astimezone(UTC).isoformat(timespec='microseconds')}\n"
    )
    return TOMBSTONES + hashlib.sha256(_REBUILT + said.encode()).hexdigest()[:32]


def sign(
    head: TombstoneHead, *, name: str, public_key: bytes, sign_bytes: Callable[[bytes], bytes]
) -> SignedHead:
    """`sign_bytes`: Ed25519 by the key whose public half (32 bytes) is given."""
    text = f"{name}\n{head.count}\n{base64.b64encode(head.hash).decode()}\nchain\n"
    note = checkpoint.sign_note(text, name=name, public_key=public_key, sign_bytes=sign_bytes)
    return SignedHead(head, note)


def verify(note: str, *, name: str, trusted: Iterable[bytes]) -> TombstoneHead:
    """The head that a note is about, checked against pinned keys (32 bytes each). UnknownSigner where none of them
    signed it; IntegrityError where it is not of the format, was altered, or (reason `other_tombstones`) is of another
    home."""
    said = _TEXT.match(note)
    if said is None:
        raise IntegrityError("This is not a signed head of tombstones.", reason="tombstones_malformed")
    if said[1] != name:
        raise IntegrityError(
            "This signed head is of the tombstones of another home.",
            hint="Each home has a file of its own.",
            reason="other_tombstones",
        )
    body = checkpoint.verify_note(note, name=name, trusted=trusted)
    if body != said[0]:
        raise IntegrityError("This is not a signed head of tombstones.", reason="tombstones_malformed")
    return TombstoneHead(int(said[2]), base64.b64decode(said[3]))


def find_notes(text: str) -> Iterator[str]:
    """Every signed head in a text that may hold many, and other things: the file of a witness, or lines of a log.
    Unverified."""
    for found in checkpoint.find_lines(text):
        if found.startswith(TOMBSTONES):
            yield found
    for note in re.finditer(_TEXT.pattern + r"\n(?:— [^\n]+\n)+", text):
        yield note[0]
