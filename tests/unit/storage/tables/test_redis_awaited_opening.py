"""How the connection that coroutines share is opened, closed, and handed on from one event loop to the next."""

import asyncio
import gc
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from storage.model.errors import InvalidOperationError
from storage.tables.errors import TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.redis_awaited_link import AwaitedLink
from tests.awaited_link import BATCH_BYTES, READ, ToldServer, a_batch, a_read, opened, raised, run, until


def test_who_needs_a_connection_waits_for_the_same(server: ToldServer, link: AwaitedLink) -> None:
    """Where there is none all learn so at once, and do not try for one after the other."""

    async def main() -> None:
        server.is_open.clear()
        server.error = TableStoreUnavailableError("away")
        readings = [a_read(link) for _ in range(50)]
        await until(lambda: server.asked == 1)
        server.is_open.set()
        assert [type(await raised(reading)) for reading in readings] == [TableStoreUnavailableError] * 50
        assert server.asked == 1
        server.error = None
        await opened(server, link)
        link.close()

    run(main())


def test_who_is_cancelled_while_it_is_opened_costs_nobody_the_connection(server: ToldServer, link: AwaitedLink) -> None:
    """Even if it was the one who asked for it."""

    async def main() -> None:
        server.is_open.clear()
        gone, stays = a_read(link), a_read(link)
        await until(lambda: server.asked == 1)
        gone.cancel()
        assert isinstance(await raised(gone), asyncio.CancelledError)
        server.is_open.set()
        await until(lambda: bool(server.ends))
        await server.receive(len(READ))
        server.answer(b"+OK\r\n")
        assert await stays == b"OK"
        assert server.asked == 1
        link.close()

    run(main())


def test_closed_with_calls_in_flight(server: ToldServer, link: AwaitedLink) -> None:
    """Nothing is opened again: a batch is unknown, a read is not tried again, and what comes later is refused."""

    async def main() -> None:
        await opened(server, link)
        batch = a_batch(link)
        await server.receive(BATCH_BYTES)
        reading = a_read(link)
        await server.receive(len(READ))
        link.close()
        assert isinstance(await raised(batch), UnknownOutcomeError)
        assert isinstance(await raised(reading), TableStoreUnavailableError)
        assert isinstance(await raised(a_batch(link)), TableStoreUnavailableError)
        assert server.asked == 1
        assert server.ends[0].recv(1) == b""

    run(main())


def test_closed_while_it_is_opened(server: ToldServer, link: AwaitedLink) -> None:
    """No connection is left."""

    async def main() -> None:
        server.is_open.clear()
        reading = a_read(link)
        await until(lambda: server.asked == 1)
        link.close()
        server.is_open.set()
        assert isinstance(await raised(reading), TableStoreUnavailableError)
        assert server.ends[0].recv(1) == b""

    run(main())


def test_two_event_loops_at_a_time_are_refused(server: ToldServer, link: AwaitedLink) -> None:
    """They would take the connection from one another; the first keeps it."""

    async def main() -> None:
        await opened(server, link)

        def elsewhere() -> None:
            asyncio.run(link.read(READ))

        with ThreadPoolExecutor(1) as pool:
            error = await asyncio.get_running_loop().run_in_executor(pool, error_of, elsewhere)
        assert isinstance(error, InvalidOperationError)
        assert error.code == "operation.unsupported"
        reading = a_read(link)
        await server.receive(len(READ))
        server.answer(b"+still\r\n")
        assert await reading == b"still"
        assert server.asked == 1
        link.close()

    run(main())


def error_of(function: Callable[[], None]) -> Exception | None:
    try:
        function()
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("while_it_is_opened", [False, True])
def test_an_event_loop_that_ends_with_calls_in_flight(
    server: ToldServer, link: AwaitedLink, while_it_is_opened: bool
) -> None:
    """However it ends: the next one finds no trace of it."""
    loop = asyncio.new_event_loop()
    tasks: deque[asyncio.Task[Any]] = deque()

    async def begin() -> None:
        if while_it_is_opened:
            server.is_open.clear()
        else:
            await opened(server, link)
        tasks.extend([a_read(link), a_read(link), a_batch(link)])
        if while_it_is_opened:
            await until(lambda: server.asked == 1)
        else:
            await server.receive(2 * len(READ))

    loop.run_until_complete(begin())
    server.is_open.set()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()

    async def main() -> None:
        before = len(server.ends)
        reading = a_read(link)
        await until(lambda: len(server.ends) > before)
        await server.receive(len(READ))
        server.answer(b"+here\r\n")
        assert await reading == b"here"
        link.close()

    run(main())
    for task in tasks:
        cast(Any, task)._log_destroy_pending = False  # they are what is left of a crash
    tasks.clear()
    gc.collect()
