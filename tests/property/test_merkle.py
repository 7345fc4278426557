"""For any leaves, the fast tree, its frontier and the RFC's recursive definition agree."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.merkle import (
    Frontier,
    MerkleError,
    leaf_hash,
    path,
    paths,
    root,
    root_from_path,
    root_of_hashes,
)
from tests.reference import merkle as reference

LEAVES = st.lists(st.binary(max_size=70), max_size=70)
NODES = st.lists(st.binary(min_size=32, max_size=32), max_size=9)


@given(LEAVES)
def test_roots(leaves: list[bytes]) -> None:
    """Root, root over hashes and frontier are the definition's."""
    frontier = Frontier()
    for leaf in leaves:
        frontier = frontier.append(leaf)
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert root(leaves) == root_of_hashes(hashes) == frontier.root() == reference.root(leaves)
    assert Frontier.from_bytes(frontier.to_bytes()) == frontier


@given(LEAVES.filter(bool), st.data())
def test_paths(leaves: list[bytes], data: st.DataObject) -> None:
    """Paths are the definition's and lead back to the root."""
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = reference.path(index, leaves)
    assert paths(leaves)[index] == path(leaves, index) == proof
    assert root_from_path(leaves[index], index, len(leaves), proof) == root(leaves)


@given(st.binary(max_size=70), st.integers(-2, 40), st.integers(-2, 40), NODES)
def test_any_path(leaf: bytes, index: int, count: int, nodes: list[bytes]) -> None:
    """Index, count and path at random: both climb to the same root, or both refuse."""
    try:
        ours: bytes | None = root_from_path(leaf, index, count, tuple(nodes))
    except MerkleError:
        ours = None
    assert ours == reference.root_from_path(leaf, index, count, nodes)


@given(LEAVES.filter(bool), st.data())
def test_a_changed_path_leads_elsewhere(leaves: list[bytes], data: st.DataObject) -> None:
    """One bit of leaf or path changed: another root."""
    index = data.draw(st.integers(0, len(leaves) - 1))
    parts = [leaves[index], *path(leaves, index)]
    at = data.draw(st.integers(0, len(parts) - 1))
    if not parts[at]:
        parts[at] = b"\0"
    else:
        bit = data.draw(st.integers(0, 8 * len(parts[at]) - 1))
        number = int.from_bytes(parts[at], "big") ^ (1 << bit)
        parts[at] = number.to_bytes(len(parts[at]), "big")
    assert root_from_path(parts[0], index, len(leaves), tuple(parts[1:])) != root(leaves)


@given(st.binary(max_size=200))
def test_any_bytes_as_a_frontier(data: bytes) -> None:
    """Bytes are a frontier's one form, or refused."""
    try:
        frontier = Frontier.from_bytes(data)
    except MerkleError:
        return
    assert frontier.to_bytes() == data
