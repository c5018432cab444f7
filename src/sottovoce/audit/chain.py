"""Leaf hashes and chain links of the audit log.

Rules upheld here:
1. A leaf is the RFC 6962 leaf hash SHA-256(0x00 || canonical event), so that a Merkle tree can be built over the
   same rows without rewriting one.
2. A link is SHA-256(0x02 || previous link || leaf): editing, dropping or reordering a row breaks every later link.
   (0x00 and 0x01 are RFC 6962's leaf and node prefixes.)
3. A chain alone does not show a cut tail, a full re-chain or a rollback: that takes a checkpoint held outside.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a verification found. `first_bad` is the number of the first entry that is not what was written."""

    events: int = 0
    unsequenced: int = 0
    first_bad: int | None = None
    problem: str = ""
    head: str = ""  # hex of the last link

    @property
    def intact(self) -> bool:
        return self.first_bad is None and not self.problem


def verify_chain(events: Iterable[AuditEvent], unsequenced: Iterable[AuditEvent] = ()) -> ChainReport:
    """Check numbered events in order, then those without a number yet by their own leaf."""
    link, count = GENESIS, 0
    for event in events:
        problem = _problem_of(event, expected_sequence=count + 1, previous=link)
        if problem:
            return ChainReport(count, 0, count + 1, problem, link.hex())
        link, count = event.link or GENESIS, count + 1
    waiting = 0
    for event in unsequenced:
        waiting += 1
        if not hmac.compare_digest(leaf_hash(event), event.leaf):
            return ChainReport(count, waiting, None, "an entry without a number yet was edited", link.hex())
    return ChainReport(count, waiting, head=link.hex())


def _problem_of(event: AuditEvent, *, expected_sequence: int, previous: bytes) -> str:
    if event.sequence != expected_sequence:
        return f"entry {expected_sequence} is missing"
    if not hmac.compare_digest(leaf_hash(event), event.leaf):
        return f"entry {expected_sequence} was edited"
    if not hmac.compare_digest(chain_link(previous, event.leaf), event.link or b""):
        return f"the chain breaks at entry {expected_sequence}"
    return ""
