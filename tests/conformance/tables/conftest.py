"""The table stores that the suite runs on; another adapter is a line in `STORES` and a fixture `..._place`.

A place is where a store keeps its data for a module of tests; called, it opens the store there.
"""

from collections.abc import Callable, Iterator

import pytest

from storage.tables.memory_tables import MemoryTables
from storage.tables.port import TableStore
from storage.tables.sqlite_tables import SqliteTables

STORES = ("memory", "sqlite")

Place = Callable[[], TableStore]


@pytest.fixture(scope="module")
def memory_place() -> Place:
    store = MemoryTables()
    return lambda: store


@pytest.fixture(scope="module")
def sqlite_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    file = tmp_path_factory.mktemp("sqlite") / "tables.db"
    return lambda: SqliteTables(file)


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
