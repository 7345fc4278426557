"""The record store in an SQLite file.

1. One write transaction makes each call, begun IMMEDIATE: nobody else writes between its checks and its changes.
2. It is on disk before it answers (`storage.sqlite_connection`).
3. Readers have a connection of their own: they see one moment, and never wait for a writer's disk.
4. Another process may open the same file; whoever was overtaken is refused by the call's checks.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock

from protocol.records import ABSENT, Record, RecordKey, pack, unpack
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
from storage.record_changes import Head, RecordChanges, behind_head, record_changes
from storage.record_ranges import checked_range, key_range, scan_rows, successor_of
from storage.sqlite_connection import file_of, open_database, transaction, translated
from storage.sqlite_layout import (
    AGAIN,
    COUNT,
    CURRENT,
    EVICT,
    HEAD,
    HEADS_IN_RANGE,
    NEW_ENTRY,
    NEW_HEAD,
    NEW_RECORD,
    NEW_VERSION,
    PUT,
    RANGE,
    REMOVE_CELL,
    SCHEMA,
    SEEN,
    SET_CELL,
    TRIM,
    VERSION,
)

PAGE_ROWS = 1_000
_NUMBERS = (-(2**63), 2**63 - 1)
_NOTHING = Head(0, ABSENT.record_hash)


class SqliteStore:
    """A party's store in a file of its own. See `storage.ports.RecordStore` for what each method promises.

    Args:
        url: `sqlite:///path/to/file`; the file is made where there is none, its directory is not.
        synchronous: False only for tests: a crash of the machine may lose what was acknowledged.

    Raises:
        CountersignError: `config.invalid`, for another URL.
        StoreUnavailableError: the file cannot be opened.
    """

    def __init__(self, url: str, *, synchronous: bool = True) -> None:
        self._file = file_of(url)
        self._writing = Lock()
        self._reading = Lock()
        self._writer = open_database(self._file, synchronous=synchronous)
        with transaction(self._writer, "IMMEDIATE"):
            for statement in SCHEMA:
                self._writer.execute(statement)
        self._reader = open_database(self._file, synchronous=synchronous)
        self._identity = _identity(self._file)

    def create(self, store_id: bytes) -> None:
        """Make an empty file into this store."""
        assert store_id, "a store has an id"
        with self._writing, transaction(self._writer, "IMMEDIATE"):
            for table in ("cells", "records"):
                if self._writer.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():
                    raise StoreExistsError(f"{self._file} holds data")
            self._writer.execute(SET_CELL, ("store_id", store_id))

    def load(self) -> Contents:
        """Return all cells."""
        self._require_file()
        with self._reading, transaction(self._reader, "DEFERRED"):
            contents = Contents(cells=_cells(self._reader), replay_entries=_replay_entries(self._reader))
        if not contents.cells:
            raise StoreAbsentError(f"{self._file} holds no cells")
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
        """Read all of this at once, as of one moment."""
        reader = self._reader
        with self._reading, transaction(reader, "DEFERRED"):
            present = _cells(reader) if cells else {}
            return Snapshot(
                records={key: _current(reader, key) for key in keys},
                versions=dict(_versions(reader, versions)),
                scans=tuple(_scan(reader, scan) for scan in scans),
                replayed=_replayed(reader, replay),
                cells={name: present[name] for name in cells if name in present},
            )

    def apply(self, call: StoreCall) -> Stored | Refusal:
        """Check and change all of it atomically."""
        changes = record_changes(call.writes, call.reads)
        self._require_file()
        with self._writing, transaction(self._writer, "IMMEDIATE"):
            refusal, numbers = _refusal(self._writer, call, changes)
            if refusal is not None:
                return refusal
            _change_records(self._writer, changes, numbers)
            _change_replay(self._writer, call)
            _change_cells(self._writer, call)
            _change_outbox(self._writer, call)
            return Stored(replay_entries=_replay_entries(self._writer))

    def read_outbox(self, kind: str, first: int, last: int) -> tuple[OutboxEntry, ...]:
        """Return the entries of a kind from `first` to `last`."""
        lowest, highest = _NUMBERS
        query = "SELECT kind, number, message FROM outbox WHERE kind = ? AND number BETWEEN ? AND ? ORDER BY number"
        with self._reading, translated():
            rows = self._reader.execute(query, (kind, max(first, lowest), min(last, highest))).fetchall()
        return tuple(OutboxEntry(*row) for row in rows)

    def records(self, namespace: str) -> Iterator[tuple[str, Record]]:
        """All current records of a namespace, page by page."""
        low, high = key_range("", "")
        while True:
            with self._reading, translated():
                rows = self._reader.execute(RANGE, (namespace.encode(), low, high, PAGE_ROWS)).fetchall()
            for key, version, record_hash, packed in rows:
                yield key.decode(), behind_head(Head(version, record_hash), packed)
            if len(rows) < PAGE_ROWS:
                return
            low = successor_of(rows[-1][0])

    def count(self, namespace: str) -> int:
        """Number of keys ever written in a namespace."""
        with self._reading, translated():
            query = "SELECT count(*) FROM records WHERE namespace = ?"
            (number,) = self._reader.execute(query, (namespace.encode(),)).fetchone()
        return int(number)

    def overwrite(self, key: RecordKey, record: Record) -> None:
        """Put another current version in place, unchecked, as whoever has the file can.

        For tests and demonstrations of what then happens; nothing in the pipeline calls it.
        """
        with self._writing, transaction(self._writer, "IMMEDIATE"):
            number, _ = _stored_head(self._writer, key)
            _change_records(self._writer, RecordChanges({key: _NOTHING}, {key: record}, ()), {key: number})

    def close(self) -> None:
        """Give back the connections."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()

    def _require_file(self) -> None:
        """Do not go on writing into a file that somebody removed: nobody would find it again.

        Raises:
            StoreAbsentError: it is gone, or another one is in its place.
        """
        if _identity(self._file) != self._identity:
            raise StoreAbsentError(f"{self._file} was removed or replaced")


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(file)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _cells(connection: sqlite3.Connection) -> dict[str, bytes]:
    return dict(connection.execute("SELECT name, value FROM cells").fetchall())


def _replay_entries(connection: sqlite3.Connection) -> int:
    (number,) = connection.execute("SELECT replay FROM counts").fetchone()
    return int(number)


def _stored_head(connection: sqlite3.Connection, key: RecordKey) -> tuple[int | None, Head]:
    """A record's number and head."""
    row = connection.execute(HEAD, (key[0].encode(), key[1].encode())).fetchone()
    return (None, _NOTHING) if row is None else (row[0], Head(row[1], row[2]))


def _current(connection: sqlite3.Connection, key: RecordKey) -> Record:
    row = connection.execute(CURRENT, (key[0].encode(), key[1].encode())).fetchone()
    return ABSENT if row is None else behind_head(Head(row[0], row[1]), row[2])


def _versions(connection: sqlite3.Connection, versions: Sequence[Version]) -> Iterator[tuple[Version, Record]]:
    for version in versions:
        namespace, key = version.key
        row = connection.execute(VERSION, (namespace.encode(), key.encode(), version.version)).fetchone()
        if row is not None:
            yield version, unpack(row[0])


def _scan(connection: sqlite3.Connection, scan: ScanRange) -> ScanRows:
    assert scan.limit > 0, "a scan wants at least one row"
    bounds = key_range(scan.start, scan.end)
    found = connection.execute(RANGE, (scan.namespace.encode(), *bounds, scan.limit)).fetchall()
    rows = tuple((key.decode(), behind_head(Head(version, own), packed)) for key, version, own, packed in found)
    return scan_rows(scan, rows)


def _replayed(connection: sqlite3.Connection, requests: Sequence[RequestExpiry]) -> dict[bytes, int]:
    found = {}
    for request_id, expiry_ms in requests:
        row = connection.execute(SEEN, (expiry_ms // BUCKET_MS, request_id)).fetchone()
        if row is not None:
            found[request_id] = row[0]
    return found


def _refusal(
    connection: sqlite3.Connection, call: StoreCall, changes: RecordChanges
) -> tuple[Refusal | None, dict[RecordKey, int | None]]:
    """The first kind of check that fails; and the numbers of the records that are there."""
    numbers: dict[RecordKey, int | None] = {}
    cells = _cells(connection)
    if any(cells.get(name, b"") != value for name, value in call.expected_cells.items()):
        return Refusal(reason="cell", cells=cells), numbers
    replayed = _replayed(connection, call.unseen)
    if replayed:
        return Refusal(reason="replay", cells=cells, replayed=replayed), numbers
    stale = []
    for key, expected in changes.expected.items():
        numbers[key], found = _stored_head(connection, key)
        if found != expected:
            stale.append(key)
    if stale:
        return Refusal(reason="read", cells=cells, stale=tuple(stale)), numbers
    stale = [RecordKey(scan.namespace, scan.start) for scan in call.scans if _differs(connection, scan)]
    if stale:
        return Refusal(reason="scan", cells=cells, stale=tuple(stale)), numbers
    return None, numbers


def _differs(connection: sqlite3.Connection, scan: ScanCheck) -> bool:
    bounds = checked_range(scan)
    found = connection.execute(HEADS_IN_RANGE, (scan.namespace.encode(), *bounds, len(scan.rows) + 1)).fetchall()
    return found != [(row.key.encode(), row.version, row.record_hash) for row in scan.rows]


def _change_records(
    connection: sqlite3.Connection, changes: RecordChanges, numbers: Mapping[RecordKey, int | None]
) -> None:
    """Write new versions and heads; `numbers` has those of the records that are there."""
    known: dict[RecordKey, int] = {}
    heads = []
    for key, record in changes.newest.items():
        number = numbers[key]
        if number is None:
            row = (key[0].encode(), key[1].encode(), record.version, record.record_hash)
            number = connection.execute(NEW_RECORD, row).lastrowid
            assert number is not None, "a row that was inserted has a number"
        else:
            heads.append((record.version, record.record_hash, number))
        known[key] = number
    connection.executemany(NEW_HEAD, heads)
    written = (*changes.superseded, *changes.newest.items())
    connection.executemany(NEW_VERSION, [(known[key], record.version, pack(record)) for key, record in written])


def _change_replay(connection: sqlite3.Connection, call: StoreCall) -> None:
    gone = connection.execute(EVICT, (call.evict_before_ms // BUCKET_MS,)).rowcount
    rows = [(expiry_ms // BUCKET_MS, request_id, sequence) for request_id, expiry_ms, sequence in call.replay]
    added = connection.executemany(NEW_ENTRY, rows).rowcount if rows else 0
    if added < len(rows):  # some were there, or came twice: the last one counts
        connection.executemany(AGAIN, rows)
    if added != gone:
        connection.execute(COUNT, (added - gone,))


def _change_cells(connection: sqlite3.Connection, call: StoreCall) -> None:
    connection.executemany(SET_CELL, [cell for cell in call.cells.items() if cell[1]])
    connection.executemany(REMOVE_CELL, [(name,) for name, value in call.cells.items() if not value])


def _change_outbox(connection: sqlite3.Connection, call: StoreCall) -> None:
    connection.executemany(TRIM, call.outbox_trim)
    connection.executemany(PUT, call.outbox_put)
