"""What a way of taking checkpoints is: a pure part of a replica, told of blocks and messages, answering with sends.

Rules:

1. Channels are authenticated (paper, section 2): who sent a message is never read in the message.
2. A replica that comes to the end of a block, by deciding or by a checkpoint, is told so once (`reached`).
3. A block is reported as learned only if no number of lies by at most `b` replicas can have made it up.
4. A message's size is what the paper counts: 8 bytes for the journal's length, and what is sent of the block. What
   a channel adds (framing, an authenticator) is the same for every way, and not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import NamedTuple, Protocol, Self

POSITION_BYTES = 8
"""Bytes of the journal's length, which names the block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSize:
    """Who may fail. Requires `n > 3 * b`.

    Attributes:
        n: replicas.
        b: of these, may lie; a lying primary can keep as many honest ones in the dark.
    """

    n: int
    b: int

    def __post_init__(self) -> None:
        if not 0 <= 3 * self.b < self.n:
            raise ValueError(f"n={self.n}, b={self.b}: a Byzantine cluster needs n > 3b")

    @property
    def k(self) -> int:
        """Replicas that are neither liars nor in the dark: so many pieces suffice (Proposition 4.4)."""
        return self.n - 2 * self.b

    @property
    def quorum(self) -> int:
        """Any two sets of so many replicas have an honest one in common."""
        return (self.n + self.b) // 2 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointMessage:
    """One message of a checkpoint; each way has its own.

    Attributes:
        block: which, from 0.
    """

    block: int

    @property
    def size_bytes(self) -> int:
        """What it costs to send."""
        return POSITION_BYTES

    def corrupted(self) -> Self:
        """The same message with a lie in it, as plausible as it can be."""
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Content(CheckpointMessage):
    """A whole block."""

    data: bytes

    @property
    def size_bytes(self) -> int:
        """Position and block."""
        return POSITION_BYTES + len(self.data)

    def corrupted(self) -> Self:
        """Another block of the same length."""
        return replace(self, data=flipped(self.data))


class Send(NamedTuple):
    """A message to one replica."""

    receiver: int
    message: CheckpointMessage


@dataclass(frozen=True, slots=True)
class Answer:
    """What a replica does about a message.

    Attributes:
        sends: in order.
        learned: blocks by number, each reported once.
    """

    sends: Sequence[Send] = ()
    learned: dict[int, bytes] = field(default_factory=dict)


NOTHING = Answer()
"""Neither sent nor learned."""


class Checkpointer(Protocol):
    """One replica's part in a way of taking checkpoints."""

    def reached(self, block: int, data: bytes) -> Sequence[Send]:
        """This replica's journal holds all of a block."""
        ...

    def receive(self, sender: int, message: CheckpointMessage) -> Answer:
        """A message came from an authenticated replica."""
        ...


def to_all(size: ClusterSize, message: CheckpointMessage) -> list[Send]:
    """The same message to every replica, the sender itself too, as the paper counts."""
    return [Send(receiver, message) for receiver in range(size.n)]


def digest(data: bytes) -> bytes:
    """What the ways that vote on a block vote on."""
    return sha256(data).digest()


def flipped(data: bytes) -> bytes:
    """The same bytes but for one bit."""
    return data[:-1] + bytes((data[-1] ^ 1,)) if data else b"\1"
