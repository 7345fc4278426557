"""A learner beside a party's stage: gives it the blocks of the journal that `decisions` no longer has.

It rebuilds them from the replicas' pieces in order, and checks no more of them than a learner must to choose the
right pieces: the party checks every update by itself.
"""

from collections.abc import Callable

from learners.accounting import replicas_max
from learners.block_reader import BlockReader, LearnedBlock
from protocol.configuration import Epochs
from protocol.errors import CountersignError
from schemas.topics import pieces_topic
from storage.effects import Event, Halt, JournalRead, ReadJournal, Receive, Received, Started
from streams.log import LogReader, LogUnavailableError
from streams.metrics import StageMeter
from streams.performer import EffectPerformer, Ports, StoppedError
from streams.signature_pool import SignaturePool
from streams.silent_writer import SilentWriter
from streams.stop_signal import StopSignal

_QUIET_RECEIVES = 12
"""So many empty answers in a row, some 3 s, and the replicas have no more for now."""

_FIRST_RECEIVES = 120
"""So many, some 30 s, until the first message: there is one, and a broker may be slow to begin."""


class JournalReader:
    """Performs `ReadJournal`.

    Args:
        epochs: genesis and configurations.
        reader: of the topics of pieces; this learner's own.
        pool: threads for signatures.
        now_ms: the clock.
        stop: when to end.
    """

    def __init__(
        self,
        epochs: Epochs,
        reader: LogReader,
        pool: SignaturePool,
        now_ms: Callable[[], int],
        stop: StopSignal,
    ) -> None:
        self._epochs = epochs
        self._reader = reader
        self._now_ms = now_ms
        self._stop = stop
        ports = Ports(reader=reader, writer=SilentWriter(), pool=pool, now_ms=now_ms, stop=stop)
        self._performer = EffectPerformer(ports, StageMeter("journal"))
        self._given: LearnedBlock | None = None
        self._begin()

    def _begin(self) -> None:
        self._machine = BlockReader(epochs=self._epochs)
        self._event: Event = Started(now_ms=self._now_ms())
        self._is_tried = False
        self._has_received = False

    def read(self, effect: ReadJournal) -> JournalRead:
        """The block that holds a sequence; nothing if the replicas do not have it, now or at all.

        Raises:
            CountersignError: what the replicas have is not what both parties signed.
            StoppedError: the stage was told to stop.
        """
        sequence = effect.sequence
        if self._given is not None and sequence < self._given.first_sequence:
            self._given = None
            self._begin()
        if not self._is_tried and not self._is_anything_there():
            return JournalRead(now_ms=self._now_ms())
        self._is_tried = True
        while self._given is None or _end(self._given) < sequence:
            block = self._next()
            if block is None:
                return JournalRead(now_ms=self._now_ms())
            self._given = block
        return JournalRead(now_ms=self._now_ms(), updates=self._given.updates, last=self._given.last)

    def _is_anything_there(self) -> bool:
        """Whether any replica may have a piece: a new ledger's have none, and are not waited for."""
        for replica in range(replicas_max(self._epochs)):
            try:
                if self._reader.read_tail(pieces_topic(replica), 1):
                    return True
            except LogUnavailableError:
                return True
        return False

    def _next(self) -> LearnedBlock | None:
        """The next block; None if nothing comes."""
        quiet = 0
        while not self._machine.learned:
            effect = self._machine.step(self._event)
            if isinstance(effect, Halt):
                raise CountersignError(effect.code, effect.text)
            if self._stop.requested:
                raise StoppedError
            self._event = self._performer.perform(effect)
            if isinstance(effect, Receive) and isinstance(self._event, Received):
                self._has_received = self._has_received or bool(self._event.messages)
                quiet = 0 if self._event.messages or self._event.alarms else quiet + 1
                enough = _QUIET_RECEIVES if self._has_received else _FIRST_RECEIVES
                if quiet >= enough and not self._machine.learned:
                    return None
        return self._machine.learned.pop(0)


def _end(block: LearnedBlock) -> int:
    return block.first_sequence + len(block.updates) - 1
