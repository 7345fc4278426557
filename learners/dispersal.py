"""Information dispersal: from `n` updates to signed shares of a block, and back (seed paper section 3).

Rules:

1. A block is its updates, each after its length as u32 big-endian, in sequence; count and length stand in the
   header, and a block is read back only if it uses up every byte.
2. The *tree checksum* (paper 3.4): leaf `i` is `u32 i || H("slice", slice i)`, filled up with `NULL_LEAF` to
   a power of two, so every path has the same length; an RFC 6962 tree over them; and `root = H("block", all
   that honest replicas say alike of the block, tree root)`. So a root fixes ledger, epoch, block number,
   sequences, n, k, codec, checksum, length, the root before it and the last statement, and neither an inner
   node, another block's piece nor another replica's can stand in for a piece.
3. Who has verified `k` slices under a root decodes once and encodes again: the root must come out. If it
   does, every slice of the block is known, and with it who signed a wrong one. If it does not, the root is
   not over one codeword and more replicas lied than assumed; nobody guesses then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple, Protocol, Self

from learners.blocks import BlockRange
from learners.codec import CodecError, erasure_code
from protocol import merkle
from protocol.hashing import Tag, tagged
from schemas.epoch import Configuration
from schemas.piece import PieceHeader

FORMAT = 1

TREE = "tree"
"""The checksum of this module, as the epoch's configuration names it."""

NULL_LEAF = b"null"
"""Leaf of a slice that does not exist: no real leaf has this length."""

_LENGTH = Struct(">I")
_NUMBERS = Struct(">8q")


class BlockError(ValueError):
    """Bytes that are no block of the count they claim."""


class PieceError(ValueError):
    """A piece header that contradicts itself: whoever signed it lied."""


class NotACodewordError(ValueError):
    """Verified slices that are not of one codeword: the root is a lie that too many replicas agree on."""


class Encoder(Protocol):
    """What makes slices; `learners.codec.ErasureCode` unless somebody wants to lie."""

    def encode(self, block: bytes) -> list[bytes]:
        """All slices of a block."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDescription:
    """What every honest replica says alike about a block; see `schemas.piece.PieceHeader`."""

    ledger_id: bytes
    epoch: int
    block: int
    first_sequence: int
    count: int
    n: int
    k: int
    codec: str
    checksum: str
    block_length: int
    previous_block_root: bytes
    last_statement_hash: bytes

    @classmethod
    def of(cls, header: PieceHeader) -> Self:
        """What a piece says about its block."""
        return cls(
            ledger_id=header.ledger_id,
            epoch=header.epoch,
            block=header.block,
            first_sequence=header.first_sequence,
            count=header.count,
            n=header.n,
            k=header.k,
            codec=header.codec,
            checksum=header.checksum,
            block_length=header.block_length,
            previous_block_root=header.previous_block_root,
            last_statement_hash=header.last_statement_hash,
        )

    def bind(self, tree_root: bytes) -> bytes:
        """The block's root: everything described here, and the tree over its slices."""
        numbers = _NUMBERS.pack(
            FORMAT, self.epoch, self.block, self.first_sequence, self.count, self.n, self.k, self.block_length
        )
        names = (self.codec.encode(), self.checksum.encode())
        hashes = (self.previous_block_root, self.last_statement_hash, tree_root)
        return tagged(Tag.BLOCK, self.ledger_id, numbers, *names, *hashes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispersal:
    """A block's slices under their root; slice, hash and path by piece index."""

    description: BlockDescription
    root: bytes
    slices: Sequence[bytes]
    slice_hashes: Sequence[bytes]
    paths: Sequence[tuple[bytes, ...]]

    def header(self, index: int) -> PieceHeader:
        """What replica `index` signs."""
        about = self.description
        return PieceHeader(
            format=FORMAT,
            ledger_id=about.ledger_id,
            epoch=about.epoch,
            block=about.block,
            first_sequence=about.first_sequence,
            count=about.count,
            n=about.n,
            k=about.k,
            codec=about.codec,
            checksum=about.checksum,
            block_length=about.block_length,
            piece_index=index,
            previous_block_root=about.previous_block_root,
            root=self.root,
            path=self.paths[index],
            slice_hash=self.slice_hashes[index],
            last_statement_hash=about.last_statement_hash,
        )


def describe(
    configuration: Configuration,
    place: BlockRange,
    block_length: int,
    previous_block_root: bytes,
    last_statement_hash: bytes,
) -> BlockDescription:
    """What honest replicas of an epoch say of a block at this place."""
    return BlockDescription(
        ledger_id=configuration.ledger_id,
        epoch=configuration.epoch,
        block=place.block,
        first_sequence=place.first_sequence,
        count=place.updates,
        n=configuration.n,
        k=configuration.k,
        codec=configuration.codec,
        checksum=configuration.checksum,
        block_length=block_length,
        previous_block_root=previous_block_root,
        last_statement_hash=last_statement_hash,
    )


class Slice(NamedTuple):
    """A slice and its hash, which somebody has verified under a root."""

    data: bytes
    hash: bytes


def frame_block(updates: Sequence[bytes]) -> bytes:
    """The bytes of a block of these updates."""
    parts: list[bytes] = []
    for update in updates:
        parts += (_LENGTH.pack(len(update)), update)
    return b"".join(parts)


def open_block(block: bytes, count: int) -> list[bytes]:
    """The `count` updates of a block.

    Raises:
        BlockError: the bytes are not exactly so many updates.
    """
    updates: list[bytes] = []
    at = 0
    while at < len(block) and len(updates) < count:
        start = at + _LENGTH.size
        if start > len(block):
            break
        at = start + _LENGTH.unpack_from(block, at)[0]
        updates.append(block[start:at])
    if at != len(block) or len(updates) != count:
        raise BlockError(f"{len(block)} bytes are not {count} updates")
    return updates


def slice_hash(data: bytes) -> bytes:
    """The hash of a slice, as its header and its leaf hold it."""
    return tagged(Tag.SLICE, data)


def disperse(
    description: BlockDescription, block: bytes, encoder: Encoder, verified: Mapping[int, Slice] | None = None
) -> Dispersal:
    """Encode a block and build the tree over its slices.

    A slice that comes out like one of the `verified` is not hashed again.
    """
    known = verified or {}
    slices = encoder.encode(block)
    hashes: list[bytes] = []
    for index, data in enumerate(slices):
        held = known.get(index)
        hashes.append(held.hash if held is not None and held.data == data else slice_hash(data))
    leaves = [_leaf(index, hashed) for index, hashed in enumerate(hashes)]
    leaves += [NULL_LEAF] * (_width(description.n) - len(leaves))
    paths = merkle.paths(leaves)
    tree_root = merkle.root_from_path(leaves[0], 0, len(leaves), paths[0])
    return Dispersal(
        description=description,
        root=description.bind(tree_root),
        slices=slices,
        slice_hashes=hashes,
        paths=paths,
    )


def check_header(header: PieceHeader) -> None:
    """Check that a piece header does not contradict itself: its path leads from its slice's hash to its root.

    Raises:
        PieceError: it does, so it proves by itself that its signer lied.
    """
    if not 0 <= header.piece_index < header.n:
        raise PieceError(f"piece {header.piece_index} of {header.n}")
    leaf = _leaf(header.piece_index, header.slice_hash)
    try:
        tree_root = merkle.root_from_path(leaf, header.piece_index, _width(header.n), header.path)
    except merkle.MerkleError as error:
        raise PieceError(str(error)) from error
    if BlockDescription.of(header).bind(tree_root) != header.root:
        raise PieceError(f"the path of piece {header.piece_index} does not lead to its root")


def rebuild(
    description: BlockDescription, root: bytes, slices: Mapping[int, Slice]
) -> tuple[bytes, Dispersal]:
    """Decode a block from exactly `k` slices that were verified under `root`, and encode it again.

    Raises:
        NotACodewordError: the root does not come out, or the slices do not fit what it binds.
    """
    try:
        code = erasure_code(description.k, description.n)
        block = code.decode({index: held.data for index, held in slices.items()}, description.block_length)
    except CodecError as error:
        raise NotACodewordError(str(error)) from error
    again = disperse(description, block, code, slices)
    if again.root != root:
        raise NotACodewordError(f"block {description.block} does not encode to its root")
    return block, again


def _leaf(index: int, hashed: bytes) -> bytes:
    return _LENGTH.pack(index) + hashed


def _width(n: int) -> int:
    """The least power of two that holds `n` leaves."""
    return 1 << (n - 1).bit_length()
