"""The record store whose namespaces lie in several databases: each call is one transaction over all of them.

1. The transaction manager makes a call atomic (`storage.transactions`); `storage.spread_call` says what it does.
2. Every store must keep on disk what it acknowledges, as those of one database must.
3. What a process that died left half done, the next one that reads it finishes or takes back, after a lease.
4. If it cannot be learned whether a call was done, `apply` raises; the next `load` finds out.
5. Where each namespace lies is noted at home when the store is made. With another configuration `load` refuses: records
   looked for where they never were would seem absent, and an honest party would contradict the other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from protocol.errors import CountersignError
from protocol.records import ABSENT, DamagedRecordError, Record, RecordKey, unpack
from storage.errors import StoreAbsentError, StoreExistsError, StoreUnavailableError, UnsafeDurabilityError
from storage.model.errors import InvalidOperationError
from storage.model.operations import Bound, Key, Row, Scan
from storage.model.schema import TableName
from storage.ports import (
    Contents,
    OutboxEntry,
    Refusal,
    RequestExpiry,
    ScanRange,
    ScanRows,
    Snapshot,
    StoreCall,
    Stored,
    Version,
)
from storage.record_ranges import key_range, scan_rows, successor_of
from storage.spread_call import (
    ONE,
    Spread,
    UncleanMinuteError,
    apply_call,
    calls_of,
    cells_of,
    clean_minute,
    elsewhere_of,
    may_exist,
    note_elsewhere,
    parts_of,
    replayed,
    write_current,
)
from storage.spread_layout import CELLS, DROPPED, HOME, OUTBOX, PART, PARTS, home_schemas, part_schemas
from storage.tables.errors import StoreContendedError, TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.port import Durability, TableStore
from storage.tables.registry import open_table_store
from storage.tables.store_settings import settings_of
from storage.transactions.background_sweeping import BackgroundSweeping
from storage.transactions.errors import TransactionError
from storage.transactions.settings import Isolation, TransactionSettings
from storage.transactions.transaction_manager import Transaction, TransactionManager

T = TypeVar("T")

PAGE_ROWS = 1_000
CLEANED_AT_LEAST = 100
"""Dropped entries of the replay guard that a call deletes, beside twice as many as it adds: they get fewer, and no call
waits for a whole minute's."""

SWEEP_S = 60.0
SETTINGS = TransactionSettings(isolation=Isolation.SNAPSHOT, writes_max=200_000)
_UNAVAILABLE = (TableStoreUnavailableError, StoreContendedError, UnknownOutcomeError, TransactionError)


class SpreadStore:
    """A party's store over several databases. See `storage.ports.RecordStore` for what each method promises.

    Args:
        home: of cells, replay guard, outbox, and all namespaces that have no store of their own.
        others: the other stores by name; whoever opened them leaves closing them to this.
        namespaces: the name of the store of each namespace that is not at home.
        settings: of the transactions.

    Raises:
        UnsafeDurabilityError: one of them may lose what it acknowledges.
        StoreUnavailableError: one of them does not answer.
    """

    def __init__(
        self,
        home: TableStore,
        others: Mapping[str, TableStore],
        namespaces: Mapping[str, str],
        settings: TransactionSettings = SETTINGS,
    ) -> None:
        self._stores = {HOME: home, **others}
        self._spread = Spread({namespace: name for namespace, name in namespaces.items() if name != HOME})
        for name, store in self._stores.items():
            if store.capabilities.durability is not Durability.DISK:
                raise UnsafeDurabilityError(f"{name}, {store.name}: it is not on disk before it is acknowledged")
        self._manager = TransactionManager(
            self._stores,
            home=HOME,
            namespaces={name: name for name in self._stores},
            default_store=HOME,
            settings=settings,
        )
        with _translated():
            self._create_tables()
        self._is_clean = False
        self._sweeping = BackgroundSweeping(lambda: self._manager.sweep(tables=False), SWEEP_S)

    def _create_tables(self) -> None:
        """Create the tables that are not there."""
        self._manager.create_coordinator()
        for name, store in self._stores.items():
            there = set(store.tables())
            for schema in (*part_schemas(name), *(home_schemas() if name == HOME else ())):
                if schema.name not in there:
                    self._manager.create_table(schema)

    def _run(self, function: Callable[[Transaction], T]) -> T:
        """In a transaction of its own, again after conflicts."""
        with _translated():
            return self._manager.run(function)

    @contextmanager
    def _reading(self) -> Iterator[Transaction]:
        """To read what is committed, and never wait for a writer."""
        with _translated(), self._manager.begin(Isolation.READ_COMMITTED, read_only=True) as transaction:
            yield transaction

    # --- RecordStore ---

    def create(self, store_id: bytes) -> None:
        """Make empty databases into this store."""
        assert store_id, "a store has an id"

        def create(transaction: Transaction) -> None:
            if cells_of(transaction):
                raise StoreExistsError("the home holds data; who lost a part empties all of them")
            for name in self._stores:
                if transaction.get(TableName(name, PART), ONE) is not None:  # as every call leaves it
                    raise StoreExistsError(f"{name} holds data")
            if calls_of(transaction)[0]:
                raise StoreExistsError("the home holds data")
            for name in self._spread.others():
                note: Row = {"store_id": store_id, "call": 0}
                transaction.insert(TableName(name, PART), ONE, note)
                transaction.insert(PARTS, Key((0,), (name,)), note)
            note_elsewhere(transaction, self._spread)
            transaction.insert(CELLS, Key((0,), ("store_id",)), {"value": store_id})

        self._run(create)

    def load(self) -> Contents:
        """Return all cells.

        Raises:
            CountersignError: `config.invalid`, the namespaces do not lie where this was told.
        """

        def load(transaction: Transaction) -> tuple[Contents, dict[str, str], str]:
            cells, (_, entries) = cells_of(transaction), calls_of(transaction)
            _, lost = parts_of(transaction, self._spread)
            return Contents(cells=cells, replay_entries=entries), elsewhere_of(transaction), lost

        contents, elsewhere, lost = self._run(load)
        if not contents.cells:
            raise StoreAbsentError("the home holds no cells")
        if elsewhere != self._spread.stores:
            raise _moved(elsewhere)
        if lost:
            raise _lost(lost)
        return contents

    def fetch(
        self,
        keys: Sequence[RecordKey] = (),
        *,
        versions: Sequence[Version] = (),
        scans: Sequence[ScanRange] = (),
        replay: Sequence[RequestExpiry] = (),
        cells: Sequence[str] = (),
    ) -> Snapshot:
        """Read all of this."""
        spread = self._spread
        with self._reading() as transaction:
            possible = [key for key in keys if may_exist(key)]
            wanted = [spread.record(key) for key in possible]
            wanted += [spread.version(each.key, each.version) for each in versions]
            rows: list[dict[str, Any] | None] = transaction.get_many(wanted) if wanted else []
            old = zip(versions, rows[len(possible) :], strict=True)
            present = cells_of(transaction) if cells else {}
            return Snapshot(
                records={
                    **dict.fromkeys(keys, ABSENT),
                    **{key: _current(row) for key, row in zip(possible, rows, strict=False)},
                },
                versions={each: unpack(row["packed"]) for each, row in old if row is not None},
                scans=tuple(self._scan(transaction, scan) for scan in scans),
                replayed=replayed(transaction, replay),
                cells={name: present[name] for name in cells if name in present},
            )

    def apply(self, call: StoreCall) -> Stored | Refusal:
        """Check and change all of it atomically."""
        if not self._is_clean:
            self._is_clean = self._clean(CLEANED_AT_LEAST + 2 * len(call.replay))
        work = partial(apply_call, call=call, spread=self._spread)
        try:
            done = self._run(work)
        except UncleanMinuteError:
            while not self._clean(PAGE_ROWS):
                pass
            done = self._run(work)
        if done.has_dropped:
            self._is_clean = False
        if done.answer is None:
            raise _lost(done.lost)
        return done.answer

    def read_outbox(self, kind: str, first: int, last: int) -> tuple[OutboxEntry, ...]:
        """Return the entries of a kind from `first` to `last`."""
        low, high = Bound(max(first, -(2**63))), Bound(min(last, 2**63 - 1))
        if low.value > high.value:  # type: ignore[operator]
            return ()
        with self._reading() as transaction:
            rows: list[dict[str, Any]] = transaction.scan(Scan(table=OUTBOX, partition=(kind,), lower=low, upper=high))
        return tuple(OutboxEntry(kind, row["number"], row["message"]) for row in rows)

    def records(self, namespace: str) -> Iterator[tuple[str, Record]]:
        """All current records of a namespace, page by page."""
        for rows in self._pages(namespace, ("key", "head", "packed")):
            for row in rows:
                yield row["key"].decode(), _current(row)

    def count(self, namespace: str) -> int:
        """Number of keys ever written in a namespace."""
        return sum(len(rows) for rows in self._pages(namespace, ("key",)))

    def overwrite(self, key: RecordKey, record: Record) -> None:
        """Put another current version in place, unchecked, as whoever has the databases can.

        For tests and demonstrations of what then happens; nothing in the pipeline calls it.
        """
        self._run(lambda transaction: write_current(transaction, key, record, self._spread))

    def close(self) -> None:
        """Give back threads and connections."""
        self._sweeping.stop()
        self._manager.close()
        for store in self._stores.values():
            store.close()

    # --- Parts of them ---

    def _clean(self, rows_max: int) -> bool:
        """Delete some of what the replay guard has dropped; whether nothing of it is left."""
        with self._reading() as transaction:
            dropped: list[dict[str, Any]] = transaction.scan(Scan(table=DROPPED, partition=(0,), limit=2))
        return not dropped or (self._run(clean_minute(dropped[0]["minute"], rows_max)) and len(dropped) == 1)

    def _scan(self, transaction: Transaction, scan: ScanRange) -> ScanRows:
        assert scan.limit > 0, "a scan wants at least one row"
        low, high = key_range(scan.start, scan.end)
        rows: list[dict[str, Any]] = transaction.scan(self._spread.range(scan.namespace, low, high, scan.limit))
        return scan_rows(scan, tuple((row["key"].decode(), _current(row)) for row in rows))

    def _pages(self, namespace: str, columns: tuple[str, ...]) -> Iterator[list[dict[str, Any]]]:
        low, high = key_range("", "")
        while True:
            page = self._spread.range(namespace, low, high, PAGE_ROWS, columns)
            with self._reading() as transaction:
                rows: list[dict[str, Any]] = transaction.scan(page)
            yield rows
            if len(rows) < PAGE_ROWS:
                return
            low = successor_of(rows[-1]["key"])


def _lost(store: str) -> StoreAbsentError:
    return StoreAbsentError(f"the part in {store} is not the one that belongs to the rest")


def _moved(elsewhere: Mapping[str, str]) -> CountersignError:
    """The namespaces lie elsewhere than the configuration says; the names of stores would tell a person nothing."""
    names = ", ".join(sorted(elsewhere)) or "none"
    text = f"namespace_stores: not as it was when this store was made; in other databases lie: {names}"
    return CountersignError("config.invalid", text)


def _current(row: dict[str, Any] | None) -> Record:
    """The current version of a record.

    Raises:
        DamagedRecordError: its head names another.
    """
    if row is None:
        return ABSENT
    packed: bytes = row["packed"]
    if not packed.startswith(row["head"]):
        raise DamagedRecordError("a record's current version is not the one its head names")
    return unpack(packed)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise a record store's errors for those of tables and transactions."""
    try:
        yield
    except _UNAVAILABLE as error:
        raise StoreUnavailableError(error.detail or error.code) from error
    except InvalidOperationError as error:
        if error.code == "table.unknown":
            raise StoreAbsentError(str(error)) from error
        raise


def open_spread_store(
    home_url: str, namespaces: Mapping[str, str], settings: TransactionSettings = SETTINGS
) -> SpreadStore:
    """The store with its home at one URL, and some namespaces at others.

    Args:
        namespaces: the URL of the database of each namespace that is not at home.
        settings: of the transactions.

    Raises:
        CountersignError: `config.invalid`.
        StoreUnavailableError: one of them does not answer.
        UnsafeDurabilityError: one of them may lose what it acknowledges.
    """
    names: dict[str, str] = {home_url: HOME}
    for _, url in sorted(namespaces.items()):  # the order of lines in a file must not rename a store
        names.setdefault(url, f"store_{len(names)}")
    opened: dict[str, TableStore] = {}
    try:
        with _translated():
            for url, name in names.items():
                opened[name] = open_table_store(*settings_of(url))
            home = opened.pop(HOME)
            stores = {namespace: names[url] for namespace, url in namespaces.items()}
            return SpreadStore(home, opened, stores, settings)
    except CountersignError:
        for store in opened.values():
            store.close()
        raise

