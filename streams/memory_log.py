"""The log in memory, with the faults a broker is suspected of: for the simulation, and tests without Kafka.

Rules:

1. Time is the user's: what is sent lands when `advance` has passed its delay; without faults, at once.
2. Faults are drawn from a `random.Random` that is passed in, or made by hand: `lose_tail`, `expire`,
   `away`. The same seed and the same calls give the same log.
3. Messages of one writer land in order within a partition, as an idempotent producer's do; a duplicate, a
   message of another writer and other topics may land at any time in between.
4. A log that lost its tail starts a new leader epoch and uses the lost offsets again.
"""

import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from storage.effects import END_OFFSET, FIRST_OFFSET, Alarm, Message, Outgoing, Position
from streams.log import DeliveryFailure, LogRefusedError, LogStartLostError, LogUnavailableError


@dataclass(kw_only=True)
class LogFaults:
    """What the log does wrong by itself.

    Attributes:
        rng: seeded by whoever runs the simulation.
        delay_ms_max: a message takes up to this long to land.
        duplicate: probability that it lands a second time, within ten times that delay.
        short_batch: probability that a reader is given fewer messages than there are.
    """

    rng: random.Random
    delay_ms_max: int = 0
    duplicate: float = 0.0
    short_batch: float = 0.0


@dataclass(slots=True)
class _Partition:
    """Messages from `first` on, and where each leader epoch began."""

    first: int = 0
    messages: list[Message] = field(default_factory=list)
    epoch: int = 0
    epoch_starts: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])

    @property
    def end(self) -> int:
        return self.first + len(self.messages)

    def end_of_epoch(self, epoch: int) -> int:
        """Offset up to which the log is what a reader of that epoch has read."""
        return next((start for number, start in self.epoch_starts if number > epoch), self.end)


class _UnderWay(NamedTuple):
    """A message that has been sent and has not landed."""

    due_ms: int
    number: int
    writer: int
    message: Outgoing
    is_duplicate: bool


class MemoryLog:
    """The broker. Readers and writers may be in several threads.

    Args:
        topics: plain names with their numbers of partitions.
        faults: what goes wrong by itself; None for nothing.
        message_bytes_max: a longer value is read as None.

    Attributes:
        away: as long as it is set, nothing lands and nothing is read.
        now_ms: as `advance` said last; the messages' timestamps.
        changes: how often a partition has changed, so that a reader who found nothing need not look again.
    """

    def __init__(
        self,
        topics: Mapping[str, int],
        *,
        faults: LogFaults | None = None,
        message_bytes_max: int = 8 * 1024 * 1024,
    ) -> None:
        self.away = False
        self.now_ms = 0
        self.changes = 0
        self.message_bytes_max = message_bytes_max
        self._faults = faults
        self._partitions = {
            (name, number): _Partition() for name, count in topics.items() for number in range(count)
        }
        self._under_way: list[_UnderWay] = []
        self._sent = 0
        self._writers = 0
        self._changed = threading.Condition()

    # --- Ports ---

    def reader(self) -> "MemoryLogReader":
        """A reader with positions of its own."""
        return MemoryLogReader(self)

    def writer(self) -> "MemoryLogWriter":
        """A writer; its messages stay in order."""
        with self._changed:
            self._writers += 1
            return MemoryLogWriter(self, self._writers)

    # --- Time ---

    def advance(self, now_ms: int) -> None:
        """Let everything land that is due by now."""
        with self._changed:
            self.now_ms = max(self.now_ms, now_ms)
            self._land()

    def next_due_ms(self) -> int | None:
        """When the next message will land; None if none is under way."""
        return min((sent.due_ms for sent in self._under_way), default=None)

    def _is_under_way(self, writer: int) -> bool:
        return any(sent.writer == writer and not sent.is_duplicate for sent in self._under_way)

    def _waiting_ms(self, writer: int) -> int:
        """How long the oldest message of a writer has been due."""
        return max(
            (self.now_ms - sent.due_ms for sent in self._under_way if sent.writer == writer), default=0
        )

    def _land(self) -> None:
        if self.away:
            return
        due = sorted(sent for sent in self._under_way if sent.due_ms <= self.now_ms)
        self._under_way = [sent for sent in self._under_way if sent.due_ms > self.now_ms]
        for sent in due:
            self._append(sent.message)
        self._changed.notify_all()

    def _append(self, message: Outgoing) -> None:
        partition = self._partition(message.topic, message.partition)
        self.changes += 1
        value = message.value if len(message.value) <= self.message_bytes_max else None
        partition.messages.append(
            Message(
                topic=message.topic,
                partition=message.partition,
                offset=partition.end,
                leader_epoch=partition.epoch,
                key=message.key,
                value=value,
                timestamp_ms=self.now_ms,
            )
        )

    # --- Faults by hand ---

    def lose_tail(self, topic: str, partition: int, count: int) -> None:
        """Forget the newest `count` messages, acknowledged as they were; their offsets are used again."""
        with self._changed:
            log = self._partition(topic, partition)
            self.changes += 1
            kept = max(0, len(log.messages) - count)
            del log.messages[kept:]
            log.epoch += 1
            log.epoch_starts = [(epoch, start) for epoch, start in log.epoch_starts if start <= log.end]
            log.epoch_starts.append((log.epoch, log.end))

    def insert(self, message: Outgoing) -> None:
        """Write as whoever has a right to: at once, whatever its size."""
        with self._changed:
            self._append(message)
            self._changed.notify_all()

    def expire(self, topic: str, partition: int, before: int) -> None:
        """Let retention remove every message whose offset is below `before`."""
        with self._changed:
            log = self._partition(topic, partition)
            self.changes += 1
            gone = min(max(0, before - log.first), len(log.messages))
            del log.messages[:gone]
            log.first += gone

    def kill_writer(self, writer: "MemoryLogWriter", rng: random.Random) -> None:
        """Let a writer's process die: by chance each message it has under way is lost, or still lands."""
        with self._changed:
            self._under_way = [
                sent for sent in self._under_way if sent.writer != writer.number or rng.random() < 0.5
            ]

    # --- For readers, writers and checks ---

    def messages(self, topic: str, partition: int = 0) -> tuple[Message, ...]:
        """Everything a partition holds."""
        return tuple(self._partition(topic, partition).messages)

    def _partition(self, topic: str, partition: int) -> _Partition:
        return self._partitions[topic, partition]

    def _send(self, writer: int, message: Outgoing) -> None:
        """Send one message on its way."""
        self._partition(message.topic, message.partition)  # must exist
        self._sent += 1
        faults, due_ms = self._faults, self.now_ms
        if faults:
            due_ms += faults.rng.randint(0, faults.delay_ms_max)
        for sent in self._under_way:
            same_place = sent.message[:2] == message[:2]
            if sent.writer == writer and same_place and not sent.is_duplicate:
                due_ms = max(due_ms, sent.due_ms)
        self._under_way.append(_UnderWay(due_ms, self._sent, writer, message, False))
        if faults and faults.rng.random() < faults.duplicate:
            later_ms = due_ms + faults.rng.randint(0, 10 * faults.delay_ms_max)
            self._under_way.append(_UnderWay(later_ms, self._sent, writer, message, True))


class MemoryLogReader:
    """A `LogReader` of a `MemoryLog`. A wait of 0 never blocks, which is what a simulation asks for."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._next: dict[tuple[str, int], tuple[int, int]] = {}
        self._away_since_ms: int | None = None

    def receive(
        self, topics: Sequence[str], max_messages: int, wait_ms: int
    ) -> tuple[tuple[Message, ...], tuple[Alarm, ...]]:
        """See `LogReader.receive`."""
        deadline = time.monotonic() + wait_ms / 1000 if wait_ms else None
        with self._log._changed:
            while True:
                messages, alarms = self._take(topics, max_messages)
                left = deadline - time.monotonic() if deadline else 0
                if messages or alarms or left <= 0:
                    return tuple(messages), tuple(alarms)
                self._log._changed.wait(left)

    def _take(self, topics: Sequence[str], max_messages: int) -> tuple[list[Message], list[Alarm]]:
        messages: list[Message] = []
        alarms: list[Alarm] = []
        if self._log.away:
            return messages, alarms
        faults = self._log._faults
        places = [place for place in self._next if place[0] in topics]
        for place in places:
            self._require_start(place)
        if faults:
            faults.rng.shuffle(places)
            if faults.rng.random() < faults.short_batch:
                max_messages = faults.rng.randint(0, max_messages)
        for place in places:
            alarm = self._check(place)
            if alarm:
                alarms.append(alarm)
            log = self._log._partition(*place)
            start = self._next[place][0] - log.first
            given = log.messages[start : start + max_messages - len(messages)]
            if given:
                self._next[place] = (given[-1].offset + 1, given[-1].leader_epoch)
                messages += given
        return messages, alarms

    def _require_start(self, place: tuple[str, int]) -> None:
        """Require what is to be read next, before anything is taken."""
        position, first = self._next[place][0], self._log._partition(*place).first
        if position < first:
            raise LogStartLostError(*place, position, first)

    def _check(self, place: tuple[str, int]) -> Alarm | None:
        """Move to where the log now ends, if it no longer holds what we read."""
        log = self._log._partition(*place)
        position, epoch = self._next[place]
        known_good = log.end if epoch < 0 else min(log.end, log.end_of_epoch(epoch))
        if position <= known_good:
            return None
        end = max(log.first, known_good)
        self._next[place] = (end, -1)
        return Alarm(*place, position, end)

    def seek(self, positions: Sequence[Position]) -> None:
        """See `LogReader.seek`."""
        if self._log.away:
            raise LogUnavailableError("the log is away")
        with self._log._changed:
            for topic, partition, offset, epoch in positions:
                log = self._log._partition(topic, partition)
                resolved = {FIRST_OFFSET: log.first, END_OFFSET: log.end}.get(offset, offset)
                self._next[topic, partition] = (resolved, epoch if resolved == offset else -1)

    def read_tail(self, topic: str, count: int) -> tuple[Message, ...]:
        """See `LogReader.read_tail`."""
        if self._log.away:
            raise LogUnavailableError("the log is away")
        return self._log.messages(topic)[-count:] if count else ()

    def read_all(self, topic: str) -> Iterator[Message]:
        """See `LogReader.read_all`."""
        if self._log.away:
            raise LogUnavailableError("the log is away")
        return iter(self._log.messages(topic))

    def unreachable_ms(self) -> int:
        """See `LogReader.unreachable_ms`; by the log's own time."""
        if not self._log.away:
            self._away_since_ms = None
            return 0
        self._away_since_ms = self._log.now_ms if self._away_since_ms is None else self._away_since_ms
        return self._log.now_ms - self._away_since_ms

    def close(self) -> None:
        """See `LogReader.close`."""


class MemoryLogWriter:
    """A `LogWriter` and `NowaitWriter` of a `MemoryLog`."""

    def __init__(self, log: MemoryLog, number: int) -> None:
        self.number = number
        self._log = log

    def send(self, messages: Sequence[Outgoing]) -> None:
        """See `LogWriter.send`."""
        with self._log._changed:
            for message in messages:
                if len(message.value) > self._log.message_bytes_max:
                    raise LogRefusedError(f"{message.topic}: {len(message.value)} bytes are above the limit")
                self._log._send(self.number, message)
            self._log._land()

    def send_nowait(self, message: Outgoing, reference: object) -> bool:
        """See `NowaitWriter.send_nowait`."""
        self.send([message])
        return True

    def take_failures(self, wait_ms: int = 0) -> list[DeliveryFailure]:
        """See `NowaitWriter.take_failures`; there are none here."""
        return []

    def flush(self, wait_ms: int) -> bool:
        """See `LogWriter.flush`."""
        deadline = time.monotonic() + wait_ms / 1000 if wait_ms else None
        with self._log._changed:
            while self._log._is_under_way(self.number):
                left = deadline - time.monotonic() if deadline else 0
                if left <= 0:
                    return False
                self._log._changed.wait(left)
        return True

    def unreachable_ms(self) -> int:
        """See `LogWriter.unreachable_ms`; by the log's own time."""
        return self._log._waiting_ms(self.number) if self._log.away else 0

    def close(self) -> None:
        """See `LogWriter.close`; what is under way lands as if it had left."""
