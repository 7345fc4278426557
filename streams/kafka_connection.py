"""How to reach a ledger's topics on Kafka, and every setting of librdkafka that we change."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.errors import CountersignError
from schemas.topics import MESSAGE_BYTES_MAX, RECORD_OVERHEAD_BYTES, full_name

MIB = 1024 * 1024

Settings = dict[str, str | int | bool]

_OURS = frozenset(
    {
        "acks",
        "request.required.acks",
        "auto.offset.reset",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "transactional.id",
    }
)
"""Settings on which it depends that nothing is lost or skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnection:
    """Where the cluster is, and how much memory its readers and writers may take.

    Attributes:
        bootstrap: `host:port`, several with commas.
        prefix: of the ledger's topics.
        options: further settings under librdkafka's own names (TLS, SASL); they win over ours, but for those on
            which it depends that nothing is lost or skipped.
        names: full names of topics that are not named after the prefix, by their plain names.
        message_bytes_max: the longest value that is sent, or given to a machine.
        fetch_wait_ms: how long a broker holds a fetch that finds nothing, unless messages come.
        fetch_bytes_max: what a reader fetches ahead; it holds back as much again.
        unsent_bytes_max: what a writer hands to librdkafka before the broker has it.
        delivery_timeout_ms: after which librdkafka gives a message up.
    """

    bootstrap: str
    prefix: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    message_bytes_max: int = MESSAGE_BYTES_MAX
    fetch_wait_ms: int = 100
    fetch_bytes_max: int = 16 * MIB
    unsent_bytes_max: int = 64 * MIB
    delivery_timeout_ms: int = 30_000

    def __post_init__(self) -> None:
        """Refuse what would lose or skip messages.

        Raises:
            CountersignError: `config.invalid`.
        """
        for name in sorted(_OURS & self.options.keys()):
            raise CountersignError("config.invalid", f"kafka: {name} is not to be changed")

    def full_name(self, topic: str) -> str:
        """A topic's name on the cluster."""
        return self.names.get(topic) or full_name(self.prefix, topic)

    def plain_name(self, name: str) -> str:
        """The reverse of `full_name`."""
        for plain, full in self.names.items():
            if full == name:
                return plain
        return name[len(full_name(self.prefix, "")) :]

    def client_settings(self) -> Settings:
        """What readers, writers and the admin share."""
        return {
            "bootstrap.servers": self.bootstrap,
            "log_level": 2,  # librdkafka logs each failed connection; what matters comes as errors
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 500,
            "retry.backoff.ms": 50,
            "socket.nagle.disable": True,
            **self.options,
        }

    def reader_settings(self, *, tell_ends: bool) -> Settings:
        """A consumer that is told its positions; `tell_ends`: it reports the end of each partition."""
        return {
            "group.id": self.full_name("reader"),  # librdkafka wants one; it is never joined
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": tell_ends,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": self.fetch_wait_ms,
            "fetch.error.backoff.ms": 50,
            "fetch.queue.backoff.ms": 10,  # a second by default, after every full queue
            "fetch.max.bytes": self.fetch_bytes_max,
            "max.partition.fetch.bytes": min(4 * MIB, self.fetch_bytes_max),
            "receive.message.max.bytes": self.fetch_bytes_max + self.message_bytes_max + 2 * RECORD_OVERHEAD_BYTES,
            "queued.max.messages.kbytes": self.fetch_bytes_max // 1024,
            **self.client_settings(),
        }

    def writer_settings(self, *, linger_ms: int, compressed: bool) -> Settings:
        """An idempotent producer that tells of failures only."""
        return {
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": linger_ms,
            "compression.type": "lz4" if compressed else "none",
            "delivery.report.only.error": True,
            "message.timeout.ms": self.delivery_timeout_ms,
            "message.max.bytes": self.message_bytes_max + RECORD_OVERHEAD_BYTES,
            "queue.buffering.max.kbytes": self.unsent_bytes_max // 1024,
            **self.client_settings(),
        }
