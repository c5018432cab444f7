"""Reading the whole log again: every leaf, link, tree node and checkpoint, in pages of plain rows.

Rules upheld here:
1. Everything is computed anew from the entries themselves; a stored hash is compared, never believed.
2. Where one entry is the first that is not what was written, it is named; where only a checkpoint disagrees (a new
   chain, a rollback, a fork), the entries between the last checkpoint that fits and the first that does not are.
3. A checkpoint that covers more entries than there are shows a cut tail.
4. What a chain and a tree cannot show is not claimed: entries that no checkpoint held outside covers could have been
   replaced, by whoever can write to the database, together with everything that stands in it.
5. Of entries whose contents went to an archive the leaf hashes are walked: links, tree and checkpoints are checked as
   ever, the contents only in the archive itself (`audit/archive.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sottovoce.audit.chain import GENESIS
from sottovoce.audit.rows import canonical_row
from sottovoce.audit.tree import Frontier
from sottovoce.model.log import EventRow, TreeNode


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signed checkpoint says of the log. Claims from outside the home weigh more than stored ones."""

    size: int
    root: bytes
    outside: bool = False


@dataclass(frozen=True, slots=True)
class LogReport:
    """What a verification found."""

    events: int = 0  # verified entries
    unsequenced: int = 0
    first_bad: int | None = None  # number of the first entry that is not what was written, where there is one
    between: tuple[int, int] | None = None  # else: it lies after the one and up to the other
    problem: str = ""
    head: str = ""  # hex of the last link
    root: bytes = b""  # of the tree over the verified entries
    agreed: int = 0  # size of the largest checkpoint that fits
    agreed_outside: int | None = None  # the same, of those held outside

    @property
    def intact(self) -> bool:
        return not self.problem


def verify_log(
    pages: Iterable[Sequence[EventRow]],
    waiting: Iterable[EventRow] = (),
    *,
    claims: Iterable[Claim] = (),
    nodes: Iterable[TreeNode] = (),
    archived: Iterable[Sequence[bytes]] = (),
) -> LogReport:
    """Read numbered entries in order, then those without a number by their own leaf.

    `claims`: of checkpoints whose signatures have been checked; `nodes`: the stored nodes of the tree; `archived`: the
    leaf hashes of the entries before `pages`, whose contents are in an archive.
    """
    walk = _Walk(sorted(claims, key=lambda claim: claim.size))
    for leaves in archived:
        walk.skip(leaves)
    for page in pages:
        if not walk.follow(page):
            break
    stored = {(node.level, node.number): node.hash for node in nodes}
    walk.finish(stored)
    count, problem = _check_waiting(waiting)
    return walk.report(count, problem)


@dataclass
class _Walk:
    """The state of a verification: how far everything fits, and the first thing that does not."""

    claims: Sequence[Claim]
    count: int = 0
    link: bytes = GENESIS
    frontier: Frontier = field(default_factory=Frontier)
    made: list[TreeNode] = field(default_factory=list)
    next_claim: int = 0
    agreed: int = 0
    agreed_outside: int | None = None
    problem: str = ""
    first_bad: int | None = None
    between: tuple[int, int] | None = None

    def skip(self, leaves: Sequence[bytes]) -> None:
        """Entries of which only the leaf hashes are here."""
        if self.problem:
            return
        for leaf in leaves:
            self.link = hashlib.sha256(b"\x02" + self.link + leaf).digest()
        self._grow(list(leaves))

    def follow(self, page: Sequence[EventRow]) -> bool:
        """One more page; False where something does not fit."""
        if self.problem:
            return False
        leaves, problem = self._leaves(page)
        self._grow(leaves)
        if not self.problem and problem:
            self.problem, self.first_bad = problem, self.count + 1
        return not self.problem

    def finish(self, stored: Mapping[tuple[int, int], bytes]) -> None:
        """Claims beyond the end, and the stored nodes."""
        if self.problem:
            return
        self._check_claims()  # of the empty tree, where there are no entries
        if not self.problem and self.next_claim < len(self.claims):
            gone = self.claims[-1]
            self.first_bad = self.count + 1
            self.problem = f"entries {self.count + 1} to {gone.size}, which a checkpoint covers, are gone"
        if not self.problem:
            self._check_nodes(stored)

    def report(self, unsequenced: int, problem_of_waiting: str) -> LogReport:
        return LogReport(
            events=self.count, unsequenced=unsequenced, first_bad=self.first_bad, between=self.between,
            problem=self.problem or problem_of_waiting, head=self.link.hex(), root=self.frontier.root(),
            agreed=self.agreed, agreed_outside=self.agreed_outside,
        )  # fmt: skip

    def _leaves(self, page: Sequence[EventRow]) -> tuple[list[bytes], str]:
        """The leaves of the page as far as rows, leaves and links fit, and what does not."""
        sha256, link, expected = hashlib.sha256, self.link, self.count
        leaves: list[bytes] = []
        for row in page:
            expected += 1
            leaf = sha256(b"\x00" + _canonical(row)).digest()
            following = sha256(b"\x02" + link + leaf).digest()
            if row[12] != expected or row[11] != leaf or row[13] != following:
                return leaves, _problem(row, expected, leaf)
            leaves.append(leaf)
            self.link = link = following
        return leaves, ""

    def _grow(self, leaves: list[bytes]) -> None:
        """Append leaves to the tree, stopping at every size that a checkpoint speaks of."""
        place = 0
        while place < len(leaves) and not self.problem:
            stop = len(leaves)
            if self.next_claim < len(self.claims):
                stop = min(stop, place + max(self.claims[self.next_claim].size - self.count, 0))
            part = leaves[place:stop]
            self.made += self.frontier.extend(part)
            self.count += len(part)
            place = stop
            self._check_claims()

    def _check_claims(self) -> None:
        """All checkpoints of exactly this size."""
        while self.next_claim < len(self.claims) and self.claims[self.next_claim].size == self.count:
            claim = self.claims[self.next_claim]
            if claim.root != self.frontier.root():
                self._contradicted(claim)
                return
            self.agreed = claim.size
            if claim.outside:
                self.agreed_outside = claim.size
            self.next_claim += 1

    def _contradicted(self, claim: Claim) -> None:
        # A copy of the home that went its own way has signed checkpoints of its own: they narrow nothing down.
        fits = (self.agreed_outside or 0) if claim.outside else self.agreed
        self.between = (fits, claim.size)
        where = "outside" if claim.outside else "in this home"
        self.problem = (
            f"the first {claim.size} entries are not those of a checkpoint held {where}: "
            f"what differs lies after entry {fits} and up to entry {claim.size}"
        )

    def _check_nodes(self, stored: Mapping[tuple[int, int], bytes]) -> None:
        """A node that differs, or is missing, spoils every proof over it."""
        for node in self.made:
            if stored.get((node.level, node.number)) != node.hash:
                first, last = node.number << node.level, (node.number + 1) << node.level
                self.between = (first, last)
                self.problem = (
                    f"the stored tree over the entries {first + 1} to {last} is not what was written"
                )
                return


def _problem(row: EventRow, expected: int, leaf: bytes) -> str:
    if row[12] != expected:
        return f"entry {expected} is missing"
    if row[11] != leaf:
        return f"entry {expected} was edited"
    return f"the chain breaks at entry {expected}"


def _check_waiting(waiting: Iterable[EventRow]) -> tuple[int, str]:
    """How many entries wait for a number, and what is wrong with them."""
    count, problem = 0, ""
    for row in waiting:
        count += 1
        if hashlib.sha256(b"\x00" + _canonical(row)).digest() != row[11]:
            problem = "an entry without a number yet was edited"
    return count, problem


def _canonical(row: EventRow) -> bytes:
    """Nothing that an entry hashes to, where somebody put a value of another type into the row."""
    try:
        return canonical_row(row)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return b""
