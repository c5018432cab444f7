"""Identifiers: random, opaque, prefixed by what they name; they say nothing about a person or a time."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from sottovoce.errors import UsageError

RandomBytes = Callable[[int], bytes]

PREFIXES = {
    "subject": "sub",
    "session": "ses",  # one recording and what was made of it
    "record": "rec",  # one sealed record
    "event": "evt",
    "batch": "bat",
    "consent": "con",
    "notice": "ntc",
    "receipt": "rct",
    "request": "req",
    "job": "job",
    "owner": "own",  # a process that holds leases
    "decision": "dec",
    "home": "hom",
    "mark": "mrk",  # restriction, objection, hold, ...
    "recipient": "rcp",  # an organisation or team that data is handed to
    "disclosure": "dsc",
    "case": "cas",  # a request of a data subject
    "round": "rnd",  # one round of training
    "backup": "bkp",  # both halves of one
}
_RANDOM_BYTES = 15  # 120 bits: 24 characters of base32 without padding
_PATTERN = re.compile(rf"(?:{'|'.join(PREFIXES.values())})_[a-z2-7]{{24}}")


def new_id(kind: str, random_bytes: RandomBytes) -> str:
    """A fresh id such as `ses_4kq...`: 120 random bits, lower-case base32 (safe in file names and URLs)."""
    return f"{PREFIXES[kind]}_{base64.b32encode(random_bytes(_RANDOM_BYTES)).decode().lower()}"


def check_id(value: str, kind: str) -> str:
    """The id itself, or UsageError where it is not an id of that kind (so that it is safe in a path)."""
    if not _PATTERN.fullmatch(value) or not value.startswith(PREFIXES[kind] + "_"):
        raise UsageError(
            f"This is not the id of a {kind}.", hint=f"Ids of a {kind} look like {PREFIXES[kind]}_...."
        )
    return value
