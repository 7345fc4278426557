"""Where each replica keeps its pieces: on the ledger's cluster, unless its own broker is named.

A role's file may hold a table per replica; whoever reads or writes pieces (learners, replicas) goes by it:

    [replicas.2]
    bootstrap_servers = "replica-2.example:9092"
    topic = "pieces-of-two"         # its full name there; by default as on the ledger's cluster
    public_key = "02ab..."          # hex; where it is given, the epoch must name the same

    [replicas.2.kafka]              # further settings of librdkafka for that cluster
    "security.protocol" = "SSL"
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from protocol.configuration import Epochs
from protocol.errors import CountersignError
from schemas.topics import pieces_topic
from streams.kafka_connection import KafkaConnection

_TEXTS = ("bootstrap_servers", "topic", "public_key")
_KAFKA = "kafka"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPlace:
    """What a role is told of one replica.

    Attributes:
        bootstrap_servers: of the cluster with its pieces; empty for the ledger's.
        topic: the full name of its topic there; empty for the usual one.
        public_key: hex; empty where the epoch's is trusted as it is.
        kafka: further settings of librdkafka.
    """

    replica: int
    bootstrap_servers: str = ""
    topic: str = ""
    public_key: str = ""
    kafka: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_elsewhere(self) -> bool:
        """Whether its pieces are not simply where everything is."""
        return bool(self.bootstrap_servers or self.topic)

    def connection(self, ledger: KafkaConnection) -> KafkaConnection:
        """How to reach its topic, by the plain name that machines know.

        Args:
            ledger: how to reach the ledger's cluster.
        """
        named = {pieces_topic(self.replica): self.topic} if self.topic else {}
        if not self.bootstrap_servers:
            return replace(ledger, names=named)
        return replace(ledger, bootstrap=self.bootstrap_servers, options=self.kafka, names=named)


def replica_places(table: Mapping[str, Any]) -> dict[int, ReplicaPlace]:
    """The places in a role's table `replicas`, by replica.

    Raises:
        CountersignError: `config.invalid`.
    """
    places: dict[int, ReplicaPlace] = {}
    for name, values in table.items():
        where = f"[replicas.{name}]"
        if not name.isdecimal() or str(int(name)) != name:
            raise CountersignError("config.invalid", f"{where}: a replica is a number from 0")
        if not isinstance(values, Mapping):
            raise CountersignError("config.invalid", f"{where} should be a table")
        for setting, value in values.items():
            if setting not in (*_TEXTS, _KAFKA):
                raise CountersignError("config.invalid", f"{where}: unknown setting {setting}")
            texts = value.values() if setting == _KAFKA and isinstance(value, Mapping) else (value,)
            if not all(isinstance(text, str) for text in texts):
                raise CountersignError("config.invalid", f"{where}: {setting} should be text")
        places[int(name)] = ReplicaPlace(replica=int(name), **values)
    return places


def check_places(places: Mapping[int, ReplicaPlace], epochs: Epochs) -> None:
    """Require that the places fit the epoch: its replicas, and their keys.

    Raises:
        CountersignError: `config.invalid`.
    """
    keys = epochs.latest.replica_keys
    for replica, place in places.items():
        where = f"[replicas.{replica}]"
        if replica >= len(keys):
            raise CountersignError("config.invalid", f"{where}: the epoch has {len(keys)} replicas")
        if place.public_key and place.public_key.lower() != keys[replica].key.hex():
            raise CountersignError("config.invalid", f"{where}: public_key is not the one in the epoch")
