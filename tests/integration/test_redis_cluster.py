"""Tables on a real cluster whose slots move from node to node under them, half of a bucket here and half there."""

from binascii import crc_hqx
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest

from storage.model.data_types import DataType
from storage.model.errors import InvalidOperationError
from storage.model.key_encoding import encode_key
from storage.model.operations import (
    AnyScan,
    Delete,
    Get,
    Insert,
    Key,
    Mutation,
    Row,
    Scan,
    ScanAll,
    ScanByIndex,
    Update,
)
from storage.model.schema import AddIndex, ClusteringColumn, TableName, TableSchema
from storage.tables import redis_cluster
from storage.tables.errors import StoreContendedError
from storage.tables.port import Atomicity, TableStore
from storage.tables.redis_nodes import CATALOGUE
from storage.tables.redis_slots import slot_of
from storage.tables.redis_tables import RedisTables, open_store
from storage.transactions.settings import TransactionSettings
from storage.transactions.transaction_manager import TransactionManager
from tests.transfers import ACCOUNTS, OPENING, TABLE, Transfers, balances, open_bank
from tests.valkey_cluster import ClusterNode, ValkeyCluster

pytestmark = pytest.mark.integration

BUCKETS = 8
LINES = TableName("shop", "lines")
ROWS = 6
KEYS = ROWS + 3
"""Of the table in its bucket: its rows, the versions, the order, the index."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"), settings={"appendfsync": "everysec"})
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def cluster(servers: ValkeyCluster) -> ValkeyCluster:
    """Empty, its slots wherever the test before left them."""
    for node in servers.primaries:
        node.ask("FLUSHALL")
        for bucket in (CATALOGUE, *range(BUCKETS)):
            node.ask("CLUSTER", "SETSLOT", slot_of(bucket), "STABLE")
    return servers


def opened_store(cluster: ValkeyCluster) -> RedisTables:
    return open_store({"url": cluster.url, "buckets": str(BUCKETS)})


def owner_of(cluster: ValkeyCluster, bucket: int) -> ClusterNode:
    """The node that serves a bucket."""
    port = cluster.owner(slot_of(bucket), seen_by=cluster.primaries[0])
    return next(node for node in cluster.primaries if node.port == port)


def other_than(cluster: ValkeyCluster, node: ClusterNode) -> ClusterNode:
    return next(other for other in cluster.primaries if other is not node)


# ---------------------------------------------------------------- a bucket that lies on two nodes


def lines() -> TableSchema:
    """Orders with lines, a partition each, and an index that few rows are in."""
    return TableSchema(
        name=LINES,
        columns={"order": DataType.INT, "line": DataType.INT, "state": DataType.TEXT, "note": DataType.TEXT},
        partition_key=("order",),
        clustering_key=(ClusteringColumn("line"),),
        indexes=("state",),
    )


def line(number: int) -> Key:
    return Key((1,), (number,))


def bucket_of_lines() -> int:
    """Where the only partition of these tests lies."""
    return crc_hqx(encode_key(lines().partition_columns, (1,)), 0) % BUCKETS


def rows_of(store: TableStore, scan: AnyScan) -> list[Row]:
    return list(store.scan(scan))


def stored(store: TableStore) -> list[Row]:
    return rows_of(store, Scan(table=LINES, partition=(1,)))


def check_indexes(store: TableStore) -> None:
    """What each way of reading says is the same."""
    rows = stored(store)
    assert sorted(map(repr, store.scan(ScanAll(table=LINES)))) == sorted(map(repr, rows))
    assert store.get_many([Get(table=LINES, key=line(row["line"])) for row in rows]) == rows  # type: ignore[arg-type]
    for state in ("new", "paid", "sent"):
        found = list(store.scan(ScanByIndex(table=LINES, column="state", value=state)))
        assert sorted(map(repr, found)) == sorted(repr(row) for row in rows if row["state"] == state)


BATCHES: dict[str, list[Mutation]] = {
    "the only entry of an index goes, and comes back": [
        Update(table=LINES, key=line(0), values={"state": None}),
        Update(table=LINES, key=line(1), values={"state": "paid"}),
        Update(table=LINES, key=line(2), values={"note": "seen"}),
    ],
    "a row comes": [
        Delete(table=LINES, key=line(0)),
        Insert(table=LINES, key=line(ROWS), values={"state": "sent"}),
    ],
    "all rows go": [Delete(table=LINES, key=line(number)) for number in range(ROWS)],
}


@pytest.mark.parametrize("kind", BATCHES)
def test_a_batch_in_a_bucket_that_is_half_moved(
    cluster: ValkeyCluster, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is done as a whole or refused as contended, whichever of the bucket's keys have moved; none is lost by it."""
    monkeypatch.setattr(redis_cluster, "PAUSES_S", ())
    store = opened_store(cluster)
    bucket, outcomes = bucket_of_lines(), []
    for moved in range(KEYS + 1):
        store.create_table(lines())
        store.apply([Insert(table=LINES, key=line(n), values={"state": "new"} if n == 0 else {}) for n in range(ROWS)])
        source = owner_of(cluster, bucket)
        target, slot = other_than(cluster, source), slot_of(bucket)
        assert source.ask("CLUSTER", "COUNTKEYSINSLOT", slot) == KEYS
        before = stored(store)
        cluster.begin_move(slot, source, target)
        cluster.move_keys(slot, source, target, moved)
        try:
            store.apply(BATCHES[kind])
            outcomes.append(True)
        except StoreContendedError:
            outcomes.append(False)
        cluster.move(slot, source, target)
        assert (stored(store) != before) is outcomes[-1]
        check_indexes(store)
        store.drop_table(LINES)
    comes = kind == "a row comes"  # which is on neither node, so that each sends for it to the other
    assert (outcomes[0], outcomes[-1]) == (not comes, not comes)
    assert False in outcomes, "some of its keys here, some there"
    store.close()


def test_reads_of_a_bucket_that_is_half_moved(cluster: ValkeyCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give what is there, or nothing and an error; single rows are always found, moved or not, there or not."""
    monkeypatch.setattr(redis_cluster, "PAUSES_S", ())
    store = opened_store(cluster)
    store.create_table(lines())
    store.apply([Insert(table=LINES, key=line(n), values={"state": "new"}) for n in range(ROWS)])
    bucket = bucket_of_lines()
    source = owner_of(cluster, bucket)
    target, slot = other_than(cluster, source), slot_of(bucket)
    whole = stored(store)
    gets = [Get(table=LINES, key=line(n)) for n in range(ROWS)]
    reads: tuple[Callable[[], Sequence[Row | None]], ...] = (
        partial(store.get_many, gets),
        partial(rows_of, store, Scan(table=LINES, partition=(1,))),
        partial(rows_of, store, ScanByIndex(table=LINES, column="state", value="new")),
    )
    refused = 0
    cluster.begin_move(slot, source, target)
    while True:
        assert [store.get(get) for get in gets] == whole
        assert store.get(Get(table=LINES, key=line(ROWS))) is None
        for read in reads:
            try:
                assert read() == whole
            except StoreContendedError:
                refused += 1
        if not cluster.move_keys(slot, source, target, 1):
            break
    assert refused, "halfway"
    cluster.end_move(slot, source, target)
    check_indexes(store)
    store.close()


def keys_of_rows(cluster: ValkeyCluster) -> list[bytes]:
    return [key for node in cluster.primaries for key in node.ask("KEYS", "t:{*}r1:*")]


def test_schemas_change_while_buckets_are_half_moved(cluster: ValkeyCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is added has every row as soon as it can be read; of a dropped table nothing stays for ever."""
    monkeypatch.setattr(redis_cluster, "PAUSES_S", ())
    store = opened_store(cluster)
    store.create_table(lines())
    store.apply([Insert(table=LINES, key=line(n), values={"state": "new", "note": "x"}) for n in range(ROWS)])
    bucket = bucket_of_lines()
    source = owner_of(cluster, bucket)
    target, slot = other_than(cluster, source), slot_of(bucket)
    cluster.begin_move(slot, source, target)
    cluster.move_keys(slot, source, target, ROWS // 2)
    store.alter_table(LINES, AddIndex(column="note"))
    while cluster.move_keys(slot, source, target, 1):
        with pytest.raises(StoreContendedError):
            list(store.scan(ScanByIndex(table=LINES, column="note", value="x")))
    cluster.end_move(slot, source, target)
    assert len(list(store.scan(ScanByIndex(table=LINES, column="note", value="x")))) == ROWS
    check_indexes(store)
    source, target = target, source
    cluster.begin_move(slot, source, target)
    cluster.move_keys(slot, source, target, ROWS // 2)
    store.drop_table(LINES)
    cluster.move(slot, source, target)
    assert keys_of_rows(cluster)
    with pytest.raises(InvalidOperationError, match=r"table\.unknown"):
        store.drop_table(LINES)
    store.create_table(lines())  # which also ends what was left of dropping
    assert not keys_of_rows(cluster)
    store.close()


# ---------------------------------------------------------------- transactions


@pytest.mark.parametrize("how", ["key by key", "as a whole"])
def test_transfers_while_slots_move(cluster: ValkeyCluster, how: str) -> None:
    """No thread meets an error that `run` does not settle; every transfer is there once, and the sum is right."""
    store = opened_store(cluster)
    assert store.capabilities.atomicity is Atomicity.PARTITION
    manager = TransactionManager({"cluster": store}, settings=TransactionSettings(lease_ms=500))
    open_bank(manager)
    transfers = Transfers(manager)
    try:
        for bucket in (*range(BUCKETS), CATALOGUE, *range(BUCKETS)):
            source = owner_of(cluster, bucket)
            target, slot = other_than(cluster, source), slot_of(bucket)
            if how == "as a whole":
                cluster.move_whole(slot, source, target)
            else:
                cluster.begin_move(slot, source, target)
                while cluster.move_keys(slot, source, target, 10):
                    pass
                cluster.end_move(slot, source, target)
            transfers.await_more(5)
    finally:
        done = transfers.finish()
    assert done >= 5 * (2 * BUCKETS + 1)
    assert sum(balances(manager)) == ACCOUNTS * OPENING
    rows = store.scan(ScanAll(table=TABLE))
    assert sum(row["_tx_version"] for row in rows) == ACCOUNTS + 2 * done  # type: ignore[misc]
    manager.close()
    store.close()
