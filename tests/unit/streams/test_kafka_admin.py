"""The admin says that the broker is away, waits for what it made, and never hangs."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import ConfigEntry, ConfigResource, NewTopic, ResourceType  # type: ignore[attr-defined]

from schemas.topics import topic_table
from streams import kafka_admin
from streams.kafka_admin import KafkaAdmin
from streams.kafka_connection import KafkaConnection
from streams.log import LogRefusedError, LogUnavailableError
from tests.mock_cluster import mock_cluster

CALLS: dict[str, Callable[[KafkaAdmin], object]] = {
    "describe": lambda admin: admin.describe(),
    "create": lambda admin: admin.create_topics(topic_table(1, 1), wait_ms=100),
    "missing": lambda admin: admin.missing_topics(topic_table(1, 1)),
    "differences": lambda admin: admin.differences(topic_table(1, 1)),
    "too low": lambda admin: admin.too_low(topic_table(1, 1)),
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
MESSAGE_BYTES = {f"prefix.{topic.name}": str(topic.message_bytes_max) for topic in TABLE}
COMPRESSIONS = {f"prefix.{topic.name}": topic.compression for topic in TABLE}


def answered(result: object) -> "Future[Any]":
    """What librdkafka answers with: a result, or the number of an error."""
    future: Future[Any] = Future()
    if isinstance(result, int):
        future.set_exception(KafkaException(KafkaError(result)))
    else:
        future.set_result(result)
    return future


class Brokers:
    """Two of them, in librdkafka's place, with the table's topics but the first two, which come when they are made.

    Args:
        error: what making topics, or changing them, ends with.
        listed_after, led_after: so often they are looked for in vain, and then have no leader.
        differing: a topic with another compression than the table's.
        settings: of each broker, or the number of an error.
        message_bytes: of each topic, as far as they are not as the table has them.

    Attributes:
        looks, measured: how often it was asked for the topics, and for their ends.
        made: the topics that were to be created, each with its copies.
        changed: the settings that were to be changed.
    """

    def __init__(
        self,
        error: int | None = None,
        *,
        listed_after: int = 2,
        led_after: int = 0,
        differing: str = "",
        settings: Mapping[int, Mapping[str, str | None] | int] = MappingProxyType({}),
        message_bytes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.looks, self.measured = 0, 0
        self.made: dict[str, int] = {}
        self.changed: dict[str, tuple[str, ...]] = {}
        self._error, self._listed_after, self._led_after = error, listed_after, led_after
        self._compressions = {**COMPRESSIONS, f"prefix.{differing}": "producer"}
        self._settings, self._message_bytes = settings, message_bytes

    def list_topics(self, timeout: float) -> object:
        self.looks += 1
        brokers = {number: SimpleNamespace(host="a", port=number) for number in (1, 2)}
        listed = TABLE if self.looks > self._listed_after else TABLE[2:]
        partitions = {0: SimpleNamespace(leader=1)}
        topics = {f"prefix.{topic.name}": SimpleNamespace(error=None, partitions=partitions) for topic in listed}
        return SimpleNamespace(cluster_id="c", brokers=brokers, topics=topics)

    def list_offsets(self, wanted: dict[TopicPartition, object], **_: float) -> object:
        self.measured += 1
        is_led = self.measured > self._led_after
        answer = SimpleNamespace(offset=0) if is_led else KafkaError.LEADER_NOT_AVAILABLE
        return {place: answered(answer) for place in wanted}

    def create_topics(self, topics: list[NewTopic]) -> object:
        self.made = {topic.topic: topic.replication_factor for topic in topics}
        return {name: answered(self._error) for name in self.made}

    def describe_configs(self, resources: list[ConfigResource], **_: float) -> object:
        return {each: answered(self._settings_of(each)) for each in resources}

    def _settings_of(self, resource: ConfigResource) -> dict[str, ConfigEntry] | int:
        if resource.restype == ResourceType.BROKER:
            found = self._settings.get(int(resource.name), {})
            if isinstance(found, int):
                return found
            return {name: ConfigEntry(name, value) for name, value in found.items()}
        values = {
            "compression.type": self._compressions[resource.name],
            "max.message.bytes": self._message_bytes.get(resource.name, MESSAGE_BYTES[resource.name]),
        }
        return {name: ConfigEntry(name, value) for name, value in values.items()}

    def incremental_alter_configs(self, resources: list[ConfigResource], **_: float) -> object:
        for each in resources:
            self.changed[each.name] = tuple(f"{entry.name}={entry.value}" for entry in each.incremental_configs)
        return {each: answered(self._error) for each in resources}


@pytest.fixture
def administer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Brokers], KafkaAdmin]:
    """Gives an admin of such brokers."""

    def made(brokers: Brokers) -> KafkaAdmin:
        monkeypatch.setattr(kafka_admin, "make_client", lambda kind, settings: brokers)
        return KafkaAdmin(KafkaConnection(bootstrap="127.0.0.1:1", prefix="prefix"))

    return made


Administer = Callable[[Brokers], KafkaAdmin]


def test_only_what_is_missing_is_made_and_waited_for(administer: Administer) -> None:
    """With as many copies as there are brokers; until it is listed, and until its broker leads it."""
    brokers = Brokers(listed_after=4, led_after=2)
    assert administer(brokers).create_topics(TABLE) == NAMES[:2]
    assert brokers.made == {f"prefix.{name}": 2 for name in NAMES[:2]}
    looks_before = 2  # who is there, what is missing
    assert brokers.looks == looks_before + 2 + 3, "twice in vain, twice without a leader"
    assert brokers.measured == 2 + 2, "twice in vain, then both ends"
    assert brokers.changed == {}


def test_somebody_else_who_was_quicker_is_no_error(administer: Administer) -> None:
    """Two that begin at once both find their topics."""
    assert administer(Brokers(KafkaError.TOPIC_ALREADY_EXISTS)).create_topics(TABLE) == NAMES[:2]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, LogRefusedError),
        (KafkaError.POLICY_VIOLATION, LogRefusedError),
        (KafkaError.REQUEST_TIMED_OUT, LogUnavailableError),
    ],
)
def test_what_cannot_be_made_is_an_error(administer: Administer, error: int, kind: type[Exception]) -> None:
    """With a code that says whether to try again; nothing is waited for."""
    brokers = Brokers(error, listed_after=10**9)
    with pytest.raises(kind):
        administer(brokers).create_topics(TABLE)
    assert brokers.measured == 0


@pytest.mark.parametrize(
    ("brokers", "text"),
    [
        (Brokers(listed_after=10**9), f"{NAMES[0]}, {NAMES[1]}"),
        (Brokers(led_after=10**9), "[Ll]eader"),
    ],
    ids=["not listed", "not led"],
)
def test_topics_that_never_come_are_not_waited_for_for_ever(
    administer: Administer, brokers: Brokers, text: str
) -> None:
    """It says which are missing, or what the broker said."""
    with pytest.raises(LogUnavailableError, match=text):
        administer(brokers).create_topics(TABLE, wait_ms=200)


@pytest.mark.parametrize("error", [None, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_a_topic_that_was_there_gets_its_compression(
    administer: Administer, error: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It alone, and nothing else of it; who may not change it goes on, and is told."""
    topic = TABLE[-1]
    brokers = Brokers(error, listed_after=0, differing=topic.name)
    assert administer(brokers).create_topics(TABLE) == ()
    assert brokers.made == {}
    assert brokers.changed == {f"prefix.{topic.name}": (f"compression.type={topic.compression}",)}
    assert ("keep their compression" in caplog.text) is (error is not None)


LIMIT = "socket.request.max.bytes"
ENOUGH = 8 * 2**20 + 128 * 2**10


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({1: {LIMIT: str(ENOUGH)}, 2: {LIMIT: "104857600"}}, []),
        ({1: {LIMIT: str(ENOUGH)}, 2: {LIMIT: str(ENOUGH - 1)}}, ["broker 2"]),
        ({1: {LIMIT: "1"}, 2: {LIMIT: "2"}}, ["broker 1", "broker 2"]),
        ({1: {LIMIT: None}, 2: {}}, []),
        ({1: {LIMIT: "-1"}, 2: {LIMIT: "many"}}, []),
    ],
)
def test_a_broker_that_takes_less_than_is_sent_is_named(
    administer: Administer, settings: Mapping[int, Mapping[str, str | None]], named: list[str]
) -> None:
    """With its setting and what to do; what a broker does not tell, or nobody can read, is not judged."""
    lines = administer(Brokers(settings=settings, listed_after=0)).too_low(TABLE)
    assert [line.partition(":")[0] for line in lines] == named
    assert all(f"{LIMIT} is " in line and f"set it to {ENOUGH} or more" in line for line in lines)


def test_a_topic_that_takes_less_than_is_sent_is_named(administer: Administer) -> None:
    """One that takes more is as good."""
    low = {"prefix.decisions": "1048588", "prefix.requests": "1048577"}
    (line,) = administer(Brokers(message_bytes=low, listed_after=0)).too_low(TABLE)
    assert line.startswith("topic prefix.decisions: max.message.bytes is 1048588: set it to 8454144")


def test_who_may_not_see_a_broker_s_settings_is_refused(administer: Administer) -> None:
    """Whoever asks goes on without."""
    brokers = Brokers(settings={1: KafkaError.CLUSTER_AUTHORIZATION_FAILED}, listed_after=0)
    with pytest.raises(LogRefusedError):
        administer(brokers).too_low()
