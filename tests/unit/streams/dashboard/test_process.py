"""What the dashboard takes over from the live views."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from streams.dashboard.process import _activity

PAGE = orjson.dumps({"as_of": 7, "rows": [{"namespace": f"n{number}"} for number in range(1_000)]})

Send = Callable[[web.StreamResponse], Awaitable[None]]


async def in_parts(stream: web.StreamResponse) -> None:
    """Send the page so that its second half comes when the first one was read."""
    await stream.write(PAGE[: len(PAGE) // 2])
    await asyncio.sleep(0.01)
    await stream.write(PAGE[len(PAGE) // 2 :])


async def for_ever(stream: web.StreamResponse) -> None:
    """Send what no page is as long as."""
    while True:
        await stream.write(b" " * 65_536)


async def no_page(stream: web.StreamResponse) -> None:
    """Send JSON of another form."""
    await stream.write(b'["rows"]')


async def found(send: Send) -> Any:
    """What the dashboard makes of a server that sends so."""

    async def serve(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        await send(stream)
        return stream

    application = web.Application()
    application.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            return await _activity(session, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()


def test_a_page_that_comes_in_parts() -> None:
    """It is read to its end."""
    activity = asyncio.run(found(in_parts))
    assert activity["as_of"] == 7
    assert [len(activity[name]) for name in ("minutes", "entities", "records")] == [1_000] * 3


@pytest.mark.parametrize("send", [for_ever, no_page])
def test_pages_that_are_none(send: Send) -> None:
    """They are not shown, and read no further than a page is long."""
    assert asyncio.run(found(send)) is None
