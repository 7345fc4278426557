"""The client of the query server believes nobody: a stranger may have the port of a learner that died."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from storage.queries import QueryError, QueryResult
from streams import query_client
from streams.query_client import QueryClient

GOOD: dict[str, Any] = {"columns": ["a", "b"], "types": ["INT", "INT"], "rows": [[1, 2], [3, None]], "sequence": 7}


@contextmanager
def stranger(*parts: bytes, endless: bytes = b"") -> Iterator[QueryClient]:
    """A client of a server that answers one request with these bytes, and goes on with `endless` as long as it may."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with closing(connection):
                connection.recv(65536)
                try:
                    for part in parts:
                        connection.sendall(part)
                    while endless:
                        connection.sendall(endless)
                except OSError:  # the client has heard enough
                    pass

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield QueryClient(f"http://127.0.0.1:{listening.getsockname()[1]}")
        finally:
            serving.join(30)
            assert not serving.is_alive()


def answered(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def refused(client: QueryClient, call: str) -> QueryError:
    with pytest.raises(QueryError) as caught:
        client.query("SELECT 1") if call == "query" else client.health()
    return caught.value


def test_an_answer_is_given_as_it_came() -> None:
    """Columns, types, rows and sequence, of an empty ledger too."""
    with stranger(answered(json.dumps(GOOD).encode())) as client:
        assert client.query("SELECT 1") == QueryResult(
            columns=("a", "b"), types=("INT", "INT"), rows=((1, 2), (3, None)), sequence=7
        )
    with stranger(answered(b'{"columns": [], "types": [], "rows": [], "sequence": -1}')) as client:
        assert client.query("SELECT 1") == QueryResult(columns=(), types=(), rows=(), sequence=-1)
    with stranger(answered(b'{"status": "stuck", "sequence": 3}', "503 Busy")) as client:
        assert client.health() == {"status": "stuck", "sequence": 3}


def test_an_error_of_the_server_keeps_its_code_and_detail() -> None:
    """With whatever status it comes."""
    with stranger(answered(b'{"error": "sql.behind", "detail": "learned 3"}', "503 Behind")) as client:
        error = refused(client, "query")
    assert (error.code, error.detail) == ("sql.behind", "learned 3")


STRANGE = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a page": answered(b"<html>404</html>", "404 Not Found"),
    "null": answered(b"null"),
    "a list": answered(b"[]"),
    "an empty object": answered(b"{}"),
    "half an answer": answered(json.dumps(GOOD).encode())[:-1],
    "no UTF-8": answered(b'{"a": "\xff"}'),
    "nested too deep": answered(b"[" * 200_000),
    "a number too long": answered(b'{"sequence": ' + b"9" * 5000 + b"}"),
    "an error that is a list": answered(b'{"error": []}'),
    "an error that is an object": answered(b'{"error": {"code": "sql.refused"}}'),
    "an error that nobody knows": answered(b'{"error": "sql.nonsense"}'),
    "an error of something else": answered(b'{"error": "evidence.raised", "detail": "the Ledger lied"}'),
}


@pytest.mark.parametrize("call", ["query", "health"])
@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_answer_is_an_error_with_a_code(name: str, call: str) -> None:
    """Never another exception; and never the code of something that did not happen."""
    with stranger(STRANGE[name]) as client:
        assert refused(client, call).code == "sql.unreachable"


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": "ab"},
        {"columns": {"a": 1, "b": 2}},
        {"columns": ["a", 2]},
        {"columns": ["a"]},
        {"types": "xy"},
        {"types": ["INT", None]},
        {"types": ["INT"]},
        {"rows": "xy"},
        {"rows": {"ab": 1}},
        {"rows": ["ab"]},
        {"rows": [{"a": 1, "b": 2}]},
        {"rows": [[1, 2], [1]]},
        {"rows": [[1, 2, 3]]},
        {"sequence": "7"},
        {"sequence": None},
        {"sequence": True},
        {"sequence": 7.0},
        {"rows": None},
    ],
    ids=str,
)
def test_an_answer_of_another_form_is_none(changes: dict[str, object]) -> None:
    """Every row is as wide as the columns: whoever uses the answer need not look again."""
    with stranger(answered(json.dumps({**GOOD, **changes}).encode())) as client:
        assert refused(client, "query").code == "sql.unreachable"


@pytest.mark.parametrize("head", ["", "Content-Length: 99999999999\r\n", "Transfer-Encoding: chunked\r\n"])
def test_an_endless_answer_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch, head: str) -> None:
    """It would fill the memory."""
    monkeypatch.setattr(query_client, "ANSWER_BYTES_MAX", 1_000_000)
    endless = b"1000\r\n" + b" " * 4096 + b"\r\n" if "chunked" in head else b" " * 4096
    with stranger(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode(), endless=endless) as client:
        assert refused(client, "query").code == "sql.unreachable"


def test_an_answer_of_just_the_bound_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is no less than it says."""
    body = json.dumps(GOOD).encode()
    monkeypatch.setattr(query_client, "ANSWER_BYTES_MAX", len(body))
    with stranger(answered(body)) as client:
        assert client.query("SELECT 1").sequence == 7
    with stranger(answered(body + b" ")) as client:
        assert refused(client, "query").code == "sql.unreachable"


def test_an_answer_that_drips_has_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes soon enough, and the last one never."""
    ticks = iter(range(1_000_000))
    monkeypatch.setattr("streams.query_client.time.monotonic", lambda: float(next(ticks)))
    with stranger(b"HTTP/1.1 200 OK\r\n\r\n", endless=b" ") as client:
        assert refused(client, "query").code == "sql.unreachable"
    assert next(ticks) < 70


def test_nobody_there_is_unreachable() -> None:
    """The address of a learner that ended."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
    assert refused(QueryClient(f"http://127.0.0.1:{port}"), "health").code == "sql.unreachable"


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "http://127.0.0.1", "127.0.0.1:1", "http://:1", "http://a:99999"])
def test_a_url_of_another_form_is_refused(url: str) -> None:
    """Before anything is asked."""
    with pytest.raises(ValueError):
        QueryClient(url)
