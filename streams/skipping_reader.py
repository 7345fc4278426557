"""A reader that some topics stop in no case: where such a topic has lost its start, it goes on with what is left.

That is right of a topic whose reader does not need every message: it goes by sequence and has it sent again what it
lacks, or it can do without. An alarm says what was lost.
"""

from collections.abc import Iterable, Iterator, Sequence

from storage.effects import Alarm, Message, Position
from streams.log import LogReader, LogStartLostError


class SkippingReader:
    """A `LogReader` over another one.

    Args:
        reader: of the log.
        topics: whose lost start is passed over.
    """

    def __init__(self, reader: LogReader, topics: Iterable[str]) -> None:
        self._reader = reader
        self._topics = frozenset(topics)

    def receive(
        self, topics: Sequence[str], max_messages: int, wait_ms: int
    ) -> tuple[tuple[Message, ...], tuple[Alarm, ...]]:
        """See `LogReader.receive`."""
        try:
            return self._reader.receive(topics, max_messages, wait_ms)
        except LogStartLostError as error:
            if error.topic not in self._topics:
                raise
            self._reader.seek((Position(error.topic, error.partition, error.first_offset),))
            return (), (error.alarm(),)

    def seek(self, positions: Sequence[Position]) -> None:
        """See `LogReader.seek`."""
        self._reader.seek(positions)

    def read_tail(self, topic: str, count: int) -> tuple[Message, ...]:
        """See `LogReader.read_tail`."""
        return self._reader.read_tail(topic, count)

    def read_all(self, topic: str) -> Iterator[Message]:
        """See `LogReader.read_all`."""
        return self._reader.read_all(topic)

    def unreachable_ms(self) -> int:
        """See `LogReader.unreachable_ms`."""
        return self._reader.unreachable_ms()

    def close(self) -> None:
        """See `LogReader.close`."""
        self._reader.close()
