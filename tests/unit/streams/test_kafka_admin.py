"""The admin says that the broker is away, waits for what it made, and never hangs."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from schemas.topics import Topic, topic_table
from streams.kafka_admin import Cluster, KafkaAdmin
from streams.kafka_connection import KafkaConnection
from streams.log import LogRefusedError, LogUnavailableError
from tests.mock_cluster import mock_cluster

CALLS: dict[str, Callable[[KafkaAdmin], object]] = {
    "describe": lambda admin: admin.describe(),
    "create": lambda admin: admin.create_topics(topic_table(1, 1), wait_ms=100),
    "missing": lambda admin: admin.missing_topics(topic_table(1, 1)),
    "differences": lambda admin: admin.differences(topic_table(1, 1)),
    "extents": lambda admin: admin.extents(topic_table(1, 1)),
    "shorten": lambda admin: admin.shorten("orders", 0, 1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_broker_that_is_away_is_an_error_with_a_code(
    call: Callable[[KafkaAdmin], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call ends in `broker.unreachable` within its time."""
    monkeypatch.setattr("streams.kafka_admin._REQUEST_TIMEOUT_S", 0.5)
    with mock_cluster() as cluster:
        cluster.stop_answering()
        with pytest.raises(LogUnavailableError) as raised:
            call(KafkaAdmin(KafkaConnection(bootstrap=cluster.bootstrap)))
        assert raised.value.code == "broker.unreachable"


TABLE = topic_table(1, 1)
NAMES = tuple(topic.name for topic in TABLE)


class Scripted(KafkaAdmin):
    """An admin of one broker that creates topics with this result, and lists and leads them after so many looks.

    Attributes:
        looks: how often it was asked what is missing.
        made: the topics that were to be created, each with its copies.
    """

    def __init__(self, error: int | None = None, listed_after: int = 2, led_after: int = 0) -> None:
        self.looks, self.measured = 0, 0
        self.made: dict[str, int] = {}
        self._connection = KafkaConnection(bootstrap="127.0.0.1:1")
        self._client: Any = self
        self._error, self._listed_after, self._led_after = error, listed_after, led_after

    def describe(self) -> Cluster:
        return Cluster(cluster_id="c", brokers={1: "a", 2: "b"})

    def missing_topics(self, topics: Any) -> tuple[str, ...]:
        self.looks += 1
        return NAMES[:2] if self.looks <= self._listed_after else ()

    def extents(self, topics: Any) -> Any:
        self.measured += 1
        if self.measured <= self._led_after:
            raise LogUnavailableError("no leader")

    def create_topics(self, topics: Any, **options: Any) -> Any:
        if topics and isinstance(topics[0], Topic):
            return super().create_topics(topics, **options)
        self.made = {topic.topic: topic.replication_factor for topic in topics}
        futures: dict[str, Future[None]] = {name: Future() for name in self.made}
        for future in futures.values():
            if self._error is None:
                future.set_result(None)
            else:
                future.set_exception(KafkaException(KafkaError(self._error)))
        return futures


def test_only_what_is_missing_is_made_and_waited_for() -> None:
    """With as many copies as there are brokers; until it is listed, and until its broker leads it."""
    admin = Scripted(listed_after=3, led_after=2)
    assert admin.create_topics(TABLE) == NAMES[:2]
    assert set(admin.made) == {admin._connection.full_name(name) for name in NAMES[:2]}
    assert set(admin.made.values()) == {2}
    assert (admin.looks, admin.measured) == (6, 3)


def test_somebody_else_who_was_quicker_is_no_error() -> None:
    """Two that begin at once both find their topics."""
    assert Scripted(KafkaError.TOPIC_ALREADY_EXISTS).create_topics(TABLE) == NAMES[:2]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, LogRefusedError),
        (KafkaError.POLICY_VIOLATION, LogRefusedError),
        (KafkaError.REQUEST_TIMED_OUT, LogUnavailableError),
    ],
)
def test_what_cannot_be_made_is_an_error(error: int, kind: type[Exception]) -> None:
    """With a code that says whether to try again; nothing is waited for."""
    admin = Scripted(error)
    with pytest.raises(kind):
        admin.create_topics(TABLE)
    assert admin.looks == 1


@pytest.mark.parametrize(("listed_after", "led_after"), [(10**9, 0), (0, 10**9)])
def test_topics_that_never_come_are_not_waited_for_for_ever(listed_after: int, led_after: int) -> None:
    """It says which are missing, or what the broker said."""
    with pytest.raises(LogUnavailableError, match=f"{NAMES[0]}, {NAMES[1]}" if listed_after else "no leader"):
        Scripted(listed_after=listed_after, led_after=led_after).create_topics(TABLE, wait_ms=200)
