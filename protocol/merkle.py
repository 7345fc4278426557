"""Merkle trees of RFC 6962, section 2.1: roots, audit paths, and the compact frontier of a growing tree.

Rules:

1. A leaf hashes as SHA-256(0x00 || leaf), a node as SHA-256(0x01 || left || right), the empty tree as
   SHA-256("").
2. A tree over n > 1 leaves splits at the greatest power of two below n.
3. A path is checked together with index and count: for these two it has exactly one length.
4. A leaf is raw bytes (an Avro body, a request_id, a statement hash) and is hashed here, so neither an
   inner node nor a tagged hash can stand in for a leaf's hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from protocol.errors import CountersignError
from protocol.hashing import HASH_SIZE, digest
from protocol.native import NATIVE

EMPTY_ROOT: Final = digest(b"")
"""The root over no leaves."""

_native_root: Final = None if NATIVE is None else NATIVE.merkle_root
_native_path_root: Final = None if NATIVE is None else NATIVE.path_root

COUNT_MAX: Final = 2**63 - 1
"""The greatest number of leaves: Avro's integers are signed."""


class MerkleError(CountersignError, ValueError):
    """A path that does not lead from its leaf to its root."""

    def __init__(self, detail: str) -> None:
        super().__init__("proof.bad", detail)


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a raw leaf."""
    return digest(b"\0" + leaf)


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over raw leaves."""
    if _native_root is not None:
        return _native_root(leaves)
    return root_of_hashes([digest(b"\0" + leaf) for leaf in leaves])


def root_of_hashes(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def _level_above(level: list[bytes]) -> list[bytes]:
    """Pair neighbours; a last one without a neighbour goes up as it is: the same tree as by rule 2."""
    pairs = zip(level[::2], level[1::2], strict=False)
    above = [digest(b"\1" + left + right) for left, right in pairs]
    if len(level) % 2:
        above.append(level[-1])
    return above


def paths(leaves: Sequence[bytes]) -> tuple[tuple[bytes, ...], ...]:
    """The audit paths of all raw leaves, from the leaf upwards."""
    levels = _levels(leaves)
    return tuple(_path(levels, index) for index in range(len(leaves)))


def path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The audit path of one raw leaf, from the leaf upwards. Requires `0 <= index < len(leaves)`."""
    assert 0 <= index < len(leaves)
    return _path(_levels(leaves), index)


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """All levels of a tree but its root, from the leaf hashes upwards."""
    level = [leaf_hash(leaf) for leaf in leaves]
    levels = []
    while len(level) > 1:
        levels.append(level)
        level = _level_above(level)
    return levels


def _path(levels: list[list[bytes]], index: int) -> tuple[bytes, ...]:
    siblings = []
    for level in levels:
        sibling = index ^ 1
        if sibling < len(level):
            siblings.append(level[sibling])
        index >>= 1
    return tuple(siblings)


def root_from_path(leaf: bytes, index: int, count: int, path: tuple[bytes, ...]) -> bytes:
    """The root that a path leads to from a raw leaf; who knows the right one compares.

    Raises:
        MerkleError: the index is outside the tree, the path has another length, or a node is not 32 bytes.
    """
    if not 0 <= index < count <= COUNT_MAX:
        raise MerkleError(f"index {index} of {count}")
    walk_up = _native_path_root or _walk_up
    root = walk_up(leaf, index, count, path)
    if root is None:
        raise MerkleError(f"a path of {len(path)} nodes for leaf {index} of {count}")
    return root


def _walk_up(leaf: bytes, index: int, count: int, path: tuple[bytes, ...]) -> bytes | None:
    """The root at the end of a path; None if the path is not of the one form."""
    node = leaf_hash(leaf)
    place, last, used = index, count - 1, 0
    while last > 0:
        if place % 2 or place < last:  # the node has a sibling on this level
            if used == len(path) or len(path[used]) != HASH_SIZE:
                return None
            left, right = (path[used], node) if place % 2 else (node, path[used])
            node = digest(b"\1" + left + right)
            used += 1
        place >>= 1
        last >>= 1
    return node if used == len(path) else None


def verify_path(leaf: bytes, index: int, count: int, path: tuple[bytes, ...], root: bytes) -> None:
    """Check that a raw leaf is the one at `index` of the `count` under a root.

    Raises:
        MerkleError: it is not, or the path is not of the one form.
    """
    if root_from_path(leaf, index, count, path) != root:
        raise MerkleError(f"leaf {index} of {count} is not under the root")


@dataclass(frozen=True, slots=True)
class Frontier:
    """A growing tree, as the roots of its complete subtrees: enough to append and to know the root.

    Attributes:
        size: leaves so far.
        nodes: one root per bit that is set in `size`, the greatest subtree first.
    """

    size: int = 0
    nodes: tuple[bytes, ...] = ()

    def append(self, leaf: bytes) -> Self:
        """The frontier with one more raw leaf."""
        assert self.size < COUNT_MAX
        node = leaf_hash(leaf)
        kept = len(self.nodes)
        size = self.size
        while size % 2:  # a subtree of the same size stands to the left: they become one
            kept -= 1
            node = digest(b"\1" + self.nodes[kept] + node)
            size >>= 1
        return type(self)(self.size + 1, (*self.nodes[:kept], node))

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self.nodes:
            return EMPTY_ROOT
        node = self.nodes[-1]
        for left in reversed(self.nodes[:-1]):
            node = digest(b"\1" + left + node)
        return node

    def to_bytes(self) -> bytes:
        """Size as u64 big-endian, then the nodes."""
        return self.size.to_bytes(8, "big") + b"".join(self.nodes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The reverse of `to_bytes`.

        Raises:
            MerkleError: the bytes are anything else.
        """
        size = int.from_bytes(data[:8], "big")
        if size > COUNT_MAX or len(data) != 8 + HASH_SIZE * size.bit_count():
            raise MerkleError(f"a frontier of {len(data)} bytes")
        return cls(size, tuple(data[at : at + HASH_SIZE] for at in range(8, len(data), HASH_SIZE)))
