"""Merkle trees are those of RFC 6962, and a path proves one leaf at one place and nothing else."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from protocol.hashing import tagged
from protocol.merkle import (
    COUNT_MAX,
    EMPTY_ROOT,
    Frontier,
    MerkleError,
    leaf_hash,
    path,
    paths,
    root,
    root_from_path,
    root_of_hashes,
    verify_path,
)
from tests.reference import merkle as reference

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/merkle.json").read_text())
LEAVES = [bytes.fromhex(leaf) for leaf in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(published) for published in VECTORS["roots"]]
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 500]


def numbered(count: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(count)]


@pytest.mark.parametrize("count", range(9))
def test_published_roots(count: int) -> None:
    """Root, root over hashes and frontier give the well-known roots."""
    frontier = Frontier()
    for leaf in LEAVES[:count]:
        frontier = frontier.append(leaf)
    assert root(LEAVES[:count]) == frontier.root() == ROOTS[count]
    assert root_of_hashes([leaf_hash(leaf) for leaf in LEAVES[:count]]) == ROOTS[count]


def test_count_zero() -> None:
    """No leaves: a root of its own, no path, and nothing is under it."""
    assert root([]) == EMPTY_ROOT == ROOTS[0]
    assert paths([]) == ()
    with pytest.raises(MerkleError):
        verify_path(b"", 0, 0, (), EMPTY_ROOT)


def test_count_one() -> None:
    """One leaf: its hash is the root, its path is empty."""
    assert paths([b"only"]) == ((),)
    verify_path(b"only", 0, 1, (), leaf_hash(b"only"))
    with pytest.raises(MerkleError):
        verify_path(b"only", 0, 1, (leaf_hash(b"only"),), leaf_hash(b"only"))


@pytest.mark.parametrize("count", SIZES)
def test_sizes_around_powers_of_two(count: int) -> None:
    """Roots and all paths are the RFC's definition, taken literally."""
    leaves = numbered(count)
    assert root(leaves) == reference.root(leaves)
    all_paths = paths(leaves)
    for index in {0, 1, count // 2, count - 2, count - 1} & set(range(count)):
        assert all_paths[index] == path(leaves, index) == reference.path(index, leaves)
        verify_path(leaves[index], index, count, all_paths[index], root(leaves))


@pytest.mark.parametrize("count", [1, 2, 3, 8, 500])
def test_an_index_outside_the_tree(count: int) -> None:
    """Index equal to the count, beyond it or below zero is refused, whatever the path."""
    leaves = numbered(count)
    proof = path(leaves, count - 1)
    for index in (count, count + 1, 2 * count, -1, COUNT_MAX + 1):
        with pytest.raises(MerkleError):
            verify_path(leaves[-1], index, count, proof, root(leaves))


def test_a_count_beyond_all_bounds() -> None:
    """The greatest count is climbed without effort, a greater one is refused with the very same path."""
    nodes = (bytes(32),) * 63
    assert len(root_from_path(b"x", 0, COUNT_MAX, nodes)) == 32
    with pytest.raises(MerkleError):
        root_from_path(b"x", 0, COUNT_MAX + 1, nodes)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9])
def test_paths_of_another_length(count: int) -> None:
    """One node longer or shorter, at either end, is refused."""
    leaves = numbered(count)
    whole = root(leaves)
    for index, proof in enumerate(paths(leaves)):
        wrong = [(*proof, whole), (whole, *proof), (*proof, bytes(32))]
        if proof:
            wrong += [proof[:-1], proof[1:], proof + proof[-1:]]
        for other in wrong:
            with pytest.raises(MerkleError):
                verify_path(leaves[index], index, count, other, whole)


@pytest.mark.parametrize("count", [2, 3, 5, 8, 9])
def test_a_leaf_has_one_place(count: int) -> None:
    """With another index, leaf or root, a good path is refused. (The count is signed with the root.)"""
    leaves = numbered(count)
    whole = root(leaves)
    for index, proof in enumerate(paths(leaves)):
        for other in range(count):
            if other != index:
                with pytest.raises(MerkleError):
                    verify_path(leaves[index], other, count, proof, whole)
                with pytest.raises(MerkleError):
                    verify_path(leaves[other], index, count, proof, whole)
        with pytest.raises(MerkleError):
            verify_path(leaves[index], index, count, proof, leaf_hash(whole))


def test_nodes_of_another_size() -> None:
    """Bytes cannot move between a node and its neighbour: each is 32 bytes."""
    leaves = numbered(4)
    first, second = path(leaves, 0)
    wrong = [(first + second[:1], second[1:]), (first[:-1], second), (b"", second), (first + second, b"")]
    wrong += [(first + b"\0", second), (first, second + b"\0"), (first, second[:-1])]
    for proof in wrong:
        with pytest.raises(MerkleError, match="a path of 2 nodes"):
            root_from_path(leaves[0], 0, 4, proof)


def test_an_inner_node_is_no_leaf() -> None:
    """The two hashes under an inner node do not pass as a leaf of a smaller tree."""
    leaves = numbered(4)
    whole = root(leaves)
    left, right = leaf_hash(leaves[0]), leaf_hash(leaves[1])
    for leaf in (left + right, b"\1" + left + right, root(leaves[:2])):
        with pytest.raises(MerkleError):
            verify_path(leaf, 0, 2, (root(leaves[2:]),), whole)
    # With the node's own hash as a start it would pass: hence leaves are hashed here.
    assert sha256(b"\1" + root(leaves[:2]) + root(leaves[2:])).digest() == whole


def test_a_tagged_hash_is_no_leaf_hash() -> None:
    """A tagged hash as a leaf is hashed as any leaf, and so never equals a leaf's hash."""
    identity = tagged("request", b"body")
    assert root([identity]) == leaf_hash(identity) != identity
    with pytest.raises(MerkleError):
        verify_path(b"body", 0, 1, (), identity)


def test_duplicate_leaves() -> None:
    """A leaf may stand twice; the number of times shows in the root, and each place has its own path."""
    assert len({root([b"same"] * count) for count in range(1, 9)}) == 8
    leaves = [b"same", b"other", b"same"]
    whole = root(leaves)
    first, _, third = paths(leaves)
    verify_path(b"same", 0, 3, first, whole)
    verify_path(b"same", 2, 3, third, whole)
    with pytest.raises(MerkleError):
        verify_path(b"same", 2, 3, first, whole)


def test_a_last_leaf_is_not_doubled() -> None:
    """Three leaves are not four of which the last stands twice (the flaw of other trees)."""
    leaves = numbered(3)
    assert root(leaves) != root([*leaves, leaves[-1]])


def test_a_frontier_keeps_one_node_per_bit() -> None:
    """Its state is small and comes back from its bytes, at each size."""
    frontier = Frontier()
    for count, leaf in enumerate(numbered(130)):
        assert len(frontier.nodes) == count.bit_count()
        again = Frontier.from_bytes(frontier.to_bytes())
        assert (again, again.root(), again.size) == (frontier, root(numbered(count)), count)
        frontier = frontier.append(leaf)


def test_a_frontier_does_not_change() -> None:
    """Appending gives another frontier: a batch that is dropped leaves no trace."""
    before = Frontier().append(b"a")
    after = before.append(b"b")
    assert before.root() == root([b"a"])
    assert after.root() == root([b"a", b"b"])


def test_bytes_that_are_no_frontier() -> None:
    """Truncated, lengthened or of an impossible size: refused."""
    good = Frontier().append(b"a").append(b"b").append(b"c").to_bytes()
    for data in (b"", good[:7], good[:-1], good + b"\0", good + bytes(32), (4).to_bytes(8, "big") + good[8:]):
        with pytest.raises(MerkleError):
            Frontier.from_bytes(data)
    with pytest.raises(MerkleError):
        Frontier.from_bytes((2**64 - 1).to_bytes(8, "big") + bytes(32 * 64))


def test_every_byte_of_a_root_counts() -> None:
    """A root that differs in one byte is another one."""
    leaves = numbered(3)
    for at in range(32):
        other = bytearray(root(leaves))
        other[at] ^= 1
        with pytest.raises(MerkleError):
            verify_path(leaves[0], 0, 3, path(leaves, 0), bytes(other))
