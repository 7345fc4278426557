"""Answers one SELECT over the views: checked, in a read-only transaction, within limits.

Rules:

1. Exactly one statement of the type SELECT, which names nothing it must not (`storage.select_guard`). The
   transaction is read-only all the same: the engine calls `WITH c AS (DELETE ...)` a SELECT.
2. All limits end a query, never the process: time and the process's memory by a watch that interrupts, the
   engine's memory by the engine, rows and bytes of the result as they are read. A single step that takes
   gigabytes is left to a limit of the operating system (`RLIMIT_DATA`), and then is `sql.limit` too.
3. A reader whose query cannot be interrupted is *stuck*: it is never used again, and whoever runs the process
   should end it. Nothing is lost by that.
4. An answer says which sequence it reflects.
"""

import json
import math
import os
import threading
import time
from collections.abc import Iterable
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow

from storage.queries import QueryError, QueryLimits, QueryResult
from storage.select_guard import TABLE_FUNCTIONS, Vocabulary, check_select, usable_functions

VIEWS = ("blocks", "history", "records", "requests")
"""What a query may read."""

_EXACT = 2**53 - 1  # beyond it, readers of JSON round integers
_BATCH_ROWS = 1024
_WATCH_S = 0.02
_STATM = Path("/proc/self/statm")


class Reader:
    """A connection of its own to the views, for one query at a time.

    Args:
        present: a cursor that sees the views as they are.
        past: a cursor that sees them as of the variable `as_of`.
        limits: of every query.
    """

    def __init__(self, present: Any, past: Any, limits: QueryLimits) -> None:
        self.limits = limits
        self.stuck = False
        self._present = present
        self._past = past
        self._running: _Watch | None = None
        self._batches: Any = None
        self._vocabulary = _vocabulary(present)
        for cursor in (present, past):
            cursor.execute(f"SET operator_memory_limit = '{limits.operator_bytes}B'")

    def run(self, sql: str, as_of: int | None, time_ms: int | None) -> QueryResult:
        """Answer a query.

        Args:
            sql: one SELECT.
            as_of: show the views as they were behind this sequence; None: as they are.
            time_ms: less time than the limit.

        Raises:
            QueryError: `sql.not_select`, `sql.refused`, `sql.limit`, `sql.timeout` or `sql.behind`.
        """
        cursor = self._present if as_of is None else self._past
        limit_ms = self.limits.time_ms if time_ms is None else min(time_ms, self.limits.time_ms)
        watch = _Watch(self, cursor, limit_ms)
        self._running = watch
        try:
            with watch:
                self._check(cursor, sql)
                return self._answer(cursor, sql, as_of)
        except (duckdb.Error, MemoryError, RecursionError, UnicodeError, pyarrow.ArrowException) as error:
            raise _explained(error, watch.reason) from error
        finally:
            self._running = None
            self._end(cursor)  # after the watch, whose interrupt would hit it

    def interrupt(self) -> None:
        """End the running query, if any, because its memory is needed; from any thread."""
        watch = self._running
        if watch is not None:
            watch.interrupt("memory")

    def close(self) -> None:
        """End the running query, if any, and give back the connection."""
        self.interrupt()
        if not self.stuck:  # else it would wait for the query
            self._present.close()
            self._past.close()

    def _check(self, cursor: Any, sql: str) -> None:
        if len(sql.encode()) > self.limits.text_bytes:
            raise QueryError("sql.limit", f"the text is longer than {self.limits.text_bytes} bytes")
        statements = cursor.extract_statements(sql)
        if len(statements) != 1:
            raise QueryError("sql.not_select", f"{len(statements)} statements")
        if statements[0].type != duckdb.StatementType.SELECT:
            raise QueryError("sql.not_select", statements[0].type.name)
        ((text,),) = cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
        tree = json.loads(text)
        if tree["error"]:
            raise QueryError("sql.refused", str(tree.get("error_message")))
        check_select(tree, self._vocabulary)

    def _answer(self, cursor: Any, sql: str, as_of: int | None) -> QueryResult:
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        ((sequence,),) = cursor.execute("SELECT sequence FROM store.position").fetchall()
        if as_of is not None:
            if as_of > sequence:
                raise QueryError("sql.behind", f"asked as of {as_of}, learned {sequence}")
            cursor.execute(f"SET VARIABLE as_of = {as_of:d}")
            sequence = as_of
        answer = cursor.sql(sql)  # and not `execute`, which would hold all rows at once
        self._batches = answer.to_arrow_reader(_BATCH_ROWS)
        return QueryResult(
            columns=tuple(answer.columns),
            types=tuple(str(column_type) for column_type in answer.types),
            rows=self._rows(self._batches),
            sequence=sequence,
        )

    def _end(self, cursor: Any) -> None:
        """Make the connection ready for the next query."""
        try:
            if self._batches is not None:
                self._batches.close()  # an open one would hold the transaction
                self._batches = None
            cursor.execute("ROLLBACK")
        except duckdb.TransactionException:
            pass  # the query did not come as far as its transaction
        except (duckdb.Error, pyarrow.ArrowException):
            self.stuck = True

    def _rows(self, batches: Iterable[Any]) -> tuple[tuple[Any, ...], ...]:
        """All rows, measured before they become Python's, which takes many times the memory."""
        rows: list[tuple[Any, ...]] = []
        size = 0
        for batch in batches:
            size += sum(_weight(column) for column in batch.columns)
            if size > self.limits.result_bytes:
                raise QueryError("sql.limit", f"the result is larger than {self.limits.result_bytes} bytes")
            if len(rows) + batch.num_rows > self.limits.rows:
                raise QueryError("sql.limit", f"more than {self.limits.rows} rows")
            columns = [_values(column) for column in batch.columns]
            rows.extend(zip(*columns, strict=True))
        return tuple(rows)


class _Watch:
    """A thread that interrupts a query when its time or memory is used up, until it ends."""

    def __init__(self, reader: Reader, cursor: Any, limit_ms: int) -> None:
        self.reason: str | None = None
        self._reader = reader
        self._cursor = cursor
        self._limits = reader.limits
        self._limit_s = limit_ms / 1000
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="query watch", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        with self._lock:  # an interrupt that comes later would hit the next query
            self._ended.set()

    def interrupt(self, reason: str) -> None:
        with self._lock:
            if not self._ended.is_set():
                self.reason = self.reason or reason
                self._cursor.interrupt()

    def _watch(self) -> None:
        started = time.monotonic()
        resident = _resident_bytes()
        while not self._ended.wait(_WATCH_S):
            elapsed = time.monotonic() - started
            if elapsed > self._limit_s:
                self.interrupt("time")
            elif _resident_bytes() - resident > self._limits.process_growth_bytes:
                self.interrupt("memory")
            if elapsed > self._limit_s + self._limits.grace_ms / 1000:
                self._reader.stuck = True


def _resident_bytes() -> int:
    """Memory of this process in RAM; 0 where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _vocabulary(cursor: Any) -> Vocabulary:
    """What queries may name, from the engine's own catalogue."""

    def names(sql: str) -> frozenset[str]:
        return frozenset(row[0].lower() for row in cursor.execute(sql).fetchall())

    pure = names(
        "SELECT DISTINCT function_name FROM duckdb_functions() "
        "WHERE function_type IN ('scalar', 'aggregate', 'window', 'macro') "
        "AND coalesce(stability, 'CONSISTENT') = 'CONSISTENT'"
    )
    impure = names("SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability NOT IN ('CONSISTENT')")
    return Vocabulary(
        relations=frozenset(VIEWS),
        table_functions=TABLE_FUNCTIONS | {"records_as_of"},
        functions=usable_functions(pure - impure),
        hidden=names("SELECT view_name FROM duckdb_views() WHERE internal AND schema_name <> 'information_schema'"),
    )


def _explained(error: Exception, reason: str | None) -> QueryError:
    """The error a user sees: the engine's own first line for a mistake, otherwise the limit that was hit."""
    if reason == "time":
        return QueryError("sql.timeout", "interrupted")
    if reason == "memory" or isinstance(error, MemoryError | duckdb.OutOfMemoryException):
        return QueryError("sql.limit", "memory")
    if isinstance(error, RecursionError):
        return QueryError("sql.limit", "nested too deep")
    return QueryError("sql.refused", str(error).split("\n", 1)[0][:500])


# --- Values ---


def _weight(column: Any) -> int:
    """About how many bytes a column is worth as Python values, from what it takes in Arrow."""
    flat = not pyarrow.types.is_nested(column.type) and not pyarrow.types.is_boolean(column.type)
    return int(column.nbytes) * (1 if flat else 8) + len(column)


def _values(column: Any) -> list[Any]:
    """A column's values as JSON can hold them.

    Raises:
        QueryError: `sql.refused`, one is a time that Python has none for: a year of five digits, nanoseconds.
    """
    try:
        return [_plain(value) for value in column.to_pylist()]
    except (OverflowError, ValueError) as error:
        raise QueryError("sql.refused", f"a {column.type} cannot be shown; cast it to VARCHAR: {error}") from error


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Decimal) and value.as_tuple().exponent == 0:  # how Arrow holds a HUGEINT
        value = int(value)
    if isinstance(value, int):
        return value if -_EXACT <= value <= _EXACT else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime | date | time_of_day):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):  # tuples: the entries of a map
        return [_plain(part) for part in value]
    return str(value)
