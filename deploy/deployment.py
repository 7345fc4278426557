"""A whole ledger on this machine: broker, stores, and every role as a supervised process."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from deploy.compiled import is_outdated, root_of_roles
from deploy.home import Home
from deploy.initialize import (
    AUDITOR,
    CLIENT,
    DASHBOARD,
    LEARNER,
    LEDGER,
    VIEWS,
    NewLedger,
    initialize,
    replica_role,
)
from deploy.local.disk import explained, require_space
from deploy.local.stack import AUDITOR_STORE, LEDGER_STORE, SPACE_BYTES_MIN, LocalStack
from deploy.local.supervisor import Service, failure_code, python_path
from deploy.presence import require_listening
from deploy.roles.entry import RoleStatus, who_said
from deploy.stores import create_auditor_store, create_ledger_store, is_filled
from protocol.configuration import Epochs
from protocol.errors import ERRORS, CountersignError
from schemas.topics import EPOCHS, topic_table
from storage.effects import Outgoing
from storage.record_stores import StoreKind
from streams.kafka_admin import KafkaAdmin
from streams.kafka_log import KafkaLogWriter
from streams.log import LogRefusedError, LogUnavailableError, publish

Progress = Callable[[str], None]

_MALLOC_ARENAS = "2"
"""A role has some twenty threads, most of them librdkafka's, and an arena of the allocator for each keeps what a batch
needed once: with two it holds a sixth less under load."""

_CREATED = "store.created"
"""A file in a party's directory: its store was made, so an empty one is a lost one."""

_ACTIVE_DEADLINE_S = 90.0
_LOOK_S = 0.02


_HALTS = frozenset(code for code, row in ERRORS.items() if row.family == "halt") - {"engine.differs"}
"""What a machine halts with that no other role needs to stop for: a version with another engine runs none of them."""


class MachineHaltedError(CountersignError):
    """A role that was started has halted; its code, and what it saw."""


class Deployment:
    """One ledger in one home.

    Args:
        home: its directories; made by `up` where there is no ledger yet.
        broker: addresses of a Kafka that is there already; by default that of the last start, or one is started.
        store: what the parties' stores are made of; by default what they are already, or Redis.
        store_of: the same by namespace, for those that lie in another database.
    """

    def __init__(
        self,
        home: Home,
        *,
        broker: str = "",
        store: StoreKind | None = None,
        store_of: Mapping[str, StoreKind] | None = None,
    ) -> None:
        self.home = home
        self._broker = broker
        self.stack = LocalStack(home.stack, broker=broker, store=store, store_of=store_of)

    def epochs(self) -> Epochs:
        """Genesis and configurations, as the client trusts them."""
        return self.home.load(CLIENT).epochs()

    def up(
        self,
        progress: Progress,
        new: NewLedger | None = None,
        *,
        liars: tuple[int, ...] = (),
        without: tuple[str, ...] = (),
        rest_stays: bool = False,
    ) -> None:
        """Make the ledger where there is none, and start everything; of one that runs in part, what is missing.

        Args:
            progress: told in a few words what is being done.
            new: what a new ledger is to be.
            liars: replicas that are to disperse corrupted pieces, for a demonstration.
            without: roles that are not started.
            rest_stays: what else runs is not stopped where a machine halts: the log and its evidence can be read.

        Raises:
            CountersignError: `stack.running`, `port.taken`, `broker.unreachable` and others, each with a remedy;
                `config.invalid`, its topics are in another Kafka; what a machine halted with.
        """
        if self._broker and self.stack.has_own_kafka and (self.home.role(AUDITOR) / _CREATED).exists():
            text = f"the topics of this ledger are in the Kafka that it starts itself, not at {self._broker}"
            raise CountersignError("config.invalid", text)
        if broker := self.stack.external_broker:
            progress(f"looking for Kafka at {broker}")
            require_listening(broker)  # before anything is made
        if not self.home.exists:
            progress(f"making a new ledger in {self.home.directory}")
            initialize(self.home, new or NewLedger())
        wanted = [role for role in self.roles() if role not in without]
        place = f"starting in {self.home.directory}"
        with explained(place), self.stack.alone(), self.stack.remembering_what_works():
            missing = self._missing(wanted)
            if missing:
                self._require_same_broker()
                require_space(self.stack.directory, SPACE_BYTES_MIN)
                progress(f"it runs in part; starting what is missing: {', '.join(missing)}")
                for name in missing:
                    if name not in wanted:
                        self.stack.restart(name)
                self._start_roles([role for role in wanted if role in missing], progress, liars)
                return
            halted = self._start_all(wanted, progress, liars)
            if halted is not None and not rest_stays:
                self.down(progress)
        if halted is not None:
            raise halted

    def _start_all(
        self, roles: Sequence[str], progress: Progress, liars: tuple[int, ...]
    ) -> MachineHaltedError | None:
        """Start servers and roles, all or none; give what a machine halted with, where everything else works."""
        self.stack.start(progress)
        try:
            self._start_roles(roles, progress, liars)
        except MachineHaltedError as error:
            return error
        except BaseException:
            self.down(progress)
            raise
        return None

    def _require_same_broker(self) -> None:
        """Refuse to start a part of a ledger on another Kafka than the one that its other part is on."""
        used = self.stack.bootstrap_servers
        if self._broker not in ("", used):
            text = f"it runs in part, with the Kafka at {used}: stop it before it uses {self._broker}"
            raise CountersignError("config.invalid", text)

    def _missing(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """Servers and roles that do not run although others do: nothing, where all do or none does."""
        running = {each.name for each in self.stack.status() if each.pid is not None}
        if not running:
            return ()
        return (*self.stack.missing(), *(role for role in wanted if role not in running))

    def _start_roles(self, roles: Sequence[str], progress: Progress, liars: tuple[int, ...]) -> None:
        """Start roles, and wait until they work."""
        admin = KafkaAdmin(replace(self.home.load(CLIENT), bootstrap_servers=self.stack.bootstrap_servers).connection())
        admin.describe()  # before anything is written: it may be no address of a broker
        self._tell_addresses()
        self._prepare(progress)
        if is_outdated():
            progress("the sources have changed since they were compiled: roles run plain Python until `make compile`")
        for role in roles:
            lies = role in map(replica_role, liars)
            self.start_role(role, module="lying_replica" if lies else "")
        self._await_active(roles, progress)

    def down(self, progress: Progress) -> None:
        """Stop everything, roles first."""
        self.stack.stop(progress)

    def roles(self) -> tuple[str, ...]:
        """The processes of a deployment, in the order they are started."""
        replicas = self.epochs().latest.n
        return (AUDITOR, LEDGER, *(replica_role(i) for i in range(replicas)), LEARNER, VIEWS, DASHBOARD)

    def start_role(self, role: str, *, name: str = "", module: str = "", directory: Path | None = None) -> None:
        """Start a role's process.

        Args:
            role: whose directory it is given.
            name: of the process; another one than the role's makes one more of that role, a standby.
            module: of `deploy.roles`, where it is not named after the role.
            directory: another one than the role's own.

        Raises:
            CountersignError: `stack.running`, `service.failed`.
        """
        module = module or ("replica" if role.startswith("replica-") else role)
        name = name or role
        self.stack.supervisor.start(
            Service(
                name=name,
                argv=(sys.executable, "-P", "-m", f"deploy.roles.{module}", str(directory or self.home.role(role))),
                log_file=self.stack.log_file(name),
                environment={"MALLOC_ARENA_MAX": _MALLOC_ARENAS, "PYTHONPATH": python_path(root_of_roles())},
            )
        )

    def status_of(self, role: str) -> dict[str, object]:
        """What a role last said of itself."""
        return RoleStatus(self.home.role(role)).read()

    def addresses(self) -> dict[str, str]:
        """Where users find what: broker, query endpoint, views, dashboard."""
        said = {role: str(self.status_of(role).get("address", "")) for role in (LEARNER, VIEWS, DASHBOARD)}
        return {"broker": self.stack.bootstrap_servers, **{role: each for role, each in said.items() if each}}

    def _tell_addresses(self) -> None:
        """Write into each role's file where broker and stores are now."""
        stores = {AUDITOR: AUDITOR_STORE, LEDGER: LEDGER_STORE}
        for role in (*self.roles(), CLIENT):
            configuration = self.home.load(role)
            replace(
                configuration,
                bootstrap_servers=self.stack.bootstrap_servers,
                store_url=self.stack.store_url(stores[role]) if role in stores else "",
                namespace_stores=self.stack.namespace_urls(stores[role]) if role in stores else {},
            ).save()

    def _prepare(self, progress: Progress) -> None:
        """Topics, stores and the configuration on `epochs`: made once."""
        configuration = self.home.load(CLIENT)
        epochs = configuration.epochs()
        progress("making topics")
        admin, topics = KafkaAdmin(configuration.connection()), topic_table(configuration.partitions, epochs.latest.n)
        admin.create_topics(topics)
        if self.stack.external_broker:  # whose topics may have been made by hand
            with suppress(LogRefusedError):  # who may not see their settings
                for line in admin.differences(topics):
                    progress(f"not as the table of topics has it: {line}")
            with suppress(LogRefusedError, LogUnavailableError):  # one of several brokers may be away
                for line in admin.too_low(topics):
                    progress(f"long messages will not be taken: {line}")
        for role, create in ((AUDITOR, create_auditor_store), (LEDGER, create_ledger_store)):
            marker = self.home.role(role) / _CREATED
            if not marker.exists():
                store = self.home.load(role).open_store()
                if not is_filled(store):
                    create(store, epochs)
                store.close()
                if role == AUDITOR:
                    self._publish_epochs(epochs)
                marker.touch()

    def _publish_epochs(self, epochs: Epochs) -> None:
        writer = KafkaLogWriter(self.home.load(AUDITOR).connection())
        publish(writer, [Outgoing(EPOCHS, 0, None, signed) for signed in epochs.signed], lambda: False)
        writer.close()

    def _await_active(self, roles: Sequence[str], progress: Progress) -> None:
        """Wait until every one of these roles does its work.

        Raises:
            MachineHaltedError: all others do theirs.
            CountersignError: `service.failed`, one ended or takes too long, or a more exact cause; its log says more.
        """
        deadline = time.monotonic() + _ACTIVE_DEADLINE_S
        for role in roles:
            progress(f"waiting for {role}")
            while not self._is_active(role):
                if not self.stack.supervisor.is_running(role) or time.monotonic() > deadline:
                    break
                time.sleep(_LOOK_S)
        ended = [role for role in roles if not self._is_active(role)]  # also who halted after it had begun
        halts = [self._halt(role) for role in ended]
        if halts:
            raise halts[0]

    def _halt(self, role: str) -> MachineHaltedError:
        """Why a role halted.

        Raises:
            CountersignError: with its own code, where it cannot work at all: a wrong setting, another engine;
                `service.failed` or a more exact cause, where it did not say why it ended.
        """
        said = self._said_by_itself(role)
        code, text = str(said.get("code")), str(said.get("text"))
        state, runs = said.get("state"), self.stack.supervisor.is_running(role)
        if state == "halted" and code in _HALTS and not runs:
            return MachineHaltedError(code, f"{role} has halted: {text}")
        if state == "halted" and code in ERRORS and not runs:
            raise CountersignError(code, f"{role}: {text}")
        reason = f"{code}: {text}" if said.get("text") else last_lines(self.stack.log_file(role))
        raise CountersignError(failure_code(reason), f"{role} is {state}: {reason}")

    def _said_by_itself(self, role: str) -> dict[str, object]:
        """What a role last said; of one that ended, what that very process said: on a full disk it said nothing."""
        said, ended = self.status_of(role), self.stack.supervisor.identity(role)
        return said if ended is None or ended.is_alive() or who_said(said) == ended else {"state": "gone"}

    def _is_active(self, role: str) -> bool:
        """Whether this very process, not one before it, says that it works."""
        active = RoleStatus(self.home.role(role)).active()
        return active is not None and active == self.stack.supervisor.identity(role)


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log file, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return f"no log at {log}"
