"""How a party's state lies in SQLite.

| table | holds |
|---|---|
| `records` | one row for every key ever written: its number, and the head of its current version |
| `versions` | every version as `protocol.records.pack` makes it, by the record's number and its own |
| `cells` | the cells, those that are not empty |
| `replay` | request_id -> sequence, by the minute since 1970 in which the request expires |
| `counts` | the one row that counts the entries of `replay` |
| `outbox` | the messages, by kind and number |

A version is written once and never moved: a new one costs the same whatever came before it. Names of
namespaces and keys are their UTF-8 as blobs, whose order is that of code points, and which may hold NUL.
"""

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS records (
        record INTEGER PRIMARY KEY,
        namespace BLOB NOT NULL,
        key BLOB NOT NULL,
        version INTEGER NOT NULL,
        record_hash BLOB NOT NULL,
        UNIQUE (namespace, key)
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS versions (
        record INTEGER NOT NULL,
        version INTEGER NOT NULL,
        packed BLOB NOT NULL,
        PRIMARY KEY (record, version)
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS cells (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS replay (
        minute INTEGER NOT NULL,
        request_id BLOB NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (minute, request_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS counts (one INTEGER PRIMARY KEY CHECK (one = 1), replay INTEGER NOT NULL) STRICT",
    "INSERT OR IGNORE INTO counts VALUES (1, 0)",
    """CREATE TABLE IF NOT EXISTS outbox (
        kind TEXT NOT NULL,
        number INTEGER NOT NULL,
        message BLOB NOT NULL,
        PRIMARY KEY (kind, number)
    ) STRICT""",
)

HEAD = "SELECT record, version, record_hash FROM records WHERE namespace = ? AND key = ?"
CURRENT = """SELECT r.version, r.record_hash, v.packed
    FROM records r LEFT JOIN versions v ON v.record = r.record AND v.version = r.version
    WHERE r.namespace = ? AND r.key = ?"""
VERSION = """SELECT v.packed FROM records r JOIN versions v ON v.record = r.record
    WHERE r.namespace = ? AND r.key = ? AND v.version = ?"""
NEW_RECORD = "INSERT INTO records (namespace, key, version, record_hash) VALUES (?, ?, ?, ?)"
NEW_HEAD = "UPDATE records SET version = ?, record_hash = ? WHERE record = ?"
NEW_VERSION = "INSERT INTO versions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET packed = excluded.packed"
RANGE = """SELECT r.key, r.version, r.record_hash, v.packed
    FROM records r LEFT JOIN versions v ON v.record = r.record AND v.version = r.version
    WHERE r.namespace = ? AND r.key >= ? AND r.key < ? ORDER BY r.key LIMIT ?"""
HEADS_IN_RANGE = """SELECT key, version, record_hash FROM records
    WHERE namespace = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"""

SEEN = "SELECT sequence FROM replay WHERE minute = ? AND request_id = ?"
NEW_ENTRY = "INSERT INTO replay VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
AGAIN = "UPDATE replay SET sequence = ?3 WHERE minute = ?1 AND request_id = ?2"
EVICT = "DELETE FROM replay WHERE minute < ?"
COUNT = "UPDATE counts SET replay = replay + ?"

SET_CELL = "INSERT INTO cells VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
REMOVE_CELL = "DELETE FROM cells WHERE name = ?"

PUT = "INSERT INTO outbox VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET message = excluded.message"
TRIM = "DELETE FROM outbox WHERE kind = ? AND number < ?"
