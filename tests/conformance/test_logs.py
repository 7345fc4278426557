"""The log in memory and Kafka's adapter on a mock cluster keep the promises of every log."""

from collections.abc import Iterator

import pytest

from streams.kafka_connection import KafkaConnection
from streams.memory_log import MemoryLog
from tests.conformance.log_suite import PARTITIONS, VALUE_BYTES_MAX, Log, LogSuite, on_kafka
from tests.mock_cluster import mock_cluster


class TestMemoryLog(LogSuite):
    """The log in memory."""

    @pytest.fixture
    def log(self) -> Log:
        memory = MemoryLog(PARTITIONS, message_bytes_max=VALUE_BYTES_MAX)
        return Log(memory.reader, memory.writer, memory.expire, memory.insert)


class TestMockCluster(LogSuite):
    """Kafka's adapter on librdkafka's mock cluster."""

    @pytest.fixture
    def log(self) -> Iterator[Log]:
        with mock_cluster() as cluster:
            for name, count in PARTITIONS.items():
                cluster.create_topic(f"ledger.{name}", count)
            connection = KafkaConnection(
                bootstrap=cluster.bootstrap,
                prefix="ledger",
                fetch_wait_ms=5,
                message_bytes_max=VALUE_BYTES_MAX,
            )
            yield from on_kafka(
                connection,
                lambda topic, partition, first: cluster.delete_records(f"ledger.{topic}", partition, first),
            )
