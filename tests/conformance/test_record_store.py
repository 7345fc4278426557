"""What every record store promises: one suite for the store in memory and for the one on a real Valkey."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from protocol.hashing import ZERO_HASH
from protocol.records import ABSENT, Record, RecordKey, successor
from storage.errors import StoreAbsentError, StoreExistsError
from storage.memory_store import MemoryStore
from storage.ports import (
    OutboxEntry,
    OutboxTrim,
    ReadCheck,
    RecordStore,
    RecordWrite,
    Refusal,
    ReplayEntry,
    RequestExpiry,
    ScanCheck,
    ScanRange,
    StoreCall,
    Stored,
    Version,
)
from storage.redis_store import RedisStore
from tests.valkey import Valkey

LEDGER_ID = b"L" * 32
MINUTE_MS = 60_000
ALICE = RecordKey("bank", "alice")
BOB = RecordKey("bank", "bob")


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(Path(tmp_path_factory.mktemp("valkey"))).start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", "valkey"])
def store(request: pytest.FixtureRequest) -> Iterator[RecordStore]:
    store: RecordStore
    if request.param == "memory":
        store = MemoryStore()
    else:
        server: Valkey = request.getfixturevalue("valkey")
        server.command("FLUSHALL")
        store = RedisStore(server.url)
    yield store
    store.close()


def version(
    key: RecordKey, previous: Record, value: bytes | None, sequence: int = 0, index: int = 0
) -> Record:
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


class TestCells:
    def test_a_store_that_nobody_created_does_not_load(self, store: RecordStore) -> None:
        """An empty server is never mistaken for a ledger at its beginning."""
        with pytest.raises(StoreAbsentError):
            store.load()

    def test_it_is_created_once(self, store: RecordStore) -> None:
        """`init` given a store in use destroys nothing."""
        store.create(b"one")
        with pytest.raises(StoreExistsError):
            store.create(b"two")
        assert store.load().cells == {"store_id": b"one"}

    def test_data_without_cells_is_not_overwritten(self, store: RecordStore) -> None:
        """Records without cells are somebody's remains, and no empty store."""
        write(store, ALICE, b"1")
        with pytest.raises(StoreExistsError):
            store.create(b"one")

    def test_cells_are_set_compared_and_removed(self, store: RecordStore) -> None:
        """An absent cell and an empty one are the same, in checks and in changes."""
        store.create(b"one")
        assert store.apply(
            call(expected={"sequence": b""}, cells={"sequence": b"7", "epoch": b"0"})
        ) == Stored(replay_entries=0)
        assert store.apply(call(expected={"sequence": b"7", "x": b""}, cells={"epoch": b""})) == Stored(
            replay_entries=0
        )
        assert store.load().cells == {"store_id": b"one", "sequence": b"7"}
        assert store.fetch(cells=["sequence", "epoch"]).cells == {"sequence": b"7"}

    @pytest.mark.parametrize("expected", [{"sequence": b"6"}, {"sequence": b""}, {"other": b"1"}])
    def test_another_value_refuses_and_tells_all_cells(
        self, store: RecordStore, expected: dict[str, bytes]
    ) -> None:
        """A process that was overtaken learns where its party is now."""
        store.create(b"one")
        store.apply(call(cells={"sequence": b"7"}))
        refused = store.apply(call(expected=expected, cells={"sequence": b"8"}))
        assert refused == Refusal(reason="cell", cells={"store_id": b"one", "sequence": b"7"})
        assert store.load().cells["sequence"] == b"7"


class TestRecords:
    def test_what_was_never_written_is_absent(self, store: RecordStore) -> None:
        """Absence is an answer, not an error."""
        assert store.fetch([ALICE]).records == {ALICE: ABSENT}

    def test_the_current_version_and_those_before_it_come_back(self, store: RecordStore) -> None:
        """Every version stays readable; a deletion is one too."""
        first = version(ALICE, ABSENT, b"1")
        deleted = version(ALICE, first, None, 1)
        again = version(ALICE, deleted, b'{"a":1}', 2, 3)
        for record in (first, deleted, again):
            store.apply(call(writes=(RecordWrite(ALICE, record),)))
        found = store.fetch([ALICE, BOB], versions=[Version(ALICE, n) for n in (1, 2, 3, 4)])
        assert found.records == {ALICE: again, BOB: ABSENT}
        assert found.versions == {
            Version(ALICE, 1): first,
            Version(ALICE, 2): deleted,
            Version(ALICE, 3): again,
        }
        assert store.fetch(versions=[Version(ALICE, 2)]).versions == {Version(ALICE, 2): deleted}

    def test_one_call_writes_several_versions_of_a_record(self, store: RecordStore) -> None:
        """A hot record in one batch: each version is kept, the last is current."""
        start = write(store, ALICE, b"0")
        records = [start]
        for n in range(1, 500):
            records.append(version(ALICE, records[-1], b"%d" % n, 1, n))
        assert isinstance(store.apply(call(writes=tuple(RecordWrite(ALICE, r) for r in records[1:]))), Stored)
        found = store.fetch([ALICE], versions=[Version(ALICE, n) for n in range(1, 501)])
        assert found.records[ALICE] == records[-1]
        assert list(found.versions.values()) == records

    def test_names_never_collide(self, store: RecordStore) -> None:
        """Separators, digits, empty keys and any Unicode in names keep records apart."""
        keys = [
            RecordKey("a", "b:c"),
            RecordKey("a:b", "c"),
            RecordKey("a", ""),
            RecordKey("a", "b"),
            RecordKey("a", "b\0\0\0\0\0\0\0\1"),
            RecordKey("1", "1:a:b"),
            RecordKey("a", "b:c:1"),
            RecordKey("ä", "\U0001f600"),
            RecordKey("a", "\n\r\n{}*"),
        ]
        records = {key: version(key, ABSENT, b"%d" % n) for n, key in enumerate(keys)}
        store.apply(call(writes=tuple(RecordWrite(key, record) for key, record in records.items())))
        assert store.fetch(keys).records == records

    @pytest.mark.parametrize("wrong", ["version", "hash", "absent", "present"])
    def test_a_stale_read_refuses(self, store: RecordStore, wrong: str) -> None:
        """Version and hash are both compared, and absence too; the refusal names each stale record."""
        current = write(store, ALICE, b"1", b"2")
        stale = {
            "version": ReadCheck(ALICE, 1, current.record_hash),
            "hash": ReadCheck(ALICE, 2, b"h" * 32),
            "absent": ReadCheck(ALICE, 0, ZERO_HASH),
            "present": ReadCheck(BOB, 1, current.record_hash),
        }[wrong]
        fine = read(BOB, ABSENT) if stale.key == ALICE else read(ALICE, current)
        refused = store.apply(call(reads=(fine, stale), cells={"x": b"1"}))
        assert refused == Refusal(reason="read", cells={}, stale=(stale.key,))
        assert store.fetch(cells=["x"]).cells == {}

    def test_reads_that_hold_pass(self, store: RecordStore) -> None:
        """The check can also succeed: present, deleted and absent records alike."""
        deleted = write(store, ALICE, b"1", None)
        assert isinstance(store.apply(call(reads=(read(ALICE, deleted), read(BOB, ABSENT)))), Stored)

    def test_a_write_is_a_check_by_itself(self, store: RecordStore) -> None:
        """No version is ever overwritten, skipped or chained to another, even if nobody said it was read."""
        current = write(store, ALICE, b"1", b"2")
        other = version(ALICE, version(ALICE, ABSENT, b"other"), b"2")
        for bad in (
            version(ALICE, ABSENT, b"again"),
            version(ALICE, other, b"3"),
            version(ALICE, version(ALICE, current, b"3"), b"4"),
        ):
            refused = store.apply(call(writes=(RecordWrite(ALICE, bad),)))
            assert refused == Refusal(reason="read", cells={}, stale=(ALICE,))
        assert store.fetch([ALICE]).records[ALICE] == current

    def test_more_than_one_command_can_carry(self, store: RecordStore) -> None:
        """Limits on a script's arguments do not show: 8,000 records, 8,000 requests in one minute."""
        keys = [RecordKey("bank", f"{n:05d}") for n in range(8_000)]
        ids = [b"%032d" % n for n in range(8_000)]
        writes = tuple(RecordWrite(key, version(key, ABSENT, b"%d" % n)) for n, key in enumerate(keys))
        done = store.apply(
            call(
                reads=tuple(read(key, ABSENT) for key in keys),
                unseen=tuple(RequestExpiry(i, 0) for i in ids),
                writes=writes,
                replay=tuple(ReplayEntry(i, 0, n) for n, i in enumerate(ids)),
            )
        )
        assert done == Stored(replay_entries=8_000)
        assert store.fetch(keys).records == {write.key: write.record for write in writes}
        refused = store.apply(call(unseen=tuple(RequestExpiry(i, 0) for i in ids)))
        assert isinstance(refused, Refusal)
        assert len(refused.replayed) == 8_000
        refused = store.apply(call(reads=tuple(read(key, ABSENT) for key in keys)))
        assert isinstance(refused, Refusal)
        assert set(refused.stale) == set(keys)

    def test_stores_can_be_compared_record_by_record(self, store: RecordStore) -> None:
        """All current records of one namespace, deleted ones too, in the order of their keys."""
        keys = [RecordKey("bank", f"{n * 7919 % 2_500:04d}") for n in range(2_500)]
        records = {key.key: version(key, ABSENT, b"1") for key in keys}
        store.apply(call(writes=tuple(RecordWrite(key, records[key.key]) for key in keys)))
        write(store, RecordKey("other", "x"), b"1")
        records["0007"] = write(store, RecordKey("bank", "0007"), None)
        assert list(store.records("bank")) == sorted(records.items())
        assert store.count("bank") == 2_500
        assert list(store.records("nobody")) == []
        assert store.count("nobody") == 0


class TestScans:
    @pytest.fixture(autouse=True)
    def _filled(self, store: RecordStore) -> None:
        for key in "abcde":
            write(store, RecordKey("bank", key), key.encode())
        write(store, RecordKey("bank", "c"), None)
        write(store, RecordKey("bank2", "bb"), b"1")

    @pytest.mark.parametrize(
        ("start", "end", "limit", "keys", "covered_to", "exhausted"),
        [
            ("", "", 10, "abcde", "", True),
            ("b", "d", 10, "bc", "d", True),
            ("b", "", 2, "bc", "c", False),
            ("", "", 5, "abcde", "e", False),
            ("", "", 6, "abcde", "", True),
            ("bb", "cc", 1, "c", "c", False),
            ("x", "z", 3, "", "z", True),
            ("d", "b", 3, "", "b", True),
        ],
    )
    def test_rows_and_range(
        self,
        store: RecordStore,
        start: str,
        end: str,
        limit: int,
        keys: str,
        covered_to: str,
        exhausted: bool,
    ) -> None:
        """The first keys of a half-open range, deleted ones too, and how far that reaches."""
        found = store.fetch(scans=[ScanRange("bank", start, end, limit)]).scans[0]
        assert [key for key, _ in found.rows] == list(keys)
        assert (found.covered_to, found.exhausted) == (covered_to, exhausted)
        current = store.fetch([RecordKey("bank", key) for key in keys]).records
        assert [record for _, record in found.rows] == list(current.values())
        assert isinstance(store.apply(call(scans=(found.check(),))), Stored)

    def test_keys_are_in_the_order_of_code_points(self, store: RecordStore) -> None:
        """U+FFFD comes before U+1F600, as in UTF-8, and not after it, as in UTF-16."""
        keys = ["~", "é", "\ufffd", "\U0001f600"]
        for key in reversed(keys):
            write(store, RecordKey("text", key), b"1")
        found = store.fetch(scans=[ScanRange("text", "", "", 9), ScanRange("text", "\ufffd", "", 9)]).scans
        assert [key for key, _ in found[0].rows] == keys
        assert [key for key, _ in found[1].rows] == keys[2:]

    @pytest.mark.parametrize(
        ("key", "value"), [("bb", b"1"), ("b", b"2"), ("b", None), ("c", b"1"), ("a", b"x")]
    )
    def test_a_change_in_a_scanned_range_refuses(
        self, store: RecordStore, key: str, value: bytes | None
    ) -> None:
        """No phantoms: insert, update, delete and creation anew each show."""
        seen = scan(store, "a", "d")
        write(store, RecordKey("bank", key), value)
        assert store.apply(call(scans=(seen,))) == Refusal(
            reason="scan", cells={}, stale=(RecordKey("bank", "a"),)
        )

    @pytest.mark.parametrize("limit", [2, 9])
    def test_a_change_outside_of_it_does_not(self, store: RecordStore, limit: int) -> None:
        """Neither behind the last row of a scan that its limit ended, nor at the range's open end."""
        seen = scan(store, "a", "c", limit)
        for key in ("bb", "c", "0") if limit == 2 else ("c", "0"):
            write(store, RecordKey("bank", key), b"1")
        assert isinstance(store.apply(call(scans=(seen,))), Stored)

    def test_an_insert_at_the_end_of_a_limited_scan_shows_only_inside(self, store: RecordStore) -> None:
        """A limited scan covers its last row, and nothing after it."""
        seen = scan(store, "a", "", 2)
        write(store, RecordKey("bank", "b\0"), b"1")
        assert isinstance(store.apply(call(scans=(seen,))), Stored)
        write(store, RecordKey("bank", "ab"), b"1")
        assert isinstance(store.apply(call(scans=(seen,))), Refusal)

    def test_a_call_may_write_into_what_it_scanned(self, store: RecordStore) -> None:
        """Checks come before changes, so a batch's own inserts are no phantoms to it."""
        seen = scan(store, "", "")
        key = RecordKey("bank", "bb")
        assert isinstance(
            store.apply(call(scans=(seen,), writes=(RecordWrite(key, version(key, ABSENT, b"1")),))), Stored
        )


class TestReplayGuard:
    def entry(self, n: int, expiry_ms: int) -> ReplayEntry:
        return ReplayEntry(b"%032d" % n, expiry_ms, 100 + n)

    def test_a_request_is_known_by_id_and_expiry(self, store: RecordStore) -> None:
        """The expiry is part of the signed request, so it leads to the right bucket."""
        done = store.apply(call(replay=(self.entry(1, 30_000), self.entry(2, 90_000))))
        assert done == Stored(replay_entries=2)
        one, two, other = (RequestExpiry(b"%032d" % n, e) for n, e in ((1, 59_999), (2, 90_000), (3, 0)))
        assert store.fetch(replay=[one, two, other]).replayed == {one.request_id: 101, two.request_id: 102}

    def test_a_request_seen_before_refuses_and_tells_its_sequence(self, store: RecordStore) -> None:
        """A replay is found inside the call, whatever the caller's cache says."""
        store.apply(call(replay=(self.entry(1, 0),)))
        refused = store.apply(
            call(unseen=(RequestExpiry(b"%032d" % 2, 0), RequestExpiry(b"%032d" % 1, 0)), cells={"x": b"1"})
        )
        assert refused == Refusal(reason="replay", cells={}, replayed={b"%032d" % 1: 101})

    def test_eviction_takes_whole_minutes_that_are_over(self, store: RecordStore) -> None:
        """Only what can no longer be valid at the given time is forgotten."""
        store.apply(call(replay=tuple(self.entry(n, n * MINUTE_MS + 1) for n in range(5))))
        assert store.apply(call(evict_before_ms=2 * MINUTE_MS - 1)) == Stored(replay_entries=4)
        assert store.apply(call(evict_before_ms=2 * MINUTE_MS)) == Stored(replay_entries=3)
        left = store.fetch(replay=[RequestExpiry(b"%032d" % n, n * MINUTE_MS + 1) for n in range(5)]).replayed
        assert sorted(left.values()) == [102, 103, 104]
        store.apply(call(cells={"x": b"1"}))
        assert store.load().replay_entries == 3

    def test_what_is_added_is_not_evicted_by_the_same_call(self, store: RecordStore) -> None:
        """Eviction comes first."""
        done = store.apply(call(replay=(self.entry(1, 0),), evict_before_ms=10 * MINUTE_MS))
        assert done == Stored(replay_entries=1)

    def test_an_entry_counts_once(self, store: RecordStore) -> None:
        """The count is what the limit on the guard is judged by."""
        store.apply(call(replay=(self.entry(1, 0),)))
        assert store.apply(call(replay=(self.entry(1, 0), self.entry(2, 0)))) == Stored(replay_entries=2)
        assert store.apply(call(evict_before_ms=MINUTE_MS)) == Stored(replay_entries=0)


class TestOutbox:
    def put(self, *numbers: int, kind: str = "order") -> tuple[OutboxEntry, ...]:
        return tuple(OutboxEntry(kind, n, b"%s %d" % (kind.encode(), n)) for n in numbers)

    def test_entries_come_back_by_number(self, store: RecordStore) -> None:
        """In the order of numbers, both ends included, gaps left out, kinds apart."""
        store.apply(call(put=self.put(9, 10, 2, 11) + self.put(9, kind="result")))
        assert store.read_outbox("order", 9, 10) == self.put(9, 10)
        assert store.read_outbox("order", 0, 100) == self.put(2, 9, 10, 11)
        assert store.read_outbox("result", 0, 2**53 - 1) == self.put(9, kind="result")
        assert store.read_outbox("order", 3, 8) == ()
        assert store.read_outbox("nothing", 0, 8) == ()

    def test_trimming_drops_what_is_below(self, store: RecordStore) -> None:
        """Trim, then put: an entry put by the same call stays."""
        store.apply(call(put=self.put(1, 2, 3)))
        store.apply(call(trim=(OutboxTrim("order", 3), OutboxTrim("result", 5)), put=self.put(0)))
        assert store.read_outbox("order", -10, 10) == self.put(0, 3)

    def test_a_number_again_replaces(self, store: RecordStore) -> None:
        """Numbers above a cut are used again in the next epoch."""
        store.apply(call(put=self.put(1)))
        store.apply(call(put=(OutboxEntry("order", 1, b"new" * 100_000),)))
        assert store.read_outbox("order", 1, 1) == (OutboxEntry("order", 1, b"new" * 100_000),)


class TestAtomicity:
    def test_a_refused_call_changes_nothing(self, store: RecordStore) -> None:
        """Whatever the reason, records, replay guard, cells and outbox stay as they were."""
        store.create(b"one")
        alice = write(store, ALICE, b"1")
        store.apply(call(replay=(ReplayEntry(b"r" * 32, 0, 5),), put=(OutboxEntry("order", 1, b"x"),)))
        seen = scan(store)
        bob = version(BOB, ABSENT, b"1")
        changes: dict[str, Any] = {
            "writes": (RecordWrite(BOB, bob), RecordWrite(ALICE, version(ALICE, alice, b"2"))),
            "replay": (ReplayEntry(b"n" * 32, 0, 6),),
            "evict_before_ms": MINUTE_MS,
            "cells": {"store_id": b"two"},
            "put": (OutboxEntry("order", 2, b"y"),),
            "trim": (OutboxTrim("order", 2),),
        }
        wrong_scan = seen._replace(rows=())
        refusals: list[tuple[dict[str, Any], str]] = [
            ({"expected": {"store_id": b"two"}}, "cell"),
            ({"unseen": (RequestExpiry(b"r" * 32, 0),)}, "replay"),
            ({"reads": (ReadCheck(RecordKey("x", "y"), 1, b"h" * 32),)}, "read"),
            ({"scans": (seen, wrong_scan)}, "scan"),
        ]
        for checks, reason in refusals:
            refused = store.apply(call(**checks, **changes))
            assert isinstance(refused, Refusal)
            assert refused.reason == reason
            found = store.fetch(
                [ALICE, BOB], replay=[RequestExpiry(b"r" * 32, 0), RequestExpiry(b"n" * 32, 0)]
            )
            assert found.records == {ALICE: alice, BOB: ABSENT}
            assert found.replayed == {b"r" * 32: 5}
            assert store.load().cells == {"store_id": b"one"}
            assert store.read_outbox("order", 0, 9) == (OutboxEntry("order", 1, b"x"),)
            assert store.count("bank") == 1

    def test_the_first_kind_of_check_that_fails_is_the_reason(self, store: RecordStore) -> None:
        """Cells say that somebody else is active; that comes before everything that follows from it."""
        write(store, ALICE, b"1")
        store.apply(call(replay=(ReplayEntry(b"r" * 32, 0, 5),)))
        checks: list[tuple[str, dict[str, Any]]] = [
            ("cell", {"expected": {"x": b"1"}}),
            ("replay", {"unseen": (RequestExpiry(b"r" * 32, 0),)}),
            ("read", {"reads": (read(ALICE, ABSENT),)}),
            ("scan", {"scans": (scan(store)._replace(rows=()),)}),
        ]
        while checks:
            together: dict[str, Any] = {}
            for _, check in checks:
                together |= check
            refused = store.apply(call(**together))
            assert isinstance(refused, Refusal)
            assert refused.reason == checks.pop(0)[0]

    def test_of_two_that_believe_themselves_active_one_gets_in(self, store: RecordStore) -> None:
        """Eight threads race for the same sequence, many times: each number is taken exactly once."""
        store.create(b"one")
        store.apply(call(cells={"sequence": b"0"}))

        def take(worker: int) -> list[int]:
            taken = []
            for _ in range(40):
                n = int(store.fetch(cells=["sequence"]).cells["sequence"])
                done = store.apply(
                    call(
                        expected={"sequence": b"%d" % n},
                        cells={"sequence": b"%d" % (n + 1)},
                        put=(OutboxEntry("order", n, b"%d" % worker),),
                    )
                )
                if isinstance(done, Stored):
                    taken.append(n)
            return taken

        with ThreadPoolExecutor(8) as pool:
            taken = sorted(n for numbers in pool.map(take, range(8)) for n in numbers)
        assert taken == list(range(len(taken)))
        assert store.load().cells["sequence"] == b"%d" % len(taken)
        assert [entry.number for entry in store.read_outbox("order", 0, 1_000)] == taken
