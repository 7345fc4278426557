"""A store whose awaited side does what it can do, so that a suite for stores runs on it."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any, TypeVar

from storage.model.operations import AnyScan, Get, Mutation, Row
from storage.model.schema import Alteration, TableName, TableSchema
from storage.tables.port import Capabilities
from storage.tables.redis_tables import RedisTables

T = TypeVar("T")


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="awaiting")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class AwaitedStore:
    """A `TableStore`: reads by key and batches go through the awaited side, the rest through the store."""

    def __init__(self, store: RedisTables, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        awaited = store.awaited()
        assert awaited is not None
        self._awaited = awaited

    @property
    def name(self) -> str:
        return self._store.name

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    def create_table(self, schema: TableSchema) -> None:
        self._store.create_table(schema)

    def alter_table(self, table: TableName, alteration: Alteration) -> TableSchema:
        return self._store.alter_table(table, alteration)

    def drop_table(self, table: TableName) -> None:
        self._store.drop_table(table)

    def tables(self) -> tuple[TableName, ...]:
        return self._store.tables()

    def schema(self, table: TableName) -> TableSchema:
        return self._store.schema(table)

    def get(self, get: Get) -> Row | None:
        return self._run(self._awaited.get_many([get]))[0]

    def get_many(self, gets: Sequence[Get]) -> list[Row | None]:
        return self._run(self._awaited.get_many(gets))

    def scan(self, scan: AnyScan) -> Iterator[Row]:
        return self._store.scan(scan)

    def apply(self, batch: Sequence[Mutation]) -> None:
        self._run(self._awaited.apply(batch))

    def close(self) -> None:
        self._awaited.close()
        self._store.close()

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)
