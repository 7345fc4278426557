"""The Merkle tree as RFC 6962, section 2.1, defines it: recursive, slow, written without a look at ours."""

import hashlib
from collections.abc import Sequence


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _split(count: int) -> int:
    """The largest power of two smaller than count."""
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def root(leaves: Sequence[bytes]) -> bytes:
    """MTH(D[n]), section 2.1."""
    if len(leaves) == 0:
        return _sha256(b"")
    if len(leaves) == 1:
        return _sha256(b"\x00" + leaves[0])
    k = _split(len(leaves))
    return _sha256(b"\x01" + root(leaves[:k]) + root(leaves[k:]))


def path(index: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    """PATH(m, D[n]), section 2.1.1."""
    if len(leaves) == 1:
        return ()
    k = _split(len(leaves))
    if index < k:
        return (*path(index, leaves[:k]), root(leaves[k:]))
    return (*path(index - k, leaves[k:]), root(leaves[:k]))


def root_from_path(leaf: bytes, index: int, count: int, nodes: Sequence[bytes]) -> bytes | None:
    """The reverse of PATH; None where the path has not the length that index and count give."""
    if not 0 <= index < count:
        return None
    if count == 1:
        return _sha256(b"\x00" + leaf) if not nodes else None
    if not nodes:
        return None
    k = _split(count)
    if index < k:
        left = root_from_path(leaf, index, k, nodes[:-1])
        return None if left is None else _sha256(b"\x01" + left + nodes[-1])
    right = root_from_path(leaf, index - k, count - k, nodes[:-1])
    return None if right is None else _sha256(b"\x01" + nodes[-1] + right)
