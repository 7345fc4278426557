"""The topic table: every topic, who writes it, who reads it, how long it is kept.

Rules:

1. Machines know a topic by its plain name (`orders`); the log adds the ledger's prefix, so that several
   ledgers share a cluster.
2. Only `requests` has several partitions: for producers and brokers. Every other topic has one, because a
   ledger is one line.
3. What history is rebuilt from is kept for ever. What the outboxes hold as well is kept for days.
4. Times are the broker's (`LogAppendTime`): a sender's clock must not decide how long its messages are kept.
5. A broker without replicas fsyncs what nobody sends again (`flush.messages=1`); brokers with replicas rely
   on each other.
6. A reader opens a compressed batch whole before it can judge it, and a hostile one grows a thousandfold. So the
   broker opens what anybody but the two parties may write, and refuses it if it is too long (ADR 0041).
"""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

KIB = 1024
MIB = 1024 * KIB
MINUTE_MS = 60 * 1000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

FOR_EVER = -1
"""As a retention: never deleted."""

MESSAGE_BYTES_MAX = 8 * MIB
"""The longest value of a message; `protocol.limits.Limits.message_bytes_max` is the same by default."""

RECORD_OVERHEAD_BYTES = 64 * KIB
"""What key, headers and Kafka's own framing may add to a value."""

REQUESTS = "requests"
ORDERS = "orders"
RESULTS = "results"
DECISIONS = "decisions"
RECEIPTS = "receipts"
REJECTIONS = "rejections"
EPOCHS = "epochs"
EVIDENCE = "evidence"
METRICS = "metrics"
LEARNED = "learned"

Role = Literal["client", "auditor", "ledger", "replica", "learner", "views", "dashboard"]

_EVERYBODY: tuple[Role, ...] = ("client", "auditor", "ledger", "replica", "learner", "dashboard")
_PARTIES: tuple[Role, ...] = ("auditor", "ledger")
_NAME = re.compile(r"[a-zA-Z0-9._-]*")
_NAME_CHARACTERS_MAX = 200  # of the 249 that Kafka allows


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic of a ledger.

    Attributes:
        name: without the ledger's prefix.
        holds: what a message of it is.
        writers: who may write it.
        readers: who reads it.
        partitions: how many; 1 unless it is `requests`.
        retention_ms: how long messages are kept, or `FOR_EVER`.
        flushed: fsynced message by message where the broker has no replicas.
        message_bytes_max: the longest batch of records a broker takes.
        is_compressed: kept and given out as LZ4, which grows 255-fold at most; else as it is, whatever codec it came
            in. For what the two parties alone write.
    """

    name: str
    holds: str
    writers: tuple[Role, ...]
    readers: tuple[Role, ...]
    partitions: int = 1
    retention_ms: int = FOR_EVER
    flushed: bool = False
    message_bytes_max: int = MESSAGE_BYTES_MAX + RECORD_OVERHEAD_BYTES
    is_compressed: bool = False

    @property
    def compression(self) -> str:
        """The codec that the broker keeps messages in, by Kafka's name."""
        return "lz4" if self.is_compressed else "uncompressed"

    def settings(self, replication: int) -> dict[str, str]:
        """The topic's configuration in Kafka's own names, for a cluster that keeps `replication` copies."""
        settings = {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "retention.bytes": "-1",
            "max.message.bytes": str(self.message_bytes_max),
            "compression.type": self.compression,
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": "2" if replication > 2 else "1",
            "unclean.leader.election.enable": "false",
        }
        if self.retention_ms != FOR_EVER:
            # Whole segments are deleted, and only closed ones: roll them well within the retention.
            settings["segment.ms"] = str(self.retention_ms // 4)
        if self.flushed and replication == 1:
            settings["flush.messages"] = "1"
        return settings


_BETWEEN_REQUESTS_AND_PIECES = (
    Topic(
        name=ORDERS,
        holds="the Auditor's signed order of a batch: which requests, reading and writing which versions",
        writers=("auditor",),
        readers=("ledger",),
        retention_ms=7 * DAY_MS,
        is_compressed=True,
    ),
    Topic(
        name=RESULTS,
        holds="the Ledger's signed statement about a batch, and its outcomes",
        writers=("ledger",),
        readers=("auditor",),
        retention_ms=7 * DAY_MS,
        is_compressed=True,
    ),
    Topic(
        name=DECISIONS,
        holds="a batch with its order, its outcomes and both signatures",
        writers=("auditor",),
        readers=("auditor", "ledger", "replica"),
        flushed=True,
        is_compressed=True,
    ),
    Topic(
        name=RECEIPTS,
        holds="the outcomes of a decided batch with both signatures, for clients",
        writers=("auditor",),
        readers=("client",),
        retention_ms=3 * DAY_MS,
        is_compressed=True,
    ),
    Topic(
        name=REJECTIONS,
        holds="a signed batch of rejections, for clients",
        writers=("auditor",),
        readers=("client",),
        retention_ms=3 * DAY_MS,
        is_compressed=True,
    ),
    Topic(
        name=EPOCHS,
        holds="configurations signed by both parties, and what they say to agree on the next one",
        writers=_PARTIES,
        readers=_EVERYBODY,
        flushed=True,
    ),
    Topic(
        name=EVIDENCE,
        holds="a proof that some party misbehaved, to be checked by whoever reads it; refusals",
        writers=("auditor", "ledger", "learner"),
        readers=_EVERYBODY,
    ),
    Topic(
        name=METRICS,
        holds="what one process measured, unsigned, once a second",
        writers=_EVERYBODY,
        readers=("dashboard",),
        retention_ms=HOUR_MS,
        message_bytes_max=MIB,
    ),
)

_LEARNED = Topic(
    name=LEARNED,
    holds="a verified decision as a learner hands it to its views, in the learner's own trust domain",
    writers=("learner",),
    readers=("views", "dashboard"),
    retention_ms=7 * DAY_MS,
)


def pieces_topic(replica: int) -> str:
    """Name of the topic that replica `replica` (from 0) publishes its pieces on."""
    return f"pieces.{replica}"


def topic_table(request_partitions: int, replicas: int) -> tuple[Topic, ...]:
    """All topics of a ledger.

    Args:
        request_partitions: partitions of `requests`.
        replicas: n, each of which has a topic of its own.

    Raises:
        ValueError: a number is not positive.
    """
    if request_partitions < 1 or replicas < 1:
        raise ValueError("a ledger has at least one partition of requests and one replica")
    requests = Topic(
        name=REQUESTS,
        holds="one signed request in its envelope, keyed by its first advisory key, else its entity",
        writers=("client",),
        readers=("auditor",),
        partitions=request_partitions,
        retention_ms=3 * DAY_MS,
        message_bytes_max=MIB,
    )
    pieces = (
        Topic(
            name=pieces_topic(replica),
            holds=f"replica {replica}'s signed piece of each block",
            writers=("replica",),
            readers=("ledger", "replica", "learner"),
            flushed=True,
        )
        for replica in range(replicas)
    )
    return (requests, *_BETWEEN_REQUESTS_AND_PIECES, *pieces, _LEARNED)


def checked_prefix(prefix: str) -> str:
    """Return the prefix if topics may be named so.

    Raises:
        ValueError: it is too long, or has other characters than Kafka allows.
    """
    if len(prefix) > _NAME_CHARACTERS_MAX or not _NAME.fullmatch(prefix):
        raise ValueError(f"a prefix is at most {_NAME_CHARACTERS_MAX} of a-z A-Z 0-9 . _ -, not {prefix!r}")
    return prefix


def full_name(prefix: str, topic: str) -> str:
    """Name of a ledger's topic on the cluster; an empty prefix adds nothing."""
    return f"{prefix}.{topic}" if prefix else topic


def request_partition(key: bytes, partitions: int) -> int:
    """The partition of `requests` for a message key; any would do, the same key is best kept in line."""
    return zlib.crc32(key) % partitions


def topics_page(topics: Iterable[Topic]) -> str:
    """The table as Markdown, for the documentation."""
    lines = [
        "| topic | partitions | kept | written by | read by | one message holds |",
        "|---|---|---|---|---|---|",
    ]
    for topic in topics:
        kept, writers, readers = _kept(topic.retention_ms), ", ".join(topic.writers), ", ".join(topic.readers)
        lines.append(
            f"| `{topic.name}` | {topic.partitions} | {kept} | {writers} | {readers} | {topic.holds} |"
        )
    return "\n".join(lines) + "\n"


def _kept(retention_ms: int) -> str:
    if retention_ms == FOR_EVER:
        return "for ever"
    days, rest = divmod(retention_ms, DAY_MS)
    count, unit = (retention_ms // HOUR_MS, "hour") if rest else (days, "day")
    return f"{count} {unit}" + ("s" if count > 1 else "")
