"""The simulated cluster: a primary that lies keeps replicas in the dark, and checkpoints bring them back."""

from collections import Counter
from collections.abc import Sequence

import pytest

from learners.checkpoints.checkpoint import (
    NOTHING,
    Answer,
    CheckpointMessage,
    ClusterSize,
    Send,
)
from learners.checkpoints.cluster import Cluster, Lie
from learners.checkpoints.consensus import ConsensusMessage, ConsensusReplica, PrePrepare
from tests.unit.learners.checkpoints.ways import SIZES, WAYS, Way, run, updates_of


class NoCheckpoints:
    """A replica that takes none."""

    def reached(self, block: int, data: bytes) -> Sequence[Send]:
        return ()

    def receive(self, sender: int, message: CheckpointMessage) -> Answer:
        return NOTHING


class FirstComeFirstServed:
    """A scheduler without surprises: the oldest slot each time."""

    def randrange(self, stop: int, /) -> int:
        return 0


@pytest.mark.parametrize(("n", "b"), SIZES)
def test_without_checkpoints_the_dark_stays_dark(n: int, b: int) -> None:
    """The others decide everything; the last b replicas see votes, and never an update."""
    size = ClusterSize(n=n, b=b)
    cluster = Cluster(
        size=size,
        block_updates=n,
        make_checkpointer=lambda index: NoCheckpoints(),
        lie="none",
        scheduler=FirstComeFirstServed(),
    )
    updates = updates_of(n)
    cluster.decide(updates)
    for index in range(n):
        assert cluster.journal(index) == ([] if index in cluster.in_the_dark else updates)
    assert all(cluster.received[index] for index in cluster.in_the_dark)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("n", "b"), SIZES[:3])
def test_every_way_brings_all_out_of_the_dark(way: Way, n: int, b: int) -> None:
    """Whatever the liars do, every honest replica ends with the whole journal."""
    lies: tuple[Lie, ...] = ("none", "silent", "corrupt", "ask")
    for lie in lies:
        trial = run(way, n, b, lie, blocks=2)
        assert all(trial.cluster.journal(index) == trial.updates for index in trial.honest), lie


@pytest.mark.parametrize("lie", ["none", "silent", "ask"])
def test_a_large_cluster_comes_out_of_the_dark(lie: Lie) -> None:
    """n = 32, of which ten lie and ten were left in the dark."""
    trial = run("tree", 32, 10, lie)
    assert all(trial.cluster.journal(index) == trial.updates for index in trial.honest)


def test_a_large_cluster_survives_ten_corrupters_with_one_decoding() -> None:
    """Tree checksums: ten wrong shares of thirty-two cost nobody a second decoding."""
    trial = run("tree", 32, 10, "corrupt")
    assert all(trial.cluster.journal(index) == trial.updates for index in trial.honest)
    assert all(set(part.decodes.values()) <= {1} for part in trial.dispersing())


def test_one_more_in_the_dark_and_nothing_is_decided() -> None:
    """The primary can leave out exactly b: a proposal that reaches one replica less never gets its quorum."""
    size = ClusterSize(n=7, b=2)
    replicas = [ConsensusReplica(size, 0) for _ in range(7)]
    proposal = PrePrepare(sequence=0, update=b"an update")
    under_way: list[tuple[int, int, ConsensusMessage]] = [(0, receiver, proposal) for receiver in range(7 - 3)]
    while under_way:
        sender, receiver, message = under_way.pop()
        sends = replicas[receiver].receive(sender, message)
        under_way += [(receiver, send.receiver, send.message) for send in sends]
    assert not any(replica.journal for replica in replicas)


def test_nobody_can_tell_a_lying_primary_from_a_lying_replica() -> None:
    """Example 4.3: either the primary left replica 3 out, or replica 3 only says so; replica 2 sees the same."""
    left_out = _seen_by_the_second(in_the_dark=True)
    says_so = _seen_by_the_second(in_the_dark=False)
    assert left_out == says_so
    assert any("no update received" in message for message in left_out)


def _seen_by_the_second(*, in_the_dark: bool) -> Counter[str]:
    """What replica 2 of 4 receives while one update is decided, in any order."""
    size = ClusterSize(n=4, b=1)
    honest = [ConsensusReplica(size, 0) for _ in range(4)]
    proposal = PrePrepare(sequence=0, update=b"an update")
    under_way: list[tuple[int, int, ConsensusMessage]] = [(0, index, proposal) for index in range(3)]
    under_way += [] if in_the_dark else [(0, 3, proposal)]
    seen: Counter[str] = Counter()
    while under_way:
        sender, receiver, message = under_way.pop(0)
        if receiver == 2:
            seen[f"{sender}: {message}"] += 1
        if receiver == 3 and isinstance(message, PrePrepare):
            continue  # replica 3 got it, and lies: it goes on as if it had not
        sends = honest[receiver].receive(sender, message)
        under_way += [(receiver, send.receiver, send.message) for send in sends]
    return seen


def test_more_liars_than_a_cluster_can_bear_are_refused() -> None:
    """n = 3b is too few."""
    with pytest.raises(ValueError, match="n > 3b"):
        ClusterSize(n=6, b=2)
