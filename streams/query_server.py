"""Answers SQL over a learner's views: HTTP on loopback, read-only.

    POST /query    {"sql": ..., "as_of": sequence, "wait_for": sequence, "time_ms": ...}; all but sql optional
                   -> {"columns": [...], "types": [...], "rows": [[...], ...], "sequence": ...}
    GET /health    -> {"status": "ok" | "stuck", "sequence": ..., "running": ...}

Rules:

1. The views are the learner's own process's: their engine locks its file against every other process.
2. It listens on loopback only, and answers only requests that name it so: a page of the web that has its name
   resolve to 127.0.0.1 names itself. Requests of a page (they carry an Origin) are refused as well.
3. An error has a code of the table: {"error": code, "message": ..., "detail": ..., "remedy": ...}.
4. `as_of` shows the views as they were behind a sequence, so its answer never changes. It waits for that
   sequence as `wait_for` does.
5. Waiting queries are few. A query that cannot be interrupted makes the server *stuck*: it says so in its
   health, and to whoever started it, who should end the process. Nothing is lost by that.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol

import orjson
from aiohttp import web

from protocol.errors import CountersignError
from storage.queries import QueryError, QueryResult
from storage.views import ViewPosition

_STATUS = {"sql.busy": 503, "sql.behind": 503, "sql.timeout": 504}
_BODY_BYTES = 64 * 1024
_FIELDS = {"sql": str, "as_of": int, "wait_for": int, "time_ms": int}
_STUCK_CHECK_S = 1.0
_log = logging.getLogger("countersign")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class QueriedViews(Protocol):
    """The views a server answers from; `storage.duckdb_views.DuckDbViews` is one."""

    def query(self, sql: str, *, as_of: int | None = None, time_ms: int | None = None) -> QueryResult:
        """Answer a query."""
        ...

    def position(self) -> ViewPosition:
        """How far the views reach."""
        ...

    def on_append(self, listener: Callable[[int], None]) -> None:
        """Have a function called with the new sequence after every append."""
        ...

    @property
    def stuck(self) -> bool:
        """Whether a query could not be interrupted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What the server takes on.

    Attributes:
        running: queries answered at once; as many as the views have readers.
        waiting: queries that wait for a reader or a sequence.
        wait_ms: how long they wait.
    """

    running: int = 2
    waiting: int = 32
    wait_ms: int = 10_000


class QueryServer:
    """Serves one learner's views from a thread of its own.

    Args:
        views: what is asked.
        host: a loopback address.
        port: 0 takes a free one.
        limits: of the server; those of a query are the views'.
        on_stuck: called once, from the server's thread, when a query cannot be interrupted; it is logged too.
    """

    def __init__(
        self,
        views: QueriedViews,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: ServerLimits | None = None,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> None:
        if not ip_address(host).is_loopback:
            raise CountersignError("config.invalid", f"{host} is no loopback address")
        self.host = host
        self.port = port
        self._views = views
        self._limits = limits or ServerLimits()
        self._on_stuck = on_stuck
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="query server", daemon=True)
        self._free = asyncio.Semaphore(self._limits.running)
        self._running = 0
        self._waiting = 0
        self._sequence_waiters: set[tuple[int, asyncio.Future[None]]] = set()
        self._runner: web.AppRunner | None = None
        self._stuck_watch: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens, once started."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen.

        Raises:
            CountersignError: `port.taken`.
        """
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop listening; running queries are left to the views' `close`."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        application = web.Application(client_max_size=_BODY_BYTES, middlewares=[self._guard])
        application.router.add_post("/query", self._query)
        application.router.add_get("/health", self._health)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        try:
            await site.start()
        except OSError as error:
            raise CountersignError("port.taken", f"{self.host}:{self.port}: {error.strerror}") from error
        self.port = self._runner.addresses[0][1]
        self._views.on_append(self._appended)
        self._stuck_watch = asyncio.create_task(self._watch_stuck())

    async def _stop(self) -> None:
        if self._stuck_watch is not None:
            self._stuck_watch.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- Requests ---

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer only whoever names this address, and turn errors into answers."""
        names = {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]", self.host)}
        try:
            if request.headers.get("Host", "").lower() not in names:
                raise QueryError("sql.refused", "the request names another host")
            if "Origin" in request.headers:
                raise QueryError("sql.refused", "the request is a page's")
            return await handler(request)
        except QueryError as error:
            return _error(error, _STATUS.get(error.code, 400))

    async def _query(self, request: web.Request) -> web.Response:
        asked = _asked(await self._body(request))
        as_of: int | None = asked.get("as_of")
        wait_for: int | None = asked.get("wait_for")
        wanted = [sequence for sequence in (as_of, wait_for) if sequence is not None]
        if self._waiting >= self._limits.waiting:
            raise QueryError("sql.busy", f"{self._waiting} queries are waiting")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.wait_ms / 1000):
                await self._reached(max(wanted, default=-1))
                await self._free.acquire()
        except TimeoutError:
            raise self._waited_in_vain(max(wanted, default=-1)) from None
        finally:
            self._waiting -= 1
        self._running += 1
        try:
            result = await self._in_thread(
                lambda: self._views.query(asked["sql"], as_of=as_of, time_ms=asked.get("time_ms"))
            )
        finally:
            self._running -= 1
            self._free.release()
        return _answer(
            {
                "columns": result.columns,
                "types": result.types,
                "rows": result.rows,
                "sequence": result.sequence,
            }
        )

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(self._limits.wait_ms / 1000):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise QueryError("sql.limit", f"the request is longer than {_BODY_BYTES} bytes") from None
        except (web.RequestPayloadError, ConnectionError, TimeoutError) as error:
            raise QueryError("sql.refused", f"the request did not come whole: {type(error).__name__}") from None

    async def _health(self, _: web.Request) -> web.Response:
        stuck = self._views.stuck
        health = {
            "status": "stuck" if stuck else "ok",
            "sequence": self._views.position().sequence,
            "running": self._running,
        }
        return _answer(health, 503 if stuck else 200)

    async def _in_thread(self, ask: Callable[[], QueryResult]) -> QueryResult:
        """Ask in a thread that does not keep the process from ending, as those of an executor would."""
        answered: asyncio.Future[QueryResult] = self._loop.create_future()

        def settle(result: QueryResult | None, error: BaseException | None) -> None:
            if answered.done():
                return
            if error is not None:
                answered.set_exception(error)
            elif result is not None:
                answered.set_result(result)

        def work() -> None:
            result, failure = None, None
            try:
                result = ask()
            except BaseException as error:
                failure = error
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(settle, result, failure)

        threading.Thread(target=work, name="query", daemon=True).start()
        return await answered

    # --- Waiting ---

    async def _reached(self, sequence: int) -> None:
        """Wait until the views reach a sequence."""
        waiter = (sequence, self._loop.create_future())
        self._sequence_waiters.add(waiter)  # before the look, so that no append falls between
        try:
            if self._views.position().sequence < sequence:
                await waiter[1]
        finally:
            self._sequence_waiters.discard(waiter)

    def _appended(self, sequence: int) -> None:
        """From the appending thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, sequence)

    def _wake(self, sequence: int) -> None:
        for wanted, future in self._sequence_waiters:
            if wanted <= sequence and not future.done():
                future.set_result(None)

    def _waited_in_vain(self, wanted: int) -> QueryError:
        sequence = self._views.position().sequence
        if sequence < wanted:
            return QueryError("sql.behind", f"asked for {wanted}, learned {sequence}")
        return QueryError("sql.busy", f"{self._limits.running} queries are running")

    async def _watch_stuck(self) -> None:
        while not self._views.stuck:
            await asyncio.sleep(_STUCK_CHECK_S)
        _log.error("a query cannot be interrupted: end this process and start it again, nothing is lost")
        self._on_stuck()


def _asked(body: bytes) -> dict[str, Any]:
    """A query's fields."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise QueryError("sql.refused", f"the request is not JSON: {error}") from error
    if not isinstance(asked, dict) or "sql" not in asked or asked.keys() - _FIELDS.keys():
        raise QueryError("sql.refused", f"the request has other fields than {', '.join(_FIELDS)}")
    asked = {name: value for name, value in asked.items() if value is not None or name == "sql"}
    for name, value in asked.items():
        if type(value) is not _FIELDS[name]:
            raise QueryError("sql.refused", f"{name} is no {_FIELDS[name].__name__}")
        if isinstance(value, int) and not -1 <= value < 2**63:
            raise QueryError("sql.refused", f"{name} is out of range")
    return asked


def _answer(content: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json", status=status)


def _error(error: CountersignError, status: int) -> web.Response:
    explained = error.explained
    content = {
        "error": error.code,
        "message": explained.message,
        "detail": error.detail,
        "remedy": explained.remedy,
    }
    return _answer(content, status)
