"""Tables in an SQLite file: atomic over the whole file, on disk before a batch is acknowledged.

1. SQLite has one writer at a time. Batches of concurrent threads are written together (`storage.tables.group_commit`),
   each in a savepoint of its own: one wait for the disk serves many.
2. Readers have connections of their own and never wait for a writer.
3. Several processes may use one file; a batch that finds it locked for too long was not done.
4. The file is made with the first table, so whoever only reads leaves nothing where there is none.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from protocol.records import DamagedRecordError
from storage.errors import StoreDiskFullError, StoreUnavailableError
from storage.model.checking import check_key, check_projection, check_scan
from storage.model.errors import InvalidOperationError
from storage.model.operations import AnyScan, Check, Delete, Get, Mutation, Row, Upsert
from storage.model.schema import Alteration, TableName, TableSchema
from storage.sqlite_connection import file_of, open_database, transaction, translated
from storage.tables.batches import check_batch
from storage.tables.errors import (
    ConditionFailedError,
    StoreContendedError,
    TableStoreUnavailableError,
    UnknownOutcomeError,
)
from storage.tables.group_commit import GroupCommit, Work
from storage.tables.port import Atomicity, Capabilities, Durability
from storage.tables.sql_altering import alter_statements
from storage.tables.sql_layout import KEY_COLUMN, StoredTable
from storage.tables.sql_statements import TableStatements
from storage.tables.sqlite_dialect import LIKE_FUNCTION, SQLITE, matches
from storage.tables.store_settings import check_settings

PAGE_ROWS = 256
_GET_TOGETHER_MAX = 500

_CATALOGUE = """CREATE TABLE IF NOT EXISTS "$tables" (
    namespace TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, stored TEXT,
    PRIMARY KEY (namespace, name)
) STRICT"""
_STORED = 'SELECT generation, stored FROM "$tables" WHERE namespace = ? AND name = ?'
_KEEP = """INSERT INTO "$tables" VALUES (?, ?, ?, ?)
    ON CONFLICT (namespace, name) DO UPDATE SET generation = excluded.generation, stored = excluded.stored"""
_ALL = 'SELECT namespace, name FROM "$tables" WHERE stored IS NOT NULL ORDER BY namespace, name'

_CAPABILITIES = Capabilities(
    atomicity=Atomicity.STORE,
    batch_mutations_max=None,
    durability=Durability.DISK,
    checks_absence=True,
    reads_at_one_moment=True,
    scan_page_rows=PAGE_ROWS,
    scan_pages_filtered=True,
)


class SqliteTables:
    """A store in one file. See `storage.tables.port.TableStore` for what each method promises.

    Args:
        file: made with the first table, in a directory that must be there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = Lock()
        self._statements: dict[TableName, TableStatements] = {}
        self._readers: list[sqlite3.Connection] = []
        self._closed = False
        self._opened: sqlite3.Connection | None = None
        if file.exists() or not file.parent.is_dir():
            self._open()
        self._writers = GroupCommit(self._commit)

    @property
    def name(self) -> str:
        """The adapter and the file."""
        return f"sqlite {self._file}"

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return _CAPABILITIES

    def create_table(self, schema: TableSchema) -> None:
        """Create a table."""

        def work() -> None:
            generation, stored = self._writer.execute(_STORED, schema.name).fetchone() or (0, None)
            if stored is not None:
                raise InvalidOperationError("table.exists", str(schema.name))
            made = StoredTable.new(schema, generation + 1)
            for statement in _statements(made).create(" STRICT, WITHOUT ROWID"):
                self._writer.execute(statement)
            self._writer.execute(_KEEP, (*schema.name, made.generation, made.text()))

        self._change(schema.name, work)

    def alter_table(self, table: TableName, alteration: Alteration) -> TableSchema:
        """Change a table."""

        def work() -> None:
            before = _stored(self._writer, table)
            after = before.altered(alteration)
            for statement in alter_statements(_statements(before), _statements(after), alteration, ""):
                self._writer.execute(statement)
            self._writer.execute(_KEEP, (*table, after.generation, after.text()))

        self._of(table)  # or it is unknown, and no file is made
        self._change(table, work)
        return self.schema(table)

    def drop_table(self, table: TableName) -> None:
        """Drop a table."""

        def work() -> None:
            stored = _stored(self._writer, table)
            self._writer.execute(f"DROP TABLE {_statements(stored).place}")
            self._writer.execute(_KEEP, (*table, stored.generation, None))

        self._of(table)  # as above
        self._change(table, work)

    def tables(self) -> tuple[TableName, ...]:
        """All tables, in order."""
        if not self._is_there():
            return ()
        with self._lend() as reader:
            return tuple(TableName(*row) for row in reader.execute(_ALL).fetchall())

    def schema(self, table: TableName) -> TableSchema:
        """A table's schema."""
        return self._of(table).schema

    def get(self, get: Get) -> Row | None:
        """Return one row."""
        return self.get_many((get,))[0]

    def get_many(self, gets: Sequence[Get]) -> list[Row | None]:
        """Return rows of one moment."""
        asked = []
        for get in gets:
            of = self._of(get.table)
            projection = check_projection(of.schema, get.projection)
            key = of.keys.key(check_key(of.schema, get.key))
            text = f"SELECT {of.selected(projection)} FROM {of.place} WHERE {KEY_COLUMN} = ?"
            asked.append((of, projection, text, key))
        with self._lend(*(get.table for get in gets)) as reader, _one_moment(reader, len(asked)):
            found = [(of, projection, reader.execute(text, (key,)).fetchone()) for of, projection, text, key in asked]
        return [None if row is None else of.row(projection, row) for of, projection, row in found]

    def scan(self, scan: AnyScan) -> Iterator[Row]:
        """Give rows, page by page."""
        of = self._of(scan.table)
        return self._pages(of, check_scan(of.schema, scan))

    def apply(self, batch: Sequence[Mutation]) -> None:
        """Do all of it, or nothing."""
        checked = check_batch(self.schema, batch, _CAPABILITIES)
        steps = [(mutation, *self._of(mutation.table).mutation(mutation)) for mutation in checked]

        def work() -> None:
            for index, (mutation, text, values) in enumerate(steps):
                if not _is_done(self._writer.execute(text, values), mutation):
                    raise ConditionFailedError(index)

        self._write([mutation.table for mutation in checked], work)

    def close(self) -> None:
        """Give back the connections."""
        with self._lock:
            readers, self._readers, self._closed = self._readers, [], True
        for reader in readers:
            reader.close()
        if self._opened is not None:
            self._opened.close()

    # --- The file ---

    @property
    def _writer(self) -> sqlite3.Connection:
        """The connection that writes; with it the file is made."""
        return self._opened or self._open()

    def _open(self) -> sqlite3.Connection:
        with self._lock, _reading():
            if self._opened is None:
                if self._closed:
                    raise TableStoreUnavailableError("the store is closed")
                writer = open_database(self._file)
                writer.create_function(LIKE_FUNCTION, 2, matches, deterministic=True)
                with transaction(writer, "IMMEDIATE"):
                    writer.execute(_CATALOGUE)
                self._opened = writer
            return self._opened

    def _is_there(self) -> bool:
        """Whether the file was made, here or by another process."""
        return self._opened is not None or self._file.exists()

    # --- Tables ---

    def _of(self, table: TableName) -> TableStatements:
        """The statements of a table, kept until it is altered here, or turns out to be another."""
        found = self._statements.get(table)
        if found is None:
            with self._lend() as reader:
                found = _statements(_stored(reader, table))
            self._statements[table] = found
        return found

    def _change(self, table: TableName, work: Work) -> None:
        try:
            self._write([table], work)
        finally:
            self._statements.pop(table, None)

    # --- Reads ---

    def _pages(self, of: TableStatements, scan: AnyScan) -> Iterator[Row]:
        left, last = scan.limit, None
        while True:
            wanted = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
            with self._lend(scan.table) as reader:
                rows = reader.execute(*of.page(scan, last, wanted)).fetchall()
            for row in rows:
                yield of.row(scan.projection, row[1:])
            left = None if left is None else left - len(rows)
            if len(rows) < wanted or left == 0:
                return
            last = rows[-1][0]

    @contextmanager
    def _lend(self, *tables: TableName) -> Iterator[sqlite3.Connection]:
        """A connection for one thread, to read these tables with.

        Raises:
            InvalidOperationError: `table.unknown`, there is no file, so there is no table.
        """
        if self._opened is None:
            if not self._is_there():
                raise InvalidOperationError("table.unknown", f"there is no file {self._file}")
            self._open()
        with self._lock:
            reader = self._readers.pop() if self._readers else None
        with self._known(tables), _reading():
            if reader is None:
                reader = open_database(self._file)
                reader.create_function(LIKE_FUNCTION, 2, matches, deterministic=True)
            try:
                yield reader
            finally:
                with self._lock:
                    if not self._closed:
                        self._readers.append(reader)
                        reader = None
                if reader is not None:
                    reader.close()

    @contextmanager
    def _known(self, tables: Sequence[TableName]) -> Iterator[None]:
        """Tell a table or column that is not there any more from other errors.

        Raises:
            InvalidOperationError: `schema.mismatch`.
        """
        try:
            yield
        except TableStoreUnavailableError as error:
            if _is_unknown(error.__cause__):
                for table in tables:
                    self._statements.pop(table, None)
                raise InvalidOperationError("schema.mismatch", str(error.__cause__)) from error
            raise

    # --- Writes ---

    def _write(self, tables: Sequence[TableName], work: Work) -> None:
        with self._known(tables):
            self._writers.run(work)

    def _commit(self, works: Sequence[Work]) -> list[BaseException | None]:
        """Do each work as a whole or not at all, and wait for the disk once."""
        errors: list[BaseException | None] = []
        with _writing():
            self._writer.execute("BEGIN IMMEDIATE")
        try:
            errors += [self._attempt(work) for work in works]
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise
        try:
            with _writing():
                self._writer.execute("COMMIT")
        except TableStoreUnavailableError as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            if isinstance(error, StoreContendedError):  # it did not begin to write
                raise
            # The end of what was written may be in the log all the same, and come back when the file is opened again.
            raise UnknownOutcomeError(error.detail) from error
        return errors

    def _attempt(self, work: Work) -> BaseException | None:
        """Do a work; give its error, after undoing what it did.

        Raises:
            TableStoreUnavailableError: the whole transaction is gone.
        """
        self._writer.execute("SAVEPOINT work")
        try:
            with _writing():
                work()
        except Exception as error:
            if not self._writer.in_transaction:  # a full disk ends the whole transaction
                raise
            self._writer.execute("ROLLBACK TO work")
            self._writer.execute("RELEASE work")
            return error
        self._writer.execute("RELEASE work")
        return None


def _stored(connection: sqlite3.Connection, table: TableName) -> StoredTable:
    row = connection.execute(_STORED, table).fetchone()
    if row is None or row[1] is None:
        raise InvalidOperationError("table.unknown", str(table))
    return StoredTable.read(row[1])


def _statements(table: StoredTable) -> TableStatements:
    return TableStatements(SQLITE, table, f'"{table.schema.name.namespace}.{table.name}"')


def _is_done(executed: sqlite3.Cursor, mutation: Mutation) -> bool:
    """Whether the condition of a mutation that was executed held."""
    match mutation:
        case Check(absent=absent):
            return (executed.fetchone() is None) is absent
        case Upsert() | Delete(must_exist=False, where=None):
            return True
        case _:
            return executed.rowcount == 1


@contextmanager
def _one_moment(reader: sqlite3.Connection, statements: int) -> Iterator[None]:
    """Let several statements see one moment; one alone does anyway."""
    if statements < 2:
        with translated():
            yield
        return
    with transaction(reader, "DEFERRED"):
        yield


def _is_unknown(error: BaseException | None) -> bool:
    """Whether SQLite names a table or column that is not there."""
    return error is not None and any(word in str(error) for word in ("no such column", "no such table", "no column"))


@contextmanager
def _reading() -> Iterator[None]:
    """Raise the port's errors for the others: nothing was done."""
    try:
        with translated():
            yield
    except StoreDiskFullError as error:
        raise TableStoreUnavailableError(error.detail, "disk.full") from error.__cause__
    except (StoreUnavailableError, DamagedRecordError) as error:
        if "locked" in str(error.__cause__):
            raise StoreContendedError(error.detail) from error.__cause__
        raise TableStoreUnavailableError(error.detail) from error.__cause__


_writing = _reading
"""The same errors; what a commit's mean is for the commit to say."""


def open_store(settings: Mapping[str, str]) -> SqliteTables:
    """Open the store in a `file`, or at a `url`."""
    if "url" in settings:
        check_settings(settings, needed=("url",))
        return SqliteTables(file_of(settings["url"]))
    check_settings(settings, needed=("file",))
    return SqliteTables(Path(settings["file"]))
