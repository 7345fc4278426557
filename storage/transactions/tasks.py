"""Drives the core in asyncio: waits and queues are the event loop's; so are the calls of stores that can be awaited.

Those of other stores are made by threads of a pool.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, Protocol

from protocol.errors import CountersignError
from storage.tables.awaited import AwaitedTables
from storage.transactions.effects import (
    All,
    Apply,
    Clock,
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
        awaited, perform = self._awaited, self._threads.perform
        try:
            effect = next(steps)
            while True:
                answer: Any = None
                try:
                    if type(effect) is Clock:
                        answer = perform(effect)
                    elif type(effect) is Read and effect.store in awaited:
                        self._threads.storage_calls += 1
                        answer = await awaited[effect.store].get_many(effect.gets)
                    elif type(effect) is Apply and effect.store in awaited:
                        self._threads.storage_calls += 1
                        await awaited[effect.store].apply(effect.batch)
                    else:
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
            case Read() | Apply() | Pull() | Describe():
                return await self._call(effect)
            case All():
                return await asyncio.gather(*(self._answer(part) for part in effect.parts))
            case Wait():
                await asyncio.sleep(effect.wait_ms / 1000)
                return None
            case Queue():
                await self._queue(effect)
                return None
            case _:
                return self._threads.perform(effect)

    async def _call(self, effect: StorageCall | Describe) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._threads.perform, effect)

    async def _answer(self, part: Read | Apply) -> Any:
        awaited = self._awaited.get(part.store)
        try:
            if awaited is None:
                return await self._call(part)
            self._threads.storage_calls += 1
            return await (awaited.get_many(part.gets) if isinstance(part, Read) else awaited.apply(part.batch))
        except CountersignError as error:
            return error

    async def _queue(self, effect: Queue) -> None:
        loop = asyncio.get_running_loop()
        turn = asyncio.Event()
        record = (effect.table, effect.key)
        if self._hot.enter(effect.transaction_id, record, lambda: _wake(loop, turn)):
            return
        try:
            await asyncio.wait_for(turn.wait(), QUEUE_WAIT_S)
        except TimeoutError:
            self._hot.push_in(effect.transaction_id, record)


def _wake(loop: asyncio.AbstractEventLoop, turn: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(turn.set)
