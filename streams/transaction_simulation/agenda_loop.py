"""An event loop for asyncio whose time is the agenda's: coroutines in a simulation, the same way for the same seed."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, cast

from streams.transaction_simulation.agenda import Agenda

T = TypeVar("T")


class AgendaLoop:
    """As much of an event loop as coroutines need that wait for futures, for one another and for time.

    Every callback is an action of the agenda; a coroutine that fails lets the agenda's step fail.
    """

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._self = cast(asyncio.AbstractEventLoop, self)

    def time(self) -> float:
        """Simulated seconds."""
        return self._agenda.now_ms / 1000

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_closed(self) -> bool:
        """Never."""
        return False

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self._self)

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """A task, which begins in an action of its own."""
        return asyncio.Task(coro, loop=self._self, name=name, context=context)

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """At this time, behind what was put down before."""
        handle = asyncio.Handle(callback, args, self._self, context)
        self._agenda.put(0, lambda: self._run(handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """In so many simulated seconds."""
        handle = asyncio.TimerHandle(self.time() + delay, callback, args, self._self, context)
        self._agenda.put(max(0, round(delay * 1000)), lambda: self._run(handle))
        return handle

    def run_in_executor(self, executor: Any, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """What the executor says; it knows no threads, and gives a future of this loop."""
        future: asyncio.Future[T] = executor.submit(function, *args)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A callback failed; tasks that end with the simulation are none of its business."""
        if "exception" in context:
            raise context["exception"]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in the agenda, and does nothing."""

    def _run(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        asyncio._set_running_loop(self._self)
        try:
            handle._run()
        finally:
            asyncio._set_running_loop(None)
