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

from sottovoce.model.canonical import canonical_json
from sottovoce.model.event import AuditEvent

GENESIS = bytes(32)


def leaf_hash(event: AuditEvent) -> bytes:
    """(32,) RFC 6962 leaf hash of the event's canonical form."""
    return hashlib.sha256(b"\x00" + canonical_json(event.to_canonical())).digest()


def chain_link(previous: bytes, leaf: bytes) -> bytes:
    """(32,) the link after `previous` over `leaf`."""
    return hashlib.sha256(b"\x02" + previous + leaf).digest()


def with_leaf(event: AuditEvent) -> AuditEvent:
    return replace(event, leaf=leaf_hash(event))


def sequenced(events: Iterable[AuditEvent], *, last_sequence: int, last_link: bytes) -> list[AuditEvent]:
    """The events with the numbers and links that follow `last_sequence`."""
    numbered: list[AuditEvent] = []
    link = last_link
    for sequence, event in enumerate(events, start=last_sequence + 1):
        link = chain_link(link, event.leaf)
        numbered.append(replace(event, sequence=sequence, link=link))
    return numbered
