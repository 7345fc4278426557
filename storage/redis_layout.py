"""How a party's state lies in Redis or Valkey: the names of the keys, and the arguments of `apply.lua`.

| key | type | holds |
|---|---|---|
| `h:RECORD` | string | head of the current version: version u64 big-endian, record_hash (40 bytes) |
| `v:RECORD` + version u64 big-endian | string | one version as `protocol.records.pack` makes it |
| `i:NAMESPACE` | sorted set, all scores 0 | every key ever written in the namespace, in order of bytes |
| `cells` | hash | the cells, those that are not empty |
| `replay` | sorted set | the minutes that have a bucket |
| `replay:MINUTE` | hash | request_id -> sequence, for requests that expire in this minute since 1970 |
| `replay_entries` | string | number of entries in all buckets |
| `outbox:KIND` | sorted set | the numbers that have an entry |
| `entry:KIND:NUMBER` | string | an entry of the outbox |

RECORD is `LENGTH:NAMESPACE:KEY`, with the number of characters of the namespace: no two records share a key.

A version is written once and never moved: a new one costs the same whatever came before it, and all that
changes in place is a head of 40 bytes, which is also all that a call has to compare. (To keep the newest
version at one key and to move it aside with RENAME took half as much CPU again, measured.)
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from protocol.records import HEAD_BYTES, RecordKey, pack
from storage.ports import BUCKET_MS, ReplayEntry, RequestExpiry, ScanCheck, StoreCall
from storage.record_changes import record_changes

CELLS: Final = "cells"
REPLAY_ENTRIES: Final = "replay_entries"
ABSENT_HEAD: Final = bytes(HEAD_BYTES)

Argument = bytes | str | int


def record_name(key: RecordKey) -> bytes:
    """RECORD of the table above."""
    namespace, name = key
    return f"{len(namespace)}:{namespace}:{name}".encode()


def head_key(key: RecordKey) -> bytes:
    """Key of a record's head."""
    namespace, name = key
    return f"h:{len(namespace)}:{namespace}:{name}".encode()


def version_key(head_key: bytes, version: bytes) -> bytes:
    """Key of a version, from its head's key; `version` is u64 big-endian."""
    return b"v" + head_key[1:] + version


def index_key(namespace: str) -> str:
    """Key of a namespace's index."""
    return f"i:{namespace}"


def bucket_key(minute: int) -> str:
    """Key of a bucket of the replay guard."""
    return f"replay:{minute}"


def outbox_key(kind: str) -> str:
    """Key of the numbers of a kind."""
    return f"outbox:{kind}"


def entry_key(kind: str, number: int) -> str:
    """Key of an entry of the outbox."""
    return f"entry:{kind}:{number}"


def index_range(start: str, end: str, *, end_included: bool = False) -> tuple[bytes, bytes]:
    """Bounds for ZRANGE BYLEX; an empty start or end is open."""
    low = b"[" + start.encode() if start else b"-"
    if not end:
        return low, b"+"
    return low, (b"[" if end_included else b"(") + end.encode()


def by_minute(requests: Iterable[RequestExpiry]) -> dict[int, list[bytes]]:
    """Request_ids by the bucket they belong to."""
    buckets: dict[int, list[bytes]] = defaultdict(list)
    for request_id, expiry_ms in requests:
        buckets[expiry_ms // BUCKET_MS].append(request_id)
    return buckets


def arguments(call: StoreCall) -> tuple[list[RecordKey], list[Argument]]:
    """The arguments of `apply.lua`, and the records it compares, in their order."""
    expected, newest, superseded = record_changes(call.writes, call.reads)
    heads = {key: version.to_bytes(8, "big") + record_hash for key, (version, record_hash) in expected.items()}
    argv: list[Argument] = [len(call.expected_cells), *call.expected_cells, *call.expected_cells.values()]
    _add_unseen(argv, call.unseen)
    argv += (len(heads), *map(record_name, heads), b"".join(heads.values()))
    _add_scans(argv, call.scans)
    argv += (len(newest), *map(pack, newest.values()))
    argv.append(len(superseded))
    for key, record in superseded:
        argv += (record_name(key), pack(record))
    _add_new_keys(argv, newest, heads)
    argv.append(call.evict_before_ms // BUCKET_MS)
    _add_replay(argv, call.replay)
    argv.append(len(call.cells))
    for name, value in call.cells.items():
        argv += (name, value)
    argv.append(len(call.outbox_trim))
    for trim in call.outbox_trim:
        argv += trim
    argv.append(len(call.outbox_put))
    for entry in call.outbox_put:
        argv += entry
    return list(heads), argv


def _add_unseen(argv: list[Argument], unseen: Iterable[RequestExpiry]) -> None:
    buckets = by_minute(unseen)
    argv.append(len(buckets))
    for minute, request_ids in buckets.items():
        argv += (minute, len(request_ids), *request_ids)


def _add_scans(argv: list[Argument], scans: Iterable[ScanCheck]) -> None:
    count_at = len(argv)
    argv.append(0)
    for count, scan in enumerate(scans, 1):
        argv[count_at] = count
        low, high = index_range(scan.start, scan.covered_to, end_included=not scan.exhausted)
        argv += (
            index_key(scan.namespace),
            low,
            high,
            record_name(RecordKey(scan.namespace, "")),
            len(scan.rows),
        )
        argv += (row.key for row in scan.rows)
        argv += (row.version.to_bytes(8, "big") + row.record_hash for row in scan.rows)


def _add_new_keys(argv: list[Argument], newest: Iterable[RecordKey], heads: Mapping[RecordKey, bytes]) -> None:
    new = [key for key in newest if heads[key] == ABSENT_HEAD]
    argv.append(len(new))
    for namespace, name in new:
        argv += (index_key(namespace), name)


def _add_replay(argv: list[Argument], replay: Iterable[ReplayEntry]) -> None:
    buckets: dict[int, list[Argument]] = defaultdict(list)
    for request_id, expiry_ms, sequence in replay:
        buckets[expiry_ms // BUCKET_MS] += (request_id, sequence)
    argv.append(len(buckets))
    for minute, entries in buckets.items():
        argv += (minute, len(entries) // 2, *entries)
