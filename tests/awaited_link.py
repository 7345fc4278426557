"""A server at the other end of the connection that coroutines share; it does as it is told."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from storage.tables.redis_awaited_link import AwaitedLink
from storage.tables.redis_commands import Packed
from storage.tables.redis_link import Script, Wire

WAIT_S = 20
READ = b"READ"
NOTHING = Packed(0, b"")
BATCH = Script("redis_apply.lua")
BATCH_BYTES = len(BATCH.call(NOTHING))


class ToldServer:
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
            more = await asyncio.get_running_loop().sock_recv(self.ends[connection], count - len(received))
            assert more, "the connection was closed"
            received += more
        return received

    def answer(self, content: bytes, connection: int = -1) -> None:
        self.ends[connection].send(content)


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


async def opened(server: ToldServer, link: AwaitedLink) -> None:
    """Wait for a connection on which one read was answered."""
    reading = a_read(link)
    await until(lambda: bool(server.ends))
    await server.receive(len(READ))
    server.answer(b"+OK\r\n")
    assert await reading == b"OK"
