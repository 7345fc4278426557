"""The connection that coroutines share, with a server that does as it is told: whatever that is, all are answered."""

import asyncio
import gc
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest
import redis

from storage.model.errors import InvalidOperationError
from storage.tables.errors import TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.redis_awaited_link import AwaitedLink
from storage.tables.redis_commands import Packed
from storage.tables.redis_link import RedisLink, Script, Wire

WAIT_S = 20
READ = b"READ"
NOTHING = Packed(0, b"")
BATCH = Script("redis_apply.lua")
BATCH_BYTES = len(BATCH.call(NOTHING))


class Server:
    """In place of a `RedisLink`: opens connections, and holds their other ends.

    Attributes:
        ends: of every connection so far.
        error: raised in place of the next connections.
        is_open: connections are opened only while it is set.
    """

    def __init__(self) -> None:
        self.ends: list[socket.socket] = []
        self.asked = 0
        self.error: Exception | None = None
        self.is_open = Event()
        self.is_open.set()

    def open(self) -> Wire:
        self.asked += 1
        assert self.is_open.wait(WAIT_S)
        if self.error is not None:
            raise self.error
        ours, end = socket.socketpair()
        end.setblocking(False)
        self.ends.append(end)
        parser = redis.connection.DefaultParser(socket_read_size=1)
        return Wire(SimpleNamespace(_sock=ours, _parser=parser, disconnect=ours.close))

    async def receive(self, count: int, connection: int = -1) -> bytes:
        """So many bytes that were sent."""
        received = b""
        while len(received) < count:
            received += await asyncio.get_running_loop().sock_recv(self.ends[connection], count - len(received))
        return received

    def answer(self, content: bytes, connection: int = -1) -> None:
        self.ends[connection].send(content)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    for end in server.ends:
        end.close()


@pytest.fixture
def link(server: Server) -> AwaitedLink:
    return AwaitedLink(cast(RedisLink, server))


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(coroutine, WAIT_S)

    asyncio.run(bounded())


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)


def a_read(link: AwaitedLink) -> asyncio.Task[Any]:
    return asyncio.create_task(link.read(READ))


def a_batch(link: AwaitedLink) -> asyncio.Task[Any]:
    return asyncio.create_task(link.call_script(BATCH, NOTHING))


async def raised(task: asyncio.Task[Any]) -> BaseException:
    with pytest.raises(BaseException) as error:
        await task
    return error.value


async def opened(server: Server, link: AwaitedLink) -> None:
    """Wait for a connection on which one read was answered."""
    reading = a_read(link)
    await until(lambda: bool(server.ends))
    await server.receive(len(READ))
    server.answer(b"+OK\r\n")
    assert await reading == b"OK"


@pytest.mark.parametrize(
    "rubbish", [b"rubbish\r\n", b"$-7\r\n", b"+OK\r\n+another\r\n", b"-NOAUTH Authentication required.\r\n"]
)
def test_an_answer_that_is_none_ends_the_connection(server: Server, link: AwaitedLink, rubbish: bytes) -> None:
    """At once: nobody waits for an answer in vain, and none is taken for another's. The next call opens another."""

    async def main() -> None:
        await opened(server, link)
        batch = a_batch(link)
        await server.receive(BATCH_BYTES)
        server.answer(rubbish)
        if rubbish.startswith(b"+OK"):
            assert await batch == b"OK"
        else:
            assert isinstance(await raised(batch), UnknownOutcomeError)
        wire = link._wire
        assert wire is not None
        await until(lambda: not wire.is_open)
        reading = a_read(link)
        await until(lambda: len(server.ends) == 2)
        await server.receive(len(READ))
        server.answer(b"+new\r\n")
        assert await reading == b"new"
        link.close()

    run(main())


def test_a_fault_of_our_own_leaves_nobody_waiting(
    server: Server, link: AwaitedLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer for which there is no memory, say: it is told, and so are all who wait."""

    async def main() -> None:
        faults = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
        await opened(server, link)
        wire = link._wire
        assert wire is not None

        def feed(_: bytes) -> None:
            raise MemoryError

        monkeypatch.setattr(wire._wire, "reader", SimpleNamespace(feed=feed))
        batch = a_batch(link)
        await server.receive(BATCH_BYTES)
        server.answer(b"+OK\r\n")
        assert isinstance(await raised(batch), UnknownOutcomeError)
        assert [type(fault) for fault in faults] == [MemoryError]
        link.close()

    run(main())


def test_a_server_that_reads_its_data_has_done_nothing(server: Server, link: AwaitedLink) -> None:
    """LOADING is a refusal of one command, and no end of the connection."""

    async def main() -> None:
        await opened(server, link)
        batch, reading = a_batch(link), a_read(link)
        await server.receive(len(READ))
        server.answer(b"-LOADING Valkey is loading the dataset in memory\r\n")
        await server.receive(BATCH_BYTES)
        server.answer(b"-LOADING Valkey is loading the dataset in memory\r\n")
        assert [type(await raised(each)) for each in (batch, reading)] == [TableStoreUnavailableError] * 2
        assert len(server.ends) == 1
        link.close()

    run(main())


def test_what_does_not_fit_was_not_sent(server: Server, link: AwaitedLink) -> None:
    """Behind a command that the connection takes bit by bit nothing is sent; who waits there learns that it was not."""

    async def main() -> None:
        await opened(server, link)
        large = asyncio.create_task(link.call_script(BATCH, Packed(1, bytes(5_000_000))))
        wire = link._wire
        assert wire is not None
        await until(lambda: bool(wire._rest))
        small = a_batch(link)
        await until(lambda: bool(wire._batches) and not wire._is_turn_due)
        server.ends[-1].close()
        assert isinstance(await raised(large), UnknownOutcomeError)
        assert isinstance(await raised(small), TableStoreUnavailableError)
        link.close()

    run(main())


def test_what_waited_for_room_is_sent(server: Server, link: AwaitedLink) -> None:
    """In order, when there is."""

    async def main() -> None:
        await opened(server, link)
        large = asyncio.create_task(link.read(bytes(5_000_000)))
        wire = link._wire
        assert wire is not None
        await until(lambda: bool(wire._rest))
        batch, reading = a_batch(link), a_read(link)
        await asyncio.sleep(0)
        assert await server.receive(5_000_000) == bytes(5_000_000)
        assert await server.receive(len(READ)) == READ
        server.answer(b"+large\r\n+read\r\n")
        assert await server.receive(BATCH_BYTES) == BATCH.call(NOTHING)
        server.answer(b"+batch\r\n")
        assert [await large, await reading, await batch] == [b"large", b"read", b"batch"]
        link.close()

    run(main())


def test_of_many_in_flight_each_learns_what_is_known(server: Server, link: AwaitedLink) -> None:
    """Answered is answered; sent and not answered is unknown, or is read again; held back was not sent."""

    async def main() -> None:
        await opened(server, link)
        first, second = a_batch(link), a_batch(link)
        await server.receive(2 * BATCH_BYTES)
        reading = a_read(link)
        await server.receive(len(READ))
        held = a_batch(link)
        wire = link._wire
        assert wire is not None
        await until(lambda: bool(wire._batches))
        server.answer(b"$-1\r\n:")
        server.ends[0].close()
        assert await first is None
        assert isinstance(await raised(second), UnknownOutcomeError)
        assert isinstance(await raised(held), TableStoreUnavailableError)
        await until(lambda: len(server.ends) == 2)
        await server.receive(len(READ))
        server.answer(b"+again\r\n")
        assert await reading == b"again"
        link.close()

    run(main())


def test_who_is_cancelled_in_the_middle_of_an_answer(server: Server, link: AwaitedLink) -> None:
    """It is read to its end, and the next one is the next one's."""

    async def main() -> None:
        await opened(server, link)
        gone, stays = a_read(link), a_read(link)
        await server.receive(2 * len(READ))
        server.answer(b"$4\r\nfi")
        await asyncio.sleep(0.01)
        gone.cancel()
        assert isinstance(await raised(gone), asyncio.CancelledError)
        server.answer(b"rs\r\n$4\r\nnext\r\n")
        assert await stays == b"next"
        link.close()

    run(main())


def test_a_batch_that_is_cancelled_before_it_is_sent(server: Server, link: AwaitedLink) -> None:
    """Is not sent; the others are."""

    async def main() -> None:
        await opened(server, link)
        reading = a_read(link)
        await server.receive(len(READ))
        gone, stays = a_batch(link), a_batch(link)
        wire = link._wire
        assert wire is not None
        await until(lambda: len(wire._batches) == 2)
        gone.cancel()
        server.answer(b"+read\r\n")
        assert await reading == b"read"
        assert await server.receive(BATCH_BYTES) == BATCH.call(NOTHING)
        server.answer(b"+stays\r\n")
        assert await stays == b"stays"
        with pytest.raises(BlockingIOError):
            server.ends[0].recv(1)
        link.close()

    run(main())


def test_who_needs_a_connection_waits_for_the_same(server: Server, link: AwaitedLink) -> None:
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


def test_who_is_cancelled_while_it_is_opened_costs_nobody_the_connection(server: Server, link: AwaitedLink) -> None:
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


def test_closed_with_calls_in_flight(server: Server, link: AwaitedLink) -> None:
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


def test_closed_while_it_is_opened(server: Server, link: AwaitedLink) -> None:
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


def test_two_event_loops_at_a_time_are_refused(server: Server, link: AwaitedLink) -> None:
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
    server: Server, link: AwaitedLink, while_it_is_opened: bool
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
