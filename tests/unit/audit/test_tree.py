"""The Merkle tree: against the recursive definition of RFC 6962, and against the vectors of its reference log."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sottovoce.audit import tree
from sottovoce.errors import UsageError
from sottovoce.model.log import TreeNode

LEAVES = [hashlib.sha256(b"leaf %d" % n).digest() for n in range(1400)]


# --- the oracle: RFC 6962, 2.1, word for word, over leaf hashes ----------------------------------------------


def k_of(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def mth(d: Sequence[bytes]) -> bytes:
    if not d:
        return hashlib.sha256(b"").digest()
    if len(d) == 1:
        return d[0]
    k = k_of(len(d))
    return hashlib.sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: Sequence[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = k_of(len(d))
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: Sequence[bytes], b: bool) -> list[bytes]:
    if m == len(d):
        return [] if b else [mth(d)]
    k = k_of(len(d))
    if m <= k:
        return [*subproof(m, d[:k], b), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


# --- a store, and how often it is read -----------------------------------------------------------------------


class Store:
    """The stored levels of a tree over the first `size` leaves; counts what is read."""

    def __init__(self, size: int, leaves: Sequence[bytes] = LEAVES) -> None:
        self.frontier = tree.Frontier()
        self.levels: dict[int, list[bytes]] = {0: list(leaves[:size])}
        self.reads = self.nodes = 0
        for node in self.frontier.extend(leaves[:size]):
            stored = self.levels.setdefault(node.level, [])
            assert node.number == len(stored)
            stored.append(node.hash)

    def read(self, level: int, start: int, end: int) -> list[bytes]:
        assert level % tree.LEVEL_STEP == 0
        found = self.levels[level][start:end]
        assert len(found) == end - start
        self.reads += 1
        self.nodes += len(found)
        return found


# The tree heads of the eight test leaves of the reference implementation of RFC 6962 (certificate-transparency).
CT_LEAVES = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_C29a_roots_are_those_of_the_reference_log() -> None:
    """The tree gives the published tree heads of the reference implementation of RFC 6962."""
    leaves = [hashlib.sha256(b"\x00" + bytes.fromhex(leaf)).digest() for leaf in CT_LEAVES]
    frontier = tree.Frontier()
    assert frontier.root() == tree.EMPTY_ROOT == mth([])
    for leaf, root in zip(leaves, CT_ROOTS, strict=True):
        frontier.extend([leaf])
        assert frontier.root().hex() == root


@given(parts=st.lists(st.integers(0, 600), max_size=4))
def test_growing_in_any_steps_gives_the_root_of_the_definition(parts: list[int]) -> None:
    frontier, size, made = tree.Frontier(), 0, list[TreeNode]()
    for part in parts:
        part = min(part, len(LEAVES) - size)
        made += frontier.extend(LEAVES[size : size + part])
        size += part
        assert frontier.root() == mth(LEAVES[:size])
    assert frontier.size == size
    assert made == [
        TreeNode(8, number, mth(LEAVES[256 * number : 256 * (number + 1)])) for number in range(size // 256)
    ]
    store = Store(size)
    again = tree.load_frontier(size, store.read)
    assert (again.size, again.root(), again.copy().root()) == (size, mth(LEAVES[:size]), mth(LEAVES[:size]))


def test_nodes_of_the_third_level_come_out_in_their_place() -> None:
    leaves = [n.to_bytes(32, "big") for n in range((1 << 16) + 300)]
    frontier = tree.Frontier()
    made = frontier.extend(leaves)
    assert [(node.level, node.number) for node in made][255:258] == [(8, 255), (16, 0), (8, 256)]
    assert made[256].hash == mth(leaves[: 1 << 16])
    store = Store(len(leaves), leaves)
    assert tree.stored_node(16, 0, store.read) == made[256]
    assert tree.stored_node(8, 7, store.read) == made[7]


@given(size=st.integers(1, 1400), data=st.data())
def test_C29a_inclusion_proofs_are_those_of_the_definition(size: int, data: st.DataObject) -> None:
    """A proof that an entry is in the log is exactly that of RFC 6962, and nothing else passes for it."""
    index = data.draw(st.integers(0, size - 1))
    store, root = Store(size), mth(LEAVES[:size])
    proof = tree.prove_inclusion(index, size, store.read)
    assert proof == path(index, LEAVES[:size])
    assert tree.verify_inclusion(LEAVES[index], index, size, proof, root)
    other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index)) if size > 1 else None
    if other is not None:
        assert not tree.verify_inclusion(LEAVES[index], other, size, proof, root)
        assert not tree.verify_inclusion(LEAVES[other], index, size, proof, root)
    assert not tree.verify_inclusion(LEAVES[index], index, size, [*proof, LEAVES[0]], root)
    assert not tree.verify_inclusion(LEAVES[index], index, size, proof, LEAVES[0] if size > 1 else root[::-1])
    assert tree.verify_inclusion(root, index, size, [], root) == (
        size == 1
    )  # a root is no leaf of its own tree
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof]
        bent[place] = bytes([bent[place][0] ^ 1]) + bent[place][1:]
        assert not tree.verify_inclusion(LEAVES[index], index, size, bent, root)
        assert not tree.verify_inclusion(LEAVES[index], index, size, proof[:-1], root)


@given(size=st.integers(1, 1400), data=st.data())
def test_C29a_consistency_proofs_are_those_of_the_definition(size: int, data: st.DataObject) -> None:
    """A proof that the log only grew since an older state is exactly that of RFC 6962, and nothing else passes."""
    old = data.draw(st.integers(1, size))
    store, old_root, root = Store(size), mth(LEAVES[:old]), mth(LEAVES[:size])
    proof = tree.prove_consistency(old, size, store.read)
    assert proof == subproof(old, LEAVES[:size], True)
    assert tree.verify_consistency(old, old_root, size, root, proof)
    assert not tree.verify_consistency(old, old_root[::-1], size, root, proof)
    assert not tree.verify_consistency(old, old_root, size, root[::-1], proof)
    assert not tree.verify_consistency(old, old_root, size, root, [*proof, root])
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof]
        bent[place] = bytes([bent[place][31] ^ 128]) + bent[place][1:]
        assert bent == proof or not tree.verify_consistency(old, old_root, size, root, bent)
        assert not tree.verify_consistency(old, old_root, size, root, proof[:-1])
    if old < size:
        forged = mth([LEAVES[0][::-1], *LEAVES[1:size]])
        assert not tree.verify_consistency(old, old_root, size, forged, proof)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 4), (4, 4)])
def test_what_is_not_in_the_tree_cannot_be_proven(index: int, size: int) -> None:
    with pytest.raises(UsageError):
        tree.prove_inclusion(index, size, Store(size).read)
    assert not tree.verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])


@pytest.mark.parametrize(("old", "size"), [(0, 4), (5, 4), (-1, 4)])
def test_sizes_that_make_no_sense_are_refused(old: int, size: int) -> None:
    with pytest.raises(UsageError):
        tree.prove_consistency(old, size, Store(size).read)
    assert not tree.verify_consistency(old, LEAVES[0], size, LEAVES[0], [])


def test_a_frontier_needs_one_node_for_each_bit() -> None:
    with pytest.raises(UsageError):
        tree.Frontier(3, [LEAVES[0]])


@pytest.mark.parametrize("size", [1000, 70_000])
def test_a_proof_reads_a_bounded_number_of_nodes(size: int) -> None:
    """Growth law: at most two reads for each level of the tree, each of at most 256 stored nodes."""
    leaves = [n.to_bytes(32, "big") for n in range(size)]
    store = Store(size, leaves)
    for index in (0, size // 3, size - 1):
        store.reads = store.nodes = 0
        tree.prove_inclusion(index, size, store.read)
        assert store.reads <= 2 * size.bit_length()
        assert store.nodes <= 4 * 256 * -(-size.bit_length() // 8)
