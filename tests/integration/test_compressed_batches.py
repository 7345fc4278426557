"""Compressed batches on a real Kafka: honest ones arrive whatever their codec, and hostile ones stop nobody."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer

from deploy.local.stack import LocalStack
from schemas.topics import DECISIONS, MIB, ORDERS, REQUESTS, Topic, pieces_topic, topic_table
from storage.effects import FIRST_OFFSET, Message, Outgoing, Position
from streams.kafka_admin import KafkaAdmin
from streams.kafka_connection import KafkaConnection
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.log import publish
from tests.hostile_batches import ACCEPTED, TOO_LARGE, give, gzip_bomb, unending_lz4

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

CODECS = ("gzip", "snappy", "lz4", "zstd")
OPEN_TOPICS = (REQUESTS, pieces_topic(0))
"""Topics that others than the two parties write."""

BOMB_BYTES = 24 * MIB
GROWTH_BYTES_MAX = 48 * MIB
"""What a reader of these few messages may grow by: an answer of the broker at its longest, twice."""


@pytest.fixture
def connection(stack: LocalStack, unique_name: str) -> KafkaConnection:
    """A ledger of its own, with all its topics, on the shared Kafka."""
    made = KafkaConnection(bootstrap=stack.bootstrap_servers, prefix=unique_name)
    KafkaAdmin(made).create_topics(topic_table(1, 1))
    return made


def write(connection: KafkaConnection, topic: str, *values: bytes, codec: str = "none") -> list[KafkaError | None]:
    """Send values in one batch, with a producer that knows no limits; what became of each."""
    told: list[KafkaError | None] = []
    settings: dict[str, Any] = {"message.max.bytes": 1_000_000_000, "linger.ms": 200, "compression.codec": codec}
    producer = Producer({"bootstrap.servers": connection.bootstrap, **settings})
    for value in values:
        producer.produce(connection.full_name(topic), value, on_delivery=lambda error, _: told.append(error))
    assert producer.flush(60) == 0
    return told


def read(connection: KafkaConnection, topic: str, last: bytes, offset: int = FIRST_OFFSET) -> list[Message]:
    """Every message up to the one with this value."""
    reader = KafkaLogReader(connection)
    reader.seek([Position(topic, 0, offset)])
    found: list[Message] = []
    while not found or found[-1].value != last:
        messages, _ = reader.receive([topic], 1000, 20_000)
        assert messages, f"after {len(found)} messages nothing came"
        found += messages
    reader.close()
    return found


@pytest.mark.parametrize("topic", OPEN_TOPICS)
@pytest.mark.parametrize("codec", CODECS)
def test_honest_batches_of_any_codec_arrive(connection: KafkaConnection, topic: str, codec: str) -> None:
    """What a producer sends with its default sizes is taken on every topic: a megabyte a batch, compressed or not."""
    values = [json.dumps({"number": number, "text": "x" * 900}).encode() for number in range(980)]
    assert write(connection, topic, *values, codec=codec) == [None] * len(values)
    assert [message.value for message in read(connection, topic, values[-1])] == values


@pytest.mark.parametrize("topic", OPEN_TOPICS)
def test_a_bomb_is_refused_where_anybody_may_write(connection: KafkaConnection, topic: str) -> None:
    """The broker opens it and finds it too long, in every codec; readers never meet it."""
    for codec in CODECS:
        (error,) = write(connection, topic, bytes(BOMB_BYTES), codec=codec)
        assert error is not None, codec
        assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert give(connection.bootstrap, connection.full_name(topic), 0, gzip_bomb(BOMB_BYTES)) == TOO_LARGE
    assert write(connection, topic, b"honest") == [None]
    assert [message.value for message in read(connection, topic, b"honest")] == [b"honest"]


def test_a_bomb_between_parties_grows_no_more_than_lz4_does(connection: KafkaConnection) -> None:
    """What only the parties write is kept as LZ4: the bomb of another codec becomes one of 255-fold, or is refused."""
    small = replace(topic_table(1, 1)[1], name="small", message_bytes_max=BOMB_BYTES // 300)
    KafkaAdmin(connection).create_topics([small])
    for codec in ("gzip", "zstd"):
        (error,) = write(connection, "small", bytes(BOMB_BYTES), codec=codec)
        assert error is not None, codec
        assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_what_cannot_be_opened_is_stepped_over_to_the_offset(connection: KafkaConnection) -> None:
    """Honest messages right before and behind such batches arrive; each of these counts as one without a value."""
    name = connection.full_name(ORDERS)
    write(connection, ORDERS, b"before 0", b"before 1", b"before 2")
    for count in (1, 2, 1000, 7):
        assert give(connection.bootstrap, name, 0, unending_lz4(b"%d" % number for number in range(count))) == ACCEPTED
    write(connection, ORDERS, b"between")
    assert give(connection.bootstrap, name, 0, unending_lz4([b"1"])) == ACCEPTED
    write(connection, ORDERS, b"behind", b"end")
    expected = [
        *((number, b"before %d" % number) for number in range(3)),
        *((last, None) for last in (3, 5, 1005, 1012)),
        (1013, b"between"),
        (1014, None),
        (1015, b"behind"),
        (1016, b"end"),
    ]
    assert [(message.offset, message.value) for message in read(connection, ORDERS, b"end")] == expected
    within = read(connection, ORDERS, b"end", offset=500)
    assert [(message.offset, message.value) for message in within] == expected[5:]
    reader = KafkaLogReader(connection)
    whole = [(message.offset, message.value) for message in reader.read_all(ORDERS)]
    assert whole == [place for place in expected if place[1] is not None]
    assert [message.value for message in reader.read_tail(ORDERS, 3)] == [b"behind", b"end"]
    reader.close()


def test_what_cannot_be_opened_is_held_back_in_its_place(connection: KafkaConnection) -> None:
    """It stands among the messages of its topic, although that is asked for later, and costs other topics nothing."""
    write(connection, ORDERS, b"first")
    assert give(connection.bootstrap, connection.full_name(ORDERS), 0, unending_lz4([b"1", b"2"])) == ACCEPTED
    write(connection, ORDERS, b"last")
    reader = KafkaLogReader(connection)
    reader.seek([Position(ORDERS, 0, FIRST_OFFSET), Position(DECISIONS, 0, FIRST_OFFSET)])
    writer = KafkaLogWriter(connection)
    for number in range(20):
        assert publish(writer, [Outgoing(DECISIONS, 0, None, b"%d" % number)], lambda: False)
        messages, _ = reader.receive([DECISIONS], 10, 20_000)
        assert [message.value for message in messages] == [b"%d" % number]
    values: list[bytes | None] = []
    while len(values) < 3:
        messages, _ = reader.receive([ORDERS], 1, 20_000)
        assert messages
        values += [message.value for message in messages]
    assert values == [b"first", None, b"last"]
    writer.close()
    reader.close()


def test_a_seek_forgets_what_could_not_be_opened(connection: KafkaConnection) -> None:
    """Who seeks after a reader has met such a batch, and before it has stepped over it, reads from where he said."""
    write(connection, ORDERS, b"first")
    assert give(connection.bootstrap, connection.full_name(ORDERS), 0, unending_lz4([b"1"])) == ACCEPTED
    write(connection, ORDERS, b"last")
    reader = KafkaLogReader(connection, linger_ms=500)
    for _ in range(2):
        reader.seek([Position(ORDERS, 0, FIRST_OFFSET)])
        messages, _ = reader.receive([ORDERS], 10, 20_000)
        assert [message.value for message in messages] == [b"first"], "and the error, which came with it"
    reader.close()


_READ_AND_TELL = """
import re, sys
from pathlib import Path
from storage.effects import FIRST_OFFSET, Position
from streams.kafka_connection import KafkaConnection
from streams.kafka_log import KafkaLogReader
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
reader, before = KafkaLogReader(KafkaConnection(bootstrap=sys.argv[1], prefix=sys.argv[2])), peak()
reader.seek([Position("foreign", 0, FIRST_OFFSET)])
values = []
while not values or values[-1] != b"honest":
    values += [message.value for message in reader.receive(["foreign"], 100, 20_000)[0]]
print(values == [None, None, b"honest"], peak() - before)
"""


def test_zstd_beyond_the_readers_bound_stops_no_reader(connection: KafkaConnection) -> None:
    """On a topic that keeps what it is given, too: it goes on, and takes no more memory than for any answer."""
    KafkaAdmin(connection).create_topics([Topic(name="foreign", holds="", writers=(), readers=())])
    changed = _Loose(name="foreign", holds="", writers=(), readers=())
    KafkaAdmin(connection).create_topics([changed])
    for mib in (60, 120):
        assert write(connection, "foreign", bytes(mib * MIB), codec="zstd") == [None]
    write(connection, "foreign", b"honest")
    told = subprocess.run(
        [sys.executable, "-c", _READ_AND_TELL, connection.bootstrap, connection.prefix],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.split()
    assert told[0] == "True"
    assert int(told[1]) < GROWTH_BYTES_MAX


class _Loose(Topic):
    """A topic whose broker leaves batches as they come."""

    compression = "producer"


def test_topics_that_were_there_get_the_tables_compression(connection: KafkaConnection) -> None:
    """A ledger made before there was any is protected by its next start; and nothing else of its topics changes."""
    admin, table = KafkaAdmin(connection), topic_table(1, 1)
    loose = [_Loose(name=topic.name, holds="", writers=(), readers=()) for topic in table]
    admin.create_topics(loose)
    name = connection.full_name(REQUESTS)
    assert give(connection.bootstrap, name, 0, gzip_bomb(BOMB_BYTES)) == ACCEPTED, "as before"
    admin.create_topics([replace(topic, message_bytes_max=1000) for topic in table])
    assert give(connection.bootstrap, name, 0, gzip_bomb(BOMB_BYTES)) == TOO_LARGE
    assert admin.differences(table) == ()
