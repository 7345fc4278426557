"""How a party's state lies in PostgreSQL, in the schema `countersign`; and the arguments of `apply.sql`.

| table | holds |
|---|---|
| `records` | one row for every key ever written: its number, and the head of its current version |
| `versions` | every version as `protocol.records.pack` makes it, by the record's number and its own |
| `cells` | the cells, those that are not empty |
| `replay` | request_id -> sequence, by the minute since 1970 in which the request expires |
| `counts` | the one row that counts the entries of `replay`; its lock makes calls happen one after the other |
| `outbox` | the messages, by kind and number |

A version is written once and never moved: a new one costs the same whatever came before it. Names of namespaces
and keys are their UTF-8 as `bytea`, whose order is that of code points, and which may hold NUL.
"""

from hashlib import sha256
from importlib.resources import files
from typing import Any

from protocol.records import RecordKey, pack
from storage.ports import BUCKET_MS, StoreCall
from storage.record_changes import RecordChanges
from storage.record_ranges import checked_range

NAMESPACE = "countersign"
"""The schema of the tables."""

SETTINGS = {
    "search_path": NAMESPACE,
    "default_transaction_isolation": "read committed",
    # Every access is by a primary key or a range of one. A plan that was made when a table was empty, and is
    # kept, must not scan the table when it is full.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
"""What a connection to the store is set to."""

TABLES = (
    "CREATE TABLE IF NOT EXISTS counts (one bool PRIMARY KEY CHECK (one), replay bigint NOT NULL)",
    "INSERT INTO counts VALUES (true, 0) ON CONFLICT DO NOTHING",
    "CREATE SEQUENCE IF NOT EXISTS record_numbers",
    """CREATE TABLE IF NOT EXISTS records (
        record bigint PRIMARY KEY,
        namespace bytea NOT NULL,
        key bytea NOT NULL,
        version bigint NOT NULL,
        record_hash bytea NOT NULL,
        UNIQUE (namespace, key)
    ) WITH (fillfactor = 70)""",  # a new head of 40 bytes finds room beside the old one, and indexes stay as they are
    """CREATE TABLE IF NOT EXISTS versions (
        record bigint NOT NULL,
        version bigint NOT NULL,
        packed bytea STORAGE EXTERNAL NOT NULL,
        PRIMARY KEY (record, version)
    )""",
    'CREATE TABLE IF NOT EXISTS cells (name text COLLATE "C" PRIMARY KEY, value bytea NOT NULL)',
    """CREATE TABLE IF NOT EXISTS replay (
        minute bigint NOT NULL,
        request_id bytea NOT NULL,
        sequence bigint NOT NULL,
        PRIMARY KEY (minute, request_id)
    )""",
    """CREATE TABLE IF NOT EXISTS outbox (
        kind text COLLATE "C" NOT NULL,
        number bigint NOT NULL,
        message bytea STORAGE EXTERNAL NOT NULL,
        PRIMARY KEY (kind, number)
    )""",
)

_APPLY_TEXT = files("storage").joinpath("apply.sql").read_text()
APPLY = f"apply_{sha256(_APPLY_TEXT.encode()).hexdigest()[:16]}"
"""The name of the function that makes a call."""
APPLY_FUNCTION = _APPLY_TEXT.replace("NAME(", f"{APPLY}(", 1)

_TYPES = (
    *("text[]", "bytea[]"),
    *("bigint[]", "bytea[]"),
    *("bytea[]", "bytea[]", "bigint[]", "bytea[]"),
    *("bytea[]", "bytea[]", "bytea[]", "int[]", "bytea[]", "bigint[]", "bytea[]"),
    *("bigint[]", "bytea[]", "int[]", "bigint[]", "bytea[]"),
    *("bigint", "bigint[]", "bytea[]", "bigint[]"),
    *("text[]", "bytea[]", "text[]"),
    *("text[]", "bigint[]", "text[]", "bigint[]", "bytea[]"),
)
CALL = f"SELECT * FROM {APPLY}({', '.join(f'%b::{each}' for each in _TYPES)})"

CURRENT = """SELECT u.i, r.version, r.record_hash, v.packed
    FROM unnest(%b::bytea[], %b::bytea[]) WITH ORDINALITY AS u(namespace, key, i)
    JOIN records r ON r.namespace = u.namespace AND r.key = u.key
    LEFT JOIN versions v ON v.record = r.record AND v.version = r.version"""
VERSIONS = """SELECT u.i, v.packed
    FROM unnest(%b::bytea[], %b::bytea[], %b::bigint[]) WITH ORDINALITY AS u(namespace, key, version, i)
    JOIN records r ON r.namespace = u.namespace AND r.key = u.key
    JOIN versions v ON v.record = r.record AND v.version = u.version"""
RANGE = """SELECT r.key, r.version, r.record_hash, v.packed
    FROM records r LEFT JOIN versions v ON v.record = r.record AND v.version = r.version
    WHERE r.namespace = %b AND r.key >= %b AND r.key < %b ORDER BY r.key LIMIT %b::int"""
REPLAYED = """SELECT u.i, r.sequence FROM unnest(%b::bigint[], %b::bytea[]) WITH ORDINALITY AS u(minute, request_id, i)
    JOIN replay r ON r.minute = u.minute AND r.request_id = u.request_id"""
ONE_MOMENT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
"""What is read until COMMIT was all there together."""

CELLS = "SELECT name, value FROM cells"
REPLAY_ENTRIES = "SELECT replay FROM counts"
OUTBOX = """SELECT kind, number, message FROM outbox
    WHERE kind = %b AND number BETWEEN %b::bigint AND %b::bigint ORDER BY number"""
COUNT = "SELECT count(*) FROM records WHERE namespace = %b"


def names_of(keys: list[RecordKey]) -> tuple[list[bytes], list[bytes]]:
    """Namespaces and keys as they are stored."""
    return [namespace.encode() for namespace, _ in keys], [key.encode() for _, key in keys]


def arguments(call: StoreCall, changes: RecordChanges) -> tuple[Any, ...]:
    """The arguments of `CALL`."""
    return (
        list(call.expected_cells),
        list(call.expected_cells.values()),
        [expiry_ms // BUCKET_MS for _, expiry_ms in call.unseen],
        [request_id for request_id, _ in call.unseen],
        *_heads(changes),
        *_scans(call),
        *_writes(changes),
        *_replay(call),
        *_cells(call),
        [kind for kind, _ in call.outbox_trim],
        [below for _, below in call.outbox_trim],
        *_entries(call),
    )


def _heads(changes: RecordChanges) -> tuple[Any, ...]:
    heads = changes.expected.values()
    return (*names_of(list(changes.expected)), [head.version for head in heads], [head.record_hash for head in heads])


def _scans(call: StoreCall) -> tuple[Any, ...]:
    ranges = [checked_range(scan) for scan in call.scans]
    rows = [row for scan in call.scans for row in scan.rows]
    return (
        [scan.namespace.encode() for scan in call.scans],
        [low for low, _ in ranges],
        [high for _, high in ranges],
        [len(scan.rows) for scan in call.scans],
        [row.key.encode() for row in rows],
        [row.version for row in rows],
        [row.record_hash for row in rows],
    )


def _writes(changes: RecordChanges) -> tuple[Any, ...]:
    places = {key: place for place, key in enumerate(changes.newest, 1)}
    written = (*changes.superseded, *changes.newest.items())
    return (
        [record.version for record in changes.newest.values()],
        [record.record_hash for record in changes.newest.values()],
        [places[key] for key, _ in written],
        [record.version for _, record in written],
        [pack(record) for _, record in written],
    )


def _replay(call: StoreCall) -> tuple[Any, ...]:
    entries = {(expiry_ms // BUCKET_MS, request_id): sequence for request_id, expiry_ms, sequence in call.replay}
    return (
        call.evict_before_ms // BUCKET_MS,
        [minute for minute, _ in entries],
        [request_id for _, request_id in entries],
        list(entries.values()),
    )


def _cells(call: StoreCall) -> tuple[Any, ...]:
    values = {name: value for name, value in call.cells.items() if value}
    return list(values), list(values.values()), [name for name, value in call.cells.items() if not value]


def _entries(call: StoreCall) -> tuple[Any, ...]:
    entries = {(kind, number): message for kind, number, message in call.outbox_put}
    return [kind for kind, _ in entries], [number for _, number in entries], list(entries.values())
