"""A store that is filled step by step, so that everything in it can be checked against its last sequence."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.records import ABSENT, Record, RecordKey, successor, verify_record
from storage.ports import (
    OutboxEntry,
    RecordStore,
    RecordWrite,
    ReplayEntry,
    RequestExpiry,
    StoreCall,
    Version,
)
from tests.valkey import Valkey

LEDGER_ID = b"L" * 32
STORE_ID = b"S" * 32
KEY = RecordKey("bank", "alice")

Start = Callable[..., Valkey]


@contextmanager
def servers(directory: Path) -> Iterator[Start]:
    """Starts servers with some settings; they are stopped at the end."""
    running = []

    def started(**settings: str) -> Valkey:
        running.append(server := Valkey(directory, settings))
        return server.start()

    yield started
    for server in running:
        server.stop()


def step(sequence: int, record: Record, payload: bytes = b"") -> StoreCall:
    """The call of one sequence: one more version of one record, and everything else that goes with it."""
    return StoreCall(
        expected_cells={"store_id": STORE_ID, "sequence": b"%d" % (sequence - 1) if sequence else b""},
        unseen=[RequestExpiry(b"%032d" % sequence, 0)],
        writes=[RecordWrite(KEY, record)],
        replay=[ReplayEntry(b"%032d" % sequence, 0, sequence)],
        cells={"sequence": b"%d" % sequence},
        outbox_put=[OutboxEntry("order", sequence, b"%d" % sequence + payload)],
    )


def next_version(record: Record, sequence: int) -> Record:
    return successor(
        LEDGER_ID,
        KEY,
        record,
        b"%d" % sequence,
        request_id=b"%032d" % sequence,
        writer_sequence=sequence,
        writer_index=0,
    )


def state(store: RecordStore) -> tuple[int, Record]:
    """The last sequence and the current record, after checking that all of the store is of that sequence."""
    contents = store.load()
    sequence = int(contents.cells.get("sequence", b"-1"))
    names = [Version(KEY, number) for number in range(1, sequence + 3)]
    found = store.fetch([KEY], versions=names)
    assert [record.writer_sequence for record in found.versions.values()] == list(range(sequence + 1))
    previous = ABSENT
    for record in found.versions.values():
        verify_record(LEDGER_ID, KEY, record)
        assert record.previous_hash == previous.record_hash
        previous = record
    assert found.records[KEY] == previous
    assert contents.replay_entries == sequence + 1
    assert [entry.number for entry in store.read_outbox("order", 0, 2**53)] == list(range(sequence + 1))
    return sequence, previous
