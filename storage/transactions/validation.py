"""Whether what a transaction read still holds at its commit.

SERIALIZABLE, after every write is prepared: each scan, and each record that was read and is not written, must be as it
was and held by nobody. Then all reads hold at one moment since the last write was prepared, and nobody has seen a state
without these writes since: the transaction takes place at that moment.

SNAPSHOT, before anything is written: the same, but a record that an *undecided* transaction holds still is as it was.
All reads then hold at the moment the commit began; the writes are conditional on their records being unchanged since.

A record that is there and has the same writer twice was unchanged all the time between. An absence has no version: it
is known for the moments of the two looks only. So scans are looked at first and records last, which leaves one moment
at which everything holds as long as one call of the store saw all the absences of a transaction: one scan of one
page, or one `get_many`. Absent records of a transaction that writes are kept absent by a prepared delete where that is
not so (`storage.transactions.preparing`). What remains: two or more scans, or a scan of several pages, each with a gap
into which a record was inserted *and* deleted again between the looks.

Records that are written need no second look: the write itself is conditional on what was read.
"""

from collections.abc import Iterator, Sequence

from storage.model.operations import AnyScan, Get, Key, Row, ScanByIndex
from storage.model.predicates import columns_of
from storage.transactions.effects import All, Open, Pull, Read, Steps
from storage.transactions.errors import TransactionConflictError
from storage.transactions.images import before_image, is_committed
from storage.transactions.layout import COMMITTED, STATE_COLUMNS, TX_BEFORE, TX_ID, Layout, Record
from storage.transactions.record_reader import World
from storage.transactions.scanning import in_range, satisfies, stored_scans
from storage.transactions.settings import Isolation
from storage.transactions.workspace import ScanSeen, Workspace

_COLUMNS = (*STATE_COLUMNS, TX_BEFORE)


class Validation:
    """Looks again at what a transaction read."""

    def __init__(self, world: World, work: Workspace) -> None:
        self._world = world
        self._work = work
        self._strict = work.isolation is Isolation.SERIALIZABLE

    def validate(self, records: Sequence[Record]) -> Steps[None]:
        """Look again at these records and at every scan.

        Raises:
            TransactionConflictError: one of them is not as it was.
        """
        for scan in self._work.scans:
            yield from self._validate_scan(scan)
        if records:
            yield from self._validate_records(records)

    def _validate_records(self, records: Sequence[Record]) -> Steps[None]:
        work = self._work
        stores: dict[str, list[Record]] = {}
        for record in records:
            stores.setdefault(work.layouts[record].store, []).append(record)
        reads = [
            Read(store, tuple(Get(table=table, key=key, projection=_COLUMNS) for table, key in some))
            for store, some in stores.items()
        ]
        answers = [(yield reads[0])] if len(reads) == 1 else (yield All(tuple(reads)))
        for some, rows in zip(stores.values(), answers, strict=True):
            if isinstance(rows, Exception):
                raise rows
            for record, row in zip(some, rows, strict=True):
                yield from self._compare(record, row)

    def _compare(self, record: Record, row: Row | None) -> Steps[None]:
        seen = self._work.seen[record]
        if row is not None and not is_committed(row):
            own = row[TX_ID] == self._work.transaction_id  # of another service in this transaction
            if not own and (self._strict or (yield from self._has_decided(row))):
                raise _conflict(record, "is being written")
            former = before_image(self._work.layouts[record], row)
            same, written_by = (former.row is None) is (seen.row is None), former.transaction_id
        else:
            same = (row is None) is (seen.row is None)
            written_by = None if row is None else row[TX_ID]  # type: ignore[assignment]
        if not same or written_by != seen.transaction_id:
            raise _conflict(record, "was written")

    def _has_decided(self, row: Row) -> Steps[bool]:
        """Whether the transaction that holds a row was committed."""
        holder = row[TX_ID]
        assert isinstance(holder, str), "a prepared row names its transaction"
        coordinator = self._world.coordinator
        held = yield from coordinator.read(coordinator.home, holder)
        return held is not None and held.state == COMMITTED

    def _validate_scan(self, seen: ScanSeen) -> Steps[None]:
        layout, scan = seen.layout, seen.scan
        own = self._work.writes
        self._check_gaps_of_own(seen)
        expected = [(key, writer) for key, writer in seen.rows if (layout.table, key) not in own]
        found = yield from self._stored_again(seen, len(expected))
        if isinstance(scan, ScanByIndex):
            found.sort()
            expected.sort()
        if found != expected:
            missing = set(found) ^ set(expected)
            records = tuple((layout.table, key) for key, _ in missing)
            raise TransactionConflictError(f"a scan of {layout.table} gives other rows", records=records)

    def _check_gaps_of_own(self, seen: ScanSeen) -> None:
        """What this transaction writes, and a scan did not give, must build on a record that is not in its range.

        The write itself is conditional on what it builds on, which may have been read after the scan.
        """
        layout, scan = seen.layout, seen.scan
        given = {key for key, _ in seen.rows}
        judged = columns_of(scan.where) if scan.where is not None else frozenset()
        for record in self._work.writes:
            table, key = record
            if table != layout.table or key in given or not seen.whole or not in_range(layout, scan, key):
                continue
            row = self._work.built_on(record).row
            if row is not None and (not judged <= row.keys() or satisfies(scan, row)):
                raise _conflict(record, "was not given by a scan")

    def _stored_again(self, seen: ScanSeen, count: int) -> Steps[list[tuple[Key, str | None]]]:
        """The rows that the scan gives now, but for own writes; of one that was cut short the first `count`."""
        layout, scan, own = seen.layout, seen.scan, self._work.writes
        found: dict[Key, str | None] = {}
        for part in stored_scans(layout, scan, None, _needed(layout, scan)):
            rows: Iterator[Row] = yield Open(layout.store, part)
            page = max(self._world.settings.scan_rows, count + len(own) + 1)
            while seen.whole or len(found) < count:
                pulled: list[Row] = yield Pull(layout.store, rows, page)
                for row in pulled:
                    key = layout.key_of(row)
                    if (layout.table, key) in own or (len(found) >= count and not seen.whole):
                        continue
                    image = row if is_committed(row) else (yield from self._held(layout, key, row))
                    if image is not None and satisfies(scan, image):
                        found[key] = image[TX_ID]  # type: ignore[assignment]
                if len(pulled) < page:
                    break
        return list(found.items())

    def _held(self, layout: Layout, key: Key, row: Row) -> Steps[Row | None]:
        """What is committed of a row that is held, where that does not matter.

        Held by this very transaction are also absences that it keeps, and what its other services write.
        """
        own = row[TX_ID] == self._work.transaction_id
        if self._strict and not own:
            raise _conflict((layout.table, key), "is being written")
        whole: Row | None = (yield Read(layout.store, (Get(table=layout.table, key=key),)))[0]
        if whole is None or is_committed(whole):
            return whole
        if not own and (yield from self._has_decided(whole)):
            raise _conflict((layout.table, key), "is being written")
        return before_image(layout, whole).row


def _needed(layout: Layout, scan: AnyScan) -> tuple[str, ...]:
    judged = columns_of(scan.where) if scan.where is not None else frozenset()
    indexed = (scan.column,) if isinstance(scan, ScanByIndex) else ()
    return tuple(dict.fromkeys((*layout.schema.key_columns, *judged, *indexed, *STATE_COLUMNS)))


def _conflict(record: Record, what: str) -> TransactionConflictError:
    return TransactionConflictError(f"{record[0]} {what}", records=(record,))
