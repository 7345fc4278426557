"""What users hold: the transaction manager, its transactions, and `run`, which tries again."""

import random
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from types import TracebackType
from typing import Self, TypeVar

from protocol.errors import CountersignError
from storage.model.data_types import Value
from storage.model.errors import InvalidOperationError
from storage.model.operations import AnyScan, GetByIndex, Key, Row
from storage.model.predicates import Predicate
from storage.model.schema import TableName, TableSchema
from storage.tables.errors import ConditionFailedError
from storage.tables.port import TableStore
from storage.transactions.background_sweeping import BackgroundSweeping
from storage.transactions.backoff import wait_ms
from storage.transactions.catalogue import Catalogue
from storage.transactions.coordinator import Coordinator, state_table
from storage.transactions.errors import TransactionConflictError, TransactionContendedError, TransactionMisuseError
from storage.transactions.hot_records import HotRecords
from storage.transactions.identifiers import RANDOM_BYTES, transaction_id
from storage.transactions.layout import COMMITTED, Record, importing, is_transactional, transactional
from storage.transactions.record_reader import Counters, World
from storage.transactions.settings import Isolation, TransactionSettings
from storage.transactions.sweeper import Sweeper, Swept
from storage.transactions.table_sweeper import TableSweeper
from storage.transactions.threads import ThreadDriver
from storage.transactions.transaction import TransactionCore

T = TypeVar("T")

POOL_THREADS = 32

PATIENT_ATTEMPTS = 3
"""Of `run`; after them a transaction that scans keeps others from changing what it reads."""


class Outcome(StrEnum):
    """How a transaction ended."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNDECIDED = "undecided"


class Transaction:
    """One transaction, for one thread at a time; a `with` block rolls it back unless it was committed.

    Each method is that of `storage.transactions.transaction.TransactionCore`.
    """

    def __init__(self, core: TransactionCore, driver: ThreadDriver, hot: HotRecords) -> None:
        self.core = core
        self._run = driver.run
        self._hot = hot

    @property
    def id(self) -> str:
        """What `TransactionManager.resolve` wants."""
        return self.core.transaction_id

    def get(self, table: TableName | str, key: Key, projection: tuple[str, ...] = ()) -> dict[str, Value | None] | None:
        """The record with this key; None: there is none."""
        return self._run(self.core.get(table, key, projection))

    def get_many(
        self, records: Sequence[tuple[TableName | str, Key]], projection: tuple[str, ...] = ()
    ) -> list[dict[str, Value | None] | None]:
        """Records by key, in one trip to each store."""
        return self._run(self.core.get_many(records, projection))

    def get_by_index(self, get: GetByIndex) -> dict[str, Value | None] | None:
        """The one record with this indexed value."""
        return self._run(self.core.get_by_index(get))

    def scan(self, scan: AnyScan) -> list[dict[str, Value | None]]:
        """The rows of a scan, own writes among them."""
        return self._run(self.core.scan(scan))

    def insert(self, table: TableName | str, key: Key, values: Row) -> None:
        """Plan a new record."""
        self._run(self.core.insert(table, key, values))

    def upsert(self, table: TableName | str, key: Key, values: Row) -> None:
        """Plan to change a record, or to make it."""
        self._run(self.core.upsert(table, key, values))

    def update(self, table: TableName | str, key: Key, values: Row, where: Predicate | None = None) -> bool:
        """Plan to change a record; return whether there is one."""
        return self._run(self.core.update(table, key, values, where))

    def delete(self, table: TableName | str, key: Key, where: Predicate | None = None) -> None:
        """Plan to delete a record."""
        self._run(self.core.delete(table, key, where))

    def commit(self) -> None:
        """Make all writes durable and visible at once, or none of them."""
        try:
            self._run(self.core.commit())
        except TransactionConflictError as error:
            self._hot.heat(error.records)
            raise
        finally:
            self._hot.leave(self.core.transaction_id)

    def rollback(self) -> None:
        """Give up; nothing was written."""
        try:
            self._run(self.core.rollback())
        finally:
            self._hot.leave(self.core.transaction_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.core.ended:
            self.rollback()


class TransactionManager:
    """Transactions over one store or several.

    Args:
        stores: by name; whoever opened them closes them.
        home: the store with the coordinator's table; may be left out if there is one store.
        namespaces: the store of each namespace.
        default_store: of every other one; may be left out if there is one store.
        coordinator_namespace: of the coordinator's table.
        settings: times and bounds.
    """

    def __init__(
        self,
        stores: Mapping[str, TableStore],
        *,
        home: str | None = None,
        namespaces: Mapping[str, str] | None = None,
        default_store: str | None = None,
        coordinator_namespace: str = "coordinator",
        settings: TransactionSettings | None = None,
    ) -> None:
        only = next(iter(stores)) if len(stores) == 1 else None
        self.settings = settings or TransactionSettings()
        self.stores = dict(stores)
        place = home or default_store or only
        for name in (place, *(namespaces or {}).values(), *((default_store,) if default_store else ())):
            if name not in stores:
                raise InvalidOperationError("transaction.unrouted", f"there is no store {name!r}")
        assert place is not None, "checked just now"
        can = {name: store.capabilities for name, store in stores.items()}
        self.world = World(
            catalogue=Catalogue(can, dict(namespaces or {}), default_store or only),
            coordinator=Coordinator(coordinator_namespace, place, can),
            settings=self.settings,
            counters=Counters(),
        )
        self.hot = HotRecords()
        self.pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="transactions")
        self.services_pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="services")
        """For participants of two-phase commit transactions, whose steps wait for storage calls of the other pool."""

        self.driver = ThreadDriver(stores, self.hot, self.pool)
        self._sweeping: BackgroundSweeping | None = None

    # ------------------------------------------------------------ transactions

    def core(
        self, isolation: Isolation | None, read_only: bool, insists: bool = False, expects: Iterable[Record] = ()
    ) -> TransactionCore:
        """A transaction's pure machine, for a driver."""
        new_id = transaction_id(time.time_ns() // 1_000_000, secrets.token_bytes(RANDOM_BYTES))
        level = isolation or self.settings.isolation
        return TransactionCore(
            self.world, new_id, level, read_only=read_only, insists=insists, hot=self.hot, expects=expects
        )

    def begin(self, isolation: Isolation | None = None, *, read_only: bool = False) -> Transaction:
        """Begin a transaction; nothing is asked of any store."""
        return Transaction(self.core(isolation, read_only), self.driver, self.hot)

    def run(
        self,
        function: Callable[[Transaction], T],
        *,
        attempts: int | None = None,
        isolation: Isolation | None = None,
        read_only: bool = False,
    ) -> T:
        """Run a function in a transaction and commit it; after a conflict, again from its beginning.

        The function may run several times, so it must do nothing but read and write through the transaction.

        Raises:
            TransactionContendedError: every attempt met a conflict.
            CountersignError: any other error; the function's own errors, too, roll back and come out.
        """
        bound = attempts or self.settings.attempts
        attempt = 1
        expects: Iterable[Record] = ()
        while True:
            core = self.core(isolation, read_only, insists=attempt > PATIENT_ATTEMPTS, expects=expects)
            transaction = Transaction(core, self.driver, self.hot)
            try:
                with transaction:
                    result = function(transaction)
                    if not transaction.core.ended:
                        transaction.commit()
                return result
            except TransactionConflictError as error:
                self.hot.heat(error.records)
                expects = core.work.seen
                if attempt >= bound:
                    raise TransactionContendedError(f"{attempt} attempts", error.records) from error
            time.sleep(wait_ms(self.settings, attempt, bound, random.random()) / 1000)
            attempt += 1

    def resolve(self, transaction: str, *, settle: bool = True) -> Outcome:
        """How a transaction with this id ended; one that is not decided is aborted, unless `settle` is False.

        A transaction that only read, or was rolled back, leaves no trace and counts as aborted.

        Raises:
            TransactionTooOldError: it is older than the coordinator remembers.
        """
        if settle:
            state = self.driver.run(self.world.coordinator.resolve(transaction, time.time_ns() // 1_000_000))
            return Outcome.COMMITTED if state == COMMITTED else Outcome.ABORTED
        seen = self.driver.run(self.world.coordinator.peek(transaction))
        if seen is None:
            return Outcome.UNDECIDED
        return Outcome.COMMITTED if seen == COMMITTED else Outcome.ABORTED

    def sweep(self, *, tables: bool = True) -> Swept:
        """Finish what crashed clients left, and collect old rows of the coordinator; to be called now and then.

        Args:
            tables: also look through every table for records of clients that died before they decided.

        Raises:
            CountersignError: a store cannot be reached; what could be done is done.
        """
        swept, failures = Swept(0, 0, 0), []
        try:
            swept = self.driver.run(Sweeper(self.world).sweep())
        except CountersignError as error:
            failures.append(error)
        for name in self.stores if tables else ():
            try:
                found = self.driver.run(TableSweeper(self.world).sweep(self._transactional_tables(name)))
            except CountersignError as error:
                failures.append(error)
            else:
                swept = swept._replace(settled=swept.settled + found, abandoned=swept.abandoned + found)
        if failures:
            raise failures[0]
        return swept

    def start_sweeping(self, every_s: float) -> None:
        """Sweep in a thread, every so many seconds on average, until `close`; several processes may do so.

        Raises:
            TransactionMisuseError: it does already.
        """
        if self._sweeping is not None:
            raise TransactionMisuseError("transaction.phase", "this manager is sweeping already")
        self._sweeping = BackgroundSweeping(self.sweep, every_s)

    def _transactional_tables(self, name: str) -> list[TableName]:
        """The tables of a store that transactions may have left something in; raises as the store does."""
        store, catalogue = self.stores[name], self.world.catalogue
        routed = [table for table in store.tables() if catalogue.is_routed(table.namespace, name)]
        return [table for table in routed if is_transactional(store.schema(table))]

    # ------------------------------------------------------------ tables

    def create_coordinator(self) -> None:
        """Create the coordinator's tables, or complete them; to be done once."""
        coordinator = self.world.coordinator
        for place in coordinator.places:
            store = self.stores[place]
            if coordinator.table not in store.tables():
                store.create_table(state_table(coordinator.table.namespace))
            for horizon in coordinator.horizons():
                try:
                    store.apply((horizon,))
                except ConditionFailedError:
                    continue  # it is there

    def create_table(self, schema: TableSchema) -> None:
        """Create a transactional table, from the schema as users know it."""
        self.stores[self.world.catalogue.store_of(schema.name.namespace)].create_table(transactional(schema))

    def import_table(self, table: TableName) -> None:
        """Make an existing table transactional; its rows count as committed."""
        store = self.stores[self.world.catalogue.store_of(table.namespace)]
        for alteration in importing(store.schema(table)):
            store.alter_table(table, alteration)
        self.world.catalogue.forget()

    # ------------------------------------------------------------ figures

    def metrics(self) -> dict[str, float]:
        """What happened since the manager was made."""
        counters = self.world.counters
        ended = counters.committed + counters.aborted
        return {
            "committed": counters.committed,
            "aborted": counters.aborted,
            "conflicts": counters.conflicts,
            "one_phase": counters.one_phase,
            "recovered_forward": counters.recovered_forward,
            "recovered_back": counters.recovered_back,
            "expired": counters.expired,
            "frozen": counters.frozen,
            "sweeps": self._sweeping.rounds if self._sweeping else 0,
            "sweeps_failed": self._sweeping.failed if self._sweeping else 0,
            "storage_calls": self.driver.storage_calls,
            "storage_calls_per_transaction": self.driver.storage_calls / ended if ended else 0.0,
        }

    def close(self) -> None:
        """End the manager's threads; waits for a round of the sweeper that is under way."""
        if self._sweeping is not None:
            self._sweeping.stop()
            self._sweeping = None
        self.services_pool.shutdown()
        self.pool.shutdown()


__all__ = ["Isolation", "Outcome", "Transaction", "TransactionManager"]
