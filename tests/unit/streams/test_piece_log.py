"""Pieces on several clusters: one log to a machine, and no single replica's broker stops its reader."""

from collections.abc import Callable, Sequence

import pytest

from schemas.topics import DECISIONS, pieces_topic
from storage.effects import FIRST_OFFSET, Alarm, Message, Outgoing, Position
from streams.log import LogReader, LogRefusedError, LogStartLostError, LogUnavailableError, LogWriter
from streams.memory_log import MemoryLog, MemoryLogReader
from streams.piece_log import PieceLogReader, PieceLogWriter

ZERO, ONE, TWO = map(pieces_topic, range(3))
TOPICS = (ZERO, ONE, TWO)


class Clusters:
    """Two replicas' topics on the ledger's cluster, the third one's on another."""

    def __init__(self) -> None:
        self.home = MemoryLog({DECISIONS: 1, ZERO: 1, ONE: 1})
        self.other = MemoryLog({TWO: 1})
        self.opened = 0
        self.failure: Exception | None = None

    def make(self) -> LogReader:
        self.opened += 1
        cluster = self

        class Failing(MemoryLogReader):
            def receive(
                self, topics: Sequence[str], max_messages: int, wait_ms: int
            ) -> tuple[tuple[Message, ...], tuple[Alarm, ...]]:
                if cluster.failure:
                    raise cluster.failure
                return super().receive(topics, max_messages, wait_ms)

        return Failing(self.other)

    def write(self, topic: str, *values: bytes) -> None:
        log = self.other if topic == TWO else self.home
        for value in values:
            log.insert(Outgoing(topic, 0, None, value))

    def reader(self) -> PieceLogReader:
        return PieceLogReader(self.home.reader(), TOPICS, {TWO: self.make})


@pytest.fixture
def clusters() -> Clusters:
    return Clusters()


def start(reader: LogReader, *topics: str) -> None:
    reader.seek([Position(topic, 0, FIRST_OFFSET) for topic in topics])


def values(reader: LogReader, *topics: str, wait_ms: int = 100) -> list[bytes | None]:
    """Everything that is there."""
    found: list[bytes | None] = []
    while True:
        messages, alarms = reader.receive(topics, 2, wait_ms)
        assert not alarms
        if not messages:
            return found
        found += [message.value for message in messages]


def test_one_log_to_a_machine(clusters: Clusters) -> None:
    """Messages of both clusters come, in order within each topic, and none is given twice."""
    for topic in TOPICS:
        clusters.write(topic, *(topic.encode() + b"%d" % number for number in range(5)))
    reader = clusters.reader()
    start(reader, *TOPICS)
    found = values(reader, *TOPICS)
    assert len(found) == 15
    for topic in TOPICS:
        mine = [value for value in found if value and value.startswith(topic.encode())]
        assert mine == [topic.encode() + b"%d" % number for number in range(5)]


def test_a_topic_that_is_not_asked_for_waits(clusters: Clusters) -> None:
    """On either cluster."""
    clusters.write(TWO, b"two")
    clusters.write(ZERO, b"zero")
    reader = clusters.reader()
    start(reader, *TOPICS)
    assert values(reader, ZERO, ONE) == [b"zero"]
    assert values(reader, TWO) == [b"two"]


def test_what_arrives_while_waiting_is_given(clusters: Clusters) -> None:
    """A wait ends with the first message of any cluster, the other one's too."""
    reader = clusters.reader()
    start(reader, *TOPICS)
    assert values(reader, *TOPICS, wait_ms=10) == []
    for topic in (TWO, ZERO):
        clusters.write(topic, b"late")
        messages, _ = reader.receive(TOPICS, 10, 5_000)
        assert [message.value for message in messages] == [b"late"]


def test_a_cluster_that_is_away_makes_its_replica_lag(clusters: Clusters) -> None:
    """Seeking it fails; the others' pieces come all the same, and its own when it is back, from its start."""
    clusters.other.away = True
    clusters.write(ZERO, b"zero")
    clusters.write(TWO, b"two")
    reader = clusters.reader()
    start(reader, *TOPICS)
    assert values(reader, *TOPICS) == [b"zero"]
    assert reader.unreachable_ms() > 0
    clusters.other.away = False
    clusters.write(ONE, b"one")
    found = [value for _ in range(10) for value in values(reader, *TOPICS)]
    assert sorted(filter(None, found)) == [b"one", b"two"]


@pytest.mark.parametrize("failure", [LogRefusedError("no right"), LogUnavailableError("away")])
def test_a_cluster_that_refuses_is_opened_again_where_it_was(clusters: Clusters, failure: Exception) -> None:
    """Nothing is lost and nothing repeated; meanwhile the ledger's own cluster is read."""
    clusters.write(TWO, b"1", b"2")
    reader = clusters.reader()
    start(reader, *TOPICS)
    assert values(reader, *TOPICS) == [b"1", b"2"]
    clusters.failure = failure
    clusters.write(TWO, b"3")
    clusters.write(ZERO, b"zero")
    assert values(reader, *TOPICS) == [b"zero"]
    clusters.failure = None
    found = [value for _ in range(10) for value in values(reader, *TOPICS)]
    assert found == [b"3"]
    assert clusters.opened >= 2


@pytest.mark.parametrize("topic", [ONE, TWO])
def test_a_replica_s_lost_start_is_an_alarm(clusters: Clusters, topic: str) -> None:
    """On whichever cluster: its reader goes on with what is left."""
    clusters.write(topic, *(b"%d" % number for number in range(6)))
    reader = clusters.reader()
    reader.seek([Position(topic, 0, 1)])
    (clusters.other if topic == TWO else clusters.home).expire(topic, 0, 4)
    alarms: list[Alarm] = []
    while not alarms:
        messages, found = reader.receive([topic], 10, 100)
        assert not messages
        alarms += found
    assert alarms == [Alarm(topic, 0, 1, 4)]
    assert values(reader, topic) == [b"4", b"5"]


def test_any_other_lost_start_ends_the_reader(clusters: Clusters) -> None:
    """What is gone of the decisions must not be skipped in silence."""
    clusters.write(DECISIONS, b"0", b"1")
    reader = clusters.reader()
    reader.seek([Position(DECISIONS, 0, 0)])
    clusters.home.expire(DECISIONS, 0, 1)
    with pytest.raises(LogStartLostError):
        reader.receive([DECISIONS], 10, 100)


def test_reading_beside_goes_to_the_cluster_that_holds_the_topic(clusters: Clusters) -> None:
    """Tails and whole topics."""
    for topic in (ONE, TWO):
        clusters.write(topic, b"1", topic.encode())
    reader = clusters.reader()
    for topic in (ONE, TWO):
        assert [message.value for message in reader.read_tail(topic, 1)] == [topic.encode()]
        assert len(list(reader.read_all(topic))) == 2
    reader.close()


def test_a_writer_sends_each_topic_to_its_cluster(clusters: Clusters) -> None:
    """And has sent only when every cluster has what is its own."""
    logs: dict[str, Callable[[], LogWriter]] = {"home": clusters.home.writer, "other": clusters.other.writer}
    writer = PieceLogWriter(logs["home"](), {TWO: logs["other"]()})
    clusters.other.away = True
    writer.send([Outgoing(TWO, 0, None, b"two"), Outgoing(ZERO, 0, None, b"zero")])
    assert not writer.flush(0)
    clusters.other.away = False
    clusters.other.advance(1)
    assert writer.flush(100)
    assert [message.value for message in clusters.home.messages(ZERO)] == [b"zero"]
    assert [message.value for message in clusters.other.messages(TWO)] == [b"two"]
    assert writer.unreachable_ms() == 0
    writer.close()
