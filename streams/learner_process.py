"""The processes of replicas and learners: no store, no signing guard, no contracts."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from learners.accounting import replicas_max
from protocol.configuration import Epochs
from protocol.signing import SigningKey
from schemas.topics import pieces_topic
from storage.effects import Event
from storage.machine import Machine
from streams.clock import now_ms
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.log import LogReader, LogWriter
from streams.metrics import MetricsPublisher, ProcessMetrics
from streams.performer import Ports
from streams.piece_log import PieceLogReader, PieceLogWriter
from streams.replica_places import check_places
from streams.role_directory import RoleConfiguration
from streams.signature_pool import SignaturePool
from streams.stage import Stage, StopSignal


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerProcess:
    """A process that follows decisions or pieces.

    Attributes:
        performers: of effects that only this role has, by the effect's class.
        pool: threads for signatures.
    """

    configuration: RoleConfiguration
    epochs: Epochs
    metrics: ProcessMetrics
    stop: StopSignal
    key: SigningKey | None = None
    performers: dict[type, Callable[[Any], Event]] = field(default_factory=dict)
    pool: SignaturePool = field(default_factory=partial(SignaturePool, 1))

    def stage(self, name: str, make_machine: Callable[[], Machine], ends: frozenset[str] = frozenset()) -> Stage:
        """The stage of this process; `ends`: codes of halts after which another one follows."""
        ports = Ports(
            reader=open_reader(self.configuration, self.epochs),
            writer=self._open_writer(),
            pool=self.pool,
            now_ms=now_ms,
            stop=self.stop,
            signing_key=self.key,
            more=self.performers,
        )
        return Stage(make_machine, ports, self.metrics.meter(name), ends)

    def _open_writer(self) -> LogWriter:
        """A writer; what goes on a topic elsewhere goes there."""
        ledger = self.configuration.connection()
        elsewhere: dict[str, LogWriter] = {
            pieces_topic(replica): KafkaLogWriter(place.connection(ledger))
            for replica, place in self.configuration.places().items()
            if place.is_elsewhere
        }
        return PieceLogWriter(KafkaLogWriter(ledger), elsewhere) if elsewhere else KafkaLogWriter(ledger)


def open_reader(configuration: RoleConfiguration, epochs: Epochs) -> LogReader:
    """A reader of the ledger's topics, and of each replica's pieces wherever they are.

    Raises:
        CountersignError: `config.invalid`, what the role is told of replicas does not fit the epoch.
    """
    places = configuration.places()
    check_places(places, epochs)
    ledger = configuration.connection()
    elsewhere = {
        pieces_topic(replica): partial(KafkaLogReader, place.connection(ledger))
        for replica, place in places.items()
        if place.is_elsewhere
    }
    pieces = [pieces_topic(replica) for replica in range(replicas_max(epochs))]
    return PieceLogReader(KafkaLogReader(ledger), pieces, elsewhere)


@contextmanager
def open_follower(
    role: str, configuration: RoleConfiguration, stop: StopSignal, key: SigningKey | None = None
) -> Iterator[FollowerProcess]:
    """Give a replica's or learner's process its world.

    Raises:
        CountersignError: the ledger's genesis or epochs cannot be trusted.
    """
    metrics = ProcessMetrics(role, str(os.getpid()))
    process = FollowerProcess(
        configuration=configuration, epochs=configuration.epochs(), metrics=metrics, stop=stop, key=key
    )
    publisher = MetricsPublisher(metrics, KafkaLogWriter(configuration.connection()), now_ms)
    publisher.start()
    try:
        yield process
    finally:
        publisher.close()
