"""A query reads the views and nothing else, and no query takes more than its limits."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.limits import MIB
from storage.duckdb_views import DuckDbViews
from storage.queries import QueryError, QueryLimits
from tests.reference.view_batches import LEDGER_ID, Batches

ROOT = Path(__file__).parents[3]
LIMITS = QueryLimits(time_ms=20_000, rows=1000, result_bytes=MIB, process_growth_bytes=150 * MIB)

NOT_SELECT = [
    "",
    ";",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW records",
    "DROP VIEW records",
    "DELETE FROM store.latest",
    "INSERT INTO store.blocks SELECT * FROM store.blocks",
    "UPDATE store.position SET sequence = 0",
    "CREATE TABLE t (i INT)",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE MACRO m() AS 1",
    "CREATE SECRET s (TYPE s3)",
    "ALTER VIEW records RENAME TO r",
    "TRUNCATE store.history",
    "COPY records TO 'out.csv'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "COPY store.history FROM '/etc/passwd'",
    "EXPORT DATABASE 'out'",
    "IMPORT DATABASE 'out'",
    "ATTACH 'other.duckdb'",
    "DETACH views",
    "USE store",
    "SET threads = 4",
    "SET VARIABLE as_of = 0",
    "RESET lock_configuration",
    "PRAGMA database_size",
    "PRAGMA enable_profiling",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CALL pragma_version()",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "PIVOT records ON namespace USING count(*)",
    "COMMENT ON VIEW records IS 'x'",
]

REFUSED = [
    "SELEC 1",
    "SELECT * FROM nothing",
    "SELECT nothing FROM records",
    "SELECT 'x'::INT",
    "SELECT $1",
    "SELECT '\ud800'",
    # Writes that call themselves a SELECT.
    "WITH c AS (DELETE FROM store.latest RETURNING 1) FROM c",
    "WITH c AS (INSERT INTO store.blocks SELECT * FROM store.blocks RETURNING 1) SELECT 1",
    "SELECT * FROM (WITH c AS (UPDATE store.position SET sequence = 0 RETURNING 1) FROM c)",
    "SELECT nextval('s')",
    # Files.
    "FROM '/etc/passwd'",
    "FROM 'x.csv'",
    'SELECT * FROM "/etc/passwd"',
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM READ_CSV_AUTO('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_json('x.json')",
    "SELECT * FROM read_parquet('x.parquet')",
    "SELECT * FROM read_duckdb('x.duckdb')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT count(*) FROM records, LATERAL (SELECT * FROM read_text(key))",
    "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    "WITH f AS (FROM read_text('/etc/passwd')) FROM f",
    "DESCRIBE SELECT * FROM read_csv('/etc/passwd')",
    "SUMMARIZE '/etc/passwd'",
    # The engine, the environment and the process.
    "SELECT getenv('HOME')",
    "SELECT current_setting('temp_directory')",
    "SELECT getvariable('as_of')",
    "SELECT * FROM duckdb_settings()",
    "FROM duckdb_settings",
    "FROM duckdb_secrets()",
    "FROM duckdb_logs()",
    "FROM pragma_database_size()",
    "FROM pragma_show('records')",
    "FROM information_schema.tables",
    "FROM pg_catalog.pg_tables",
    "FROM sqlite_master",
    "SHOW DATABASES",
    "SHOW VARIABLES",
    "SHOW ALL TABLES",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM force_checkpoint()",
    "SELECT write_log('x')",
    "SELECT * FROM enable_logging()",
    "SELECT sleep_ms(100000)",
    "SELECT pg_sleep(100000)",
    "SELECT setseed(0.5)",
    "SELECT * FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM pandas_scan(1)",
    "SELECT * FROM python_arrow_scan(1)",
    "SELECT finalize('x'::BLOB)",
    "SELECT json_serialize_plan('SELECT 1')",
    # SQL in a string.
    "FROM query('DROP VIEW records')",
    "FROM query_table('store.history')",
    "SELECT * FROM json_execute_serialized_sql('{}')",
    # Other names for what is not offered.
    "FROM store.history",
    "FROM main.records",
    "FROM views.store.position",
    "SELECT main.upper('x')",
    "SELECT system.main.current_setting('threads')",
    "SELECT records.key.current_setting() FROM records",
    "FROM main.read_text('/etc/passwd')",
    "SELECT * FROM (WITH pg_tables AS (SELECT 1) FROM pg_tables), pg_tables",
    "WITH DuckDB_Tables AS (SELECT 1) SELECT * FROM DUCKDB_TABLES",
    "SELECT $sql",
    "FROM sql",
    "PIVOT duckdb_settings ON name IN ('threads') USING count(*)",
    "SELECT list_transform(['threads'], x -> current_setting(x))",
    "SELECT count(*) FILTER (current_setting('threads') = 1) FROM records",
    "SELECT 1 ORDER BY current_setting('threads')",
    "SELECT 1 LIMIT (SELECT current_setting('threads'))",
    "SELECT sum(1) OVER (ORDER BY current_setting('threads')) FROM records",
    "VALUES (current_setting('threads'))",
    "FROM range((SELECT current_setting('threads')::INT))",
    "FROM generate_series(1, (SELECT count(*) FROM store.history))",
    "FROM json_each((SELECT content FROM read_text('/etc/passwd')))",
]

SECOND_LINE = [
    "WITH c AS (DELETE FROM store.latest RETURNING 1) FROM c",
    "WITH c AS (INSERT INTO store.blocks SELECT * FROM store.blocks RETURNING 1) SELECT 1",
    "FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM glob('/etc/*')",
    "FROM query('DROP VIEW records')",
    "FROM sql",
]

TOO_MUCH = {
    "rows": "FROM range(1001)",
    "endless rows": "WITH RECURSIVE t AS (SELECT 1 i UNION ALL SELECT i + 1 FROM t) SELECT i FROM t",
    "bytes": "SELECT repeat('x', 30000) FROM range(100)",
    "one great value": "SELECT repeat('x', 2000000)",
    "many small values": "SELECT list_resize([true], 2000000)",
    "text": "SELECT " + "1 + " * 5000 + "1",
    "a list of everything": "SELECT list(i) FROM range(1000000000) t(i)",
    "a doubling text": "WITH RECURSIVE t AS (SELECT 'a' s UNION ALL SELECT s || s FROM t) SELECT max(s) FROM t",
    "a window": "SELECT list(i) OVER (ROWS 100000 PRECEDING) FROM range(1000000) t(i)",
}

TOO_LONG = {
    "cross join": "SELECT count(*) FROM range(10000000) a, range(10000000) b",
    "recursion": "WITH RECURSIVE t AS (SELECT 1 i UNION ALL SELECT i + 1 FROM t) SELECT count(*) FROM t",
    "sort": "SELECT i FROM range(1000000000) t(i) ORDER BY hash(i) LIMIT 1 OFFSET 500000000",
    "many joins": "SELECT count(*) FROM " + ", ".join(f"range(4) t{n}" for n in range(40)),
}

BOMBS = {
    "one text of 4 GB": "SELECT repeat('a', 4000000000)",
    "texts of 100 MB": "SELECT sum(length(repeat('a', 100000000 + i))) FROM range(2048) t(i)",
    "quadratic replacement": "SELECT sum(length(replace(x, 'a', x))) FROM "
    "(SELECT repeat('a', 20000 + i) x FROM range(2048) t(i))",
    "format": "SELECT printf('%2000000000d', 1)",
    "list": "SELECT range(1000000000)",
    "sample": "SELECT * FROM range(1000000) USING SAMPLE reservoir(1000000000)",
}

BOMBED = """
import sys
from pathlib import Path
from storage.duckdb_views import DuckDbViews
from storage.queries import QueryError
from streams.process_memory import limit_growth
from tests.reference.view_batches import LEDGER_ID, Batches
views = DuckDbViews(Path(sys.argv[1]), LEDGER_ID)
limit_growth(600 << 20)
try:
    views.query(sys.argv[2])
except QueryError as error:
    print(error.code)
views.append(*Batches().of([[[[("a", b"1")]]]]))
print(views.query("SELECT key, value FROM records").rows)
views.close()
"""


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDbViews]:
    path = tmp_path_factory.mktemp("views") / "views.duckdb"
    views = DuckDbViews(path, LEDGER_ID, query_limits=LIMITS)
    batches = Batches()
    views.append(*batches.of([[[[("a", b'{"n":1}')], [("b", b'"two"')]]]]))
    views.append(*batches.of([[[[("a", None)]], [[("c", b"[1,2]")]]]]))
    yield views
    views.close()


def code_of(views: DuckDbViews, sql: str, **options: Any) -> str:
    with pytest.raises(QueryError) as caught:
        views.query(sql, **options)
    return caught.value.code


def assert_unharmed(views: DuckDbViews) -> None:
    """The next queries, of both kinds, see what was there before."""
    for _ in range(2):
        assert views.query("SELECT key, version FROM records ORDER BY key").rows == (
            ("a", 2),
            ("b", 1),
            ("c", 1),
        )
        assert views.query("SELECT key FROM records ORDER BY key", as_of=0).rows == (("a",), ("b",))
    assert not views.stuck


@pytest.mark.parametrize("sql", NOT_SELECT)
def test_only_one_select_is_run(views: DuckDbViews, sql: str) -> None:
    """Everything else is told apart before it runs."""
    assert code_of(views, sql) == "sql.not_select"
    assert_unharmed(views)


@pytest.mark.parametrize("sql", REFUSED)
@pytest.mark.parametrize("as_of", [None, 1])
def test_a_select_reaches_nothing_but_the_views(views: DuckDbViews, sql: str, as_of: int | None) -> None:
    """No file, no setting, no environment, no write, no second way in."""
    assert code_of(views, sql, as_of=as_of) == "sql.refused"
    assert_unharmed(views)


@pytest.mark.parametrize("kind", ["DELETE FROM", "INSERT INTO", "UPDATE"])
def test_a_write_inside_a_select_is_seen_before_it_runs(views: DuckDbViews, kind: str) -> None:
    """Not only at the read-only transaction."""
    rest = {"DELETE FROM": "", "INSERT INTO": "SELECT 1, '', 1", "UPDATE": "SET sequence = 0"}[kind]
    with pytest.raises(QueryError, match="inside a query"):
        views.query(f"WITH c AS ({kind} store.position {rest} RETURNING 1) FROM c")


@pytest.mark.parametrize("sql", SECOND_LINE)
def test_the_engine_refuses_what_a_guard_let_pass(
    views: DuckDbViews, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    """Writes end at the read-only transaction, files and settings at the closed configuration."""
    monkeypatch.setattr("storage.duckdb_queries.check_select", lambda *_: None)
    assert code_of(views, sql) == "sql.refused"
    assert_unharmed(views)


@pytest.mark.parametrize("sql", TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_what_is_too_much(views: DuckDbViews, sql: str) -> None:
    """Rows, bytes and memory have limits."""
    assert code_of(views, sql) == "sql.limit"
    assert_unharmed(views)


@pytest.mark.parametrize("sql", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_what_takes_too_long(views: DuckDbViews, sql: str) -> None:
    """Time has a limit, and a caller may set a nearer one."""
    started = time.monotonic()
    assert code_of(views, sql, time_ms=300) == "sql.timeout"
    assert time.monotonic() - started < 5
    assert_unharmed(views)


@pytest.mark.parametrize("sql", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_harms_only_itself(tmp_path: Path, sql: str) -> None:
    """A single step that asks for gigabytes fails; the process it ran in goes on learning and answering."""
    child = subprocess.run(
        [sys.executable, "-c", BOMBED, str(tmp_path / "views.duckdb"), sql],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.stdout.splitlines() == ["sql.limit", "(('a', '1'),)"], child.stderr


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT value->>'n' FROM history WHERE key = 'a' ORDER BY version", (("1",), (None,))),
        ("SELECT deleted FROM records WHERE key = 'a'", ((True,),)),
        ("WITH r AS (SELECT key FROM records) SELECT count(*) FROM r", ((3,),)),
        ("WITH records AS (SELECT 1 AS key) SELECT key FROM records", ((1,),)),
        ("SELECT KEY FROM RECORDS WHERE Key = 'b'", (("b",),)),
        ("SELECT contract, count(*) FROM requests GROUP BY ALL", (("put", 4),)),
        ("SELECT upper(key) || '!' FROM records ORDER BY 1 LIMIT 1", (("A!",),)),
        ("SELECT row_number() OVER (ORDER BY key) FROM records", ((1,), (2,), (3,))),
        ("SELECT list(key ORDER BY key) FROM records", ((["a", "b", "c"],),)),
        ("SELECT [x + 1 FOR x IN [1, 2]]", (([2, 3],),)),
        ("PIVOT records ON deleted IN (true, false) USING count(*) GROUP BY namespace", (("object", 1, 2),)),
        ("SELECT count(*) FROM records_as_of(0)", ((2,),)),
        ("SELECT i FROM range(2) t(i)", ((0,), (1,))),
        (
            "SELECT j.value FROM records, json_each(records.value) j WHERE records.key = 'c' ORDER BY 1",
            (("1",), ("2",)),
        ),
        ("VALUES (1, 'x')", ((1, "x"),)),
        ("SELECT 1 -- and a comment", ((1,),)),
        ("SELECT 1;", ((1,),)),
        ("SELECT 1 AS a, 2 AS a", ((1, 2),)),
        ("SELECT now() > TIMESTAMP '2020-01-01'", ((True,),)),
        ("SHOW TABLES", (("blocks",), ("history",), ("records",), ("requests",))),
        ("SELECT column_name FROM (DESCRIBE blocks) LIMIT 1", (("block",),)),
        ("SELECT key FROM records WHERE false", ()),
    ],
)
def test_what_analysts_write(views: DuckDbViews, sql: str, rows: tuple[Any, ...]) -> None:
    """Expressions, aggregates, windows, pivots, JSON, tables of their own."""
    assert views.query(sql).rows == rows


@pytest.mark.parametrize(
    ("sql", "column_type", "value"),
    [
        ("9007199254740991", "BIGINT", 2**53 - 1),
        ("9007199254740992", "BIGINT", "9007199254740992"),
        ("sum(1::BIGINT)", "HUGEINT", 1),
        ("(1::HUGEINT << 100)", "HUGEINT", str(1 << 100)),
        ("1.50::DECIMAL(5, 2)", "DECIMAL(5,2)", "1.50"),
        ("0.5::DOUBLE", "DOUBLE", 0.5),
        ("'nan'::DOUBLE", "DOUBLE", "nan"),
        ("'-inf'::FLOAT", "FLOAT", "-inf"),
        ("NULL", '"NULL"', None),
        ("true", "BOOLEAN", True),
        ("unhex('00ff')", "BLOB", "00ff"),
        ("DATE '2026-01-02'", "DATE", "2026-01-02"),
        ("TIMESTAMP '2026-01-02 03:04:05.6'", "TIMESTAMP", "2026-01-02T03:04:05.600000"),
        ("TIME '03:04:05'", "TIME", "03:04:05"),
        ("'{\"a\":1}'::JSON", "JSON", '{"a":1}'),
        ("{'a': [1, NULL]}", "STRUCT(a INTEGER[])", {"a": [1, None]}),
        ("MAP {'a': unhex('01')}", "MAP(VARCHAR, BLOB)", [["a", "01"]]),
        ("'🙂' || chr(0)", "VARCHAR", "🙂\0"),
        (
            "UUID '00000000-0000-0000-0000-000000000001'",
            "UUID",
            "00000000-0000-0000-0000-000000000001",
        ),
    ],
)
def test_values_are_what_json_can_hold(views: DuckDbViews, sql: str, column_type: str, value: Any) -> None:
    """Nothing is rounded, and nothing is a type of Python's own."""
    answer = views.query(f"SELECT {sql} AS shown")
    assert (answer.columns, answer.types, answer.rows) == (("shown",), (column_type,), ((value,),))


@pytest.mark.parametrize("time_of", ["'infinity'::DATE", "'10000-01-01'::TIMESTAMP", "make_timestamp_ns(1001)"])
def test_a_time_that_python_has_none_for(views: DuckDbViews, time_of: str) -> None:
    """It is said how to see it."""
    with pytest.raises(QueryError, match="cast it to VARCHAR"):
        views.query(f"SELECT {time_of}")


def test_as_of_a_sequence_that_is_not_there(views: DuckDbViews) -> None:
    """The past ends where the learner is."""
    assert views.query("SELECT 1", as_of=2).sequence == 2
    assert code_of(views, "SELECT 1", as_of=3) == "sql.behind"
    assert_unharmed(views)


def test_a_query_that_nobody_can_interrupt_is_said_to_be_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader is not used again; the other ones go on."""
    limits = QueryLimits(time_ms=50, grace_ms=50)
    views = DuckDbViews(tmp_path / "views.duckdb", LEDGER_ID, query_limits=limits)
    try:
        monkeypatch.setattr("storage.duckdb_queries._Watch.interrupt", lambda *_: None)
        assert not views.stuck
        views.query("SELECT count(*) FROM range(300000000) t(i) WHERE hash(i) = 1")
        assert views.stuck
        assert views.query("SELECT 1").rows == ((1,),)
    finally:
        views.close()
