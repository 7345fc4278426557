"""The three checksums: what of a block its root commits to, and how a block is found from pieces.

Rules:

1. `none`: nothing. Whoever lies is believed, so it is for ledgers without liars (`b = 0`) only.
2. `simple` (seed paper 3.3): `H("content", block)`; its length stands in the description. A wrong slice shows
   only when a block that was decoded with it has another hash, so a learner has to search.
3. `tree` (seed paper 3.4): leaf `i` is `u32 i || H("slice", slice i)`, filled up with `NULL_LEAF` to a power of
   two, so every path has the same length; an RFC 6962 tree over them. Neither an inner node nor another
   replica's piece can stand in for a piece, and every slice is checked by itself: nobody has to search.
4. Which one it is stands in the epoch's configuration, in every header and in every root. One is not read as
   another.
5. Who has decoded a block makes its root again: it must come out. Under a tree that has all slices in it, so
   verified slices that are not of one codeword are found; then more replicas lied than assumed.

Source: seed paper, sections 3.3 and 3.4.
"""

from collections.abc import Mapping
from struct import Struct
from typing import ClassVar, Final, Protocol

from learners.codec import CodecError, erasure_code
from learners.dispersal import BlockDescription, Dispersal, Encoder, Slice, block_root, slice_hash
from protocol import merkle
from protocol.configuration import NONE, SIMPLE, TREE
from protocol.hashing import Tag, tagged
from schemas.piece import PieceHeader

NULL_LEAF: Final = b"null"
"""Leaf of a slice that does not exist: no real leaf has this length."""

_NOTHING: Final = b""
_INDEX: Final = Struct(">I")


class PieceError(ValueError):
    """A piece header that contradicts itself: whoever signed it lied."""


class NotACodewordError(ValueError):
    """Slices that do not give a block of the root they are under."""


class Checksum(Protocol):
    """What binds a block, and its slices, to a root.

    Attributes:
        name: as the epoch's configuration says it.
        proves_slices: whether a consistent header proves that its slice is of the root, so that any `k` of one
            root must give the block, or nothing will.
    """

    name: ClassVar[str]
    proves_slices: ClassVar[bool]

    def disperse(
        self, description: BlockDescription, block: bytes, encoder: Encoder, verified: Mapping[int, Slice]
    ) -> Dispersal:
        """A block under its root; a slice that comes out like one of the `verified` is not hashed again."""
        ...

    def check_header(self, header: PieceHeader) -> None:
        """Check that a piece header does not contradict itself.

        Raises:
            PieceError: it does, so it proves by itself that its signer lied.
        """
        ...


class NoChecksum:
    """The description alone."""

    name: ClassVar[str] = NONE
    proves_slices: ClassVar[bool] = True

    def disperse(
        self, description: BlockDescription, block: bytes, encoder: Encoder, verified: Mapping[int, Slice]
    ) -> Dispersal:
        """See `Checksum`."""
        root = description.bind(_NOTHING)
        return Dispersal(description=description, root=root, block=block, encoder=encoder)

    def check_header(self, header: PieceHeader) -> None:
        """See `Checksum`."""
        _check_no_path(header)
        if block_root(header, _NOTHING) != header.root:
            raise PieceError(f"piece {header.piece_index} describes another block than its root")


class SimpleChecksum:
    """The hash of the block. Whether a header's root is over what it describes shows only with the block."""

    name: ClassVar[str] = SIMPLE
    proves_slices: ClassVar[bool] = False

    def disperse(
        self, description: BlockDescription, block: bytes, encoder: Encoder, verified: Mapping[int, Slice]
    ) -> Dispersal:
        """See `Checksum`."""
        root = description.bind(tagged(Tag.CONTENT, block))
        return Dispersal(description=description, root=root, block=block, encoder=encoder)

    def check_header(self, header: PieceHeader) -> None:
        """See `Checksum`."""
        _check_no_path(header)


class TreeChecksum:
    """A Merkle tree over the slices."""

    name: ClassVar[str] = TREE
    proves_slices: ClassVar[bool] = True

    def disperse(
        self, description: BlockDescription, block: bytes, encoder: Encoder, verified: Mapping[int, Slice]
    ) -> Dispersal:
        """See `Checksum`."""
        slices = encoder.encode(block)
        hashes: list[bytes] = []
        for index, data in enumerate(slices):
            held = verified.get(index)
            hashes.append(held.hash if held is not None and held.data == data else slice_hash(data))
        leaves = [_leaf(index, hashed) for index, hashed in enumerate(hashes)]
        leaves += [NULL_LEAF] * (_width(description.n) - len(leaves))
        paths = merkle.paths(leaves)
        tree_root = merkle.root_from_path(leaves[0], 0, len(leaves), paths[0])
        return Dispersal(
            description=description,
            root=description.bind(tree_root),
            block=block,
            encoder=encoder,
            slices=dict(enumerate(slices)),
            hashes=dict(enumerate(hashes)),
            paths=paths,
        )

    def check_header(self, header: PieceHeader) -> None:
        """See `Checksum`: its path leads from its slice's hash to its root."""
        _check_index(header)
        leaf = _leaf(header.piece_index, header.slice_hash)
        try:
            tree_root = merkle.root_from_path(leaf, header.piece_index, _width(header.n), header.path)
        except merkle.MerkleError as error:
            raise PieceError(str(error)) from error
        if block_root(header, tree_root) != header.root:
            raise PieceError(f"the path of piece {header.piece_index} does not lead to its root")


_CHECKSUMS: Final[Mapping[str, Checksum]] = {
    made.name: made for made in (NoChecksum(), SimpleChecksum(), TreeChecksum())
}


def checksum_of(name: str) -> Checksum:
    """The checksum of this name.

    Raises:
        PieceError: there is none; a checked configuration never names it.
    """
    try:
        return _CHECKSUMS[name]
    except KeyError as error:
        raise PieceError(f"there is no checksum {name[:32]!r}") from error


def disperse(
    description: BlockDescription, block: bytes, encoder: Encoder, verified: Mapping[int, Slice] | None = None
) -> Dispersal:
    """A block under the root that its description's checksum makes.

    Requires: the checksum is of a checked configuration.
    """
    return checksum_of(description.checksum).disperse(description, block, encoder, verified or {})


def check_header(header: PieceHeader) -> None:
    """Check that a piece header does not contradict itself, as far as its checksum can tell.

    Raises:
        PieceError: it does, so it proves by itself that its signer lied.
    """
    checksum_of(header.checksum).check_header(header)


def rebuild(description: BlockDescription, root: bytes, slices: Mapping[int, Slice]) -> Dispersal:
    """Decode a block from exactly `k` slices whose hashes were compared, and make its root again.

    Raises:
        NotACodewordError: the root does not come out, or the slices do not fit what it binds.
    """
    try:
        code = erasure_code(description.k, description.n)
        block = code.decode({index: held.data for index, held in slices.items()}, description.block_length)
        again = disperse(description, block, code, slices)
    except (CodecError, PieceError) as error:
        raise NotACodewordError(str(error)) from error
    if again.root != root:
        raise NotACodewordError(f"block {description.block} does not encode to its root")
    return again


def _check_index(header: PieceHeader) -> None:
    if not 0 <= header.piece_index < header.n:
        raise PieceError(f"piece {header.piece_index} of {header.n}")


def _check_no_path(header: PieceHeader) -> None:
    _check_index(header)
    if header.path:
        raise PieceError(f"piece {header.piece_index} has a path, and there is no tree")


def _leaf(index: int, hashed: bytes) -> bytes:
    return _INDEX.pack(index) + hashed


def _width(n: int) -> int:
    """The least power of two that holds `n` leaves."""
    return 1 << (n - 1).bit_length()
