"""Live views on a learner's change feed: a Faust app of tables with JSON pages. The only door to Faust.

    GET /            what there is, and how far it is
    GET /activity/   requests and versions written, per namespace and minute      ?minutes=30
    GET /records/    a record's latest version, or those written last             ?namespace=&key= | ?rows=100
    GET /entities/   what an entity did, or those active last                     ?entity= | ?rows=100
    GET /top/        who sends most requests, or which records are written most   ?of=entities|records&rows=20

Rules:

1. The feed is in its learner's trust domain, and so are these views. They can always be made again from it.
2. Faust delivers some messages twice, and after a rebalance some not at all: every row takes a sequence once
   (`streams.views_tally`), and what was left out is read beside it (`streams.whole_feed`).
3. `as_of` says which sequence was the last in a page; `wait_for=SEQUENCE` waits until that one is.
4. Tables live in memory and in Faust's own changelog topics, named after the ledger's prefix.
5. Pages are served on loopback only. Faust's own pages (tables, routes, statistics) are off.
"""

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import faust
from aiohttp import web
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP
from mode.threads import ServiceThread, WorkerThread

from protocol.errors import CountersignError
from schemas.errors import MalformedMessageError
from schemas.feed import Learned, Metrics
from schemas.topics import LEARNED, MESSAGE_BYTES_MAX, METRICS, MIB, topic_table
from streams.clock import now_ms
from streams.event_loop import CANCEL_S, run_in_loop
from streams.kafka_admin import KafkaAdmin
from streams.kafka_log import KafkaLogReader
from streams.log import LogUnavailableError
from streams.loopback_web import (
    LOOPBACK,
    add_security_headers,
    answer,
    answer_error,
    choose_port,
    guard_loopback,
)
from streams.metrics import INTERVAL_S, ProcessMetrics
from streams.role_directory import RoleConfiguration
from streams.stop_signal import StopSignal
from streams.views_pages import (
    KEPT_S,
    WINDOW_S,
    Page,
    Query,
    activity_page,
    entities_page,
    records_page,
    sequence_asked,
    top_page,
)
from streams.views_tables import LiveViews
from streams.whole_feed import WholeFeed

VIEWS = "views"

_SESSION_TIMEOUT_S = 6.0
"""How long the group waits for a member that ended uncleanly."""
_REQUEST_TIMEOUT_S = 10.0
"""Faust refuses to start if this is below the session's."""
_DECISIONS_AHEAD = 16
_DECISIONS_AT_ONCE = 32
"""Both are few: a decision may be megabytes."""
_GATHER_S = 0.25
"""For how long decisions are gathered; each row that they change is then written once."""
_LINGER_S = 0.05
_LOOK_S = 3.0
_CHANGELOG = {
    "max.message.bytes": str(MESSAGE_BYTES_MAX),
    "min.cleanable.dirty.ratio": "0.1",
    "segment.bytes": str(16 * MIB),
}
_WAIT_S = 10.0
_END_S = 5.0
"""How long Faust has to come to a good end."""
_EXIT_MISTAKE = 70

_log = logging.getLogger("countersign.views")


class LearnedCodec(faust.Codec):
    """Decodes `Learned`; what is no such message comes as None, to be counted and skipped.

    Nobody signs the feed, so it is not proven that bytes are in their one valid form: that would take twice
    as long as all the rest.
    """

    def _loads(self, s: bytes) -> Learned | None:
        try:
            return Learned.of_fields(Learned.avro.decode_prefix(Learned.body_of(s)))
        except (MalformedMessageError, TypeError, ValueError):
            return None


class MetricsCodec(faust.Codec):
    """Encodes `Metrics`."""

    def _dumps(self, s: Metrics) -> bytes:
        return s.to_message()


# --- Pages ---


class Pages:
    """The JSON pages over the tables."""

    def __init__(self, app: faust.App, views: LiveViews, ledger_id: bytes) -> None:
        self._views = views
        self._ledger_id = ledger_id
        pages: dict[str, Callable[[Query], Page | None]] = {
            "/": self._index,
            "/activity/": lambda query: activity_page(views.activity.items(), query, now_ms()),
            "/records/": lambda query: records_page(views.records, query),
            "/entities/": lambda query: entities_page(views.entities, query),
            "/top/": lambda query: top_page(views.entities, views.records, query),
        }
        self._paths = [path for path in pages if path != "/"]
        for path, make in pages.items():
            app.page(path, name=path)(self._handler(make))

    def _index(self, _: Query) -> Page:
        return {"ledger_id": self._ledger_id.hex(), "pages": self._paths}

    def _handler(self, make: Callable[[Query], Page | None]) -> Callable[..., Any]:
        async def page(_: object, request: web.Request) -> web.Response:
            try:
                return await self._answer(make, request.query)
            except CountersignError as error:
                return answer_error(error, 400)

        return page

    async def _answer(self, make: Callable[[Query], Page | None], query: Query) -> web.Response:
        wanted = sequence_asked(query)
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._views.reach(wanted)
        except TimeoutError:
            text = f"asked for {wanted}, these views have {self._views.sequence}"
            return answer_error(CountersignError("sql.behind", text), 503)
        page = make(query)
        if page is None:
            return answer_error(CountersignError("query.no_row"), 404)
        return answer({"as_of": self._views.sequence, **page})


# --- The process ---


class _ConsumerThread(WorkerThread):
    """Faust's thread for its consumer, which keeps nothing from ending that is not to wait for the broker."""

    def __init__(self, service: ServiceThread, **options: Any) -> None:
        super().__init__(service, **options)
        self.daemon = True

    def stop(self) -> None:
        """Wait for its end, as long as there is time."""
        self.join(_END_S)


class _Worker(faust.Worker):
    """Faust's worker, which leaves signals, logs and standard output to the role's process."""

    def __init__(self, app: faust.App) -> None:
        super().__init__(app, daemon=False, quiet=True, override_logging=False, redirect_stdouts=False)
        self.spinner = None

    def install_signal_handlers(self) -> None:
        """Leave them alone."""


def run_faust(
    configuration: RoleConfiguration,
    port: int,
    stop: StopSignal,
    on_ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Keep and serve the live views until told to stop.

    Args:
        configuration: of this role.
        port: on loopback; 0 takes a free one.
        stop: when to end.
        on_ready: told the address once the tables are recovered and the pages are served.

    Raises:
        CountersignError: `port.taken`, `broker.unreachable`, `config.invalid`.
    """
    for name in ("faust", "mode", "aiokafka"):
        logging.getLogger(name).setLevel(logging.ERROR)
    port = choose_port(port)
    admin = KafkaAdmin(configuration.connection())
    missing = admin.missing_topics([topic for topic in topic_table(1, 1) if topic.name in (LEARNED, METRICS)])
    if missing:  # Faust would make them, with settings of its own
        raise CountersignError("broker.refused", f"there is no topic {' and no topic '.join(missing)}")
    replication = min(3, len(admin.describe().brokers))
    AIOKafkaConsumerThread.Worker = _ConsumerThread
    app = make_app(configuration, port, replication)
    run_in_loop(_run(app, stop, lambda: on_ready(f"http://{LOOPBACK}:{port}")))


async def _run(app: faust.App, stop: StopSignal, on_ready: Callable[[], None]) -> None:
    """Run an app under Faust's worker until told to stop, or until it crashes.

    Raises:
        LogUnavailableError: it crashed because the broker is away.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def ask_to_stop() -> None:
        with suppress(RuntimeError):  # the loop may have ended by itself, and is told for nothing
            loop.call_soon_threadsafe(stopping.set)

    stop.on_request(ask_to_stop)
    worker = _Worker(app)
    asked = loop.create_task(stopping.wait())
    started = loop.create_task(worker.start())
    ended = loop.create_task(worker.wait_until_stopped())
    try:
        await asyncio.wait({asked, started, ended}, return_when=asyncio.FIRST_COMPLETED)
        if started.done():
            await started
            on_ready()
            await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        if worker.crash_reason is not None:
            raise worker.crash_reason
    except KafkaError as error:
        if not error.retriable:
            raise
        raise LogUnavailableError(str(error)) from error
    finally:
        await _end(worker, (asked, started, ended))


async def _end(worker: faust.Worker, tasks: Sequence[asyncio.Task[Any]]) -> None:
    """End a worker in good time: with a broker that is away, Faust would try for ever to tell it where it stands.

    Nothing is lost by that: the views take again what they have not committed.
    """
    ending = asyncio.create_task(worker.stop())
    await asyncio.wait({ending}, timeout=_END_S)
    if not ending.done():
        _log.warning("the broker does not answer: ending without it")
    for task in (ending, *tasks):
        task.cancel()
    await asyncio.wait({ending, *tasks}, timeout=CANCEL_S)


def make_app(configuration: RoleConfiguration, port: int, replication: int) -> faust.App:
    """The app of one ledger, with its tables, agent and pages.

    Args:
        configuration: of this role.
        port: of the pages, on loopback.
        replication: copies of each changelog's messages.
    """
    app = _configured(configuration, port, replication)
    ledger_id = bytes.fromhex(configuration.ledger_id)
    metrics = ProcessMetrics(VIEWS, str(os.getpid()))
    views = LiveViews(
        activity=_table(app, "activity").tumbling(WINDOW_S, expires=KEPT_S),
        entities=_table(app, "entities"),
        records=_table(app, "records"),
        progress=_table(app, "progress"),
        ledger_id=ledger_id,
        meter=metrics.meter(VIEWS),
    )
    Pages(app, views, ledger_id)
    server: Any = app.web  # of the aiohttp driver
    server.web_app.on_response_prepare.append(add_security_headers)
    connection = configuration.connection()
    feed = WholeFeed(views, LearnedCodec().loads, lambda: KafkaLogReader(connection))
    name = connection.full_name(LEARNED)
    learned = app.topic(name, key_type=bytes, value_serializer=LearnedCodec(), allow_empty=True)
    measured = app.topic(connection.full_name(METRICS), key_type=bytes, value_serializer=MetricsCodec())

    async def keep(decisions: Any) -> None:
        async for events in decisions.take_events(_DECISIONS_AT_ONCE, within=_GATHER_S):
            try:
                await feed.show([(event.message.offset, event.value) for event in events])
            except Exception:
                # Faust would go on with the next ones, and even its clean end would commit these as done.
                _log.critical("a decision cannot be shown: this is a mistake in the program", exc_info=True)
                os._exit(_EXIT_MISTAKE)

    async def publish() -> None:
        views.measure()
        await measured.send(key=VIEWS.encode(), value=metrics.snapshot(now_ms()))

    async def look() -> None:
        if not (app.rebalancing or app.in_recovery):
            with suppress(KafkaError, ConsumerNotStarted):  # it has not got the partition, or not yet
                await feed.look(app.consumer.highwater(TP(name, 0)))

    app.agent(learned, name="views")(keep)
    app.timer(_LOOK_S, name="look")(look)
    app.timer(INTERVAL_S, name="metrics")(publish)
    return app


def _configured(configuration: RoleConfiguration, port: int, replication: int) -> faust.App:
    """An app with nothing in it, and every setting of Faust that we change."""
    connection = configuration.connection()
    options = connection.options
    return faust.App(
        connection.full_name(VIEWS),
        env={},  # settings come from the role's file, none from the environment
        broker=[f"aiokafka://{each}" for each in connection.bootstrap.split(",")],
        broker_credentials=credentials(options) if options else None,
        broker_request_timeout=_REQUEST_TIMEOUT_S,
        broker_session_timeout=_SESSION_TIMEOUT_S,
        broker_heartbeat_interval=_SESSION_TIMEOUT_S / 3,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MESSAGE_BYTES_MAX,
        producer_linger=_LINGER_S,
        producer_max_request_size=MESSAGE_BYTES_MAX,
        datadir=str(configuration.path("faust")),
        store="memory://",
        stream_buffer_maxsize=_DECISIONS_AHEAD,
        topic_allow_declare=True,
        topic_disable_leader=True,
        topic_partitions=1,
        topic_replication_factor=replication,
        web_application_options={"middlewares": [guard_loopback]},
        web_bind=LOOPBACK,
        web_host=LOOPBACK,
        web_port=port,
        web_router_enabled=False,
        web_stats_enabled=False,
        web_tables_enabled=False,
    )


def _table(app: faust.App, name: str) -> Any:
    """A table with one partition, whose changelog stays short."""
    return app.Table(name, partitions=1, use_partitioner=True, extra_topic_configs=_CHANGELOG)


def credentials(options: Mapping[str, str]) -> Any:
    """Faust's form of librdkafka's settings for TLS and SASL.

    Raises:
        CountersignError: `config.invalid`, there is a setting that Faust has no like of.
    """
    unknown = options.keys() - _SECURITY
    if unknown:
        raise CountersignError("config.invalid", f"the views cannot use kafka.{min(unknown)}")
    protocol = options.get("security.protocol", "PLAINTEXT").upper()
    context = _tls(options) if protocol.endswith("SSL") else None
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=options.get("sasl.mechanisms", options.get("sasl.mechanism")),
            username=options.get("sasl.username"),
            password=options.get("sasl.password"),
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None


_SECURITY = frozenset(
    (
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
    )
)


def _tls(options: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl.ca.location"))
    if "ssl.certificate.location" in options:
        context.load_cert_chain(
            options["ssl.certificate.location"],
            options.get("ssl.key.location"),
            options.get("ssl.key.password"),
        )
    return context
