"""The record store in memory, for simulation and unit tests: call for call what the one on Redis does."""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from copy import deepcopy
from threading import RLock

from protocol.hashing import ZERO_HASH
from protocol.records import ABSENT, Record, RecordKey
from storage.errors import StoreAbsentError, StoreExistsError
from storage.ports import (
    BUCKET_MS,
    Contents,
    OutboxEntry,
    Refusal,
    RequestExpiry,
    ScanCheck,
    ScanRange,
    ScanRows,
    Snapshot,
    StoreCall,
    Stored,
    Version,
)


class MemoryStore:
    """A store that outlives its machine. See `storage.ports.RecordStore` for what each method promises."""

    def __init__(self) -> None:
        self._lock = RLock()
        self.wipe()

    def wipe(self) -> None:
        """Lose everything, as when a disk is lost."""
        with self._lock:
            self._current: dict[RecordKey, Record] = {}
            self._versions: dict[Version, Record] = {}
            self._index: defaultdict[str, list[str]] = defaultdict(list)
            self._cells: dict[str, bytes] = {}
            self._replay: defaultdict[int, dict[bytes, int]] = defaultdict(dict)
            self._outbox: defaultdict[str, dict[int, bytes]] = defaultdict(dict)

    def copy(self) -> "MemoryStore":
        """A store of its own with the same contents, as when a disk is restored from a backup."""
        twin = MemoryStore()
        with self._lock:
            twin._current = dict(self._current)
            twin._versions = dict(self._versions)
            twin._index = deepcopy(self._index)
            twin._cells = dict(self._cells)
            twin._replay = deepcopy(self._replay)
            twin._outbox = deepcopy(self._outbox)
        return twin

    def create(self, store_id: bytes) -> None:
        """Make this store, which must be empty."""
        assert store_id, "a store has an id"
        with self._lock:
            if self._cells or self._current:
                raise StoreExistsError
            self._cells["store_id"] = store_id

    def load(self) -> Contents:
        """Return all cells."""
        with self._lock:
            if not self._cells:
                raise StoreAbsentError
            return Contents(cells=dict(self._cells), replay_entries=self._replay_entries())

    def fetch(
        self,
        keys: Sequence[RecordKey] = (),
        *,
        versions: Sequence[Version] = (),
        scans: Sequence[ScanRange] = (),
        replay: Sequence[RequestExpiry] = (),
        cells: Sequence[str] = (),
    ) -> Snapshot:
        """Read all of this at once."""
        with self._lock:
            return Snapshot(
                records={key: self._current.get(key, ABSENT) for key in keys},
                versions={version: self._versions[version] for version in versions if version in self._versions},
                scans=tuple(self._scan(scan) for scan in scans),
                replayed=self._replayed(replay),
                cells={name: self._cells[name] for name in cells if name in self._cells},
            )

    def apply(self, call: StoreCall) -> Stored | Refusal:
        """Check and change all of it atomically."""
        with self._lock:
            refusal = self._refusal(call)
            if refusal is None:
                self._change(call)
            return refusal or Stored(replay_entries=self._replay_entries())

    def read_outbox(self, kind: str, first: int, last: int) -> tuple[OutboxEntry, ...]:
        """Return the entries of a kind from `first` to `last`."""
        with self._lock:
            entries = sorted(self._outbox[kind].items())
        return tuple(OutboxEntry(kind, number, message) for number, message in entries if first <= number <= last)

    def records(self, namespace: str) -> Iterator[tuple[str, Record]]:
        """All current records of a namespace."""
        with self._lock:
            return iter([(key, self._current[RecordKey(namespace, key)]) for key in self._index[namespace]])

    def count(self, namespace: str) -> int:
        """Number of keys ever written in a namespace."""
        with self._lock:
            return len(self._index[namespace])

    def overwrite(self, key: RecordKey, record: Record) -> None:
        """Put another current version in place, unchecked, as whoever owns the server can."""
        with self._lock:
            self._current[key] = record
            self._versions[Version(key, record.version)] = record

    def close(self) -> None:
        """Nothing to give back."""

    def _refusal(self, call: StoreCall) -> Refusal | None:
        """The first kind of check that fails."""
        cells = dict(self._cells)
        if any(cells.get(name, b"") != value for name, value in call.expected_cells.items()):
            return Refusal(reason="cell", cells=cells)
        replayed = self._replayed(call.unseen)
        if replayed:
            return Refusal(reason="replay", cells=cells, replayed=replayed)
        expected = _expected(call)
        stale = tuple(key for key, head in expected.items() if self._head(key) != head)
        if stale:
            return Refusal(reason="read", cells=cells, stale=stale)
        stale = tuple(RecordKey(scan.namespace, scan.start) for scan in call.scans if self._differs(scan))
        if stale:
            return Refusal(reason="scan", cells=cells, stale=stale)
        return None

    def _change(self, call: StoreCall) -> None:
        for key, record in call.writes:
            if record.version == 1:
                insort(self._index[key.namespace], key.key)
            self._current[key] = record
            self._versions[Version(key, record.version)] = record
        for minute in [minute for minute in self._replay if minute < call.evict_before_ms // BUCKET_MS]:
            del self._replay[minute]
        for request_id, expiry_ms, sequence in call.replay:
            self._replay[expiry_ms // BUCKET_MS][request_id] = sequence
        for name, value in call.cells.items():
            if value:
                self._cells[name] = value
            else:
                self._cells.pop(name, None)
        for kind, below in call.outbox_trim:
            kept = {number: message for number, message in self._outbox[kind].items() if number >= below}
            self._outbox[kind] = kept
        for kind, number, message in call.outbox_put:
            self._outbox[kind][number] = message

    def _head(self, key: RecordKey) -> tuple[int, bytes]:
        record = self._current.get(key, ABSENT)
        return record.version, record.record_hash

    def _differs(self, scan: ScanCheck) -> bool:
        names = self._index[scan.namespace]
        first = bisect_left(names, scan.start)
        if not scan.exhausted:
            last = bisect_right(names, scan.covered_to)
        elif scan.covered_to:
            last = bisect_left(names, scan.covered_to)
        else:
            last = len(names)
        found = [(name, *self._head(RecordKey(scan.namespace, name))) for name in names[first:last]]
        return found != [tuple(row) for row in scan.rows]

    def _scan(self, scan: ScanRange) -> ScanRows:
        assert scan.limit > 0, "a scan wants at least one row"
        names = self._index[scan.namespace]
        first = bisect_left(names, scan.start)
        last = bisect_left(names, scan.end) if scan.end else len(names)
        found = names[first : min(last, first + scan.limit)] if last > first else []
        rows = tuple((name, self._current[RecordKey(scan.namespace, name)]) for name in found)
        exhausted = len(rows) < scan.limit
        return ScanRows(scan, rows, scan.end if exhausted else found[-1], exhausted)

    def _replayed(self, requests: Sequence[RequestExpiry]) -> dict[bytes, int]:
        found = {}
        for request_id, expiry_ms in requests:
            sequence = self._replay.get(expiry_ms // BUCKET_MS, {}).get(request_id)
            if sequence is not None:
                found[request_id] = sequence
        return found

    def _replay_entries(self) -> int:
        return sum(map(len, self._replay.values()))


def _expected(call: StoreCall) -> dict[RecordKey, tuple[int, bytes]]:
    """Version and hash at which each record must be: what its first write follows, and what was read."""
    expected: dict[RecordKey, tuple[int, bytes]] = {}
    newest: dict[RecordKey, tuple[int, bytes]] = {}
    for key, record in call.writes:
        before = (record.version - 1, record.previous_hash)
        assert newest.get(key, before) == before, "versions of one record follow each other and are chained"
        assert record.version > 1 or record.previous_hash == ZERO_HASH, "version 1 follows nothing"
        expected.setdefault(key, before)
        newest[key] = (record.version, record.record_hash)
    for key, version, record_hash in call.reads:
        found = expected.setdefault(key, (version, record_hash))
        assert found == (version, record_hash), "one call expects one version of a record"
    return expected
