"""What only the store in memory can do: lose its disk, and be put back to an earlier state."""

import pytest

from protocol.records import ABSENT, RecordKey, successor
from storage.errors import StoreAbsentError
from storage.memory_store import MemoryStore
from storage.ports import OutboxEntry, RecordWrite, ReplayEntry, RequestExpiry, StoreCall, Stored

KEY = RecordKey("bank", "alice")
RECORD = successor(b"L" * 32, KEY, ABSENT, b"1", request_id=b"r" * 32, writer_sequence=0, writer_index=0)
CALL = StoreCall(
    expected_cells={"sequence": b""},
    writes=[RecordWrite(KEY, RECORD)],
    replay=[ReplayEntry(b"r" * 32, 0, 0)],
    cells={"sequence": b"0"},
    outbox_put=[OutboxEntry("order", 0, b"x")],
)


def test_a_wiped_store_is_absent() -> None:
    """Nothing is left of it, and only `create` makes a store of it again."""
    store = MemoryStore()
    store.create(b"one")
    store.apply(CALL)
    store.wipe()
    with pytest.raises(StoreAbsentError):
        store.load()
    assert store.fetch([KEY]).records == {KEY: ABSENT}
    store.create(b"two")
    assert store.apply(CALL) == Stored(replay_entries=1)


def test_a_copy_is_a_store_of_its_own() -> None:
    """What happens to one does not show in the other: a backup that is restored."""
    store = MemoryStore()
    store.create(b"one")
    backup = store.copy()
    store.apply(CALL)
    assert backup.load().cells == {"store_id": b"one"}
    assert backup.fetch([KEY], replay=[RequestExpiry(b"r" * 32, 0)]).replayed == {}
    assert backup.read_outbox("order", 0, 9) == ()
    assert backup.count("bank") == 0
    assert backup.apply(CALL) == Stored(replay_entries=1)
    assert store.copy().fetch([KEY]).records == {KEY: RECORD}
