"""The same work through the transaction manager."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from deploy.measuring.transactions.places import KINDS, Addresses, MeasuredStore
from deploy.measuring.transactions.running import Work
from deploy.measuring.transactions.running_tasks import TaskWork
from deploy.measuring.transactions.workloads import Action, Task, Workload, first_value
from storage.model.data_types import DataType
from storage.model.operations import Key, Row, ScanAll
from storage.model.schema import TableName, TableSchema
from storage.tables.port import TableStore
from storage.tables.registry import open_table_store
from storage.transactions.async_manager import AsyncTransaction, AsyncTransactionManager
from storage.transactions.settings import Isolation, TransactionSettings
from storage.transactions.transaction_manager import Transaction, TransactionManager

_TOGETHER = 500
_OPENERS = 4
_VALUE = "value"


class Counts(NamedTuple):
    """What happened beside the tasks that were done: conflicts, attempts, storage calls."""

    conflicts: int = 0
    attempts: int = 0
    storage_calls: int = 0

    def since(self, before: "Counts") -> "Counts":
        """What happened since."""
        return Counts(*(now - then for now, then in zip(self, before, strict=True)))


@dataclass(slots=True)
class Managed:
    """A manager over the stores, with the records.

    Attributes:
        tables: of each part; record n is in the one of n's remainder.
        attempts: how often a transaction was begun by `work`.
    """

    manager: TransactionManager
    tables: tuple[TableName, ...]
    attempts: int = 0

    def fill(self, workload: Workload, records: int) -> Iterator[int]:
        """Make the records, many in a transaction; tell how many more there are.

        Raises:
            CountersignError: a store could not.
        """
        kind = DataType.BIGINT if workload is Workload.TRANSFER else DataType.TEXT
        columns = {"id": DataType.BIGINT, _VALUE: kind}
        for table in self.tables:
            self.manager.create_table(TableSchema(name=table, columns=columns, partition_key=("id",)))
        parts = len(self.tables)

        def insert(numbers: range) -> int:
            def together(transaction: Transaction) -> None:
                for number in numbers:
                    key = Key((number,))
                    transaction.insert(self.tables[number % parts], key, {_VALUE: first_value(workload, number)})

            self.manager.run(together)
            return len(numbers)

        with ThreadPoolExecutor(_OPENERS) as pool:
            filled: list[Future[int]] = []
            for part in range(parts):
                own = range(part, records, parts)
                filled += [pool.submit(insert, own[at : at + _TOGETHER]) for at in range(0, len(own), _TOGETHER)]
            for future in filled:
                yield future.result()

    def work(self) -> Work:
        """What does the tasks of one thread."""
        run, tables, parts = self.manager.run, self.tables, len(self.tables)

        def do(task: Task) -> None:
            def in_transaction(transaction: Transaction) -> None:
                self.attempts += 1
                perform(transaction, task, tables, parts)

            run(in_transaction)

        return do

    @contextmanager
    def opened_task_work(self) -> Iterator[TaskWork]:
        """What does the tasks of all coroutines of the running event loop."""
        twin, tables, parts = AsyncTransactionManager(self.manager), self.tables, len(self.tables)

        async def do(task: Task) -> None:
            async def in_transaction(transaction: AsyncTransaction) -> None:
                self.attempts += 1
                await perform_awaited(transaction, task, tables, parts)

            await twin.run(in_transaction)

        try:
            yield do
        finally:
            twin.close()

    def counts(self) -> Counts:
        """What happened so far."""
        metrics = self.manager.metrics()
        return Counts(int(metrics["conflicts"]), self.attempts, int(metrics["storage_calls"]))

    def total(self) -> int:
        """The sum of all balances, read in one transaction."""

        def read(transaction: Transaction) -> int:
            return sum(
                int(str(row[_VALUE]))
                for table in self.tables
                for row in transaction.scan(ScanAll(table=table, projection=(_VALUE,)))
            )

        return self.manager.run(read, isolation=Isolation.READ_COMMITTED, read_only=True)


def perform(transaction: Transaction, task: Task, tables: tuple[TableName, ...], parts: int) -> None:
    """Do a task: all reads, then all writes."""
    read = {}
    for action, number, _ in task:
        if action is not Action.WRITE:
            read[number] = transaction.get(tables[number % parts], Key((number,)))
    for is_upsert, number, values in _writes(task, read):
        write = transaction.upsert if is_upsert else transaction.update
        write(tables[number % parts], Key((number,)), values)


async def perform_awaited(transaction: AsyncTransaction, task: Task, tables: tuple[TableName, ...], parts: int) -> None:
    """As `perform`, awaited."""
    read = {}
    for action, number, _ in task:
        if action is not Action.WRITE:
            read[number] = await transaction.get(tables[number % parts], Key((number,)))
    for is_upsert, number, values in _writes(task, read):
        write = transaction.upsert if is_upsert else transaction.update
        await write(tables[number % parts], Key((number,)), values)


def _writes(task: Task, read: Mapping[int, Row | None]) -> Iterator[tuple[bool, int, Row]]:
    """The writes of a task that has read: whether the record may be a new one, its number, its values."""
    for action, number, value in task:
        match action:
            case Action.WRITE:
                yield True, number, {_VALUE: value}
            case Action.MODIFY:
                yield False, number, {_VALUE: value}
            case Action.ADD:
                row = read[number]
                assert row is not None, "every record is there"
                yield False, number, {_VALUE: int(str(row[_VALUE])) + int(value)}


@contextmanager
def opened_manager(
    store: MeasuredStore, addresses: Addresses, *, isolation: Isolation, two_phase: bool
) -> Iterator[Managed]:
    """A manager over the stores that run, with its coordinator; closed at the end of the block."""
    stores: dict[str, TableStore] = {}
    try:
        for part in store.parts:
            kind, setting = KINDS.get(part, ("memory", ""))
            stores[part.value] = open_table_store(kind, {setting: addresses[part]} if setting else {})
        manager = TransactionManager(
            stores,
            home=store.parts[0].value,
            namespaces={f"bench_{number}": part.value for number, part in enumerate(store.parts)},
            default_store=store.parts[0].value,
            settings=TransactionSettings(isolation=isolation, one_phase=not two_phase),
        )
        try:
            manager.create_coordinator()
            yield Managed(manager, tuple(TableName(f"bench_{number}", "records") for number in range(len(stores))))
        finally:
            manager.close()
    finally:
        for opened in stores.values():
            opened.close()
