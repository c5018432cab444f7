"""Leaf hashes and chain links of the audit log.

Rules upheld here:
1. A leaf is the RFC 6962 leaf hash SHA-256(0x00 || canonical event), so that a Merkle tree can be built over the
   same rows without rewriting one.
2. A link is SHA-256(0x02 || previous link || leaf): editing, dropping or reordering a row breaks every later link.
   (0x00 and 0x01 are RFC 6962's leaf and node prefixes.)
3. A chain alone does not show a cut tail, a full re-chain or a rollback: that takes a checkpoint held outside
   (`audit/checkpoint.py`); `audit/verification.py` compares the two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from sottovoce.audit.rows import canonical_row, event_row
from sottovoce.model.canonical import canonical_json
from sottovoce.model.event import AuditEvent

GENESIS = bytes(32)


def leaf_of(canonical: bytes) -> bytes:
    """(32,) RFC 6962 leaf hash of an entry in its canonical form."""
    return hashlib.sha256(b"\x00" + canonical).digest()


def leaf_hash(event: AuditEvent) -> bytes:
    """(32,) RFC 6962 leaf hash of the event's canonical form. UsageError for half a surrogate pair."""
    try:
        return leaf_of(canonical_row(event_row(event)))
    except UnicodeEncodeError:
        return leaf_of(canonical_json(event.to_canonical()))


def chain_link(previous: bytes, leaf: bytes) -> bytes:
    """(32,) the link after `previous` over `leaf`."""
    return hashlib.sha256(b"\x02" + previous + leaf).digest()


def with_leaf(event: AuditEvent) -> AuditEvent:
    return replace(event, leaf=leaf_hash(event))


def linked(leaves: Iterable[bytes], *, last_sequence: int, last_link: bytes) -> list[tuple[int, bytes]]:
    """Number and link of each leaf, following `last_sequence` and `last_link`."""
    numbered: list[tuple[int, bytes]] = []
    link = last_link
    for sequence, leaf in enumerate(leaves, start=last_sequence + 1):
        link = chain_link(link, leaf)
        numbered.append((sequence, link))
    return numbered
