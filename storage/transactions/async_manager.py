"""The asyncio twin of `storage.transactions.transaction_manager`: the same core, awaited."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from storage.model.data_types import Value
from storage.model.operations import AnyScan, GetByIndex, Key, Row
from storage.model.predicates import Predicate
from storage.model.schema import TableName
from storage.tables.awaited import OffersAwaited
from storage.transactions.backoff import wait_ms
from storage.transactions.errors import TransactionConflictError, TransactionContendedError
from storage.transactions.hot_records import HotRecords
from storage.transactions.layout import COMMITTED, Record
from storage.transactions.settings import Isolation
from storage.transactions.sweeper import Swept
from storage.transactions.tasks import TaskDriver
from storage.transactions.transaction import TransactionCore
from storage.transactions.transaction_manager import PATIENT_ATTEMPTS, Outcome, TransactionManager

T = TypeVar("T")


class AsyncTransaction:
    """One transaction, for one task; an `async with` block rolls it back unless it was committed.

    Each method is that of `storage.transactions.transaction.TransactionCore`.
    """

    def __init__(self, core: TransactionCore, driver: TaskDriver, hot: HotRecords) -> None:
        self.core = core
        self._run = driver.run
        self._hot = hot

    @property
    def id(self) -> str:
        """What `resolve` wants."""
        return self.core.transaction_id

    async def get(
        self, table: TableName | str, key: Key, projection: tuple[str, ...] = ()
    ) -> dict[str, Value | None] | None:
        """The record with this key; None: there is none."""
        return await self._run(self.core.get(table, key, projection))

    async def get_many(
        self, records: Sequence[tuple[TableName | str, Key]], projection: tuple[str, ...] = ()
    ) -> list[dict[str, Value | None] | None]:
        """Records by key, in one trip to each store."""
        return await self._run(self.core.get_many(records, projection))

    async def get_by_index(self, get: GetByIndex) -> dict[str, Value | None] | None:
        """The one record with this indexed value."""
        return await self._run(self.core.get_by_index(get))

    async def scan(self, scan: AnyScan) -> list[dict[str, Value | None]]:
        """The rows of a scan, own writes among them."""
        return await self._run(self.core.scan(scan))

    async def insert(self, table: TableName | str, key: Key, values: Row) -> None:
        """Plan a new record."""
        await self._run(self.core.insert(table, key, values))

    async def upsert(self, table: TableName | str, key: Key, values: Row) -> None:
        """Plan to change a record, or to make it."""
        await self._run(self.core.upsert(table, key, values))

    async def update(self, table: TableName | str, key: Key, values: Row, where: Predicate | None = None) -> bool:
        """Plan to change a record; return whether there is one."""
        return await self._run(self.core.update(table, key, values, where))

    async def delete(self, table: TableName | str, key: Key, where: Predicate | None = None) -> None:
        """Plan to delete a record."""
        await self._run(self.core.delete(table, key, where))

    async def commit(self) -> None:
        """Make all writes durable and visible at once, or none of them."""
        try:
            await self._run(self.core.commit())
        except TransactionConflictError as error:
            self._hot.heat(error.records)
            raise
        finally:
            self._hot.leave(self.core.transaction_id)

    async def rollback(self) -> None:
        """Give up; nothing was written."""
        try:
            await self._run(self.core.rollback())
        finally:
            self._hot.leave(self.core.transaction_id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.core.ended:
            await self.rollback()


class AsyncTransactionManager:
    """Transactions for the coroutines of one event loop at a time, over a manager's stores and coordinator.

    A manager may have several: event loops that run at once need one each.

    Args:
        manager: whose stores, settings and figures are used; it may serve threads as well.
    """

    def __init__(self, manager: TransactionManager) -> None:
        self._manager = manager
        offers = {name: store.awaited() for name, store in manager.stores.items() if isinstance(store, OffersAwaited)}
        self._awaited = {name: awaited for name, awaited in offers.items() if awaited is not None}
        self._driver = TaskDriver(manager.driver, manager.hot, manager.pool, self._awaited)

    def begin(self, isolation: Isolation | None = None, *, read_only: bool = False) -> AsyncTransaction:
        """Begin a transaction; nothing is asked of any store."""
        return AsyncTransaction(self._manager.core(isolation, read_only), self._driver, self._manager.hot)

    async def run(
        self,
        function: Callable[[AsyncTransaction], Awaitable[T]],
        *,
        attempts: int | None = None,
        isolation: Isolation | None = None,
        read_only: bool = False,
    ) -> T:
        """Run a coroutine function in a transaction and commit it; after a conflict, again from its beginning.

        Raises:
            TransactionContendedError: every attempt met a conflict.
            CountersignError: any other error; the function's own errors, too, roll back and come out.
        """
        settings = self._manager.settings
        bound = attempts or settings.attempts
        attempt = 1
        expects: Iterable[Record] = ()
        while True:
            core = self._manager.core(isolation, read_only, insists=attempt > PATIENT_ATTEMPTS, expects=expects)
            transaction = AsyncTransaction(core, self._driver, self._manager.hot)
            try:
                async with transaction:
                    result = await function(transaction)
                    if not transaction.core.ended:
                        await transaction.commit()
                return result
            except TransactionConflictError as error:
                self._manager.hot.heat(error.records)
                expects = core.work.seen
                if attempt >= bound:
                    raise TransactionContendedError(f"{attempt} attempts", error.records) from error
            await asyncio.sleep(wait_ms(settings, attempt, bound, random.random()) / 1000)
            attempt += 1

    async def resolve(self, transaction: str) -> Outcome:
        """How a transaction with this id ended; one that is not decided is aborted."""
        state = await self._driver.run(
            self._manager.world.coordinator.resolve(transaction, time.time_ns() // 1_000_000)
        )
        return Outcome.COMMITTED if state == COMMITTED else Outcome.ABORTED

    def close(self) -> None:
        """Give back the connections of its own; the manager and its stores stay open."""
        for awaited in self._awaited.values():
            awaited.close()

    async def sweep(self) -> Swept:
        """As `TransactionManager.sweep`, in a thread; `TransactionManager.start_sweeping` is for both."""
        return await asyncio.to_thread(self._manager.sweep)
