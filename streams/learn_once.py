"""A throw-away learner: reads the whole journal from pieces alone, checks it, and keeps nothing but the account.

It begins at the first piece and ends where the topics ended when it began, or when nothing more comes of what was
there then: on a busy ledger something always comes. It publishes nothing: what it could accuse somebody of is in its
result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from learners.accounting import Accounting, LearningReport, replicas_max
from learners.learner import LearnerMachine
from protocol.configuration import Epochs
from protocol.errors import CountersignError
from schemas.topics import EVIDENCE, pieces_topic
from storage.effects import (
    Append,
    Appended,
    Event,
    Halt,
    LoadPosition,
    PositionLoaded,
    Publish,
    Published,
    Receive,
    Received,
    Started,
)
from storage.views import START
from streams.log import LogReader
from streams.metrics import StageMeter
from streams.performer import EffectPerformer, Ports
from streams.signature_pool import SignaturePool
from streams.silent_writer import SilentWriter
from streams.stop_signal import StopSignal

QUIET_RECEIVES = 20
"""So many empty answers in a row, some 5 s, and nothing more will come."""

BUSY_MS = 30_000
"""For so long only what was written meanwhile, and the rest will not come: its broker went away, or its replica has
used up its share of the window with pieces of blocks that cannot be learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedJournal:
    """What a throw-away learner found.

    Attributes:
        halt: why it stopped; None if it came to the end.
        evidence: messages that accuse replicas or parties.
        away: topics that could not be asked where they end.
    """

    report: LearningReport
    halt: Halt | None
    evidence: tuple[bytes, ...]
    away: tuple[str, ...]

    @property
    def sequence(self) -> int:
        """Of the last update that was learned, -1 if there is none."""
        kept = self.report.kept
        return kept[-1].first_sequence + kept[-1].updates - 1 if kept else -1


@dataclass(slots=True)
class _Progress:
    """How far the topics were read, and since when nothing came of what they held in the beginning."""

    ends: Mapping[str, int]
    awaiting_since_ms: int
    now_ms: int
    read: dict[str, int] = field(default_factory=dict)
    messages: int = 0
    quiet: int = 0

    def note(self, received: Received) -> None:
        """Take note of what came."""
        self.quiet = 0 if received.messages or received.alarms else self.quiet + 1
        self.messages += len(received.messages)
        self.now_ms = received.now_ms
        for message in received.messages:
            self.read[message.topic] = message.offset + 1
            if message.offset < self.ends.get(message.topic, 0):
                self.awaiting_since_ms = received.now_ms

    def is_at_end(self) -> bool:
        """Whether nothing more is to come."""
        reached = all(self.read.get(topic, 0) >= end for topic, end in self.ends.items())
        return reached or self.quiet >= QUIET_RECEIVES or self.now_ms - self.awaiting_since_ms >= BUSY_MS


def learn_once(
    epochs: Epochs,
    reader: LogReader,
    now_ms: Callable[[], int],
    on_progress: Callable[[int, int], None] = lambda read, messages: None,
    *,
    check_clients: bool = False,
) -> LearnedJournal:
    """Learn the whole journal once.

    Args:
        epochs: genesis and configurations.
        reader: of the topics of pieces.
        now_ms: the clock.
        on_progress: told how many messages were read, and how many there were when it began.
        check_clients: whether to verify every client's signature as well.

    Raises:
        CountersignError: the log refuses; `broker.unreachable`, no topic of pieces can be asked.
    """
    accounting = Accounting(epochs)
    machine = LearnerMachine(epochs=epochs, feed=False, check_clients=check_clients, observer=accounting)
    ends, away = _ends(epochs, reader)
    if not ends:  # the machine would wait for them for ever
        raise CountersignError("broker.unreachable", "no topic of pieces can be read")
    began_ms = now_ms()
    progress, accused = _Progress(ends, began_ms, began_ms), _Accused(now_ms)
    messages = sum(ends.values())
    halt: Halt | None = None
    pool = SignaturePool(1)
    try:
        performer = _performer(reader, pool, now_ms, accused)
        event: Event = Started(now_ms=now_ms())
        while True:
            effect = machine.step(event)
            if isinstance(effect, Halt):
                halt = effect
                break
            if isinstance(effect, Receive) and progress.is_at_end():
                break
            event = performer.perform(effect)
            if isinstance(event, Received):
                progress.note(event)
                on_progress(min(progress.messages, messages), messages)
    finally:
        pool.close()
    return LearnedJournal(report=accounting.report(), halt=halt, evidence=tuple(accused.evidence), away=away)


class _Accused:
    """Keeps what the machine would publish."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.evidence: list[bytes] = []

    def keep(self, effect: Publish) -> Published:
        """In place of publishing."""
        self.evidence += [message.value for message in effect.messages if message.topic == EVIDENCE]
        return Published(now_ms=self._now_ms())


def _performer(
    reader: LogReader, pool: SignaturePool, now_ms: Callable[[], int], accused: _Accused
) -> EffectPerformer:
    """Performs what this learner asks for: its views hold nothing, and it publishes nothing."""

    def load(_: LoadPosition) -> PositionLoaded:
        return PositionLoaded(now_ms=now_ms(), position=START)

    def append(_: Append) -> Appended:
        return Appended(now_ms=now_ms())

    ports = Ports(
        reader=reader,
        writer=SilentWriter(),
        pool=pool,
        now_ms=now_ms,
        stop=StopSignal(),
        more={LoadPosition: load, Append: append, Publish: accused.keep},
    )
    return EffectPerformer(ports, StageMeter("learn"))


def _ends(epochs: Epochs, reader: LogReader) -> tuple[dict[str, int], tuple[str, ...]]:
    """Where each topic of pieces ends now, and those that cannot be asked."""
    ends: dict[str, int] = {}
    away: list[str] = []
    for replica in range(replicas_max(epochs)):
        topic = pieces_topic(replica)
        try:
            ends[topic] = max((message.offset + 1 for message in reader.read_tail(topic, 1)), default=0)
        except CountersignError:
            away.append(topic)
    return ends, tuple(away)
