"""The Merkle tree of RFC 6962 over the leaves of the log: roots, proofs, and their verification.

    frontier = Frontier()
    frontier.extend(leaves)                                   # (32,) leaf hashes, in order
    proof = prove_inclusion(3, frontier.size, read)           # read: see `Reader`
    verify_inclusion(leaves[3], 3, frontier.size, proof, frontier.root())

Rules upheld here:
1. Hashes are those of RFC 6962, 2.1: a node is SHA-256(0x01 || left || right), the tree of nothing SHA-256("").
2. Growing costs O(log n) and needs only the frontier: the roots of the complete subtrees from left to right.
3. A proof reads O(log n) stored nodes. Stored are the complete subtrees of 256, 65536, ... leaves; whatever lies
   between is computed from at most 128 of the level below, so the store only ever grows.
4. Verification follows RFC 9162, 2.1.3.2 and 2.1.4.2, and takes nothing from the prover but the proof.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from sottovoce.errors import UsageError
from sottovoce.model.log import TreeNode

LEVEL_STEP = 8  # levels between two that are stored
BLOCK = 1 << LEVEL_STEP
EMPTY_ROOT = hashlib.sha256(b"").digest()

Reader = Callable[[int, int, int], Sequence[bytes]]
"""(level, start, end) -> the complete nodes start..end-1 of a stored level; level 0 is the leaves."""


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that grows, known only by the roots of its complete subtrees."""

    def __init__(self, size: int = 0, nodes: Sequence[bytes] = ()) -> None:
        """`nodes`: those of frontier_nodes(size)."""
        if len(nodes) != size.bit_count():
            raise UsageError("A frontier has one node for each bit of its size.")
        self.size = size
        self._nodes = list(nodes)

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees from left to right: what `Frontier(size, nodes)` goes on from."""
        return tuple(self._nodes)

    def copy(self) -> Frontier:
        return Frontier(self.size, self._nodes)

    def extend(self, leaves: Sequence[bytes]) -> list[TreeNode]:
        """Append leaves; the nodes to be stored that became complete, in order."""
        made: list[TreeNode] = []
        place = 0
        while place < len(leaves):
            if self.size % BLOCK == 0 and len(leaves) - place >= BLOCK:
                self._push(LEVEL_STEP, _root_of_complete(leaves[place : place + BLOCK]), made)
                place += BLOCK
            else:
                self._push(0, leaves[place], made)
                place += 1
        return made

    def root(self) -> bytes:
        """(32,) root of the tree as it is now."""
        return _fold(self._nodes) if self._nodes else EMPTY_ROOT

    def _push(self, level: int, node: bytes, made: list[TreeNode]) -> None:
        """Append a complete subtree where the size is a multiple of its leaves: an addition with carry."""
        added = 1 << level
        number = self.size >> level
        if level == LEVEL_STEP:
            made.append(TreeNode(level, number, node))
        while number & 1:
            node = node_hash(self._nodes.pop(), node)
            number >>= 1
            level += 1
            if level % LEVEL_STEP == 0:
                made.append(TreeNode(level, number, node))
        self._nodes.append(node)
        self.size += added


def load_frontier(size: int, read: Reader) -> Frontier:
    """The frontier of the first `size` leaves, from what is stored."""
    return Frontier(size, [_node(level, number, read) for level, number in _complete_nodes(0, size)])


def stored_node(level: int, number: int, read: Reader) -> TreeNode:
    """The node of a stored level (not 0), computed from the stored level below."""
    below = read(level - LEVEL_STEP, number << LEVEL_STEP, (number + 1) << LEVEL_STEP)
    return TreeNode(level, number, _root_of_complete(below))


def prove_inclusion(index: int, size: int, read: Reader) -> list[bytes]:
    """The audit path of leaf `index` (from 0) in the tree of `size`, from the leaf's sibling up (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise UsageError("There is no such leaf in a tree of that size.")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_root(middle, end, read))
            end = middle
        else:
            path.append(_range_root(start, middle, read))
            start = middle
    return path[::-1]


def prove_consistency(old_size: int, size: int, read: Reader) -> list[bytes]:
    """That the tree of `size` continues the one of `old_size` (RFC 6962, 2.1.2)."""
    if not 0 < old_size <= size:
        raise UsageError("A consistency proof goes from a tree that is not empty to one that is not smaller.")
    path: list[bytes] = []
    start, end, whole = 0, size, True
    while old_size != end:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(_range_root(middle, end, read))
            end = middle
        else:
            path.append(_range_root(start, middle, read))
            start, whole = middle, False
    if not whole:
        path.append(_range_root(start, end, read))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `leaf` is leaf `index` of the tree of `size` with that root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    number, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if number & 1 or number == last:
            node = node_hash(sibling, node)
            while not number & 1 and number:
                number >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        number >>= 1
        last >>= 1
    return last == 0 and node == root


def verify_consistency(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the tree of `size` with `root` continues the one of `old_size` with `old_root` (RFC 9162, 2.1.4.2)."""
    if not 0 < old_size <= size:
        return False
    if old_size == size:
        return not proof and old_root == root
    nodes = list(proof)
    if old_size & (old_size - 1) == 0:  # the old tree is a node of the new one
        nodes.insert(0, old_root)
    if not nodes:
        return False
    number, last = old_size - 1, size - 1
    while number & 1:
        number >>= 1
        last >>= 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not number & 1 and number:
                number >>= 1
                last >>= 1
        else:
            new = node_hash(new, node)
        number >>= 1
        last >>= 1
    return last == 0 and old == old_root and new == root


def _split(count: int) -> int:
    """The largest power of two smaller than `count` (RFC 6962: k)."""
    return 1 << (count - 1).bit_length() - 1


def _complete_nodes(start: int, end: int) -> list[tuple[int, int]]:
    """(level, number) of the complete subtrees that make up leaves start..end-1, from left to right.

    `start` is a multiple of the largest of them, as it is for every range that a proof asks for.
    """
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def _range_root(start: int, end: int, read: Reader) -> bytes:
    return _fold([_node(level, number, read) for level, number in _complete_nodes(start, end)])


def _node(level: int, number: int, read: Reader) -> bytes:
    """A complete node, from the stored level at or below it."""
    above = level % LEVEL_STEP
    return _root_of_complete(read(level - above, number << above, (number + 1) << above))


def _fold(nodes: Sequence[bytes]) -> bytes:
    """The root over complete subtrees from left to right: each is the left child of all that follow."""
    root = nodes[-1]
    for node in reversed(nodes[:-1]):
        root = node_hash(node, root)
    return root


def _root_of_complete(nodes: Sequence[bytes]) -> bytes:
    """The root over 1, 2, 4, ... nodes of one level."""
    sha256 = hashlib.sha256
    row = nodes
    while len(row) > 1:
        row = [
            sha256(b"\x01" + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=True)
        ]
    return row[0]
