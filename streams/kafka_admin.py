"""Topics of a ledger on a Kafka cluster: made, checked, measured."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeGuard

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it lists no exports
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from schemas.topics import MESSAGE_BYTES_MAX, RECORD_OVERHEAD_BYTES, Topic
from streams.kafka_connection import KafkaConnection
from streams.kafka_errors import make_client, port_error
from streams.log import LogRefusedError, LogUnavailableError

_REQUEST_TIMEOUT_S = 10.0
_PAUSE_S = 0.05
_COMPRESSION = "compression.type"
_REQUEST_BYTES, _MESSAGE_BYTES = "socket.request.max.bytes", "max.message.bytes"
_REQUEST_BYTES_MIN = MESSAGE_BYTES_MAX + 2 * RECORD_OVERHEAD_BYTES
"""One batch goes in a request, and a batch is as long as the longest message at most."""

_log = logging.getLogger("countersign.kafka")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a cluster says of itself.

    Attributes:
        cluster_id: the same as long as the cluster lives.
        brokers: `host:port` by node number.
    """

    cluster_id: str
    brokers: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What a partition holds: offsets `first <= offset < end`."""

    first: int
    end: int


class KafkaAdmin:
    """Administers the topics of one ledger.

    Every method raises `LogUnavailableError` where the broker does not answer, and `LogRefusedError` where it
    says no.
    """

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._client = make_client(AdminClient, connection.client_settings())

    def describe(self) -> Cluster:
        """Who is there."""
        metadata = self._metadata()
        brokers = {node: f"{broker.host}:{broker.port}" for node, broker in metadata.brokers.items()}
        return Cluster(cluster_id=str(metadata.cluster_id), brokers=brokers)

    def create_topics(
        self, topics: Sequence[Topic], *, replication: int | None = None, wait_ms: int = 30_000
    ) -> tuple[str, ...]:
        """Create the topics that are missing, and wait until all of them can be used.

        Topics that were there get the table's compression, on which the memory of readers depends; all else of them is
        left as it is.

        Args:
            topics: of the ledger.
            replication: copies of each message; by default 3, or as many as there are brokers.
            wait_ms: for how long to wait.

        Returns:
            The names of those that were missing.

        Raises:
            LogRefusedError: also where a topic that was there has fewer partitions than the table says.
        """
        if replication is None:
            replication = min(3, len(self.describe().brokers))
        missing = set(self.missing_topics(topics))
        self._require_partitions([topic for topic in topics if topic.name not in missing])
        wanted = [
            NewTopic(
                self._connection.full_name(topic.name),
                topic.partitions,
                replication,
                config=topic.settings(replication),
            )
            for topic in topics
            if topic.name in missing
        ]
        for name, future in self._client.create_topics(wanted).items() if wanted else ():
            with suppress(_TopicExistsError):  # somebody else was quicker
                _answer(future, f"create {name}")
        self._await_topics(topics, time.monotonic() + wait_ms / 1000)
        try:
            self._set_compression([topic for topic in topics if topic.name not in missing])
        except LogRefusedError as error:  # who may not change settings has his administrator do it (docs/operating.md)
            _log.warning("topics that were there keep their compression: %s", error.detail)
        return tuple(topic.name for topic in topics if topic.name in missing)

    def _require_partitions(self, topics: Sequence[Topic]) -> None:
        """Refuse topics that have too few: a partition that is not there would be waited for until the end."""
        known = self._metadata().topics
        for topic in topics:
            name = self._connection.full_name(topic.name)
            count = len(known[name].partitions) if name in known else topic.partitions
            if count < topic.partitions:
                raise LogRefusedError(f"{name} was there already and has {count} partitions, not {topic.partitions}")

    def _set_compression(self, topics: Sequence[Topic]) -> None:
        """Have the broker keep these topics' messages in the table's codec from now on."""
        changes = []
        for topic, settings in zip(topics, self._settings(topics), strict=True):
            if settings[_COMPRESSION].value != topic.compression:
                set_it = ConfigEntry(_COMPRESSION, topic.compression, incremental_operation=AlterConfigOpType.SET)
                changes.append(self._resource(topic, [set_it]))
        answers = self._client.incremental_alter_configs(changes, request_timeout=_REQUEST_TIMEOUT_S) if changes else {}
        for resource, future in answers.items():
            _answer(future, f"{_COMPRESSION} of {resource.name}")

    def _settings(self, topics: Sequence[Topic]) -> list[dict[str, ConfigEntry]]:
        """Each topic's settings on the cluster, by Kafka's names."""
        return self._described([self._resource(topic) for topic in topics])

    def _described(self, resources: list[ConfigResource]) -> list[dict[str, ConfigEntry]]:
        """The settings of each, by Kafka's names; of brokers only one may be asked for at once."""
        described = self._client.describe_configs(resources, request_timeout=_REQUEST_TIMEOUT_S) if resources else {}
        return [_answer(described[resource], f"describe {resource.name}") for resource in resources]

    def _resource(self, topic: Topic, changes: list[ConfigEntry] | None = None) -> ConfigResource:
        name = self._connection.full_name(topic.name)
        return ConfigResource(ResourceType.TOPIC, name, incremental_configs=changes)

    def _await_topics(self, topics: Sequence[Topic], deadline: float) -> None:
        """Wait until every partition answers: a new one is listed before its broker leads it."""
        while True:
            try:
                missing = self.missing_topics(topics)
                if not missing:
                    self.extents(topics)
                    return
                waiting = LogUnavailableError(f"topics that do not appear: {', '.join(missing)}")
            except LogUnavailableError as error:
                waiting = error
            if time.monotonic() >= deadline:
                raise waiting
            time.sleep(_PAUSE_S)

    def missing_topics(self, topics: Sequence[Topic]) -> tuple[str, ...]:
        """Which of the topics do not exist, or have a partition without a leader."""
        known = self._metadata().topics
        missing = []
        for topic in topics:
            found = known.get(self._connection.full_name(topic.name))
            partitions = [] if found is None or found.error else list(found.partitions.values())
            if not partitions or any(partition.leader < 0 for partition in partitions):
                missing.append(topic.name)
        return tuple(missing)

    def differences(self, topics: Sequence[Topic]) -> tuple[str, ...]:
        """How the cluster's topics differ from the table: one line each, none if all is well.

        All of them must exist.
        """
        known = self._metadata().topics
        lines = []
        for topic, settings in zip(topics, self._settings(topics), strict=True):
            partitions = known[self._connection.full_name(topic.name)].partitions
            if len(partitions) != topic.partitions:
                lines.append(f"{topic.name}: {len(partitions)} partitions, not {topic.partitions}")
            replication = len(partitions[0].replicas)
            for name, value in topic.settings(replication).items():
                if settings[name].value != value:
                    lines.append(f"{topic.name}: {name} is {settings[name].value}, not {value}")
        return tuple(lines)

    def too_low(self, topics: Sequence[Topic] = ()) -> tuple[str, ...]:
        """Which settings keep brokers, or these topics, from taking the longest message, and what to do: one line each.

        A broker that is asked for too much closes the connection without a word, so nobody else tells. What a broker
        does not say of itself is not judged.

        Raises:
            LogRefusedError: also where one may not see the settings of brokers.
        """
        lines = []
        for number in self._metadata().brokers:
            [settings] = self._described([ConfigResource(ResourceType.BROKER, str(number))])
            found = settings.get(_REQUEST_BYTES)
            if _is_below(found, _REQUEST_BYTES_MIN):
                remedy = f"set it to {_REQUEST_BYTES_MIN} or more (Kafka's own default is 104857600) and start it again"
                lines.append(f"broker {number}: {_REQUEST_BYTES} is {found.value}: {remedy}")
        for topic, settings in zip(topics, self._settings(topics), strict=True):
            found = settings.get(_MESSAGE_BYTES)
            if _is_below(found, topic.message_bytes_max):
                name = self._connection.full_name(topic.name)
                remedy = f"set it to {topic.message_bytes_max} with kafka-configs.sh"
                lines.append(f"topic {name}: {_MESSAGE_BYTES} is {found.value}: {remedy}")
        return tuple(lines)

    def extents(self, topics: Iterable[Topic]) -> dict[tuple[str, int], Extent]:
        """First offset and end of every partition; against a reader's position they give its lag."""
        places = {
            (topic.name, partition): TopicPartition(self._connection.full_name(topic.name), partition)
            for topic in topics
            for partition in range(topic.partitions)
        }
        first = self._offsets(places.values(), OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        end = self._offsets(places.values(), OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {
            name: Extent(first=first[place.topic, place.partition], end=end[place.topic, place.partition])
            for name, place in places.items()
        }

    def _metadata(self) -> ClusterMetadata:
        try:
            return self._client.list_topics(timeout=_REQUEST_TIMEOUT_S)
        except KafkaException as exception:
            raise port_error(exception, "metadata") from exception

    def shorten(self, topic: str, partition: int, first: int) -> None:
        """Delete the messages of a partition whose offset is below `first`."""
        place = TopicPartition(self._connection.full_name(topic), partition, first)
        for future in self._client.delete_records([place], request_timeout=_REQUEST_TIMEOUT_S).values():
            _answer(future, f"shorten {topic}")

    def _offsets(self, places: Iterable[TopicPartition], which: OffsetSpec) -> dict[tuple[str, int], int]:
        futures = self._client.list_offsets(dict.fromkeys(places, which), request_timeout=_REQUEST_TIMEOUT_S)
        return {
            (place.topic, place.partition): _answer(future, f"offsets of {place.topic}").offset
            for place, future in futures.items()
        }


def _is_below(setting: ConfigEntry | None, least: int) -> TypeGuard[ConfigEntry]:
    """Whether a setting is told, and is a number below this one."""
    value = None if setting is None else setting.value
    return value is not None and value.isascii() and value.isdigit() and int(value) < least


class _TopicExistsError(Exception):
    """The topic to be made is there."""


def _answer(future: "Future[Any]", what: str) -> Any:
    """Wait for what the broker answers."""
    try:
        return future.result(_REQUEST_TIMEOUT_S + 1)
    except FutureTimeoutError:
        raise LogUnavailableError(f"{what}: no answer") from None
    except KafkaException as exception:
        if exception.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            raise _TopicExistsError(what) from exception
        raise port_error(exception, what) from exception
