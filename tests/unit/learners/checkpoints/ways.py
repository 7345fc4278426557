"""Clusters under each way of taking checkpoints, for tests."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from learners.checkpoints.broadcast import BroadcastCheckpointer
from learners.checkpoints.checkpoint import Checkpointer, ClusterSize
from learners.checkpoints.cluster import Cluster, Lie
from learners.checkpoints.dispersed import DispersedCheckpointer
from learners.checkpoints.pulled import PulledCheckpointer

Way = Literal["broadcast", "pulled", "simple", "tree"]
WAYS: tuple[Way, ...] = ("broadcast", "pulled", "simple", "tree")

SIZES = ((4, 1), (7, 2), (16, 5), (32, 10))

UPDATE_BYTES = 256
"""Of an update in its block, its length included."""


@dataclass
class Trial:
    """A cluster and the checkpointers in it."""

    cluster: Cluster
    checkpointers: list[Checkpointer]
    updates: list[bytes]

    @property
    def honest(self) -> range:
        return range(self.cluster.size.b, self.cluster.size.n)

    def dispersing(self) -> list[DispersedCheckpointer]:
        """The honest replicas' parts, where shares are dispersed."""
        parts = [self.checkpointers[index] for index in self.honest]
        return [part for part in parts if isinstance(part, DispersedCheckpointer)]


def updates_of(count: int) -> list[bytes]:
    """Different updates of which each takes 256 bytes of a block."""
    return [number.to_bytes(UPDATE_BYTES - 4, "big") for number in range(count)]


@cache
def run(
    way: Way,
    n: int,
    b: int,
    lie: Lie,
    *,
    seed: int = 0,
    blocks: int = 1,
    after_deciding: bool = True,
    left_out: int | None = None,
) -> Trial:
    """Decide so many blocks of `n` updates, and let everything arrive; the same trial is run once."""
    size = ClusterSize(n=n, b=b)
    made: list[Checkpointer] = []

    def make(index: int) -> Checkpointer:
        part = _make(way, size, index)
        made.append(part)
        return part

    cluster = Cluster(
        size=size,
        block_updates=n,
        make_checkpointer=make,
        lie=lie,
        scheduler=random.Random(seed),
        after_deciding=after_deciding,
        left_out=left_out,
    )
    updates = updates_of(blocks * n)
    cluster.decide(updates)
    return Trial(cluster, made, updates)


def _make(way: Way, size: ClusterSize, index: int) -> Checkpointer:
    match way:
        case "broadcast":
            return BroadcastCheckpointer(size)
        case "pulled":
            return PulledCheckpointer(size)
        case _:
            return DispersedCheckpointer(size=size, index=index, checksum=way, block_updates=size.n)


def sent_bytes(trial: Trial, replicas: Sequence[int]) -> set[int]:
    """What these replicas sent in checkpoints, each different figure once."""
    return {trial.cluster.network.checkpoints[index].sent_bytes for index in replicas}
