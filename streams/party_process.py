"""What the processes of both parties have in common: store, signing guard, executor, threads, metrics.

1. The signing guard's lock makes a process the active one; until it has the lock it is a standby and touches
   nothing.
2. What its directory tells it (`role.toml`, epochs, key) it reads at its start, so that it says early what is wrong,
   and again when it has the lock: a standby may have waited through a change of epochs, and must not sign in one
   that is over.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from protocol.configuration import Epochs
from protocol.contracts.engine import engine_version
from protocol.contracts.fingerprint import engine_answers
from protocol.errors import CountersignError
from protocol.signing import SigningKey
from schemas.topics import ORDERS, REQUESTS, RESULTS
from storage.effects import Event
from storage.errors import StoreUnavailableError
from storage.machine import Machine
from storage.ports import RecordStore
from storage.signing_guard import FileSigningGuard
from streams.cell_watch import CellWatch
from streams.clock import now_ms
from streams.executor import Executor
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.metrics import MetricsPublisher, ProcessMetrics
from streams.performer import Party, Ports
from streams.role_directory import RoleConfiguration
from streams.signature_pool import SignaturePool
from streams.skipping_reader import SkippingReader
from streams.stage import Stage, StopSignal

PartyName = Literal["auditor", "ledger"]

_SENT_AGAIN = (REQUESTS, ORDERS, RESULTS)
"""What is missing of these is sent again until it is answered, and is otherwise of no use any more (ADR 0035)."""

_STORE_PAUSE_FIRST_S = 0.1
_STORE_PAUSE_S_MAX = 5.0

_log = logging.getLogger("countersign.stage")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyProcess:
    """One active process of a party, with everything its stages need."""

    configuration: RoleConfiguration
    epochs: Epochs
    key: SigningKey
    party: Party
    pool: SignaturePool
    metrics: ProcessMetrics
    stop: StopSignal

    def stage(
        self,
        name: str,
        make_machine: Callable[[], Machine],
        more: Mapping[type, Callable[[Any], Event]] | None = None,
        ends: frozenset[str] = frozenset(),
    ) -> Stage:
        """A stage of this process, with a reader and a writer of its own.

        Args:
            name: of the stage.
            make_machine: gives a new machine that knows nothing.
            more: performers of effects that only this stage has.
            ends: codes of halts after which another stage follows.
        """
        connection = self.configuration.connection()
        linger_ms = self.epochs.limits.batch_linger_ms if name == "order" else 0
        ports = Ports(
            reader=SkippingReader(KafkaLogReader(connection, linger_ms=linger_ms), _SENT_AGAIN),
            writer=KafkaLogWriter(connection, compressed=True),
            pool=self.pool,
            now_ms=now_ms,
            stop=self.stop,
            signing_key=self.key,
            party=self.party,
            more=more or {},
        )
        return Stage(make_machine, ports, self.metrics.meter(name), ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a party's process is told by its directory, checked."""

    configuration: RoleConfiguration
    epochs: Epochs
    key: SigningKey

    def is_as(self, other: "_Told") -> bool:
        """Whether nothing of it has changed."""
        mine, others = (
            (told.configuration, told.epochs.signed, told.key.public_key) for told in (self, other)
        )
        return mine == others


@contextmanager
def open_party(
    name: PartyName,
    configuration: RoleConfiguration,
    read_key: Callable[[], SigningKey],
    stop: StopSignal,
    on_active: Callable[[], None],
) -> Iterator[PartyProcess | None]:
    """Wait until this process is the active one, then give it its world; None if it was told to stop before.

    Args:
        name, read_key: which party, and what reads its signing key.
        on_active: called when the signing guard's lock is held.

    Raises:
        CountersignError: `config.invalid` where the key is not the epoch's, `engine.differs`, or what store,
            guard and broker raise.
    """
    with ExitStack() as closing:
        active = _become_active(name, configuration, read_key, stop)
        if active is None:
            yield None
            return
        told, guard = active
        configuration, epochs = told.configuration, told.epochs
        closing.callback(guard.close)
        on_active()
        store = _await_store(configuration, stop)
        if store is None:
            yield None
            return
        closing.callback(store.close)
        executor = Executor(epochs.limits, scale=1 if name == "auditor" else epochs.limits.resources_factor)
        closing.callback(executor.close)
        metrics = ProcessMetrics(name, str(os.getpid()))
        publisher = MetricsPublisher(metrics, KafkaLogWriter(configuration.connection()), now_ms)
        publisher.start()
        closing.callback(publisher.close)
        pool = SignaturePool(os.cpu_count() or 1)
        closing.callback(pool.close)
        yield PartyProcess(
            configuration=configuration,
            epochs=epochs,
            key=told.key,
            party=Party(store=store, guard=guard, executor=executor, watch=CellWatch()),
            pool=pool,
            metrics=metrics,
            stop=stop,
        )


def _become_active(
    name: PartyName, configuration: RoleConfiguration, read_key: Callable[[], SigningKey], stop: StopSignal
) -> tuple[_Told, FileSigningGuard] | None:
    """Wait for the lock, and give what the directory tells whoever holds it; None if told to stop before."""
    told = _read(name, configuration, read_key)
    while True:
        guard = _make_guard(told)
        stop.on_request(guard.stop)
        if not guard.acquire(wait=True):
            return None
        try:
            now = _read(name, configuration.again(), read_key)
        except BaseException:
            guard.close()
            raise
        if now.is_as(told):
            return told, guard
        _log.warning("role.toml, epochs or key have changed since they were read; going by what they are now")
        guard.close()  # it was made by what was read before: its file, its window
        told = now


def _read(name: PartyName, configuration: RoleConfiguration, read_key: Callable[[], SigningKey]) -> _Told:
    epochs = configuration.epochs()
    check_engine(epochs)
    key = read_key()
    _check_key(name, key, epochs)
    return _Told(configuration=configuration, epochs=epochs, key=key)


def _await_store(configuration: RoleConfiguration, stop: StopSignal) -> RecordStore | None:
    """The party's store, once it answers: it may come up after this process; None if told to stop before."""
    pause_s = _STORE_PAUSE_FIRST_S
    while True:
        try:
            return configuration.open_store()
        except StoreUnavailableError as error:
            _log.warning("%s; waiting for it", error)
        if stop.wait(pause_s):
            return None
        pause_s = min(2 * pause_s, _STORE_PAUSE_S_MAX)


def _make_guard(told: _Told) -> FileSigningGuard:
    file = told.configuration.path(told.configuration.guard_file)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return FileSigningGuard(file, window=told.epochs.latest.window)


def _check_key(name: PartyName, key: SigningKey, epochs: Epochs) -> None:
    expected = epochs.latest.auditor_key if name == "auditor" else epochs.latest.ledger_key
    if key.public_key != expected:
        text = f"the key of the {name} is not the one in epoch {epochs.latest.epoch}"
        raise CountersignError("config.invalid", text)


def check_engine(epochs: Epochs) -> None:
    """Require that contracts run here as the epoch says.

    Raises:
        CountersignError: `engine.differs`.
    """
    mine = _engine(engine_version(), engine_answers())
    agreed = _engine(epochs.latest.engine_version, epochs.latest.engine_answers)
    if mine != agreed:
        raise CountersignError("engine.differs", f"this is {mine}; the epoch has {agreed}")


def _engine(version: str, answers: bytes) -> str:
    return f"{version} with answers {answers.hex()}"
