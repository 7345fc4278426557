"""The same work, written by hand against each store's own transactions: what the manager is compared with.

Each twin does what a careful programmer would do for this store alone. It locks what it writes, in order of the
records' numbers, so that there are no deadlocks and no retries; and it is as durable as the manager.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import psycopg
import redis

from deploy.measuring.transactions.managed import Counts
from deploy.measuring.transactions.places import Addresses, MeasuredStore
from deploy.measuring.transactions.running import Work
from deploy.measuring.transactions.workloads import Action, Task, Workload, first_value
from storage.sqlite_connection import open_database, transaction

_TOGETHER = 10_000
_READERS = (Action.READ, Action.MODIFY, Action.ADD)

_VALKEY_TASK = """
local read = {}
for place = 1, #KEYS do
    if ARGV[2 * place - 1] ~= 'write' then read[place] = redis.call('HGET', KEYS[place], 'value') end
end
for place = 1, #KEYS do
    local action, value = ARGV[2 * place - 1], ARGV[2 * place]
    if action == 'add' then redis.call('HINCRBY', KEYS[place], 'value', value)
    elseif action ~= 'read' then redis.call('HSET', KEYS[place], 'value', value) end
end
return read
"""


class ByHand(Protocol):
    """A store with records of its own, and what does tasks on them.

    Attributes:
        is_atomic: whether a crash in the middle of a task leaves all of it, or nothing.
    """

    is_atomic: bool

    def fill(self, workload: Workload, records: int) -> None:
        """Make the records."""
        ...

    def work(self) -> Work:
        """What does the tasks of one thread; called by that thread."""
        ...

    def counts(self) -> Counts:
        """Nothing beside the tasks."""
        ...

    def total(self) -> int:
        """The sum of all balances."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class _Plain:
    """Tasks that are done at the first attempt."""

    def counts(self) -> Counts:
        """Nothing beside the tasks."""
        return Counts()


class MemoryByHand(_Plain):
    """A dictionary and a lock."""

    is_atomic = True

    def __init__(self) -> None:
        self._values: dict[int, int | str] = {}
        self._lock = Lock()

    def fill(self, workload: Workload, records: int) -> None:
        """Make the records."""
        self._values = {number: first_value(workload, number) for number in range(records)}

    def work(self) -> Work:
        """Tasks, one at a time."""
        values, lock = self._values, self._lock

        def do(task: Task) -> None:
            with lock:
                read = {number: values[number] for action, number, _ in task if action in _READERS}
                for action, number, value in task:
                    if action is not Action.READ:
                        values[number] = _written(action, read.get(number), value)

        return do

    def total(self) -> int:
        """The sum of all balances."""
        return sum(int(value) for value in self._values.values())

    def close(self) -> None:
        """There is nothing to give back."""


class SqliteByHand(_Plain):
    """A file of its own, with the settings of our adapter; threads write one after the other, as SQLite wants it."""

    is_atomic = True

    def __init__(self, file: Path) -> None:
        self._file = file
        self._closing = ExitStack()
        self._connection = self._connect()
        self._lock = Lock()

    def fill(self, workload: Workload, records: int) -> None:
        """Make the records."""
        kind = "INTEGER" if workload is Workload.TRANSFER else "TEXT"
        self._connection.execute(f"CREATE TABLE records (id INTEGER PRIMARY KEY, value {kind} NOT NULL) STRICT")
        with transaction(self._connection, "IMMEDIATE"):
            rows = ((number, first_value(workload, number)) for number in range(records))
            self._connection.executemany("INSERT INTO records VALUES (?, ?)", rows)

    def work(self) -> Work:
        """A connection for the thread."""
        connection, lock = self._connect(), self._lock

        def run(task: Task, how: str) -> None:
            with transaction(connection, how):
                read = {}
                for action, number, _ in task:
                    if action in _READERS:
                        found = connection.execute("SELECT value FROM records WHERE id = ?", (number,))
                        read[number] = found.fetchone()[0]
                for action, number, value in task:
                    if action is not Action.READ:
                        row = (_written(action, read.get(number), value), number)
                        connection.execute("UPDATE records SET value = ? WHERE id = ?", row)

        def do(task: Task) -> None:
            if all(access.action is Action.READ for access in task):
                run(task, "DEFERRED")
                return
            with lock:
                run(task, "IMMEDIATE")

        return do

    def total(self) -> int:
        """The sum of all balances."""
        return int(self._connection.execute("SELECT sum(value) FROM records").fetchone()[0])

    def close(self) -> None:
        """Close every connection."""
        self._closing.close()

    def _connect(self) -> sqlite3.Connection:
        connection = open_database(self._file)
        self._closing.callback(connection.close)
        return connection


class PostgresqlByHand(_Plain):
    """A table of its own; a task locks the rows that it writes, at read committed."""

    is_atomic = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._closing = ExitStack()
        self._connection = self._connect()

    def fill(self, workload: Workload, records: int) -> None:
        """Make the records."""
        kind = "bigint" if workload is Workload.TRANSFER else "text"
        self._connection.execute(f"CREATE TABLE by_hand (id bigint PRIMARY KEY, value {kind} NOT NULL)")
        with self._connection.cursor() as cursor, cursor.copy("COPY by_hand FROM STDIN") as copy:
            for number in range(records):
                copy.write_row((number, first_value(workload, number)))
        self._connection.execute("ANALYZE by_hand")

    def work(self) -> Work:
        """A connection for the thread."""
        opened = self.opened()

        def do(task: Task) -> None:
            with opened(task):
                pass

        return do

    def opened(self) -> Callable[[Task], AbstractContextManager[None]]:
        """What does tasks in blocks, and commits at the end of the block."""
        connection = self._connect()

        @contextmanager
        def run(task: Task) -> Iterator[None]:
            with connection.transaction():
                read = {}
                for action, number, _ in sorted(task, key=lambda access: access.number):
                    if action in _READERS:
                        lock = "" if action is Action.READ else " FOR UPDATE"
                        found = connection.execute(f"SELECT value FROM by_hand WHERE id = %s{lock}", (number,))
                        (read[number],) = found.fetchone() or (None,)
                for action, number, value in sorted(task, key=lambda access: access.number):
                    if action is not Action.READ:
                        row = (_written(action, read.get(number), value), number)
                        connection.execute("UPDATE by_hand SET value = %s WHERE id = %s", row)
                yield

        return run

    def total(self) -> int:
        """The sum of all balances."""
        row = self._connection.execute("SELECT sum(value)::bigint FROM by_hand").fetchone()
        return int(row[0] or 0) if row else 0

    def close(self) -> None:
        """Close every connection."""
        self._closing.close()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        connection = psycopg.connect(self._url, autocommit=True)
        self._closing.callback(connection.close)
        return connection


class ValkeyByHand(_Plain):
    """A hash for each record; a task is one script, which the server runs alone."""

    is_atomic = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._closing = ExitStack()
        self._client = self._connect()
        self._records = 0

    def fill(self, workload: Workload, records: int) -> None:
        """Make the records."""
        self._records = records
        for first in range(0, records, _TOGETHER):
            pipeline = self._client.pipeline(transaction=False)
            for number in range(first, min(records, first + _TOGETHER)):
                pipeline.hset(_name(number), "value", str(first_value(workload, number)))
            pipeline.execute()

    def work(self) -> Work:
        """A connection for the thread."""
        script = self._connect().register_script(_VALKEY_TASK)

        def do(task: Task) -> None:
            if task:
                keys = [_name(number) for _, number, _ in task]
                script(keys, [argument for action, _, value in task for argument in (action.value, value)])

        return do

    def total(self) -> int:
        """The sum of all balances."""
        total = 0
        for first in range(0, self._records, _TOGETHER):
            pipeline = self._client.pipeline(transaction=False)
            for number in range(first, min(self._records, first + _TOGETHER)):
                pipeline.hget(_name(number), "value")
            total += sum(int(value) for value in pipeline.execute())
        return total

    def close(self) -> None:
        """Close every connection."""
        self._closing.close()

    def _connect(self) -> redis.Redis:
        client = redis.Redis.from_url(self._url, single_connection_client=True)
        self._closing.callback(client.close)
        return client


class BothByHand(_Plain):
    """PostgreSQL for even records and Valkey for odd ones, written one after the other: a crash tears a task in two."""

    is_atomic = False

    def __init__(self, postgresql: PostgresqlByHand, valkey: ValkeyByHand) -> None:
        self._postgresql, self._valkey = postgresql, valkey

    def fill(self, workload: Workload, records: int) -> None:
        """Make every record in both: each task uses it in one of them."""
        self._postgresql.fill(workload, records)
        self._valkey.fill(workload, records)

    def work(self) -> Work:
        """Connections for the thread."""
        opened, do_odd = self._postgresql.opened(), self._valkey.work()

        def do(task: Task) -> None:
            even = tuple(access for access in task if access.number % 2 == 0)
            odd = tuple(access for access in task if access.number % 2)
            if not even:
                do_odd(odd)
                return
            with opened(even):  # the other store is written before this one commits
                do_odd(odd)

        return do

    def total(self) -> int:
        """The mean of what both hold: what one lost the other got."""
        return (self._postgresql.total() + self._valkey.total()) // 2

    def close(self) -> None:
        """Close both."""
        self._postgresql.close()
        self._valkey.close()


def by_hand(store: MeasuredStore, addresses: Addresses, directory: Path) -> ByHand:
    """The twin for a store, beside the manager's tables where that is a server."""
    match store:
        case MeasuredStore.MEMORY:
            return MemoryByHand()
        case MeasuredStore.SQLITE:
            return SqliteByHand(directory / "by_hand.db")
        case MeasuredStore.POSTGRESQL:
            return PostgresqlByHand(addresses[store])
        case MeasuredStore.VALKEY:
            return ValkeyByHand(addresses[store])
        case MeasuredStore.BOTH:
            parts = (addresses[MeasuredStore.POSTGRESQL], addresses[MeasuredStore.VALKEY])
            return BothByHand(PostgresqlByHand(parts[0]), ValkeyByHand(parts[1]))


def _name(number: int) -> str:
    return f"by_hand:{number}"


def _written(action: Action, read: int | str | None, value: int | str) -> int | str:
    """What a record gets."""
    return int(read or 0) + int(value) if action is Action.ADD else value
