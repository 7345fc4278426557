"""A Redis or Valkey Cluster of several nodes.

1. Every bucket is asked for at the primary that has its slot, by a map of slots that is kept until it proves wrong.
2. MOVED: the map is read anew, from the node that is named first. ASK: this one call goes to the node that is named,
   each command behind an ASKING of its own, in one exchange. In both cases nothing was done, so that even a call that
   must not be tried again is sent on.
3. TRYAGAIN and CLUSTERDOWN: nothing was done, and the call is made again for a short while.
4. A node that does not answer: the map is read from the others. If a replica has taken over, what surely was not done
   is done there; what perhaps was is of unknown outcome.
5. No call is sent on without end, and no map is believed that is not one (`storage.tables.redis_slots`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from time import sleep
from typing import Any, TypeVar
from urllib.parse import urlsplit

from protocol.errors import CountersignError
from storage.errors import UnsafeDurabilityError
from storage.model.errors import InvalidOperationError
from storage.tables.errors import StoreContendedError, TableStoreUnavailableError, UnknownOutcomeError
from storage.tables.port import Durability
from storage.tables.redis_commands import Packed, packed
from storage.tables.redis_link import Command, ElsewhereError, RedisLink, Script, checked
from storage.tables.redis_nodes import RedisNodes, SingleNode
from storage.tables.redis_slots import NodeAddress, SlotMap, checked_address, read_slot_map, slot_of

REDIRECTS_MAX = 8
"""How often one call is sent on: a slot that moves takes two, a node that has heard nothing yet one more."""

PAUSES_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""Before a call is made again that a node could not serve just then."""

POOL_THREADS = 16
"""For nodes that are asked at once, by all threads together."""

SEEDS_MAX = 100

DEFAULT_PORT = 6379

T = TypeVar("T")

_RANKS = tuple(Durability)
_ASKING = b"*1\r\n$6\r\nASKING\r\n"
_WHETHER = b"*2\r\n$4\r\nINFO\r\n$7\r\ncluster\r\n"


def open_nodes(url: str) -> RedisNodes:
    """The server at a URL; or the cluster, if it is a node of one.

    Args:
        url: as `RedisLink` takes it; or with several hosts, of which one that answers is enough: `redis://a:1,b:2/0`.

    Raises:
        InvalidOperationError: `config.invalid`: the URL is none; several hosts, but no cluster; a cluster by a socket.
        TableStoreUnavailableError: nobody answers.
        UnsafeDurabilityError: a server evicts what it stores.
    """
    seeds = _seeds(url)
    link = _first(seeds)
    [told] = link.once(_WHETHER, 1)
    in_cluster = isinstance(told, bytes) and b"cluster_enabled:1" in told
    if not in_cluster and len(seeds) == 1:
        return SingleNode(link)
    link.close()
    if not in_cluster:
        raise InvalidOperationError("config.invalid", f"several servers, but {link.address} is of no cluster")
    if seeds[0].startswith("unix:"):
        raise InvalidOperationError("config.invalid", f"{link.address} is of a cluster: name its host and port")
    return ClusterNodes(seeds)


class ClusterNodes:
    """The nodes of a cluster, each with a link that is made when it is first needed.

    Args:
        seeds: URL of one node or of several, with what all nodes want: name, password, TLS.

    Raises:
        TableStoreUnavailableError: none of them answers, or not every primary; `store.bad_slot_map`.
        UnsafeDurabilityError: a primary evicts what it stores.
    """

    def __init__(self, seeds: Sequence[str]) -> None:
        self._url = seeds[0]
        self._seeds = tuple(map(_address, seeds))
        self._links: dict[NodeAddress, RedisLink] = {}
        self._primaries: dict[NodeAddress, RedisLink] = {}
        self._changing_links = Lock()
        self._renewing = Lock()
        self._pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="cluster")
        self._closed = False
        self._map = SlotMap([], self._seeds)
        self.durability = Durability.NONE
        try:
            self._renew(self._map)
            promised = [self._link(address).durability for address in self._map.primaries]
            self.durability = min(promised, key=_RANKS.index)
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """The nodes by which it was found."""
        return ",".join(map(str, self._seeds))

    def ask(self, bucket: int, *commands: Command) -> list[Any]:
        """See `RedisLink.ask`."""
        return self._follow(bucket, lambda node: node.ask(*commands))

    def read(self, bucket: int, command: bytes) -> Any:
        """See `RedisLink.read`."""
        return self._follow(bucket, lambda node: node.read(command))

    def ask_script(self, bucket: int, script: Script, arguments: Packed) -> Any:
        """See `RedisLink.ask_script`."""
        return self._follow(bucket, lambda node: node.ask_script(script, arguments))

    def ask_scripts(self, script: Script, calls: Mapping[int, Packed]) -> Mapping[int, Any]:
        """One round trip to each node, all at once; buckets of a node that sends one on go one by one."""
        self._check_open()
        owners = self._map.owners
        groups: dict[NodeAddress | None, list[int]] = {}
        for bucket in calls:
            groups.setdefault(owners[slot_of(bucket)], []).append(bucket)

        def ask(address: NodeAddress | None, buckets: Sequence[int]) -> list[Any]:
            if address is not None and len(buckets) > 1:
                with suppress(ElsewhereError, TableStoreUnavailableError):
                    return self._primary(address).ask_scripts(script, [calls[bucket] for bucket in buckets])
            return [self.ask_script(bucket, script, calls[bucket]) for bucket in buckets]

        *others, own = groups.items()
        asked = [self._pool.submit(ask, *other) for other in others]
        answers = dict(zip(own[1], ask(*own), strict=True))
        for (_, buckets), future in zip(others, asked, strict=True):
            answers.update(zip(buckets, future.result(), strict=True))
        return answers

    def call_script(self, bucket: int, script: Script, arguments: Packed) -> Any:
        """See `RedisLink.call_script`."""
        return self._follow(bucket, lambda node: node.call_script(script, arguments))

    def awaited(self) -> None:
        """None: calls are made by threads."""

    def close(self) -> None:
        """End all connections."""
        with self._changing_links:
            self._closed = True
            links = tuple(self._links.values())
            self._links.clear()
            self._primaries.clear()
        self._pool.shutdown(wait=False)
        for link in links:
            link.close()

    # ---------------------------------------------------------------- where a call goes

    def _follow(self, bucket: int, call: "Callable[[RedisLink | _AskedNode], T]") -> T:
        """Make a call at the node that has a bucket, wherever that is by now."""
        slot = slot_of(bucket)
        pauses = iter(PAUSES_S)
        sent_on: NodeAddress | None = None
        redirects = 0
        while redirects <= REDIRECTS_MAX:
            seen = self._map
            address = sent_on or seen.owners[slot]
            try:
                if address is None:
                    raise TableStoreUnavailableError(f"no node of the cluster serves slot {slot}")
                node = self._primary(address)
                return call(node if sent_on is None else _AskedNode(node))
            except ElsewhereError as redirect:
                assert address is not None, "somebody said so"
                redirects += 1
                named = checked_address(redirect.host, redirect.port, address)
                sent_on = named if redirect.is_asked else None
                if not redirect.is_asked:
                    self._renew(seen, first=named)
            except StoreContendedError:
                sent_on = None
                _pause_or_raise(pauses)
            except TableStoreUnavailableError as error:
                sent_on = None
                redirects += 1
                if error.code != "store.unreachable" or not self._is_elsewhere(slot, seen, address):
                    raise
            except UnknownOutcomeError:
                self._is_elsewhere(slot, seen, address)  # so that the next call does not wait for the same node
                raise
        raise StoreContendedError(f"slot {slot} was sent on {REDIRECTS_MAX} times")

    def _is_elsewhere(self, slot: int, seen: SlotMap, failed: NodeAddress | None) -> bool:
        """Whether a slot is now at another node than the one that failed, as the others say."""
        with suppress(CountersignError):
            self._renew(seen, last=failed)
        return self._map.owners[slot] not in (failed, None)

    def _primary(self, address: NodeAddress) -> RedisLink:
        link = self._primaries.get(address)
        if link is not None:
            return link
        link = self._link(address)
        if _RANKS.index(link.durability) < _RANKS.index(self.durability):
            raise UnsafeDurabilityError(f"it was {self.durability}, and {address} promises {link.durability}")
        self._primaries[address] = link
        return link

    def _check_open(self) -> None:
        if self._closed:
            raise TableStoreUnavailableError("the store was closed")

    def _link(self, address: NodeAddress) -> RedisLink:
        link = self._links.get(address)
        if link is not None:
            return link
        self._check_open()
        opened = RedisLink(self._url, host=address.host, port=address.port)
        with self._changing_links:
            link = opened if self._closed else self._links.setdefault(address, opened)
        if self._closed or link is not opened:
            opened.close()
        return link

    # ---------------------------------------------------------------- the map

    def _renew(self, seen: SlotMap, *, first: NodeAddress | None = None, last: NodeAddress | None = None) -> None:
        """Read the map anew, unless another thread has done so since this one was seen.

        Args:
            first: the node that is asked first.
            last: the node that is asked last.

        Raises:
            TableStoreUnavailableError: no node gives one.
        """
        with self._renewing:
            if self._map is not seen:
                return
            known = dict.fromkeys((*seen.nodes, *self._seeds))
            order = [*([first] if first else []), *(each for each in known if each not in (first, last))]
            self._map = self._read_map([*order, last] if last else order)
            with self._changing_links:
                gone = [self._links.pop(each) for each in tuple(self._links) if each not in self._map.nodes]
                for each in tuple(self._primaries):
                    if each not in self._map.nodes:
                        del self._primaries[each]
        for link in gone:
            link.close()

    def _read_map(self, nodes: Sequence[NodeAddress]) -> SlotMap:
        """The map of the first of these nodes that gives one."""
        failed: list[CountersignError] = []
        for address in nodes:
            try:
                [answer] = self._link(address).ask(("CLUSTER", "SLOTS"))
                return read_slot_map(answer, address)
            except (TableStoreUnavailableError, UnsafeDurabilityError) as error:
                failed.append(error)
        failed.sort(key=lambda error: error.code == "store.unreachable")  # who does not answer says least
        raise failed[0]


class _AskedNode:
    """A node to which a slot is being moved: it serves a command of it only behind an ASKING on the same connection."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    def ask(self, *commands: Command) -> list[Any]:
        return [self.read(b"*%d\r\n%b" % packed(*command)) for command in commands]

    def read(self, command: bytes) -> Any:
        try:
            return self._once(command)
        except UnknownOutcomeError as error:
            raise TableStoreUnavailableError(error.detail) from error

    def ask_script(self, script: Script, arguments: Packed) -> Any:
        return self.read(script.call_with_source(arguments))

    def call_script(self, script: Script, arguments: Packed) -> Any:
        return self._once(script.call_with_source(arguments))

    def _once(self, command: bytes) -> Any:
        _, answer = self._link.once(_ASKING + command, 2)
        return checked(answer)


def _pause_or_raise(pauses: Iterator[float]) -> None:
    """Wait for the next of these times; without one, raise the error that is being handled."""
    pause = next(pauses, None)
    if pause is None:
        raise
    sleep(pause)


def _first(seeds: Sequence[str]) -> RedisLink:
    """A link to the first server that answers."""
    for seed in seeds[:-1]:
        with suppress(TableStoreUnavailableError):
            return RedisLink(seed)
    return RedisLink(seeds[-1])


def _seeds(url: str) -> list[str]:
    """A URL for each host that a URL names.

    Raises:
        InvalidOperationError: `config.invalid`.
    """
    scheme, separator, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    name, at, hosts = place.rpartition("@")
    if scheme == "unix" or "," not in hosts:
        return [url]
    each = hosts.split(",")
    if not all(each) or len(each) > SEEDS_MAX:
        raise InvalidOperationError("config.invalid", f"between commas stand hosts, at most {SEEDS_MAX}")
    return [f"{scheme}{separator}{name}{at}{host}{slash}{path}" for host in each]


def _address(url: str) -> NodeAddress:
    parts = urlsplit(url)
    return NodeAddress(parts.hostname or "localhost", parts.port or DEFAULT_PORT)
