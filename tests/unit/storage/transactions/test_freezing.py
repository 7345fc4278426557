"""Absences that no single call sees together are seen at one moment all the same, since commits are frozen for it."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

from protocol.errors import CountersignError
from storage.model.operations import AnyScan, Key, Row, Scan
from storage.tables.memory_tables import MemoryTables
from storage.transactions.effects import All, Apply, Pull, Read, Steps
from storage.transactions.errors import TransactionConflictError
from storage.transactions.freezing import Freeze
from storage.transactions.settings import Isolation, TransactionSettings
from storage.transactions.transaction import TransactionCore
from storage.transactions.transaction_manager import TransactionManager
from tests.unit.storage.transactions.test_transaction_manager import ACCOUNTS, NOTES, decide_in_bucket

CALLS = 8
"""After each of so many storage calls, at the most, the others may do something."""

CALLS_OF_INSISTING = 5

Place = tuple[str, Key]
LEFT = ("bank.accounts", Key(("left",), (2,)))
RIGHT = ("bank.accounts", Key(("right",), (2,)))
BEHIND = ("bank.accounts", Key(("left",), (4,)))
NOTE = ("office.notes", Key((1,)))


class InterruptedTables(MemoryTables):
    """A store in whose scans something may happen between two pages."""

    def __init__(self) -> None:
        super().__init__(page_rows=1)
        self.between: Callable[[], None] = lambda: None

    def scan(self, scan: AnyScan) -> Iterator[Row]:
        """Give rows, one a page."""
        for row in super().scan(scan):
            yield row
            self.between()


def make(lease_ms: int = 10_000) -> TransactionManager:
    settings = TransactionSettings(read_wait_ms=0, lease_ms=lease_ms, scan_rows=1)
    stores = {"first": InterruptedTables(), "second": MemoryTables()}
    manager = TransactionManager(
        stores, home="first", namespaces={"bank": "first", "office": "second"}, settings=settings
    )
    manager.create_coordinator()
    manager.create_table(ACCOUNTS)
    manager.create_table(NOTES)
    return manager


class Others:
    """Take turns between two places, so that there always is a record in one of them at least."""

    def __init__(self, manager: TransactionManager, places: tuple[Place, Place]) -> None:
        self._manager = manager
        self._here, self._there = places
        self._change(lambda transaction: transaction.insert(*self._here, {}))

    def swap(self) -> None:
        """Insert there, then delete here; nothing more where one of them cannot be committed now."""
        try:
            self._change(lambda transaction: transaction.upsert(*self._there, {}))
            self._change(lambda transaction: transaction.delete(*self._here))
        except TransactionConflictError:
            return
        self._here, self._there = self._there, self._here

    def _change(self, function: Callable[[Any], None]) -> None:
        self._manager.run(function, attempts=1)


def drive(manager: TransactionManager, steps: Steps[Any], before_call: Callable[[], None]) -> Any:
    """Run a part of the core, with something done before each of its storage calls."""
    answer: Any = None
    try:
        while True:
            effect = steps.throw(answer) if isinstance(answer, CountersignError) else steps.send(answer)
            parts = effect.parts if isinstance(effect, All) else (effect,)
            answers = []
            for part in parts:
                if isinstance(part, Read | Apply | Pull):
                    before_call()
                try:
                    answers.append(manager.driver.perform(part))
                except CountersignError as error:
                    answers.append(error)
            answer = answers if isinstance(effect, All) else answers[0]
    except StopIteration as stop:
        return stop.value


def two_scans(core: TransactionCore) -> Steps[int]:
    left = yield from core.scan(Scan(table=ACCOUNTS.name, partition=("left",)))
    right = yield from core.scan(Scan(table=ACCOUNTS.name, partition=("right",)))
    return len(left) + len(right)


def several_pages(core: TransactionCore) -> Steps[int]:
    rows = yield from core.scan(Scan(table=ACCOUNTS.name, partition=("left",)))
    return len(rows) - 1


def two_stores(core: TransactionCore) -> Steps[int]:
    found = yield from core.get_many((LEFT,))
    found += yield from core.get_many((NOTE,))
    return sum(1 for row in found if row is not None)


def scan_and_get(core: TransactionCore) -> Steps[int]:
    found = yield from core.get_many((NOTE,))
    rows = yield from core.scan(Scan(table=ACCOUNTS.name, partition=("left",)))
    return len(rows) + (found[0] is not None)


SITUATIONS: dict[str, tuple[Callable[[TransactionCore], Steps[int]], tuple[Place, Place]]] = {
    "two scans": (two_scans, (LEFT, RIGHT)),
    "several pages": (several_pages, (LEFT, BEHIND)),
    "two stores": (two_stores, (LEFT, NOTE)),
    "a scan and a get": (scan_and_get, (LEFT, NOTE)),
}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("isolation", [Isolation.SERIALIZABLE, Isolation.SNAPSHOT])
@pytest.mark.parametrize("writes", [False, True])
def test_what_never_was_is_never_committed(situation: str, isolation: Isolation, writes: bool) -> None:
    """Whenever others swap, nobody commits having seen neither record: at every moment one of them was there."""
    read, places = SITUATIONS[situation]
    committed = 0
    for script in product((False, True), repeat=CALLS):
        manager = make()
        if situation == "several pages":
            manager.run(lambda transaction: transaction.insert("bank.accounts", Key(("left",), (3,)), {}))
        others = Others(manager, places)
        swaps: Iterator[bool] = iter(script)

        def before_call(others: Others = others, swaps: Iterator[bool] = swaps) -> None:
            if next(swaps, False):
                others.swap()

        store = manager.stores["first"]
        assert isinstance(store, InterruptedTables)
        store.between = before_call
        core = manager.begin(isolation).core
        try:
            seen = drive(manager, read(core), before_call)
            if writes:
                drive(manager, core.insert("office.notes", Key((2,)), {}), before_call)
            drive(manager, core.commit(), before_call)
        except TransactionConflictError:
            continue
        finally:
            manager.close()
        committed += 1
        assert seen > 0, script
    assert committed > 0


@pytest.mark.parametrize("situation", ["two scans", "several pages"])
@pytest.mark.parametrize("isolation", [Isolation.SERIALIZABLE, Isolation.SNAPSHOT])
@pytest.mark.parametrize("writes", [False, True])
def test_who_insists_is_not_starved(situation: str, isolation: Isolation, writes: bool) -> None:
    """Whenever others swap, a transaction that insists is committed at once, and has seen what was there."""
    read, places = SITUATIONS[situation]
    for script in product((False, True), repeat=CALLS_OF_INSISTING):
        manager = make()
        if situation == "several pages":
            manager.run(lambda transaction: transaction.insert("bank.accounts", Key(("left",), (3,)), {}))
        others = Others(manager, places)
        swaps = iter(script)

        def before_call(others: Others = others, swaps: Iterator[bool] = swaps) -> None:
            if next(swaps, True):
                others.swap()

        core = manager.core(isolation, read_only=False, insists=True)
        seen = drive(manager, read(core), before_call)
        if writes:
            drive(manager, core.insert("office.notes", Key((2,)), {}), before_call)
        drive(manager, core.commit(), before_call)
        assert seen > 0, script
        others.swap()
        manager.close()


def test_who_insists_gives_up_whoever_holds_what_it_scans() -> None:
    """An undecided transaction whose lease has not run out is aborted, and cannot be committed any more."""
    manager = make()
    manager.run(lambda transaction: transaction.insert(*LEFT, {"balance": 1}))
    holder = manager.begin()
    holder.update(*LEFT, {"balance": 2})
    drive(manager, holder.core.phases.prepare(), lambda: None)
    insisting = manager.core(Isolation.SERIALIZABLE, read_only=False, insists=True)
    rows = manager.driver.run(insisting.scan(Scan(table=ACCOUNTS.name, partition=("left",))))
    manager.driver.run(insisting.commit())
    assert [row["balance"] for row in rows] == [1]
    with pytest.raises(TransactionConflictError):
        manager.driver.run(holder.core.phases.decide(()))
    manager.close()


def test_who_insists_and_scans_nothing_is_not_held_up_by_itself() -> None:
    """A scan of no rows begins the freeze, and the commit ends it before it decides."""
    manager = make()
    insisting = manager.core(Isolation.SERIALIZABLE, read_only=False, insists=True)
    assert manager.driver.run(insisting.scan(Scan(table=ACCOUNTS.name, partition=("left",), limit=0))) == []
    manager.driver.run(insisting.insert(*LEFT, {"balance": 1}))
    manager.driver.run(insisting.commit())
    manager.run(lambda transaction: transaction.update(*LEFT, {"balance": 2}))
    manager.close()


def test_a_commit_waits_for_a_freeze_and_goes_on() -> None:
    """Who meets a shut gate waits for as long as a freeze takes, without an error."""
    manager = make()
    world = manager.world
    freeze = Freeze(world.coordinator, TransactionSettings(), "0" * 32)
    manager.driver.run(freeze.hold(("first", "second")))
    core = manager.begin().core
    patient = TransactionCore(
        world=type(world)(
            catalogue=world.catalogue,
            coordinator=world.coordinator,
            settings=TransactionSettings(),
            counters=world.counters,
        ),
        transaction_id=core.transaction_id,
        isolation=Isolation.SERIALIZABLE,
    )
    manager.driver.run(patient.insert(*LEFT, {"balance": 1}))
    calls = 0

    def before_call() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            assert manager.driver.run(freeze.release())

    drive(manager, patient.commit(), before_call)
    assert calls > 5
    assert manager.run(lambda transaction: transaction.get(*LEFT)) is not None
    manager.close()


def test_a_freeze_of_a_crashed_client_ends_with_its_lease() -> None:
    """Then whoever waits opens the gates, and what the freeze was for does not count any more."""
    manager = make(lease_ms=-1)
    settings = TransactionSettings(lease_ms=-1)
    freeze = Freeze(manager.world.coordinator, settings, "0" * 32)
    manager.driver.run(freeze.hold(("first", "second")))
    other = Freeze(manager.world.coordinator, settings, "1" * 32)
    manager.driver.run(other.hold(("second",)))
    assert not manager.driver.run(freeze.release())
    assert manager.driver.run(other.release())
    manager.run(lambda transaction: transaction.insert(*LEFT, {}))
    manager.close()


def test_a_sweeper_leaves_a_shut_gate_alone() -> None:
    """The horizon is not raised during a freeze, and is raised afterwards."""
    manager = make()
    decide_in_bucket(manager, 0)  # where nothing was decided, nothing is raised
    freeze = Freeze(manager.world.coordinator, TransactionSettings(), "0" * 32)
    manager.driver.run(freeze.hold(()))
    manager.sweep()
    assert manager.driver.run(freeze.release())
    row = manager.stores["first"].get(manager.world.coordinator.horizon(0))
    assert row is not None
    assert row["gate_ms"] == row["horizon_ms"] == 0
    manager.sweep()
    row = manager.stores["first"].get(manager.world.coordinator.horizon(0))
    assert row is not None
    assert row["gate_ms"] == row["horizon_ms"] != 0
    manager.close()
