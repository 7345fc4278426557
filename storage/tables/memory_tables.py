"""Tables in memory: the reference of what an adapter does, for simulation, for tests and for trying things out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import RLock

from storage.model.altering import altered
from storage.model.checking import check_key, check_projection, check_scan
from storage.model.errors import InvalidOperationError
from storage.model.key_ranges import KeyRange, clustering_range, prefix_range
from storage.model.operations import (
    AnyScan,
    Check,
    Delete,
    Get,
    Insert,
    Mutation,
    Row,
    Scan,
    ScanByIndex,
    Update,
    Upsert,
)
from storage.model.predicates import Predicate, holds
from storage.model.schema import Alteration, TableName, TableSchema
from storage.tables.batches import check_batch
from storage.tables.errors import ConditionFailedError
from storage.tables.memory_rows import MemoryRows, StoredRow
from storage.tables.port import Atomicity, Capabilities, Durability
from storage.tables.store_settings import check_settings

PAGE_ROWS = 256

Pages = Callable[[bytes | None, int], list[tuple[bytes, StoredRow]]]
"""Gives the page after an entry, or the first, of so many entries, and their rows."""


class MemoryTables:
    """A store that lasts as long as this object. See `storage.tables.port.TableStore` for what each method promises.

    Args:
        name: for people.
        unit: the unit of atomicity to keep to: to try out what a lesser store would refuse.
        batch_mutations_max: likewise.
        page_rows: rows that a scan reads at one moment.
    """

    def __init__(
        self,
        name: str = "memory",
        *,
        unit: Atomicity = Atomicity.STORE,
        batch_mutations_max: int | None = None,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self._name = name
        self._capabilities = Capabilities(
            atomicity=unit,
            batch_mutations_max=batch_mutations_max,
            durability=Durability.NONE,
            checks_absence=True,
            reads_at_one_moment=True,
            scan_page_rows=page_rows,
        )
        self._page_rows = page_rows
        self._lock = RLock()
        self._tables: dict[TableName, MemoryRows] = {}

    @property
    def name(self) -> str:
        """The adapter's name."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        return self._capabilities

    def create_table(self, schema: TableSchema) -> None:
        """Create a table."""
        with self._lock:
            if schema.name in self._tables:
                raise InvalidOperationError("table.exists", str(schema.name))
            self._tables[schema.name] = MemoryRows(schema)

    def alter_table(self, table: TableName, alteration: Alteration) -> TableSchema:
        """Change a table."""
        with self._lock:
            rows = self._rows(table)
            schema = altered(rows.schema, alteration)
            rows.alter(schema, alteration)
            return schema

    def drop_table(self, table: TableName) -> None:
        """Drop a table."""
        with self._lock:
            self._rows(table)
            del self._tables[table]

    def tables(self) -> tuple[TableName, ...]:
        """All tables, in order."""
        with self._lock:
            return tuple(sorted(self._tables))

    def schema(self, table: TableName) -> TableSchema:
        """A table's schema."""
        return self._rows(table).schema

    def get(self, get: Get) -> Row | None:
        """Return one row."""
        return self.get_many((get,))[0]

    def get_many(self, gets: Sequence[Get]) -> list[Row | None]:
        """Return rows of one moment."""
        with self._lock:
            checked = [
                (rows, rows.encode(check_key(rows.schema, get.key)), check_projection(rows.schema, get.projection))
                for get in gets
                for rows in (self._rows(get.table),)
            ]
            return [
                None if row is None else _project(row, projection)
                for rows, name, projection in checked
                for row in (rows.get(name),)
            ]

    def scan(self, scan: AnyScan) -> Iterator[Row]:
        """Give rows, page by page."""
        with self._lock:
            rows = self._rows(scan.table)
            checked = check_scan(rows.schema, scan)
        pages = _index_pages(rows, checked) if isinstance(checked, ScanByIndex) else _pages(rows, checked)
        return self._filtered(rows, rows.schema, pages, checked)

    def apply(self, batch: Sequence[Mutation]) -> None:
        """Do all of it, or nothing."""
        with self._lock:
            checked = check_batch(self.schema, batch, self._capabilities)
            named = [(self._tables[m.table], self._tables[m.table].encode(m.key), m) for m in checked]
            for index, (rows, name, mutation) in enumerate(named):
                if not _holds(mutation, rows.get(name)):
                    raise ConditionFailedError(index)
            for rows, name, mutation in named:
                match mutation:
                    case Delete():
                        rows.delete(name)
                    case Insert() | Upsert() | Update():
                        rows.put(name, mutation.key, mutation.values)
                    case Check():
                        pass

    def close(self) -> None:
        """Nothing is held."""

    def _rows(self, table: TableName) -> MemoryRows:
        rows = self._tables.get(table)
        if rows is None:
            raise InvalidOperationError("table.unknown", str(table))
        return rows

    def _filtered(self, rows: MemoryRows, schema: TableSchema, pages: Pages, scan: AnyScan) -> Iterator[Row]:
        """The rows that satisfy a scan, up to its limit."""
        left = scan.limit
        last: bytes | None = None
        while True:
            with self._lock:
                if self._rows(schema.name) is not rows or rows.schema is not schema:
                    raise InvalidOperationError("schema.mismatch", f"{schema.name} was altered during a scan")
                page = pages(last, self._page_rows)
            for _, row in page:
                if scan.where is None or holds(scan.where, row):
                    yield _project(row, scan.projection)
                    left = None if left is None else left - 1
                    if left == 0:
                        return
            if len(page) < self._page_rows:
                return
            last = page[-1][0]


def _index_pages(rows: MemoryRows, scan: ScanByIndex) -> Pages:
    prefix = rows.index_prefix(scan.column, scan.value)
    wanted = prefix_range(prefix)

    def page(last: bytes | None, count: int) -> list[tuple[bytes, StoredRow]]:
        start = wanted if last is None else KeyRange(last + b"\0", wanted.end)
        entries = rows.indexed(scan.column, start, count)
        return [(entry, row) for entry in entries if (row := rows.get(entry[len(prefix) :])) is not None]

    return page


def _pages(rows: MemoryRows, scan: AnyScan) -> Pages:
    reverse = False
    wanted = KeyRange(b"", None)
    if isinstance(scan, Scan):
        partition = rows.encode_partition(scan.partition)
        start, end = clustering_range(rows.schema, scan)
        wanted = KeyRange(partition + start, prefix_range(partition).end if end is None else partition + end)
        reverse = scan.reverse

    def page(last: bytes | None, count: int) -> list[tuple[bytes, StoredRow]]:
        start, end = wanted
        if last is not None:
            start, end = (start, last) if reverse else (last + b"\0", end)
        names = rows.names(KeyRange(start, end), count, reverse=reverse)
        return [(name, row) for name in names if (row := rows.get(name)) is not None]

    return page


def _holds(mutation: Mutation, row: StoredRow | None) -> bool:
    """Whether a mutation's condition holds."""
    match mutation:
        case Insert() | Check(absent=True):
            return row is None
        case Upsert() | Delete(must_exist=False, where=None):
            return True
        case Update(where=where) | Delete(where=where) | Check(where=where):
            return row is not None and _satisfies(where, row)


def _satisfies(where: Predicate | None, row: StoredRow) -> bool:
    return where is None or holds(where, row)


def _project(row: StoredRow, projection: Sequence[str]) -> Row:
    return {column: row[column] for column in projection}


def open_store(settings: Mapping[str, str]) -> MemoryTables:
    """Make an empty store; it takes a `name`."""
    check_settings(settings, optional=("name",))
    return MemoryTables(settings.get("name", "memory"))
