"""Calls of a record store in few words."""

from protocol.records import Record, RecordKey, successor
from storage.ports import (
    OutboxEntry,
    OutboxTrim,
    ReadCheck,
    RecordStore,
    RecordWrite,
    ReplayEntry,
    RequestExpiry,
    ScanCheck,
    ScanRange,
    StoreCall,
    Stored,
)

LEDGER_ID = b"L" * 32
ALICE = RecordKey("bank", "alice")
BOB = RecordKey("bank", "bob")


def version(key: RecordKey, previous: Record, value: bytes | None, sequence: int = 0, index: int = 0) -> Record:
    return successor(
        LEDGER_ID,
        key,
        previous,
        value,
        request_id=b"%032d" % sequence,
        writer_sequence=sequence,
        writer_index=index,
    )


def call(
    *,
    expected: dict[str, bytes] | None = None,
    unseen: tuple[RequestExpiry, ...] = (),
    reads: tuple[ReadCheck, ...] = (),
    scans: tuple[ScanCheck, ...] = (),
    writes: tuple[RecordWrite, ...] = (),
    replay: tuple[ReplayEntry, ...] = (),
    evict_before_ms: int = 0,
    cells: dict[str, bytes] | None = None,
    put: tuple[OutboxEntry, ...] = (),
    trim: tuple[OutboxTrim, ...] = (),
) -> StoreCall:
    return StoreCall(
        expected_cells=expected or {},
        unseen=unseen,
        reads=reads,
        scans=scans,
        writes=writes,
        replay=replay,
        evict_before_ms=evict_before_ms,
        cells=cells or {},
        outbox_put=put,
        outbox_trim=trim,
    )


def write(store: RecordStore, key: RecordKey, *values: bytes | None) -> Record:
    """Write versions one call after the other and return the last."""
    record = store.fetch([key]).records[key]
    for value in values:
        record = version(key, record, value)
        assert isinstance(store.apply(call(writes=(RecordWrite(key, record),))), Stored)
    return record


def read(key: RecordKey, record: Record) -> ReadCheck:
    return ReadCheck(key, record.version, record.record_hash)


def scan(store: RecordStore, start: str = "", end: str = "", limit: int = 10) -> ScanCheck:
    return store.fetch(scans=[ScanRange("bank", start, end, limit)]).scans[0].check()
