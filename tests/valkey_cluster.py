"""A real Valkey Cluster for tests: several servers on loopback, joined by their own commands."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis

from tests.valkey import Valkey, free_port

SLOTS = 16_384
PATIENCE_S = 60.0


class ClusterNode(Valkey):
    """One server of a cluster."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        directory.mkdir()
        super().__init__(directory, settings)
        self._client: redis.Redis | None = None

    def ask(self, *words: str | bytes | int) -> Any:
        """The answer to a command, which is read as the driver does."""
        if self._client is None:
            self._client = redis.Redis(port=self.port, socket_timeout=PATIENCE_S)
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]

    @property
    def id(self) -> str:
        """Its name among the nodes."""
        told: bytes = self.ask("CLUSTER", "MYID")
        return told.decode()

    def stop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        super().stop()


class ValkeyCluster:
    """Primaries that share all slots evenly, and replicas.

    Args:
        primaries: how many.
        replicas: how many; the first is of the first primary, and so on.
        settings: of every server.
        node_timeout_ms: after which a node counts as away.
    """

    def __init__(
        self,
        directory: Path,
        *,
        primaries: int = 3,
        replicas: int = 0,
        settings: Mapping[str, str] | None = None,
        node_timeout_ms: int = 5_000,
    ) -> None:
        common = {
            "cluster_enabled": "yes",
            "cluster_node_timeout": str(node_timeout_ms),
            "cluster_replica_validity_factor": "0",
            "repl_diskless_sync_delay": "0",
            **(settings or {}),
        }
        self._bus_ports: dict[int, int] = {}
        self._cleanup = ExitStack()
        made = []
        for number in range(primaries + replicas):
            bus_port = free_port()
            node = ClusterNode(directory / f"node{number}", {**common, "cluster_port": str(bus_port)})
            self._bus_ports[node.port] = bus_port
            made.append(node)
        self.primaries, self.replicas = made[:primaries], made[primaries:]

    @property
    def nodes(self) -> list[ClusterNode]:
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        """All nodes, of which any may be away."""
        return f"redis://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}/0"

    def start(self) -> "ValkeyCluster":
        """Start the servers and join them; returns when all of them see all slots served and all replicas filled."""
        for node in self.nodes:
            node.start()
            self._cleanup.callback(node.stop)
        for number, node in enumerate(self.primaries):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.ask("CLUSTER", "ADDSLOTSRANGE", *self.slots(number))
        first = self.primaries[0]
        for node in self.nodes[1:]:
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, self._bus_ports[node.port])
        await_that(lambda: all(len(self._known(node)) == len(self.nodes) for node in self.nodes))
        for number, node in enumerate(self.replicas):
            node.ask("CLUSTER", "REPLICATE", self.primaries[number].id)
        await_that(lambda: all(self._is_whole(node) for node in self.nodes))
        await_that(lambda: all(map(_is_filled, self.replicas)))
        return self

    def stop(self) -> None:
        """End all servers."""
        self._cleanup.close()

    def slots(self, number: int) -> tuple[int, int]:
        """The first and the last slot that a primary has at the beginning."""
        count = len(self.primaries)
        return number * SLOTS // count, (number + 1) * SLOTS // count - 1

    def begin_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Open a slot at both nodes: what is not at one of them is asked for at the other."""
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)

    def move_keys(self, slot: int, source: ClusterNode, target: ClusterNode, count: int = 1_000_000) -> int:
        """Move some of the keys of a slot, one by one, in order of their names: sets before rows; return how many."""
        keys = sorted(source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1_000_000))[:count]
        for key in keys:
            source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 10_000)
        return len(keys)

    def end_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Give the slot to the target.

        Returns when all have heard of the epoch in which it took the slot: otherwise, if the slot were to move back at
        once, the old word that it is here would win over the new one, and each node name the other for ever.
        """
        for node in (target, source, *(node for node in self.primaries if node not in (source, target))):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)
        await_that(lambda: len({self._epoch(target, seen_by=node) for node in self.primaries}) == 1)

    def move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Move a slot with all its keys."""
        self.begin_move(slot, source, target)
        while self.move_keys(slot, source, target):
            pass
        self.end_move(slot, source, target)

    def move_whole(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Move a slot as Valkey 9 does by itself: all at once; returns when all nodes know."""
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.id)
        await_that(lambda: {self.owner(slot, seen_by=node) for node in self.primaries} == {target.port})

    def owner(self, slot: int, *, seen_by: ClusterNode) -> int:
        """The port of the primary that serves a slot, as a node sees it."""
        for start, end, primary, *_ in seen_by.ask("CLUSTER", "SLOTS"):
            if start <= slot <= end:
                return int(primary[1])
        raise AssertionError("every slot is served")

    def _known(self, node: ClusterNode) -> list[bytes]:
        told = node.command("CLUSTER", "NODES").splitlines()[1:]
        return [line for line in told if line and b"handshake" not in line]

    def _epoch(self, node: ClusterNode, *, seen_by: ClusterNode) -> bytes:
        [line] = [line for line in self._known(seen_by) if line.startswith(node.id.encode())]
        return line.split()[6]

    def _is_whole(self, node: ClusterNode) -> bool:
        """Whether a node sees every slot served, and the replicas."""
        if b"cluster_state:ok" not in node.command("CLUSTER", "INFO"):
            return False
        ranges = node.ask("CLUSTER", "SLOTS")
        served = sum(entry[1] - entry[0] + 1 for entry in ranges)
        return served == SLOTS and sum(len(entry) - 3 for entry in ranges) == len(self.replicas)


def _is_filled(replica: ClusterNode) -> bool:
    """Whether a replica has what its primary has."""
    return b"master_link_status:up" in replica.command("INFO", "replication")


def await_that(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.01)
