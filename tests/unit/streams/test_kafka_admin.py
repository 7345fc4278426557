"""The admin says that the broker is away, and never hangs."""

from collections.abc import Callable

import pytest

from schemas.topics import topic_table
from streams.kafka_admin import KafkaAdmin
from streams.kafka_connection import KafkaConnection
from streams.log import LogUnavailableError
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
