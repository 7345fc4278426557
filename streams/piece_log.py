"""The log as readers and writers of pieces see it: the ledger's cluster, and the brokers of single replicas.

Rules:

1. A machine knows one log, with every topic under its plain name; which cluster holds it is told here.
2. One replica's topic must not stop its readers, who can do without it. If its broker is away or refuses,
   nothing comes of it until it is back; if its topic has lost its start, on whichever cluster, the reader
   goes on with what is left, and says so by an alarm. Learners see either as lag and missing blocks.
3. On the ledger's own cluster everything else is as in `streams.log`.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from protocol.errors import CountersignError
from storage.effects import Alarm, Message, Outgoing, Position
from streams.log import LogReader, LogStartLostError, LogWriter
from streams.skipping_reader import SkippingReader

_SLICE_MS = 20
"""How long one cluster is waited for while others may have something."""

_PAUSE_FIRST_S = 0.2
_PAUSE_S_MAX = 30.0
_WELL_AFTER_S = 5.0
"""A cluster that has not failed again for so long is well."""

_log = logging.getLogger("countersign.stage")

Received = tuple[tuple[Message, ...], tuple[Alarm, ...]]
NOTHING: Received = ((), ())

_Ask = Callable[[int, int], Received]
"""Asks one cluster for at most so many messages, for so many milliseconds."""


class PieceLogReader:
    """A `LogReader` over several clusters.

    Args:
        home: of the ledger's cluster.
        pieces: the topics whose lost start stops nobody.
        elsewhere: by plain name, what makes a reader of the cluster that holds a topic.
    """

    def __init__(
        self,
        home: LogReader,
        pieces: Sequence[str],
        elsewhere: Mapping[str, Callable[[], LogReader]],
    ) -> None:
        self._home = SkippingReader(home, pieces)
        self._elsewhere = {topic: _Elsewhere(topic, make) for topic, make in elsewhere.items()}
        self._turn = 0

    def receive(self, topics: Sequence[str], max_messages: int, wait_ms: int) -> Received:
        """See `LogReader.receive`."""
        others = [self._elsewhere[topic] for topic in topics if topic in self._elsewhere]
        at_home = tuple(topic for topic in topics if topic not in self._elsewhere)
        if not others:
            return self._home.receive(at_home, max_messages, wait_ms)
        asked: list[_Ask] = [other.receive for other in others]
        if at_home:
            asked.append(partial(self._home.receive, at_home))
        deadline = time.monotonic() + wait_ms / 1000
        while True:
            messages, alarms = self._poll(asked, max_messages)
            left_ms = int((deadline - time.monotonic()) * 1000)
            if messages or alarms or left_ms <= 0:
                return messages, alarms
            self._turn += 1
            waited = asked[self._turn % len(asked)](max_messages, min(left_ms, _SLICE_MS))
            if waited != NOTHING:
                return waited

    def _poll(self, asked: Sequence[_Ask], max_messages: int) -> Received:
        """What each cluster has just now, beginning with another one each time."""
        messages: tuple[Message, ...] = ()
        alarms: tuple[Alarm, ...] = ()
        self._turn += 1
        for place in range(len(asked)):
            if len(messages) >= max_messages:
                break
            given, alarmed = asked[(self._turn + place) % len(asked)](max_messages - len(messages), 0)
            messages += given
            alarms += alarmed
        return messages, alarms

    def seek(self, positions: Sequence[Position]) -> None:
        """See `LogReader.seek`; other clusters than the ledger's are asked later."""
        at_home = [position for position in positions if position.topic not in self._elsewhere]
        if at_home:
            self._home.seek(at_home)
        for position in positions:
            if position.topic in self._elsewhere:
                self._elsewhere[position.topic].seek(position)

    def read_tail(self, topic: str, count: int) -> tuple[Message, ...]:
        """See `LogReader.read_tail`."""
        return self._of(topic).read_tail(topic, count)

    def read_all(self, topic: str) -> Iterator[Message]:
        """See `LogReader.read_all`."""
        return self._of(topic).read_all(topic)

    def _of(self, topic: str) -> LogReader:
        return self._elsewhere[topic].reader() if topic in self._elsewhere else self._home

    def unreachable_ms(self) -> int:
        """For how long some cluster has been away."""
        away = [other.unreachable_ms() for other in self._elsewhere.values()]
        return max([self._home.unreachable_ms(), *away])

    def close(self) -> None:
        """See `LogReader.close`."""
        self._home.close()
        for other in self._elsewhere.values():
            other.close()


class _Elsewhere:
    """One topic on a cluster of its own: opened again from where it was, whenever something is wrong with it."""

    def __init__(self, topic: str, make: Callable[[], LogReader]) -> None:
        self._topic = topic
        self._make = make
        self._reader: LogReader | None = None
        self._position: Position | None = None
        self._is_placed = False
        self._again_at = 0.0
        self._pause_s = _PAUSE_FIRST_S
        self._failing_since: float | None = None

    def reader(self) -> LogReader:
        """The reader of this cluster."""
        if self._reader is None:
            self._reader = self._make()
            self._is_placed = False
        return self._reader

    def seek(self, position: Position) -> None:
        """Read on from here as soon as the cluster answers."""
        self._position = position
        self._is_placed = False

    def receive(self, max_messages: int, wait_ms: int) -> Received:
        """Messages of the topic; nothing while its cluster is away or refuses."""
        now = time.monotonic()
        if self._position is None or now < self._again_at:
            time.sleep(min(wait_ms / 1000, max(0.0, self._again_at - now)))
            return NOTHING
        try:
            reader = self.reader()
            if not self._is_placed:
                reader.seek((self._position,))
                self._is_placed = True
            messages, alarms = reader.receive((self._topic,), max_messages, wait_ms)
        except LogStartLostError as error:
            self._position = Position(error.topic, error.partition, error.first_offset)
            self._is_placed = False
            return (), (error.alarm(),)
        except CountersignError as error:
            self._failed(error)
            return NOTHING
        for alarm in alarms:
            self._position = Position(alarm.topic, alarm.partition, alarm.end_offset)
        if messages:
            last = messages[-1]
            self._position = Position(last.topic, last.partition, last.offset + 1, last.leader_epoch)
        if messages or now - self._again_at > _WELL_AFTER_S:
            self._pause_s, self._failing_since = _PAUSE_FIRST_S, None
        return messages, alarms

    def _failed(self, error: CountersignError) -> None:
        """Close, and leave the cluster alone for a while."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            _log.warning("%s: %s; its replica lags until then", self._topic, error)
        self.close()
        self._again_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, _PAUSE_S_MAX)

    def unreachable_ms(self) -> int:
        """For how long nothing can be read."""
        if self._failing_since is not None:
            return int((time.monotonic() - self._failing_since) * 1000)
        return 0 if self._reader is None else self._reader.unreachable_ms()

    def close(self) -> None:
        """Give back the connection."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class PieceLogWriter:
    """A `LogWriter` over several clusters.

    Args:
        home: of the ledger's cluster.
        elsewhere: by plain name, the writer of the cluster that holds a topic.
    """

    def __init__(self, home: LogWriter, elsewhere: Mapping[str, LogWriter]) -> None:
        self._home = home
        self._elsewhere = elsewhere
        self._writers = (home, *elsewhere.values())

    def send(self, messages: Sequence[Outgoing]) -> None:
        """See `LogWriter.send`."""
        for message in messages:
            self._elsewhere.get(message.topic, self._home).send((message,))

    def flush(self, wait_ms: int) -> bool:
        """See `LogWriter.flush`."""
        deadline = time.monotonic() + wait_ms / 1000
        done = True
        for writer in self._writers:
            left_ms = max(0, int((deadline - time.monotonic()) * 1000))
            done = writer.flush(left_ms) and done
        return done

    def unreachable_ms(self) -> int:
        """See `LogWriter.unreachable_ms`."""
        return max(writer.unreachable_ms() for writer in self._writers)

    def close(self) -> None:
        """See `LogWriter.close`."""
        for writer in self._writers:
            writer.close()
