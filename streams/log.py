"""The two ports to the log, and what can go wrong with it.

Rules:

1. Topics go by their plain names (`schemas.topics`); an adapter adds the ledger's prefix.
2. A reader starts where its user says and keeps nothing: positions live in the user's own store.
3. A log that is away is waited for. `LogUnavailableError` says: nothing was changed, do it again later.
4. A lost tail gives an alarm and the reader goes on at the new end; a lost start ends the reader
   (`CountersignError`, `log.start_lost`), because what is gone must not be skipped in silence.

Adapters: `streams.kafka_log` and `streams.memory_log`, held to the same rules by one conformance suite.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from protocol.errors import CountersignError
from storage.effects import Alarm, Message, Outgoing, Position


class LogUnavailableError(CountersignError):
    """The broker does not answer at present; the same call may succeed later."""

    def __init__(self, detail: str) -> None:
        super().__init__("broker.unreachable", detail)


class LogRefusedError(CountersignError):
    """The broker answers, and will not do this: no right, no such topic, too large, wrong settings."""

    def __init__(self, detail: str) -> None:
        super().__init__("broker.refused", detail)


class LogStartLostError(CountersignError):
    """The log begins after the reader's position.

    Attributes:
        topic, partition, position: what was to be read.
        first_offset: of what is left.
    """

    def __init__(self, topic: str, partition: int, position: int, first_offset: int) -> None:
        text = f"{topic}/{partition} begins at {first_offset}, the next message to read was {position}"
        super().__init__("log.start_lost", text)
        self.topic = topic
        self.partition = partition
        self.position = position
        self.first_offset = first_offset

    def alarm(self) -> Alarm:
        """What a reader says that goes on all the same."""
        return Alarm(self.topic, self.partition, self.position, self.first_offset)


class DeliveryFailure(NamedTuple):
    """A message that was sent without waiting, and that the broker did not take.

    Attributes:
        reference: what the sender gave with the message.
        retriable: sending it again may help.
        text: why, for people.
    """

    reference: object
    retriable: bool
    text: str


class LogReader(Protocol):
    """Reads topics from positions. Used by one thread."""

    def receive(
        self, topics: Sequence[str], max_messages: int, wait_ms: int
    ) -> tuple[tuple[Message, ...], tuple[Alarm, ...]]:
        """Return messages of these topics, in order within each partition, and tails found lost meanwhile.

        Waits up to `wait_ms` for a first message; a broker that is away gives an empty answer. What arrives
        of other topics is held back, within bounds of memory. A value above the log's limit comes as None.

        Raises:
            LogStartLostError: a position was passed by the log's start; nothing was taken of any topic.
            LogRefusedError: the broker will not let us read.
        """
        ...

    def seek(self, positions: Sequence[Position]) -> None:
        """Read on from these positions; what was held back of their partitions is dropped.

        `FIRST_OFFSET` and `END_OFFSET` are resolved before this returns.

        Raises:
            LogUnavailableError: nothing was changed.
            LogRefusedError: the broker will not let us read.
        """
        ...

    def read_tail(self, topic: str, count: int) -> tuple[Message, ...]:
        """Return the newest `count` messages of partition 0, in order, wherever the reader stands.

        Raises:
            LogUnavailableError: the broker was away.
        """
        ...

    def read_all(self, topic: str) -> Iterator[Message]:
        """Give every message of partition 0 from its start to what is its end now.

        Raises:
            LogUnavailableError: the broker was away; begin anew.
        """
        ...

    def unreachable_ms(self) -> int:
        """For how long the broker has been away; 0 if it answers."""
        ...

    def close(self) -> None:
        """Give back connections and memory."""
        ...


class LogWriter(Protocol):
    """Writes messages. Used by one thread."""

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Take these messages over, in order within a partition; `flush` says when the broker has them.

        Raises:
            LogRefusedError: a message that no broker would take.
        """
        ...

    def flush(self, wait_ms: int) -> bool:
        """Wait up to `wait_ms`; True if the broker has everything that was sent.

        What failed on the way is sent again, and so may arrive twice.

        Raises:
            LogRefusedError: the broker will not take a message, however often.
        """
        ...

    def unreachable_ms(self) -> int:
        """For how long messages have been waiting for the broker; 0 if none does."""
        ...

    def close(self) -> None:
        """Give back connections and memory; what is unsent is lost."""
        ...


class NowaitWriter(Protocol):
    """Writes many messages without waiting for each. Used by one thread."""

    def send_nowait(self, message: Outgoing, reference: object) -> bool:
        """Send a message and go on; if it cannot be delivered, `take_failures` says so under `reference`.

        Returns:
            False if there is no room at the moment: call `take_failures`, and try again.

        Raises:
            LogRefusedError: the message is too long.
        """
        ...

    def take_failures(self, wait_ms: int = 0) -> list[DeliveryFailure]:
        """Let the log report for up to `wait_ms`, and give the failures since the last call."""
        ...

    def flush(self, wait_ms: int) -> bool:
        """Wait for up to `wait_ms` until nothing is under way any more; whether it is so."""
        ...

    def close(self) -> None:
        """Give back connections and memory; what is unsent is lost."""
        ...


def publish(writer: LogWriter, messages: Sequence[Outgoing], give_up: Callable[[], bool]) -> bool:
    """Send messages and wait until the broker has them all; False if `give_up` said so before.

    Args:
        writer: where to.
        messages: in order within a partition.
        give_up: asked a few times a second.
    """
    writer.send(messages)
    while not writer.flush(_PATIENCE_MS):
        if give_up():
            return False
    return True


_PATIENCE_MS = 250
