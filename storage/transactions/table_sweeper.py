"""The sweeper of tables: finds records that clients left prepared who died before they decided.

Nobody but the record itself knows of those: there is no row of the coordinator that names them. Who reads such a record
settles it on the way; this does the same for records that nobody reads. It leaves alone what is within its lease.

1. A table is read page by page, and only what is prepared comes over the wire: the condition is pushed down.
2. A round ends after so many records. What is settled does not come up again, so the next round goes on behind it.
3. Where a store cannot be reached its tables are left to the next round, and the others are swept all the same.
"""

from collections.abc import Iterable, Iterator

from protocol.errors import CountersignError
from storage.model.operations import Row, ScanAll
from storage.model.predicates import AnyOf, equals
from storage.model.schema import TableName
from storage.transactions.effects import Open, Pull, Steps
from storage.transactions.errors import TransactionConflictError
from storage.transactions.layout import DELETED, PREPARED, STATE_COLUMNS, TX_STATE, Layout
from storage.transactions.record_reader import RecordReader, World

RECORDS_MAX = 10_000
"""Prepared records that one round looks at."""

_PAGE_ROWS = 200
_HELD = AnyOf((equals(TX_STATE, PREPARED), equals(TX_STATE, DELETED)))


class TableSweeper:
    """Sweeps the tables of one manager."""

    def __init__(self, world: World, records_max: int = RECORDS_MAX) -> None:
        self._world = world
        self._left = records_max

    def sweep(self, tables: Iterable[TableName]) -> Steps[int]:
        """One round over these transactional tables; return how many records were settled.

        Raises:
            CountersignError: a store cannot be reached; what could be done is done.
        """
        counters = self._world.counters
        before = counters.recovered_forward + counters.recovered_back
        failure: CountersignError | None = None
        for table in tables:
            try:
                layout = yield from self._world.catalogue.layout(table)
                yield from self._sweep_table(layout)
            except CountersignError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return counters.recovered_forward + counters.recovered_back - before

    def _sweep_table(self, layout: Layout) -> Steps[None]:
        reader = RecordReader(self._world, waits=False)
        columns = (*layout.schema.key_columns, *STATE_COLUMNS)
        rows: Iterator[Row] = yield Open(layout.store, ScanAll(table=layout.table, projection=columns, where=_HELD))
        while self._left > 0:
            page: list[Row] = yield Pull(layout.store, rows, min(_PAGE_ROWS, self._left))
            self._left -= len(page)
            for row in page:
                try:
                    yield from reader.settle(layout, layout.key_of(row), None)
                except TransactionConflictError:
                    continue  # others are at it
            if len(page) < _PAGE_ROWS:
                return
