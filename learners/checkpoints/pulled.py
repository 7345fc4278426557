"""The pulled checkpoint: digests are broadcast, and who misses a block asks for it. What PBFT itself does.

Rules:

1. A digest counts when `b + 1` replicas say the same. Whoever has not reached the block by then asks all that
   vouched: in an asynchronous network nobody can tell a slow replica from a silent one, and one of so many is honest.
2. A replica serves whoever asks, as often as it is asked: nothing balances the load, and nothing bounds it (paper,
   example 2.5).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from learners.checkpoints.checkpoint import (
    NOTHING,
    POSITION_BYTES,
    Answer,
    CheckpointMessage,
    ClusterSize,
    Content,
    Send,
    digest,
    flipped,
    to_all,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouch(CheckpointMessage):
    """A replica has reached a block with this digest."""

    digest: bytes

    @property
    def size_bytes(self) -> int:
        """Position and digest."""
        return POSITION_BYTES + len(self.digest)

    def corrupted(self) -> Self:
        """Another digest, and the same one from every liar."""
        return replace(self, digest=flipped(self.digest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch(CheckpointMessage):
    """Send me the block."""


class PulledCheckpointer:
    """One replica that vouches, serves, and asks."""

    def __init__(self, size: ClusterSize) -> None:
        self._size = size
        self._blocks: dict[int, bytes] = {}
        self._vouched: defaultdict[int, dict[int, bytes]] = defaultdict(dict)
        self._wanted: dict[int, bytes] = {}

    def reached(self, block: int, data: bytes) -> Sequence[Send]:
        """Keep it to serve it, and vouch for it."""
        self._blocks[block] = data
        self._wanted.pop(block, None)
        self._vouched.pop(block, None)
        return to_all(self._size, Vouch(block=block, digest=digest(data)))

    def receive(self, sender: int, message: CheckpointMessage) -> Answer:
        """Count a digest, serve a block, or take one in."""
        match message:
            case Vouch():
                return self._count(sender, message)
            case Fetch() if message.block in self._blocks:
                return Answer([Send(sender, Content(block=message.block, data=self._blocks[message.block]))])
            case Content():
                return self._take(message)
            case _:
                return NOTHING

    def _count(self, sender: int, message: Vouch) -> Answer:
        block = message.block
        if block in self._blocks or block in self._wanted:
            return NOTHING
        vouched = self._vouched[block]
        vouched.setdefault(sender, message.digest)
        agreeing = [replica for replica, said in vouched.items() if said == message.digest]
        if len(agreeing) <= self._size.b:
            return NOTHING
        self._wanted[block] = message.digest
        del self._vouched[block]
        return Answer([Send(replica, Fetch(block=block)) for replica in agreeing])

    def _take(self, message: Content) -> Answer:
        if self._wanted.get(message.block) != digest(message.data):
            return NOTHING
        del self._wanted[message.block]
        return Answer(learned={message.block: message.data})
