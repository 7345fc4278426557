"""The log on Kafka. Only this module, `kafka_admin`, `kafka_beside` and `kafka_errors` import confluent_kafka.

Rules:

1. A reader assigns its partitions by hand and never commits: no consumer group, no rebalance.
2. Leader epochs go with positions, so a tail that was lost shows even where its offsets were used again.
3. A writer is idempotent and waits for all replicas. Where librdkafka gives up a message or the whole
   producer, it is sent again; duplicates are harmless, because every message is known by its content.
4. Everything is bounded: what is fetched ahead, held back, or handed over to be sent.
5. A batch that librdkafka cannot open is stepped over, to the offset, and comes as one message without a value.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import Message as KafkaMessage

from storage.effects import END_OFFSET, FIRST_OFFSET, Alarm, Message, Outgoing, Position
from streams.held_messages import HeldMessages
from streams.kafka_admin import KafkaAdmin
from streams.kafka_beside import end_of_unreadable, ends_of, place_of, read_to_end
from streams.kafka_connection import KafkaConnection
from streams.kafka_errors import (
    Reachability,
    divergence,
    is_lost_position,
    is_refusal,
    is_unreadable,
    make_client,
)
from streams.kafka_limits import LimitWatch
from streams.log import DeliveryFailure, LogRefusedError, LogStartLostError, LogUnavailableError

_DOUBT_MS = 2_000
_PAUSE_S = 0.05
_TURN_S = 0.15
"""The longest wait in a producer. From 0.2 s on the binding goes on calling back after it raised a fatal
error, and then raises something that is no exception at all."""

_OnDelivery = Callable[[KafkaError | None, KafkaMessage], None]


class KafkaLogReader:
    """A `LogReader` on Kafka.

    Args:
        connection: to which cluster.
        linger_ms: how long to wait for more after the first message of a batch.
    """

    def __init__(self, connection: KafkaConnection, *, linger_ms: int = 0) -> None:
        self._connection = connection
        self._linger_s = linger_ms / 1000
        self._reach = Reachability()
        self._consumer = self._make_consumer(tell_ends=False)
        self._plain_names: dict[str, str] = {}
        self._next: dict[tuple[str, int], tuple[int, int]] = {}
        self._lost: dict[tuple[str, int], str] = {}
        self._unreadable: dict[tuple[str, int], int] = {}
        self._held = HeldMessages()
        self._paused: set[str] = set()

    def _make_consumer(self, *, tell_ends: bool) -> Consumer:
        settings = self._connection.reader_settings(tell_ends=tell_ends)
        return make_client(Consumer, {**settings, "error_cb": self._reach.on_error})

    # --- Receiving ---

    def receive(
        self, topics: Sequence[str], max_messages: int, wait_ms: int
    ) -> tuple[tuple[Message, ...], tuple[Alarm, ...]]:
        """See `LogReader.receive`."""
        wanted = frozenset(topics)
        alarms, messages = self._heal(), self._take_held(topics, max_messages)
        deadline = time.monotonic() + wait_ms / 1000
        while not messages and not alarms:
            first = self._consumer.poll(max(0.0, deadline - time.monotonic()))
            if first is not None:
                messages = self._sort((first,), wanted)
                if not messages:  # for this may raise: only with nothing in hand
                    alarms, messages = self._heal(), self._take_held(topics, max_messages)
            elif time.monotonic() >= deadline:
                break
        if messages and len(messages) < max_messages:
            more = self._consumer.consume(max_messages - len(messages), self._linger_s)
            messages += self._sort(more, wanted)
        return tuple(messages), tuple(alarms)

    def _sort(self, arrived: Iterable[KafkaMessage], wanted: frozenset[str]) -> list[Message]:
        """Give the messages of wanted topics, hold back the others, note errors."""
        given: list[Message] = []
        for raw in arrived:
            error = raw.error()
            if error is not None:
                self._note(raw, error)
                continue
            message = self._message(raw)
            self._next[message.topic, message.partition] = (message.offset + 1, message.leader_epoch)
            if message.topic in wanted:
                given.append(message)
            else:
                self._hold(message)
        if given:
            self._reach.answered()
        return given

    def _message(self, raw: KafkaMessage) -> Message:
        topic, partition, offset = place_of(raw)
        epoch = raw.leader_epoch()
        value = raw.value() if len(raw) <= self._connection.message_bytes_max else None  # it is not even copied
        return Message(
            topic=self._plain_names[topic],
            partition=partition,
            offset=offset,
            leader_epoch=-1 if epoch is None else epoch,
            key=raw.key(),
            value=value,
            timestamp_ms=raw.timestamp()[1],
        )

    def _note(self, raw: KafkaMessage, error: KafkaError) -> None:
        if is_lost_position(error):
            topic, partition, _ = place_of(raw)
            self._lost[self._plain_names[topic], partition] = error.str()
        elif is_unreadable(error):
            topic, partition, offset = place_of(raw)
            self._unreadable[self._plain_names[topic], partition] = offset
        elif is_refusal(error) or error.fatal():
            raise LogRefusedError(error.str())
        else:
            self._reach.on_error(error)

    # --- Holding back what was not asked for ---

    def _hold(self, message: Message) -> None:
        self._held.add(message)
        if self._held.bytes > self._connection.fetch_bytes_max and message.topic not in self._paused:
            self._paused.add(message.topic)
            self._consumer.pause(self._partitions(message.topic))

    def _take_held(self, topics: Sequence[str], max_messages: int) -> list[Message]:
        taken: list[Message] = []
        for topic in topics:
            taken += self._held.take(topic, max_messages - len(taken))
            if topic in self._paused and not self._held.holds(topic):
                self._paused.discard(topic)
                self._consumer.resume(self._partitions(topic))
        return taken

    def _partitions(self, topic: str) -> list[TopicPartition]:
        name = self._connection.full_name(topic)
        return [TopicPartition(name, partition) for known, partition in self._next if known == topic]

    # --- Positions ---

    def seek(self, positions: Sequence[Position]) -> None:
        """See `LogReader.seek`."""
        resolved = {(p.topic, p.partition): self._resolve(p) for p in positions}
        for topic, partition in resolved:
            self._plain_names[self._connection.full_name(topic)] = topic
            self._lost.pop((topic, partition), None)
            self._unreadable.pop((topic, partition), None)
            self._held.drop(topic, partition)
        self._next.update(resolved)
        self._assign()

    def _resolve(self, position: Position) -> tuple[int, int]:
        if position.offset not in (FIRST_OFFSET, END_OFFSET):
            return position.offset, position.leader_epoch
        first, end = self._ends(self._consumer, position.topic, position.partition)
        return (first if position.offset == FIRST_OFFSET else end), -1

    def _assign(self) -> None:
        """Fetch everything anew from our own positions; what librdkafka fetched ahead is dropped."""
        self._paused.clear()
        places = [
            TopicPartition(self._connection.full_name(topic), partition, offset, leader_epoch=epoch)
            for (topic, partition), (offset, epoch) in self._next.items()
        ]
        self._consumer.assign(places)

    def _heal(self) -> list[Alarm]:
        """Go on where a log ends that no longer holds our position, and behind batches that cannot be opened."""
        alarms: list[Alarm] = []
        for (topic, partition), text in tuple(self._lost.items()):
            try:
                first, end = self._ends(self._consumer, topic, partition)
            except LogUnavailableError:
                break
            position = self._next[topic, partition][0]
            if position < first:
                raise LogStartLostError(topic, partition, position, first)
            known_good = divergence(text)  # where it is not told, what was written since is not seen
            end = max(first, min(position, end, end if known_good is None else known_good))
            self._next[topic, partition] = (end, -1)
            del self._lost[topic, partition]
            alarms.append(Alarm(topic, partition, position, end))
        if alarms:
            self._assign()
        self._step_over()
        return alarms

    def _step_over(self) -> None:
        """Go on behind batches that cannot be opened, and hold a message without a value for each."""
        unreadable, self._unreadable = self._unreadable, {}
        for (topic, partition), base in unreadable.items():
            with closing(self._make_consumer(tell_ends=True)) as consumer, suppress(LogUnavailableError):
                end = end_of_unreadable(consumer, TopicPartition(self._connection.full_name(topic), partition, base))
                if end > base:
                    self._next[topic, partition] = (end, -1)
                    self._hold(Message(topic, partition, end - 1, -1, None, None, 0))
        if unreadable:
            self._assign()  # where the broker was away, the error comes again

    def _ends(self, consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
        """First offset, and the one behind the last."""
        place = TopicPartition(self._connection.full_name(topic), partition)
        return ends_of(consumer, place, self._reach.text)

    # --- Reading beside ---

    def read_tail(self, topic: str, count: int) -> tuple[Message, ...]:
        """See `LogReader.read_tail`."""
        return tuple(self._read_beside(topic, count))

    def read_all(self, topic: str) -> Iterator[Message]:
        """See `LogReader.read_all`."""
        return self._read_beside(topic, None)

    def _read_beside(self, topic: str, count: int | None) -> Iterator[Message]:
        """Read partition 0 up to its present end with a consumer of its own."""
        name = self._connection.full_name(topic)
        self._plain_names[name] = topic
        with closing(self._make_consumer(tell_ends=True)) as consumer:
            first, end = self._ends(consumer, topic, 0)
            begin = first if count is None else max(first, end - count)
            yield from map(self._message, read_to_end(consumer, name, begin, end))

    # --- State ---

    def unreachable_ms(self) -> int:
        """See `LogReader.unreachable_ms`."""
        if self._reach.away_ms() > _DOUBT_MS:
            with suppress(KafkaException):  # a quiet topic gives no sign that the broker is back
                self._consumer.list_topics(timeout=_PAUSE_S)
                self._reach.answered()
        return self._reach.away_ms()

    def close(self) -> None:
        """See `LogReader.close`."""
        self._consumer.close()


class KafkaLogWriter:
    """A `LogWriter` and `NowaitWriter` on Kafka.

    Args:
        connection: to which cluster.
        linger_ms: how long `send_nowait` waits for more to send together; `flush` never does.
        compressed: whether what it sends is: worth it for topics that are kept so (`schemas.topics`).
    """

    def __init__(self, connection: KafkaConnection, *, linger_ms: int = 1, compressed: bool = False) -> None:
        self._connection = connection
        self._linger_ms, self._compressed = linger_ms, compressed
        self._waiting: deque[Outgoing] = deque()
        self._handed_over: list[Outgoing] = []
        self._undelivered: list[Outgoing] = []
        self._failures: list[DeliveryFailure] = []
        self._refused = ""
        self._stuck_since: float | None = None
        self._reach = Reachability()
        self._limits = LimitWatch(lambda: KafkaAdmin(connection).too_low())
        self._producer = self._make_producer()

    def _make_producer(self) -> Producer:
        settings = self._connection.writer_settings(linger_ms=self._linger_ms, compressed=self._compressed)
        return make_client(Producer, {**settings, "error_cb": self._reach.on_error})

    def send(self, messages: Sequence[Outgoing]) -> None:
        """See `LogWriter.send`."""
        self._waiting.extend(messages)
        self._hand_over()

    def _hand_over(self) -> None:
        """Give librdkafka what it has room for."""
        while self._waiting and self._produce(self._waiting[0], self._on_undelivered) is None:
            self._handed_over.append(self._waiting.popleft())

    def _produce(self, message: Outgoing, on_delivery: _OnDelivery) -> KafkaError | None:
        """Hand a message to librdkafka; why that cannot take it at the moment."""
        topic, partition, key, value = message
        if len(value) > self._connection.message_bytes_max:
            raise LogRefusedError(f"{topic}: a message of {len(value)} bytes is above the limit")
        name = self._connection.full_name(topic)
        try:
            self._producer.produce(name, value, key, partition, on_delivery)
        except BufferError:
            return KafkaError(KafkaError._QUEUE_FULL)
        except KafkaException as exception:
            error: KafkaError = exception.args[0]
            if is_refusal(error):
                raise LogRefusedError(f"{topic}: {error.str()}") from exception
            self._reach.on_error(error)
            return error
        return None

    def flush(self, wait_ms: int) -> bool:
        """See `LogWriter.flush`."""
        deadline = time.monotonic() + wait_ms / 1000
        while True:
            self._hand_over()
            left = self._wait(self._producer.flush, max(0.0, deadline - time.monotonic()))
            if self._refused:
                raise LogRefusedError(self._refused)
            if self._reach.fatal:
                self._start_anew()
            elif not left:
                self._send_again(self._undelivered)
                if not self._waiting:
                    self._stuck_since = None
                    return True
            if time.monotonic() >= deadline:
                self._stuck_since = self._stuck_since or time.monotonic()
                self._limits.waited(self.unreachable_ms())
                return False
            if not left:  # nothing is under way, and yet not everything was taken
                self._wait(self._producer.poll, _PAUSE_S)

    def _wait(self, call: Callable[[float], int], seconds: float) -> int:
        """Let librdkafka work and call back, for one turn; only a fatal error raises here."""
        try:
            return call(min(seconds, _TURN_S))
        except KafkaException as exception:
            self._reach.on_error(exception.args[0])
            return 0

    def _start_anew(self) -> None:
        """Replace a producer that librdkafka has given up, and send again what it was given."""
        self.close()
        self._reach.fatal = False
        self._producer = self._make_producer()
        self._send_again(self._handed_over)

    def _send_again(self, messages: Sequence[Outgoing]) -> None:
        """Go on with these, now that librdkafka has none left."""
        self._waiting.extendleft(reversed(messages))
        self._handed_over.clear()
        self._undelivered.clear()

    def _on_undelivered(self, error: KafkaError | None, raw: KafkaMessage) -> None:
        if error is None:
            return
        name, partition, _ = place_of(raw)
        topic = self._connection.plain_name(name)
        if is_refusal(error):
            self._refused = f"{topic}: {error.str()}"
        self._undelivered.append(Outgoing(topic, partition, raw.key(), raw.value() or b""))

    # --- Sending without waiting ---

    def send_nowait(self, message: Outgoing, reference: object) -> bool:
        """See `NowaitWriter.send_nowait`."""
        if self._reach.fatal:
            self._start_anew()
        error = self._produce(message, partial(self._on_failure, reference))
        if error is not None and (error.code() == KafkaError._QUEUE_FULL or error.fatal()):
            return False
        self._on_failure(reference, error)
        return True

    def _on_failure(self, reference: object, error: KafkaError | None, _raw: KafkaMessage | None = None) -> None:
        if error is not None:
            is_hopeless = is_refusal(error) or error.code() == KafkaError._UNKNOWN_PARTITION
            self._failures.append(DeliveryFailure(reference, not is_hopeless, error.str()))
            if error.code() == KafkaError._MSG_TIMED_OUT:
                self._limits.waited(self._connection.delivery_timeout_ms)

    def take_failures(self, wait_ms: int = 0) -> list[DeliveryFailure]:
        """See `NowaitWriter.take_failures`."""
        self._wait(self._producer.poll, wait_ms / 1000)
        if self._reach.fatal:
            self._start_anew()
        failures, self._failures = self._failures, []
        return failures

    def unreachable_ms(self) -> int:
        """See `LogWriter.unreachable_ms`."""
        return 0 if self._stuck_since is None else int((time.monotonic() - self._stuck_since) * 1000)

    def close(self) -> None:
        """See `LogWriter.close`."""
        self._producer.purge()
        self._wait(self._producer.flush, _TURN_S)
