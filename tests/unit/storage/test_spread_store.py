"""A store over several databases: what a death at any moment leaves, and what a lost or older part is taken for."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, cast

import pytest

from protocol.errors import CountersignError
from protocol.records import RecordKey
from storage.errors import StoreAbsentError, StoreExistsError, UnsafeDurabilityError
from storage.memory_store import MemoryStore
from storage.model.operations import ScanAll
from storage.model.schema import TableName
from storage.ports import BUCKET_MS, OutboxEntry, OutboxTrim, RecordStore, ReplayEntry, StoreCall, Stored
from storage.record_stores import open_record_store
from storage.spread_layout import REPLAY
from storage.spread_store import CLEANED_AT_LEAST, SETTINGS, SpreadStore, open_spread_store
from storage.tables.memory_tables import MemoryTables
from storage.tables.port import TableStore
from storage.tables.sqlite_tables import SqliteTables
from tests.store_calls import ALICE, BOB, version

SYS = RecordKey("sys", "entity/alice")
QUICK = replace(SETTINGS, lease_ms=1, read_wait_ms=2_000)
NAMESPACES = {"bank": "other"}


class DeathError(BaseException):
    """The process ends here."""


class Mortal:
    """Table stores of a process that dies at its n-th call of them, before or after the call was done."""

    def __init__(self, dies_at: int, *, done: bool) -> None:
        self.calls = 0
        self.dies_at = dies_at
        self._done = done
        self._counting = Lock()
        self.dead = False

    def guard(self, store: TableStore) -> TableStore:
        """The store, as this process has it."""
        return cast(TableStore, _Guarded(store, self))

    def begin(self) -> None:
        """Count from here."""
        self.calls = 0

    def call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do it, unless this is the end."""
        with self._counting:
            self.calls += 1
            is_last = self.calls == self.dies_at
        if self.dead or (is_last and not self._done):
            self.dead = True
            raise DeathError
        result = work(*arguments)
        if is_last:
            self.dead = True
            raise DeathError
        return result


class _Guarded:
    def __init__(self, store: TableStore, life: Mortal) -> None:
        self._store = store
        self._life = life

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in ("get", "get_many", "scan", "apply"):
            return found
        return lambda *arguments: self._life.call(found, *arguments)


def _open(directory: Path, life: Mortal | None = None) -> SpreadStore:
    stores: list[TableStore] = [SqliteTables(directory / f"{name}.db") for name in ("home", "other")]
    home, other = (life.guard(store) for store in stores) if life else stores
    return SpreadStore(home, {"other": other}, NAMESPACES, QUICK)


def _calls(store: RecordStore) -> list[StoreCall]:
    """Two calls that touch every kind of thing, the second what the first wrote."""
    made = []
    records: dict[RecordKey, Any] = {key: store.fetch((key,)).records[key] for key in (ALICE, BOB, SYS)}
    for sequence in (1, 2):
        writes = []
        for key in (ALICE, SYS, BOB)[: 1 + sequence]:
            records[key] = version(key, records[key], b"%d" % sequence, sequence)
            writes.append((key, records[key]))
        made.append(
            StoreCall(
                expected_cells={"sequence": b"" if sequence == 1 else b"1"},
                writes=cast(Any, tuple(writes)),
                replay=(ReplayEntry(b"%032d" % sequence, sequence * BUCKET_MS, sequence),),
                evict_before_ms=0 if sequence == 1 else 2 * BUCKET_MS,
                cells={"sequence": b"%d" % sequence},
                outbox_put=(OutboxEntry("order", sequence, b"message"),),
                outbox_trim=(OutboxTrim("order", sequence),),
            )
        )
    return made


def _state(store: RecordStore) -> object:
    """All that a store holds."""
    keys = (ALICE, BOB, SYS)
    return (
        store.load(),
        [list(store.records(namespace)) for namespace in ("bank", "sys")],
        store.fetch(keys, replay=[ReplayEntry(b"%032d" % n, n * BUCKET_MS, 0)[:2] for n in (1, 2)]),  # type: ignore[misc]
        store.read_outbox("order", 0, 9),
    )


def _reference(calls: int) -> object:
    store = MemoryStore()
    store.create(b"one")
    for call in _calls(store)[:calls]:
        assert isinstance(store.apply(call), Stored)
    return _state(store)


def _begin(directory: Path, life: Mortal | None = None) -> tuple[SpreadStore, StoreCall]:
    directory.mkdir()
    store = _open(directory, life)
    store.create(b"one")
    first, second = _calls(store)
    assert isinstance(store.apply(first), Stored)
    return store, second


def test_a_death_at_any_call_of_a_database_leaves_all_of_a_store_call_or_nothing(tmp_path: Path) -> None:
    """Whoever comes after finds one of the two states, in every table of both databases, and can go on from it."""
    life = Mortal(0, done=False)
    store, second = _begin(tmp_path / "whole", life)
    life.begin()
    assert store.apply(second) == Stored(replay_entries=1)
    calls = life.calls
    store.close()
    assert calls > 5
    before, after = _reference(1), _reference(2)
    found = []
    for done in (False, True):
        for number in range(1, calls + 1):
            life = Mortal(10**9, done=done)
            directory = tmp_path / f"{number}-{done}"
            dying, second = _begin(directory, life)
            life.begin()
            life.dies_at = number
            with suppress(DeathError):  # what comes after the decision nobody waits for
                dying.apply(second)
            dying.close()
            assert life.dead or number > calls - 3, f"call {number} of {calls}"  # how many there are varies a little
            following = _open(directory)
            state = _state(following)
            assert state in (before, after), f"call {number}, done: {done}"
            found.append(state == after)
            if state == before:
                assert following.apply(second) == Stored(replay_entries=1)
            assert _state(following) == after
            following.close()
    assert {True, False} <= set(found)


@pytest.fixture
def urls(tmp_path: Path) -> tuple[str, str]:
    """Of the home and of the other one."""
    return f"sqlite://{tmp_path}/home.db", f"sqlite://{tmp_path}/other.db"


def _written(urls: tuple[str, str]) -> SpreadStore:
    return _written_at(urls[0], {"bank": urls[1]})


def _written_at(home: str, namespaces: dict[str, str]) -> SpreadStore:
    store = open_spread_store(home, namespaces)
    store.create(b"one")
    for call in _calls(store):
        assert isinstance(store.apply(call), Stored)
    return store


def _copy(source: Path, target: Path) -> None:
    for file in source.parent.glob(f"{source.name}*"):
        shutil.copy(file, target.parent / file.name.replace(source.name, target.name))


def _remove(database: Path) -> None:
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()


@pytest.mark.parametrize("loss", ["removed", "older"])
def test_a_part_that_was_lost_or_is_older_is_no_store(urls: tuple[str, str], tmp_path: Path, loss: str) -> None:
    """A record that seems absent or old would make an honest Ledger contradict an honest Auditor."""
    store = open_spread_store(urls[0], {"bank": urls[1]})
    store.create(b"one")
    first, second = _calls(store)
    store.apply(first)
    store.close()
    other = tmp_path / "other.db"
    _copy(other, tmp_path / "kept.db")
    store = open_spread_store(urls[0], {"bank": urls[1]})
    store.apply(second)
    store.close()
    _remove(other)
    if loss == "older":
        _copy(tmp_path / "kept.db", other)
    store = open_spread_store(urls[0], {"bank": urls[1]})
    with pytest.raises(StoreAbsentError):
        store.load()
    with pytest.raises(StoreAbsentError):
        store.apply(StoreCall(expected_cells={}, cells={"sequence": b"3"}))
    with pytest.raises(StoreExistsError):
        store.create(b"two")
    store.close()


def test_a_namespace_lies_where_it_was_put(urls: tuple[str, str]) -> None:
    """Bank's records are in the other database alone, everything else at home."""
    _written(urls).close()
    for file, own, foreign in ((urls[0], "home", "bank"), (urls[1], "store_1", "sys")):
        tables = SqliteTables(Path(file.removeprefix("sqlite://")))
        assert all(table.namespace in (own, "coordinator") for table in tables.tables())
        rows = list(tables.scan(ScanAll(table=TableName(own, "records"))))
        assert rows
        assert foreign.encode() not in {row["namespace"] for row in rows}
        tables.close()


@pytest.mark.parametrize(
    "told",
    [
        {"bank": "a"},
        {"sys": "b"},
        {"bank": "a", "sys": "a"},
        {"bank": "a", "sys": "b", "music": "a"},
        {"bank": "a", "sys": "home"},
    ],
)
def test_a_namespace_is_not_looked_for_where_it_never_was(tmp_path: Path, told: dict[str, str]) -> None:
    """Its records would seem absent, and an honest party would contradict the other: `load` refuses before."""
    urls = {name: f"sqlite://{tmp_path}/{name}.db" for name in ("home", "a", "b")}
    _written_at(urls["home"], {"bank": urls["a"], "sys": urls["b"]}).close()
    store = open_spread_store(urls["home"], {namespace: urls[name] for namespace, name in told.items()})
    with pytest.raises(CountersignError, match="bank, sys") as caught:
        store.load()
    assert caught.value.code == "config.invalid"
    store.close()


def test_exchanged_databases_are_no_store(tmp_path: Path) -> None:
    """In whatever order they are named."""
    urls = {name: f"sqlite://{tmp_path}/{name}.db" for name in ("home", "a", "b")}
    _written_at(urls["home"], {"bank": urls["a"], "sys": urls["b"]}).close()
    exchanged = [("bank", urls["b"]), ("sys", urls["a"])]
    for order in (exchanged, exchanged[::-1]):
        store = open_spread_store(urls["home"], dict(order))
        with pytest.raises(StoreAbsentError):
            store.load()
        store.close()


def test_the_order_in_which_namespaces_are_named_says_nothing(tmp_path: Path) -> None:
    """Nor does naming one that is at home anyway."""
    urls = {name: f"sqlite://{tmp_path}/{name}.db" for name in ("home", "a", "b")}
    stores = {"bank": urls["a"], "sys": urls["b"]}
    _written_at(urls["home"], stores).close()
    store = open_spread_store(urls["home"], {"music": urls["home"], **dict(reversed(stores.items()))})
    assert _state(store) == _reference(2)
    store.close()


def test_no_call_waits_for_all_that_was_dropped(urls: tuple[str, str]) -> None:
    """Each deletes a bounded part of it, more than it adds; none is counted meanwhile, and in the end none is left."""
    store = open_spread_store(urls[0], {"bank": urls[1]})
    store.create(b"one")
    entries = tuple(ReplayEntry(b"%032d" % n, 0, n) for n in range(3 * CLEANED_AT_LEAST))
    store.apply(StoreCall(expected_cells={}, cells={}, replay=entries))
    store.apply(StoreCall(expected_cells={}, cells={}, evict_before_ms=BUCKET_MS))
    left = []
    for n in range(4):
        new = (ReplayEntry(b"new%029d" % n, 5 * BUCKET_MS, n),)
        assert store.apply(StoreCall(expected_cells={}, cells={}, replay=new)) == Stored(replay_entries=n + 1)
        assert store.fetch(replay=[entries[-1][:2]]).replayed == {}  # type: ignore[list-item]
        tables = SqliteTables(Path(urls[0].removeprefix("sqlite://")))
        left.append(len(list(tables.scan(ScanAll(table=REPLAY)))) - (n + 1))
        tables.close()
    at_once = CLEANED_AT_LEAST + 2
    assert left == [len(entries) - at_once, len(entries) - 2 * at_once, 0, 0]
    store.close()


def test_a_dropped_minute_is_emptied(urls: tuple[str, str]) -> None:
    """Entries that count no more are deleted at the next call, and a minute that comes again begins empty."""
    store = open_spread_store(urls[0], {"bank": urls[1]})
    store.create(b"one")
    entries = tuple(ReplayEntry(b"%032d" % n, 0, n) for n in range(5))
    store.apply(StoreCall(expected_cells={}, cells={}, replay=entries))
    dropped = store.apply(StoreCall(expected_cells={}, cells={}, evict_before_ms=BUCKET_MS))
    assert dropped == Stored(replay_entries=0)
    assert store.fetch(replay=[entries[0][:2]]).replayed == {}  # type: ignore[list-item]
    again = store.apply(StoreCall(expected_cells={}, cells={}, replay=entries[:1]))
    assert again == Stored(replay_entries=1)
    assert store.fetch(replay=[each[:2] for each in entries]).replayed == {entries[0].request_id: 0}  # type: ignore[misc]
    store.close()


def test_a_database_that_forgets_is_refused(tmp_path: Path) -> None:
    """What is acknowledged must be on disk in every one of them."""
    with pytest.raises(UnsafeDurabilityError):
        SpreadStore(SqliteTables(tmp_path / "home.db"), {"other": MemoryTables()}, NAMESPACES)


@pytest.mark.parametrize("url", ["mysql://somewhere", "nothing"])
def test_a_kind_that_there_is_not_is_refused(urls: tuple[str, str], url: str) -> None:
    """Before anything is opened."""
    with pytest.raises(CountersignError) as caught:
        open_record_store(urls[0], {"bank": url})
    assert caught.value.code == "config.invalid"
    assert not Path(urls[0].removeprefix("sqlite://")).exists()
