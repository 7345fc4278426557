"""The dashboard's process: threads that read the log, and an event loop that serves the page."""

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

import aiohttp
import orjson

from learners.blame import BlockEncoder
from streams.clock import now_ms
from streams.dashboard.board import Board, LedgerFacts
from streams.dashboard.evidence_watch import EvidenceWatch
from streams.dashboard.server import DashboardServer
from streams.dashboard.watch import LogWatch
from streams.evidence_judge import EvidenceJudge
from streams.kafka_log import KafkaLogReader, KafkaLogWriter
from streams.metrics import MetricsPublisher, ProcessMetrics
from streams.role_directory import RoleConfiguration
from streams.stop_signal import StopSignal

DASHBOARD = "dashboard"

_ACTIVITY_S = 2.0
_ANSWER_BYTES_MAX = 1024 * 1024
_PAGES = {
    "minutes": "/activity/?minutes=15",
    "entities": "/top/?of=entities&rows=6",
    "records": "/top/?of=records&rows=6",
}

FindViews = Callable[[], str]


def run_dashboard(
    configuration: RoleConfiguration,
    port: int,
    stop: StopSignal,
    on_ready: Callable[[str], None] = lambda _: None,
    find_views: FindViews = lambda: "",
) -> None:
    """Watch a ledger and serve the page until told to stop.

    Args:
        configuration: of this role.
        port: on loopback; 0 takes a free one.
        stop: when to end.
        on_ready: told the page's address once it is served.
        find_views: gives the address of the live views, "" while there are none; asked now and then.

    Raises:
        CountersignError: `port.taken`, `broker.refused`, or the ledger's epochs cannot be trusted.
    """
    epochs = configuration.epochs()
    board = Board(LedgerFacts.of(epochs), now_ms())
    connection = configuration.connection()
    with ExitStack() as closing:
        log_reader, evidence_reader = KafkaLogReader(connection), KafkaLogReader(connection)
        closing.callback(log_reader.close)
        closing.callback(evidence_reader.close)
        metrics = ProcessMetrics(DASHBOARD, str(os.getpid()))
        publisher = MetricsPublisher(metrics, KafkaLogWriter(connection), now_ms)
        judge = EvidenceJudge(epochs, BlockEncoder(epochs))
        watches = [
            LogWatch(log_reader, epochs, board, stop).run,
            EvidenceWatch(evidence_reader, judge, board, stop).run,
        ]

        def served(address: str) -> None:
            publisher.start()
            closing.callback(publisher.close)
            closing.callback(_start(watches, stop))
            on_ready(address)

        try:
            asyncio.run(_serve(board, port, stop, served, find_views))
        finally:
            stop.request()


def _start(watches: Sequence[Callable[[], None]], stop: StopSignal) -> Callable[[], None]:
    """Run each in a thread; give what waits for all, and raises what the first one that crashed raised."""
    crashes: list[BaseException] = []

    def guard(watch: Callable[[], None]) -> None:
        try:
            watch()
        except BaseException as crash:  # raised again by whoever waits
            crashes.append(crash)
        finally:
            stop.request()

    threads = [threading.Thread(target=guard, args=(watch,), name="watch") for watch in watches]
    for thread in threads:
        thread.start()

    def join() -> None:
        for thread in threads:
            thread.join()
        if crashes:
            raise crashes[0]

    return join


async def _serve(
    board: Board, port: int, stop: StopSignal, served: Callable[[str], None], find_views: FindViews
) -> None:
    """Serve the page, and look at the live views now and then, until told to stop."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def ask_to_stop() -> None:
        with suppress(RuntimeError):  # the loop may have ended by itself, and is told for nothing
            loop.call_soon_threadsafe(stopping.set)

    stop.on_request(ask_to_stop)
    server = DashboardServer(board, port)
    try:
        served(await server.start())
        activity = loop.create_task(_follow_views(board, find_views))
        await stopping.wait()
        activity.cancel()
    finally:
        await server.stop()


async def _follow_views(board: Board, find_views: FindViews) -> None:
    """Bring what the live views show onto the board, for ever."""
    timeout = aiohttp.ClientTimeout(total=_ACTIVITY_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            address = find_views()
            board.take_activity(await _activity(session, address) if address else None)
            await asyncio.sleep(_ACTIVITY_S)


async def _activity(session: aiohttp.ClientSession, address: str) -> Mapping[str, Any] | None:
    """What the live views show; None if they do not answer as they should."""
    found: dict[str, Any] = {}
    try:
        for name, path in _PAGES.items():
            async with session.get(address + path) as response:
                page = orjson.loads(await _body(response))
                found[name], found["as_of"] = page["rows"], page["as_of"]
    except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError):
        return None
    return found


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The whole of an answer, which comes in parts.

    Raises:
        ValueError: it is too long.
    """
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > _ANSWER_BYTES_MAX:
            raise ValueError(f"an answer of more than {_ANSWER_BYTES_MAX} bytes")
    return bytes(body)
