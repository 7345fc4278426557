"""The record store on PostgreSQL.

1. One statement makes each call: a function (`apply.sql`) that checks and changes in the transaction of that
   statement, with sets of rows, never a row at a time. Its first act is to lock the store's one row of counts.
2. Durable means what `storage.postgresql_connections` checks.
3. No call is ever tried again. One whose answer was lost raises `StoreUnavailableError`; nobody knows whether it
   was done, so the caller loads and looks.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from protocol.records import ABSENT, Record, RecordKey, pack, unpack
from storage.errors import StoreAbsentError, StoreExistsError
from storage.ports import (
    BUCKET_MS,
    Contents,
    OutboxEntry,
    Refusal,
    RequestExpiry,
    ScanRange,
    Snapshot,
    StoreCall,
    Stored,
    Version,
)
from storage.postgresql_connections import Connection, PostgresqlConnections, in_pipeline
from storage.postgresql_layout import (
    APPLY,
    APPLY_FUNCTION,
    CALL,
    CELLS,
    COUNT,
    CURRENT,
    NAMESPACE,
    ONE_MOMENT,
    OUTBOX,
    RANGE,
    REPLAY_ENTRIES,
    REPLAYED,
    SETTINGS,
    TABLES,
    VERSIONS,
    arguments,
    names_of,
)
from storage.record_changes import Head, behind_head, record_changes
from storage.record_ranges import key_range, scan_rows, successor_of

PAGE_ROWS = 1_000
_NUMBER_MIN, _NUMBER_MAX = -(2**63), 2**63 - 1
_LAYOUT_LOCK = 0x436F756E746572  # whoever makes the tables; any number that nobody else has


class PostgresqlStore:
    """A party's store in a database of its own. See `storage.ports.RecordStore` for what each method promises.

    Args:
        url: `postgresql://`, with user, password, database and TLS settings as libpq has them.
        allow_unsafe: take a server that may lose what it acknowledged; for tests only.

    Raises:
        StoreUnavailableError: the server does not answer.
        UnsafeDurabilityError: its settings are not the durable ones.
    """

    def __init__(self, url: str, *, allow_unsafe: bool = False) -> None:
        self._connections = PostgresqlConnections(url, SETTINGS, allow_unsafe=allow_unsafe, greet=_make_layout)
        with self._connections.lend():
            pass

    def create(self, store_id: bytes) -> None:
        """Make an empty database into this store."""
        assert store_id, "a store has an id"
        with self._connections.lend() as connection, connection.transaction():
            connection.execute("SELECT FROM counts FOR NO KEY UPDATE")
            for table in ("cells", "records"):
                if connection.execute(f"SELECT FROM {table} LIMIT 1").fetchone() is not None:
                    raise StoreExistsError("the database holds data")
            connection.execute("INSERT INTO cells VALUES ('store_id', %s)", [store_id])

    def load(self) -> Contents:
        """Return all cells and the count beside them, of one moment."""
        with self._connections.lend() as connection, in_pipeline(connection):
            _ask(connection, ONE_MOMENT)
            cells = _ask(connection, CELLS)
            entries = _ask(connection, REPLAY_ENTRIES)
            _ask(connection, "COMMIT")
            contents = Contents(cells=dict(cells.fetchall()), replay_entries=entries.fetchall()[0][0])
        if not contents.cells:
            raise StoreAbsentError("the database holds no cells")
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
        """Read all of this in one round trip."""
        with self._connections.lend() as connection, in_pipeline(connection):
            current = _ask(connection, CURRENT, names_of(list(keys))) if keys else None
            wanted = _ask(connection, VERSIONS, _versioned(versions)) if versions else None
            ranges = [_ask_range(connection, scan) for scan in scans]
            seen = _ask(connection, REPLAYED, _by_minute(replay)) if replay else None
            stored = _ask(connection, CELLS) if cells else None
            return Snapshot(
                records=_current(keys, current.fetchall() if current else ()),
                versions={versions[i - 1]: unpack(packed) for i, packed in (wanted.fetchall() if wanted else ())},
                scans=tuple(
                    scan_rows(scan, tuple(_rows(found.fetchall()))) for scan, found in zip(scans, ranges, strict=True)
                ),
                replayed={replay[i - 1].request_id: number for i, number in (seen.fetchall() if seen else ())},
                cells={name: value for name, value in (stored.fetchall() if stored else ()) if name in cells},
            )

    def apply(self, call: StoreCall) -> Stored | Refusal:
        """Check and change all of it atomically."""
        changes = record_changes(call.writes, call.reads)
        with self._connections.lend() as connection:
            (answer,) = _ask(connection, CALL, arguments(call, changes)).fetchall()
        entries, reason, failed, sequences, names, contents = answer
        if reason is None:
            return Stored(replay_entries=entries)
        cells = dict(zip(names or (), contents or (), strict=True))
        places = [place - 1 for place in failed or ()]
        match reason:
            case "replay":
                replayed = {call.unseen[i].request_id: number for i, number in zip(places, sequences, strict=True)}
                return Refusal(reason=reason, cells=cells, replayed=replayed)
            case "read":
                compared = list(changes.expected)
                return Refusal(reason=reason, cells=cells, stale=tuple(compared[i] for i in places))
            case _:
                ranges = (call.scans[i] for i in places)
                stale = tuple(RecordKey(scan.namespace, scan.start) for scan in ranges)
                return Refusal(reason=reason, cells=cells, stale=stale)

    def read_outbox(self, kind: str, first: int, last: int) -> tuple[OutboxEntry, ...]:
        """Return the entries of a kind from `first` to `last`."""
        bounds = (kind, max(first, _NUMBER_MIN), min(last, _NUMBER_MAX))
        with self._connections.lend() as connection:
            rows = _ask(connection, OUTBOX, bounds).fetchall()
        return tuple(OutboxEntry(*row) for row in rows)

    def records(self, namespace: str) -> Iterator[tuple[str, Record]]:
        """All current records of a namespace, page by page."""
        low, high = key_range("", "")
        while True:
            with self._connections.lend() as connection:
                rows = _ask(connection, RANGE, (namespace.encode(), low, high, PAGE_ROWS)).fetchall()
            yield from _rows(rows)
            if len(rows) < PAGE_ROWS:
                return
            low = successor_of(rows[-1][0])

    def count(self, namespace: str) -> int:
        """Number of keys ever written in a namespace."""
        with self._connections.lend() as connection:
            ((number,),) = _ask(connection, COUNT, (namespace.encode(),)).fetchall()
        return int(number)

    def overwrite(self, key: RecordKey, record: Record) -> None:
        """Put another current version in place, unchecked, as whoever has the server's password can.

        For tests and demonstrations of what then happens; nothing in the pipeline calls it.
        """
        with self._connections.lend() as connection, connection.transaction():
            ((number,),) = connection.execute(
                """INSERT INTO records VALUES (nextval('record_numbers'), %s, %s, %s, %s) ON CONFLICT (namespace, key)
                DO UPDATE SET version = excluded.version, record_hash = excluded.record_hash RETURNING record""",
                (key.namespace.encode(), key.key.encode(), record.version, record.record_hash),
            ).fetchall()
            connection.execute(
                """INSERT INTO versions VALUES (%s, %s, %s)
                ON CONFLICT (record, version) DO UPDATE SET packed = excluded.packed""",
                (number, record.version, pack(record)),
            )

    def close(self) -> None:
        """Give back the connections."""
        self._connections.close()


def _make_layout(connection: Connection) -> None:
    """Make tables and function where they are not."""
    made = "SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = %s AND p.proname = %s"
    if connection.execute(made, (NAMESPACE, APPLY)).fetchone() is not None:
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LAYOUT_LOCK])
        if connection.execute(made, (NAMESPACE, APPLY)).fetchone() is not None:
            return
        for statement in (f"CREATE SCHEMA IF NOT EXISTS {NAMESPACE}", *TABLES, APPLY_FUNCTION):
            connection.execute(statement)


def _ask(connection: Connection, query: str, values: Sequence[Any] = ()) -> Any:
    """A cursor that has, or in a pipeline will have, the answer."""
    cursor = connection.cursor(binary=True)
    cursor.execute(query, values)
    return cursor


def _ask_range(connection: Connection, scan: ScanRange) -> Any:
    assert scan.limit > 0, "a scan wants at least one row"
    return _ask(connection, RANGE, (scan.namespace.encode(), *key_range(scan.start, scan.end), scan.limit))


def _versioned(versions: Sequence[Version]) -> tuple[Any, ...]:
    return (*names_of([version.key for version in versions]), [version.version for version in versions])


def _by_minute(requests: Sequence[RequestExpiry]) -> tuple[Any, ...]:
    return [expiry_ms // BUCKET_MS for _, expiry_ms in requests], [request_id for request_id, _ in requests]


def _current(keys: Sequence[RecordKey], rows: Sequence[Any]) -> dict[RecordKey, Record]:
    """The current records; the rows have their places among the keys."""
    records = dict.fromkeys(keys, ABSENT)
    for place, version, record_hash, packed in rows:
        records[keys[place - 1]] = behind_head(Head(version, record_hash), packed)
    return records


def _rows(rows: Sequence[Any]) -> Iterator[tuple[str, Record]]:
    for key, version, record_hash, packed in rows:
        yield key.decode(), behind_head(Head(version, record_hash), packed)
