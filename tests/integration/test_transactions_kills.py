"""Transfers on real servers while clients and servers are killed: nothing lost, nothing made, nothing unaccounted."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import CountersignError
from storage.model.operations import Get, Key
from storage.transactions.transaction_manager import Outcome, TransactionManager
from tests.postgresql import Postgresql
from tests.transaction_client import ACCOUNTS, OPENING, manager, schema, tables
from tests.valkey import Valkey

ROOT = Path(__file__).parents[2]
CLIENTS = 3
KILLS = 4
TRANSFERS_BETWEEN = 15
"""Acknowledged transfers that are awaited before the next kill."""

Stores = dict[str, dict[str, object]]


class World:
    """The stores' servers, the clients, and what these say."""

    def __init__(self, directory: Path, kind: str, cleanup: ExitStack) -> None:
        self.directory = directory
        self.stores: Stores = {}
        self.servers: list[Any] = []
        self.clients: list[subprocess.Popen[bytes]] = []
        self._cleanup = cleanup
        for name in kind.split("+"):
            getattr(self, f"_add_{name}")()
        (directory / "stores.json").write_text(json.dumps(self.stores))

    def _add_sqlite(self) -> None:
        self.stores["sqlite"] = {"kind": "sqlite", "file": str(self.directory / "accounts.db")}

    def _add_postgresql(self) -> None:
        server = Postgresql(self.directory / "server").start()
        self._cleanup.callback(server.stop)
        self.servers.append(server)
        self.stores["postgresql"] = {"kind": "postgresql", "url": server.database()}

    def _add_valkey(self) -> None:
        place = self.directory / "valkey"
        place.mkdir()
        server = Valkey(place).start()
        self._cleanup.callback(server.stop)
        self.servers.append(server)
        self.stores["valkey"] = {"kind": "redis", "url": server.url}

    def open(self) -> TransactionManager:
        """A manager of our own."""
        transactions = manager(self.stores)
        for store in transactions.stores.values():
            self._cleanup.callback(store.close)
        self._cleanup.callback(transactions.close)
        return transactions

    def start_client(self) -> None:
        """One more client."""
        journal = self.directory / f"journal.{len(list(self.directory.glob('journal.*')))}"
        journal.touch()
        command = [sys.executable, "-m", "tests.transaction_client", str(self.directory / "stores.json"), str(journal)]
        client = subprocess.Popen(command, cwd=ROOT)
        self._cleanup.callback(client.wait)
        self._cleanup.callback(client.kill)
        self.clients.append(client)

    def kill_client(self) -> None:
        """The oldest client dies, and another begins."""
        client = self.clients.pop(0)
        client.kill()
        client.wait()
        self.start_client()

    def said(self, word: str) -> list[str]:
        """The ids of which clients said this, whole lines only."""
        lines = "".join(journal.read_text() for journal in self.directory.glob("journal.*")).splitlines()
        return [line.split()[1] for line in lines if line.startswith(f"{word} ") and len(line.split()[1]) == 32]

    def await_transfers(self, count: int) -> None:
        """Wait until so many more were acknowledged."""
        goal, deadline = len(self.said("done")) + count, time.monotonic() + 60
        while len(self.said("done")) < goal:
            assert time.monotonic() < deadline, f"{len(self.said('done'))} of {goal} transfers"
            assert all(client.poll() is None for client in self.clients), "a client ended by itself"
            time.sleep(0.02)


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with ExitStack() as cleanup:
        yield World(tmp_path, request.param, cleanup)


def in_the_end(work: Callable[[], Any]) -> Any:
    """What comes of it once the server is back and leases have run out."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return work()
        except CountersignError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("world", ["sqlite", "postgresql", "valkey", "postgresql+valkey"], indirect=True)
def test_nothing_is_lost_under_kills(world: World) -> None:
    """Balances and versions add up; what was acknowledged is committed, what was refused is not, the rest resolves."""
    transactions = world.open()
    transactions.create_coordinator()
    names = tables(world.stores)
    for table in names:
        transactions.create_table(schema(table))
        setup = transactions.begin()
        for number in range(ACCOUNTS):
            setup.insert(table, Key((number,)), {"balance": OPENING})
        setup.commit()
    for _ in range(CLIENTS):
        world.start_client()
    for round_number in range(KILLS):
        world.await_transfers(TRANSFERS_BETWEEN)
        world.kill_client()
        if world.servers and round_number % 2:
            server = world.servers[round_number % len(world.servers)]
            server.kill()
            server.start()
    world.await_transfers(TRANSFERS_BETWEEN)
    for client in world.clients:
        client.kill()
        client.wait()
    check(world, world.open())


def check(world: World, transactions: TransactionManager) -> None:
    """Resolve what is not known, and count."""
    done, gone = set(world.said("done")), set(world.said("gone"))
    tried = set(world.said("try"))
    assert len(done) >= KILLS * TRANSFERS_BETWEEN, "too little was done to show anything"
    committed = set()
    for transaction in tried:
        outcome = in_the_end(partial(transactions.resolve, transaction))
        if outcome is Outcome.COMMITTED:
            committed.add(transaction)
    assert done <= committed
    assert not gone & committed
    in_the_end(transactions.sweep)
    names = tables(world.stores)
    keys = [(table, Key((number,))) for table in names for number in range(ACCOUNTS)]
    rows = in_the_end(lambda: transactions.run(lambda transaction: transaction.get_many(keys)))
    assert sum(row["balance"] for row in rows) == ACCOUNTS * OPENING * len(names)
    stored = [transactions.stores[table.namespace].get(Get(table=table, key=key)) for table, key in keys]
    versions = [row["_tx_version"] for row in stored if row is not None]
    assert sum(versions) == len(keys) + 2 * len(committed)  # type: ignore[arg-type]
