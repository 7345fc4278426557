"""One transaction of a client, which takes down everything that it does and sees."""

from collections.abc import Mapping

from storage.model.data_types import Value
from storage.model.operations import AnyScan, Key, Row, ScanByIndex
from storage.model.operations import Scan as RangeScan
from storage.model.predicates import holds
from storage.model.schema import TableName
from storage.transactions.effects import Steps
from storage.transactions.errors import RecordExistsError
from storage.transactions.settings import Isolation
from storage.transactions.transaction import TransactionCore
from streams.transaction_simulation.book import Attempt, Book, item_of
from streams.transaction_simulation.history import Anomaly, Item, Read, Scan, Write
from streams.transaction_simulation.tables import key_of

Seen = Mapping[str, Value | None]


class Session:
    """A transaction core, and the record of its use.

    Args:
        core: of the transaction.
        attempt: where operations are taken down.
        book: where contents are.
    """

    def __init__(self, core: TransactionCore, attempt: Attempt, book: Book) -> None:
        self.core = core
        self.attempt = attempt
        self._book = book

    def get(self, table: TableName, key: Key, projection: tuple[str, ...] = ()) -> Steps[Seen | None]:
        """Read a record; a projection must have its stamp."""
        row = yield from self.core.get(table, key, projection)
        self._saw(table, key, row)
        return row

    def get_many(self, table: TableName, keys: list[Key]) -> Steps[list[Seen | None]]:
        """Read records in one trip."""
        rows = yield from self.core.get_many([(table, key) for key in keys])
        for key, row in zip(keys, rows, strict=True):
            self._saw(table, key, row)
        return list(rows)

    def _saw(self, table: TableName, key: Key, row: Seen | None) -> None:
        item = item_of(table, key)
        stamp = None if row is None else self._book.check_content(row, f"{self.attempt.name}: {item}")
        self.attempt.operations.append(Read(item, stamp))

    def scan(self, scan: AnyScan) -> Steps[list[Seen]]:
        """Scan; the projection must be empty."""
        rows = yield from self.core.scan(scan)
        where = f"{self.attempt.name}: {scan}"
        keys = [key_of(scan.table, row) for row in rows]
        if len(set(keys)) < len(keys):
            raise Anomaly(f"{where} gave a record twice: {keys}")
        if scan.limit is not None and len(rows) > scan.limit:
            raise Anomaly(f"{where} gave more than its limit: {keys}")
        if isinstance(scan, RangeScan) and keys != sorted(keys, reverse=scan.reverse):
            raise Anomaly(f"{where} gave records out of order: {keys}")
        found = {
            item_of(scan.table, key): self._book.check_content(row, where) for key, row in zip(keys, rows, strict=True)
        }
        last = keys[-1] if scan.limit is not None and len(rows) == scan.limit else None
        self.attempt.operations.append(Scan(_name(scan), found, _Matches(self._book, scan, found, last)))
        return list(rows)

    def insert(self, table: TableName, key: Key, values: Row) -> Steps[bool]:
        """Insert; False where the record is known to be there."""
        stamped = self._stamped(values)
        try:
            yield from self.core.insert(table, key, stamped)
        except RecordExistsError:
            return False
        self._wrote(table, key, stamped)
        return True

    def upsert(self, table: TableName, key: Key, values: Row) -> Steps[None]:
        """Write a record, whether it is there or not; all of its columns."""
        stamped = self._stamped(values)
        yield from self.core.upsert(table, key, stamped)
        self._wrote(table, key, stamped)

    def update(self, table: TableName, key: Key, values: Row) -> Steps[bool]:
        """Change some columns of a record that was read before; whether there is one."""
        stamped = self._stamped(values)
        before = yield from self.core.get(table, key)
        there = yield from self.core.update(table, key, stamped)
        self._saw(table, key, before)
        if there is (before is None) and self.attempt.isolation is not Isolation.READ_COMMITTED:
            raise Anomaly(f"{self.attempt.name}: update says {there}, get gave {before}")
        if there:  # at READ COMMITTED it may have come or gone in between, and then the commit fails
            whole = {column: (before or {}).get(column) for column in self._book.columns[table]}
            self._wrote(table, key, whole | stamped)
        return there

    def delete(self, table: TableName, key: Key) -> Steps[None]:
        """Delete a record, whether it is there or not."""
        yield from self.core.delete(table, key)
        self.attempt.operations.append(Write(item_of(table, key), None))

    def _stamped(self, values: Row) -> dict[str, Value | None]:
        return {**values, "stamp": f"{self.attempt.name}.{len(self.attempt.operations)}"}

    def _wrote(self, table: TableName, key: Key, values: dict[str, Value | None]) -> None:
        stamp = values["stamp"]
        assert isinstance(stamp, str)
        self._book.contents[stamp] = values
        self._book.keys[item_of(table, key)] = key
        self.attempt.operations.append(Write(item_of(table, key), stamp))


class _Matches:
    """Whether an item that holds a stamp is in a scan's range, up to where the scan got."""

    def __init__(self, book: Book, scan: AnyScan, found: Mapping[Item, str], last: Key | None) -> None:
        self._book = book
        self._scan = scan
        self._found = found
        self._last = last

    def __call__(self, item: Item, stamp: str) -> bool:
        scan, key, content = self._scan, self._book.keys[item], self._book.contents[stamp]
        if item.table != scan.table.name or (scan.where is not None and not holds(scan.where, content)):
            return False
        if isinstance(scan, RangeScan):
            return self._is_in_range(scan, key)
        if isinstance(scan, ScanByIndex) and content[scan.column] != scan.value:
            return False
        return self._last is None or item in self._found

    def _is_in_range(self, scan: RangeScan, key: Key) -> bool:
        value: int = key.clustering[0]  # type: ignore[assignment]
        lower, upper = scan.lower, scan.upper
        if key.partition != scan.partition:
            return False
        if lower is not None and not (value >= lower.value if lower.inclusive else value > lower.value):  # type: ignore[operator]
            return False
        if upper is not None and not (value <= upper.value if upper.inclusive else value < upper.value):  # type: ignore[operator]
            return False
        if self._last is None:
            return True
        return key >= self._last if scan.reverse else key <= self._last


def _name(scan: AnyScan) -> str:
    parts = [type(scan).__name__]
    for name in ("partition", "lower", "upper", "reverse", "column", "value", "limit", "where"):
        value = getattr(scan, name, None)
        if value not in (None, False):
            parts.append(f"{name}={value}")
    return f"{scan.table.name} {' '.join(parts)}"
