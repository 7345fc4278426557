"""Replicas and learners over an in-memory log, step by step: what the stages do in a real run, without time.

A test makes decisions with `World`, publishes them, and lets machines run until nothing moves. Crashing a
machine is dropping it; lying is publishing pieces that a replica's real key signed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from learners.blocks import BlockRanges
from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import Dispersal, Encoder, describe, frame_block
from learners.learner import LearnerMachine
from learners.replica import ReplicaMachine
from protocol.configuration import Epochs, check_epochs
from protocol.hashing import ZERO_HASH
from protocol.signatures import SignatureCheck, piece_input, statement_hash
from protocol.signing import BadSignatureError, SigningKey, verify_key
from schemas.evidence import Evidence
from schemas.feed import Learned
from schemas.piece import Piece, PieceHeader
from schemas.statement import Countersigned
from schemas.topics import DECISIONS, EVIDENCE, LEARNED, pieces_topic
from storage.effects import (
    Append,
    Appended,
    Effect,
    Event,
    Halt,
    LoadPosition,
    Outgoing,
    PositionLoaded,
    Publish,
    Published,
    ReadTail,
    Receive,
    Received,
    Report,
    Reported,
    Seek,
    Sign,
    Signed,
    Sought,
    Started,
    Verified,
    Verify,
)
from storage.machine import Machine
from storage.views import START, BlockRow, RequestRow, VersionRow, ViewPosition, ViewRows, check_continues
from streams.memory_log import MemoryLog
from tests.parties import key_of, make_configuration, sign_configuration
from tests.worlds import World

_TOPICS = 7
"""So many replicas have a topic, at least: some may join with a later epoch."""

QUIET = 4
"""Empty receives after which a machine is taken to have nothing to do."""


class MemoryViews:
    """What a learner stored."""

    def __init__(self) -> None:
        self.position = START
        self.requests: list[RequestRow] = []
        self.versions: list[VersionRow] = []
        self.blocks: list[BlockRow] = []

    def append(self, rows: ViewRows, position: ViewPosition) -> None:
        check_continues(self.position, rows, position)
        self.requests += rows.requests
        self.versions += rows.versions
        self.blocks += rows.blocks
        self.position = position


@dataclass
class Actor:
    """One machine and its world."""

    machine: Machine
    log: MemoryLog
    key: SigningKey | None = None
    views: MemoryViews = field(default_factory=MemoryViews)
    now_ms: int = 0
    halt: Halt | None = None
    measures: dict[str, float] = field(default_factory=dict)
    on_effect: Callable[[Effect], None] = lambda effect: None

    def __post_init__(self) -> None:
        self.reader, self.writer = self.log.reader(), self.log.writer()
        self.event: Event = Started(now_ms=self.now_ms)

    def run(self) -> "Actor":
        """Step until the machine halts or nothing has arrived for a while."""
        quiet = 0
        while quiet < QUIET:
            effect = self.machine.step(self.event)
            if isinstance(effect, Halt):
                self.halt = effect
                return self
            self.on_effect(effect)
            self.event = self.perform(effect)
            if isinstance(self.event, Received) and isinstance(effect, Receive):
                quiet = 0 if self.event.messages else quiet + 1
        return self

    def settle(self) -> "Actor":
        """Run until nothing moves, and once more a while later: then everything was reported."""
        self.run()
        self.now_ms += 2000
        return self.run()

    def perform(self, effect: Effect) -> Event:
        now_ms = self.now_ms
        match effect:
            case Receive():
                messages, alarms = self.reader.receive(effect.topics, effect.max_messages, 0)
                self.now_ms += 1 if messages else effect.wait_ms
                return Received(now_ms=self.now_ms, messages=messages, alarms=alarms)
            case ReadTail():
                return Received(now_ms=now_ms, messages=self.reader.read_tail(effect.topic, effect.count))
            case Seek():
                self.reader.seek(effect.positions)
                return Sought(now_ms=now_ms)
            case Verify():
                return Verified(now_ms=now_ms, valid=tuple(map(verifies, effect.checks)))
            case Sign():
                assert self.key is not None
                return Signed(now_ms=now_ms, signatures=tuple(map(self.key.sign, effect.messages)))
            case Publish():
                self.writer.send(effect.messages)
                return Published(now_ms=now_ms)
            case LoadPosition():
                return PositionLoaded(now_ms=now_ms, position=self.views.position)
            case Append():
                self.views.append(effect.rows, effect.position)
                return Appended(now_ms=now_ms)
            case Report():
                for name, value in effect.metrics.items():
                    is_gauge = name.startswith("gauge_")
                    self.measures[name] = value if is_gauge else self.measures.get(name, 0) + value
                return Reported(now_ms=now_ms)
            case _:
                raise AssertionError(effect)


def verifies(check: SignatureCheck) -> bool:
    try:
        verify_key(check.key.algorithm, check.key.key).verify(check.signed, check.signature)
    except BadSignatureError:
        return False
    return True


def epochs_of(world: World, n: int, b: int, **changes: Any) -> Epochs:
    """The world's ledger with another number of replicas."""
    first = world.epochs.configurations[0]
    configuration = make_configuration(
        world.ledger_id,
        0,
        ZERO_HASH,
        first.cut,
        **{
            "n": n,
            "b": b,
            "k": n - b,
            "block_updates": n,
            "replica_keys": tuple(key_of(f"replica {number}").public_key for number in range(n)),
            **changes,
        },
    )
    signed = sign_configuration(configuration, {"auditor": key_of("auditor"), "ledger": key_of("ledger")})
    return check_epochs(world.ledger_id, world.epochs.genesis_bytes, (signed,))


class Cluster:
    """A ledger's decisions, its replicas and its learners."""

    def __init__(self, n: int = 4, b: int = 1, nonce: bytes = b"world", **changes: Any) -> None:
        self.world = World(nonce)
        usual = (n, b) == (4, 1) and not changes
        self.epochs = self.world.epochs if usual else epochs_of(self.world, n, b, **changes)
        self.configuration = self.epochs.latest
        self.n, self.b, self.k = n, b, self.configuration.k
        names = [DECISIONS, EVIDENCE, LEARNED, *map(pieces_topic, range(max(n, _TOPICS)))]
        self.log = MemoryLog(dict.fromkeys(names, 1))
        self.ranges = BlockRanges(self.epochs)

    def follow_world(self) -> None:
        """Go by the epoch that the world has begun, and its replicas."""
        self.epochs = self.world.epochs
        self.configuration = self.epochs.latest
        self.n, self.b, self.k = self.configuration.n, self.configuration.b, self.configuration.k
        self.ranges = BlockRanges(self.epochs)

    # --- Decisions ---

    def decide(self, count: int, requests: int = 1) -> None:
        """Decide so many batches and publish them."""
        for _ in range(count):
            sequence = self.world.auditor.head.sequence + 1
            puts = [self.world.put(f"key {sequence % 3}/{index}", sequence) for index in range(requests)]
            self.publish(self.world.decide(*puts).to_message())

    def publish(self, message: bytes, topic: str = DECISIONS, key: bytes | None = None) -> None:
        self.log.insert(Outgoing(topic, 0, key, message))

    # --- Machines ---

    def replica(self, index: int, encoder: Encoder | None = None) -> Actor:
        """A replica that runs until nothing moves."""
        return self.replica_actor(index, encoder).run()

    def replica_actor(self, index: int, encoder: Encoder | None = None) -> Actor:
        """A replica that has not run yet."""
        machine = ReplicaMachine(epochs=self.epochs, index=index, encoder=encoder)
        return Actor(machine, self.log, key_of(f"replica {index}"))

    def disperse(self, *replicas: int) -> None:
        """Let these replicas, or all, publish what there is."""
        for index in replicas or range(self.n):
            assert self.replica(index).halt is None

    def learner(self, views: MemoryViews | None = None, epochs: Epochs | None = None) -> Actor:
        """A learner that has not run yet."""
        machine = LearnerMachine(epochs=epochs or self.epochs)
        return Actor(machine, self.log, views=views or MemoryViews())

    def learn(self, views: MemoryViews | None = None) -> Actor:
        """A learner that runs until nothing moves."""
        return self.learner(views).run()

    # --- What is there ---

    def pieces(self, replica: int) -> list[Piece]:
        messages = self.log.messages(pieces_topic(replica))
        return [Piece.from_message(message.value or b"") for message in messages]

    def headers(self, replica: int) -> list[PieceHeader]:
        return [PieceHeader.from_bytes(piece.header) for piece in self.pieces(replica)]

    def evidence(self) -> list[bytes]:
        """The bytes of each published piece of evidence."""
        return [Evidence.body_of(message.value or b"") for message in self.log.messages(EVIDENCE)]

    def feed(self) -> list[Learned]:
        return [Learned.from_message(message.value or b"") for message in self.log.messages(LEARNED)]

    # --- Lies ---

    def block_bytes(self, number: int) -> bytes:
        """A block of the world's updates."""
        place = self.ranges.of_block(number)
        sequences = range(place.first_sequence, place.last_sequence + 1)
        return frame_block([self.world.updates[sequence].to_bytes() for sequence in sequences])

    def block(
        self, number: int, previous_root: bytes = ZERO_HASH, encoder: Encoder | None = None
    ) -> Dispersal:
        """A block of the world's updates, dispersed by hand."""
        data = self.block_bytes(number)
        last_hash = statement_hash(self.last(number).statement)
        place = self.ranges.of_block(number)
        about = describe(self.configuration, place, len(data), previous_root, last_hash)
        return disperse(about, data, encoder or erasure_code(self.k, self.n))

    def last(self, number: int) -> Countersigned:
        """The countersigned statement that ends a block."""
        return self.world.decisions[self.ranges.of_block(number).last_sequence].signed

    def sign_piece(
        self, replica: int, header: PieceHeader, data: bytes, last: Countersigned, signer: int | None = None
    ) -> bytes:
        """A piece with the real key of a replica, `replica`'s own unless another one signs."""
        body = header.to_bytes()
        key = key_of(f"replica {replica if signer is None else signer}")
        signed = piece_input(header.ledger_id, header.epoch, body)
        return Piece(header=body, signature=key.sign(signed), slice=data, last=last).to_message()

    def lie(self, replica: int, header: PieceHeader, data: bytes, last: Countersigned) -> None:
        """Publish a piece as this replica."""
        self.publish(self.sign_piece(replica, header, data, last), pieces_topic(replica))


class Corrupting:
    """An encoder whose slice of one replica has a flipped bit: that replica's own, if it is to lie."""

    def __init__(self, k: int, n: int, replica: int) -> None:
        self._code = erasure_code(k, n)
        self._replica = replica

    def encode(self, block: bytes) -> list[bytes]:
        slices = self._code.encode(block)
        wrong = bytearray(slices[self._replica])
        wrong[len(wrong) // 2] ^= 1
        slices[self._replica] = bytes(wrong)
        return slices

    def slice(self, block: bytes, index: int) -> bytes:
        return self.encode(block)[index]
