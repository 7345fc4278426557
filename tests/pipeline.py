"""A whole ledger of real processes, for tests that break parts of it.

Parts go by their names: the roles (`auditor`, `ledger`, `replica-0` ..., `learner`), the stores
(`auditor-store`, `ledger-store`) and `kafka`. Only processes that this ledger started are ever signalled.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from auditor.state import OrderState
from deploy.commands.ledger import stores_by_namespace
from deploy.deployment import Deployment
from deploy.home import Home
from deploy.initialize import AUDITOR, CLIENT, LEARNER, LEDGER, NewLedger
from deploy.judge import collect_evidence
from deploy.local.kafka import NAME as KAFKA
from deploy.local.stack import AUDITOR_STORE, LEDGER_STORE
from deploy.session import open_client
from ledger.state import CommitState
from protocol.records import Record, RecordKey
from schemas.topics import Topic, topic_table
from storage.effects import Message
from storage.errors import StoreAbsentError
from storage.ports import Version
from storage.record_stores import RealStore, StoreKind
from streams.client import Client
from streams.client_options import ClientOptions
from streams.kafka_admin import Extent, KafkaAdmin
from streams.kafka_log import KafkaLogReader
from streams.query_client import QueryClient

NAMESPACES = ("bank", "object", "sys")
STORES = {AUDITOR: AUDITOR_STORE, LEDGER: LEDGER_STORE}
SERVICES = (*STORES.values(), KAFKA)
DEADLINE_S = 60.0
DEFAULT_STORE_OF = stores_by_namespace(os.environ.get("COUNTERSIGN_TEST_STORE_OF", "").split()) or {}
DEFAULT_STORE = StoreKind(os.environ.get("COUNTERSIGN_TEST_STORE", StoreKind.REDIS))
"""What stores are made of where a test does not say: the pipeline's tests pass on each kind."""
_LOOK_S = 0.05
_PAGE = 5_000


def await_that(what: str, condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: it does not come, with `what` was awaited.
    """
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s:.0f} s: {what}"
        time.sleep(_LOOK_S)


def standby_of(role: str) -> str:
    """The name of a party's standby."""
    return f"{role}-standby"


class Pipeline:
    """One ledger in a directory of its own.

    Args:
        directory: for everything it writes.
        broker, prefix: of a Kafka that is there already, and of its topics; by default one is started.
        store, store_of: what the parties' stores are made of, and those of some namespaces.

    Attributes:
        rubbish_evidence: messages that the test itself wrote to `evidence`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        broker: str = "",
        prefix: str = "",
        store: StoreKind = DEFAULT_STORE,
        store_of: Mapping[str, StoreKind] = DEFAULT_STORE_OF,
    ) -> None:
        self.home = Home(directory)
        self.deployment = Deployment(self.home, broker=broker, store=store, store_of=store_of)
        self.stack = self.deployment.stack
        self.rubbish_evidence = 0
        self._store = store
        self._new = NewLedger(topic_prefix=prefix)

    def up(self) -> None:
        """Start everything."""
        self.deployment.up(lambda _: None, self._new)

    def down(self) -> None:
        """Stop everything, what was stopped by a signal too."""
        for name in self.stack.supervisor.names():
            self.resume(name)
        self.deployment.down(lambda _: None)

    # --- Faults ---

    def kill(self, name: str) -> None:
        """End one process at once, and only that one: its children are left to themselves.

        A store that is a file has no process: it ends with its party's.
        """
        if name in STORES.values() and self._store == StoreKind.SQLITE:
            return
        pid = self.stack.supervisor.pid(name)
        assert pid is not None, f"{name} does not run"
        os.kill(pid, signal.SIGKILL)
        await_that(f"the end of {name}", lambda: not self.runs(name))

    def start(self, name: str) -> None:
        """Start a part again that was killed or ended, as an operator would."""
        if name in SERVICES or any(name in self.stack.services_of(store) for store in STORES.values()):
            self.stack.restart(name)
        else:
            self.deployment.start_role(name)

    def start_another(self, role: str, name: str, directory: Path | None = None) -> None:
        """Start one more process of a party, on its directory or on a copy of it, and wait until it wants the lock."""
        directory = directory or self.home.role(role)
        self.deployment.start_role(role, name=name, directory=directory)
        lock = str(directory / "guard" / "signing.guard.lock")

        def wants_the_lock() -> bool:
            pid = self.stack.supervisor.pid(name)
            assert pid is not None, self.log(name)
            return lock in [file.path for file in psutil.Process(pid).open_files()]

        await_that(f"{name} wants the lock", wants_the_lock)

    def pause(self, name: str) -> None:
        """Stop a process where it is."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a process go on that was stopped."""
        self._signal(name, signal.SIGCONT)

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Stop a process for a while."""
        self.pause(name)
        try:
            yield
        finally:
            self.resume(name)

    def _signal(self, name: str, number: signal.Signals) -> None:
        pid = self.stack.supervisor.pid(name)
        if pid is not None:
            os.kill(pid, number)

    def runs(self, name: str) -> bool:
        """Whether a part's process runs."""
        return self.stack.supervisor.is_running(name)

    # --- What a part says ---

    def said(self, role: str) -> Mapping[str, object]:
        """What a role's process, or its standby, said of itself; nothing if it was another process."""
        said = self.deployment.status_of(role)
        return said if said.get("pid") in [self.stack.supervisor.pid(name) for name in self.processes(role)] else {}

    def processes(self, role: str) -> list[str]:
        """The names of a role's processes that were started and not stopped: itself and its standbys."""
        return [name for name in self.stack.supervisor.names() if name in (role, standby_of(role))]

    def log(self, name: str) -> str:
        """All a process has written."""
        return self.stack.log_file(name).read_text(errors="replace")

    @contextmanager
    def store(self, party: str) -> Iterator[RealStore]:
        """A party's store, while it is looked at."""
        store = self.home.load(party).open_store()
        try:
            yield store
        finally:
            store.close()

    def cells(self, party: str) -> Mapping[str, bytes]:
        """The cells of a party's store."""
        with self.store(party) as store:
            return store.load().cells

    def has_store(self, party: str) -> bool:
        """Whether a party's store holds anything by which it knows where it stands."""
        try:
            return "head" in self.cells(party)
        except StoreAbsentError:
            return False

    def ordered(self) -> OrderState:
        """Where the Auditor stands."""
        return OrderState.from_cells(self.cells(AUDITOR), 0)

    def committed(self) -> CommitState:
        """Where the Ledger stands."""
        return CommitState.from_cells(self.cells(LEDGER))

    def versions(self, party: str) -> dict[Version, Record]:
        """Every version of every record of a party."""
        found: dict[Version, Record] = {}
        with self.store(party) as store:
            for namespace in NAMESPACES:
                wanted = [
                    Version(RecordKey(namespace, key), version)
                    for key, record in store.records(namespace)
                    for version in range(1, record.version + 1)
                ]
                found |= store.fetch(versions=wanted).versions
                assert len(found) >= len(wanted), f"versions are missing in {namespace}"
        return found

    def views(self) -> QueryClient:
        """The learner's query endpoint, wherever it is now."""
        await_that("the learner's address", lambda: "address" in self.said(LEARNER))
        return QueryClient(str(self.said(LEARNER)["address"]))

    def pages(self, select: str, order: tuple[str, ...]) -> list[tuple[object, ...]]:
        """All rows of a query, a page at a time; `order` names columns that tell rows apart."""
        rows: list[tuple[object, ...]] = []
        by = ", ".join(f'"{name}"' for name in order)
        while True:
            page = self.views().query(f"SELECT * FROM ({select}) ORDER BY {by} LIMIT {_PAGE} OFFSET {len(rows)}").rows
            rows += page
            if len(page) < _PAGE:
                return rows

    def evidence(self) -> list[str]:
        """What the topic `evidence` proves, against whom."""
        judged = collect_evidence(self.home)
        return [f"{each.kind}: {each.verdict}" for each in judged if each.verdict.convicts]

    def topics(self) -> tuple[Topic, ...]:
        """The topics of this ledger."""
        return topic_table(self.home.load(CLIENT).partitions, self.deployment.epochs().latest.n)

    def extents(self) -> dict[tuple[str, int], Extent]:
        """What each partition holds."""
        return KafkaAdmin(self.home.load(CLIENT).connection()).extents(self.topics())

    def read(self, topic: str) -> tuple[Message, ...]:
        """Every message of a topic's first partition, from the oldest to the newest."""
        reader = KafkaLogReader(self.home.load(CLIENT).connection())
        try:
            return tuple(reader.read_all(topic))
        finally:
            reader.close()

    # --- Use ---

    def client(self, entity: str = "admin", options: ClientOptions | None = None) -> Client:
        """A client that signs as an entity whose key is in the home."""
        return open_client(self.home, entity, options)

    def serve(self) -> None:
        """Have one ordinary request served, which proves that nothing is stuck."""
        with self.client() as client:
            key = f"probe/{time.monotonic_ns()}"
            assert client.execute("object.put", {"key": key, "value": key}).ok
            assert client.execute("object.get", {"key": key}).output == key

    def configure(self, role: str, **settings: object) -> None:
        """Change settings in a role's file."""
        replace(self.home.load(role), **settings).save()  # type: ignore[arg-type]  # as the file has them

