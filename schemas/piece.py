"""What a replica publishes: its erasure-coded share of a block (PROTOCOL 2; seed paper section 3)."""

from dataclasses import dataclass

from schemas.codec import Message, One
from schemas.statement import Countersigned


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece(Message, schema="piece", nested={"last": One(Countersigned)}):
    """A replica's message: signed header, slice, and the doubly signed statement of the block's last
    update.
    """

    header: bytes
    signature: bytes
    slice: bytes
    last: Countersigned
