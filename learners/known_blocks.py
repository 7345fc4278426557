"""Blocks that were learned, as long as they are remembered: what pieces that come later are compared with.

Rules:

1. A replica lied only if its own signed header, which names the block's last statement, is not the one that
   follows from the block. The offline verifier (`protocol.evidence.replica`) comes to the same from the piece
   and the block alone.
2. A header that names another last statement proves nothing against its replica: both parties may have signed
   two. One that differs in the root before it proves nothing by itself either.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import Dispersal
from learners.pieces import OpenedPiece
from schemas.statement import Countersigned


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBlock:
    """A block that was learned.

    Attributes:
        dispersal: the block under its root.
        last: the doubly signed statement it ends with.
        heard: replicas that have sent an authentic piece of it, a true one or not.
    """

    dispersal: Dispersal
    last: Countersigned
    heard: set[int] = field(default_factory=set)

    @property
    def block(self) -> bytes:
        """Its bytes."""
        return self.dispersal.block

    def is_of(self, piece: OpenedPiece) -> bool:
        """Whether a piece is the block's."""
        header = piece.header
        if (header.epoch, header.root) != (self.dispersal.description.epoch, self.dispersal.root):
            return False  # another epoch may have replicas, and numbers, that this block has no slice for
        return header == self.dispersal.header(piece.replica)

    def refutes(self, piece: OpenedPiece) -> bool:
        """Whether the block proves that the replica of an authentic piece lied (rules 1 and 2)."""
        about, claimed = self.dispersal.description, piece.header
        if claimed.last_statement_hash != about.last_statement_hash or claimed.epoch != about.epoch:
            return False
        about = replace(about, previous_block_root=claimed.previous_block_root)
        made = disperse(about, self.block, erasure_code(about.k, about.n))
        return made.header(piece.replica) != claimed


class Lie(NamedTuple):
    """An authentic piece, and the block that refutes it."""

    piece: OpenedPiece
    known: KnownBlock


class KnownBlocks:
    """The blocks learned last, as many as fit into `memory_bytes`, but always one."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._known: OrderedDict[int, KnownBlock] = OrderedDict()
        self._held_bytes = 0

    def __iter__(self) -> Iterator[KnownBlock]:
        return iter(self._known.values())

    def remember(self, known: KnownBlock) -> None:
        """Add the block learned last, and forget the oldest ones that no longer fit."""
        known.dispersal.forget_slices()
        self._known[known.dispersal.description.block] = known
        self._held_bytes += len(known.block)
        while self._held_bytes > self._memory_bytes and len(self._known) > 1:
            _, forgotten = self._known.popitem(last=False)
            self._held_bytes -= len(forgotten.block)

    def get(self, block: int) -> KnownBlock | None:
        """A block, if it is still remembered."""
        return self._known.get(block)
