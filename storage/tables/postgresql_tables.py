"""Tables in a PostgreSQL database: atomic over the whole of it, on disk before a batch is acknowledged.

1. A namespace is a schema `cs_NAMESPACE`; what the tables are is kept in `countersign.tables`.
2. A batch is one round trip, and never sent twice (`storage.tables.postgresql_batches`).
3. Durable means what `storage.postgresql_connections` checks.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import Any

import psycopg
from psycopg import errors

from protocol.errors import CountersignError
from protocol.records import DamagedRecordError
from storage.errors import StoreDiskFullError, StoreUnavailableError
from storage.model.checking import check_key, check_projection, check_scan
from storage.model.errors import InvalidOperationError
from storage.model.operations import AnyScan, Get, Mutation, Row
from storage.model.schema import Alteration, TableName, TableSchema
from storage.postgresql_connections import Connection, PostgresqlConnections, in_pipeline, place_of
from storage.tables.batches import check_batch
from storage.tables.errors import (
    ConditionFailedError,
    StoreContendedError,
    TableStoreUnavailableError,
    UnknownOutcomeError,
)
from storage.tables.port import Atomicity, Capabilities, Durability
from storage.tables.postgresql_batches import REQUIRE_FUNCTION, SCHEMA, batch_statements
from storage.tables.postgresql_dialect import POSTGRESQL
from storage.tables.sql_altering import alter_statements
from storage.tables.sql_layout import KEY_COLUMN, StoredTable
from storage.tables.sql_statements import Statement, TableStatements
from storage.tables.store_settings import check_settings

PAGE_ROWS = 256
_LAYOUT_LOCK = 0x7461626C6573
_SETTINGS = {
    "TimeZone": "UTC",
    "default_transaction_isolation": "read committed",
    "plan_cache_mode": "force_generic_plan",  # every statement is by a key, or by a range of an index
    "enable_seqscan": "off",
    "jit": "off",
}
_CATALOGUE = (
    f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}",
    f"""CREATE TABLE IF NOT EXISTS {SCHEMA}.tables (
        namespace text COLLATE "C", name text COLLATE "C", generation bigint NOT NULL, stored text,
        PRIMARY KEY (namespace, name)
    )""",
    REQUIRE_FUNCTION,
)
_IS_MADE = f"SELECT FROM pg_proc WHERE proname = 'require' AND pronamespace = to_regnamespace('{SCHEMA}')"
_STORED = f"SELECT generation, stored FROM {SCHEMA}.tables WHERE namespace = %s AND name = %s"
_KEEP = f"""INSERT INTO {SCHEMA}.tables VALUES (%s, %s, %s, %s)
    ON CONFLICT (namespace, name) DO UPDATE SET generation = excluded.generation, stored = excluded.stored"""
_ALL = f"SELECT namespace, name FROM {SCHEMA}.tables WHERE stored IS NOT NULL ORDER BY namespace, name"

_CAPABILITIES = Capabilities(
    atomicity=Atomicity.STORE,
    batch_mutations_max=None,
    durability=Durability.DISK,
    checks_absence=True,
    reads_at_one_moment=True,
    scan_page_rows=PAGE_ROWS,
    scan_pages_filtered=True,
)
_UNKNOWN_NAMES = (errors.UndefinedColumn, errors.UndefinedTable, errors.InvalidSchemaName, errors.DatatypeMismatch)
_CONTENDED = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
_ENDED = (errors.AdminShutdown, errors.CrashShutdown, errors.QueryCanceled, errors.IdleSessionTimeout)


class PostgresqlTables:
    """A store in one database. See `storage.tables.port.TableStore` for what each method promises.

    Args:
        url: `postgresql://`, with user, password, database and TLS settings as libpq has them.

    Raises:
        CountersignError: `config.invalid`, for another URL.
    """

    def __init__(self, url: str) -> None:
        self._name = f"postgresql {place_of(url)}"
        self._statements: dict[TableName, TableStatements] = {}
        self._connections = PostgresqlConnections(url, _SETTINGS, greet=_make_catalogue)
        with self._lend():
            pass

    @property
    def name(self) -> str:
        """The adapter and the database, without its password."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return _CAPABILITIES

    def create_table(self, schema: TableSchema) -> None:
        """Create a table."""
        with self._altering(schema.name) as connection:
            generation, stored = connection.execute(_STORED, schema.name).fetchone() or (0, None)
            if stored is not None:
                raise InvalidOperationError("table.exists", str(schema.name))
            made = StoredTable.new(schema, generation + 1)
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{_namespace(schema.name)}"')
            for statement in _of_stored(made).create():
                connection.execute(statement)
            connection.execute(_KEEP, (*schema.name, made.generation, made.text()))

    def alter_table(self, table: TableName, alteration: Alteration) -> TableSchema:
        """Change a table."""
        with self._altering(table) as connection:
            before = _stored(connection, table)
            after = before.altered(alteration)
            place = f'"{_namespace(table)}".'
            for statement in alter_statements(_of_stored(before), _of_stored(after), alteration, place):
                connection.execute(statement)
            connection.execute(_KEEP, (*table, after.generation, after.text()))
        return self.schema(table)

    def drop_table(self, table: TableName) -> None:
        """Drop a table."""
        with self._altering(table) as connection:
            stored = _stored(connection, table)
            connection.execute(f"DROP TABLE {_of_stored(stored).place}")
            connection.execute(_KEEP, (*table, stored.generation, None))

    def tables(self) -> tuple[TableName, ...]:
        """All tables, in order."""
        with self._lend() as connection:
            return tuple(TableName(*row) for row in connection.execute(_ALL).fetchall())

    def schema(self, table: TableName) -> TableSchema:
        """A table's schema."""
        return self._of(table).schema

    def get(self, get: Get) -> Row | None:
        """Return one row."""
        return self.get_many((get,))[0]

    def get_many(self, gets: Sequence[Get]) -> list[Row | None]:
        """Return rows of one moment, in one round trip."""
        asked = []
        for place, get in enumerate(gets):
            of = self._of(get.table)
            projection = check_projection(of.schema, get.projection)
            asked.append(((get.table, projection), of.keys.key(check_key(of.schema, get.key)), place))
        asked.sort(key=itemgetter(0))
        groups = [(what, [each[1:] for each in together]) for what, together in groupby(asked, key=itemgetter(0))]
        statements = []
        for (table, projection), keys in groups:
            of = self._of(table)
            text = f"SELECT {KEY_COLUMN}, {of.selected(projection)} FROM {of.place} WHERE {KEY_COLUMN}"
            if len(keys) == 1:
                statements.append(Statement(f"{text} = %b::bytea", [keys[0][0]]))
            else:
                statements.append(Statement(f"{text} = ANY (%b::bytea[])", [[key for key, _ in keys]]))
        with self._lend(*(get.table for get in gets)) as connection:
            answers = _read(connection, statements)
        found: list[Row | None] = [None] * len(gets)
        for ((table, projection), keys), rows in zip(groups, answers, strict=True):
            of, by_key = self._of(table), {row[0]: row for row in rows}
            for key, place in keys:
                row = by_key.get(key)
                found[place] = None if row is None else of.row(projection, row[1:])
        return found

    def scan(self, scan: AnyScan) -> Iterator[Row]:
        """Give rows, page by page."""
        of = self._of(scan.table)
        return self._pages(of, check_scan(of.schema, scan))

    def apply(self, batch: Sequence[Mutation]) -> None:
        """Do all of it, or nothing."""
        checked = check_batch(self.schema, batch, _CAPABILITIES)
        statements = batch_statements([(self._of(mutation.table), mutation) for mutation in checked])
        with self._lend(*(mutation.table for mutation in checked), writing=True) as connection:
            if len(statements) == 1:
                connection.execute(*statements[0], binary=True)
                return
            with connection.pipeline():  # without a BEGIN, what stands in one pipeline is one transaction
                for text, values in statements:  # not prepared: see `in_pipeline`
                    connection.execute(text, values, binary=True, prepare=False)

    def close(self) -> None:
        """Give back the connections."""
        self._connections.close()

    def _of(self, table: TableName) -> TableStatements:
        """The statements of a table, kept until it is altered here, or turns out to be another."""
        found = self._statements.get(table)
        if found is None:
            with self._lend() as connection:
                found = _of_stored(_stored(connection, table))
            self._statements[table] = found
        return found

    def _pages(self, of: TableStatements, scan: AnyScan) -> Iterator[Row]:
        left, last = scan.limit, None
        while True:
            wanted = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
            with self._lend(scan.table) as connection:
                (rows,) = _read(connection, [of.page(scan, last, wanted)])
            for row in rows:
                yield of.row(scan.projection, row[1:])
            left = None if left is None else left - len(rows)
            if len(rows) < wanted or left == 0:
                return
            last = rows[-1][0]

    @contextmanager
    def _altering(self, table: TableName) -> Iterator[Connection]:
        """A transaction that alters a table, one at a time."""
        try:
            with self._lend(table, writing=True) as connection, connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LAYOUT_LOCK])
                yield connection
        finally:
            self._statements.pop(table, None)

    @contextmanager
    def _lend(self, *tables: TableName, writing: bool = False) -> Iterator[Connection]:
        """A connection for one thread, for an operation on these tables; raises the port's errors.

        Args:
            writing: a lost answer leaves it unknown whether it was done.
        """
        lent = False
        try:
            with self._connections.lend() as connection:
                lent = True
                yield connection
        except (StoreUnavailableError, DamagedRecordError) as error:
            cause = error.__cause__
            if isinstance(cause, _UNKNOWN_NAMES):
                for table in tables:
                    self._statements.pop(table, None)
                raise InvalidOperationError("schema.mismatch", error.detail) from cause
            raise _port_error(error, cause, writing=writing and lent) from cause


def _port_error(error: CountersignError, cause: BaseException | None, *, writing: bool) -> Exception:
    """The port's error for the driver's."""
    if isinstance(cause, errors.RaiseException) and cause.diag.message_detail is not None:
        return ConditionFailedError(int(cause.diag.message_detail))
    if isinstance(cause, _CONTENDED):
        return StoreContendedError(error.detail)
    told = isinstance(cause, psycopg.Error) and cause.sqlstate is not None and not isinstance(cause, _ENDED)
    if writing and not told:
        return UnknownOutcomeError(error.detail)
    if isinstance(error, StoreDiskFullError):
        return TableStoreUnavailableError(error.detail, "disk.full")
    return TableStoreUnavailableError(error.detail)


def _read(connection: Connection, statements: Sequence[Statement]) -> list[list[Any]]:
    """The rows of several statements, all of one moment, in one round trip."""
    if len(statements) == 1:
        return [connection.execute(*statements[0], binary=True).fetchall()]
    with in_pipeline(connection):
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursors = [connection.execute(text, values, binary=True) for text, values in statements]
        connection.execute("COMMIT")
        return [cursor.fetchall() for cursor in cursors]


def _make_catalogue(connection: Connection) -> None:
    """Make what is kept of tables, where it is not."""
    if connection.execute(_IS_MADE).fetchone() is not None:
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LAYOUT_LOCK])
        if connection.execute(_IS_MADE).fetchone() is None:
            for statement in _CATALOGUE:
                connection.execute(statement)


def _stored(connection: Connection, table: TableName) -> StoredTable:
    row = connection.execute(_STORED, table).fetchone()
    if row is None or row[1] is None:
        raise InvalidOperationError("table.unknown", str(table))
    return StoredTable.read(row[1])


def _namespace(table: TableName) -> str:
    return f"cs_{table.namespace}"


def _of_stored(table: StoredTable) -> TableStatements:
    return TableStatements(POSTGRESQL, table, f'"{_namespace(table.schema.name)}"."{table.name}"')


def open_store(settings: Mapping[str, str]) -> PostgresqlTables:
    """Open the store at a `url`."""
    check_settings(settings, needed=("url",))
    return PostgresqlTables(settings["url"])
