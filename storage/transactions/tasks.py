"""Drives the core in asyncio: waits and queues are the event loop's; so are the calls of stores that can be awaited.

Those of other stores are made by threads of a pool.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from protocol.errors import CountersignError
from storage.tables.awaited import AwaitedTables
from storage.transactions.effects import (
    All,
    Apply,
    Describe,
    Effect,
    Pull,
    Queue,
    Read,
    Steps,
    StorageCall,
    T,
    Wait,
)
from storage.transactions.hot_records import HotRecords
from storage.transactions.threads import QUEUE_WAIT_S


class Performer(Protocol):
    """What performs effects, in the thread that asks; `storage.transactions.threads.ThreadDriver` is one."""

    storage_calls: int

    def perform(self, effect: Effect) -> Any:
        """Perform one effect; raises what it meets."""
        ...


class TaskDriver:
    """Performs effects for coroutines of one event loop.

    Args:
        threads: makes storage calls in threads of the pool, and says what time it is.
        hot: where transactions of this process queue.
        pool: the threads that make them.
        awaited: stores, by name, that need no thread.
    """

    def __init__(
        self,
        threads: Performer,
        hot: HotRecords,
        pool: Executor,
        awaited: Mapping[str, AwaitedTables] | None = None,
    ) -> None:
        self._threads = threads
        self._hot = hot
        self._pool = pool
        self._awaited = awaited or {}

    async def run(self, steps: Steps[T]) -> T:
        """Run a part of the core to its end; a cancelled task is a crashed client."""
        try:
            effect = next(steps)
            while True:
                try:
                    answer = await self._perform(effect)
                except CountersignError as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _perform(self, effect: Effect) -> Any:
        match effect:
            case Read() | Apply():
                return await self._call(effect)
            case All():
                return await asyncio.gather(*(self._answer(part) for part in effect.parts))
            case Pull() | Describe():
                return await self._call_in_thread(effect)
            case Wait():
                return await asyncio.sleep(effect.wait_ms / 1000)
            case Queue():
                return await self._queue(effect)
            case _:
                return self._threads.perform(effect)

    async def _answer(self, part: Read | Apply) -> Any:
        try:
            return await self._call(part)
        except CountersignError as error:
            return error

    def _call(self, effect: Read | Apply) -> Awaitable[Any]:
        awaited = self._awaited.get(effect.store)
        if awaited is None:
            return self._call_in_thread(effect)
        self._threads.storage_calls += 1
        return awaited.get_many(effect.gets) if isinstance(effect, Read) else awaited.apply(effect.batch)

    def _call_in_thread(self, effect: StorageCall | Describe) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._pool, self._threads.perform, effect)

    async def _queue(self, effect: Queue) -> None:
        turn = asyncio.Event()
        record = (effect.table, effect.key)
        if self._hot.enter(effect.transaction_id, record, partial(_wake, asyncio.get_running_loop(), turn)):
            return
        while not turn.is_set():
            try:
                async with asyncio.timeout(QUEUE_WAIT_S):
                    await turn.wait()
            except TimeoutError:
                if self._hot.push_in(effect.transaction_id, record):
                    return


def _wake(loop: asyncio.AbstractEventLoop, turn: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop has ended, and those behind push in
        loop.call_soon_threadsafe(turn.set)
