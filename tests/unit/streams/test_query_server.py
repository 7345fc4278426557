"""The query server: who may ask, what is answered, how long one waits."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import CountersignError
from storage.duckdb_views import DuckDbViews
from storage.queries import QueryError, QueryResult
from storage.views import ViewPosition
from streams.query_client import QueryClient
from streams.query_server import QueryServer, ServerLimits
from tests.reference.view_batches import LEDGER_ID, Batches

LIMITS = ServerLimits(running=1, waiting=2, wait_ms=300)
PATIENT = ServerLimits(running=1, waiting=2, wait_ms=30_000)
"""For tests in which nobody is to wait in vain, however busy the machine is."""


class SlowViews:
    """Views whose query "wait" waits until it is let go."""

    def __init__(self) -> None:
        self.sequence = 0
        self.entered = threading.Event()
        self.looked = threading.Event()
        self.let_go = threading.Event()
        self.stuck = False
        self.listeners: list[Callable[[int], None]] = []

    def query(self, sql: str, *, as_of: int | None = None, time_ms: int | None = None) -> QueryResult:
        if sql == "wait":
            self.entered.set()
            self.let_go.wait()
        if sql == "break":
            raise RuntimeError("a mistake of ours")
        row = (sql, as_of, time_ms)
        return QueryResult(
            columns=("sql", "as_of", "time_ms"), types=("A", "B", "B"), rows=(row,), sequence=self.sequence
        )

    def position(self) -> ViewPosition:
        self.looked.set()
        return ViewPosition(self.sequence, b"")

    def on_append(self, listener: Callable[[int], None]) -> None:
        self.listeners.append(listener)

    def append(self, sequence: int) -> None:
        self.sequence = sequence
        for listener in self.listeners:
            listener(sequence)


@contextmanager
def served(limits: ServerLimits) -> Iterator[tuple[SlowViews, QueryServer]]:
    views = SlowViews()
    server = QueryServer(views, limits=limits)
    server.start()
    yield views, server
    views.let_go.set()
    server.stop()


@pytest.fixture
def slow() -> Iterator[tuple[SlowViews, QueryServer]]:
    with served(LIMITS) as made:
        yield made


@pytest.fixture
def patient() -> Iterator[tuple[SlowViews, QueryServer]]:
    with served(PATIENT) as made:
        yield made


def code_of(ask: Callable[[], object]) -> str:
    with pytest.raises(QueryError) as caught:
        ask()
    return caught.value.code


def await_waiters(server: QueryServer, count: int) -> None:
    """Until so many wait for a sequence."""
    deadline = time.monotonic() + 20
    while len(server._sequence_waiters) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def raw(
    server: QueryServer, body: bytes | None, method: str = "POST", path: str = "/query", **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text.startswith(b"{") else {}
    finally:
        connection.close()


def test_real_views_are_answered_from(tmp_path: Path) -> None:
    """From an append to an answer, through the client; as of a sequence, and with the error of a bad query."""
    views = DuckDbViews(tmp_path / "views.duckdb", LEDGER_ID)
    server = QueryServer(views)
    server.start()
    try:
        client = QueryClient(server.url)
        batches = Batches()
        views.append(*batches.of([[[[("a", b'{"n":1}')]]]]))
        answers: list[QueryResult] = []
        later = threading.Thread(
            target=lambda: answers.append(client.query("SELECT value->>'n' AS n FROM records", wait_for=1))
        )
        later.start()
        assert client.query("SELECT value->>'n' AS n FROM records").rows == (("1",),)
        views.append(*batches.of([[[[("a", b'{"n":2}')]]]]))
        later.join()
        assert answers == [QueryResult(columns=("n",), types=("VARCHAR",), rows=(("2",),), sequence=1)]
        past = client.query("SELECT value->>'n' FROM records", as_of=0)
        assert (past.rows, past.sequence) == ((("1",),), 0)
        assert code_of(lambda: client.query("DROP VIEW records")) == "sql.not_select"
        assert code_of(lambda: client.query("FROM '/etc/passwd'")) == "sql.refused"
        assert code_of(
            lambda: client.query("SELECT count(*) FROM range(1e9::INT) a, range(1000)", time_ms=50)
        ) == ("sql.timeout")
        assert client.health() == {"status": "ok", "sequence": 1, "running": 0}
    finally:
        server.stop()
        views.close()


def test_options_reach_the_views(slow: tuple[SlowViews, QueryServer]) -> None:
    """as_of and time_ms are handed on."""
    client = QueryClient(slow[1].url)
    assert client.query("x", as_of=0, time_ms=7).rows == (("x", 0, 7),)
    assert client.query("x").rows == (("x", None, None),)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST", "[::1]"])
def test_whoever_names_this_address_is_answered(slow: tuple[SlowViews, QueryServer], host: str) -> None:
    """By any name of loopback, with its port."""
    status, _ = raw(slow[1], b'{"sql":"x"}', Host=f"{host}:{slow[1].port}")
    assert status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:PORT", "127.0.0.1.evil.example:PORT", "127.0.0.1:1", ""]
)
def test_a_page_under_another_name_is_refused(slow: tuple[SlowViews, QueryServer], host: str) -> None:
    """A name that somebody had resolve to loopback is not ours; on every path."""
    host = host.replace("PORT", str(slow[1].port))
    for method, path in (("POST", "/query"), ("GET", "/health"), ("GET", "/nothing")):
        status, answer = raw(slow[1], b'{"sql":"x"}', method, path, Host=host)
        assert (status, answer["error"]) == (400, "sql.refused")


def test_a_page_of_another_origin_is_refused(slow: tuple[SlowViews, QueryServer]) -> None:
    """A browser says where a request comes from."""
    status, answer = raw(slow[1], b'{"sql":"x"}', Origin="https://evil.example")
    assert (status, answer["error"]) == (400, "sql.refused")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"sql":1}',
        b'{"sql":null}',
        b'{"sql":"x","as_of":"1"}',
        b'{"sql":"x","as_of":1.5}',
        b'{"sql":"x","as_of":true}',
        b'{"sql":"x","as_of":-2}',
        b'{"sql":"x","wait_for":9223372036854775808}',
        b'{"sql":"x","other":1}',
        b"[" * 60_000,
    ],
)
def test_requests_that_are_none(slow: tuple[SlowViews, QueryServer], body: bytes) -> None:
    """Whatever else is sent gets the one code."""
    status, answer = raw(slow[1], body)
    assert (status, answer["error"]) == (400, "sql.refused")
    assert answer["remedy"]


def test_a_body_that_is_too_long(slow: tuple[SlowViews, QueryServer]) -> None:
    """It is not read to its end."""
    status, answer = raw(slow[1], b'{"sql":"' + b"x" * 100_000 + b'"}')
    assert (status, answer["error"]) == (400, "sql.limit")


def test_a_body_that_cannot_be_read(slow: tuple[SlowViews, QueryServer]) -> None:
    """It is no mistake of ours."""
    status, answer = raw(slow[1], b'{"sql":"x"}', **{"Content-Encoding": "gzip"})
    assert (status, answer["error"]) == (400, "sql.refused")


@pytest.mark.parametrize("ends", [True, False])
def test_a_body_that_does_not_come(
    slow: tuple[SlowViews, QueryServer], caplog: pytest.LogCaptureFixture, ends: bool
) -> None:
    """Its sender is not waited for, and fills no log, whether he falls silent or goes away."""
    _, server = slow
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sender:
        sender.sendall(b"POST /query HTTP/1.1\r\nHost: %s\r\nContent-Length: 99\r\n\r\n{" % server.url[7:].encode())
        if ends:
            sender.shutdown(socket.SHUT_WR)
        else:
            assert b"sql.refused" in sender.recv(4096)
    assert raw(server, b'{"sql":"x"}')[0] == 200
    assert not caplog.records


def test_a_sequence_that_does_not_come(slow: tuple[SlowViews, QueryServer]) -> None:
    """A wait ends, and says how far the learner is."""
    client = QueryClient(slow[1].url)
    assert code_of(lambda: client.query("x", wait_for=1)) == "sql.behind"
    assert code_of(lambda: client.query("x", as_of=1)) == "sql.behind"
    status, _ = raw(slow[1], b'{"sql":"x","wait_for":1}')
    assert status == 503
    assert not slow[1]._sequence_waiters


def test_a_sequence_that_comes_meanwhile(patient: tuple[SlowViews, QueryServer]) -> None:
    """Waiting takes no reader, and ends with the append."""
    views, server = patient
    client = QueryClient(server.url)
    answers: list[QueryResult] = []
    waiting = threading.Thread(target=lambda: answers.append(client.query("x", wait_for=5)))
    waiting.start()
    assert views.looked.wait(10), "it waits from before it looks how far the views are"
    assert client.query("y").rows[0][0] == "y"
    views.append(5)
    waiting.join()
    assert answers[0].sequence == 5


def test_appends_that_come_at_once(
    patient: tuple[SlowViews, QueryServer], caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever has what he waited for is not woken again, and holds nobody up."""
    views, server = patient
    answers: list[int] = []

    def ask(sequence: int) -> None:
        answers.append(QueryClient(server.url).query("x", wait_for=sequence).sequence)

    asking = [threading.Thread(target=ask, args=(sequence,)) for sequence in (1, 2)]
    for thread in asking:
        thread.start()
    await_waiters(server, 2)
    views.sequence = 2

    def wake() -> None:  # all of them before whoever is woken goes on
        for sequence in (1, 1, 2):
            server._wake(sequence)

    server._loop.call_soon_threadsafe(wake)
    for thread in asking:
        thread.join()
    assert answers == [2, 2]
    assert not caplog.records


def test_both_sequences_are_waited_for(slow: tuple[SlowViews, QueryServer]) -> None:
    """The greater of `as_of` and `wait_for`."""
    views, server = slow
    views.append(1)
    assert code_of(lambda: QueryClient(server.url).query("x", as_of=1, wait_for=2)) == "sql.behind"
    assert code_of(lambda: QueryClient(server.url).query("x", as_of=2, wait_for=1)) == "sql.behind"


def test_more_queries_than_readers(slow: tuple[SlowViews, QueryServer]) -> None:
    """The next one waits a little for its turn, and no longer."""
    views, server = slow
    client = QueryClient(server.url)
    running = threading.Thread(target=client.query, args=("wait",))
    running.start()
    assert views.entered.wait(10)
    assert client.health()["running"] == 1
    assert code_of(lambda: client.query("x")) == "sql.busy"
    views.let_go.set()
    running.join()
    assert client.query("x").rows[0][0] == "x"


def test_more_queries_than_may_wait(patient: tuple[SlowViews, QueryServer]) -> None:
    """Whoever comes while as many as may wait do is turned away at once; they are served when their time comes."""
    views, server = patient
    client = QueryClient(server.url)
    answers: list[int] = []
    crowd = [threading.Thread(target=lambda: answers.append(client.query("x", wait_for=9).sequence)) for _ in range(2)]
    for thread in crowd:
        thread.start()
    await_waiters(server, 2)
    with pytest.raises(QueryError) as refused:
        client.query("x")
    assert (refused.value.code, refused.value.detail) == ("sql.busy", "2 queries are waiting")
    views.append(9)
    for thread in crowd:
        thread.join()
    assert answers == [9, 9]
    assert client.query("x").rows[0][0] == "x"


def test_a_stuck_query_is_told(tmp_path: Path) -> None:
    """In health, and to whoever started the server."""
    told = threading.Event()
    views = SlowViews()
    server = QueryServer(views, on_stuck=told.set)
    server.start()
    try:
        views.stuck = True
        assert told.wait(10)
        assert raw(server, None, "GET", "/health") == (503, {"status": "stuck", "sequence": 0, "running": 0})
    finally:
        server.stop()


def test_our_own_mistake_ends_one_query(
    slow: tuple[SlowViews, QueryServer], caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, answered as the server's fault, and the next query is answered."""
    assert raw(slow[1], b'{"sql":"break"}')[0] == 500
    assert "a mistake of ours" in caplog.text
    assert raw(slow[1], b'{"sql":"x"}')[0] == 200


def test_it_listens_on_loopback_only() -> None:
    """Any other address is a wrong configuration."""
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        with pytest.raises(CountersignError) as caught:
            QueryServer(SlowViews(), host=host)
        assert caught.value.code == "config.invalid"


def test_a_port_that_is_taken() -> None:
    """The code says so, and nothing is left behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = QueryServer(SlowViews(), port=taken.getsockname()[1])
        with pytest.raises(CountersignError) as caught:
            server.start()
    assert caught.value.code == "port.taken"
    assert "query server" not in {thread.name for thread in threading.enumerate()}


def test_a_client_says_who_does_not_answer() -> None:
    """No server, a stranger, and an address that is none."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(10)
            connection.sendall(b"SSH-2.0-other\r\n")
            connection.close()

        stranger = threading.Thread(target=hang_up)
        stranger.start()
        assert code_of(lambda: QueryClient(f"http://127.0.0.1:{port}").query("x")) == "sql.unreachable"
        stranger.join()
    assert code_of(lambda: QueryClient(f"http://127.0.0.1:{port}").health()) == "sql.unreachable"
    for url in ("127.0.0.1:80", "https://127.0.0.1:80", "http://127.0.0.1"):
        with pytest.raises(ValueError, match="HOST:PORT"):
            QueryClient(url)
