"""The dispersed checkpoint: every replica sends its share of every block to all (seed paper, Proposition 4.4).

Rules:

1. `k = n - 2b`: of `n` replicas `b` lie and `b` may be in the dark, so `k` shares of honest replicas always come, and
   `k > b`. Nothing is asked for, so nobody can be made to serve more than others, and nothing waits for a clock.
2. Whoever reaches a block disperses it, also one that learned it from the others: so what brought one replica out
   of the dark brings out all of them.
3. The first share of a replica counts. Shares are gathered by root and length; `b + 1` of one root make it the true
   one, and it takes `k > b` to decode. `learners.search` finds the block as for a learner.
4. Whoever sent a share that is not the block's has lied: on authenticated channels that needs no evidence. Its shares
   are used last from then on, so all its lies together cost at most one search.
5. The 8 bytes of a message's position are the number of its block and the length of that block, 4 each.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Self

from learners.checkpoints.checkpoint import (
    NOTHING,
    POSITION_BYTES,
    Answer,
    CheckpointMessage,
    ClusterSize,
    Send,
    flipped,
)
from learners.checksums import PieceError, check_header, disperse
from learners.codec import CODEC, erasure_code
from learners.dispersal import FORMAT, BlockDescription, Dispersal, Slice, slice_hash
from learners.search import Search
from protocol.hashing import ZERO_HASH
from schemas.piece import PieceHeader

CheckpointChecksum = Literal["simple", "tree"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share(CheckpointMessage):
    """One replica's part of a block.

    Attributes:
        block_length: bytes of the block before coding.
        data: the slice.
        root, path: the checksum; a simple one has no path.
    """

    block_length: int
    data: bytes
    root: bytes
    path: tuple[bytes, ...]

    @property
    def size_bytes(self) -> int:
        """Position, slice and checksum."""
        return POSITION_BYTES + len(self.data) + len(self.root) + sum(map(len, self.path))

    def corrupted(self) -> Self:
        """The true checksum, and a slice that is not of it."""
        return replace(self, data=flipped(self.data))


class HeldShare(NamedTuple):
    """A share and who sent it."""

    replica: int
    slice: Slice


@dataclass(slots=True)
class _Gathering:
    """What came of one block."""

    heard: set[int] = field(default_factory=set)
    shares: defaultdict[tuple[bytes, int], list[HeldShare]] = field(default_factory=lambda: defaultdict(list))
    searches: dict[tuple[bytes, int], Search[HeldShare]] = field(default_factory=dict)


class DispersedCheckpointer:
    """One replica that disperses.

    Args:
        size: of the cluster.
        index: which replica this is.
        checksum: by which shares are checked.
        block_updates: updates in a block.

    Attributes:
        decodes: decodings so far, by block that was learned.
        blamed: replicas that were found to lie.
    """

    def __init__(self, *, size: ClusterSize, index: int, checksum: CheckpointChecksum, block_updates: int) -> None:
        self._size = size
        self._index = index
        self._checksum = checksum
        self._block_updates = block_updates
        self._gathering: defaultdict[int, _Gathering] = defaultdict(_Gathering)
        self._known: set[int] = set()
        self.decodes: dict[int, int] = {}
        self.blamed: frozenset[int] = frozenset()

    def reached(self, block: int, data: bytes) -> Sequence[Send]:
        """Send everybody this replica's share."""
        made = disperse(self._describe(block, len(data)), data, erasure_code(self._size.k, self._size.n))
        self._settle(block, made)
        share = Share(
            block=block,
            block_length=len(data),
            data=made.slice(self._index),
            root=made.root,
            path=made.path(self._index),
        )
        return [Send(receiver, share) for receiver in range(self._size.n)]

    def receive(self, sender: int, message: CheckpointMessage) -> Answer:
        """Take a share in, and look whether it makes its block whole."""
        if not isinstance(message, Share) or message.block in self._known:
            return NOTHING
        gathering = self._gathering[message.block]
        if sender in gathering.heard:
            return NOTHING
        gathering.heard.add(sender)
        held = HeldShare(sender, Slice(message.data, slice_hash(message.data)))
        if not self._is_consistent(held, message):
            self.blamed |= {sender}
            return NOTHING
        named = message.root, message.block_length
        gathering.shares[named].append(held)
        search = gathering.searches.get(named)
        if search is None:
            description = self._describe(message.block, message.block_length)
            search = gathering.searches[named] = Search(description, message.root, self._size.b)
        found = search.find(gathering.shares[named], self.blamed)
        if found is None:
            return NOTHING
        self.decodes[message.block] = search.decodes
        self._settle(message.block, found[0])
        return Answer(learned={message.block: found[0].block})

    def _settle(self, block: int, made: Dispersal) -> None:
        """A block is known: whoever sent something else lied, and nothing more of it is needed."""
        gathering = self._gathering.pop(block, _Gathering())
        for (root, length), shares in gathering.shares.items():
            named_truly = (root, length) == (made.root, made.description.block_length)
            liars = {held.replica for held in shares if not (named_truly and made.is_slice(held.replica, held.slice))}
            self.blamed |= liars
        self._known.add(block)

    def _is_consistent(self, held: HeldShare, share: Share) -> bool:
        """Whether a share can be of its root: a slice of the right length, and a path that leads there."""
        about = self._describe(share.block, share.block_length)
        header = PieceHeader(
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
            piece_index=held.replica,
            previous_block_root=about.previous_block_root,
            root=share.root,
            path=share.path,
            slice_hash=held.slice.hash,
            last_statement_hash=about.last_statement_hash,
        )
        try:
            check_header(header)
        except PieceError:
            return False
        return len(share.data) == erasure_code(self._size.k, self._size.n).slice_bytes(share.block_length)

    def _describe(self, block: int, block_length: int) -> BlockDescription:
        """What all honest replicas say alike about a block; inside one cluster there are neither ledgers nor epochs."""
        return BlockDescription(
            ledger_id=ZERO_HASH,
            epoch=0,
            block=block,
            first_sequence=block * self._block_updates,
            count=self._block_updates,
            n=self._size.n,
            k=self._size.k,
            codec=CODEC,
            checksum=self._checksum,
            block_length=block_length,
            previous_block_root=ZERO_HASH,
            last_statement_hash=ZERO_HASH,
        )
