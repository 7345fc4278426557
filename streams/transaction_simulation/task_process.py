"""A process whose transactions are coroutines: `storage.transactions.tasks` drives the core, in simulated time."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from typing import Any

from protocol.errors import CountersignError
from storage.model.operations import Get, Mutation, Row
from storage.transactions.effects import Apply, Describe, Effect, Read, Steps, StorageCall
from storage.transactions.hot_records import HotRecords
from storage.transactions.tasks import TaskDriver
from streams.transaction_simulation.agenda_loop import AgendaLoop
from streams.transaction_simulation.driver import Driver, Forecast, Scene


class TaskProcess(Driver):
    """A `Driver` whose generator is run by the driver for asyncio; to crash is to be cancelled.

    Args:
        awaited: names of the stores that need no thread.
        scene, name, steps, ended, forecast, clock_ms: as of `Driver`.
    """

    def __init__(
        self,
        awaited: Collection[str],
        scene: Scene,
        name: str,
        steps: Steps[None],
        *,
        ended: Callable[[bool], None],
        forecast: Forecast,
        clock_ms: int,
    ) -> None:
        super().__init__(scene, name, steps, ended=ended, forecast=forecast, clock_ms=clock_ms)
        self.storage_calls = 0
        self._loop = AgendaLoop(scene.agenda)
        stores = {store: _AwaitedStore(store, self.call) for store in awaited}
        self._driver = TaskDriver(self, HotRecords(), _Calls(self.call), stores)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run in the turns that follow."""
        self._task = self._loop.create_task(self._driver.run(self._steps))
        self._task.add_done_callback(self._done)

    def perform(self, effect: Effect) -> Any:
        """What reaches no store."""
        return self._at_once(effect)

    def call(self, effect: StorageCall | Describe) -> asyncio.Future[Any]:
        """The answer to a call, which meets its fate like any other."""
        future = self._loop.create_future()

        def hear(answer: Any) -> None:
            if future.done():
                return
            if isinstance(answer, CountersignError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        if isinstance(effect, Describe):
            hear(self._at_once(effect))
        else:
            self._make(effect, hear)
        return future

    def _end(self, *, crashed: bool) -> None:
        self._is_over = True
        if crashed:
            assert self._task is not None, "it was started"
            self._task.cancel()
        self._ended(crashed)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._is_over:
            return
        error = task.exception()
        if error is not None:
            raise error
        self._end(crashed=False)


class _AwaitedStore:
    """A store that can be awaited; see `storage.tables.awaited.AwaitedTables`."""

    def __init__(self, name: str, call: Callable[[StorageCall], asyncio.Future[Any]]) -> None:
        self._name = name
        self._call = call

    async def get_many(self, gets: Sequence[Get]) -> list[Row | None]:
        rows: list[Row | None] = await self._call(Read(self._name, tuple(gets)))
        return rows

    async def apply(self, batch: Sequence[Mutation]) -> None:
        await self._call(Apply(self._name, tuple(batch)))

    def close(self) -> None:
        """There is nothing to give back."""


class _Calls(Executor):
    """In place of the threads that make other stores' calls: what `AgendaLoop.run_in_executor` is given."""

    def __init__(self, call: Callable[[StorageCall | Describe], asyncio.Future[Any]]) -> None:
        self._call = call

    def submit(self, _perform: object, effect: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """The answer, in a while."""
        return self._call(effect)
