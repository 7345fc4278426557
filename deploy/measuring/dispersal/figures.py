"""The exact bytes of the paper, and a row of the benchmark beside them.

Rules:

1. A message about a block of `u` updates of `s` bytes is `8 + c + ceil(u s / k)` bytes: the journal's length, the
   checksum, and the slice (paper, Theorem 3.2 without its hidden constant). Everything else that a message of ours
   has is measured apart: signatures (`signature_bytes`) and framing (`framing_bytes`).
2. Framing is what Avro and the rest of the header add, and what the 4 bytes before each update in its block add to
   the slice: those belong to our format and not to the updates.
3. So `sent_per_replica_bytes + framing_bytes + signature_bytes` is every byte that a replica sent.
4. Speed is CPU time, of one thread: MB (10^6 bytes) of blocks that a replica turned into a message, or a learner
   rebuilt. `unsigned` is without making and verifying signatures. sha256 hashes the same blocks in between.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Literal

from deploy.measuring.dispersal.decided import Sizes
from learners.accounting import PieceBytes, checksum_bytes
from learners.dispersal import LENGTH_BYTES
from learners.pieces import OpenedPiece

Attack = Literal["none", "late", "corrupt"]
"""Nobody; `c` replicas are silent until a block is learned; liars send the true checksum with a wrong slice, first."""

POSITION_BYTES = 8

_MEGA = 1e6
_HASHING_S = 0.004


def message_bytes(sizes: Sizes, journal_bytes: int) -> int:
    """What the paper sends about a block of so many bytes of updates."""
    return POSITION_BYTES + checksum_bytes(sizes.checksum, sizes.n) + -(-journal_bytes // sizes.k)


def bound_bytes(sizes: Sizes, blocks: int, journal_bytes: int) -> float:
    """What Theorem 3.2 allows for a whole journal: m (8 + c + 1) + ||J|| / k."""
    return blocks * (POSITION_BYTES + checksum_bytes(sizes.checksum, sizes.n) + 1) + journal_bytes / sizes.k


def decodes_per_block_max(sizes: Sizes) -> int:
    """C(k + b, k) for the simple checksum, else one."""
    return math.comb(sizes.k + sizes.b, sizes.k) if sizes.checksum == "simple" else 1


def bearable_liars(sizes: Sizes, block_bytes: int, searched_bytes_max: float) -> int:
    """How many liars at once, of `b`, a search under the simple checksum can be shown with.

    Args:
        searched_bytes_max: bytes that all decodings of one block together may take.
    """
    if sizes.checksum != "simple":
        return sizes.b
    liars = sizes.b
    while liars > 1 and math.comb(sizes.k + liars, sizes.k) * block_bytes > searched_bytes_max:
        liars -= 1
    return liars


class CpuTime:
    """CPU time by what it was spent on."""

    def __init__(self) -> None:
        self.step_s = 0.0
        self.signature_s = 0.0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Count everything but signatures."""
        began = time.process_time()
        yield
        self.step_s += time.process_time() - began

    @contextmanager
    def signature(self) -> Iterator[None]:
        """Count the making and verifying of signatures."""
        began = time.process_time()
        yield
        self.signature_s += time.process_time() - began

    @property
    def total_s(self) -> float:
        """Both."""
        return self.step_s + self.signature_s


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes of messages: what the paper counts, signatures, framing (rules 1 and 2)."""

    paper: int = 0
    signatures: int = 0
    framing: int = 0

    @classmethod
    def of(cls, piece: OpenedPiece) -> "Cost":
        """Of one message."""
        size, header = PieceBytes.of(piece), piece.header
        journal_bytes = header.block_length - LENGTH_BYTES * header.count
        lengths = len(piece.data) - -(-journal_bytes // header.k)
        return cls(size.counted - lengths, size.signatures, size.framing + lengths)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.paper + other.paper, self.signatures + other.signatures, self.framing + other.framing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement; see the rules above.

    Attributes:
        n, b, c, k: replicas; may lie; may be silent; pieces that suffice.
        updates: "synthetic" ones of `update_bytes`, or "decisions" of that mean size.
        attack, liars: what happened, and how many took part.
        blocks: so many of `block_updates` updates.
        journal_bytes: of all updates.
        sent_bound_bytes: of Theorem 3.2.
        wire_copies: every byte received, as a multiple of the journal.
        decodes: in all; `decodes_most` in one block, where `decodes_per_block_max` bounds it.
        replica_step_us, learner_step_us: per block, without signatures.
    """

    n: int
    b: int
    c: int
    k: int
    checksum: str
    updates: str
    attack: Attack
    liars: int
    block_updates: int
    update_bytes: int
    blocks: int
    journal_bytes: int
    sent_per_replica_bytes: int
    expected_sent_bytes: int
    sent_bound_bytes: int
    received_bytes: int
    expected_received_bytes: int
    framing_bytes: int
    signature_bytes: int
    received_framing_bytes: int
    received_signature_bytes: int
    received_copies: float
    wire_copies: float
    decodes: int
    decodes_most: int
    decodes_per_block_max: int
    replica_mb_per_second: float
    replica_unsigned_mb_per_second: float
    learner_mb_per_second: float
    learner_unsigned_mb_per_second: float
    sha256_mb_per_second: float
    replica_of_sha256: float
    learner_of_sha256: float
    replica_step_us: float
    learner_step_us: float

    def mapping(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)

    @property
    def is_exact(self) -> bool:
        """Whether bytes are exactly those of the paper, and decodings within its bound."""
        return (
            self.sent_per_replica_bytes == self.expected_sent_bytes
            and self.received_bytes == self.expected_received_bytes
            and self.decodes_most <= self.decodes_per_block_max
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the replicas of one ledger sent.

    Attributes:
        journal: bytes of the updates of each block. blocks: bytes of each block, lengths included.
        costs: by replica.
        cpu: of all replicas together.
        sha256_mb_per_second: of the same blocks.
    """

    journal: Sequence[int]
    blocks: Sequence[int]
    costs: Sequence[Cost]
    cpu: CpuTime
    sha256_mb_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a learner received and did; `decodes` by block."""

    received: Cost
    decodes: Sequence[int]
    cpu: CpuTime


def hashing_speed(blocks: Sequence[bytes]) -> float:
    """MB/s of sha256 over these blocks, one by one."""
    hashed, began = 0, time.process_time()
    while (spent := time.process_time() - began) < _HASHING_S:
        for block in blocks:
            sha256(block).digest()
            hashed += len(block)
    return hashed / _MEGA / spent


def make_row(sizes: Sizes, updates: str, attack: Attack, liars: int, sent: Sent, learned: Learned) -> Row:
    """Put a measurement beside the paper's figures."""
    blocks, n, journal_bytes = len(sent.journal), sizes.n, sum(sent.journal)
    expected = sum(message_bytes(sizes, size) for size in sent.journal)
    received = learned.received
    (sent_bytes,) = {cost.paper for cost in sent.costs}
    wire = received.paper + received.signatures + received.framing
    return Row(
        n=n,
        b=sizes.b,
        c=sizes.c,
        k=sizes.k,
        checksum=sizes.checksum,
        updates=updates,
        attack=attack,
        liars=liars,
        block_updates=sizes.block_updates,
        update_bytes=journal_bytes // (blocks * sizes.block_updates),
        blocks=blocks,
        journal_bytes=journal_bytes,
        sent_per_replica_bytes=sent_bytes,
        expected_sent_bytes=expected,
        sent_bound_bytes=math.floor(bound_bytes(sizes, blocks, journal_bytes)),
        received_bytes=received.paper,
        expected_received_bytes=n * expected,
        framing_bytes=max(cost.framing for cost in sent.costs),
        signature_bytes=max(cost.signatures for cost in sent.costs),
        received_framing_bytes=received.framing,
        received_signature_bytes=received.signatures,
        received_copies=round(received.paper / journal_bytes, 3),
        wire_copies=round(wire / journal_bytes, 3),
        decodes=sum(learned.decodes),
        decodes_most=max(learned.decodes),
        decodes_per_block_max=decodes_per_block_max(sizes),
        **_speeds(sent, learned, n),
    )


def _speeds(sent: Sent, learned: Learned, n: int) -> dict[str, float]:
    """What a row says of CPU time, in MB/s, as shares of sha256, and in microseconds per block."""
    block_mb, blocks, sha256_speed = sum(sent.blocks) / _MEGA, len(sent.blocks), sent.sha256_mb_per_second
    replica_s, learner_s = sent.cpu.step_s / n, learned.cpu.step_s
    speeds = {
        "replica_mb_per_second": block_mb / (sent.cpu.total_s / n),
        "replica_unsigned_mb_per_second": block_mb / replica_s,
        "learner_mb_per_second": block_mb / learned.cpu.total_s,
        "learner_unsigned_mb_per_second": block_mb / learner_s,
        "sha256_mb_per_second": sha256_speed,
        "replica_step_us": replica_s / blocks * 1e6,
        "learner_step_us": learner_s / blocks * 1e6,
    }
    shares = {
        "replica_of_sha256": block_mb / replica_s / sha256_speed,
        "learner_of_sha256": block_mb / learner_s / sha256_speed,
    }
    return {name: round(value, 1) for name, value in speeds.items()} | {
        name: round(value, 3) for name, value in shares.items()
    }
