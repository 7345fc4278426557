"""The table store on a real Valkey that goes away, comes back, forgets its scripts, or is set up otherwise."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from protocol.errors import CountersignError
from storage.errors import UnsafeDurabilityError
from storage.model.errors import InvalidOperationError
from storage.model.operations import Get, Insert, Key, Scan, ScanAll, ScanByIndex, Update
from storage.model.predicates import equals
from storage.tables.errors import TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.port import Atomicity, Durability
from storage.tables.redis_tables import RedisTables, open_store
from tests.table_samples import ACCOUNTS, account, accounts, column, insert_all, opened
from tests.valkey import Valkey, free_port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path).start()
    yield server
    server.stop()


def opened_store(server: Valkey, **settings: str) -> RedisTables:
    return open_store({"url": server.url, **settings})


def balance(store: RedisTables, number: int) -> object:
    row = store.get(Get(table=ACCOUNTS, key=account(number), projection=("balance",)))
    return None if row is None else row["balance"]


def fill(store: RedisTables) -> None:
    """Insert pairs of large rows, until it is refused."""
    for number in range(0, 1_000, 2):
        store.apply([opened(n, note=bytes(20_000)) for n in (number, number + 1)])


def test_a_server_that_is_away(server: Valkey) -> None:
    """Is said to be away; it is known that nothing was done before anything could be sent."""
    store = opened_store(server)
    store.create_table(accounts())
    server.stop()
    with pytest.raises(TableStoreUnavailableError):
        opened_store(server)
    with pytest.raises(TableStoreUnavailableError):
        balance(store, 1)
    with pytest.raises(TableStoreUnavailableError):
        store.apply([opened(1, balance=1)])
    store.close()


def test_a_server_that_comes_back(server: Valkey) -> None:
    """Has what it acknowledged, and is given again the scripts it forgot; the store needs no new opening."""
    store = opened_store(server)
    assert store.capabilities.durability is Durability.DISK
    store.create_table(accounts(indexes=("owner",)))
    for number in range(20):
        store.apply([opened(number, owner="alice", balance=number)])
    server.kill()
    server.start()
    assert balance(store, 7) == 7
    store.apply([Update(table=ACCOUNTS, key=account(7), values={"balance": 8}, where=equals("balance", 7))])
    rows = store.scan(ScanByIndex(table=ACCOUNTS, column="owner", value="alice", projection=("id",)))
    assert column(rows, "id") == list(range(20))
    store.close()


def test_a_server_that_goes_away_again_and_again(server: Valkey) -> None:
    """However often a store had to connect anew, it can once more: nothing counts the connections that are gone."""
    store = opened_store(server)
    store.create_table(accounts())
    store.apply([opened(1, balance=7)])
    for _ in range(150):
        server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert balance(store, 1) == 7
    server.stop()
    for _ in range(150):
        with pytest.raises(TableStoreUnavailableError):
            balance(store, 1)
    server.start()
    assert balance(store, 1) == 7
    store.close()


def test_an_answer_that_is_lost(server: Valkey) -> None:
    """Leaves the outcome unknown, for a batch; and afterwards it can be looked up."""
    store = opened_store(server)
    store.create_table(accounts())
    store.apply([opened(1, balance=1)])
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        batch = pool.submit(store.apply, [opened(2, balance=2)])
        deadline = time.monotonic() + 10
        while not store._nodes._link._rounds._under_way:  # type: ignore[attr-defined]
            assert time.monotonic() < deadline
        server.kill()
        assert isinstance(batch.exception(30), UnknownOutcomeError)
    server.start()
    assert balance(store, 1) == 1
    assert balance(store, 2) in (None, 2)
    store.close()


@pytest.mark.parametrize(
    ("settings", "durability"),
    [
        ({}, Durability.DISK),
        ({"appendfsync": "everysec"}, Durability.PROCESS),
        ({"no_appendfsync_on_rewrite": "yes"}, Durability.PROCESS),
        ({"appendfsync": "no"}, Durability.NONE),
        ({"appendonly": "no"}, Durability.NONE),
    ],
)
def test_durability_is_what_the_server_is_set_to(
    tmp_path: Path, settings: dict[str, str], durability: Durability
) -> None:
    """Never what one would wish."""
    server = Valkey(tmp_path, settings).start()
    try:
        store = opened_store(server)
        assert store.capabilities.durability is durability
        store.close()
    finally:
        server.stop()


def test_a_server_that_evicts_is_refused(tmp_path: Path) -> None:
    """It would forget rows in silence."""
    server = Valkey(tmp_path, {"maxmemory_policy": "allkeys-lru"}).start()
    try:
        with pytest.raises(UnsafeDurabilityError, match="maxmemory-policy"):
            opened_store(server)
    finally:
        server.stop()


def test_a_server_that_comes_back_with_less(server: Valkey) -> None:
    """Is not used: what the store declared would no longer be true."""
    store = opened_store(server)
    store.create_table(accounts())
    server.stop()
    server.settings["appendfsync"] = "everysec"
    server.start()
    with pytest.raises(UnsafeDurabilityError):
        store.apply([opened(1, balance=1)])
    store.close()


def test_a_full_server_refuses_the_whole_batch(tmp_path: Path) -> None:
    """With the code of a full disk; nothing of the batch is there."""
    server = Valkey(tmp_path, {"maxmemory": "4mb"}).start()
    try:
        store = opened_store(server)
        store.create_table(accounts())
        with pytest.raises(TableStoreUnavailableError) as full:
            fill(store)
        assert full.value.code == "disk.full"
        assert len(list(store.scan(ScanAll(table=ACCOUNTS, projection=("id",))))) % 2 == 0
        store.close()
    finally:
        server.stop()


def test_stores_share_a_server_by_prefix(server: Valkey) -> None:
    """And one store is not opened with another number of buckets than it was made with."""
    one, other = opened_store(server, prefix="a:"), opened_store(server, prefix="b:", buckets="4")
    for number, store in enumerate((one, other)):
        store.create_table(accounts())
        store.apply([opened(1, balance=number)])
    assert (balance(one, 1), balance(other, 1)) == (0, 1)
    assert (one.capabilities.atomicity, other.capabilities.atomicity) == (Atomicity.STORE, Atomicity.PARTITION)
    with pytest.raises(InvalidOperationError, match=r"schema\.mismatch"):
        opened_store(server, prefix="a:", buckets="4")
    for store in (one, other):
        store.close()


@pytest.mark.parametrize("settings", [{}, {"url": "redis://x", "colour": "red"}, {"url": "http://x"}])
def test_settings_that_are_wrong(settings: dict[str, str]) -> None:
    """Are named, before anything is connected to."""
    with pytest.raises(CountersignError) as refused:
        open_store(settings)
    assert refused.value.code == "config.invalid"


def test_a_cluster_of_one_node(tmp_path: Path) -> None:
    """Takes the layout in buckets: every script's keys are of one slot."""
    server = Valkey(tmp_path, {"cluster_enabled": "yes", "cluster_port": str(free_port())}).start()
    try:
        server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        deadline = time.monotonic() + 20
        while b"cluster_state:ok" not in server.command("CLUSTER", "INFO"):
            assert time.monotonic() < deadline
        store = opened_store(server, buckets="64")
        store.create_table(accounts(indexes=("owner",)))
        insert_all(store, [opened(number, owner="alice", balance=1) for number in range(100)])
        keys = [Key((number,)) for number in range(100)]
        assert None not in store.get_many([Get(table=ACCOUNTS, key=key) for key in keys])
        by_owner = ScanByIndex(table=ACCOUNTS, column="owner", value="alice", projection=("id",))
        assert sorted(map(repr, store.scan(by_owner))) == sorted(repr({"id": n}) for n in range(100))
        assert len(list(store.scan(Scan(table=ACCOUNTS, partition=(5,))))) == 1
        with pytest.raises(InvalidOperationError, match=r"batch\.beyond_unit"):
            store.apply([Insert(table=ACCOUNTS, key=key, values={}) for key in keys[:2]])
        store.drop_table(ACCOUNTS)
        store.close()
    finally:
        server.stop()
