"""A learner's views in a DuckDB file: the tables `records`, `history`, `requests` and `blocks` of SQL.

Rules:

1. One process writes the file and answers queries on it: the engine locks it against every other.
2. A batch is one transaction, fed through Arrow, with the position (`storage.views`).
3. `latest` is brought up to date only every `merge_versions` record versions: replacing rows means reading
   the table, and that once for thousands is cheap. The view `records` is `latest`, amended by the recent end
   of `history`; so every query sees every append.
4. The engine's log is folded into the file every `CHECKPOINT_MIB`, because each time it writes the last row
   groups anew.
5. Files, extensions and settings are closed to SQL before the first query. Queries have connections of their
   own (`storage.duckdb_queries`), made here, because settings are locked afterwards.
6. One thread per connection: a long query takes no thread from an append. If the engine's memory runs out
   under an append, the queries give way.

This module and `storage.duckdb_queries` are the only ones that import duckdb and pyarrow.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow

from storage.duckdb_queries import Reader
from storage.queries import QueryError, QueryLimits, QueryResult
from storage.views import (
    START,
    BlockRow,
    ViewPosition,
    ViewRows,
    ViewsError,
    check_continues,
    require_openable,
)

FORMAT = 1
MEMORY_LIMIT_MIB = 128
CHECKPOINT_MIB = 64
MERGE_VERSIONS = 65_536
SPILL_LIMIT_MIB = 1024
_APPEND_ATTEMPTS = 3

_VERSION_COLUMNS = """
    namespace VARCHAR, key VARCHAR, version BIGINT, deleted BOOLEAN, value JSON,
    record_hash BLOB USING COMPRESSION uncompressed, sequence BIGINT, "index" INTEGER,
    request_id BLOB USING COMPRESSION uncompressed
"""

_SHOWN_VERSION = """
    namespace, key, version, deleted, value, sequence, "index", lower(hex(request_id)) AS request_id,
    lower(hex(record_hash)) AS record_hash
"""

_RECENT = """
    SELECT * FROM store.history WHERE sequence > (SELECT merged FROM store.position) AND rowid IN (
        SELECT arg_max(rowid, version) FROM store.history
        WHERE sequence > (SELECT merged FROM store.position) GROUP BY namespace, key)
"""

_RECORDS_AS_OF = """
    SELECT * FROM (
        SELECT * FROM store.history WHERE sequence <= {sequence}
        QUALIFY row_number() OVER (PARTITION BY namespace, key ORDER BY version DESC) = 1
    )
"""

_SHOWN_REQUEST = """
    lower(hex(request_id)) AS request_id, sequence, "index", entity, contract, contract_version, status, code,
    fail_text, ordered_at, argument, output
"""

_SHOWN_BLOCK = "block, first_sequence, count, epoch, lower(hex(root)) AS root, learned_at"

_SCHEMA = (
    "CREATE SCHEMA store",
    "CREATE TABLE store.ledger (format INTEGER, ledger_id BLOB)",
    "CREATE TABLE store.position (sequence BIGINT, state BLOB, merged BIGINT)",
    f"CREATE TABLE store.history ({_VERSION_COLUMNS})",
    f"CREATE TABLE store.latest ({_VERSION_COLUMNS})",
    """CREATE TABLE store.requests (
        request_id BLOB USING COMPRESSION uncompressed, sequence BIGINT, "index" INTEGER, entity VARCHAR,
        contract VARCHAR, contract_version BIGINT, status VARCHAR, code VARCHAR, fail_text VARCHAR,
        ordered_at TIMESTAMP, argument JSON, output JSON)""",
    """CREATE TABLE store.blocks (
        block BIGINT, first_sequence BIGINT, count BIGINT, epoch BIGINT, root BLOB, learned_at TIMESTAMP)""",
    f"""CREATE VIEW records AS
        WITH recent AS ({_RECENT})
        SELECT {_SHOWN_VERSION} FROM (
            SELECT * FROM store.latest ANTI JOIN recent USING (namespace, key) UNION ALL FROM recent)""",
    f"CREATE VIEW history AS SELECT {_SHOWN_VERSION} FROM store.history",
    f"CREATE VIEW requests AS SELECT {_SHOWN_REQUEST} FROM store.requests",
    f"CREATE VIEW blocks AS SELECT {_SHOWN_BLOCK} FROM store.blocks",
    f"""CREATE MACRO records_as_of(as_of_sequence) AS TABLE
        SELECT {_SHOWN_VERSION} FROM ({_RECORDS_AS_OF.format(sequence="as_of_sequence")})""",
)

_AS_OF = "getvariable('as_of')"
_PAST = (  # on a connection for the past, these come before the views of the same names
    f"""CREATE TEMP VIEW records AS
        SELECT {_SHOWN_VERSION} FROM ({_RECORDS_AS_OF.format(sequence=_AS_OF)})""",
    f"CREATE TEMP VIEW history AS SELECT {_SHOWN_VERSION} FROM store.history WHERE sequence <= {_AS_OF}",
    f"CREATE TEMP VIEW requests AS SELECT {_SHOWN_REQUEST} FROM store.requests WHERE sequence <= {_AS_OF}",
    f"""CREATE TEMP VIEW blocks AS
        SELECT {_SHOWN_BLOCK} FROM store.blocks WHERE first_sequence + count - 1 <= {_AS_OF}""",
)

_MERGE = (
    f"CREATE OR REPLACE TEMP TABLE recent AS {_RECENT}",
    """DELETE FROM store.latest USING recent
        WHERE latest.namespace = recent.namespace AND latest.key = recent.key""",
    "INSERT INTO store.latest FROM recent",
    "DROP TABLE recent",
)

_HASH = pyarrow.binary(32)
_MS = pyarrow.timestamp("ms")
_TEXT = pyarrow.string()
_REQUESTS = pyarrow.schema(
    [
        ("request_id", _HASH),
        ("sequence", pyarrow.int64()),
        ("index", pyarrow.int32()),
        ("entity", _TEXT),
        ("contract", _TEXT),
        ("contract_version", pyarrow.int64()),
        ("status", _TEXT),
        ("code", _TEXT),
        ("fail_text", _TEXT),
        ("ordered_at", _MS),
        ("argument", _TEXT),
        ("output", _TEXT),
    ]
)
_VERSIONS = pyarrow.schema(
    [
        ("namespace", _TEXT),
        ("key", _TEXT),
        ("version", pyarrow.int64()),
        ("deleted", pyarrow.bool_()),
        ("value", _TEXT),
        ("record_hash", _HASH),
        ("sequence", pyarrow.int64()),
        ("index", pyarrow.int32()),
        ("request_id", _HASH),
    ]
)


class DuckDbViews:
    """Views in one file; opened by one process, appended to by one thread, queried by any.

    Args:
        path: of the file; made if it is not there.
        ledger_id: whose views these are.
        readers: queries answered at once.
        query_limits: of each.
        merge_versions: rule 3.

    Raises:
        ViewsError: `views.locked`, `views.other_ledger`, `views.damaged`, `path.refused`, `disk.full`.
    """

    def __init__(
        self,
        path: Path,
        ledger_id: bytes,
        *,
        readers: int = 2,
        query_limits: QueryLimits | None = None,
        merge_versions: int = MERGE_VERSIONS,
    ) -> None:
        self._merge_versions = merge_versions
        self._listeners: list[Callable[[int], None]] = []
        self._lock = threading.Lock()
        require_openable(path)
        with _explained():
            self._connection = duckdb.connect(
                path,
                config={
                    "memory_limit": f"{MEMORY_LIMIT_MIB}MiB",
                    "threads": 1,
                    "async_threads": 1,
                    "checkpoint_threshold": f"{CHECKPOINT_MIB}MiB",
                    "max_temp_directory_size": f"{SPILL_LIMIT_MIB}MiB",
                    "enable_external_access": False,
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                    "python_enable_replacements": False,
                },
            )
            try:
                self._create(ledger_id)
                self._position, self._merged, self._unmerged = self._load(ledger_id)
                self._readers = [self._reader(query_limits or QueryLimits()) for _ in range(readers)]
                self._free = list(self._readers)
                self._connection.execute("SET lock_configuration = true")
            except BaseException:
                self._connection.close()
                raise

    def position(self) -> ViewPosition:
        """How far the views reach."""
        return self._position

    def append(self, rows: ViewRows, position: ViewPosition) -> None:
        """Store rows and the position behind them in one transaction (`storage.views.Views`).

        Raises:
            ViewsError: `disk.full` or `views.failed`: nothing was stored, the learner must start again.
        """
        check_continues(self._position, rows, position)
        unmerged = self._unmerged + len(rows.versions)
        merge = unmerged >= self._merge_versions
        with _explained():
            self._store(rows, position, merge)
        if merge:
            self._merged, self._unmerged = position.sequence, 0
        else:
            self._unmerged = unmerged
        self._position = position
        for listener in self._listeners:
            listener(position.sequence)

    def on_append(self, listener: Callable[[int], None]) -> None:
        """Have a function called with the new sequence after every append, in the appending thread."""
        self._listeners.append(listener)

    def query(self, sql: str, *, as_of: int | None = None, time_ms: int | None = None) -> QueryResult:
        """Answer a query, from any thread (`storage.duckdb_queries`).

        Raises:
            QueryError: one of the `sql.*` codes; `sql.busy` if all readers are at work.
        """
        with self._lock:
            if not self._free:
                raise QueryError("sql.busy", f"{len(self._readers)} queries are running")
            reader = self._free.pop()
        try:
            return reader.run(sql, as_of, time_ms)
        finally:
            if not reader.stuck:
                with self._lock:
                    self._free.append(reader)

    @property
    def stuck(self) -> bool:
        """Whether a query could not be interrupted: then the process should be ended and started again."""
        return any(reader.stuck for reader in self._readers)

    def close(self) -> None:
        """Fold the log into the file and unlock it."""
        for reader in self._readers:
            reader.close()
        self._connection.close()

    def _store(self, rows: ViewRows, position: ViewPosition, merge: bool) -> None:
        """Store a batch; where memory runs out, end the queries and try again."""
        merged = position.sequence if merge else self._merged
        for attempts_left in reversed(range(_APPEND_ATTEMPTS)):
            try:
                with self._transaction():
                    self._insert(rows)
                    if merge:
                        self._merge()
                    # Not an UPDATE: after one, the engine folds its log in only when no query is running.
                    self._connection.execute("DELETE FROM store.position")
                    self._connection.execute("INSERT INTO store.position VALUES (?, ?, ?)", [*position, merged])
                return
            except duckdb.Error as error:
                if self._rows("SELECT sequence, state FROM store.position") == [position]:
                    return  # what failed came after the commit
                if not attempts_left or not _is_memory(error):
                    raise
                for reader in self._readers:
                    reader.interrupt()

    def _create(self, ledger_id: bytes) -> None:
        """Make the tables of a new file."""
        ((made,),) = self._rows("SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 'store'")
        if made:
            return
        with self._transaction():
            for statement in _SCHEMA:
                self._connection.execute(statement)
            self._connection.execute("INSERT INTO store.ledger VALUES (?, ?)", [FORMAT, ledger_id])
            position = [*START, START.sequence - 1]  # the genesis is written by sequence -1
            self._connection.execute("INSERT INTO store.position VALUES (?, ?, ?)", position)

    def _load(self, ledger_id: bytes) -> tuple[ViewPosition, int, int]:
        """Position, the sequence that `latest` is up to date with, and how many versions came after that."""
        ((file_format, file_ledger),) = self._rows("FROM store.ledger")
        if file_format != FORMAT:
            raise ViewsError("views.damaged", f"the file's format is {file_format}, not {FORMAT}")
        if file_ledger != ledger_id:
            raise ViewsError("views.other_ledger", file_ledger.hex())
        ((sequence, state, merged),) = self._rows("FROM store.position")
        ((unmerged,),) = self._rows("SELECT count(*) FROM store.history WHERE sequence > ?", [merged])
        return ViewPosition(sequence, state), merged, unmerged

    def _reader(self, limits: QueryLimits) -> Reader:
        past = self._connection.cursor()
        for statement in _PAST:
            past.execute(statement)
        return Reader(self._connection.cursor(), past, limits)

    def _insert(self, rows: ViewRows) -> None:
        self._insert_arrow("store.requests", _arrow(rows.requests, _REQUESTS))
        self._insert_arrow("store.history", _arrow(rows.versions, _VERSIONS))
        for block in rows.blocks:
            self._connection.execute(
                "INSERT INTO store.blocks VALUES (?, ?, ?, ?, ?, epoch_ms(?::BIGINT))", _block_values(block)
            )

    def _insert_arrow(self, table: str, rows: Any) -> None:
        if rows.num_rows:
            self._connection.register("batch", rows)
            try:
                self._connection.execute(f"INSERT INTO {table} FROM batch")
            finally:
                with suppress(duckdb.Error):  # refused in a transaction that failed: the first error says why
                    self._connection.unregister("batch")

    def _merge(self) -> None:
        for statement in _MERGE:
            self._connection.execute(statement)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN TRANSACTION")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # the engine may have given up by itself; the first error says why
                self._connection.execute("ROLLBACK")
            raise

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._connection.execute(sql, parameters).fetchall()
        return rows


def _arrow(rows: Sequence[tuple[Any, ...]], schema: Any) -> Any:
    """Rows as an Arrow table."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pyarrow.Table.from_arrays(arrays, schema=schema)


def _block_values(block: BlockRow) -> list[Any]:
    return [block.block, block.first_sequence, block.count, block.epoch, block.root, block.learned_at_ms]


def _is_memory(error: duckdb.Error) -> bool:
    """Whether the engine's memory ran out; a commit says so in its text only."""
    return isinstance(error, duckdb.OutOfMemoryException) or "failed to pin block" in str(error)


@contextmanager
def _explained() -> Iterator[None]:
    """Errors of the engine as errors with a code."""
    try:
        yield
    except (duckdb.Error, pyarrow.ArrowException) as error:
        text = str(error)
        if "No space left" in text or "temp_directory_size" in text:
            code = "disk.full"
        elif "Conflicting lock" in text or "Could not set lock" in text:
            code = "views.locked"
        elif isinstance(error, duckdb.IOException | duckdb.SerializationException | duckdb.CatalogException):
            code = "views.damaged"
        else:
            code = "views.failed"
        raise ViewsError(code, text.split("\n", 1)[0][:500]) from error
