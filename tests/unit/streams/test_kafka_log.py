"""Kafka's adapter when the broker fails: nothing is lost, nothing blocks for ever, what is final is said."""

import time
from collections.abc import Iterator

import pytest

from storage.effects import FIRST_OFFSET, Outgoing, Position
from streams.kafka_connection import KafkaConnection
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.log import DeliveryFailure, LogRefusedError, LogUnavailableError, publish
from tests.mock_cluster import FETCH, PRODUCE, MockCluster, give_up, mock_cluster

NOT_LEADER, TOPIC_AUTHORIZATION_FAILED, INVALID_PRODUCER_EPOCH = 6, 29, 47
WAIT_MS = 10_000


@pytest.fixture
def cluster() -> Iterator[MockCluster]:
    with mock_cluster() as made:
        for topic in ("orders", "results"):
            made.create_topic(topic)
        yield made


def connection(cluster: MockCluster, **settings: int) -> KafkaConnection:
    return KafkaConnection(bootstrap=cluster.bootstrap, fetch_wait_ms=5, **settings)  # type: ignore[arg-type]


def numbered(count: int, topic: str = "orders") -> list[Outgoing]:
    return [Outgoing(topic, 0, None, b"%d" % number) for number in range(count)]


def read(cluster: MockCluster, count: int, topic: str = "orders") -> list[bytes | None]:
    """The first `count` values of a topic, and everything that comes with them."""
    reader = KafkaLogReader(connection(cluster))
    reader.seek([Position(topic, 0, FIRST_OFFSET)])
    values: list[bytes | None] = []
    while len(values) < count:
        messages, _ = reader.receive([topic], 1000, WAIT_MS)
        assert messages, f"only {len(values)} of {count} came"
        values += [message.value for message in messages]
    reader.close()
    return values


def test_messages_wait_for_a_broker_that_is_away(cluster: MockCluster) -> None:
    """What is sent meanwhile is delivered once the broker is back; until then `flush` says no."""
    writer = KafkaLogWriter(connection(cluster))
    assert publish(writer, numbered(1), lambda: False)
    cluster.stop_answering()
    writer.send(numbered(5)[1:])
    assert not writer.flush(200)
    assert not writer.flush(50)
    assert writer.unreachable_ms() >= 50
    cluster.answer_again()
    assert writer.flush(WAIT_MS)
    assert writer.unreachable_ms() == 0
    assert read(cluster, 5) == [b"0", b"1", b"2", b"3", b"4"]
    writer.close()


def test_messages_that_librdkafka_gives_up_are_sent_again(cluster: MockCluster) -> None:
    """A delivery that timed out is no loss: `flush` starts it anew."""
    writer = KafkaLogWriter(connection(cluster, delivery_timeout_ms=300))
    assert publish(writer, numbered(1), lambda: False)
    cluster.stop_answering()
    writer.send(numbered(3)[1:])
    assert not writer.flush(1_000)
    cluster.answer_again()
    assert writer.flush(WAIT_MS)
    assert read(cluster, 3) == [b"0", b"1", b"2"]
    writer.close()


def test_a_producer_that_librdkafka_gives_up_is_replaced(cluster: MockCluster) -> None:
    """After a fatal error a new producer sends what was not delivered, and everything after it."""
    writer = KafkaLogWriter(connection(cluster))
    assert publish(writer, numbered(1), lambda: False)
    cluster.stop_answering()
    writer.send(numbered(3)[1:])
    give_up(writer._producer)
    assert not writer.flush(200)
    cluster.answer_again()
    assert publish(writer, [Outgoing("orders", 0, None, b"after")], lambda: False)
    assert read(cluster, 4) == [b"0", b"1", b"2", b"after"]
    give_up(writer._producer)
    assert publish(writer, [Outgoing("orders", 0, None, b"again")], lambda: False)
    assert read(cluster, 5)[4:] == [b"again"]
    writer.close()


def test_clients_go_on_when_their_producer_is_given_up(cluster: MockCluster) -> None:
    """What was on its way is named as failed; what is sent next is delivered."""
    writer = KafkaLogWriter(connection(cluster))
    assert publish(writer, numbered(1), lambda: False)
    cluster.stop_answering()
    assert writer.send_nowait(Outgoing("orders", 0, None, b"lost"), "lost")
    give_up(writer._producer)
    cluster.answer_again()
    deadline = time.monotonic() + 10
    while not (failures := writer.take_failures(100)) and time.monotonic() < deadline:
        pass
    assert [failure.reference for failure in failures] == ["lost"]
    assert writer.send_nowait(Outgoing("orders", 0, None, b"after"), "after")
    assert writer.flush(WAIT_MS)
    assert read(cluster, 2)[1:] == [b"after"]
    writer.close()


def test_a_producer_that_is_fenced_goes_on(cluster: MockCluster) -> None:
    """An idempotent producer whose epoch is refused sends the same messages under a new one."""
    writer = KafkaLogWriter(connection(cluster))
    assert publish(writer, numbered(1), lambda: False)
    cluster.fail(PRODUCE, INVALID_PRODUCER_EPOCH)
    assert publish(writer, numbered(3)[1:], lambda: False)
    assert read(cluster, 3) == [b"0", b"1", b"2"]
    writer.close()


def test_a_broker_that_refuses_ends_the_writer(cluster: MockCluster) -> None:
    """A missing right is not tried for ever."""
    writer = KafkaLogWriter(connection(cluster))
    cluster.fail(PRODUCE, TOPIC_AUTHORIZATION_FAILED)
    writer.send(numbered(1))
    with pytest.raises(LogRefusedError, match="orders") as raised:
        writer.flush(WAIT_MS)
    assert raised.value.code == "broker.refused"
    writer.close()


def test_more_than_librdkafka_has_room_for_is_sent_in_order(cluster: MockCluster) -> None:
    """A full queue holds `send` up no more than `flush` does, and loses nothing."""
    writer = KafkaLogWriter(connection(cluster, unsent_bytes_max=64 * 1024))
    messages = [Outgoing("orders", 0, None, b"%4d" % number + b"x" * 10_000) for number in range(50)]
    assert publish(writer, messages, lambda: False)
    assert read(cluster, 50) == [message.value for message in messages]
    writer.close()


def test_giving_up_a_publish(cluster: MockCluster) -> None:
    """A stage that is told to stop is not held by a broker that is away."""
    writer = KafkaLogWriter(connection(cluster))
    cluster.stop_answering()
    assert not publish(writer, numbered(1), lambda: True)
    writer.close()


def test_failures_of_what_was_sent_without_waiting(cluster: MockCluster) -> None:
    """Each message that the broker does not take is named by its sender's reference; the others are not."""
    writer = KafkaLogWriter(connection(cluster, delivery_timeout_ms=1_500))
    assert writer.send_nowait(numbered(1)[0], "first")
    assert writer.flush(WAIT_MS)
    cluster.stop_answering()
    assert writer.send_nowait(numbered(1)[0], "second")
    failures: list[DeliveryFailure] = []
    deadline = time.monotonic() + 10
    while not failures and time.monotonic() < deadline:
        failures = writer.take_failures(100)
    assert [(failure.reference, failure.retriable) for failure in failures] == [("second", True)]
    assert not writer.take_failures()
    writer.close()


def test_no_room_is_said_at_once(cluster: MockCluster) -> None:
    """A client that outruns the broker is told so, and can go on when there is room."""
    writer = KafkaLogWriter(connection(cluster, unsent_bytes_max=64 * 1024), linger_ms=1000)
    message = Outgoing("orders", 0, None, b"x" * 10_000)
    taken = 0
    while writer.send_nowait(message, taken):
        taken += 1
    assert 1 <= taken < 10
    assert writer.flush(WAIT_MS)
    assert writer.send_nowait(message, taken)
    writer.close()


def test_reading_goes_on_after_the_broker_was_away(cluster: MockCluster) -> None:
    """A reader waits without an error, says for how long the broker is away, and loses nothing."""
    writer = KafkaLogWriter(connection(cluster))
    assert publish(writer, numbered(2), lambda: False)
    reader = KafkaLogReader(connection(cluster))
    reader.seek([Position("orders", 0, FIRST_OFFSET)])
    messages, _ = reader.receive(["orders"], 1, WAIT_MS)
    cluster.stop_answering()
    given, _ = reader.receive(["orders"], 1, 0)  # was fetched ahead, perhaps
    messages += given
    deadline = time.monotonic() + 10
    while not reader.unreachable_ms() and time.monotonic() < deadline:
        given, alarms = reader.receive(["orders"], 1, 50)
        assert not alarms
        messages += given  # the second one, perhaps: it may have been on its way
    assert reader.unreachable_ms() > 0
    cluster.answer_again()
    assert publish(writer, [Outgoing("orders", 0, None, b"after")], lambda: False)
    while len(messages) < 3:
        given, _ = reader.receive(["orders"], 10, WAIT_MS)
        assert given
        messages += given
    assert [message.value for message in messages] == [b"0", b"1", b"after"]
    assert reader.unreachable_ms() == 0
    reader.close()
    writer.close()


def test_a_quiet_topic_does_not_look_like_a_broker_that_is_away(
    cluster: MockCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the broker is back but sends nothing, the reader finds out by asking."""
    monkeypatch.setattr("streams.kafka_log._DOUBT_MS", 0)
    reader = KafkaLogReader(connection(cluster))
    reader.seek([Position("orders", 0, FIRST_OFFSET)])
    reader.receive(["orders"], 1, 50)
    cluster.stop_answering()
    deadline = time.monotonic() + 10
    while not reader.unreachable_ms() and time.monotonic() < deadline:
        reader.receive(["orders"], 1, 50)
    assert reader.unreachable_ms() > 0
    cluster.answer_again()
    deadline = time.monotonic() + 2 * WAIT_MS / 1000
    while reader.unreachable_ms() and time.monotonic() < deadline:
        reader.receive(["orders"], 1, 50)
    assert reader.unreachable_ms() == 0
    reader.close()


def test_passing_errors_of_a_fetch_are_not_seen(cluster: MockCluster) -> None:
    """A leader that moves costs time and nothing else."""
    writer = KafkaLogWriter(connection(cluster))
    assert publish(writer, numbered(3), lambda: False)
    cluster.fail(FETCH, *[NOT_LEADER] * 3)
    assert read(cluster, 3) == [b"0", b"1", b"2"]
    writer.close()


def test_a_seek_while_the_broker_is_away_changes_nothing(cluster: MockCluster) -> None:
    """Where the end is cannot be found out: an error, and the old position stays."""
    writer = KafkaLogWriter(connection(cluster))
    assert publish(writer, numbered(3), lambda: False)
    reader = KafkaLogReader(connection(cluster))
    reader.seek([Position("orders", 0, 1)])
    cluster.stop_answering()
    with pytest.raises(LogUnavailableError):
        reader.seek([Position("orders", 0, FIRST_OFFSET)])
    cluster.answer_again()
    messages, _ = reader.receive(["orders"], 1, WAIT_MS)
    assert messages[0].value == b"1"
    reader.close()
    writer.close()


def test_what_nobody_asks_for_takes_bounded_memory(cluster: MockCluster) -> None:
    """A topic that is not read is paused once enough of it is held, and comes whole when it is asked for."""
    bound = 1024 * 1024
    writer = KafkaLogWriter(connection(cluster))
    messages = [Outgoing("results", 0, None, b"%4d" % number + b"x" * 10_000) for number in range(350)]
    assert publish(writer, messages, lambda: False)
    reader = KafkaLogReader(connection(cluster, fetch_bytes_max=bound))
    reader.seek([Position("orders", 0, FIRST_OFFSET), Position("results", 0, FIRST_OFFSET)])
    deadline = time.monotonic() + WAIT_MS / 1000
    while not reader._paused and time.monotonic() < deadline:
        assert reader.receive(["orders"], 10, 50) == ((), ())
    assert reader._paused == {"results"}
    assert reader.receive(["orders"], 10, 500) == ((), ()), "it would go on filling"
    assert bound < reader._held.bytes < 2 * bound
    assert publish(writer, numbered(1), lambda: False)
    given, _ = reader.receive(["orders"], 10, WAIT_MS)
    assert [message.value for message in given] == [b"0"]
    values: list[bytes | None] = []
    while len(values) < 350:
        given, _ = reader.receive(["results"], 500, WAIT_MS)
        assert given
        values += [message.value for message in given]
    assert values == [message.value for message in messages]
    reader.close()
    writer.close()


def test_a_seek_drops_what_was_held_back(cluster: MockCluster) -> None:
    """What came before it of a topic that nobody asked for does not come twice."""
    writer = KafkaLogWriter(connection(cluster))
    assert publish(writer, [*numbered(3, "results"), *numbered(3)], lambda: False)
    writer.close()
    reader = KafkaLogReader(connection(cluster))
    both = [Position("orders", 0, FIRST_OFFSET), Position("results", 0, FIRST_OFFSET)]
    reader.seek(both)
    deadline = time.monotonic() + WAIT_MS / 1000
    while not reader._held.holds("results") and time.monotonic() < deadline:
        reader.receive(["orders"], 1000, 100)
    reader.seek(both)
    values: list[bytes | None] = []
    while len(values) < 3:
        values += [message.value for message in reader.receive(["results"], 1000, WAIT_MS)[0]]
    assert values == [b"0", b"1", b"2"]
    assert reader.receive(["results"], 1000, 300)[0] == ()
    reader.close()
