"""SQL over a running learner's query endpoint: only reading, only the views, and not more than there is."""

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from deploy.initialize import LEARNER
from storage.queries import QueryError
from streams.query_client import QueryClient
from tests.pipeline import Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REFUSED = {
    "drop": ("DROP VIEW records", "sql.not_select"),
    "insert": ("INSERT INTO store.history SELECT * FROM store.history", "sql.not_select"),
    "update": ("UPDATE store.position SET sequence = 0", "sql.not_select"),
    "copy out": ("COPY (SELECT 1) TO '/tmp/taken'", "sql.not_select"),
    "attach": ("ATTACH '/tmp/other.duckdb'", "sql.not_select"),
    "settings": ("SET enable_external_access = true", "sql.not_select"),
    "install": ("INSTALL httpfs", "sql.not_select"),
    "two statements": ("SELECT 1; DROP VIEW records", "sql.not_select"),
    "nothing": ("", "sql.not_select"),
    "a file by its function": ("SELECT * FROM read_csv('/etc/passwd')", "sql.refused"),
    "a file by its name": ("SELECT * FROM '/etc/passwd'", "sql.refused"),
    "a file as text": ("SELECT content FROM read_text('/etc/passwd')", "sql.refused"),
    "a directory": ("SELECT * FROM glob('/*')", "sql.refused"),
    "an address": ("SELECT * FROM 'http://127.0.0.1/a.csv'", "sql.refused"),
    "the settings": ("SELECT * FROM duckdb_settings()", "sql.refused"),
    "the environment": ("SELECT getenv('PATH')", "sql.refused"),
    "the learner's own tables": ("SELECT * FROM store.position", "sql.refused"),
    "SQL in a string": ("SELECT * FROM query('SELECT 1')", "sql.refused"),
    "no SQL": ("SELEKT 1", "sql.refused"),
    "too many rows": ("SELECT * FROM range(20000)", "sql.limit"),
    "too much of one": ("SELECT repeat('x', 100000000)", "sql.limit"),
    "too long a text": ("SELECT '" + "x" * 20_000 + "'", "sql.limit"),
}


@pytest.fixture(scope="module")
def views(ledger: Pipeline) -> Iterator[QueryClient]:
    """The endpoint; at the end it is the same process that answers."""
    pid = ledger.stack.supervisor.pid(LEARNER)
    ledger.serve()
    yield ledger.views()
    ledger.serve()
    assert ledger.stack.supervisor.pid(LEARNER) == pid


@pytest.mark.parametrize(("sql", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_a_query_that_wants_more(views: QueryClient, sql: str, code: str) -> None:
    """It has its code, and the next one is answered."""
    with pytest.raises(QueryError) as refused:
        views.query(sql)
    assert refused.value.code == code
    assert views.query("SELECT count(*) > 0 FROM records").rows == ((True,),)


def test_a_query_without_end(views: QueryClient) -> None:
    """It is stopped when its time is up."""
    with pytest.raises(QueryError) as refused:
        views.query("SELECT count(*) FROM range(1000000) a, range(1000000) b", time_ms=300)
    assert refused.value.code == "sql.timeout"
    assert views.health()["status"] == "ok"


@pytest.mark.parametrize("header", ["Host", "Origin"])
def test_a_page_of_the_web(views: QueryClient, header: str) -> None:
    """Whoever names another host, or comes from a page, is not answered."""
    place = urlsplit(f"http://{views._host}:{views._port}")
    connection = http.client.HTTPConnection(place.netloc, timeout=10)
    connection.request("POST", "/query", b'{"sql":"SELECT 1"}', {header: "http://evil.example"})
    answer = connection.getresponse()
    assert answer.status == 400
    assert b"sql.refused" in answer.read()
    connection.close()
