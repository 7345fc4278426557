"""The stores of a simulated world: tables in memory, away at times, with a record of every change of a row."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from storage.model.operations import Get, Key, Row
from storage.model.schema import TableName
from storage.tables.memory_tables import MemoryTables
from storage.transactions.effects import Apply, Pull, Read, StorageCall


class Change(NamedTuple):
    """A row became another.

    Attributes:
        by: who asked for it.
        before, after: the whole row with its hidden columns; None where there is none.
    """

    by: str
    table: TableName
    key: Key
    before: Row | None
    after: Row | None


class Stores:
    """Every store by its name.

    Attributes:
        away: names of those that do not answer.
        changes: every change of a row, in order.
        calls: how many calls were done.
    """

    def __init__(self, stores: Mapping[str, MemoryTables]) -> None:
        self.stores = stores
        self.away: set[str] = set()
        self.changes: list[Change] = []
        self.calls = 0

    def perform(self, call: StorageCall, by: str) -> Any:
        """Do one call, now, and return its answer.

        Raises:
            CountersignError: as of `storage.tables.port`.
        """
        self.calls += 1
        store = self.stores[call.store]
        match call:
            case Read(gets=gets):
                return store.get_many(gets)
            case Pull(rows=rows, size=size):
                return list(islice(rows, size))
            case Apply(batch=batch):
                wanted = [Get(table=mutation.table, key=mutation.key) for mutation in batch]
                before = [store.get(get) for get in wanted]
                store.apply(batch)
                for get, was in zip(wanted, before, strict=True):
                    now = store.get(get)
                    if now != was:
                        self.changes.append(Change(by, get.table, get.key, was, now))
                return None
