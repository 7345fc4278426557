"""One connection to a server that the coroutines of an event loop share.

1. What coroutines send in one turn of the loop goes out by one write; answers come in the same order. A coroutine costs
   a few microseconds to set aside and wake, where a thread costs twenty.
2. Batches wait for reads that are under way, for a moment, so that many reach the server together: it writes all of
   them to its disk at once, and while it does it answers nobody.
3. What happens to a connection, and what that means, is as in `storage.tables.redis_link`: an exchange that may be
   tried again is, once; one that may not ends in `UnknownOutcomeError` unless it is known that nothing was sent.
4. A coroutine that is cancelled leaves its place in the line: its answer comes, and is dropped.
5. What is under way is bounded by those who wait for it: each sends one command at a time, and while the connection
   takes no more nothing more is handed to it. So what waits for that was certainly not sent.
6. It is one event loop's at a time; one that comes after another that has ended takes the link over.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from storage.model.errors import InvalidOperationError
from storage.tables.errors import TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.redis_commands import Packed
from storage.tables.redis_link import (
    ANSWER_TIMEOUT_S,
    LOST,
    RECEIVE_BYTES,
    UNKNOWN_SCRIPT,
    RedisLink,
    Script,
    Wire,
    checked,
    is_last,
)

ANSWERS_AWAITED = 2
"""How often answers may come while a batch waits for reads that are under way."""

_CLOSED = "the store was closed"


class _AwaitedWire:
    """An open connection, on an event loop."""

    def __init__(self, wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.is_open = True
        self._wire = wire
        self._socket = wire.opened
        self._socket.setblocking(False)
        self._is_turn_due = False
        self._reads: list[bytes] = []
        self._batches: list[tuple[bytes, asyncio.Future[Any]]] = []
        self._answers_awaited = 0
        self._rest = memoryview(b"")
        self._waiting: deque[tuple[bool, asyncio.Future[Any]]] = deque()
        self._reads_under_way = 0
        self._heard_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        loop.add_reader(self._socket, self._receive)

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        """Send one command with what others send in this turn; its answer, which may be an error."""
        future = self.loop.create_future()
        self._reads.append(packed)
        self._await(True, future)
        self._reads_under_way += 1
        self._turn_soon()
        return future

    def send_batch(self, packed: bytes) -> asyncio.Future[Any]:
        """Send a command that changes something, with those of others."""
        future = self.loop.create_future()
        self._batches.append((packed, future))
        self._turn_soon()
        return future

    def end(self, why: str) -> None:
        """Close; nobody will know what became of what has no answer yet."""
        if not self.is_open:
            return
        self.is_open = False
        if self._watch is not None:
            self._watch.cancel()
        if not self.loop.is_closed():
            self.loop.remove_reader(self._socket)
            self.loop.remove_writer(self._socket)
        self._wire.connection.disconnect()
        if self.loop.is_closed():
            return
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(UnknownOutcomeError(why))
        for _, future in self._batches:
            if not future.done():
                future.set_exception(TableStoreUnavailableError(why))  # it was not sent
        self._waiting.clear()
        self._batches.clear()

    def _await(self, is_read: bool, future: asyncio.Future[Any]) -> None:
        if not self._waiting:
            self._heard_at = self.loop.time()
            if self._watch is None:
                self._watch = self.loop.call_later(ANSWER_TIMEOUT_S, self._look)
        self._waiting.append((is_read, future))

    def _turn_soon(self) -> None:
        """Send when everybody who can run now has run."""
        if not self._is_turn_due:
            self._is_turn_due = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._is_turn_due = False
        if self._rest or not self.is_open:
            return
        parts, self._reads = self._reads, []
        if self._batches and (not self._reads_under_way or self._answers_awaited >= ANSWERS_AWAITED):
            self._answers_awaited = 0
            for packed, future in self._batches:
                if not future.done():  # cancelled before anything was sent
                    parts.append(packed)
                    self._await(False, future)
            self._batches.clear()
        if parts:
            self._write(memoryview(b"".join(parts)))

    def _write(self, packed: memoryview) -> None:
        """Send as much as the connection takes; what comes after waits for the rest, and was not sent."""
        try:
            sent = self._socket.send(packed)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.end(str(error))
            return
        was_late, self._rest = bool(self._rest), packed[sent:]
        if self._rest and not was_late:
            self.loop.add_writer(self._socket, lambda: self._write(self._rest))
        elif was_late and not self._rest:
            self.loop.remove_writer(self._socket)
            self._turn_soon()

    def _receive(self) -> None:
        try:
            received = self._socket.recv(RECEIVE_BYTES)
            if not received:
                raise ConnectionResetError("the server closed the connection")
            self._answer(received)
        except BlockingIOError:
            return
        except LOST as error:
            self.end(str(error))
            return
        except BaseException:
            self.end("its answers cannot be read")  # whoever waits would wait in vain
            raise
        self._heard_at = self.loop.time()
        if self._batches:
            self._answers_awaited += 1
            self._turn_soon()

    def _answer(self, received: bytes) -> None:
        """Hand out the answers that are whole by now.

        Raises:
            OSError, redis.exceptions.ConnectionError: there will be no more.
        """
        reader = self._wire.reader
        reader.feed(received)
        while (answer := reader.gets()) is not False:  # no answer of this protocol is a boolean
            if is_last(answer):
                raise answer
            if not self._waiting:
                raise ConnectionResetError("an answer that nobody asked for")
            is_read, future = self._waiting.popleft()
            self._reads_under_way -= is_read
            if not future.done():
                future.set_result(answer)

    def _look(self) -> None:
        """See whether the server answers still."""
        self._watch = None
        if not self._waiting:
            return
        left_s = self._heard_at + ANSWER_TIMEOUT_S - self.loop.time()
        if left_s <= 0:
            self.end("no answer")
        else:
            self._watch = self.loop.call_later(left_s, self._look)


class AwaitedLink:
    """A connection to one server, opened when it is needed, and again after it was lost.

    Args:
        link: opens it, and says what the server's settings promise.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._wire: _AwaitedWire | None = None
        self._opening: asyncio.Task[_AwaitedWire] | None = None
        self._is_closed = False

    async def read(self, command: bytes) -> Any:
        """One packed command that may be tried again.

        Raises:
            TableStoreUnavailableError: the server does not answer, or will not.
        """
        try:
            return checked(await (self._opened() or await self._open()).send(command))
        except UnknownOutcomeError:
            pass
        try:
            return checked(await (self._opened() or await self._open()).send(command))
        except UnknownOutcomeError as error:
            raise TableStoreUnavailableError(error.detail) from error

    async def ask_script(self, script: Script, arguments: Packed) -> Any:
        """Run a script; it may be run again. As `read`."""
        try:
            return await self.read(script.call(arguments))
        except UNKNOWN_SCRIPT:
            return await self.read(script.call_with_source(arguments))

    async def call_script(self, script: Script, arguments: Packed) -> Any:
        """Run a script once, and never again.

        Raises:
            TableStoreUnavailableError: nothing was done.
            UnknownOutcomeError: nobody knows.
        """
        answer = await (self._opened() or await self._open()).send_batch(script.call(arguments))
        if isinstance(answer, UNKNOWN_SCRIPT):
            answer = await (self._opened() or await self._open()).send_batch(script.call_with_source(arguments))
        return checked(answer)

    def close(self) -> None:
        """End the connection, for good; from any thread."""
        self._is_closed = True
        wire, self._wire = self._wire, None
        if wire is not None:
            _end(wire)

    def _opened(self) -> _AwaitedWire | None:
        """The connection, if there is one."""
        wire = self._wire
        is_usable = wire is not None and wire.is_open and wire.loop is asyncio.get_running_loop()
        return wire if is_usable else None

    async def _open(self) -> _AwaitedWire:
        """A new connection; all who need one wait for the same, whoever of them is cancelled.

        Raises:
            TableStoreUnavailableError: there is none.
            InvalidOperationError: `operation.unsupported`: another event loop uses this link.
        """
        loop = asyncio.get_running_loop()
        if self._is_closed:
            raise TableStoreUnavailableError(_CLOSED)
        opening = self._opening
        if opening is None or opening.done() or opening.get_loop() is not loop:
            self._take_over(loop)
            opening = self._opening = loop.create_task(self._connect(loop))
        wire = await asyncio.shield(opening)
        if not wire.is_open:
            raise TableStoreUnavailableError("the connection was lost as soon as it was open")
        return wire

    def _take_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up what an event loop has left that came before."""
        for before in (self._wire, self._opening):
            other = None if before is None else before.loop if isinstance(before, _AwaitedWire) else before.get_loop()
            if other is not None and other is not loop and other.is_running():
                raise InvalidOperationError("operation.unsupported", "one connection for two event loops at a time")
        wire, self._wire = self._wire, None
        if wire is not None:
            _end(wire)

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> _AwaitedWire:
        wire = self._wire = _AwaitedWire(await loop.run_in_executor(None, self._link.open), loop)
        if self._is_closed:
            wire.end(_CLOSED)
        return wire


def _end(wire: _AwaitedWire) -> None:
    """End a connection, on its own event loop if that runs."""
    try:
        is_here = asyncio.get_running_loop() is wire.loop
    except RuntimeError:
        is_here = False
    if is_here or not wire.loop.is_running():
        wire.end(_CLOSED)
        return
    with suppress(RuntimeError):  # it has ended since
        wire.loop.call_soon_threadsafe(wire.end, _CLOSED)
