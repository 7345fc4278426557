"""The record stores that the conformance suite runs on: in memory, and on a real Valkey."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.memory_store import MemoryStore
from storage.ports import (
    RecordStore,
)
from storage.redis_store import RedisStore
from storage.sqlite_store import SqliteStore
from tests.valkey import Valkey


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(Path(tmp_path_factory.mktemp("valkey"))).start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", "valkey", "sqlite"])
def store(request: pytest.FixtureRequest) -> Iterator[RecordStore]:
    store: RecordStore
    if request.param == "memory":
        store = MemoryStore()
    elif request.param == "sqlite":
        store = SqliteStore(f"sqlite://{request.getfixturevalue('tmp_path')}/store.db")
    else:
        server: Valkey = request.getfixturevalue("valkey")
        server.command("FLUSHALL")
        store = RedisStore(server.url)
    yield store
    store.close()
