"""What learning cost, beside what the paper says that it costs at most (seed paper, 3.2 to 3.4 and 4.1).

Rules:

1. A message has three parts: what the theorems count (a number, the slice, the checksum), what makes it
   authentic (the replica's signature, and the statement that both parties signed), and its framing (all the
   rest). Only the first part has a bound; the others are stated beside it.
2. The theorems count one message of each replica for each block. What a replica sends again is counted, and
   stated apart.
3. Blocks are kept one by one as long as there are few enough of them; the totals are over all.
4. A missing piece is silence, and lag too: neither proves anything against a replica.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Self

from learners.blocks import BlockRange
from learners.pieces import OpenedPiece
from protocol.configuration import Epochs
from protocol.hashing import HASH_SIZE
from schemas.epoch import Configuration

BLOCKS_KEPT = 10_000
"""So many of the newest blocks are kept one by one."""

_NUMBER_BYTES = 8
"""The length of the journal, or the number of the block, beside each piece: the `|J|` of the paper."""


class Observer(Protocol):
    """Told by a learner of what it receives and does."""

    def admitted(self, piece: OpenedPiece) -> None:
        """An authentic piece came, a repetition or a late one perhaps."""
        ...

    def skipped(self, replica: int, message_bytes: int) -> None:
        """A message came on a replica's topic that counts for nothing."""
        ...

    def learned(self, place: BlockRange, block_length: int, decodes: int) -> None:
        """A block was learned, after so many decode steps."""
        ...

    def wrong(self, replica: int, block: int) -> None:
        """An authentic piece of a replica is not the block's."""
        ...


class PieceBytes(NamedTuple):
    """Bytes of messages, by what they are for.

    Attributes:
        counted: what the theorems count: a number, the slice and the checksum.
        signatures: the replica's signature, and the statement that both parties signed.
        framing: everything else.
    """

    counted: int = 0
    signatures: int = 0
    framing: int = 0

    @classmethod
    def of(cls, piece: OpenedPiece) -> Self:
        """Those of one message."""
        counted = _NUMBER_BYTES + len(piece.data) + checksum_bytes(piece.header.checksum, piece.header.n)
        signatures = len(piece.signature) + sum(map(len, piece.last))
        return cls(counted, signatures, piece.message_bytes - counted - signatures)

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self)


NO_BYTES = PieceBytes()


def checksum_bytes(checksum: str, n: int) -> int:
    """Bytes of a checksum as the paper counts it: nothing, one hash, or a root and a path."""
    path = (n - 1).bit_length()
    hashes = {"none": 0, "simple": 1, "tree": 1 + path}[checksum]
    return hashes * HASH_SIZE


def message_bytes_max(configuration: Configuration, block_length: int) -> int:
    """The counted bytes of one message about a block, exactly: number, checksum and slice (Theorem 3.2).

    For `m` blocks the theorem's own form is `m (8 + c + 1) + journal / k`, which is `m - 1` bytes more at most.
    """
    slice_bytes = -(-block_length // configuration.k)
    return _NUMBER_BYTES + checksum_bytes(configuration.checksum, configuration.n) + slice_bytes


def decodes_max(configuration: Configuration) -> int:
    """Decode steps that a block takes at most: one, or with simple checksums one for each choice (3.4, 3.8)."""
    if configuration.checksum != "simple":
        return 1
    return math.comb(configuration.k + configuration.b, configuration.k)


@dataclass(slots=True, kw_only=True)
class BlockCost:
    """What one block cost.

    Attributes:
        first_sequence, updates: of the block; `updates` is 0 until it is learned.
        block_length: bytes of the block.
        pieces: bytes of the first piece of each replica that sent one.
        repeated: messages beyond those.
        decodes: decode steps.
        wrong: replicas whose piece is not the block's.
        messages_max, counted_max, decodes_max: what the theorems allow; the bytes are `counted` ones.
    """

    block: int
    first_sequence: int = 0
    updates: int = 0
    block_length: int = 0
    pieces: dict[int, PieceBytes] = field(default_factory=dict)
    repeated: int = 0
    decodes: int = 0
    wrong: set[int] = field(default_factory=set)
    messages_max: int = 0
    counted_max: int = 0
    decodes_max: int = 0

    @property
    def is_learned(self) -> bool:
        """Whether it was rebuilt and checked."""
        return self.updates > 0

    @property
    def received(self) -> PieceBytes:
        """Bytes of all its first pieces."""
        return added(self.pieces.values())

    def missing(self) -> tuple[int, ...]:
        """The replicas of which no piece came."""
        return tuple(replica for replica in range(self.messages_max) if replica not in self.pieces)


@dataclass(slots=True, kw_only=True)
class ReplicaCost:
    """What one replica sent about the blocks that were learned.

    Attributes:
        messages, received: its first message about each, and their bytes.
        repeated, repeated_bytes: what it sent again.
        skipped, skipped_bytes: what counts for nothing on its topic, whoever wrote it.
        misconfigured: those of them with which it disperses otherwise than its epoch says.
        wrong: pieces that are not their block's.
        newest: its newest block, learned or not, -1 before the first.
        counted_max: `counted` bytes that it sends at most (Theorem 3.2).
        missing: blocks without its piece.
    """

    replica: int
    messages: int = 0
    received: PieceBytes = NO_BYTES
    repeated: int = 0
    repeated_bytes: int = 0
    skipped: int = 0
    skipped_bytes: int = 0
    misconfigured: int = 0
    wrong: int = 0
    newest: int = -1
    counted_max: int = 0
    missing: int = 0

    def credit(self, size: PieceBytes) -> None:
        """Count a first piece."""
        self.messages += 1
        self.received = added((self.received, size))

    @property
    def is_within_bounds(self) -> bool:
        """Whether it sent no more than the theorem allows; there is no bound on what a liar sends."""
        return self.received.counted <= self.counted_max or self.wrong > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningReport:
    """What learning cost so far, and what the theorems allow.

    Attributes:
        blocks: how many were learned. updates: in them. journal_bytes: of them, lengths of updates included.
        decodes: decode steps.
        messages_max, counted_max, decodes_max: what the theorems allow for so many blocks.
        newest: the newest block that was learned, -1 before the first.
        replicas: by number.
        kept: the newest learned blocks, one by one.
    """

    blocks: int
    updates: int
    journal_bytes: int
    decodes: int
    messages_max: int
    counted_max: int
    decodes_max: int
    newest: int
    replicas: Sequence[ReplicaCost]
    kept: Sequence[BlockCost]

    @property
    def messages(self) -> int:
        """First messages of all replicas."""
        return sum(replica.messages for replica in self.replicas)

    @property
    def received(self) -> PieceBytes:
        """Their bytes."""
        return added(replica.received for replica in self.replicas)

    @property
    def extra_bytes(self) -> int:
        """Bytes of what was sent again, and of what counts for nothing."""
        return sum(replica.repeated_bytes + replica.skipped_bytes for replica in self.replicas)

    @property
    def copies(self) -> float:
        """All received bytes as a multiple of the journal; 0 without a journal."""
        return (self.received.total + self.extra_bytes) / self.journal_bytes if self.journal_bytes else 0.0

    def lag_blocks(self, replica: int) -> int:
        """How many blocks a replica is behind the newest that was learned."""
        return max(0, self.newest - self.replicas[replica].newest)

    def is_within_bounds(self) -> bool:
        """Whether nothing cost more than the theorems allow."""
        return (
            self.messages <= self.messages_max
            and self.decodes <= self.decodes_max
            and all(replica.is_within_bounds for replica in self.replicas)
        )


class Accounting:
    """Keeps the account of one learner: the port `Observer`.

    Args:
        epochs: genesis and configurations.
        blocks_kept: so many of the newest blocks are kept one by one.
    """

    def __init__(self, epochs: Epochs, blocks_kept: int = BLOCKS_KEPT) -> None:
        self._epochs = epochs
        self._blocks_kept = blocks_kept
        self._ahead: dict[int, BlockCost] = {}
        self._kept: OrderedDict[int, BlockCost] = OrderedDict()
        self._replicas = [ReplicaCost(replica=number) for number in range(replicas_max(epochs))]
        self._newest = -1
        self._total = BlockCost(block=-1)
        self._blocks = 0

    # --- The port `Observer` ---

    def admitted(self, piece: OpenedPiece) -> None:
        """See `Observer.admitted`."""
        number, replica = piece.header.block, self._replicas[piece.replica]
        if not piece.fits(self._epochs.at(piece.header.epoch)):
            replica.misconfigured += 1
            self.skipped(piece.replica, piece.message_bytes)
            return
        replica.newest = max(replica.newest, number)
        cost = self._kept.get(number)
        if cost is None and number > self._newest:
            cost = self._ahead.setdefault(number, BlockCost(block=number))
        if cost is None or piece.replica in cost.pieces:
            replica.repeated += 1
            replica.repeated_bytes += piece.message_bytes
            if cost is not None:
                cost.repeated += 1
            return
        cost.pieces[piece.replica] = PieceBytes.of(piece)
        if cost.is_learned and piece.replica < cost.messages_max:  # so it comes late
            replica.credit(cost.pieces[piece.replica])
            replica.missing -= 1

    def skipped(self, replica: int, message_bytes: int) -> None:
        """See `Observer.skipped`."""
        self._replicas[replica].skipped += 1
        self._replicas[replica].skipped_bytes += message_bytes

    def wrong(self, replica: int, block: int) -> None:
        """See `Observer.wrong`."""
        self._replicas[replica].wrong += 1
        cost = self._kept.get(block) or self._ahead.get(block)
        if cost is not None:
            cost.wrong.add(replica)

    def learned(self, place: BlockRange, block_length: int, decodes: int) -> None:
        """See `Observer.learned`."""
        configuration, total = self._epochs.at(place.epoch), self._total
        cost = self._ahead.pop(place.block, None) or BlockCost(block=place.block)
        message_bytes = message_bytes_max(configuration, block_length)
        cost.first_sequence, cost.updates, cost.block_length = place.first_sequence, place.updates, block_length
        cost.messages_max, cost.counted_max = configuration.n, configuration.n * message_bytes
        cost.decodes, cost.decodes_max = decodes, decodes_max(configuration)
        total.updates += cost.updates
        total.block_length += cost.block_length
        total.decodes += cost.decodes
        total.messages_max += cost.messages_max
        total.counted_max += cost.counted_max
        total.decodes_max += cost.decodes_max
        for replica in self._replicas[: configuration.n]:
            replica.counted_max += message_bytes
            if replica.replica in cost.pieces:
                replica.credit(cost.pieces[replica.replica])
            else:
                replica.missing += 1
        self._newest = place.block
        self._blocks += 1
        self._kept[place.block] = cost
        if len(self._kept) > self._blocks_kept:
            self._kept.popitem(last=False)

    # --- The account ---

    def report(self) -> LearningReport:
        """What learning cost so far."""
        total = self._total
        return LearningReport(
            blocks=self._blocks,
            updates=total.updates,
            journal_bytes=total.block_length,
            decodes=total.decodes,
            messages_max=total.messages_max,
            counted_max=total.counted_max,
            decodes_max=total.decodes_max,
            newest=self._newest,
            replicas=tuple(self._replicas),
            kept=tuple(self._kept.values()),
        )


def added(sizes: Iterable[PieceBytes]) -> PieceBytes:
    """All of these together."""
    counted = signatures = framing = 0
    for size in sizes:
        counted += size.counted
        signatures += size.signatures
        framing += size.framing
    return PieceBytes(counted, signatures, framing)


def replicas_max(epochs: Epochs) -> int:
    """The most replicas that any epoch has."""
    return max(configuration.n for configuration in epochs.configurations)
