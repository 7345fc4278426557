"""Rows from a file into a table, and out of a table into a file, many at a time and never all at once.

1. Into a transactional table rows go through transactions, a batch in each; into another, by atomic batches.
2. A batch that is refused is tried again row by row, so that each refusal has its line.
3. Rows are written in the file's order: with upserts, the last of several with one key stays.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from protocol.errors import CountersignError
from storage.loading.data_file import FileRow, RowWriter
from storage.loading.stores_file import OpenedStores
from storage.model.errors import InvalidOperationError
from storage.model.operations import Insert, Key, Row, ScanAll, Upsert
from storage.model.schema import TableName, TableSchema
from storage.tables.errors import ConditionFailedError
from storage.tables.port import Atomicity
from storage.transactions.errors import ConditionNotMetError
from storage.transactions.layout import COMMITTED, TX_STATE, is_transactional, visible
from storage.transactions.settings import Isolation
from storage.transactions.transaction_manager import Transaction

BATCH_ROWS = 500
LINES_TOLD_MAX = 100
"""Refused lines that are told one by one; all are counted, and all go into the file of rejects."""


@dataclass(slots=True)
class Loaded:
    """What came of an import.

    Attributes:
        rows: written.
        refused: not written.
        errors: line, code and detail of the first of those.
    """

    rows: int = 0
    refused: int = 0
    errors: list[tuple[int, str, str]] = field(default_factory=list)


Refuse = Callable[[FileRow], None]
"""Takes a row that was refused; may raise, to stop."""


class DataLoader:
    """Loads rows into, and out of, one table.

    Raises:
        InvalidOperationError: `table.unknown`.
    """

    def __init__(self, stores: OpenedStores, table: TableName, *, upsert: bool = False) -> None:
        stored = stores.tables.schema(table)
        self.is_transactional = is_transactional(stored)
        self.schema: TableSchema = visible(stored) if self.is_transactional else stored
        self._stores = stores
        self._table = table
        self._upsert = upsert

    def load(
        self,
        rows: Iterable[FileRow],
        refuse: Refuse,
        progress: Callable[[int], None] = lambda _: None,
        batch_rows: int = BATCH_ROWS,
    ) -> Loaded:
        """Write rows; each that cannot be is given to `refuse`.

        Args:
            progress: told how many more rows were looked at.

        Raises:
            InvalidOperationError: `transaction.own_table`: it is the coordinator's.
            CountersignError: the store went away; what `refuse` raises, after the rows before it were written.
        """
        self._stores.manager.world.coordinator.check_not_own(self._table)
        loaded = Loaded()
        left = iter(rows)
        batch: list[FileRow] = []
        while True:
            looked_at = 0
            for row in islice(left, batch_rows):
                looked_at += 1
                if row.values is None:
                    self._write_all(batch, loaded, refuse)
                    batch = []
                    _refused(row, loaded, refuse)
                else:
                    batch.append(row)
            self._write_all(batch, loaded, refuse)
            batch = []
            progress(looked_at)
            if looked_at < batch_rows:
                return loaded

    def rows(self) -> Iterator[Row]:
        """Every row of the table, each as it was committed when it was read; not all of one moment."""
        scan = ScanAll(table=self._table)
        for row in self._stores.tables.scan(scan):
            if not self.is_transactional or row[TX_STATE] in (None, COMMITTED):
                yield {name: row[name] for name in self.schema.columns}
                continue
            key = self._key(row)
            committed = self._stores.manager.run(
                lambda transaction, key=key: transaction.get(self._table, key),  # type: ignore[misc]
                isolation=Isolation.READ_COMMITTED,
                read_only=True,
            )
            if committed is not None:
                yield committed

    def write_out(self, write: RowWriter, progress: Callable[[int], None] = lambda _: None) -> int:
        """Write every row; return how many there were."""
        count = 0
        for row in self.rows():
            write(row)
            count += 1
            if count % BATCH_ROWS == 0:
                progress(BATCH_ROWS)
        progress(count % BATCH_ROWS)
        return count

    def _write_all(self, batch: Sequence[FileRow], loaded: Loaded, refuse: Refuse) -> None:
        """A batch at once, or else its rows one by one."""
        if not batch:
            return
        if len(batch) > 1 and self._can_batch:
            try:
                self._write(batch)
                loaded.rows += len(batch)
                return
            except (InvalidOperationError, ConditionFailedError, ConditionNotMetError):
                pass  # nothing was written; which row it was shows now
        for row in batch:
            try:
                self._write((row,))
                loaded.rows += 1
            except (InvalidOperationError, ConditionFailedError, ConditionNotMetError) as error:
                _refused(row._replace(error=_refusal(error)), loaded, refuse)

    @property
    def _can_batch(self) -> bool:
        """Whether rows of any keys can be written together."""
        return self.is_transactional or self._stores.tables.capabilities.atomicity > Atomicity.PARTITION

    def _write(self, batch: Sequence[FileRow]) -> None:
        rows = [(self._key(row.values), self._values(row.values)) for row in batch if row.values is not None]
        if not self.is_transactional:
            kind = Upsert if self._upsert else Insert
            self._stores.tables.apply([kind(table=self._table, key=key, values=values) for key, values in rows])
            return

        def together(transaction: Transaction) -> None:
            write = transaction.upsert if self._upsert else transaction.insert
            for key, values in rows:
                write(self._table, key, values)

        self._stores.manager.run(together)

    def _key(self, row: Row) -> Key:
        """The key of a row.

        Raises:
            InvalidOperationError: `key.incomplete`: a part of it is null.
        """
        values = []
        for name in self.schema.key_columns:
            value = row[name]
            if value is None:
                raise InvalidOperationError("key.incomplete", f"{name} is null")
            values.append(value)
        count = len(self.schema.partition_key)
        return Key(tuple(values[:count]), tuple(values[count:]))

    def _values(self, row: Row) -> Row:
        return {name: value for name, value in row.items() if name not in self.schema.key_columns}


def _refused(row: FileRow, loaded: Loaded, refuse: Refuse) -> None:
    loaded.refused += 1
    error = row.error
    assert error is not None, "a refused row has an error"
    if len(loaded.errors) < LINES_TOLD_MAX:
        loaded.errors.append((row.line, error.code, error.detail))
    refuse(row)


def _refusal(error: CountersignError) -> CountersignError:
    """What to tell of a row: that it is there already, whichever layer found out."""
    if isinstance(error, ConditionFailedError):
        return ConditionFailedError(0, "a row with this key is there")
    return error
