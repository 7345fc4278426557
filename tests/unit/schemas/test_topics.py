"""The topic table says of every topic what DESIGN promises, in Kafka's own names."""

import pytest

from protocol.limits import Limits
from schemas import topics
from schemas.topics import (
    FOR_EVER,
    HOUR_MS,
    checked_prefix,
    full_name,
    pieces_topic,
    request_partition,
    topic_table,
    topics_page,
)

TABLE = {topic.name: topic for topic in topic_table(4, 3)}


def test_every_topic_is_in_the_table() -> None:
    """One topic per replica, and one of each other kind."""
    assert list(TABLE) == [
        "requests",
        "orders",
        "results",
        "decisions",
        "receipts",
        "rejections",
        "epochs",
        "evidence",
        "metrics",
        "pieces.0",
        "pieces.1",
        "pieces.2",
        "learned",
    ]


def test_only_requests_has_several_partitions() -> None:
    """A ledger is one line."""
    assert {name: topic.partitions for name, topic in TABLE.items() if topic.partitions != 1} == {
        "requests": 4
    }


def test_history_is_kept_for_ever() -> None:
    """What a ledger can be rebuilt from never expires, and nothing else is kept for ever."""
    for_ever = {name for name, topic in TABLE.items() if topic.retention_ms == FOR_EVER}
    assert for_ever == {"decisions", "epochs", "evidence", "pieces.0", "pieces.1", "pieces.2"}


def test_requests_are_kept_longer_than_they_are_valid() -> None:
    """A request that could still be ordered is not lost by retention."""
    assert TABLE["requests"].retention_ms > Limits().expiry_ahead_ms


def test_one_writer_per_signed_topic() -> None:
    """A topic that only one party signs for is written by no other."""
    assert TABLE["orders"].writers == TABLE["decisions"].writers == TABLE["receipts"].writers == ("auditor",)
    assert TABLE["results"].writers == ("ledger",)


def test_a_single_broker_flushes_what_nobody_sends_again() -> None:
    """`flush.messages=1` stands where there is one copy, and only on what is not sent again."""
    flushed = {name for name, topic in TABLE.items() if topic.settings(1).get("flush.messages") == "1"}
    assert flushed == {"decisions", "epochs", "pieces.0", "pieces.1", "pieces.2"}
    assert not any("flush.messages" in topic.settings(3) for topic in TABLE.values())
    in_sync = [TABLE["decisions"].settings(copies)["min.insync.replicas"] for copies in (1, 2, 3)]
    assert in_sync == ["1", "1", "2"], "of two copies one may be away"


def test_only_what_the_parties_write_is_kept_compressed() -> None:
    """A reader opens no batch of a stranger's; what is kept of the parties' grows as LZ4 does, and no more."""
    compressed = {name for name, topic in TABLE.items() if topic.settings(1)["compression.type"] == "lz4"}
    assert compressed == {"orders", "results", "decisions", "receipts", "rejections"}
    assert all(set(TABLE[name].writers) <= {"auditor", "ledger"} for name in compressed)
    others = {topic.settings(3)["compression.type"] for name, topic in TABLE.items() if name not in compressed}
    assert others == {"uncompressed"}


def test_segments_close_well_within_the_retention() -> None:
    """An hour of metrics is an hour and not a week: only closed segments are deleted."""
    settings = TABLE["metrics"].settings(1)
    assert settings["retention.ms"] == str(HOUR_MS)
    assert int(settings["segment.ms"]) <= HOUR_MS // 4
    assert "segment.ms" not in TABLE["decisions"].settings(1)


def test_the_longest_message_fits() -> None:
    """What the limits allow is taken by every topic between the parties."""
    for name in ("orders", "results", "decisions", "receipts", "evidence", "pieces.0"):
        assert int(TABLE[name].settings(1)["max.message.bytes"]) > Limits().message_bytes
    assert Limits().message_bytes == topics.MESSAGE_BYTES_MAX


def test_prefixes_keep_ledgers_apart() -> None:
    """The prefix comes before the name; none adds nothing."""
    assert full_name("bank", "orders") == "bank.orders"
    assert full_name("", pieces_topic(2)) == "pieces.2"


def test_the_longest_prefix() -> None:
    """With it a topic's name is still one that Kafka takes."""
    longest = "p" * 200
    assert checked_prefix(longest) == longest
    assert all(len(full_name(longest, name)) <= 249 for name in TABLE)
    assert checked_prefix("") == ""


@pytest.mark.parametrize("prefix", ["a b", "a\n", "ä", "x/y", "p" * 201])
def test_a_prefix_that_kafka_would_refuse_is_refused(prefix: str) -> None:
    """A bad prefix is found before the broker sees it."""
    with pytest.raises(ValueError, match="prefix"):
        checked_prefix(prefix)


def test_a_request_key_has_its_partition() -> None:
    """The same key is always in the same partition, and all partitions are used."""
    assert request_partition(b"alice", 4) == request_partition(b"alice", 4)
    assert {request_partition(b"%d" % number, 4) for number in range(100)} == {0, 1, 2, 3}


def test_a_ledger_has_partitions_and_replicas() -> None:
    """Numbers that make no ledger are refused."""
    for partitions, replicas in ((0, 4), (1, 0)):
        with pytest.raises(ValueError, match="at least one"):
            topic_table(partitions, replicas)


def test_the_page_shows_every_topic() -> None:
    """The documentation's table has a row per topic with its retention in words."""
    page = topics_page(TABLE.values())
    assert len(page.splitlines()) == 2 + len(TABLE)
    assert "| `metrics` | 1 | 1 hour |" in page
    assert "| `decisions` | 1 | for ever |" in page
    assert "| `orders` | 1 | 7 days | auditor | ledger |" in page
