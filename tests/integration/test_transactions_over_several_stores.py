"""One transaction over PostgreSQL, Valkey and SQLite together, on real servers: all of it, or nothing, whoever dies."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from storage.model.data_types import DataType
from storage.model.operations import Get, Key, Row, ScanAll
from storage.model.schema import TableName, TableSchema
from storage.tables.registry import open_table_store
from storage.transactions.errors import TransactionConflictError
from storage.transactions.layout import COMMITTED, TX_STATE
from storage.transactions.services import JoinedTransactions, ServicesTransaction
from storage.transactions.settings import TransactionSettings
from storage.transactions.transaction_manager import Outcome, Transaction, TransactionManager
from tests.postgresql import Postgresql
from tests.unit.storage.transactions.test_recovery import drive
from tests.valkey import Valkey

pytestmark = pytest.mark.integration

STORES = ("postgresql", "valkey", "sqlite")
TABLES = tuple(TableName(name, "accounts") for name in STORES)
READ_ONLY = TableName("valkey", "rates")
OPENING = 100
CRASHES = 12
"""After each of so many storage calls of a commit its client dies; the last ones come after its end."""

SETTINGS = TransactionSettings(lease_ms=50, read_wait_ms=2_000)
PATIENCE_S = 20.0


class Deployment:
    """The servers, and managers of as many clients as a test wants, each with connections of its own."""

    def __init__(self, directory: Path, cleanup: ExitStack) -> None:
        self._cleanup = cleanup
        postgresql = Postgresql(directory / "postgresql").start()
        cleanup.callback(postgresql.stop)
        place = directory / "valkey"
        place.mkdir()
        valkey = Valkey(place).start()
        cleanup.callback(valkey.stop)
        self._places = {
            "postgresql": ("postgresql", {"url": postgresql.database()}),
            "valkey": ("redis", {"url": valkey.url}),
            "sqlite": ("sqlite", {"file": str(directory / "accounts.db")}),
        }
        first = self.client()
        first.create_coordinator()
        for table in (*TABLES, READ_ONLY):
            columns = {"id": DataType.INT, "balance": DataType.BIGINT}
            first.create_table(TableSchema(name=table, columns=columns, partition_key=("id",)))
        first.run(lambda transaction: transaction.insert(READ_ONLY, Key((0,)), {"balance": 1}))

    def client(self) -> TransactionManager:
        """A manager of a client that knows nothing of the others."""
        stores = {name: open_table_store(kind, settings) for name, (kind, settings) in self._places.items()}
        manager = TransactionManager(
            stores, home="postgresql", namespaces={name: name for name in STORES}, settings=SETTINGS
        )
        for store in stores.values():
            self._cleanup.callback(store.close)
        self._cleanup.callback(manager.close)
        return manager


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with ExitStack() as cleanup:
        yield Deployment(tmp_path_factory.mktemp("several-stores"), cleanup)


def open_accounts(manager: TransactionManager, number: int) -> None:
    """One account with this number in each store."""

    def insert(transaction: Transaction) -> None:
        for table in TABLES:
            transaction.insert(table, Key((number,)), {"balance": OPENING})

    manager.run(insert)


def balances(transaction: Transaction, number: int) -> list[int]:
    """What each store's account has."""
    rows = transaction.get_many([(table, Key((number,))) for table in TABLES])
    found = []
    for row in rows:
        assert row is not None
        assert isinstance(row["balance"], int)
        found.append(row["balance"])
    return found


def move(transaction: Transaction, number: int) -> None:
    """From PostgreSQL to both others, at a rate that is only read."""
    before = balances(transaction, number)
    assert transaction.get(READ_ONLY, Key((0,))) is not None
    for table, balance, change in zip(TABLES, before, (-2, 1, 1), strict=True):
        transaction.update(table, Key((number,)), {"balance": balance + change})


def stored(manager: TransactionManager, number: int) -> list[Row]:
    """The rows as they lie in their stores."""
    rows = []
    for table in TABLES:
        row = manager.stores[table.namespace].get(Get(table=table, key=Key((number,))))
        assert row is not None
        rows.append(row)
    return rows


def are_settled(manager: TransactionManager, number: int) -> bool:
    """Whether nobody holds one of the rows any more."""
    return all(row[TX_STATE] == COMMITTED for row in stored(manager, number))


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_all_three_change_together(deployment: Deployment) -> None:
    """Another client sees all of a transaction; and two clients' transfers at once lose nothing."""
    one, other = deployment.client(), deployment.client()
    open_accounts(one, 1)
    one.run(lambda transaction: move(transaction, 1))
    assert other.run(lambda transaction: balances(transaction, 1)) == [98, 101, 101]
    with ThreadPoolExecutor(4) as pool:
        work: list[Any] = [
            pool.submit(client.run, lambda transaction: move(transaction, 1)) for client in (one, other) * 5
        ]
        for future in work:
            future.result()
    assert one.run(lambda transaction: balances(transaction, 1)) == [78, 111, 111]


def test_a_client_dies_at_every_call_and_another_recovers(deployment: Deployment) -> None:
    """In all stores or in none, as the outcome says; the other client works with the records at once."""
    ends = set()
    for calls in range(CRASHES):
        number = 100 + calls
        crashing, other = deployment.client(), deployment.client()
        open_accounts(crashing, number)
        transaction = crashing.begin()
        move(transaction, number)
        ended = drive(crashing, transaction.core.commit(), calls)
        found = other.run(partial(balances, number=number))
        outcome = other.resolve(transaction.id)
        assert found == ([98, 101, 101] if outcome is Outcome.COMMITTED else [100, 100, 100]), calls
        assert outcome is Outcome.COMMITTED or not ended
        other.run(partial(move, number=number))
        assert sum(other.run(partial(balances, number=number))) == 3 * OPENING
        ends.add((outcome, ended))
    assert ends == {(Outcome.ABORTED, False), (Outcome.COMMITTED, False), (Outcome.COMMITTED, True)}


def test_a_sweeper_alone_recovers(deployment: Deployment) -> None:
    """What nobody reads is settled in every store, by a client that has never heard of the transaction."""
    crashing, other = deployment.client(), deployment.client()
    for number, calls in ((200, 2), (201, 3)):
        open_accounts(crashing, number)
        transaction = crashing.begin()
        move(transaction, number)
        assert not drive(crashing, transaction.core.commit(), calls)
        assert any(row[TX_STATE] != COMMITTED for row in stored(other, number))
    other.start_sweeping(0.05)
    try:
        for number in (200, 201):
            eventually(partial(are_settled, other, number))
            assert [row["balance"] for row in stored(other, number)] == [OPENING] * 3
    finally:
        other.close()  # it would abort what is slower than its lease in the tests after this one


def test_scans_of_several_stores_are_of_one_moment(deployment: Deployment) -> None:
    """A record moves from store to store all the time; whoever reads all of them finds it once."""
    mover, reader = deployment.client(), deployment.client()
    here, there = TABLES[1], TABLES[2]
    key = Key((300,))
    mover.run(lambda transaction: transaction.insert(here, key, {"balance": 1}))
    moves = 0

    def change(transaction: Transaction) -> None:
        for source, target in ((here, there), (there, here)):
            if transaction.get(source, key) is not None:
                transaction.delete(source, key)
                transaction.insert(target, key, {"balance": 1})
                return

    def count(transaction: Transaction) -> int:
        return sum(
            1
            for table in (here, there)
            for row in transaction.scan(ScanAll(table=table))
            if row["id"] == key.partition[0]
        )

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: [reader.run(count, read_only=True) for _ in range(4)])
        while not reading.done():
            mover.run(change)
            moves += 1
        assert reading.result() == [1] * 4
    assert moves > 1
    assert reader.metrics()["frozen"] >= 4


def test_services_over_different_stores(deployment: Deployment) -> None:
    """Three services, each with one store of its own and the coordinator's table in common."""
    clients = {name: deployment.client() for name in STORES}
    open_accounts(clients["sqlite"], 400)
    joined = {name: JoinedTransactions(client) for name, client in clients.items()}
    for change, conflicts in ((10, False), (1000, True)):
        whole = ServicesTransaction(clients["postgresql"], joined)
        for table in TABLES:
            part = joined[table.namespace].join(whole.ticket(table.namespace))
            row = part.get(table, Key((400,)))
            assert row is not None
            assert isinstance(row["balance"], int)
            part.update(table, Key((400,)), {"balance": row["balance"] + change})
        if conflicts:
            deployment.client().run(lambda other: other.update(TABLES[2], Key((400,)), {"balance": 7}))
            with pytest.raises(TransactionConflictError):
                whole.commit()
        else:
            whole.commit()
    assert deployment.client().run(lambda reading: balances(reading, 400)) == [110, 110, 7]


def test_an_initiator_dies_between_the_phases_of_services(deployment: Deployment) -> None:
    """Every service has prepared and nobody decides: after the lease each record is as it was."""
    clients = {name: deployment.client() for name in STORES}
    open_accounts(clients["valkey"], 500)
    joined = {name: JoinedTransactions(client) for name, client in clients.items()}
    whole = ServicesTransaction(clients["postgresql"], joined)
    for table in TABLES:
        joined[table.namespace].join(whole.ticket(table.namespace)).update(table, Key((500,)), {"balance": 0})
    for service in joined.values():
        service.prepare(whole.id, 1)
    other = deployment.client()
    assert all(row[TX_STATE] != COMMITTED for row in stored(other, 500))
    assert other.run(lambda reading: balances(reading, 500)) == [OPENING] * 3
    assert other.resolve(whole.id) is Outcome.ABORTED
    with pytest.raises(TransactionConflictError):
        whole.commit()
    assert other.run(lambda reading: balances(reading, 500)) == [OPENING] * 3
