"""Kafka and the parties' stores, started and stopped together.

Layout of its directory: `stack.json` (kind of store, ports, passwords; this user's only), `kafka/`, one directory
per store, `logs/`, `run/` (pid files). Whoever knows the directory can stop the stack or ask how it is. Other
services may be added through `supervisor`; they are stopped before those they need, for they started later.
"""

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.local.disk import explained, require_space
from deploy.local.jars import fetch_jars
from deploy.local.java import find_java
from deploy.local.kafka import NAME as KAFKA
from deploy.local.kafka import KafkaNode
from deploy.local.ports import LOOPBACK
from deploy.local.postgresql import PostgresqlServer
from deploy.local.settings import STACK_FILE, StackSettings
from deploy.local.sqlite import SqliteFile
from deploy.local.supervisor import Service, Supervisor
from deploy.local.valkey import ValkeyServer
from protocol.errors import CountersignError
from storage.record_stores import StoreKind

AUDITOR_STORE = "auditor-store"
LEDGER_STORE = "ledger-store"
_CONTROLLER = "kafka-controller"
SPACE_BYTES_MIN = 256 << 20
"""Free space without which nothing is started: less than this fills up within minutes."""

Progress = Callable[[str], None]
Store = ValkeyServer | PostgresqlServer | SqliteFile


def _say_nothing(_: str) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """How one service is.

    Attributes:
        name: its name.
        pid: its process, None if it does not run.
        address: where it listens, "" if that is not known here.
        log_file: where what it says is kept.
    """

    name: str
    pid: int | None
    address: str
    log_file: Path


class LocalStack:
    """A Kafka and some stores on this machine, in one directory."""

    def __init__(
        self,
        directory: Path,
        *,
        broker: str = "",
        stores: tuple[str, ...] = (AUDITOR_STORE, LEDGER_STORE),
        kafka_port: int | None = None,
        store: StoreKind | None = None,
        store_of: Mapping[str, StoreKind] | None = None,
    ) -> None:
        """Describe a stack; `start` runs it, `stop` and `status` need no more than the directory.

        Args:
            directory: everything the stack writes is in it.
            broker: addresses of a Kafka that is there already; then none is started. By default that of the last
                start, or one that is started.
            stores: the names of the stores.
            kafka_port: a port for Kafka, where any free one will not do.
            store: what the stores are made of; by default what they are already, or Redis.
            store_of: what is made of something else, by namespace; by default what it is already, or nothing.
        """
        self.directory = directory.absolute()
        self.supervisor = Supervisor(self.directory / "run")
        self._broker = broker
        self._stores = stores
        self._store_kind = store
        self._store_of = store_of
        self._fixed_ports = {} if kafka_port is None else {KAFKA: kafka_port}
        self._settings_file = self.directory / STACK_FILE
        self._is_alone = False

    @property
    def bootstrap_servers(self) -> str:
        """Where Kafka is.

        Raises:
            CountersignError: `stack.down` if the stack was never started.
        """
        settings = self._settings()
        return settings.broker or f"{LOOPBACK}:{settings.ports[KAFKA]}"

    @property
    def external_broker(self) -> str:
        """Addresses of the Kafka that is there already, "" where the stack has its own."""
        before = StackSettings.load(self._settings_file)
        return self._broker or (before.broker if before else "")

    @property
    def has_own_kafka(self) -> bool:
        """Whether its last start was with a Kafka of its own."""
        before = StackSettings.load(self._settings_file)
        return before is not None and not before.broker and (self.directory / KAFKA).exists()

    @contextmanager
    def remembering_what_works(self) -> Iterator[None]:
        """Let a start fail without a trace: the next one is to use the Kafka that was used before."""
        before = StackSettings.load(self._settings_file)
        try:
            yield
        except BaseException:
            tried = StackSettings.load(self._settings_file)
            if tried is not None:  # ports and passwords stay: data may have been made with them
                replace(tried, broker=before.broker if before else "").save(self._settings_file)
            raise

    def store_url(self, name: str) -> str:
        """Where a store is, its password included: for its own party only.

        Raises:
            CountersignError: `stack.down` if the stack was never started.
        """
        return self._store(name, self._settings()).url

    def services_of(self, name: str) -> tuple[str, ...]:
        """The services that make one store, its home first.

        Raises:
            CountersignError: `stack.down` if the stack was never started.
        """
        return tuple(self._settings().services_of(name).values())

    def namespace_urls(self, name: str) -> dict[str, str]:
        """Where the namespaces are that lie in another database than a store's other ones.

        Raises:
            CountersignError: `stack.down` if the stack was never started.
        """
        settings = self._settings()
        services = settings.services_of(name)
        return {
            namespace: self._store(services[kind], settings).url for namespace, kind in settings.store_of.items()
        }

    def log_file(self, name: str) -> Path:
        """Where a service's output is kept."""
        return self.directory / "logs" / f"{name}.log"

    def start(self, progress: Progress = _say_nothing) -> None:
        """Start everything and wait until it is ready; leave nothing running if that fails.

        Args:
            progress: told in a few words what is being done.

        Raises:
            CountersignError: `stack.running`, `port.taken`, `disk.full`, `file.unusable`, `registry.unreachable`,
                `registry.wrong_file`, `local.not_installed`, `service.failed`, or `config.invalid` where data lies in
                another kind of store.
        """
        with explained(f"starting in {self.directory}"), self.alone():
            self._require_down()
            require_space(self.directory, SPACE_BYTES_MIN)
            try:
                self._start(progress)
            except BaseException:
                self.supervisor.stop_all(deadline_s=0)
                raise

    def stop(self, progress: Progress = _say_nothing) -> None:
        """Stop everything that was started in this directory, whoever started it, the last started first."""
        if not self.directory.exists():
            return
        with self.alone():
            for name in reversed(self.supervisor.names()):
                progress(f"stopping {name}")
                self.supervisor.stop(name)

    def missing(self) -> tuple[str, ...]:
        """What was started, or should have been, and does not run.

        Raises:
            CountersignError: `stack.down` if the stack was never started.
        """
        settings = self._settings()
        services = [service for name in self._stores for service in settings.services_of(name).values()]
        wanted = [name for name in services if settings.kind_of(name) != StoreKind.SQLITE]
        wanted += () if settings.broker else (KAFKA,)
        return tuple(name for name in wanted if not self.supervisor.is_running(name))

    def restart(self, name: str) -> None:
        """Start Kafka or a store again, at the same address and with the data that is left.

        Raises:
            CountersignError: as `start`.
        """
        settings = self._settings()
        self.supervisor.stop(name)
        node = self._kafka(settings, _say_nothing) if name == KAFKA else self._store(name, settings)
        node.prepare()  # its directory may be gone
        if not isinstance(node, SqliteFile):
            self.supervisor.start(node.service())

    def status(self) -> tuple[ServiceStatus, ...]:
        """How every service is that was started and not stopped, in the order of their starts."""
        settings = StackSettings.load(self._settings_file)
        ports = settings.ports if settings else {}
        return tuple(
            ServiceStatus(
                name=name,
                pid=self.supervisor.pid(name),
                address=f"{LOOPBACK}:{ports[name]}" if name in ports else "",
                log_file=self.log_file(name),
            )
            for name in self.supervisor.names()
        )

    def _start(self, progress: Progress) -> None:
        broker = self.external_broker
        settings = StackSettings.choose(
            broker=broker,
            store=self._store_kind,
            store_of=self._store_of,
            stores=self._stores,
            listeners=() if broker else (KAFKA, _CONTROLLER),
            fixed_ports=self._fixed_ports,
            before=StackSettings.load(self._settings_file),
        )
        settings.save(self._settings_file)
        services_of = [service for name in self._stores for service in settings.services_of(name).values()]
        nodes: list[Store | KafkaNode] = [self._store(name, settings) for name in services_of]
        if not broker:
            nodes.append(self._kafka(settings, progress))
        progress("starting " + ", ".join((*services_of, *(() if broker else (KAFKA,)))))
        services: list[Service] = []
        for node in nodes:
            node.prepare()
            if not isinstance(node, SqliteFile):
                services.append(node.service())
                self.supervisor.launch(services[-1])
        for service in services:
            self.supervisor.wait_ready(service)
        progress("ready: " + ", ".join(f"{each.name} at {each.address}" for each in self.status()))

    def _kafka(self, settings: StackSettings, progress: Progress) -> KafkaNode:
        return KafkaNode(
            directory=self.directory / KAFKA,
            log_file=self.log_file(KAFKA),
            port=settings.ports[KAFKA],
            controller_port=settings.ports[_CONTROLLER],
            java=find_java(),
            jars=fetch_jars(progress),
        )

    def _store(self, name: str, settings: StackSettings) -> Store:
        directory = self.directory / name
        kind = settings.kind_of(name)
        if kind == StoreKind.SQLITE:
            return SqliteFile(directory=directory)
        server = PostgresqlServer if kind == StoreKind.POSTGRESQL else ValkeyServer
        return server(
            name=name,
            directory=directory,
            log_file=self.log_file(name),
            port=settings.ports[name],
            password=settings.passwords[name],
        )

    def _settings(self) -> StackSettings:
        settings = StackSettings.load(self._settings_file)
        # `init` may have chosen the kind of store; a start that failed, ports.
        if settings is None or not (settings.broker or KAFKA in settings.ports):
            raise CountersignError("stack.down", str(self.directory))
        return settings

    def _require_down(self) -> None:
        running = [each for each in self.status() if each.pid is not None]
        if running:
            places = ", ".join(f"{each.name} at {each.address}" for each in running if each.address)
            raise CountersignError("stack.running", places)
        # What a crash left behind: pid files, and children without their parent.
        self.supervisor.stop_all(deadline_s=0)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one process at a time start or stop this stack; within it, as often as it likes.

        Raises:
            CountersignError: `stack.running`, another one does.
        """
        if self._is_alone:
            yield
            return
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        self.directory.mkdir(exist_ok=True, mode=0o700)  # what the parties and Kafka store is nobody else's
        with (self.directory / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                detail = f"another process is starting or stopping it in {self.directory}"
                raise CountersignError("stack.running", detail) from error
            self._is_alone = True
            try:
                yield
            finally:
                self._is_alone = False
