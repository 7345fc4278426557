"""Kafka's adapter on a real Kafka keeps the promises of every log, and survives what a broker can do."""

from collections.abc import Iterator

import pytest

from deploy.local.stack import LocalStack
from schemas.topics import Topic
from streams.kafka_admin import KafkaAdmin
from streams.kafka_connection import KafkaConnection
from tests.conformance.log_suite import PARTITIONS, VALUE_BYTES_MAX, Log, LogSuite, on_kafka

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
            [
                Topic(name=name, partitions=count, holds="", writers=(), readers=())
                for name, count in PARTITIONS.items()
            ]
        )
        yield from on_kafka(connection, admin.shorten)
