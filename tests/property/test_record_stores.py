"""The store in memory is a twin of the real ones: whatever comes, they answer alike and hold the same."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.hashing import ZERO_HASH
from protocol.records import Record, RecordKey
from storage.memory_store import MemoryStore
from storage.ports import (
    OutboxEntry,
    OutboxTrim,
    ReadCheck,
    RecordStore,
    RecordWrite,
    ReplayEntry,
    RequestExpiry,
    ScanRange,
    StoreCall,
    Version,
)
from storage.postgresql_store import PostgresqlStore
from storage.redis_store import RedisStore
from storage.spread_store import open_spread_store
from storage.sqlite_store import SqliteStore
from tests.postgresql import Postgresql
from tests.valkey import Valkey

NAMES = ("a", "b", "ab", "\uffff", "\U0001f600")
KEYS = [RecordKey(namespace, key) for namespace in ("n", "m") for key in NAMES]
IDS = [bytes([n]) * 32 for n in range(6)]
HASHES = [ZERO_HASH, *(bytes([n]) * 32 for n in range(1, 4))]
TIMES_MS = st.integers(0, 4).map(lambda half_minutes: half_minutes * 30_000)
CELLS = st.sampled_from(["sequence", "epoch", "store_id"])
VALUES = st.sampled_from([b"", b"1", b"2"])
KINDS = st.sampled_from(["order", "result"])


@st.composite
def writes(draw: st.DrawFn) -> list[RecordWrite]:
    """Chains of one to three versions, which may or may not fit what is stored."""
    made = []
    for key in draw(st.lists(st.sampled_from(KEYS), max_size=4, unique=True)):
        first = draw(st.integers(1, 4))
        previous = ZERO_HASH if first == 1 else draw(st.sampled_from(HASHES))
        for number in range(first, first + draw(st.integers(1, 3))):
            own_hash = draw(st.sampled_from(HASHES[1:]))
            value = draw(VALUES)
            made.append(RecordWrite(key, Record(number, not value, value, IDS[0], previous, own_hash, 1, 2)))
            previous = own_hash
    return made


@st.composite
def calls(draw: st.DrawFn) -> dict[str, Any]:
    """A call's parts, where the checks are taken from the store itself as often as they are made up."""
    written = draw(writes())
    return {
        "expected_cells": draw(st.dictionaries(CELLS, VALUES, max_size=1)),
        "unseen": draw(st.lists(st.builds(RequestExpiry, st.sampled_from(IDS), TIMES_MS), max_size=1)),
        "true_reads": draw(st.lists(st.sampled_from(KEYS), max_size=3, unique=True)),
        "false_read": draw(st.none() | st.tuples(st.sampled_from(KEYS), st.integers(0, 3), st.sampled_from(HASHES))),
        "scans": draw(st.lists(ranges(), max_size=2)),
        "drop_row": draw(st.booleans()),
        "rechain": draw(st.integers(0, 3)) > 0,
        "writes": written,
        "replay": draw(
            st.lists(st.builds(ReplayEntry, st.sampled_from(IDS), TIMES_MS, st.integers(-1, 9)), max_size=3)
        ),
        "evict_before_ms": draw(TIMES_MS),
        "cells": draw(st.dictionaries(CELLS, VALUES, max_size=2)),
        "outbox_put": draw(st.lists(st.builds(OutboxEntry, KINDS, st.integers(0, 12), VALUES), max_size=3)),
        "outbox_trim": draw(st.lists(st.builds(OutboxTrim, KINDS, st.integers(0, 12)), max_size=2)),
    }


def ranges() -> st.SearchStrategy[ScanRange]:
    bounds = st.sampled_from(["", *NAMES, "a\0", "~"])
    return st.builds(ScanRange, st.sampled_from(["n", "m"]), bounds, bounds, st.integers(1, 6))


def build(store: RecordStore, parts: dict[str, Any]) -> StoreCall:
    """The call, with its true checks filled in from the store."""
    parts = dict(parts)
    true_reads, false_read = parts.pop("true_reads"), parts.pop("false_read")
    drop_row, rechain = parts.pop("drop_row"), parts.pop("rechain")
    present = store.fetch(KEYS).records
    if rechain:
        parts["writes"] = list(rechained(parts["writes"], present))
    written = {write.key for write in parts["writes"]}
    reads = [ReadCheck(key, present[key].version, present[key].record_hash) for key in true_reads if key not in written]
    if false_read and false_read[0] not in written | set(true_reads):
        reads.append(ReadCheck(*false_read))
    scans = [rows.check() for rows in store.fetch(scans=parts["scans"]).scans]
    if drop_row and scans:
        scans[-1] = scans[-1]._replace(rows=scans[-1].rows[1:])
    return StoreCall(**{**parts, "reads": reads, "scans": scans})


def rechained(written: list[RecordWrite], present: Any) -> Iterator[RecordWrite]:
    """The same writes, as successors of what is stored."""
    newest = dict(present)
    for key, record in written:
        before = newest[key]
        newest[key] = record._replace(version=before.version + 1, previous_hash=before.record_hash)
        yield RecordWrite(key, newest[key])


def contents(store: RecordStore) -> Any:
    """All that can be read from a store."""
    found = store.fetch(
        KEYS,
        versions=[Version(key, number) for key in KEYS for number in range(1, 12)],
        scans=[ScanRange("n", "", "", 100), ScanRange("m", "a", "b", 2)],
        replay=[RequestExpiry(i, minute * 60_000) for minute in range(3) for i in IDS],
        cells=["sequence", "epoch", "store_id"],
    )
    listed = [(namespace, list(store.records(namespace)), store.count(namespace)) for namespace in ("n", "m")]
    return found, listed, [store.read_outbox(kind, -5, 20) for kind in ("order", "result")]


class Stores(NamedTuple):
    """The real stores; each test example begins with empty ones."""

    valkey: Valkey
    postgresql: Postgresql
    redis_store: RedisStore
    postgresql_store: PostgresqlStore
    directory: Path

    @contextmanager
    def empty(self) -> Iterator[tuple[RecordStore, ...]]:
        self.valkey.command("FLUSHALL")
        with psycopg.connect(self.postgresql.url) as connection:
            for table in ("records", "versions", "cells", "replay", "outbox"):
                connection.execute(f"DELETE FROM countersign.{table}")
            connection.execute("UPDATE countersign.counts SET replay = 0")
        file = self.directory / f"{secrets.token_hex(8)}.db"
        sqlite = SqliteStore(f"sqlite://{file}", synchronous=False)
        try:
            yield self.redis_store, sqlite, self.postgresql_store
        finally:
            sqlite.close()
            file.unlink()


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    directory = tmp_path_factory.mktemp("stores")
    valkey = Valkey(directory).start()
    postgresql = Postgresql(directory).start()
    redis_store, postgresql_store = RedisStore(valkey.socket_url), PostgresqlStore(postgresql.url)
    yield Stores(valkey, postgresql, redis_store, postgresql_store, directory)
    redis_store.close()
    postgresql_store.close()
    valkey.stop()
    postgresql.stop()


@settings(max_examples=150)
@given(st.lists(calls(), min_size=1, max_size=12))
def test_all_stores_answer_alike(stores: Stores, parts: list[dict[str, Any]]) -> None:
    """After every random call all answers are equal, refusals in every detail, and so is what is stored."""
    memory = MemoryStore()
    with stores.empty() as others:
        for part in parts:
            call = build(memory, part)
            answer = memory.apply(call)
            assert [other.apply(call) for other in others] == [answer] * len(others)
            assert [contents(other) for other in others] == [contents(memory)] * len(others)


@settings(max_examples=40)
@given(st.lists(calls(), min_size=1, max_size=12))
def test_a_store_over_several_databases_answers_as_one_does(
    tmp_path_factory: pytest.TempPathFactory, parts: list[dict[str, Any]]
) -> None:
    """Half of the namespaces lie in the other database; nobody who asks can tell."""
    memory, directory = MemoryStore(), tmp_path_factory.mktemp("spread")
    spread = open_spread_store(f"sqlite://{directory}/home.db", {"m": f"sqlite://{directory}/other.db"})
    try:
        for part in parts:
            call = build(memory, part)
            assert spread.apply(call) == memory.apply(call)
            assert contents(spread) == contents(memory)
    finally:
        spread.close()
