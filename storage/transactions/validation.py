"""Whether what a transaction read still holds at its commit.

SERIALIZABLE, after every write is prepared: each scan, and each record that was read and is not written, must be as it
was and held by nobody. Then all reads hold at one moment since the last write was prepared, and nobody has seen a state
without these writes since: the transaction takes place at that moment.

SNAPSHOT, before anything is written: the same, but a record that an *undecided* transaction holds still is as it was.
All reads then hold at the moment the commit began; the writes are conditional on their records being unchanged since.

A record that is there and has the same writer twice was unchanged all the time between. An absence has no version: it
is known for the moments of the two looks only; and so is that a scan gives no other rows. So those are looked at first
and records that are there last, which leaves one moment at which everything holds if one call of a store saw all the
absences: one scan of one page, or one `get_many`. Absent records of a transaction that writes are kept absent by a
prepared delete where that is not so (`storage.transactions.preparing`). Where several calls were needed all the same,
commits are frozen and everything is looked at once more (`storage.transactions.freezing`). A home store that is atomic
only within a record cannot do that: there, and only there, a record that was inserted and deleted again between two
looks can be missed.

Records that are written need no second look: the write itself is conditional on what was read.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from protocol.errors import CountersignError
from storage.model.operations import AnyScan, Get, Key, Row, Scan, ScanByIndex
from storage.model.predicates import columns_of
from storage.tables.port import Atomicity
from storage.transactions.coordinator import Coordinator
from storage.transactions.effects import All, Open, Pull, Read, Steps
from storage.transactions.errors import TransactionConflictError
from storage.transactions.freezing import Freeze
from storage.transactions.images import before_image, is_committed
from storage.transactions.layout import COMMITTED, STATE_COLUMNS, TX_BEFORE, TX_ID, Layout, Record
from storage.transactions.record_reader import RecordReader, World
from storage.transactions.scanning import in_range, satisfies, stored_scans
from storage.transactions.settings import Isolation
from storage.transactions.workspace import ScanSeen, Workspace

_COLUMNS = (*STATE_COLUMNS, TX_BEFORE)


class Validation:
    """Looks again at what a transaction read."""

    def __init__(self, world: World, reader: RecordReader, work: Workspace) -> None:
        self._world = world
        self._reader = reader
        self._work = work
        self._strict = work.isolation is Isolation.SERIALIZABLE
        self._looks = 0
        """Calls that looked at absences, or at whether a scan gives other rows."""

        self.freeze: Freeze | None = None
        """One that was begun before anything was scanned (`storage.transactions.transaction`)."""

    def validate(self, records: Sequence[Record]) -> Steps[None]:
        """Look again at these records and at every scan.

        Raises:
            TransactionConflictError: one of them is not as it was.
        """
        coordinator, work, freeze = self._world.coordinator, self._work, self.freeze
        if freeze is None:
            yield from self._look(records)
            if self._looks < 2 or not coordinator.fenced(coordinator.home):
                return
            freeze = Freeze(coordinator, self._world.settings, work.transaction_id)
        self._world.counters.frozen += 1
        try:
            if self.freeze is None:
                yield from freeze.hold({*(work.layouts[record].store for record in records), *self._scanned()})
            yield from self._look(records)
        except CountersignError:
            yield from freeze.release()
            raise
        if not (yield from freeze.release()):
            raise TransactionConflictError("commits were not frozen for as long as it took to look at all reads")

    def _scanned(self) -> set[str]:
        return {scan.layout.store for scan in self._work.scans}

    def _look(self, records: Sequence[Record]) -> Steps[None]:
        self._looks = 0
        for scan in self._work.scans:
            yield from self._validate_scan(scan)
        for some in self._in_order(records):
            yield from self._validate_records(some)

    def _in_order(self, records: Sequence[Record]) -> list[Sequence[Record]]:
        """The records in the calls that look at them: absences first, unless all are seen at one moment."""
        work, coordinator = self._work, self._world.coordinator
        absent = [record for record in records if work.seen[record].row is None]
        if not absent:
            return [records] if records else []
        stores = {work.layouts[record].store for record in absent}
        at_once = len(stores) == 1 and (len(absent) == 1 or coordinator.sees_at_once(min(stores)))
        together = seen_together(coordinator, work, records)
        kept = self._strict and bool(work.writes) and (bool(work.scans) or not together)
        if not kept:  # else each is there, prepared to be deleted
            self._looks += 1 if at_once else 2
        if together:
            return [records]
        there = [record for record in records if work.seen[record].row is not None]
        return [absent, there] if there else [absent]

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
            if not own and self._reader.insists:
                settled = yield from self._reader.settle(self._work.layouts[record], record[1], None)
                if settled.transaction_id != seen.transaction_id or (settled.row is None) is not (seen.row is None):
                    raise _conflict(record, "was written")
                return
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
        can = self._world.coordinator.stores[layout.store]
        sent = scan if can.scan_pages_filtered else replace(scan, where=None)
        found: dict[Key, str | None] = {}
        passed = 0
        for part in stored_scans(layout, sent, None, _needed(layout, scan)):
            passed = 0  # of an index the second part tells what is in it, at its moment
            rows: Iterator[Row] = yield Open(layout.store, part)
            page = count + len(own) + 1
            if seen.whole:
                page = max(page, self._world.settings.scan_rows)
            while seen.whole or len(found) < count:
                pulled: list[Row] = yield Pull(layout.store, rows, page)
                for row in pulled:
                    if len(found) >= count and not seen.whole:
                        break
                    passed += 1
                    key = layout.key_of(row)
                    if (layout.table, key) in own:
                        continue
                    image = row if is_committed(row) else (yield from self._held(layout, key, row))
                    if image is not None and satisfies(scan, image):
                        found[key] = image[TX_ID]  # type: ignore[assignment]
                if len(pulled) < page:
                    break
        within = isinstance(scan, Scan) and can.atomicity >= Atomicity.PARTITION
        at_once = passed < can.scan_page_rows and (within or can.atomicity >= Atomicity.STORE)
        self._looks += 1 if at_once else 2
        return list(found.items())

    def _held(self, layout: Layout, key: Key, row: Row) -> Steps[Row | None]:
        """What is committed of a row that is held, where that does not matter.

        Held by this very transaction are also absences that it keeps, and what its other services write.
        """
        own = row[TX_ID] == self._work.transaction_id
        if not own and self._reader.insists:
            return (yield from self._reader.settle(layout, key, None)).row
        if self._strict and not own:
            raise _conflict((layout.table, key), "is being written")
        whole: Row | None = (yield Read(layout.store, (Get(table=layout.table, key=key),)))[0]
        if whole is None or is_committed(whole):
            return whole
        if not own and (yield from self._has_decided(whole)):
            raise _conflict((layout.table, key), "is being written")
        return before_image(layout, whole).row


def seen_together(coordinator: Coordinator, work: Workspace, records: Iterable[Record]) -> bool:
    """Whether one call of a store sees all these records at one moment."""
    stores = {work.layouts[record].store for record in records}
    return len(stores) == 1 and coordinator.sees_at_once(min(stores))


def _needed(layout: Layout, scan: AnyScan) -> tuple[str, ...]:
    judged = columns_of(scan.where) if scan.where is not None else frozenset()
    indexed = (scan.column,) if isinstance(scan, ScanByIndex) else ()
    return tuple(dict.fromkeys((*layout.schema.key_columns, *judged, *indexed, *STATE_COLUMNS)))


def _conflict(record: Record, what: str) -> TransactionConflictError:
    return TransactionConflictError(f"{record[0]} {what}", records=(record,))
