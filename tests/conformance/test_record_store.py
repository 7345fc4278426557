"""What every record store promises of cells, replay guard, outbox and atomicity, in memory and on a real Valkey."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from protocol.records import ABSENT, RecordKey
from storage.errors import StoreAbsentError, StoreExistsError
from storage.ports import (
    OutboxEntry,
    OutboxTrim,
    ReadCheck,
    RecordStore,
    RecordWrite,
    Refusal,
    ReplayEntry,
    RequestExpiry,
    Stored,
)
from tests.store_calls import ALICE, BOB, call, read, scan, version, write

MINUTE_MS = 60_000


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
        assert store.apply(call(expected={"sequence": b""}, cells={"sequence": b"7", "epoch": b"0"})) == Stored(
            replay_entries=0
        )
        assert store.apply(call(expected={"sequence": b"7", "x": b""}, cells={"epoch": b""})) == Stored(
            replay_entries=0
        )
        assert store.load().cells == {"store_id": b"one", "sequence": b"7"}
        assert store.fetch(cells=["sequence", "epoch"]).cells == {"sequence": b"7"}

    @pytest.mark.parametrize("expected", [{"sequence": b"6"}, {"sequence": b""}, {"other": b"1"}])
    def test_another_value_refuses_and_tells_all_cells(self, store: RecordStore, expected: dict[str, bytes]) -> None:
        """A process that was overtaken learns where its party is now."""
        store.create(b"one")
        store.apply(call(cells={"sequence": b"7"}))
        refused = store.apply(call(expected=expected, cells={"sequence": b"8"}))
        assert refused == Refusal(reason="cell", cells={"store_id": b"one", "sequence": b"7"})
        assert store.load().cells["sequence"] == b"7"


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

    def test_a_minute_is_evicted_and_used_by_one_call(self, store: RecordStore) -> None:
        """What was in it is forgotten, and what is added stays; an entry that is in both counts once."""
        store.apply(call(replay=tuple(self.entry(n, 0) for n in range(3))))
        done = store.apply(call(replay=(self.entry(2, 0), self.entry(3, 0)), evict_before_ms=MINUTE_MS))
        assert done == Stored(replay_entries=2)
        assert sorted(store.fetch(replay=[RequestExpiry(b"%032d" % n, 0) for n in range(4)]).replayed) == [
            b"%032d" % n for n in (2, 3)
        ]

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
            found = store.fetch([ALICE, BOB], replay=[RequestExpiry(b"r" * 32, 0), RequestExpiry(b"n" * 32, 0)])
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
