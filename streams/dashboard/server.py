"""Serves the page and what it shows, on loopback.

    GET /           the page, with /dashboard.css and /dashboard.js
    GET /snapshot   everything the page shows, once, as JSON
    GET /events     the same twice a second, as server-sent events
    GET /metrics    for Prometheus
    GET /healthz    200 if what is shown is of now, 503 if the broker is away

A reader who is slow misses snapshots and holds nothing up: each is sent the newest one, when he is ready.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from importlib import resources

import orjson
from aiohttp import web

from protocol.errors import CountersignError
from streams.clock import now_ms
from streams.dashboard.board import Board
from streams.dashboard.exposition import CONTENT_TYPE, exposition
from streams.loopback_web import LOOPBACK, add_security_headers, answer, guard_loopback

PERIOD_S = 0.5
_READERS_MAX = 32
_SEND_S = 10.0
_FILES = {
    "/": ("index.html", "text/html"),
    "/dashboard.css": ("dashboard.css", "text/css"),
    "/dashboard.js": ("dashboard.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


class DashboardServer:
    """Serves one board from the running event loop.

    Args:
        board: what is shown.
        port: on loopback; 0 takes a free one.
    """

    def __init__(self, board: Board, port: int) -> None:
        self._board = board
        self._port = port
        self._readers = 0
        self._latest = b""
        self._latest_at = 0.0
        self._ending = asyncio.Event()
        application = web.Application(middlewares=[guard_loopback])
        application.on_response_prepare.append(add_security_headers)
        for path, (name, content_type) in _FILES.items():
            application.router.add_get(path, _file_handler(name, content_type))
        application.router.add_get("/snapshot", self._snapshot)
        application.router.add_get("/events", self._events)
        application.router.add_get("/metrics", self._metrics)
        application.router.add_get("/healthz", self._healthz)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> str:
        """Listen; give the address.

        Raises:
            CountersignError: `port.taken`.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, LOOPBACK, self._port).start()
        except OSError as error:
            text = f"{LOOPBACK}:{self._port}: {error.strerror}"
            raise CountersignError("port.taken", text) from error
        return f"http://{LOOPBACK}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Let readers go, and listen no more."""
        self._ending.set()
        await self._runner.cleanup()

    # --- What is asked for ---

    async def _snapshot(self, _: web.Request) -> web.Response:
        return web.Response(body=self._newest(), content_type="application/json")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._readers >= _READERS_MAX:
            return web.Response(status=503, text="Too many pages are open.\n", headers={"Retry-After": "5"})
        self._readers += 1
        try:
            return await self._send_events(request)
        finally:
            self._readers -= 1

    async def _send_events(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        with contextlib.suppress(ConnectionError, TimeoutError):
            await stream.write(b"retry: 1000\n\n")
            while not self._ending.is_set():
                async with asyncio.timeout(_SEND_S):
                    await stream.write(b"data: " + self._newest() + b"\n\n")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PERIOD_S):
                        await self._ending.wait()
        return stream

    def _newest(self) -> bytes:
        """The snapshot of now: one for all readers of half a second."""
        now = asyncio.get_running_loop().time()
        if now - self._latest_at >= 0.9 * PERIOD_S or not self._latest:
            self._latest = orjson.dumps(self._board.snapshot(now_ms()))
            self._latest_at = now
        return self._latest

    async def _metrics(self, _: web.Request) -> web.Response:
        text = exposition(self._board.snapshot(now_ms()), self._board.measures(now_ms()))
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, _: web.Request) -> web.Response:
        is_healthy = self._board.is_healthy(now_ms())
        return answer({"status": "ok" if is_healthy else "broker away"}, 200 if is_healthy else 503)


def _file_handler(name: str, content_type: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    body = resources.files("streams.dashboard").joinpath("page", name).read_bytes()

    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    return serve
