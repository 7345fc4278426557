"""The table stores that the suite runs on; another adapter is a line in `STORES` and a fixture `..._place`.

A place is where a store keeps its data for a module of tests; called, it opens the store there.
"""

from collections.abc import Callable, Iterator

import pytest

from storage.tables.memory_tables import MemoryTables
from storage.tables.port import TableStore
from storage.tables.postgresql_tables import PostgresqlTables
from storage.tables.redis_link import RedisLink
from storage.tables.redis_nodes import SingleNode
from storage.tables.redis_tables import RedisTables, open_store
from storage.tables.sqlite_tables import SqliteTables
from tests.awaited_store import AwaitedStore, running_loop
from tests.postgresql import Postgresql
from tests.valkey import Valkey
from tests.valkey_cluster import ValkeyCluster

STORES = ("memory", "redis", "redis_awaited", "redis_in_buckets", "redis_cluster", "sqlite", "postgresql")

Place = Callable[[], TableStore]


@pytest.fixture(scope="module")
def memory_place() -> Place:
    store = MemoryTables()
    return lambda: store


@pytest.fixture(scope="module")
def quick_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A real server that does not wait for its disk; what it does otherwise is the same."""
    server = Valkey(tmp_path_factory.mktemp("valkey"), {"appendfsync": "everysec"}).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def redis_place(quick_valkey: Valkey) -> Place:
    return lambda: RedisTables(SingleNode(RedisLink(quick_valkey.url)), prefix="one:")


@pytest.fixture(scope="module")
def redis_awaited_place(quick_valkey: Valkey) -> Iterator[Place]:
    """Reads by key and batches as coroutines of one event loop make them."""
    with running_loop() as loop:
        yield lambda: AwaitedStore(RedisTables(SingleNode(RedisLink(quick_valkey.url)), prefix="awaited:"), loop)


@pytest.fixture(scope="module")
def redis_in_buckets_place(quick_valkey: Valkey) -> Place:
    """The layout of a cluster, on one server."""
    return lambda: RedisTables(SingleNode(RedisLink(quick_valkey.url)), prefix="many:", buckets=16)


@pytest.fixture(scope="module")
def redis_cluster_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Three servers, each with a third of the buckets."""
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"), settings={"appendfsync": "everysec"}).start()
    yield lambda: open_store({"url": cluster.url, "buckets": "16"})
    cluster.stop()


@pytest.fixture(scope="module")
def sqlite_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    file = tmp_path_factory.mktemp("sqlite") / "tables.db"
    return lambda: SqliteTables(file)


@pytest.fixture(scope="module")
def postgresql_place(postgresql: Postgresql) -> Place:
    url = postgresql.database()
    return lambda: PostgresqlTables(url)


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest) -> Place:
    """Where the store lies, empty."""
    place: Place = request.getfixturevalue(f"{request.param}_place")
    store = place()
    for table in store.tables():
        store.drop_table(table)
    store.close()
    return place


@pytest.fixture
def store(place: Place) -> Iterator[TableStore]:
    """An empty store."""
    store = place()
    yield store
    store.close()
