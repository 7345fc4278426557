"""What the dashboard serves: the page, snapshots once and for ever, metrics, health; to loopback only."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from importlib import resources
from socket import create_server

import pytest
from aiohttp import ClientResponse, ClientSession

from protocol.errors import CountersignError
from streams.clock import now_ms
from streams.dashboard.board import Board, LedgerFacts
from streams.dashboard.server import PERIOD_S, DashboardServer

FACTS = LedgerFacts(ledger_id=bytes(32), epoch=0, n=4, b=1, c=0, k=3, window=64)


@asynccontextmanager
async def served(board: Board) -> AsyncIterator[tuple[DashboardServer, ClientSession]]:
    server = DashboardServer(board, 0)
    address = await server.start()
    async with ClientSession(address) as session:
        yield server, session
    await server.stop()


async def event(stream: ClientResponse) -> dict[str, object]:
    """The next event of a stream."""
    while not (line := await stream.content.readline()).startswith(b"data: "):
        assert line, "the stream ended"
    return dict(json.loads(line.removeprefix(b"data: ")))


def test_the_page_and_all_that_it_needs() -> None:
    """Every file has its type, and a policy that allows nothing from elsewhere."""

    async def ask() -> None:
        async with served(Board(FACTS, now_ms())) as (_, session):
            for path, content_type in (
                ("/", "text/html"),
                ("/dashboard.css", "text/css"),
                ("/dashboard.js", "text/javascript"),
                ("/icon.svg", "image/svg+xml"),
                ("/snapshot", "application/json"),
                ("/metrics", "text/plain"),
                ("/healthz", "application/json"),
            ):
                async with session.get(path) as response:
                    assert (response.status, response.content_type) == (200, content_type)
                    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
            async with session.get("/", headers={"Host": "evil.example"}) as response:
                assert response.status == 421
            async with session.post("/snapshot") as response:
                assert response.status == 405
            async with session.get("/../process.py") as response:
                assert response.status == 404

    asyncio.run(ask())


def test_files_name_no_other_host() -> None:
    """No address of anything but ourselves is in the page; names of XML are no addresses to fetch."""
    namespace = "http://www.w3.org/2000/svg"
    for file in resources.files("streams.dashboard").joinpath("page").iterdir():
        addresses = re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z][^\s\"']*", file.read_text())
        assert set(addresses) <= {namespace}, file.name


def test_snapshots_come_twice_a_second() -> None:
    """Events show what was taken in meanwhile, by the time that each of them is of."""

    async def ask() -> None:
        board = Board(FACTS, now_ms())
        async with served(board) as (_, session), session.get("/events") as stream:
            assert stream.content_type == "text/event-stream"
            first = await event(stream)
            board.take_decision(None, now_ms())
            second, third = await event(stream), await event(stream)
            assert third["now_ms"] - first["now_ms"] >= 1.5 * PERIOD_S * 1_000  # type: ignore[operator]
            assert second["decisions"]["skipped"] == 1  # type: ignore[index]
            assert third["now_ms"] > second["now_ms"]  # type: ignore[operator]

    asyncio.run(ask())


def test_readers_of_one_moment_get_the_same_snapshot() -> None:
    """It is made once for all of them; where the machine pauses between two readers their moment is over."""

    async def is_one_moment() -> bool:
        loop = asyncio.get_running_loop()
        async with served(Board(FACTS, now_ms())) as (_, session):
            began = loop.time()
            async with session.get("/events") as stream, session.get("/events") as other:
                one, same = await event(stream), await event(other)
            if loop.time() - began >= 0.8 * PERIOD_S:
                return False
            assert one["now_ms"] == same["now_ms"]
            return True

    assert any(asyncio.run(is_one_moment()) for _ in range(20))


def test_readers_are_bounded_and_let_go_at_the_end() -> None:
    """The 33rd page is told to come later; when the server stops every stream ends at once."""

    async def ask() -> None:
        async with served(Board(FACTS, now_ms())) as (server, session):
            streams = [await session.get("/events") for _ in range(33)]
            assert [each.status for each in streams] == [200] * 32 + [503]
            streams.pop().close()
            streams.pop().close()
            async with asyncio.timeout(10):
                await server.stop()
                for stream in streams:
                    assert (await stream.read()).endswith(b"\n\n")

    asyncio.run(ask())


def test_health_is_the_brokers() -> None:
    """503 as long as what is shown may be old."""

    async def ask() -> None:
        board = Board(FACTS, now_ms())
        board.take_reachability(3_000)
        async with served(board) as (_, session), session.get("/healthz") as response:
            assert (response.status, await response.json()) == (503, {"status": "broker away"})

    asyncio.run(ask())


def test_a_taken_port_has_its_code() -> None:
    """Nothing is served, and the error says why."""

    async def start(port: int) -> None:
        await DashboardServer(Board(FACTS, 0), port).start()

    with closing(create_server(("127.0.0.1", 0))) as other:
        with pytest.raises(CountersignError) as refused:
            asyncio.run(start(other.getsockname()[1]))
        assert refused.value.code == "port.taken"


@pytest.mark.parametrize("name", ["exposed-text", "suspected-text"])
def test_nobody_is_cleared_before_anything_was_seen(name: str) -> None:
    """The page says "nobody" only once a snapshot does."""
    page = resources.files("streams.dashboard").joinpath("page", "index.html").read_text()
    assert f'<p id="{name}">\N{EN DASH}</p>' in page
