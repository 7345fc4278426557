"""Real decisions through the whole machines, replica and learner, in memory.

What is counted is all that a replica does from a decision on (verifying both parties, checking its content, dispersing)
and all that a learner does (pieces, statements, the journal inside, rows of its views): `Verify` and `Sign` as
signatures, every step of a machine as the rest. The log and the views cost nothing here.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from deploy.measuring.dispersal.decided import Sizes, epochs_of, replica_key
from deploy.measuring.dispersal.figures import (
    Attack,
    Cost,
    CpuTime,
    Learned,
    Row,
    Sent,
    bearable_liars,
    hashing_speed,
    make_row,
)
from deploy.measuring.dispersal.synthetic import arrivals
from learners.accounting import Accounting
from learners.dispersal import LENGTH_BYTES, open_block
from learners.learner import LearnerMachine
from learners.pieces import OpenedPiece, open_piece
from learners.replica import ReplicaMachine
from protocol.configuration import Epochs
from protocol.signatures import SignatureCheck
from protocol.signing import BadSignatureError, SigningKey, verify_key
from schemas.topics import EVIDENCE, pieces_topic
from storage.effects import (
    Append,
    Appended,
    Effect,
    Event,
    Halt,
    LoadPosition,
    Message,
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
from storage.views import START

_SILENCE_MS = 5_000
_SILENCES = 3
"""So often nothing comes before a machine is taken to be done."""


@dataclass(slots=True)
class Driver:
    """Lets a machine work through messages, and counts its CPU time.

    Attributes:
        feed: what it will receive, in order.
        key: that it signs with.
        published: by topic.
    """

    machine: Machine
    feed: deque[Message]
    cpu: CpuTime
    key: SigningKey | None = None
    published: dict[str, list[Outgoing]] = field(default_factory=dict)
    now_ms: int = 0

    def run(self) -> None:
        """Go on until everything is received and nothing more happens."""
        event: Event = Started(now_ms=self.now_ms)
        silences = 0
        while silences < _SILENCES:
            with self.cpu.step():
                effect = self.machine.step(event)
            if isinstance(effect, Halt):
                raise AssertionError(effect)
            event = self._perform(effect)
            if isinstance(effect, Receive) and isinstance(event, Received):
                silences = 0 if event.messages else silences + 1

    def _perform(self, effect: Effect) -> Event:
        now_ms = self.now_ms
        match effect:
            case Receive():
                return self._receive(effect)
            case Verify():
                with self.cpu.signature():
                    valid = tuple(map(_verifies, effect.checks))
                return Verified(now_ms=now_ms, valid=valid)
            case Sign():
                assert self.key is not None, "only replicas sign"
                with self.cpu.signature():
                    made = tuple(map(self.key.sign, effect.messages))
                return Signed(now_ms=now_ms, signatures=made)
            case Publish():
                for message in effect.messages:
                    self.published.setdefault(message.topic, []).append(message)
                return Published(now_ms=now_ms)
            case ReadTail():
                sent = self.published.get(effect.topic, [])[-effect.count :]
                messages = tuple(_message(effect.topic, number, one.value) for number, one in enumerate(sent))
                return Received(now_ms=now_ms, messages=messages)
            case Seek():
                return Sought(now_ms=now_ms)
            case LoadPosition():
                return PositionLoaded(now_ms=now_ms, position=START)
            case Append():
                return Appended(now_ms=now_ms)
            case Report():
                return Reported(now_ms=now_ms)
            case _:
                raise AssertionError(effect)

    def _receive(self, effect: Receive) -> Received:
        """The next messages, as far as they are of topics that are read from."""
        messages: list[Message] = []
        while self.feed and self.feed[0].topic in effect.topics and len(messages) < effect.max_messages:
            messages.append(self.feed.popleft())
        self.now_ms += 1 if messages else _SILENCE_MS
        return Received(now_ms=self.now_ms, messages=tuple(messages))


def _verifies(check: SignatureCheck) -> bool:
    try:
        verify_key(*check.key).verify(check.signed, check.signature)
    except BadSignatureError:
        return False
    return True


def _message(topic: str, offset: int, value: bytes) -> Message:
    return Message(
        topic=topic, partition=0, offset=offset, leader_epoch=0, key=None, value=value, timestamp_ms=0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DispersedDecisions:
    """Decisions, and what every replica published of them.

    Attributes:
        messages: by block and replica.
    """

    sizes: Sizes
    epochs: Epochs
    messages: Sequence[Sequence[Message]]
    sent: Sent


def disperse_decisions(sizes: Sizes, decisions: Sequence[Message], requests: int) -> DispersedDecisions:
    """Let every replica read the decisions.

    Args:
        requests: in each decision, as they were made.
    """
    epochs = epochs_of(sizes, requests)
    cpu = CpuTime()
    published: list[list[Message]] = []
    for index in range(sizes.n):
        machine = ReplicaMachine(epochs=epochs, index=index)
        driver = Driver(machine, deque(decisions), cpu, replica_key(index))
        driver.run()
        sent = driver.published.get(pieces_topic(index), [])
        published.append([_message(pieces_topic(index), number, one.value) for number, one in enumerate(sent)])
    pieces = [[open_piece(one, index, epochs) for one in row] for index, row in enumerate(published)]
    blocks = [_decoded(pieces, number, sizes) for number in range(len(published[0]))]
    sent_by_all = Sent(
        journal=[len(block) - LENGTH_BYTES * sizes.block_updates for block in blocks],
        blocks=[len(block) for block in blocks],
        costs=[sum(map(Cost.of, row), Cost()) for row in pieces],
        cpu=cpu,
        sha256_mb_per_second=hashing_speed(blocks),
    )
    messages = list(zip(*published, strict=True))
    return DispersedDecisions(sizes=sizes, epochs=epochs, messages=messages, sent=sent_by_all)


def _decoded(pieces: Sequence[Sequence[OpenedPiece]], number: int, sizes: Sizes) -> bytes:
    """A block by its first `k` slices, which are its parts."""
    parts = [row[number] for row in pieces[: sizes.k]]
    block = b"".join(part.data for part in parts)[: parts[0].header.block_length]
    assert len(open_block(block, sizes.block_updates)) == sizes.block_updates
    return block


def learn_decisions(dispersed: DispersedDecisions, attack: Attack, liars: int) -> tuple[Learned, Accounting]:
    """Let a learner read all pieces; its account too."""
    sizes, epochs = dispersed.sizes, dispersed.epochs
    came: list[tuple[int, Message]] = []
    for messages in dispersed.messages:
        came += arrivals(messages, sizes, attack, liars)
    cpu, accounting = CpuTime(), Accounting(epochs)
    driver = Driver(
        LearnerMachine(epochs=epochs, feed=False, observer=accounting), deque(one for _, one in came), cpu
    )
    driver.run()
    report = accounting.report()
    assert report.blocks == len(dispersed.messages), "every block is learned"
    assert len(driver.published.get(EVIDENCE, [])) == liars, "every liar is accused, once"
    received = sum((Cost.of(open_piece(one, replica, epochs)) for replica, one in came), Cost())
    decodes = [block.decodes for block in report.kept]
    return Learned(received=received, decodes=decodes, cpu=cpu), accounting


def measure(dispersed: DispersedDecisions, attack: Attack, searched_bytes_max: float) -> Row:
    """One row."""
    sizes = dispersed.sizes
    liars = bearable_liars(sizes, dispersed.sent.blocks[0], searched_bytes_max) if attack == "corrupt" else 0
    learned, _ = learn_decisions(dispersed, attack, liars)
    return make_row(sizes, "decisions", attack, liars, dispersed.sent, learned)
