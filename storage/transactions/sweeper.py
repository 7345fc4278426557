"""The sweeper of the coordinator: finishes what it knows that clients left behind, and collects its old rows.

It walks the coordinator's buckets, oldest first. Of each decided transaction whose row names records that may still be
prepared it settles those; what no row names is found by `storage.transactions.table_sweeper`. Rows below the horizon,
which it raises first, are removed under the rules of `storage.transactions.coordinator`. Several sweepers at once do no
harm: everything they do is conditional.
"""

from collections.abc import Iterator
from typing import NamedTuple

from protocol.errors import CountersignError
from storage.model.errors import InvalidOperationError
from storage.model.operations import Bound, Delete, Get, Key, Mutation, Row, Scan, Update
from storage.model.predicates import AllOf, Comparison, Operator, equals
from storage.model.schema import TableName
from storage.tables.errors import ConditionFailedError, UnknownOutcomeError
from storage.transactions.coordinator import HORIZON
from storage.transactions.effects import Apply, Clock, Open, Pull, Read, Steps
from storage.transactions.identifiers import BUCKETS, begun_ms, lowest_id
from storage.transactions.images import back, forward, is_committed
from storage.transactions.layout import COMMITTED, TX_ID, Layout
from storage.transactions.record_reader import World
from storage.transactions.value_text import load_records

_PAGE_ROWS = 200
_OPEN = Comparison("frozen_by", Operator.IS_NULL)


class Swept(NamedTuple):
    """What one round did.

    Attributes:
        settled: records that were brought forward or back.
        removed: coordinator rows that are gone.
        kept: rows below the horizon that had to stay, because a record could not be reached.
        abandoned: of the settled records those that no row of the coordinator named.
    """

    settled: int
    removed: int
    kept: int
    abandoned: int = 0


class Sweeper:
    """Sweeps the places of one coordinator."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._settled = 0

    def sweep(self) -> Steps[Swept]:
        """One round over every place and bucket.

        Raises:
            CountersignError: a place cannot be reached; what was done stays done.
        """
        coordinator, settings = self._world.coordinator, self._world.settings
        now_ms: int = yield Clock()
        horizon_ms = now_ms - settings.retention_ms
        self._settled = removed = kept = 0
        for place in coordinator.places:
            for number in range(BUCKETS):
                below_ms = 0
                if coordinator.fenced(place):
                    below_ms = yield from self._raise_horizon(place, number, horizon_ms)
                gone, stayed = yield from self._sweep_bucket(place, number, below_ms)
                removed += gone
                kept += stayed
        return Swept(self._settled, removed, kept)

    def _raise_horizon(self, place: str, number: int, horizon_ms: int) -> Steps[int]:
        """Raise a bucket's horizon, unless it is higher or its gate is shut; return a time that it is not below.

        It is on disk before anything below it is removed, and just beyond the newest row of its bucket at most: there
        is no more to collect, and a sweeper whose clock is ahead would keep everybody from committing until then.
        """
        table, key = self._world.coordinator.table, Key((number,), (HORIZON,))
        newest_ms = yield from self._newest(place, number)
        if newest_ms is None:
            return 0
        horizon_ms = min(horizon_ms, newest_ms + 1)
        lower = AllOf((Comparison("horizon_ms", Operator.LT, horizon_ms), _OPEN))
        update = Update(table=table, key=key, values={"horizon_ms": horizon_ms, "gate_ms": horizon_ms}, where=lower)
        try:
            yield Apply(place, (update,))
        except (ConditionFailedError, UnknownOutcomeError):
            row: Row | None = (yield Read(place, (Get(table=table, key=key),)))[0]
            held = 0 if row is None else row["horizon_ms"]
            assert isinstance(held, int)
            return min(held, horizon_ms)
        return horizon_ms

    def _newest(self, place: str, number: int) -> Steps[int | None]:
        """When the transaction of a bucket's newest row began; None: it has no row."""
        scan = Scan(
            table=self._world.coordinator.table,
            partition=(number,),
            upper=Bound(HORIZON, inclusive=False),
            reverse=True,
            limit=1,
            projection=("transaction_id",),
        )
        rows: Iterator[Row] = yield Open(place, scan)
        page: list[Row] = yield Pull(place, rows, 1)
        if not page:
            return None
        newest = page[0]["transaction_id"]
        assert isinstance(newest, str), "a row of the coordinator has a key"
        return begun_ms(newest)

    def _sweep_bucket(self, place: str, number: int, below_ms: int) -> Steps[tuple[int, int]]:
        coordinator = self._world.coordinator
        scan = Scan(
            table=coordinator.table,
            partition=(number,),
            upper=Bound(HORIZON, inclusive=False),
            projection=("transaction_id", "state", "records"),
        )
        rows: Iterator[Row] = yield Open(place, scan)
        first_kept = lowest_id(below_ms)
        removed = kept = 0
        while True:
            page: list[Row] = yield Pull(place, rows, _PAGE_ROWS)
            for row in page:
                transaction_id, state, records = row["transaction_id"], row["state"], row["records"]
                assert isinstance(transaction_id, str)
                is_settled = records is None or (yield from self._settle(transaction_id, state == COMMITTED, records))
                if transaction_id >= first_kept:
                    continue
                if is_settled or state != COMMITTED:
                    yield from self._remove(place, number, transaction_id, state)
                    removed += 1
                else:
                    kept += 1
            if len(page) < _PAGE_ROWS:
                return removed, kept

    def _remove(self, place: str, number: int, transaction_id: str, state: object) -> Steps[None]:
        assert isinstance(state, int)
        key = Key((number,), (transaction_id,))
        delete = Delete(table=self._world.coordinator.table, key=key, where=equals("state", state))
        try:
            yield Apply(place, (delete,))
        except (ConditionFailedError, UnknownOutcomeError):
            return  # another sweeper was here, or the next round will see

    def _settle(self, transaction_id: str, committed: bool, packed: object) -> Steps[bool]:
        """Bring the records of a decided transaction where they belong; tell whether none is prepared any more."""
        assert isinstance(packed, bytes)
        wanted: list[tuple[Layout, Key]] = []
        try:
            for table, key in load_records(packed):
                if (layout := (yield from self._layout(table))) is not None:
                    wanted.append((layout, key))
            done = True
            for layout, key in wanted:
                done = (yield from self._settle_record(transaction_id, committed, layout, key)) and done
        except InvalidOperationError:
            self._world.catalogue.forget()  # a table may have been altered or dropped since it was looked up
            return False
        except CountersignError:
            return False
        return done

    def _layout(self, table: TableName) -> Steps[Layout | None]:
        """A table's layout; None: it was dropped, and nothing of it is prepared.

        A table that is not in a store that its namespace was only given by default may be one of another service.
        """
        catalogue = self._world.catalogue
        try:
            layout = yield from catalogue.layout(table)
        except InvalidOperationError as error:
            if error.code == "table.unknown" and catalogue.is_named(table.namespace):
                return None
            raise
        return layout

    def _settle_record(self, transaction_id: str, committed: bool, layout: Layout, key: Key) -> Steps[bool]:
        read = Read(layout.store, (Get(table=layout.table, key=key),))
        row: Row | None = (yield read)[0]
        if not _is_held(row, transaction_id):
            return True
        assert row is not None
        mutation: Mutation = forward(layout, key, row) if committed else back(layout, key, row)
        try:
            yield Apply(layout.store, (mutation,))
        except (ConditionFailedError, UnknownOutcomeError):
            row = (yield read)[0]
            return not _is_held(row, transaction_id)
        self._settled += 1
        return True


def _is_held(row: Row | None, transaction_id: str) -> bool:
    return row is not None and not is_committed(row) and row[TX_ID] == transaction_id
