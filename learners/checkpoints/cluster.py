"""A PBFT-style cluster whose primary lies: it keeps `b` honest replicas in the dark, and they come back by checkpoints.

Rules:

1. Replica 0 is the primary. Replicas `0 .. b-1` are Byzantine and cover for each other: they take part in deciding
   as honest ones do, but with the enlightened only. The last `b` replicas are in the dark: no proposal reaches them.
   Nobody else can be left out, or nothing would be decided any more.
2. In the checkpoint every Byzantine replica lies as `Lie` says. `ask` also has it fetch, wherever blocks are served.
3. The network is asynchronous and reliable: what is sent arrives, in an order that the seeded `Scheduler` draws. With
   `after_deciding`, checkpoints wait until nothing is left to decide, so the same is sent under every seed.
4. What is counted is the checkpoint alone, by the replica that sent or received it; deciding is counted apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from learners.checkpoints.checkpoint import Checkpointer, CheckpointMessage, ClusterSize, Send
from learners.checkpoints.consensus import ConsensusMessage, ConsensusReplica, ConsensusSend, PrePrepare
from learners.checkpoints.pulled import Fetch
from learners.dispersal import frame_block, open_block

PRIMARY = 0

Lie = Literal["none", "silent", "corrupt", "ask"]
"""Nothing; says nothing; sends a lie instead of each message; fetches every block from every replica."""


class Scheduler(Protocol):
    """What draws the order of events; a seeded `random.Random`."""

    def randrange(self, stop: int, /) -> int:
        """A number from 0 up to, and without, `stop`."""
        ...


class Envelope(NamedTuple):
    """A message on its way."""

    sender: int
    receiver: int
    message: ConsensusMessage | CheckpointMessage


@dataclass(slots=True)
class Traffic:
    """What one replica sent and received."""

    sent_messages: int = 0
    sent_bytes: int = 0
    received_messages: int = 0
    received_bytes: int = 0


class Network:
    """Authenticated channels between all replicas.

    Attributes:
        deciding, checkpoints: traffic by replica.
    """

    def __init__(self, n: int, scheduler: Scheduler, *, after_deciding: bool) -> None:
        self._scheduler = scheduler
        self._after_deciding = after_deciding
        self._lanes: tuple[list[Envelope], list[Envelope]] = ([], [])
        self.deciding = [Traffic() for _ in range(n)]
        self.checkpoints = [Traffic() for _ in range(n)]

    def send(self, envelope: Envelope) -> None:
        """Put a message on its way."""
        lane, traffic = self._of(envelope)
        traffic[envelope.sender].sent_messages += 1
        traffic[envelope.sender].sent_bytes += envelope.message.size_bytes
        lane.append(envelope)

    def next(self) -> Envelope | None:
        """Any message that is on its way; None if there is none."""
        deciding, checkpoints = self._lanes
        place = self._draw(len(deciding) if self._after_deciding and deciding else len(deciding) + len(checkpoints))
        if place is None:
            return None
        lane = deciding if place < len(deciding) else checkpoints
        place -= 0 if lane is deciding else len(deciding)
        lane[place], lane[-1] = lane[-1], lane[place]
        envelope = lane.pop()
        traffic = self._of(envelope)[1][envelope.receiver]
        traffic.received_messages += 1
        traffic.received_bytes += envelope.message.size_bytes
        return envelope

    def _draw(self, stop: int) -> int | None:
        return self._scheduler.randrange(stop) if stop else None

    def _of(self, envelope: Envelope) -> tuple[list[Envelope], list[Traffic]]:
        if isinstance(envelope.message, CheckpointMessage):
            return self._lanes[1], self.checkpoints
        return self._lanes[0], self.deciding


@dataclass(slots=True)
class Replica:
    """One replica: its part in deciding, and its part in checkpoints."""

    consensus: ConsensusReplica
    checkpointer: Checkpointer
    reached: int = 0
    waiting: dict[int, bytes] = field(default_factory=dict)


class Cluster:
    """A cluster under a lying primary.

    Args:
        size: of the cluster.
        block_updates: updates between two checkpoints.
        make_checkpointer: the way that checkpoints are taken, for one replica.
        lie: what the Byzantine replicas do in a checkpoint.
        scheduler: draws the order in which messages arrive.
        after_deciding: see rule 3.
        left_out: how many honest replicas the primary keeps in the dark, `b` at most; None for `b`.
    """

    def __init__(
        self,
        *,
        size: ClusterSize,
        block_updates: int,
        make_checkpointer: Callable[[int], Checkpointer],
        lie: Lie,
        scheduler: Scheduler,
        after_deciding: bool = False,
        left_out: int | None = None,
    ) -> None:
        assert left_out is None or 0 <= left_out <= size.b
        self.size = size
        self.liars = range(size.b)
        self.in_the_dark = range(size.n - (size.b if left_out is None else left_out), size.n)
        self.network = Network(size.n, scheduler, after_deciding=after_deciding)
        self.received: list[list[Envelope]] = [[] for _ in range(size.n)]
        self._block_updates = block_updates
        self._lie = lie
        self._replicas = [Replica(ConsensusReplica(size, PRIMARY), make_checkpointer(i)) for i in range(size.n)]

    def journal(self, replica: int) -> Sequence[bytes]:
        """The updates that a replica holds."""
        return self._replicas[replica].consensus.journal

    def decide(self, updates: Sequence[bytes]) -> None:
        """Have the primary propose updates, and run until nothing moves."""
        first = len(self.journal(PRIMARY))
        for sequence, update in enumerate(updates, first):
            for receiver in range(self.in_the_dark.start):
                proposal = PrePrepare(sequence=sequence, update=update)
                self.network.send(Envelope(PRIMARY, receiver, proposal))
        while (envelope := self.network.next()) is not None:
            self.received[envelope.receiver].append(envelope)
            self._deliver(envelope)

    def _deliver(self, envelope: Envelope) -> None:
        replica = self._replicas[envelope.receiver]
        if isinstance(envelope.message, CheckpointMessage):
            answer = replica.checkpointer.receive(envelope.sender, envelope.message)
            self._send_checkpoint(envelope.receiver, answer.sends)
            replica.waiting |= answer.learned
        else:
            self._send(envelope.receiver, replica.consensus.receive(envelope.sender, envelope.message))
        self._advance(envelope.receiver)

    def _advance(self, index: int) -> None:
        """Take over learned blocks in order, and take a checkpoint of every block that is whole."""
        replica = self._replicas[index]
        while True:
            journal, block = replica.consensus.journal, replica.reached
            first, end = block * self._block_updates, (block + 1) * self._block_updates
            if len(journal) < end:
                if block not in replica.waiting:
                    return
                updates = open_block(replica.waiting[block], self._block_updates)
                replica.consensus.append(updates[len(journal) - first :])
            replica.waiting.pop(block, None)
            replica.reached += 1
            data = frame_block(journal[first:end])
            self._send_checkpoint(index, replica.checkpointer.reached(block, data))
            if index in self.liars and self._lie == "ask":
                self._ask(index, block)

    def _send(self, sender: int, sends: Sequence[ConsensusSend]) -> None:
        """Byzantine replicas leave out whoever is in the dark."""
        for receiver, message in sends:
            if not (sender in self.liars and receiver in self.in_the_dark):
                self.network.send(Envelope(sender, receiver, message))

    def _send_checkpoint(self, sender: int, sends: Sequence[Send]) -> None:
        if sender in self.liars and self._lie == "silent":
            return
        corrupt = sender in self.liars and self._lie == "corrupt"
        for receiver, message in sends:
            self.network.send(Envelope(sender, receiver, message.corrupted() if corrupt else message))

    def _ask(self, liar: int, block: int) -> None:
        for receiver in range(self.size.n):
            self.network.send(Envelope(liar, receiver, Fetch(block=block)))
