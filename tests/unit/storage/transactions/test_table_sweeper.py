"""Records of clients that died before they decided are found by the sweeper, though nothing names them."""

import time
from collections.abc import Callable

import pytest

from storage.model.operations import Get, Key, Row
from storage.tables.errors import TableStoreUnavailableError
from storage.tables.memory_tables import MemoryTables
from storage.transactions.layout import COMMITTED, DELETED, PREPARED, TX_STATE
from storage.transactions.settings import TransactionSettings
from storage.transactions.table_sweeper import TableSweeper
from storage.transactions.transaction_manager import Outcome, TransactionManager
from tests.unit.storage.transactions.test_recovery import drive
from tests.unit.storage.transactions.test_transaction_manager import ACCOUNTS, NOTES, TABLE, key

PREPARE_CALLS = 2
"""A call to each of the stores that are prepared: after them the client dies."""

LEASE_MS = 50
PATIENCE_S = 10.0


class AwayTables(MemoryTables):
    """A store that can be out of reach."""

    is_away = False

    def scan(self, scan):  # type: ignore[no-untyped-def]
        """Give rows, unless it is away."""
        if self.is_away:
            raise TableStoreUnavailableError("away")
        return super().scan(scan)


def make(lease_ms: int = LEASE_MS) -> TransactionManager:
    settings = TransactionSettings(one_phase=False, lease_ms=lease_ms)
    stores = {"first": AwayTables(), "second": AwayTables()}
    manager = TransactionManager(
        stores, home="first", namespaces={"bank": "first", "office": "second"}, settings=settings
    )
    manager.create_coordinator()
    manager.create_table(ACCOUNTS)
    manager.create_table(NOTES)
    manager.run(lambda transaction: transaction.insert(TABLE, key(0), {"balance": 100}))
    return manager


def crash(manager: TransactionManager) -> str:
    """Prepare a change and two new records, and die."""
    transaction = manager.begin()
    transaction.update(TABLE, key(0), {"balance": 1})
    transaction.insert(TABLE, key(1), {"balance": 2})
    transaction.insert("office.notes", Key((1,)), {"text": "never"})
    drive(manager, transaction.core.commit(), PREPARE_CALLS)
    assert state(manager, "first", key(0)) == PREPARED
    return transaction.id


def row(manager: TransactionManager, store: str, place: Key) -> Row | None:
    """What lies in the store."""
    table = ACCOUNTS.name if store == "first" else NOTES.name
    return manager.stores[store].get(Get(table=table, key=place))


def state(manager: TransactionManager, store: str, place: Key) -> object:
    found = row(manager, store, place)
    return None if found is None else found[TX_STATE]


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_nobody_names_is_found_after_its_lease() -> None:
    """The abort is durable, the records are as they were, and a second round finds nothing."""
    manager = make()
    crashed = crash(manager)
    eventually(lambda: manager.sweep().abandoned > 0)
    eventually(lambda: manager.sweep().abandoned == 0 and state(manager, "first", key(0)) == COMMITTED)
    found = row(manager, "first", key(0))
    assert found is not None
    assert found["balance"] == 100
    assert row(manager, "first", key(1)) is None
    assert row(manager, "second", Key((1,))) is None
    assert manager.resolve(crashed) is Outcome.ABORTED
    manager.close()


def test_a_lease_is_respected() -> None:
    """What a transaction that may be alive has prepared is left alone."""
    manager = make(lease_ms=60_000)
    crashed = crash(manager)
    assert manager.sweep().abandoned == 0
    assert state(manager, "first", key(0)) == PREPARED
    assert manager.resolve(crashed, settle=False) is Outcome.UNDECIDED
    manager.close()


def test_rounds_are_bounded_and_go_on() -> None:
    """A round that may look at one record settles one, and the next round another."""
    manager = make(lease_ms=-1)
    crash(manager)
    tables = (ACCOUNTS.name, NOTES.name)
    rounds = [manager.driver.run(TableSweeper(manager.world, records_max=1).sweep(tables)) for _ in range(4)]
    assert rounds == [1, 1, 1, 0]
    manager.close()


def test_a_store_that_is_away_keeps_nobody_else_from_being_swept() -> None:
    """The error comes out when the others are done; later the rest is."""
    manager = make(lease_ms=-1)
    crash(manager)
    first = manager.stores["first"]
    assert isinstance(first, AwayTables)
    first.is_away = True
    with pytest.raises(TableStoreUnavailableError):
        manager.driver.run(TableSweeper(manager.world).sweep((ACCOUNTS.name, NOTES.name)))
    assert row(manager, "second", Key((1,))) is None
    assert state(manager, "first", key(0)) == PREPARED
    first.is_away = False
    manager.sweep()
    assert state(manager, "first", key(0)) == COMMITTED
    manager.close()


def test_a_thread_sweeps_until_the_manager_is_closed() -> None:
    """It settles what a client left, counts rounds that fail and goes on, and ends with `close`."""
    manager = make()
    crash(manager)
    manager.start_sweeping(0.005)
    eventually(lambda: state(manager, "first", key(0)) == COMMITTED and row(manager, "second", Key((1,))) is None)
    first = manager.stores["first"]
    assert isinstance(first, AwayTables)
    first.is_away = True
    eventually(lambda: manager.metrics()["sweeps_failed"] > 0)
    first.is_away = False
    failed, rounds = manager.metrics()["sweeps_failed"], manager.metrics()["sweeps"]
    eventually(lambda: manager.metrics()["sweeps"] > rounds + 1)
    assert manager.metrics()["sweeps_failed"] <= failed + 1
    sweeping = manager._sweeping
    assert sweeping is not None
    manager.close()
    assert not sweeping._thread.is_alive()


def test_a_record_that_was_prepared_to_be_deleted_is_found() -> None:
    """Its client died before it decided: it is there again, and nobody waits for it."""
    manager = make()
    transaction = manager.begin()
    transaction.delete(TABLE, key(0))
    drive(manager, transaction.core.commit(), 2)
    assert state(manager, "first", key(0)) == DELETED
    eventually(lambda: manager.sweep().abandoned > 0)
    found = row(manager, "first", key(0))
    assert found is not None
    assert (found["balance"], found[TX_STATE]) == (100, COMMITTED)
    manager.close()
