"""What every log promises: a suite for the one in memory, librdkafka's mock cluster, and a real Kafka.

A test class derives from `LogSuite` and has a fixture `log`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from storage.effects import END_OFFSET, FIRST_OFFSET, Alarm, Message, Outgoing, Position
from streams.kafka_connection import KafkaConnection
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.log import LogReader, LogRefusedError, LogStartLostError, LogWriter, publish

VALUE_BYTES_MAX = 100_000
PARTITIONS = {"requests": 2, "orders": 1, "results": 1}
WAIT_MS = 5_000


@dataclass
class Log:
    """A log under test: its users, how to let its start expire, and how to write without our limits."""

    reader: Callable[[], LogReader]
    writer: Callable[[], LogWriter]
    expire: Callable[[str, int, int], None]
    intrude: Callable[[Outgoing], None]


def on_kafka(connection: KafkaConnection, expire: Callable[[str, int, int], None]) -> Iterator[Log]:
    users: list[KafkaLogReader | KafkaLogWriter] = []

    def reader() -> LogReader:
        users.append(made := KafkaLogReader(connection))
        return made

    def writer() -> LogWriter:
        users.append(made := KafkaLogWriter(connection))
        return made

    def intrude(message: Outgoing) -> None:
        users.append(unbounded := KafkaLogWriter(replace(connection, message_bytes_max=10 * VALUE_BYTES_MAX)))
        assert publish(unbounded, [message], give_up=lambda: False)

    yield Log(reader, writer, expire, intrude)
    for user in users:
        user.close()


def outgoing(topic: str, *values: bytes, partition: int = 0) -> list[Outgoing]:
    return [Outgoing(topic, partition, None, value) for value in values]


def numbered(count: int, first: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def write(log: Log, messages: list[Outgoing]) -> None:
    assert publish(log.writer(), messages, give_up=lambda: False)


def read(reader: LogReader, count: int, *topics: str) -> list[Message]:
    """Exactly this many messages, and no alarm."""
    messages: list[Message] = []
    while len(messages) < count:
        given, alarms = reader.receive(topics, count - len(messages), WAIT_MS)
        assert given, f"only {len(messages)} of {count} came"
        assert not alarms
        messages += given
    return messages


def values(messages: list[Message] | tuple[Message, ...]) -> list[bytes | None]:
    return [message.value for message in messages]


class LogSuite:
    """The promises of `streams.log`, one test each."""

    def test_messages_come_in_order_from_where_the_reader_starts(self, log: Log) -> None:
        """From the position given: what was written to a partition, in order, with consecutive offsets."""
        write(log, outgoing("orders", *numbered(20)))
        reader = log.reader()
        reader.seek([Position("orders", 0, 5)])
        messages = read(reader, 15, "orders")
        assert values(messages) == numbered(15, 5)
        assert [message.offset for message in messages] == list(range(5, 20))
        assert {(message.topic, message.partition) for message in messages} == {("orders", 0)}

    def test_key_and_value_come_back(self, log: Log) -> None:
        """A key of bytes, and an empty value, are not changed."""
        write(log, [Outgoing("orders", 0, b"\x00key", b"\xff" * 1000), Outgoing("orders", 0, None, b"")])
        reader = log.reader()
        reader.seek([Position("orders", 0, FIRST_OFFSET)])
        first, second = read(reader, 2, "orders")
        assert (first.key, first.value) == (b"\x00key", b"\xff" * 1000)
        assert (second.key, second.value) == (None, b"")

    def test_the_end_is_fixed_by_the_seek(self, log: Log) -> None:
        """A reader at the end sees what is written after its seek, and nothing from before."""
        write(log, outgoing("orders", b"before"))
        reader = log.reader()
        reader.seek([Position("orders", 0, END_OFFSET)])
        write(log, outgoing("orders", b"after"))
        assert values(read(reader, 1, "orders")) == [b"after"]

    def test_several_partitions_are_read_together(self, log: Log) -> None:
        """Messages of all partitions come, each partition in its own order."""
        write(log, outgoing("requests", *numbered(10)) + outgoing("requests", *numbered(10, 10), partition=1))
        reader = log.reader()
        reader.seek([Position("requests", 0, 0), Position("requests", 1, 0)])
        messages = read(reader, 20, "requests")
        for partition in (0, 1):
            mine = [message for message in messages if message.partition == partition]
            assert values(mine) == numbered(10, 10 * partition)

    def test_topics_not_asked_for_wait(self, log: Log) -> None:
        """A topic that is not asked for gives nothing, and loses nothing."""
        write(log, outgoing("orders", *numbered(5)) + outgoing("results", *numbered(5, 100)))
        reader = log.reader()
        reader.seek([Position("orders", 0, 0), Position("results", 0, 0)])
        assert values(read(reader, 5, "results")) == numbered(5, 100)
        assert reader.receive(["results"], 10, 50) == ((), ())
        assert values(read(reader, 5, "orders", "results")) == numbered(5)

    def test_no_more_than_asked_for(self, log: Log) -> None:
        """`max_messages` holds, and the rest comes next."""
        write(log, outgoing("orders", *numbered(7)))
        reader = log.reader()
        reader.seek([Position("orders", 0, 0)])
        given, _ = reader.receive(["orders"], 3, WAIT_MS)
        assert 1 <= len(given) <= 3
        assert values(list(given) + read(reader, 7 - len(given), "orders")) == numbered(7)

    def test_seek_back_gives_the_same_again(self, log: Log) -> None:
        """A reader that seeks back reads the same messages once more; other topics go on where they were."""
        write(log, outgoing("orders", *numbered(4)) + outgoing("results", *numbered(4)))
        reader = log.reader()
        reader.seek([Position("orders", 0, 0), Position("results", 0, 0)])
        first = read(reader, 4, "orders")
        read(reader, 2, "results")
        reader.seek([Position("orders", 0, 0, first[0].leader_epoch)])
        assert read(reader, 4, "orders") == first
        assert values(read(reader, 2, "results")) == numbered(2, 2)

    def test_nothing_there_is_an_empty_answer(self, log: Log) -> None:
        """Waiting in vain gives neither messages nor an error."""
        reader = log.reader()
        reader.seek([Position("orders", 0, FIRST_OFFSET)])
        assert reader.receive(["orders"], 10, 100) == ((), ())

    def test_a_lost_start_ends_the_reader(self, log: Log) -> None:
        """What retention removed before it was read is never skipped in silence."""
        write(log, outgoing("orders", *numbered(10)))
        log.expire("orders", 0, 6)
        reader = log.reader()
        reader.seek([Position("orders", 0, 3)])
        with pytest.raises(LogStartLostError) as raised:
            reader.receive(["orders"], 10, WAIT_MS)
        assert raised.value.code == "log.start_lost"
        assert "begins at 6" in raised.value.detail

    def test_a_lost_start_costs_no_message_of_another_topic(self, log: Log) -> None:
        """Who goes on behind it has everything else."""
        write(log, outgoing("orders", *numbered(10)) + outgoing("results", *numbered(20)))
        log.expire("orders", 0, 6)
        reader = log.reader()
        reader.seek([Position("results", 0, 0), Position("orders", 0, 3)])
        found: list[Message] = []
        starts: list[int] = []
        while len(found) < 24:
            try:
                found += read(reader, 1, "orders", "results")
            except LogStartLostError as error:
                starts.append(error.first_offset)
                reader.seek([Position("orders", 0, error.first_offset)])
        assert starts == [6]
        assert values([message for message in found if message.topic == "results"]) == numbered(20)
        assert values([message for message in found if message.topic == "orders"]) == numbered(4, 6)

    def test_the_first_offset_is_what_retention_left(self, log: Log) -> None:
        """`FIRST_OFFSET` starts at the oldest message there is."""
        write(log, outgoing("orders", *numbered(10)))
        log.expire("orders", 0, 6)
        reader = log.reader()
        reader.seek([Position("orders", 0, FIRST_OFFSET)])
        assert values(read(reader, 4, "orders")) == numbered(4, 6)

    def test_a_position_beyond_the_end_gives_an_alarm(self, log: Log) -> None:
        """A log that ends before the reader's position lost its tail: an alarm, and on from the new end."""
        write(log, outgoing("orders", *numbered(3)))
        reader = log.reader()
        reader.seek([Position("orders", 0, 10)])
        assert reader.receive(["orders"], 10, WAIT_MS) == ((), (Alarm("orders", 0, 10, 3),))
        write(log, outgoing("orders", b"next"))
        assert values(read(reader, 1, "orders")) == [b"next"]

    def test_the_tail_is_read_wherever_the_reader_stands(self, log: Log) -> None:
        """`read_tail` gives the newest messages, fewer if there are fewer, and moves nothing."""
        write(log, outgoing("orders", *numbered(6)))
        reader = log.reader()
        reader.seek([Position("orders", 0, 0)])
        assert values(reader.read_tail("orders", 2)) == numbered(2, 4)
        assert values(reader.read_tail("orders", 50)) == numbered(6)
        assert reader.read_tail("results", 1) == ()
        assert values(read(reader, 6, "orders")) == numbered(6)

    def test_everything_is_read_beside(self, log: Log) -> None:
        """`read_all` gives the whole log up to its end when it was asked."""
        write(log, outgoing("orders", *numbered(40)))
        log.expire("orders", 0, 10)
        assert values(list(log.reader().read_all("orders"))) == numbered(30, 10)

    def test_a_value_above_the_limit_is_passed_by(self, log: Log) -> None:
        """An oversized message comes without its value and stops nobody; the largest allowed comes whole."""
        log.intrude(Outgoing("orders", 0, b"k", b"x" * (5 * VALUE_BYTES_MAX)))
        write(log, outgoing("orders", b"y" * VALUE_BYTES_MAX))
        reader = log.reader()
        reader.seek([Position("orders", 0, 0)])
        assert values(read(reader, 2, "orders")) == [None, b"y" * VALUE_BYTES_MAX]

    def test_a_value_above_the_limit_is_not_sent(self, log: Log) -> None:
        """Our own limits make such a message impossible, so it is refused loudly."""
        with pytest.raises(LogRefusedError):
            log.writer().send(outgoing("orders", b"x" * (VALUE_BYTES_MAX + 1)))

    def test_two_writers_interleave_and_each_stays_in_order(self, log: Log) -> None:
        """Nothing is lost between two writers of one partition."""
        writers = [log.writer(), log.writer()]
        for number in range(10):
            for which, writer in enumerate(writers):
                writer.send(outgoing("orders", b"%d:%d" % (which, number)))
                assert writer.flush(WAIT_MS)
        reader = log.reader()
        reader.seek([Position("orders", 0, 0)])
        given = values(read(reader, 20, "orders"))
        for which in range(2):
            mine = [value for value in given if value and value.startswith(b"%d:" % which)]
            assert mine == [b"%d:%d" % (which, number) for number in range(10)]
