"""A clock that is wrong costs an abort, and nobody is kept out for as long as it is wrong."""

import pytest

from storage.transactions.errors import TransactionConflictError
from storage.transactions.freezing import Freeze
from storage.transactions.identifiers import BUCKETS
from storage.transactions.record_reader import RecordReader
from storage.transactions.sweeper import Sweeper
from tests.unit.storage.transactions.test_recovery_matrix import BEFORE, KEY, LEASE_MS, TABLE, Bench

HOUR_MS = 3_600_000


def in_every_bucket(bench: Bench) -> None:
    """A committed row of the coordinator in each bucket."""
    for _ in range(BUCKETS):
        core = bench.core()
        bench.run(core.upsert(TABLE, KEY, {"colour": "red", "weight": 1}))
        bench.run(core.commit())


def test_a_sweeper_whose_clock_is_ahead_keeps_nobody_out() -> None:
    """It collects early; those who begin after its round, by their right clocks, commit."""
    bench = Bench()
    in_every_bucket(bench)
    bench.now_ms += 48 * HOUR_MS
    swept = bench.run(Sweeper(bench.world).sweep())
    assert swept.removed == BUCKETS
    bench.now_ms -= 48 * HOUR_MS - 1
    in_every_bucket(bench)


def test_a_sweeper_whose_clock_is_ahead_finds_nothing_to_raise_for() -> None:
    """An empty coordinator's horizons stay where they are."""
    bench = Bench()
    bench.now_ms += 48 * HOUR_MS
    bench.run(Sweeper(bench.world).sweep())
    for number in range(BUCKETS):
        row = bench.store.get(bench.coordinator.horizon(number))
        assert row is not None
        assert row["horizon_ms"] == row["gate_ms"] == 0


def held(bench: Bench, ahead_ms: int) -> None:
    """A record that a client with a clock ahead prepared before it died."""
    in_every_bucket(bench)
    bench.now_ms += ahead_ms
    holder = bench.core()
    bench.run(holder.upsert(TABLE, KEY, {"colour": "blue", "weight": 2}))
    bench.run(holder.phases.prepare())
    bench.now_ms -= ahead_ms


def test_a_holder_whose_clock_was_ahead_keeps_its_record_for_a_lease_only() -> None:
    """A reader that has waited for the same holder for a lease gives it up, whatever time it wrote."""
    bench = Bench()
    held(bench, HOUR_MS)
    object.__setattr__(bench.world.settings, "read_wait_ms", 2 * LEASE_MS)
    began_ms = bench.now_ms
    assert bench.run(bench.core().get(TABLE, KEY)) == BEFORE
    assert LEASE_MS < bench.now_ms - began_ms <= LEASE_MS + 100


def test_a_holder_that_came_meanwhile_has_a_lease_of_its_own() -> None:
    """The time that was waited for another holder of the record does not count."""
    bench = Bench()
    held(bench, HOUR_MS)
    object.__setattr__(bench.world.settings, "read_wait_ms", LEASE_MS + LEASE_MS // 2)
    layout = bench.run(bench.world.catalogue.layout(TABLE))
    steps = RecordReader(bench.world).settle(layout, KEY, None)
    began_ms, answer = bench.now_ms, None
    while bench.now_ms - began_ms <= LEASE_MS * 3 // 4:
        answer = bench.answer(steps.send(answer))
    bench.now_ms += 2 * HOUR_MS  # the lease is over by the row's time: whoever meets it gives it up
    assert bench.run(bench.core().get(TABLE, KEY)) == BEFORE
    next_holder = bench.core()
    bench.run(next_holder.upsert(TABLE, KEY, {"colour": "blue", "weight": 2}))
    bench.run(next_holder.phases.prepare())
    bench.now_ms -= 2 * HOUR_MS
    with pytest.raises(TransactionConflictError):
        bench.run(steps, answer)


def test_nothing_is_collected_where_the_horizon_could_not_be_raised() -> None:
    """A shut gate keeps the horizon where it is, and with it every row: a late decision would not meet one else."""
    bench = Bench()
    in_every_bucket(bench)
    freeze = Freeze(bench.coordinator, bench.world.settings, "0" * 32)
    bench.run(freeze.hold(()))
    bench.now_ms += 48 * HOUR_MS
    assert bench.run(Sweeper(bench.world).sweep()).removed == 0
    assert bench.run(freeze.release())
    assert bench.run(Sweeper(bench.world).sweep()).removed == BUCKETS
