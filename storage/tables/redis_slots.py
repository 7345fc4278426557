"""Which node of a cluster serves which slot: the answer to CLUSTER SLOTS, which is checked before it is believed.

The slot of a key is the CRC-16 (XMODEM) of its hash tag, modulo 16,384 (Redis Cluster Specification, "Key distribution
model"). Every bucket has a tag of its own (`storage.tables.redis_table`), and so has the catalogue.
"""

from binascii import crc_hqx
from collections.abc import Sequence
from typing import Any, NamedTuple

from storage.tables.errors import TableStoreUnavailableError
from storage.tables.redis_nodes import CATALOGUE

SLOTS = 16_384

NODES_MAX = 1_000
"""Nodes of a cluster, replicas among them; the specification recommends no more."""

HOST_BYTES_MAX = 255

_UNKNOWN_HOSTS = (None, b"")
"""A node that does not know how it is reached: as the one that was asked."""


class SlotMapError(TableStoreUnavailableError):
    """What a node says of its cluster is not believed; nothing was done."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, "store.bad_slot_map")


class NodeAddress(NamedTuple):
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class SlotMap:
    """The nodes of a cluster.

    Attributes:
        owners: of each slot; None: nobody serves it.
        primaries: that have slots.
        nodes: these and their replicas.
    """

    def __init__(self, owners: list[NodeAddress | None], nodes: Sequence[NodeAddress]) -> None:
        self.owners = owners
        self.primaries = tuple(dict.fromkeys(owner for owner in owners if owner is not None))
        self.nodes = tuple(dict.fromkeys((*self.primaries, *nodes)))


def slot_of(bucket: int) -> int:
    """The slot in which a bucket lies, or the catalogue."""
    tag = b"catalogue" if bucket == CATALOGUE else b"%d" % bucket
    return crc_hqx(tag, 0) % SLOTS


def checked_address(host: Any, port: Any, asked: NodeAddress) -> NodeAddress:
    """An address as a node gave it, `asked` being where that one listens.

    Raises:
        SlotMapError: it is none.
    """
    if host in _UNKNOWN_HOSTS or host == "":
        host = asked.host.encode()
    text = host if isinstance(host, str) else host.decode("ascii", "replace") if isinstance(host, bytes) else ""
    if not 0 < len(text) <= HOST_BYTES_MAX or not all("!" <= sign <= "~" for sign in text) or text == "?":
        raise SlotMapError(f"{asked} names a node by {host!r:.100}")
    if type(port) is not int or not 0 < port < 65_536:
        raise SlotMapError(f"{asked} names a node by the port {port!r:.100}")
    return NodeAddress(text, port)


def read_slot_map(answer: Any, asked: NodeAddress) -> SlotMap:
    """The map that a node at this address gave.

    Raises:
        SlotMapError: it is no answer to CLUSTER SLOTS, contradicts itself, is too large, or has no slot at all.
    """
    if not isinstance(answer, list) or not 0 < len(answer) <= SLOTS:
        raise SlotMapError(f"{asked} gives no ranges of slots")
    owners: list[NodeAddress | None] = [None] * SLOTS
    nodes: dict[NodeAddress, None] = {}
    for entry in answer:
        if not isinstance(entry, list) or not 3 <= len(entry) <= 2 + NODES_MAX:
            raise SlotMapError(f"{asked} gives a range without its nodes")
        start, end = entry[0], entry[1]
        if type(start) is not int or type(end) is not int or not 0 <= start <= end < SLOTS:
            raise SlotMapError(f"{asked} gives the slots {start!r:.20} to {end!r:.20}")
        if any(owners[start : end + 1]):
            raise SlotMapError(f"{asked} gives the slots {start} to {end} twice")
        primary, *replicas = (_node(node, asked) for node in entry[2:])
        owners[start : end + 1] = [primary] * (end + 1 - start)
        nodes.update(dict.fromkeys((primary, *replicas)))
        if len(nodes) > NODES_MAX:
            raise SlotMapError(f"{asked} gives more than {NODES_MAX} nodes")
    return SlotMap(owners, tuple(nodes))


def _node(entry: Any, asked: NodeAddress) -> NodeAddress:
    if not isinstance(entry, list) or len(entry) < 2:
        raise SlotMapError(f"{asked} gives a node without its address")
    return checked_address(entry[0], entry[1], asked)
