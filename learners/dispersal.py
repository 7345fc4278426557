"""Information dispersal: from `n` updates to a block, and what stands under its root (seed paper, section 3).

Rules:

1. A block is its updates, each after its length as u32 big-endian, in sequence; count and length stand in the
   header, and a block is read back only if it uses up every byte.
2. `root = H("block", all that honest replicas say alike of the block, commitment)`. So a root fixes ledger,
   epoch, block number, sequences, n, k, codec, checksum, length, the root before it and the last statement; and
   whatever of the block itself the checksum commits to (`learners.checksums`).
3. Nothing is encoded, and nothing hashed, before somebody asks for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple, Protocol, Self

from learners.blocks import BlockRange
from protocol.hashing import Tag, tagged
from schemas.epoch import Configuration
from schemas.piece import PieceHeader

FORMAT: Final = 1

_LENGTH: Final = Struct(">I")
_NUMBERS: Final = Struct(">8q")

LENGTH_BYTES: Final = _LENGTH.size
"""Of the length before each update in a block."""


class BlockError(ValueError):
    """Bytes that are no block of the count they claim."""


class Encoder(Protocol):
    """What makes slices; `learners.codec.ErasureCode` unless somebody wants to lie."""

    def encode(self, block: bytes) -> list[bytes]:
        """All slices of a block."""
        ...

    def slice(self, block: bytes, index: int) -> bytes:
        """One slice of a block."""
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

    def bind(self, commitment: bytes) -> bytes:
        """The block's root: everything described here, and what a checksum commits to."""
        return block_root(self, commitment)


def block_root(about: BlockDescription | PieceHeader, commitment: bytes) -> bytes:
    """The root of a block that is described like this, over what its checksum commits to."""
    numbers = _NUMBERS.pack(
        FORMAT, about.epoch, about.block, about.first_sequence, about.count, about.n, about.k, about.block_length
    )
    names = (about.codec.encode(), about.checksum.encode())
    hashes = (about.previous_block_root, about.last_statement_hash, commitment)
    return tagged(Tag.BLOCK, about.ledger_id, numbers, *names, *hashes)


class Slice(NamedTuple):
    """A slice and its hash, which somebody has compared."""

    data: bytes
    hash: bytes


class Dispersal:
    """A block under its root; slice, hash and path by piece index, each made when it is asked for.

    Args:
        description: of the block.
        root: of the block.
        block: its bytes.
        encoder: makes the slices.
        slices, hashes: those that were made already.
        paths: of all slices, where the checksum is a tree.
    """

    def __init__(
        self,
        *,
        description: BlockDescription,
        root: bytes,
        block: bytes,
        encoder: Encoder,
        slices: Mapping[int, bytes] | None = None,
        hashes: Mapping[int, bytes] | None = None,
        paths: Sequence[tuple[bytes, ...]] = (),
    ) -> None:
        self.description = description
        self.root = root
        self.block = block
        self._encoder = encoder
        self._slices = dict(slices or {})
        self._hashes = dict(hashes or {})
        self._paths = paths

    def slice(self, index: int) -> bytes:
        """The share of replica `index`."""
        if index not in self._slices:
            self._slices[index] = self._encoder.slice(self.block, index)
        return self._slices[index]

    def slice_hash(self, index: int) -> bytes:
        """The hash of that share."""
        if index not in self._hashes:
            self._hashes[index] = slice_hash(self.slice(index))
        return self._hashes[index]

    def path(self, index: int) -> tuple[bytes, ...]:
        """What leads from that hash to the root; empty unless the checksum is a tree."""
        return self._paths[index] if self._paths else ()

    def is_slice(self, index: int, held: Slice) -> bool:
        """Whether a slice is the one of replica `index`; where it is, it is not hashed again."""
        if index in self._hashes:
            return self._hashes[index] == held.hash
        if self.slice(index) != held.data:
            return False
        self._hashes[index] = held.hash
        return True

    def forget_slices(self) -> None:
        """Keep the block alone, and the hashes: slices are made again if they are asked for."""
        self._slices.clear()

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
            path=self.path(index),
            slice_hash=self.slice_hash(index),
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
