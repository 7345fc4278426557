"""A bank of a few accounts on one store, and threads that move money in it by transactions."""

import threading
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from protocol.errors import CountersignError
from storage.model.data_types import DataType
from storage.model.operations import Key
from storage.model.schema import TableName, TableSchema
from storage.transactions.transaction_manager import Transaction, TransactionManager
from tests.valkey_cluster import await_that

THREADS = 4
ACCOUNTS = 24
OPENING = 1_000
TABLE = TableName("bank", "accounts")


def transfer(transaction: Transaction, source: int, target: int) -> None:
    """One unit of money goes from one account to another."""
    rows = transaction.get_many([(TABLE, Key((source,))), (TABLE, Key((target,)))])
    for number, row, change in zip((source, target), rows, (-1, 1), strict=True):
        assert row is not None
        balance = row["balance"]
        assert isinstance(balance, int)
        transaction.update(TABLE, Key((number,)), {"balance": balance + change})


def open_bank(manager: TransactionManager) -> None:
    """Make the accounts."""
    manager.create_coordinator()
    columns = {"id": DataType.INT, "balance": DataType.BIGINT}
    manager.create_table(TableSchema(name=TABLE, columns=columns, partition_key=("id",)))

    def fill(transaction: Transaction) -> None:
        for number in range(ACCOUNTS):
            transaction.insert(TABLE, Key((number,)), {"balance": OPENING})

    manager.run(fill)


def balances(manager: TransactionManager) -> list[int]:
    """Of all accounts, at one moment."""
    keys = [(TABLE, Key((number,))) for number in range(ACCOUNTS)]
    rows = manager.run(lambda transaction: transaction.get_many(keys))
    return [row["balance"] for row in rows]  # type: ignore[misc, index]


class Transfers:
    """Threads that move money until they are told to end.

    Args:
        tolerated: codes of errors after which a thread goes on with its next transfer.

    Attributes:
        done: how many were acknowledged.
        failed: how many ended with each of these codes.
    """

    def __init__(self, manager: TransactionManager, tolerated: Collection[str] = ()) -> None:
        self.done = 0
        self.failed: Counter[str] = Counter()
        self._manager = manager
        self._tolerated = tolerated
        self._open = threading.Event()
        self._open.set()
        self._counting = threading.Lock()
        self._idle = threading.Semaphore(0)
        self._end = threading.Event()
        self._pool = ThreadPoolExecutor(THREADS)
        self._threads = [self._pool.submit(self._work, number) for number in range(THREADS)]

    def await_more(self, count: int) -> None:
        """Wait until so many more were acknowledged; raises what a thread met."""
        goal = self.done + count
        await_that(lambda: self.done >= goal or any(thread.done() for thread in self._threads))
        for thread in self._threads:
            if thread.done():
                thread.result()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Meanwhile no transfer is under way."""
        self._open.clear()
        for _ in self._threads:
            assert self._idle.acquire(timeout=60)
        yield
        self._open.set()

    def finish(self) -> int:
        """End; raises what any of them met."""
        self._end.set()
        self._pool.shutdown()
        return sum(thread.result() for thread in self._threads)

    def _work(self, number: int) -> int:
        moved = 0
        while not self._end.is_set():
            if not self._open.is_set():
                self._idle.release()
                assert self._open.wait(60)
            source = (number * 7 + moved) % ACCOUNTS
            target = (source + 1 + moved % (ACCOUNTS - 1)) % ACCOUNTS
            try:
                self._manager.run(partial(transfer, source=source, target=target))
            except CountersignError as error:
                if error.code not in self._tolerated:
                    raise
                with self._counting:
                    self.failed[error.code] += 1
                continue
            moved += 1
            with self._counting:
                self.done += 1
        return moved
