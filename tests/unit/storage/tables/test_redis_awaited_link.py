"""The connection that coroutines share, with a server that does as it is told: whatever that is, all are answered."""

import asyncio
from types import SimpleNamespace

import pytest

from storage.tables.errors import TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.redis_awaited_link import AwaitedLink
from storage.tables.redis_commands import Packed
from tests.awaited_link import (
    BATCH,
    BATCH_BYTES,
    NOTHING,
    READ,
    ToldServer,
    a_batch,
    a_read,
    opened,
    raised,
    run,
    until,
)


@pytest.mark.parametrize(
    "rubbish", [b"rubbish\r\n", b"$-7\r\n", b"+OK\r\n+another\r\n", b"-NOAUTH Authentication required.\r\n"]
)
def test_an_answer_that_is_none_ends_the_connection(server: ToldServer, link: AwaitedLink, rubbish: bytes) -> None:
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
    server: ToldServer, link: AwaitedLink, monkeypatch: pytest.MonkeyPatch
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


def test_a_server_that_reads_its_data_has_done_nothing(server: ToldServer, link: AwaitedLink) -> None:
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


def test_what_does_not_fit_was_not_sent(server: ToldServer, link: AwaitedLink) -> None:
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


def test_what_waited_for_room_is_sent(server: ToldServer, link: AwaitedLink) -> None:
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


def test_of_many_in_flight_each_learns_what_is_known(server: ToldServer, link: AwaitedLink) -> None:
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


def test_who_is_cancelled_in_the_middle_of_an_answer(server: ToldServer, link: AwaitedLink) -> None:
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


def test_a_batch_that_is_cancelled_before_it_is_sent(server: ToldServer, link: AwaitedLink) -> None:
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
