"""Tables on a real cluster that loses a primary: a replica takes over, and the store goes on."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from protocol.errors import CountersignError
from storage.model.operations import Get, ScanAll, Upsert
from storage.tables.errors import TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.port import Durability, TableStore
from storage.tables.redis_cluster import ClusterNodes
from storage.tables.redis_slots import NodeAddress, slot_of
from storage.tables.redis_tables import RedisTables, open_store
from storage.transactions.settings import TransactionSettings
from storage.transactions.transaction_manager import TransactionManager
from tests.table_samples import ACCOUNTS as SAMPLES
from tests.table_samples import account, accounts, opened
from tests.transfers import ACCOUNTS, OPENING, TABLE, Transfers, balances, open_bank
from tests.valkey_cluster import ClusterNode, ValkeyCluster, await_that

pytestmark = [pytest.mark.integration, pytest.mark.slow]

BUCKETS = 16
AWAY = ("store.unreachable", "store.contended", "store.outcome_unknown", "transaction.unknown")
"""What may be met while a primary is away; a conflict is not among them, for `run` settles those."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ValkeyCluster]:
    """The first primary has a replica."""
    cluster = ValkeyCluster(tmp_path, replicas=1, node_timeout_ms=1_000)
    try:
        yield cluster.start()
    finally:
        cluster.stop()


def opened_store(cluster: ValkeyCluster) -> RedisTables:
    return open_store({"url": cluster.url, "buckets": str(BUCKETS)})


def offset(node: ClusterNode) -> int:
    """How much of the stream of changes a node has given, or taken."""
    told = node.command("INFO", "replication")
    name = b"slave_repl_offset:" if b"role:slave" in told else b"master_repl_offset:"
    return int(told.split(name)[1].split()[0])


def await_replica(primary: ClusterNode, replica: ClusterNode) -> None:
    """Wait until a replica has all that its primary has acknowledged.

    WAIT would not do: it looks only at what its own connection wrote.
    """
    await_that(lambda: offset(primary) == offset(replica))


def answers(store: TableStore) -> bool:
    """Whether all buckets are there."""
    try:
        list(store.scan(ScanAll(table=store.tables()[0])))
    except CountersignError as error:
        if error.code not in AWAY:
            raise
        return False
    return True


def number_on(cluster: ValkeyCluster, store: RedisTables, primary: int, above: int = -1) -> int:
    """The number of an account that lies on a primary."""
    first, last = cluster.slots(primary)
    table = store._known.table(SAMPLES)
    return next(n for n in range(above + 1, 1_000) if first <= slot_of(table.place(account(n))[0]) <= last)


def test_transfers_over_a_failover(cluster: ValkeyCluster) -> None:
    """A primary is killed whose replica has everything: afterwards all transfers go on, and nothing is missing."""
    store = opened_store(cluster)
    manager = TransactionManager({"cluster": store}, settings=TransactionSettings(lease_ms=300))
    open_bank(manager)
    transfers = Transfers(manager, AWAY)
    primary, replica = cluster.primaries[0], cluster.replicas[0]
    try:
        transfers.await_more(20)
        with transfers.paused():
            await_replica(primary, replica)
            acknowledged = transfers.done
            primary.kill()
        await_that(lambda: b"role:master" in replica.command("INFO", "replication"))
        transfers.await_more(40)
    finally:
        done = transfers.finish()
    assert transfers.failed, "nobody came upon the dead primary"
    assert done >= acknowledged + 40
    assert sum(balances(manager)) == ACCOUNTS * OPENING
    versions = sum(row["_tx_version"] for row in store.scan(ScanAll(table=TABLE)))  # type: ignore[misc]
    unknown = transfers.failed.total()
    assert ACCOUNTS + 2 * done <= versions <= ACCOUNTS + 2 * (done + unknown)
    another = opened_store(cluster)  # though the first node that the URL names is away
    assert len(list(another.scan(ScanAll(table=TABLE)))) == ACCOUNTS
    another.close()
    manager.close()
    store.close()


def test_transfers_while_a_replica_takes_over_by_command(cluster: ValkeyCluster) -> None:
    """Nothing that was acknowledged is lost, though transfers are under way: the primary waits for its replica."""
    store = opened_store(cluster)
    manager = TransactionManager({"cluster": store}, settings=TransactionSettings(lease_ms=300))
    open_bank(manager)
    transfers = Transfers(manager, AWAY)
    first, second = cluster.primaries[0], cluster.replicas[0]
    try:
        for replica, primary in ((second, first), (first, second)):
            transfers.await_more(20)
            await_that(lambda node=replica: b"master_link_status:up" in node.command("INFO", "replication"))  # type: ignore[misc]
            replica.ask("CLUSTER", "FAILOVER")
            await_that(lambda node=primary: b"role:slave" in node.command("INFO", "replication"))  # type: ignore[misc]
    finally:
        transfers.await_more(20)
        done = transfers.finish()
    assert sum(balances(manager)) == ACCOUNTS * OPENING
    versions = sum(row["_tx_version"] for row in store.scan(ScanAll(table=TABLE)))  # type: ignore[misc]
    assert ACCOUNTS + 2 * done <= versions <= ACCOUNTS + 2 * (done + transfers.failed.total())
    manager.close()
    store.close()


def test_a_batch_under_way_when_its_primary_dies(cluster: ValkeyCluster) -> None:
    """Is of unknown outcome: done by who took over, or not; and the next one is done there."""
    store = opened_store(cluster)
    store.create_table(accounts())
    number = number_on(cluster, store, 0)
    primary, replica = cluster.primaries[0], cluster.replicas[0]
    await_replica(primary, replica)
    assert primary.process is not None
    primary.process.send_signal(signal.SIGSTOP)
    assert isinstance(store._nodes, ClusterNodes)
    link = store._nodes._links[NodeAddress("127.0.0.1", primary.port)]
    with ThreadPoolExecutor(1) as pool:
        batch = pool.submit(store.apply, [opened(number, balance=7)])
        await_that(lambda: link._rounds._under_way > 0)
        primary.kill()
        assert isinstance(batch.exception(60), UnknownOutcomeError)
    await_that(lambda: answers(store))
    row = store.get(Get(table=SAMPLES, key=account(number), projection=("balance",)))
    assert row in (None, {"balance": 7})
    store.apply([Upsert(table=SAMPLES, key=account(number), values={"balance": 8})])
    assert store.get(Get(table=SAMPLES, key=account(number), projection=("balance",))) == {"balance": 8}
    store.close()


def test_a_replica_that_promises_less(cluster: ValkeyCluster) -> None:
    """Is not used after it took over: what the store declared would no longer be true."""
    store = opened_store(cluster)
    assert store.capabilities.durability is Durability.DISK
    store.create_table(accounts())
    number = number_on(cluster, store, 0)
    cluster.replicas[0].ask("CONFIG", "SET", "appendfsync", "everysec")
    cluster.primaries[0].kill()
    met: list[str] = []

    def is_refused() -> bool:
        with pytest.raises(CountersignError) as caught:
            store.apply([opened(number, balance=1)])
        met.append(caught.value.code)
        return met[-1] not in AWAY

    await_that(is_refused)
    assert met[-1] == "store.unsafe_durability"
    store.close()


def test_a_primary_that_nobody_replaces(cluster: ValkeyCluster) -> None:
    """Is away, at once and for as long as it is: nothing is done; when it is back, all goes on."""
    store = opened_store(cluster)
    store.create_table(accounts())
    number = number_on(cluster, store, 1)
    store.apply([opened(number, balance=1)])
    primary = cluster.primaries[1]
    primary.kill()
    for _ in range(3):
        with pytest.raises(TableStoreUnavailableError):  # and from now on no dead connection is thought to be alive
            store.get(Get(table=SAMPLES, key=account(number)))
        with pytest.raises(TableStoreUnavailableError):
            store.apply([opened(number, balance=2)])
    primary.start()
    await_that(lambda: answers(store))
    assert store.get(Get(table=SAMPLES, key=account(number), projection=("balance",))) == {"balance": 1}
    store.close()


def test_a_primary_that_comes_back(cluster: ValkeyCluster) -> None:
    """Serves as a replica of who took over, and takes over from it in turn; the store finds both."""
    store = opened_store(cluster)
    assert store.capabilities.durability is Durability.DISK
    store.create_table(accounts())
    number = -1
    old, new = cluster.primaries[0], cluster.replicas[0]
    for balance, (primary, replica) in enumerate([(old, new), (new, old)]):
        number = number_on(cluster, store, 0, above=number)
        store.apply([opened(number, balance=balance)])
        await_replica(primary, replica)
        primary.kill()
        await_that(lambda: answers(store))
        primary.start()
        await_that(lambda node=primary: b"master_link_status:up" in node.command("INFO", "replication"))  # type: ignore[misc]
    rows = list(store.scan(ScanAll(table=SAMPLES, projection=("balance",))))
    assert sorted(map(repr, rows)) == [repr({"balance": 0}), repr({"balance": 1})]
    store.close()
