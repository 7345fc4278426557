"""The processes of replicas and learners: no store, no signing guard, no contracts."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from protocol.configuration import Epochs
from protocol.signing import SigningKey
from storage.effects import Event
from storage.machine import Machine
from streams.clock import now_ms
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.metrics import MetricsPublisher, ProcessMetrics
from streams.performer import Ports
from streams.role_directory import RoleConfiguration
from streams.signature_pool import SignaturePool
from streams.stage import Stage, StopSignal


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerProcess:
    """A process that follows decisions or pieces.

    Attributes:
        performers: of effects that only this role has, by the effect's class.
    """

    configuration: RoleConfiguration
    epochs: Epochs
    metrics: ProcessMetrics
    stop: StopSignal
    key: SigningKey | None = None
    performers: dict[type, Callable[[Any], Event]] = field(default_factory=dict)

    def stage(self, name: str, make_machine: Callable[[], Machine]) -> Stage:
        """The stage of this process."""
        connection = self.configuration.connection()
        ports = Ports(
            reader=KafkaLogReader(connection),
            writer=KafkaLogWriter(connection),
            pool=SignaturePool(1),
            now_ms=now_ms,
            stop=self.stop,
            signing_key=self.key,
            more=self.performers,
        )
        return Stage(make_machine, ports, self.metrics.meter(name))


@contextmanager
def open_follower(
    role: str, configuration: RoleConfiguration, stop: StopSignal, key: SigningKey | None = None
) -> Iterator[FollowerProcess]:
    """Give a replica's or learner's process its world.

    Raises:
        CountersignError: the ledger's genesis or epochs cannot be trusted.
    """
    metrics = ProcessMetrics(role, str(os.getpid()))
    publisher = MetricsPublisher(metrics, KafkaLogWriter(configuration.connection()), now_ms)
    process = FollowerProcess(
        configuration=configuration, epochs=configuration.epochs(), metrics=metrics, stop=stop, key=key
    )
    publisher.start()
    try:
        yield process
    finally:
        publisher.close()
