"""Store effects get the answer they name, at the time of their performer."""

import pytest

from protocol.records import ABSENT, RecordKey, successor
from storage.effects import (
    Applied,
    Apply,
    Fetch,
    Fetched,
    GuardRead,
    Load,
    Loaded,
    Note,
    Noted,
    Outbox,
    ReadGuard,
    ReadOutbox,
    Refused,
)
from storage.errors import EquivocationError, StoreAbsentError
from storage.memory_guard import MemoryGuard, MemoryGuardDisk
from storage.memory_store import MemoryStore
from storage.performer import StorePerformer
from storage.ports import (
    OutboxEntry,
    Place,
    RecordWrite,
    ReplayEntry,
    RequestExpiry,
    ScanRange,
    StoreCall,
    Version,
)

KEY = RecordKey("bank", "alice")
RECORD = successor(b"L" * 32, KEY, ABSENT, b"1", request_id=b"r" * 32, writer_sequence=0, writer_index=0)
NOW_MS = 1_234


@pytest.fixture
def performer() -> StorePerformer:
    store = MemoryStore()
    store.create(b"one")
    guard = MemoryGuard(MemoryGuardDisk(window=4))
    assert guard.acquire(wait=False)
    performer = StorePerformer(store, guard, lambda: NOW_MS)
    call = StoreCall(
        expected_cells={"store_id": b"one"},
        writes=[RecordWrite(KEY, RECORD)],
        replay=[ReplayEntry(b"r" * 32, 0, 7)],
        cells={"sequence": b"7"},
        outbox_put=[OutboxEntry("order", 7, b"x")],
    )
    assert performer.perform(Apply(call=call)) == Applied(now_ms=NOW_MS, replay_entries=1)
    return performer


def test_load(performer: StorePerformer) -> None:
    """All cells, and how full the replay guard is."""
    cells = {"store_id": b"one", "sequence": b"7"}
    assert performer.perform(Load()) == Loaded(now_ms=NOW_MS, cells=cells, replay_entries=1)


def test_fetch(performer: StorePerformer) -> None:
    """Every part that was asked for, each in its place."""
    scan = ScanRange("bank", "", "", 5)
    fetched = performer.perform(
        Fetch(
            keys=(KEY,),
            versions=(Version(KEY, 1),),
            scans=(scan,),
            replay=(RequestExpiry(b"r" * 32, 0),),
            cells=("sequence",),
        )
    )
    assert isinstance(fetched, Fetched)
    assert fetched.now_ms == NOW_MS
    assert fetched.records == {KEY: RECORD}
    assert fetched.versions == {Version(KEY, 1): RECORD}
    assert fetched.scans[0].rows == (("alice", RECORD),)
    assert fetched.replayed == {b"r" * 32: 7}
    assert fetched.cells == {"sequence": b"7"}


def test_refused(performer: StorePerformer) -> None:
    """A refusal keeps all that the store said of it."""
    cells = {"store_id": b"one", "sequence": b"7"}
    replayed = Apply(call=StoreCall(expected_cells={}, unseen=[RequestExpiry(b"r" * 32, 0)], cells={}))
    assert performer.perform(replayed) == Refused(now_ms=NOW_MS, reason="replay", cells=cells, replayed={b"r" * 32: 7})
    stale = Apply(call=StoreCall(expected_cells={}, writes=[RecordWrite(KEY, RECORD)], cells={}))
    assert performer.perform(stale) == Refused(now_ms=NOW_MS, reason="read", cells=cells, stale=(KEY,))


def test_outbox(performer: StorePerformer) -> None:
    """Entries by kind and number."""
    outbox = performer.perform(ReadOutbox(kind="order", first=0, last=9))
    assert outbox == Outbox(now_ms=NOW_MS, entries=(OutboxEntry("order", 7, b"x"),))


def test_guard(performer: StorePerformer) -> None:
    """Noted places can be read; a second hash for one ends the machine."""
    place = Place("order", 0, 7, b"h" * 32, b"p" * 32)
    assert performer.perform(ReadGuard(kind="order")) == GuardRead(now_ms=NOW_MS, place=None)
    assert performer.perform(Note(places=(place,))) == Noted(now_ms=NOW_MS)
    assert performer.perform(ReadGuard(kind="order")) == GuardRead(now_ms=NOW_MS, place=place)
    with pytest.raises(EquivocationError):
        performer.perform(Note(places=(place._replace(hash=b"i" * 32),)))


def test_errors_come_through() -> None:
    """An empty store ends the machine."""
    guard = MemoryGuard(MemoryGuardDisk(window=4))
    with pytest.raises(StoreAbsentError):
        StorePerformer(MemoryStore(), guard, lambda: 0).perform(Load())


def filled(performer: StorePerformer, count: int, value: bytes) -> tuple[RecordKey, ...]:
    """So many further records with this value."""
    keys = tuple(RecordKey("bank", str(number)) for number in range(count))
    writes = [RecordWrite(key, RECORD._replace(value=value)) for key in keys]
    done = performer.perform(Apply(call=StoreCall(expected_cells={"store_id": b"one"}, writes=writes, cells={})))
    assert isinstance(done, Applied)
    return keys


@pytest.mark.parametrize("count", [0, 1, 1_023, 1_024, 1_025, 5_000])
def test_records_read_ahead_are_all_there_where_they_are_small(performer: StorePerformer, count: int) -> None:
    """However many."""
    keys = filled(performer, count, b"1")
    event = performer.perform(Fetch(keys=(KEY,), ahead=keys))
    assert isinstance(event, Fetched)
    assert event.records.keys() == {KEY, *keys}


def test_of_many_great_records_the_first_are_read_ahead(performer: StorePerformer) -> None:
    """A client may name every great record there is; what must be read is read all the same."""
    keys = filled(performer, 5_000, bytes(20_000))
    event = performer.perform(Fetch(keys=(KEY,), ahead=keys))
    assert isinstance(event, Fetched)
    assert event.records.keys() == {KEY, *keys[:1_024]}
    event = performer.perform(Fetch(keys=keys, ahead=(KEY,)))
    assert isinstance(event, Fetched)
    assert event.records.keys() == {KEY, *keys}
