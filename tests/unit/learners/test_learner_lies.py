"""Lies of at most b replicas: each is named with evidence, and the journal is learned all the same.

The numbers are those of the attack list on dispersal.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from learners.checksums import disperse
from learners.codec import erasure_code
from learners.learner import LearnerMachine
from protocol.evidence.verdicts import Culprit
from protocol.hashing import tagged
from schemas.piece import PieceHeader
from tests.unit.learners.cluster import Cluster, Corrupting
from tests.unit.learners.judgement import LIAR, another_block, decided, honest, learned_all, named

Lie = Callable[[Cluster], tuple[PieceHeader, bytes]]


def changed_header(**changes: Any) -> Lie:
    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        made = honest(cluster)
        return replace(made.header(LIAR), **changes), made.slice(LIAR)

    return lie


def another_path(change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> Lie:
    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        made = honest(cluster)
        header = made.header(LIAR)
        return replace(header, path=change(header.path)), made.slice(LIAR)

    return lie


def slice_and_its_hash(change: Callable[[bytes], bytes]) -> Lie:
    """Another slice under its own hash, with the honest root and path."""

    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        made = honest(cluster)
        data = change(made.slice(LIAR))
        return replace(made.header(LIAR), slice_hash=tagged("slice", data)), data

    return lie


def consistent_corruption(cluster: Cluster) -> tuple[PieceHeader, bytes]:
    made = cluster.block(0, encoder=Corrupting(cluster.k, cluster.n, LIAR))
    return made.header(LIAR), made.slice(LIAR)


def bound_description(**changes: Any) -> Lie:
    """Another description of the block, bound into a root of its own."""

    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        made = honest(cluster)
        about = replace(made.description, **changes)
        bound = disperse(about, cluster.block_bytes(0), erasure_code(cluster.k, cluster.n))
        return bound.header(LIAR), made.slice(LIAR)

    return lie


LIES: dict[str, Lie] = {
    "A1 flipped bit under its own root": consistent_corruption,
    "A1 flipped bit under the honest root": slice_and_its_hash(lambda data: bytes([data[0] ^ 1]) + data[1:]),
    "A2 right slice, another root": changed_header(root=tagged("block", b"another")),
    "A2 right slice, another slice hash": changed_header(slice_hash=tagged("slice", b"another")),
    "A3 wrong path": another_path(lambda path: (path[0], tagged("block", path[1]))),
    "A3 path too short": another_path(lambda path: path[:-1]),
    "A3 path too long": another_path(lambda path: (*path, path[-1])),
    "A3 no path": another_path(lambda path: ()),
    "A11 empty slice": slice_and_its_hash(lambda data: b""),
    "A11 short slice": slice_and_its_hash(lambda data: data[:-1]),
    "A11 long slice": slice_and_its_hash(lambda data: data + b"x"),
    "A11 huge slice": slice_and_its_hash(lambda data: data * 1000),
    "A10 block length 0": bound_description(block_length=0),
    "A10 block length 2^62": bound_description(block_length=2**62),
    "A10 count 2^62": changed_header(count=2**62),
    "A10 bound count": bound_description(count=3),
    "A10 first sequence": bound_description(first_sequence=1),
    "another block": another_block,
}


@pytest.mark.parametrize("arrives", ["first", "last", "late"])
@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_named_with_evidence_and_costs_nothing(name: str, arrives: str) -> None:
    """Whatever replica 2 signs, early, among the others or when all is learned: learned, decoded once, named."""
    cluster = decided()
    header, data = LIES[name](cluster)
    last = cluster.last(0)
    if arrives == "first":
        cluster.lie(LIAR, header, data, last)
    cluster.disperse(0, 1, 3)
    actor = cluster.learner()
    if arrives == "late":
        actor.run()
    if arrives != "first":
        cluster.lie(LIAR, header, data, last)
    actor.settle()
    learned_all(cluster, actor)
    assert actor.measures["decodes"] == 2
    assert named(cluster) == [Culprit("replica", LIAR)]
    assert actor.measures["gauge_blamed_2"] == 1
    assert not any(actor.measures[f"gauge_blamed_{honest}"] for honest in (0, 1, 3))


def test_a_replica_that_always_lies_is_accused_once() -> None:
    """Every block corrupted from the start: evidence for the first, the rest is counted, decodes stay at one."""
    cluster = decided(blocks=30)
    cluster.disperse(0, 1, 3)
    cluster.replica(LIAR, Corrupting(cluster.k, cluster.n, LIAR))
    actor = cluster.learn()
    actor.settle()
    learned_all(cluster, actor, 30)
    assert named(cluster) == [Culprit("replica", LIAR)]
    assert actor.measures["wrong_2"] == 30
    assert actor.measures["decodes"] == 30


def test_two_liars_of_seven_are_both_named() -> None:
    """b of n, each in its own way."""
    cluster = decided(n=7, b=2)
    cluster.disperse(0, 1, 4, 5, 6)
    for liar in (2, 3):
        cluster.replica(liar, Corrupting(cluster.k, cluster.n, liar))
    actor = cluster.learn()
    learned_all(cluster, actor)
    assert set(named(cluster)) == {Culprit("replica", 2), Culprit("replica", 3)}


def test_liars_that_agree_never_outvote_the_honest() -> None:
    """A7: the same false root by b replicas, all before the honest ones."""
    cluster = decided(n=7, b=2)
    wrong = Corrupting(cluster.k, cluster.n, 0)
    for liar in (2, 3):
        cluster.replica(liar, wrong)
    actor = cluster.learn()
    assert actor.views.position.sequence == -1
    cluster.disperse(0, 1, 4, 5, 6)
    actor.run()
    learned_all(cluster, actor)
    assert set(named(cluster)) == {Culprit("replica", 2), Culprit("replica", 3)}


def test_one_replica_s_copies_are_one_vote() -> None:
    """A6, and the fault of an earlier attempt: k copies from one replica prove nothing."""
    cluster = decided()
    header, data = another_block(cluster)
    for _ in range(5):
        cluster.lie(LIAR, header, data, cluster.last(0))
    actor = cluster.learn()
    assert actor.views.position.sequence == -1
    assert actor.halt is None


def test_the_first_of_two_pieces_counts_and_both_are_judged() -> None:
    """A6: right first and wrong afterwards, or the reverse; one vote, and the liar is named."""
    for wrong_first in (True, False):
        cluster = decided(blocks=1)
        made = honest(cluster)
        pieces = [another_block(cluster), (made.header(LIAR), made.slice(LIAR))]
        for header, data in pieces if wrong_first else reversed(pieces):
            cluster.lie(LIAR, header, data, cluster.last(0))
        cluster.disperse(0, 1)
        actor = cluster.learn()
        assert actor.views.position.sequence == (-1 if wrong_first else 3)
        cluster.disperse(3)
        actor.run()
        learned_all(cluster, actor, 1)
        assert named(cluster) == [Culprit("replica", LIAR)]


def test_evidence_that_no_message_holds_is_counted_and_not_sent() -> None:
    """The log would refuse it and stop the learner; the liar is remembered all the same."""
    cluster = decided()
    cluster.disperse(0, 1, 3)
    cluster.replica(LIAR, Corrupting(cluster.k, cluster.n, LIAR))
    actor = cluster.learner()
    assert isinstance(actor.machine, LearnerMachine)
    limits = replace(cluster.epochs.limits)
    object.__setattr__(limits, "message_bytes", 1000)  # less than any ledger's limits may be
    actor.machine._limits = limits
    actor.settle()
    learned_all(cluster, actor)
    assert cluster.evidence() == []
    assert actor.measures["evidence_too_large"] == 1
    assert actor.measures["gauge_blamed_2"] == 1
