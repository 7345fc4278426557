"""Kafka's adapter on a real Kafka keeps the promises of every log, and survives what a broker can do."""

import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local import kafka
from deploy.local.kafka import NAME as KAFKA
from deploy.local.stack import LocalStack
from schemas.topics import Topic, topic_table
from storage.effects import FIRST_OFFSET, Alarm, Outgoing, Position
from streams import kafka_limits
from streams.kafka_admin import Extent, KafkaAdmin
from streams.kafka_connection import KafkaConnection
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.log import LogRefusedError, LogUnavailableError, publish
from tests.conformance.log_suite import PARTITIONS, VALUE_BYTES_MAX, Log, LogSuite, on_kafka
from tests.pipeline import await_that

pytestmark = pytest.mark.integration


class TestKafka(LogSuite):
    """The adapter on Apache Kafka."""

    @pytest.fixture
    def log(self, stack: LocalStack, unique_name: str) -> Iterator[Log]:
        connection = KafkaConnection(
            bootstrap=stack.bootstrap_servers, prefix=unique_name, message_bytes_max=VALUE_BYTES_MAX
        )
        admin = KafkaAdmin(connection)
        admin.create_topics(
            [Topic(name=name, partitions=count, holds="", writers=(), readers=()) for name, count in PARTITIONS.items()]
        )
        yield from on_kafka(connection, admin.shorten)


@pytest.fixture
def connection(stack: LocalStack, unique_name: str) -> KafkaConnection:
    """A ledger of its own, with all its topics, on the shared Kafka."""
    made = KafkaConnection(bootstrap=stack.bootstrap_servers, prefix=unique_name)
    KafkaAdmin(made).create_topics(topic_table(2, 1))
    return made


def numbered(first: int, count: int) -> list[Outgoing]:
    return [Outgoing("orders", 0, None, b"%d" % number) for number in range(first, first + count)]


def read(reader: KafkaLogReader, count: int) -> tuple[list[int], list[Alarm]]:
    """Numbers until there are this many, and the alarms that came with them."""
    numbers: list[int] = []
    alarms: list[Alarm] = []
    while len(numbers) < count:
        messages, given = reader.receive(["orders"], 1000, 20_000)
        assert messages or given, f"only {len(numbers)} of {count} came"
        numbers += [int(message.value or b"") for message in messages]
        alarms += given
    return numbers, alarms


def test_topics_are_made_once_and_as_the_table_says(connection: KafkaConnection) -> None:
    """A second call makes nothing; the cluster's settings are the table's; what differs is told."""
    admin = KafkaAdmin(connection)
    table = topic_table(2, 1)
    assert admin.create_topics(table) == ()
    assert admin.differences(table) == ()
    assert admin.differences(topic_table(3, 1)) == ("requests: 2 partitions, not 3",)
    assert admin.create_topics(topic_table(2, 2)) == ("pieces.1",)
    assert admin.missing_topics(topic_table(2, 3)) == ("pieces.2",)
    assert len(admin.describe().brokers) == 1


def test_a_topic_with_too_few_partitions_is_refused(connection: KafkaConnection) -> None:
    """At once: a partition that will never be there is not waited for, and is no broker that is away."""
    with pytest.raises(LogRefusedError, match="requests was there already and has 2 partitions, not 3"):
        KafkaAdmin(connection).create_topics(topic_table(3, 1))
    assert KafkaAdmin(connection).create_topics(topic_table(1, 1)) == (), "more do no harm"


def test_the_extent_of_a_log_is_known(connection: KafkaConnection) -> None:
    """First offset and end of each partition, from which a reader's lag follows."""
    admin = KafkaAdmin(connection)
    writer = KafkaLogWriter(connection)
    assert publish(writer, numbered(0, 7), lambda: False)
    writer.close()
    admin.shorten("orders", 0, 3)
    extents = admin.extents(topic_table(2, 1))
    assert extents["orders", 0] == Extent(first=3, end=7)
    assert extents["requests", 1] == Extent(first=0, end=0)


def test_the_longest_message_goes_both_ways(connection: KafkaConnection) -> None:
    """8 MiB are taken, kept and given whole."""
    value = secrets.token_bytes(connection.message_bytes_max)
    writer, reader = KafkaLogWriter(connection), KafkaLogReader(connection)
    assert publish(writer, [Outgoing("decisions", 0, None, value)], lambda: False)
    reader.seek([Position("decisions", 0, FIRST_OFFSET)])
    messages, _ = reader.receive(["decisions"], 1, 20_000)
    assert messages[0].value == value
    reader.close()
    writer.close()


def test_a_broker_refuses_what_is_above_the_topics_limit(connection: KafkaConnection) -> None:
    """Where a sender has no limit, the topic's own one holds: the broker says no, and that is final."""
    unbounded = replace(connection, message_bytes_max=4 * connection.message_bytes_max)
    writer = KafkaLogWriter(unbounded)
    writer.send([Outgoing("orders", 0, None, bytes(2 * connection.message_bytes_max))])
    with pytest.raises(LogRefusedError) as raised:
        publish(writer, [], lambda: False)
    assert raised.value.code == "broker.refused"
    writer.close()


def test_a_broker_that_takes_too_little_is_named_and_one_that_takes_what_is_asked_for_takes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It closes the connection on a long message, which waits; its own word says why. With the setting that it is asked
    for it takes the longest one.
    """
    monkeypatch.setattr(kafka_limits, "PATIENCE_MS", 100)
    properties = kafka._PROPERTIES
    monkeypatch.setattr(kafka, "_PROPERTIES", f"{properties}socket.request.max.bytes=1000000\n")
    own = LocalStack(tmp_path / "stack", stores=())
    own.start()
    try:
        connection = KafkaConnection(bootstrap=own.bootstrap_servers)
        table, admin = topic_table(1, 1), KafkaAdmin(connection)
        admin.create_topics(table)
        (line,) = admin.too_low(table)
        assert "set it to 8519680 or more" in line
        writer = KafkaLogWriter(connection)
        writer.send([Outgoing("decisions", 0, None, os.urandom(connection.message_bytes_max))])
        await_that("the reason", lambda: not writer.flush(200) and line in caplog.text, 30)
        monkeypatch.setattr(kafka, "_PROPERTIES", f"{properties}socket.request.max.bytes=8519680\n")
        own.restart(KAFKA)
        await_that("the message", lambda: writer.flush(1_000), 60)
        assert admin.too_low(table) == ()
        writer.close()
    finally:
        own.stop()


def test_a_topic_that_does_not_exist_is_waited_for(stack: LocalStack, unique_name: str) -> None:
    """A reader and a writer that start before their topics do what they were to do once these are there."""
    connection = KafkaConnection(bootstrap=stack.bootstrap_servers, prefix=unique_name)
    writer, reader = KafkaLogWriter(connection), KafkaLogReader(connection)
    with pytest.raises(LogUnavailableError):
        reader.seek([Position("orders", 0, FIRST_OFFSET)])
    writer.send(numbered(0, 3))
    assert not writer.flush(200)
    KafkaAdmin(connection).create_topics(topic_table(1, 1))
    assert publish(writer, [], lambda: False)
    reader.seek([Position("orders", 0, FIRST_OFFSET)])
    assert read(reader, 3) == ([0, 1, 2], [])
    reader.close()
    writer.close()


def test_nothing_acknowledged_is_lost_when_kafka_is_killed(own_stack: LocalStack) -> None:
    """Kafka is killed twice under load: every message arrives, in order, and a reader needs no new start."""
    connection = KafkaConnection(bootstrap=own_stack.bootstrap_servers)
    KafkaAdmin(connection).create_topics(topic_table(1, 1))
    reader = KafkaLogReader(connection)
    reader.seek([Position("orders", 0, FIRST_OFFSET)])
    count = 600
    acknowledged = threading.Semaphore(0)

    def write() -> None:
        writer = KafkaLogWriter(connection)
        for first in range(0, count, 10):
            assert publish(writer, numbered(first, 10), lambda: False)
            acknowledged.release()
        writer.close()

    writing = threading.Thread(target=write)
    writing.start()
    for _ in range(2):
        for _ in range(10):
            assert acknowledged.acquire(timeout=60)
        own_stack.supervisor.kill(KAFKA)
        own_stack.restart(KAFKA)
    seen: list[int] = []
    while len(set(seen)) < count:
        numbers, alarms = read(reader, 1)
        assert not alarms
        seen += numbers
    writing.join(60)
    assert list(dict.fromkeys(seen)) == list(range(count))
    reader.close()


@pytest.mark.parametrize("reader_lives", [True, False])
def test_a_lost_tail_shows_although_its_offsets_are_used_again(own_stack: LocalStack, reader_lives: bool) -> None:
    """Kafka loses what it had acknowledged and goes on: an alarm, and everything written since is read."""
    connection = KafkaConnection(bootstrap=own_stack.bootstrap_servers)
    KafkaAdmin(connection).create_topics(topic_table(1, 1))
    writer, reader = KafkaLogWriter(connection), KafkaLogReader(connection)
    for number in range(100):
        assert publish(writer, numbered(number, 1), lambda: False)
    reader.seek([Position("orders", 0, FIRST_OFFSET)])
    while True:
        messages, _ = reader.receive(["orders"], 100, 20_000)
        if messages[-1].offset == 99:
            break
    own_stack.supervisor.kill(KAFKA)
    cut(own_stack, "orders", 90)
    own_stack.restart(KAFKA)
    assert publish(writer, numbered(1000, 30), lambda: False)
    if not reader_lives:
        reader.close()
        reader = KafkaLogReader(connection)
        reader.seek([Position("orders", 0, 100, messages[-1].leader_epoch)])
    numbers, alarms = read(reader, 30)
    assert alarms == [Alarm("orders", 0, 100, 90)]
    assert numbers == list(range(1000, 1030))
    reader.close()
    writer.close()


def cut(stack: LocalStack, topic: str, first_lost: int) -> None:
    """Cut a stopped Kafka's log before an offset, as a machine does that loses power."""
    (segment,) = stack.directory.glob(f"kafka/**/{topic}-0/*.log")
    data = segment.read_bytes()
    place = 0
    while int.from_bytes(data[place : place + 8], "big") < first_lost:
        place += 12 + int.from_bytes(data[place + 8 : place + 12], "big")
    os.truncate(segment, place)
