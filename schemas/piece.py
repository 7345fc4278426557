"""What a replica publishes: its erasure-coded share of a block (PROTOCOL 2; seed paper section 3).

Every learner reads `n` pieces of each block, so both messages are encoded and read by hand; `Message` stays their
reference.
"""

from dataclasses import dataclass
from typing import Self

from schemas.binary import encode_long, encode_text, end_array, read_count, read_long, read_text
from schemas.carriers import Carrier
from schemas.codec import Message, One
from schemas.errors import MalformedMessageError
from schemas.statement import Countersigned

_HASH = 32
_END = b"\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceHeader(Message, schema="piece_header"):
    """What a replica signs of its piece.

    Attributes:
        block: number of the block in its ledger, from 0.
        first_sequence: sequence of the block's first update.
        count: updates in the block.
        n: replicas. k: pieces that suffice.
        block_length: bytes of the block before coding.
        path: of this piece's slice under `root`.
    """

    format: int
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
    piece_index: int
    previous_block_root: bytes
    root: bytes
    path: tuple[bytes, ...]
    slice_hash: bytes
    last_statement_hash: bytes

    def to_bytes(self) -> bytes:
        """The canonical Avro body: what is hashed."""
        path = self.path
        hashes = (self.ledger_id, self.previous_block_root, self.root, self.slice_hash, self.last_statement_hash)
        assert all(len(value) == _HASH for value in (*hashes, *path))
        numbers = (self.epoch, self.block, self.first_sequence, self.count, self.n, self.k)
        return b"".join(
            (
                encode_long(self.format),
                self.ledger_id,
                *map(encode_long, numbers),
                encode_text(self.codec),
                encode_text(self.checksum),
                encode_long(self.block_length),
                encode_long(self.piece_index),
                self.previous_block_root,
                self.root,
                encode_long(len(path)) if path else b"",
                *path,
                _END,
                self.slice_hash,
                self.last_statement_hash,
            )
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Parse a canonical Avro body.

        Raises:
            MalformedMessageError: the bytes are anything else.
        """
        try:
            return cls._read(body)
        except (IndexError, UnicodeDecodeError) as error:
            raise MalformedMessageError(f"piece_header: {error}") from error

    @classmethod
    def _read(cls, body: bytes) -> Self:
        form, at = read_long(body, 0)
        ledger_id, at = body[at : at + _HASH], at + _HASH
        epoch, at = read_long(body, at)
        block, at = read_long(body, at)
        first_sequence, at = read_long(body, at)
        count, at = read_long(body, at)
        n, at = read_long(body, at)
        k, at = read_long(body, at)
        codec, at = read_text(body, at)
        checksum, at = read_text(body, at)
        block_length, at = read_long(body, at)
        piece_index, at = read_long(body, at)
        roots, at = at, at + 2 * _HASH
        nodes, start = read_count(body, at)
        behind = start + nodes * _HASH
        at = end_array(body, behind, nodes)
        if at + 2 * _HASH != len(body):
            raise MalformedMessageError("piece_header: another length than its parts have")
        return cls.of_values(
            form,
            ledger_id,
            epoch,
            block,
            first_sequence,
            count,
            n,
            k,
            codec,
            checksum,
            block_length,
            piece_index,
            body[roots : roots + _HASH],
            body[roots + _HASH : roots + 2 * _HASH],
            tuple([body[place : place + _HASH] for place in range(start, behind, _HASH)]),
            body[at : at + _HASH],
            body[at + _HASH :],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece(Carrier, schema="piece", nested={"last": One(Countersigned)}):
    """A replica's message: signed header, slice, and the doubly signed statement of the block's last
    update.
    """

    header: bytes
    signature: bytes
    slice: bytes
    last: Countersigned
