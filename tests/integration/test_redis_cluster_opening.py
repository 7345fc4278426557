"""How a store on a cluster is opened: what is wrong is named by a stable code, and so are nodes that talk nonsense."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.errors import CountersignError
from storage.errors import UnsafeDurabilityError
from storage.tables import redis_cluster
from storage.tables.errors import StoreContendedError, TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.port import Atomicity, Durability
from storage.tables.redis_cluster import REDIRECTS_MAX, ClusterNodes
from storage.tables.redis_commands import packed
from storage.tables.redis_link import Script
from storage.tables.redis_slots import SLOTS
from storage.tables.redis_tables import BUCKETS, open_store
from storage.tables.registry import open_table_store
from storage.tables.store_settings import settings_of
from tests.lying_server import LyingServer, bulk
from tests.table_samples import ACCOUNTS, accounts, insert_all, opened
from tests.valkey import Valkey, free_port
from tests.valkey_cluster import ValkeyCluster, await_that

pytestmark = pytest.mark.integration

READ = Script("redis_read.lua")
NO_KEYS = packed(0)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    cluster = ValkeyCluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster.start()
    finally:
        cluster.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path, {"cluster_enabled": "yes", "cluster_port": str(free_port())})
    yield server
    server.stop()


def refusal(settings: dict[str, str]) -> CountersignError:
    with pytest.raises(CountersignError) as refused:
        open_store(settings).close()
    return refused.value


def test_any_node_will_do(cluster: ValkeyCluster) -> None:
    """The URL of one is enough; the store has as many buckets as a cluster wants, and says what it is."""
    store = open_table_store(*settings_of(cluster.primaries[1].url.replace("redis:", "valkey:")))
    assert store.capabilities.atomicity is Atomicity.PARTITION
    assert store.capabilities.durability is Durability.DISK
    store.create_table(accounts())
    insert_all(store, [opened(number, balance=number) for number in range(20)])
    other = open_store({"url": cluster.primaries[2].url, "buckets": str(BUCKETS)})
    assert other.tables() == (ACCOUNTS,)
    for each in (store, other):
        each.close()
        with pytest.raises(TableStoreUnavailableError):
            each.drop_table(ACCOUNTS)
    nobody = f"redis://127.0.0.1:1,127.0.0.1:{cluster.primaries[0].port}/0"
    third = open_store({"url": nobody})
    third.drop_table(ACCOUNTS)
    third.close()


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"buckets": "1"}, "config.invalid"),
        ({"buckets": "0"}, "config.invalid"),
        ({"buckets": "many"}, "config.invalid"),
        ({"url": "redis://127.0.0.1:1,127.0.0.1:2/0"}, "store.unreachable"),
        ({"url": "redis://127.0.0.1:1,,127.0.0.1:2/0"}, "config.invalid"),
        ({"url": f"redis://{','.join(['127.0.0.1:1'] * 101)}/0"}, "config.invalid"),
        ({"url": "redis://127.0.0.1:1,127.0.0.1:port/0"}, "config.invalid"),
    ],
)
def test_settings_that_are_wrong(cluster: ValkeyCluster, settings: dict[str, str], code: str) -> None:
    """Are refused before anything is written."""
    assert refusal({"url": cluster.url, "prefix": "wrong:", **settings}).code == code
    assert not [key for node in cluster.primaries for key in node.ask("KEYS", "wrong:*")]


def test_another_number_of_buckets(cluster: ValkeyCluster) -> None:
    """Than that with which the store was made, is refused."""
    open_store({"url": cluster.url, "prefix": "few:", "buckets": "4"}).close()
    assert refusal({"url": cluster.url, "prefix": "few:"}).code == "schema.mismatch"


def test_a_socket_of_a_node(cluster: ValkeyCluster) -> None:
    """Does not lead to the others."""
    assert refusal({"url": cluster.primaries[0].socket_url}).code == "config.invalid"


def test_several_servers_that_are_no_cluster(tmp_path: Path) -> None:
    """Are not one store."""
    server = Valkey(tmp_path).start()
    try:
        assert refusal({"url": f"redis://127.0.0.1:{server.port},127.0.0.1:1/0"}).code == "config.invalid"
    finally:
        server.stop()


def test_a_single_server_with_a_store_made_in_a_cluster(server: Valkey) -> None:
    """Is not opened as another store; as what it is, it is, for all of it is there."""
    server.start()
    server.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    await_that(lambda: b"cluster_state:ok" in server.command("CLUSTER", "INFO"))
    store = open_store({"url": server.url})
    store.create_table(accounts())
    store.apply([opened(1, balance=7)])
    store.close()
    server.stop()
    server.settings["cluster-enabled"] = "no"
    server.start()
    assert refusal({"url": server.url}).code == "schema.mismatch"
    again = open_store({"url": server.url, "buckets": str(BUCKETS)})
    assert again.tables() == (ACCOUNTS,)
    again.close()


def test_a_node_without_a_cluster(server: Valkey) -> None:
    """As after a CLUSTER RESET: it has no slots to give."""
    server.start()
    assert refusal({"url": server.url}).code == "store.bad_slot_map"


def test_durability_is_the_least_of_all(cluster: ValkeyCluster) -> None:
    """One primary that promises less makes the whole store promise less; one that evicts is refused."""
    node = cluster.primaries[2]
    for setting, usual, durability in (
        ("appendfsync", "always", Durability.PROCESS),
        ("appendonly", "yes", Durability.NONE),
    ):
        node.ask("CONFIG", "SET", setting, "everysec" if setting == "appendfsync" else "no")
        store = open_store({"url": cluster.url})
        assert store.capabilities.durability is durability
        node.ask("CONFIG", "SET", setting, usual)
        store.create_table(accounts())
        assert store.get_many([]) == []
        store.drop_table(ACCOUNTS)
        store.close()
    node.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(UnsafeDurabilityError):
        open_store({"url": cluster.url})
    node.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")


# ---------------------------------------------------------------- nodes that lie


class Liar:
    """A cluster of one node, which gives itself all slots, and then what it is told to say."""

    def __init__(self) -> None:
        self.says = b"+OK\r\n"
        self.slots: bytes | None = None
        self.server = LyingServer(self._answer)

    def nodes(self) -> ClusterNodes:
        return ClusterNodes([self.server.url])

    def _answer(self, words: list[bytes]) -> bytes:
        if words[0] != b"CLUSTER":
            return self.says
        return all_slots_at(self.server.port) if self.slots is None else self.slots


def all_slots_at(port: int, last: int = SLOTS - 1) -> bytes:
    """A map with one node."""
    return b"*1\r\n*3\r\n:0\r\n:%d\r\n*2\r\n%b:%d\r\n" % (last, bulk("127.0.0.1"), port)


@pytest.fixture
def liar() -> Iterator[Liar]:
    liar = Liar()
    yield liar
    liar.server.close()


@pytest.fixture
def other() -> Iterator[Liar]:
    other = Liar()
    yield other
    other.server.close()


@pytest.mark.parametrize("word", ["MOVED", "ASK"])
def test_a_node_that_sends_on_to_itself(liar: Liar, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not followed for ever; nothing was done, so a batch may be tried again."""
    monkeypatch.setattr(redis_cluster, "PAUSES_S", ())
    nodes = liar.nodes()
    liar.says = f"-{word} 13907 127.0.0.1:{liar.server.port}\r\n".encode()
    with pytest.raises(StoreContendedError):
        nodes.call_script(0, READ, NO_KEYS)
    sent = liar.server.asked[b"EVALSHA"] + liar.server.asked[b"EVAL"]
    assert sent == REDIRECTS_MAX + 1
    nodes.close()


@pytest.mark.parametrize("to", ["", "nowhere", ":", "a:b", "x:99999999", "\x01\x02:70", f"{'a' * 300}:70"])
def test_a_node_that_sends_on_to_nowhere(liar: Liar, to: str) -> None:
    """Is not believed."""
    nodes = liar.nodes()
    liar.says = f"-MOVED 13907 {to}\r\n".encode()
    with pytest.raises(TableStoreUnavailableError):
        nodes.read(0, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
    with pytest.raises((TableStoreUnavailableError, UnknownOutcomeError)):
        nodes.call_script(0, READ, NO_KEYS)
    nodes.close()


@pytest.mark.parametrize("slots", [b"+OK\r\n", b"*0\r\n", b"*1\r\n*1\r\n:0\r\n", b"-ERR no\r\n", b":7\r\n", b"$-1\r\n"])
def test_a_map_that_is_none(liar: Liar, slots: bytes) -> None:
    """Ends the opening; later the old one is kept."""
    nodes = liar.nodes()
    liar.slots = slots
    with pytest.raises(TableStoreUnavailableError) as refused:
        liar.nodes()
    assert refused.value.code == ("store.unreachable" if slots.startswith(b"-") else "store.bad_slot_map")
    liar.says = f"-MOVED 13907 127.0.0.1:{liar.server.port}\r\n".encode()
    with pytest.raises(TableStoreUnavailableError):
        nodes.call_script(0, READ, NO_KEYS)
    liar.says = b"+OK\r\n"
    assert nodes.call_script(0, READ, NO_KEYS) == b"OK"
    nodes.close()


def test_words_of_a_cluster_that_is_down(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are taken for a refusal, after as many tries as there are pauses."""
    monkeypatch.setattr(redis_cluster, "PAUSES_S", (0.0, 0.0))
    nodes = liar.nodes()
    for word in ("TRYAGAIN", "CLUSTERDOWN"):
        liar.says = f"-{word} for a while\r\n".encode()
        before = liar.server.asked[b"EVALSHA"]
        with pytest.raises(StoreContendedError):
            nodes.call_script(0, READ, NO_KEYS)
        assert liar.server.asked[b"EVALSHA"] == before + 3
    nodes.close()


def test_an_answer_that_is_lost_while_another_takes_over(liar: Liar, other: Liar) -> None:
    """Leaves a batch's outcome unknown: it is not sent to the other. The next one is."""
    nodes = liar.nodes()
    liar.says, liar.slots = b"", all_slots_at(other.server.port)
    with pytest.raises(UnknownOutcomeError):
        nodes.call_script(0, READ, NO_KEYS)
    assert not other.server.asked[b"EVALSHA"]
    assert nodes.call_script(0, READ, NO_KEYS) == b"OK"
    assert (liar.server.asked[b"EVALSHA"], other.server.asked[b"EVALSHA"]) == (1, 1)
    nodes.close()


def test_a_read_whose_answer_is_lost_while_another_takes_over(liar: Liar, other: Liar) -> None:
    """Is made again at the other."""
    nodes = liar.nodes()
    liar.says, liar.slots = b"", all_slots_at(other.server.port)
    assert nodes.ask(0, ("GET", "a")) == [b"OK"]
    assert (liar.server.asked[b"GET"], other.server.asked[b"GET"]) == (2, 1)
    nodes.close()


def test_buckets_no_node_serves(liar: Liar) -> None:
    """Are out of reach; nothing is sent."""
    liar.slots = all_slots_at(liar.server.port, last=9)
    nodes = liar.nodes()
    with pytest.raises(TableStoreUnavailableError, match="13907"):
        nodes.ask(0, ("GET", "a"))
    assert not liar.server.asked[b"GET"]
    nodes.close()


def test_a_map_in_which_a_bucket_comes_up_again(liar: Liar) -> None:
    """Is found, though it was missing when the store was opened."""
    liar.slots = all_slots_at(liar.server.port, last=9)
    nodes = liar.nodes()
    liar.slots = None
    assert nodes.ask(0, ("GET", "a"), ("GET", "b")) == [b"OK", b"OK"]
    nodes.close()
