"""What one call of a record store does inside a transaction over the stores it is spread over.

1. Every call reads and writes the row of `calls`, so of two calls at one time one is done, and the other runs again
   and finds its checks refused: nothing else has to be fenced.
2. Every call that writes into a store beside the home notes its number there and at home. A store that was emptied,
   or put back to an older copy, does not say what the home says.
3. Entries of the replay guard that are evicted count no more from that moment; their rows are deleted afterwards.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from protocol.records import HEAD_BYTES, Record, RecordKey, pack
from storage.model.checking import CLUSTERING_KEY_BYTES_MAX, PARTITION_KEY_BYTES_MAX
from storage.model.data_types import DataType
from storage.model.key_encoding import encode_key
from storage.model.operations import Bound, Key, Row, Scan
from storage.model.schema import KeyColumn, TableName
from storage.ports import BUCKET_MS, Refusal, ReplayEntry, RequestExpiry, ScanCheck, StoreCall, Stored
from storage.record_changes import Head, RecordChanges, record_changes
from storage.record_ranges import checked_range
from storage.spread_layout import (
    CALLS,
    CELLS,
    DROPPED,
    HOME,
    MINUTES,
    NAMESPACES,
    OUTBOX,
    PART,
    PARTS,
    RECORDS,
    REPLAY,
    VERSIONS,
)
from storage.transactions.transaction_manager import Transaction

ONE = Key((0,))
_HEAD = ("head",)
_ABSENT = Head(0, bytes(32))

_NAME_BYTES_MAX = min(PARTITION_KEY_BYTES_MAX, CLUSTERING_KEY_BYTES_MAX)
"""Of a namespace or a key as it is encoded."""
_BLOB = (KeyColumn(DataType.BLOB),)


class UncleanMinuteError(Exception):
    """A minute of the replay guard is to be used again whose dropped entries are still there."""


class Done(NamedTuple):
    """What came of a call, once its transaction is committed.

    Attributes:
        answer: None where a part is lost.
        has_dropped: whether entries of the replay guard are to be deleted.
        lost: the store whose part is not the one that belongs to the rest; "" if there is none.
    """

    answer: Stored | Refusal | None
    has_dropped: bool = False
    lost: str = ""


class Spread(NamedTuple):
    """Where the records of each namespace are.

    Attributes:
        stores: name of the store of each namespace that is not at home.
    """

    stores: Mapping[str, str]

    def store_of(self, namespace: str) -> str:
        """The name of a namespace's store."""
        return self.stores.get(namespace, HOME)

    def record(self, key: RecordKey) -> tuple[TableName, Key]:
        """Where a record's current version is."""
        return TableName(self.store_of(key.namespace), RECORDS), row_key(key)

    def version(self, key: RecordKey, version: int) -> tuple[TableName, Key]:
        """Where one of its versions is."""
        where = Key((key.key.encode(),), (key.namespace.encode(), version))
        return TableName(self.store_of(key.namespace), VERSIONS), where

    def range(self, namespace: str, low: bytes, high: bytes, limit: int, columns: tuple[str, ...] = ()) -> Scan:
        """The current versions of `low <= key < high`, in order."""
        return Scan(
            table=TableName(self.store_of(namespace), RECORDS),
            partition=(namespace.encode(),),
            lower=Bound(low),
            upper=Bound(high, inclusive=False),
            limit=limit,
            projection=columns,
        )

    def others(self) -> tuple[str, ...]:
        """The stores beside the home, in order."""
        return tuple(sorted(set(self.stores.values())))


def may_exist(key: RecordKey) -> bool:
    """Whether a record can have this name in tables: all that a contract may write can, clients ask for any."""
    names = (key.namespace.encode(), key.key.encode())
    return all(len(encode_key(_BLOB, (name,))) <= _NAME_BYTES_MAX for name in names)


def row_key(key: RecordKey) -> Key:
    """The key of a record's row in `records`."""
    return Key((key.namespace.encode(),), (key.key.encode(),))


def cells_of(transaction: Transaction) -> dict[str, bytes]:
    """All cells."""
    rows: list[dict[str, Any]] = transaction.scan(Scan(table=CELLS, partition=(0,)))
    return {row["name"]: row["value"] for row in rows}


def calls_of(transaction: Transaction) -> tuple[int, int]:
    """How many calls were made, and how many entries the replay guard has."""
    row: dict[str, Any] | None = transaction.get(CALLS, ONE)
    return (0, 0) if row is None else (row["calls"], row["replay_entries"])


def elsewhere_of(transaction: Transaction) -> dict[str, str]:
    """The store of each namespace that is not at home, as it was when this store was made."""
    rows: list[dict[str, Any]] = transaction.scan(Scan(table=NAMESPACES, partition=(0,)))
    return {row["namespace"].decode(): row["store"] for row in rows}


def note_elsewhere(transaction: Transaction, spread: Spread) -> None:
    """Note where each namespace lies, unless that was done."""
    if not elsewhere_of(transaction):
        for namespace, store in spread.stores.items():
            transaction.insert(NAMESPACES, Key((0,), (namespace.encode(),)), {"store": store})


def parts_of(transaction: Transaction, spread: Spread) -> tuple[dict[str, bytes], str]:
    """The store_id in every store beside the home; and a store that is not where the home left it, "" if all are.

    It was emptied, or is an older copy, or another's. That counts only when the transaction is committed: before, what
    the stores say may be of two moments.
    """
    others = spread.others()
    wanted = [(PARTS, Key((0,), (store,))) for store in others]
    found: list[dict[str, Any] | None] = transaction.get_many(
        [*wanted, *((TableName(store, PART), ONE) for store in others)]
    )
    ids, lost = {}, ""
    for store, expected, part in zip(others, found, found[len(others) :], strict=False):
        says = part and (part["store_id"], part["call"])
        if says != (expected and (expected["store_id"], expected["call"])):
            lost = store
        if expected is not None:
            ids[store] = expected["store_id"]
    return ids, lost


def replayed(transaction: Transaction, requests: Sequence[RequestExpiry]) -> dict[bytes, int]:
    """Those requests that the replay guard knows, with their sequences."""
    if not requests:
        return {}
    minutes = sorted({expiry_ms // BUCKET_MS for _, expiry_ms in requests})
    wanted = [(MINUTES, Key((0,), (minute,))) for minute in minutes]
    wanted += [(REPLAY, Key((expiry_ms // BUCKET_MS,), (request_id,))) for request_id, expiry_ms in requests]
    found: list[dict[str, Any] | None] = transaction.get_many(wanted)
    known = {minute for minute, row in zip(minutes, found, strict=False) if row is not None}
    rows = zip(requests, found[len(minutes) :], strict=True)
    return {
        request_id: row["sequence"]
        for (request_id, expiry_ms), row in rows
        if row is not None and expiry_ms // BUCKET_MS in known
    }


def apply_call(transaction: Transaction, call: StoreCall, spread: Spread) -> Done:
    """Check and change all of it; what it gives counts once the transaction is committed.

    Raises:
        UncleanMinuteError: delete the dropped entries first.
    """
    changes = record_changes(call.writes, call.reads)
    calls, entries = calls_of(transaction)
    ids, lost = parts_of(transaction, spread)
    if lost:
        return Done(None, lost=lost)
    refusal = _refusal(transaction, call, changes, spread)
    if refusal is not None:
        return Done(refusal)
    if not calls:
        note_elsewhere(transaction, spread)
    _write_records(transaction, changes, spread)
    for store in {spread.store_of(key.namespace) for key in changes.newest} - {HOME}:
        note: Row = {"store_id": ids.get(store, b""), "call": calls + 1}
        transaction.upsert(TableName(store, PART), ONE, note)
        transaction.upsert(PARTS, Key((0,), (store,)), note)
    grown, has_dropped = _change_replay(transaction, call)
    entries += grown
    _change_cells(transaction, call.cells)
    _change_outbox(transaction, call)
    transaction.upsert(CALLS, ONE, {"calls": calls + 1, "replay_entries": entries})
    return Done(Stored(replay_entries=entries), has_dropped)


def _refusal(transaction: Transaction, call: StoreCall, changes: RecordChanges, spread: Spread) -> Refusal | None:
    """The first kind of check that fails."""
    cells = cells_of(transaction)
    if any(cells.get(name, b"") != value for name, value in call.expected_cells.items()):
        return Refusal(reason="cell", cells=cells)
    seen = replayed(transaction, call.unseen)
    if seen:
        return Refusal(reason="replay", cells=cells, replayed=seen)
    expected = changes.expected
    rows: list[dict[str, Any] | None] = transaction.get_many([spread.record(key) for key in expected], _HEAD)
    found = (_ABSENT if row is None else _head(row["head"]) for row in rows)
    stale = [key for key, head in zip(expected, found, strict=True) if head != expected[key]]
    if stale:
        return Refusal(reason="read", cells=cells, stale=tuple(stale))
    stale = [RecordKey(scan.namespace, scan.start) for scan in call.scans if _differs(transaction, scan, spread)]
    if stale:
        return Refusal(reason="scan", cells=cells, stale=tuple(stale))
    return None


def _head(packed: bytes) -> Head:
    return Head(int.from_bytes(packed[:8], "big"), packed[8:HEAD_BYTES])


def _differs(transaction: Transaction, scan: ScanCheck, spread: Spread) -> bool:
    low, high = checked_range(scan)
    wanted = spread.range(scan.namespace, low, high, len(scan.rows) + 1, ("key", "head"))
    rows: list[dict[str, Any]] = transaction.scan(wanted)
    return [(row["key"], _head(row["head"])) for row in rows] != [
        (row.key.encode(), Head(row.version, row.record_hash)) for row in scan.rows
    ]


def _write_records(transaction: Transaction, changes: RecordChanges, spread: Spread) -> None:
    for key, record in changes.superseded:
        write_version(transaction, key, record, spread)
    for key, record in changes.newest.items():
        write_current(transaction, key, record, spread)


def write_version(transaction: Transaction, key: RecordKey, record: Record, spread: Spread) -> None:
    """Write a version that is not the current one."""
    transaction.upsert(*spread.version(key, record.version), {"packed": pack(record)})


def write_current(transaction: Transaction, key: RecordKey, record: Record, spread: Spread) -> None:
    """Write a version that is the current one."""
    packed = pack(record)
    transaction.upsert(*spread.record(key), {"head": packed[:HEAD_BYTES], "packed": packed})
    transaction.upsert(*spread.version(key, record.version), {"packed": packed})


def _change_replay(transaction: Transaction, call: StoreCall) -> tuple[int, bool]:
    """Drop minutes and add entries; by how much the number of entries grows, and whether minutes were dropped."""
    first_kept = call.evict_before_ms // BUCKET_MS
    added = {(entry.expiry_ms // BUCKET_MS, entry.request_id): entry for entry in call.replay}
    used = sorted({minute for minute, _ in added})
    if any(row is not None for row in transaction.get_many([(DROPPED, Key((0,), (minute,))) for minute in used])):
        raise UncleanMinuteError
    counts = _minutes(transaction)
    gone = [minute for minute in counts if minute < first_kept]
    grown = -sum(counts.pop(minute) for minute in gone)
    for minute in gone:
        transaction.delete(MINUTES, Key((0,), (minute,)))
        if minute in used:  # what is added comes after, and must not be dropped with the rest
            _delete_entries(transaction, minute)
        else:
            transaction.upsert(DROPPED, Key((0,), (minute,)), {})
    has_dropped = not set(gone) <= set(used)
    if not added:
        return grown, has_dropped
    new = _new_entries(transaction, added)
    for minute in used:
        count = sum(1 for each, _ in new if each == minute)
        transaction.upsert(MINUTES, Key((0,), (minute,)), {"entries": counts.get(minute, 0) + count})
    for (minute, request_id), entry in added.items():
        transaction.upsert(REPLAY, Key((minute,), (request_id,)), {"sequence": entry.sequence})
    return grown + len(new), has_dropped


def _delete_entries(transaction: Transaction, minute: int, rows_max: int | None = None) -> int:
    """Delete entries of a minute; how many."""
    rows: list[dict[str, Any]] = transaction.scan(
        Scan(table=REPLAY, partition=(minute,), limit=rows_max, projection=("request_id",))
    )
    for row in rows:
        transaction.delete(REPLAY, Key((minute,), (row["request_id"],)))
    return len(rows)


def _minutes(transaction: Transaction) -> dict[int, int]:
    rows: list[dict[str, Any]] = transaction.scan(Scan(table=MINUTES, partition=(0,)))
    return {row["minute"]: row["entries"] for row in rows}


def _new_entries(transaction: Transaction, added: Mapping[tuple[int, bytes], ReplayEntry]) -> list[tuple[int, bytes]]:
    places = list(added)
    rows = transaction.get_many([(REPLAY, Key((minute,), (request_id,))) for minute, request_id in places])
    return [place for place, row in zip(places, rows, strict=True) if row is None]


def _change_cells(transaction: Transaction, cells: Mapping[str, bytes]) -> None:
    for name, value in cells.items():
        if value:
            transaction.upsert(CELLS, Key((0,), (name,)), {"value": value})
        else:
            transaction.delete(CELLS, Key((0,), (name,)))


def _change_outbox(transaction: Transaction, call: StoreCall) -> None:
    for kind, below in call.outbox_trim:
        bound = Bound(min(below, 2**63 - 1), inclusive=False)
        rows: list[dict[str, Any]] = transaction.scan(
            Scan(table=OUTBOX, partition=(kind,), upper=bound, projection=("number",))
        )
        for row in rows:
            transaction.delete(OUTBOX, Key((kind,), (row["number"],)))
    for kind, number, message in call.outbox_put:
        transaction.upsert(OUTBOX, Key((kind,), (number,)), {"message": message})


def clean_minute(minute: int, rows_max: int) -> Callable[[Transaction], bool]:
    """Delete some entries of a dropped minute; whether it was the last of them."""

    def clean(transaction: Transaction) -> bool:
        is_emptied = _delete_entries(transaction, minute, rows_max) < rows_max
        if is_emptied:
            transaction.delete(DROPPED, Key((0,), (minute,)))
        return is_emptied

    return clean
