"""Drives the core in threads: effects are performed by the calling thread, parts of an `All` by a pool beside it."""

import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import Any

from protocol.errors import CountersignError
from storage.tables.port import Atomicity, TableStore
from storage.transactions.effects import (
    All,
    Apply,
    Chance,
    Clock,
    Describe,
    Effect,
    Open,
    Pull,
    Queue,
    Read,
    Steps,
    T,
    Wait,
)
from storage.transactions.group_decisions import GroupDecisions
from storage.transactions.hot_records import HotRecords

QUEUE_WAIT_S = 1.0
"""How long a line before a hot record stands still before the first who waits pushes in."""

_POOL_THREADS = 32


class ThreadDriver:
    """Performs effects on real stores.

    Args:
        stores: by name.
        hot: where transactions of this process queue.
        pool: for what can be done at once.

    Attributes:
        storage_calls: how many were made.
    """

    def __init__(
        self, stores: Mapping[str, TableStore], hot: HotRecords, pool: ThreadPoolExecutor | None = None
    ) -> None:
        self.storage_calls = 0
        self._stores = stores
        self._hot = hot
        self._pool = pool or ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="transactions")
        self._groups = {
            name: GroupDecisions(store.apply)
            for name, store in stores.items()
            if store.capabilities.atomicity is Atomicity.STORE and store.capabilities.batch_mutations_max is None
        }
        self._perform: dict[type, Callable[[Any], Any]] = {
            Read: self._read,
            Apply: self._apply,
            Clock: lambda _: time.time_ns() // 1_000_000,
            All: self._all,
            Pull: self._pull,
            Open: lambda effect: self._stores[effect.store].scan(effect.scan),
            Wait: lambda effect: time.sleep(effect.wait_ms / 1000),
            Chance: lambda _: random.random(),
            Describe: lambda effect: self._stores[effect.store].schema(effect.table),
            Queue: self._queue,
        }

    def run(self, steps: Steps[T]) -> T:
        """Run a part of the core to its end."""
        perform = self._perform
        try:
            effect = next(steps)
            while True:
                try:
                    answer = perform[type(effect)](effect)
                except CountersignError as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def perform(self, effect: Effect) -> Any:
        """Perform one effect; raises what it meets."""
        return self._perform[type(effect)](effect)

    def close(self) -> None:
        """End the pool's threads; stores are closed by whoever opened them."""
        self._pool.shutdown()

    def _read(self, effect: Read) -> Any:
        self.storage_calls += 1
        gets = effect.gets
        store = self._stores[effect.store]
        return [store.get(gets[0])] if len(gets) == 1 else store.get_many(gets)

    def _pull(self, effect: Pull) -> Any:
        self.storage_calls += 1
        return list(islice(effect.rows, effect.size))

    def _apply(self, effect: Apply) -> None:
        self.storage_calls += 1
        group = self._groups.get(effect.store) if effect.decision else None
        if group is None:
            self._stores[effect.store].apply(effect.batch)
        else:
            group.apply(effect.batch)

    def _all(self, effect: All) -> list[Any]:
        """Every part, the last one by this thread; all are waited for."""
        *others, own = effect.parts
        futures: list[Future[Any]] = [self._pool.submit(self._answer, part) for part in others]
        answer = self._answer(own)
        return [*(future.result() for future in futures), answer]

    def _answer(self, part: Read | Apply) -> Any:
        try:
            return self._perform[type(part)](part)
        except CountersignError as error:
            return error

    def _queue(self, effect: Queue) -> None:
        turn = Event()
        record = (effect.table, effect.key)
        if self._hot.enter(effect.transaction_id, record, turn.set):
            return
        while not turn.wait(QUEUE_WAIT_S):
            if self._hot.push_in(effect.transaction_id, record):
                return
