"""One transaction, as a pure machine: each method is a generator of effects (`storage.transactions.effects`).

Reads see what is committed, and the transaction's own writes. Writes stay in memory until the commit
(`storage.transactions.committing`). Values, keys and conditions are checked at the call: what is wrong is raised before
anything is written.
"""

from collections.abc import Container, Iterable, Sequence

from protocol.errors import CountersignError
from storage.model.data_types import Value
from storage.model.errors import InvalidOperationError
from storage.model.operations import AnyScan, GetByIndex, Key, Row, ScanByIndex
from storage.model.predicates import Predicate, check_predicate, holds
from storage.model.schema import TableName
from storage.transactions.committing import Commit
from storage.transactions.effects import Queue, Steps
from storage.transactions.errors import ConditionNotMetError, TransactionMisuseError
from storage.transactions.freezing import Freeze
from storage.transactions.images import Seen
from storage.transactions.layout import Layout, Record
from storage.transactions.record_reader import RecordReader, World
from storage.transactions.scanning import Scanner
from storage.transactions.settings import Isolation
from storage.transactions.workspace import Workspace


class TransactionCore:
    """A transaction from its begin to its end; not for use by two threads at once.

    Args:
        world: what all transactions of a manager share.
        transaction_id: `storage.transactions.identifiers`.
        isolation: its level.
        read_only: refuse writes.
        insists: what it scans cannot change until its commit has looked at it again, since it freezes commits from its
            first scan on; for who has tried in vain before.
        hot: records for which transactions of this process queue.
        expects: what it will read, as far as one can know: what an attempt before has read.
    """

    def __init__(
        self,
        world: World,
        transaction_id: str,
        isolation: Isolation,
        *,
        read_only: bool = False,
        insists: bool = False,
        hot: Container[Record] = (),
        expects: Iterable[Record] = (),
    ) -> None:
        self.transaction_id = transaction_id
        self.work = Workspace(transaction_id, isolation)
        self.ended = False
        self.prepared = False
        self._world = world
        self._known = world.catalogue.known
        self._read_only = read_only
        coordinator = world.coordinator
        can_freeze = isolation is not Isolation.READ_COMMITTED and coordinator.fenced(coordinator.home)
        self._freeze = Freeze(coordinator, world.settings, transaction_id) if insists and can_freeze else None
        self._hot = hot
        self._expects = tuple(expects)
        self._reader = RecordReader(world, waits=isolation is not Isolation.READ_COMMITTED)
        self._scanner = Scanner(world, self._reader, self.work)
        self.phases = Commit(world, self._reader, self.work)

    # ------------------------------------------------------------ reads

    def get(
        self, table: TableName | str, key: Key, projection: tuple[str, ...] = ()
    ) -> Steps[dict[str, Value | None] | None]:
        """The record with this key, as this transaction sees it; None: there is none.

        Raises:
            TransactionConflictError: another transaction holds it for too long, or changed it since it was read.
        """
        self._check_active()
        layout = self._known.get(table) or (yield from self._world.catalogue.layout(table))
        if projection:
            layout.check_columns(projection)
        record = (layout.table, layout.checked_key(key))
        seen = self._seen_before(record, projection) or (yield from self._look(layout, record, projection))
        self.work.relied_on.add(record)
        return self.work.row(layout, record, seen, projection or layout.columns)

    def get_many(
        self, records: Sequence[tuple[TableName | str, Key]], projection: tuple[str, ...] = ()
    ) -> Steps[list[dict[str, Value | None] | None]]:
        """Records by key, in the order asked for, in one trip to each store; as `get`."""
        self._check_active()
        wanted = []
        for table, key in records:
            layout = self._known.get(table) or (yield from self._world.catalogue.layout(table))
            if projection:
                layout.check_columns(projection)
            wanted.append((layout, layout.checked_key(key)))
        found = yield from self._seen(wanted, projection)
        relied_on, row = self.work.relied_on, self.work.row
        rows = []
        for (layout, key), seen in zip(wanted, found, strict=True):
            record = (layout.table, key)
            relied_on.add(record)
            rows.append(row(layout, record, seen, projection or layout.columns))
        return rows

    def _seen_before(self, record: Record, projection: tuple[str, ...] = ()) -> Seen | None:
        """What counts of a record without another look; None: there has to be one."""
        work = self.work
        base = work.base(record)
        if base is None or (work.isolation is Isolation.READ_COMMITTED and record not in work.writes):
            return None
        return base if not base.partial or _has(base, projection) else None

    def _look(self, layout: Layout, record: Record, projection: tuple[str, ...] = ()) -> Steps[Seen]:
        """Read one record, and keep what was seen."""
        work = self.work
        if self._expects:
            yield from self._queue_for_expected()
        if record in self._hot:
            yield Queue(self.transaction_id, *record)
        work.reads += 1
        seen = yield from self._reader.read_one(layout, record[1], () if record in work.writes else projection)
        return work.note(layout, record, seen)

    def _seen(self, wanted: Sequence[tuple[Layout, Key]], projection: tuple[str, ...] = ()) -> Steps[list[Seen]]:
        """What counts of each record: what was seen before, else what is read now."""
        work = self.work
        if self._expects:
            yield from self._queue_for_expected()
        found: dict[Record, Seen] = {}
        missing = []
        for layout, key in wanted:
            record = (layout.table, key)
            base = self._seen_before(record, projection)
            if base is not None:
                found[record] = base
            elif record not in found:
                missing.append((layout, key))
        for record in sorted((layout.table, key) for layout, key in missing if (layout.table, key) in self._hot):
            yield Queue(self.transaction_id, *record)  # in one order, or two would wait for each other
        if missing:
            work.reads += 1
            whole = bool(projection) and any((layout.table, key) in work.writes for layout, key in missing)
            read = yield from self._reader.read(missing, () if whole else projection)
            for (layout, key), seen in zip(missing, read, strict=True):
                record = (layout.table, key)
                found[record] = work.note(layout, record, seen)
        return [found[layout.table, key] for layout, key in wanted]

    def _queue_for_expected(self) -> Steps[None]:
        expected, self._expects = self._expects, ()
        for record in sorted(filter(self._hot.__contains__, expected)):
            yield Queue(self.transaction_id, *record)

    def get_by_index(self, get: GetByIndex) -> Steps[dict[str, Value | None] | None]:
        """The one record that has this value in an indexed column; None: there is none.

        Raises:
            InvalidOperationError: `index.ambiguous`: there are several.
        """
        scan = ScanByIndex(table=get.table, column=get.column, value=get.value, limit=2, projection=get.projection)
        rows = yield from self.scan(scan)
        if len(rows) > 1:
            raise InvalidOperationError("index.ambiguous", f"{get.table}.{get.column}")
        return rows[0] if rows else None

    def scan(self, scan: AnyScan) -> Steps[list[dict[str, Value | None]]]:
        """The rows that a scan gives, own writes among them, in the scan's order.

        Raises:
            TransactionConflictError: another transaction holds one for too long, or changed one since it was read.
        """
        self._check_active()
        layout = yield from self._world.catalogue.layout(scan.table)
        self.work.reads += 1
        if self._freeze is not None and self.phases.validation.freeze is None:
            self.phases.validation.freeze = self._freeze
            self._reader.insists = True
            yield from self._freeze.hold(self._world.coordinator.places)
        rows = yield from self._scanner.scan(layout, scan)
        return rows

    # ------------------------------------------------------------ writes

    def insert(self, table: TableName | str, key: Key, values: Row) -> Steps[None]:
        """Plan a new record; columns that are not named are null.

        Raises:
            RecordExistsError: here, if this transaction knows of the record, else at the commit.
        """
        layout = self._known.get(table) or (yield from self._world.catalogue.layout(table))
        checked, changes = self._checked(layout, key, values)
        self.work.insert(layout, checked, changes)

    def upsert(self, table: TableName | str, key: Key, values: Row) -> Steps[None]:
        """Plan to change these columns of a record, or to make it."""
        layout = self._known.get(table) or (yield from self._world.catalogue.layout(table))
        checked, changes = self._checked(layout, key, values)
        self.work.put(layout, checked, changes)

    def update(self, table: TableName | str, key: Key, values: Row, where: Predicate | None = None) -> Steps[bool]:
        """Plan to change these columns of a record; return whether there is one.

        Raises:
            ConditionNotMetError: `where` is given, and there is no such record or it does not satisfy it.
        """
        layout = self._known.get(table) or (yield from self._world.catalogue.layout(table))
        checked, changes = self._checked(layout, key, values)
        there = yield from self._is_there(layout, checked, where)
        if there:
            self.work.put(layout, checked, changes)
        return there

    def delete(self, table: TableName | str, key: Key, where: Predicate | None = None) -> Steps[None]:
        """Plan to delete a record; without `where` it need not be there.

        Raises:
            ConditionNotMetError: `where` is given, and there is no such record or it does not satisfy it.
        """
        layout = self._known.get(table) or (yield from self._world.catalogue.layout(table))
        checked, _ = self._checked(layout, key, {})
        if where is not None:
            yield from self._is_there(layout, checked, where)
        self.work.delete(layout, checked)

    def _checked(self, layout: Layout, key: Key, values: Row) -> tuple[Key, dict[str, Value | None]]:
        self._check_active()
        if self._read_only:
            raise TransactionMisuseError("transaction.read_only", str(layout.table))
        if len(self.work.writes) >= self._world.settings.writes_max:
            raise TransactionMisuseError("transaction.too_large", f"more than {len(self.work.writes)} records")
        return layout.checked_key(key), layout.checked_values(values)

    def _is_there(self, layout: Layout, key: Key, where: Predicate | None) -> Steps[bool]:
        if where is not None:
            where = check_predicate(layout.schema, where)
        record = (layout.table, key)
        seen = self._seen_before(record) or (yield from self._look(layout, record))
        self.work.relied_on.add(record)
        if where is None:
            write = self.work.writes.get(record)
            return seen.row is not None if write is None else write.values is not None
        row = self.work.row(layout, record, seen, layout.columns)
        if row is None or not holds(where, row):
            raise ConditionNotMetError(f"{layout.table} {key}")
        return True

    # ------------------------------------------------------------ end

    def commit(self) -> Steps[None]:
        """Make all writes durable and visible at once, or none of them.

        Raises:
            TransactionConflictError: nothing remains of it; run the transaction again from its beginning.
            RecordExistsError: a record to be inserted is there; nothing remains.
            TransactionTooOldError: it began below the coordinator's horizon; nothing remains.
            TransactionUnknownError: the store went away at the wrong moment; `resolve` will tell.
            CountersignError: a store cannot be reached; nothing remains.
        """
        self._check_active()
        self.ended = True
        if not self.work.scans:
            yield from self._thaw()  # nothing needs it, and the gate is shut for this transaction, too
        try:
            yield from self.phases.commit()
        except CountersignError:
            yield from self._thaw()
            raise

    def rollback(self) -> Steps[None]:
        """Give up; nothing was written. Once more does no harm."""
        self.ended = True
        yield from self._thaw()

    def _thaw(self) -> Steps[None]:
        """End the freeze, if there is one still."""
        if self._freeze is not None:
            yield from self._freeze.release()

    def _check_active(self) -> None:
        if self.ended:
            raise TransactionMisuseError("transaction.ended", self.transaction_id)
        if self.prepared:
            raise TransactionMisuseError("transaction.phase", f"{self.transaction_id} is prepared")


def _has(seen: Seen, projection: tuple[str, ...]) -> bool:
    """Whether what was seen before has the columns that are asked for now."""
    row = seen.row
    if row is None or not seen.partial:
        return True
    return bool(projection) and all(name in row for name in projection)
