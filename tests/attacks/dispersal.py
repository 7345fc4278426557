"""Replicas with real keys that lie about blocks, under every checksum: what the attacks on dispersal share.

The numbers A1 to A24 in the tests' names are those of the attack list on dispersal. Every attack runs against the
real machines of replicas and learners. Replica 2 is the liar wherever there is one.
"""

from collections.abc import Callable
from dataclasses import replace
from math import comb
from typing import Any

from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import slice_hash
from protocol.evidence.verdicts import Culprit
from schemas.piece import PieceHeader
from tests.unit.learners.cluster import Actor, Cluster, Corrupting
from tests.unit.learners.judgement import LIAR, honest, learned_all, named

LYING = ("simple", "tree")
"""The checksums under which replicas may lie."""

ALL = ("none", *LYING)

Lie = Callable[[Cluster], tuple[PieceHeader, bytes]]
"""What a liar signs about block 0, and the slice beside it."""


def ledger(checksum: str, blocks: int = 2, n: int = 4, b: int = 1, requests: int = 1) -> Cluster:
    """Some decided blocks. Without a checksum the replicas that might lie may only be silent."""
    k = n - b
    c, b = (b, 0) if checksum == "none" else (0, b)
    cluster = Cluster(n, b, checksum=checksum, c=c, k=k)
    cluster.decide(blocks * n, requests=requests)
    return cluster


# --- Lies ---


def another_header(**changes: Any) -> Lie:
    """The honest header with other fields, and the honest slice."""

    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        made = honest(cluster)
        return replace(made.header(LIAR), **changes), made.slice(LIAR)

    return lie


def another_path(change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> Lie:
    """The honest piece under another path."""

    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        made = honest(cluster)
        header = made.header(LIAR)
        return replace(header, path=change(header.path)), made.slice(LIAR)

    return lie


def another_slice(change: Callable[[bytes], bytes]) -> Lie:
    """Another slice under its own hash, with the honest root and path."""

    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        made = honest(cluster)
        data = change(made.slice(LIAR))
        return replace(made.header(LIAR), slice_hash=slice_hash(data)), data

    return lie


def another_codeword(cluster: Cluster) -> tuple[PieceHeader, bytes]:
    """A flipped bit in the slice, with everything that is made of it: under a tree, a root of its own."""
    made = cluster.block(0, encoder=Corrupting(cluster.k, cluster.n, LIAR))
    return made.header(LIAR), made.slice(LIAR)


def another_description(**changes: Any) -> Lie:
    """Another description of the block, bound into a root of its own."""

    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        about = replace(honest(cluster).description, **changes)
        bound = disperse(about, cluster.block_bytes(0), erasure_code(cluster.k, cluster.n))
        return bound.header(LIAR), bound.slice(LIAR)

    return lie


def flipped(data: bytes, at: int = 0) -> bytes:
    """These bytes with one bit wrong."""
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


# --- What has to come of them ---


def told(cluster: Cluster, lie: Lie, arrives: str) -> Actor:
    """A learner to which the liar's piece came first, last, or when block 0 was learned already."""
    header, data = lie(cluster)
    last = cluster.last(0)
    if arrives == "first":
        cluster.lie(LIAR, header, data, last)
    cluster.disperse(0, 1, 3)
    actor = cluster.learner()
    if arrives == "late":
        actor.run()
    if arrives != "first":
        cluster.lie(LIAR, header, data, last)
    return actor.settle()


def check_lie(cluster: Cluster, lie: Lie, arrives: str, blocks: int = 2) -> None:
    """The journal is learned, in as many decodings as the theorem allows; the liar is named, and nobody else."""
    actor = told(cluster, lie, arrives)
    learned_all(cluster, actor, blocks)
    extra = actor.measures["decodes"] - blocks
    assert 0 <= extra <= extra_decodes_max(cluster)
    assert named(cluster) == [Culprit("replica", LIAR)]
    assert [actor.measures[f"gauge_blamed_{replica}"] for replica in range(4)] == [0, 0, 1, 0]


def extra_decodes_max(cluster: Cluster) -> int:
    """Decodings beyond one for each block, over the whole life of a learner."""
    return comb(cluster.k + cluster.b, cluster.k) - 1 if cluster.configuration.checksum == "simple" else 0


def ended(cluster: Cluster, actor: Actor) -> None:
    """The learner stopped because too many lied, and handed nothing on."""
    assert actor.halt is not None
    assert actor.halt.code == "replicas.assumption"
    assert actor.views.position.sequence == -1
    assert actor.views.requests == []
    assert cluster.feed() == []
