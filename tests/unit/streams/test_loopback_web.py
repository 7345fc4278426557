"""Pages on loopback: answered for loopback names only, and closed to other origins."""

import asyncio
import contextlib
import socket

import pytest
from aiohttp import ClientSession, web

from protocol.errors import CountersignError
from streams.loopback_web import (
    LOOPBACK,
    add_security_headers,
    answer,
    choose_port,
    guard_loopback,
    is_loopback_host,
)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:80", "localhost:8080", "LOCALHOST", "[::1]:80", "127.8.1.1", "localhost.:80"]
)
def test_names_of_loopback(host: str) -> None:
    """Every way to write this machine's own loopback."""
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "[::2]",
        "[",
        "[::1].evil.example",
        "0.0.0.0",
        "127.0.0.1@evil.example",
    ],
)
def test_names_of_others(host: str) -> None:
    """A name that resolves to loopback is not loopback's: so a foreign page cannot read what we serve."""
    assert not is_loopback_host(host)


def test_requests_through_a_foreign_name_are_refused() -> None:
    """The guard looks at Host before anything else; every answer, errors too, has the security headers."""

    async def ask() -> None:
        application = web.Application(middlewares=[guard_loopback])
        application.on_response_prepare.append(add_security_headers)
        application.router.add_route("*", "/", _say_secret)  # the guard alone says which methods
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, 0).start()
        url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
        async with ClientSession() as session:
            async with session.get(url) as good:
                assert (good.status, await good.json()) == (200, {"secret": 1})
            async with session.get(url, headers={"Host": "evil.example"}) as refused:
                assert refused.status == 421
                assert "secret" not in await refused.text()
            async with session.post(url) as changed:
                assert changed.status == 405
            async with session.get(url + "/missing") as missing:
                assert missing.status == 404
            for response in (good, refused, changed, missing):
                policy = response.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'")
                assert "unsafe" not in policy
                assert "http" not in policy, "no host but our own is named"
                assert "Access-Control-Allow-Origin" not in response.headers
        await runner.cleanup()

    asyncio.run(ask())


async def _say_secret(_: web.Request) -> web.Response:
    return answer({"secret": 1})


def test_a_port_is_free_or_taken() -> None:
    """A port that somebody listens on is an error with a code; 0 is any free one."""
    with contextlib.closing(socket.create_server((LOOPBACK, 0))) as other:
        with pytest.raises(CountersignError) as refused:
            choose_port(other.getsockname()[1])
        assert refused.value.code == "port.taken"
    assert 0 < choose_port(0) < 65_536
