"""Settings of librdkafka: an operator's win over ours, but for those on which nothing may depend but us."""

import pytest

from protocol.errors import CountersignError
from streams.kafka_connection import KafkaConnection


def test_a_writer_waits_for_all_and_repeats_nothing() -> None:
    """Whatever else is set."""
    connection = KafkaConnection(bootstrap="a:1", options={"linger.ms": "7"})
    settings = connection.writer_settings(linger_ms=1, compressed=False)
    assert (settings["acks"], settings["enable.idempotence"], settings["linger.ms"]) == ("all", True, "7")


def test_what_is_compressed_is_so_unless_the_operator_says_otherwise() -> None:
    """Under the name that librdkafka and Kafka share."""
    plain, other = (KafkaConnection(bootstrap="a:1", options=options) for options in ({}, {"compression.type": "zstd"}))
    told = [each.writer_settings(linger_ms=1, compressed=wanted) for each in (plain, other) for wanted in (True, False)]
    assert [settings["compression.type"] for settings in told] == ["lz4", "none", "zstd", "zstd"]


def test_a_reader_leaves_positions_to_the_store() -> None:
    """It commits none, and does not skip to the end when one is gone."""
    settings = KafkaConnection(bootstrap="a:1").reader_settings(tell_ends=True)
    assert (settings["enable.auto.commit"], settings["auto.offset.reset"]) == (False, "error")


@pytest.mark.parametrize(
    "name", ["acks", "request.required.acks", "enable.idempotence", "auto.offset.reset", "enable.auto.commit"]
)
def test_what_would_lose_messages_is_refused(name: str) -> None:
    """And named."""
    with pytest.raises(CountersignError, match=rf"config\.invalid.*{name}"):
        KafkaConnection(bootstrap="a:1", options={name: "0"})
