"""Where a learner stands, as it is stored in one transaction with what it has learned."""

import struct
from dataclasses import dataclass, replace
from typing import Self

from protocol.hashing import HASH_SIZE, ZERO_HASH
from protocol.journal import Head
from schemas.topics import pieces_topic
from storage.effects import FIRST_OFFSET, Position

_FIXED = struct.Struct(f">q{HASH_SIZE}sHH")
_REPLICA = struct.Struct(">qi?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerPosition:
    """All that a learner needs to go on.

    Attributes:
        block: number of the next block.
        previous_root: root of the block before it.
        head: of the journal, as far as it is learned.
        read_on: by replica, where in its topic to read on; nothing before it is needed any more.
        blamed: replicas that were proved to lie.
        clients: public keys as `learners.clients` keeps them; empty for a learner that does not check them.
    """

    block: int
    previous_root: bytes
    head: Head
    read_on: tuple[Position, ...]
    blamed: frozenset[int]
    clients: bytes = b""

    @classmethod
    def start(cls, replicas: int) -> Self:
        """Before the first block."""
        return cls(
            block=0,
            previous_root=ZERO_HASH,
            head=Head.start(),
            read_on=tuple(Position(pieces_topic(replica), 0, FIRST_OFFSET) for replica in range(replicas)),
            blamed=frozenset(),
        )

    def reading(self, replicas: int) -> Self:
        """This position for so many replicas: those that joined meanwhile are read from the beginning."""
        joined = self.start(replicas).read_on[len(self.read_on) :]
        return replace(self, read_on=(*self.read_on, *joined))

    def to_bytes(self) -> bytes:
        """What the views keep of it."""
        head = self.head.to_bytes()
        parts = [_FIXED.pack(self.block, self.previous_root, len(self.read_on), len(head))]
        for replica, place in enumerate(self.read_on):
            parts.append(_REPLICA.pack(place.offset, place.leader_epoch, replica in self.blamed))
        parts += (head, self.clients)
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The reverse of `to_bytes`, for a learner's own views."""
        block, previous_root, replicas, head_length = _FIXED.unpack_from(data)
        end = _FIXED.size + replicas * _REPLICA.size
        rows = list(_REPLICA.iter_unpack(data[_FIXED.size : end]))
        return cls(
            block=block,
            previous_root=previous_root,
            head=Head.from_bytes(data[end : end + head_length]),
            read_on=tuple(
                Position(pieces_topic(replica), 0, offset, leader_epoch)
                for replica, (offset, leader_epoch, _) in enumerate(rows)
            ),
            blamed=frozenset(replica for replica, (_, _, blamed) in enumerate(rows) if blamed),
            clients=data[end + head_length :],
        )
