"""The record stores that the conformance suite runs on: in memory, in a file, and on real servers."""

from collections.abc import Iterator

import pytest

from storage.memory_store import MemoryStore
from storage.ports import (
    RecordStore,
)
from storage.postgresql_store import PostgresqlStore
from storage.redis_store import RedisStore
from storage.spread_store import open_spread_store
from storage.sqlite_store import SqliteStore
from tests.postgresql import Postgresql
from tests.valkey import Valkey


@pytest.fixture(params=["memory", "valkey", "sqlite", "postgresql", "valkey+postgresql", "sqlite+sqlite"])
def store(request: pytest.FixtureRequest) -> Iterator[RecordStore]:
    """A new store, whatever it is made of."""
    store = _open(request)
    yield store
    store.close()


def _open(request: pytest.FixtureRequest) -> RecordStore:
    match request.param:
        case "valkey":
            server: Valkey = request.getfixturevalue("valkey")
            server.command("FLUSHALL")
            return RedisStore(server.url)
        case "sqlite":
            return SqliteStore(f"sqlite://{request.getfixturevalue('tmp_path')}/store.db")
        case "postgresql":
            database: Postgresql = request.getfixturevalue("postgresql")
            return PostgresqlStore(database.wipe())
        case "valkey+postgresql":
            home: Valkey = request.getfixturevalue("valkey")
            home.command("FLUSHALL")
            other: Postgresql = request.getfixturevalue("postgresql")
            return open_spread_store(home.url, {"bank": other.wipe()})
        case "sqlite+sqlite":
            directory = request.getfixturevalue("tmp_path")
            return open_spread_store(f"sqlite://{directory}/home.db", {"bank": f"sqlite://{directory}/bank.db"})
        case _:
            return MemoryStore()
