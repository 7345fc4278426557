"""A new epoch with other replicas: whoever joined later, or has another key now, is not taken for the one before.

Also what a reader does that does not know the new epoch yet, or was started again with it.
"""

from dataclasses import replace
from typing import Any

import pytest

from learners.accounting import Accounting
from learners.reconstruction import Reconstruction
from learners.recovery import RECOVERED, RecoveryMachine
from learners.replica import ReplicaMachine
from protocol.configuration import Epochs
from schemas.piece import PieceHeader
from schemas.topics import DECISIONS, pieces_topic
from tests.attacks.dispersal import LYING
from tests.parties import key_of
from tests.unit.learners.cluster import Actor, Cluster, Corrupting
from tests.unit.learners.raw_blocks import RawBlocks, epochs, opened

SEVEN = tuple(key_of(f"replica {index}").public_key for index in range(7))


def followed_by(first: Epochs, **changes: Any) -> Epochs:
    """Epochs of which the second one begins behind block 0."""
    cut = first.latest.cut._replace(sequence=3)
    return replace(first, configurations=(first.latest, replace(first.latest, epoch=1, cut=cut, **changes)))


def replaced(checksum: str, *replicas: int) -> Epochs:
    """Two epochs; in the second one these replicas have other keys."""
    first = epochs(4, 1, checksum)
    keys = list(first.latest.replica_keys)
    for replica in replicas:
        keys[replica] = key_of(f"new replica {replica}").public_key
    return followed_by(first, replica_keys=tuple(keys))


def begun(found: Epochs) -> RawBlocks:
    """A reader at block 0, in the first of these epochs."""
    blocks = RawBlocks(found)
    blocks.configuration = found.configurations[0]
    return blocks


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("checksum", LYING)
def test_a_replica_that_joined_later_speaks_of_a_block_before_its_time(checksum: str, late: bool) -> None:
    """It signs the true root, in its own epoch: it has no piece of that block, and its reader goes on."""
    blocks = begun(followed_by(epochs(4, 1, checksum), n=7, b=2, k=5, replica_keys=SEVEN))
    made, last = blocks.make(0)
    header = replace(made.header(0), piece_index=5, epoch=1, n=7, k=5)
    if not late:
        blocks.give(opened(header, made.slice(0), last))
    assert blocks.give(*(blocks.piece(made, last, index) for index in range(3)))
    if late:
        blocks.give(opened(header, made.slice(0), last))
    assert blocks.reader.wrong == [0, 0, 0, 0, 0, 1, 0]
    assert blocks.reader.missing == [0, 0, 0, 1, 0, 0, 0]
    assert blocks.blamed() == []


def test_the_account_of_a_block_is_that_of_its_own_replicas() -> None:
    """Who joined later was missing from no block before, and is credited with none."""
    blocks = begun(followed_by(epochs(4, 1, "tree"), n=7, b=2, k=5, replica_keys=SEVEN))
    account = Accounting(blocks.epochs)
    made, last = blocks.make(0)
    for index in range(3):
        account.admitted(blocks.piece(made, last, index))
    account.learned(blocks.ranges.of_block(0), len(made.block), 1)
    account.admitted(opened(replace(made.header(0), piece_index=5, epoch=1, n=7, k=5), made.slice(0), last))
    joined = account.report().replicas[5]
    assert (joined.missing, joined.messages, joined.counted_max) == (0, 0, 0)


def test_who_has_an_old_key_does_not_speak_for_the_new_one() -> None:
    """A false piece of the old epoch under replica 2's old key, when the epoch of its new key has begun.

    Were the number blamed, the pieces of the honest replica 2 would be left out, and beside the liar 1 there
    would be too few.
    """
    blocks = begun(replaced("simple", 2))
    made, last = blocks.make(0)
    assert blocks.give(*(blocks.piece(made, last, index) for index in (0, 1, 3)))
    blocks.give(blocks.wrong(made, last, 2))
    assert (blocks.blamed(), blocks.reader.blamed, blocks.reader.wrong) == ([], frozenset(), [0, 0, 1, 0])
    blocks.configuration = blocks.epochs.latest
    made, last = blocks.make(1)
    pieces = (blocks.wrong(made, last, 1), *(blocks.piece(made, last, index) for index in (0, 3, 2)))
    assert blocks.give(*pieces)
    assert blocks.blamed() == [1]


def test_an_old_key_is_blamed_in_its_own_epoch() -> None:
    """As long as the old epoch's blocks are read, whoever has the old key speaks for the number."""
    blocks = begun(replaced("simple", 2))
    made, last = blocks.make(0)
    assert blocks.give(blocks.wrong(made, last, 2), *(blocks.piece(made, last, index) for index in (0, 1, 3)))
    assert blocks.blamed() == [2]
    assert blocks.reader.blamed == frozenset()


def test_a_reader_started_with_a_new_epoch_clears_who_has_another_key() -> None:
    """It stood at the epoch's first block when it did not know of the epoch yet."""
    found = replaced("simple", 0)
    reader = Reconstruction(epochs=found, window_bytes=1, block=1, blamed=frozenset({0, 1}))
    assert reader.blamed == {1}


# --- The whole machines ---


def cluster_of_two_epochs(updates: int = 8, **changes: Any) -> tuple[Cluster, Epochs]:
    """Two blocks in each epoch, the second perhaps a short one, and the epochs as known before the second one."""
    cluster = Cluster()
    before = cluster.epochs
    cluster.decide(updates)
    cluster.world.begin_epoch(**changes)
    cluster.follow_world()
    cluster.decide(8)
    return cluster, before


@pytest.mark.parametrize(("updates", "learned"), [(8, 7), (6, 3)])
def test_a_learner_that_does_not_know_the_new_epoch_yet(updates: int, learned: int) -> None:
    """It learns as far as it can; what it read too early it reads again when it is started with the epoch.

    Where the epoch ended within a block, it takes the short one for a contradiction, and accuses nobody.
    """
    cluster, before = cluster_of_two_epochs(updates)
    cluster.disperse()
    actor = cluster.learner(epochs=before).settle()
    assert (actor.halt, actor.views.position.sequence) == (None, learned)
    actor = cluster.learn(actor.views)
    assert (actor.halt, actor.views.position.sequence) == (None, updates + 7)
    assert [actor.measures.get(f"wrong_{replica}", 0) for replica in range(4)] == [0] * 4
    assert cluster.evidence() == []


def test_a_lost_tail_behind_what_was_read_too_early() -> None:
    """What the log still has of it is read again, though it has lost what came after: the three are just enough."""
    cluster, before = cluster_of_two_epochs()
    cluster.disperse(0, 1)
    actor = cluster.learner(epochs=before).settle()
    for replica in (0, 1):
        cluster.log.lose_tail(pieces_topic(replica), 0, 1)
    actor.settle()
    cluster.disperse(0, 1, 2)
    assert actor.settle().views.position.sequence == 7
    assert actor.measures["alarm_tail_lost"] == 2
    assert cluster.learn(actor.views).views.position.sequence == 15


def test_a_learner_started_again_with_more_replicas() -> None:
    """It reads the topics of those that joined as well; without them there would be too few."""
    cluster, before = cluster_of_two_epochs(n=7, b=2, k=5, replica_keys=SEVEN)
    cluster.disperse(0, 1, 2)
    actor = cluster.learner(epochs=before).settle()
    cluster.disperse(4, 5, 6)
    actor = cluster.learn(actor.views)
    assert (actor.halt, actor.views.position.sequence) == (None, 15)
    assert cluster.evidence() == []


def numbers(headers: list[PieceHeader]) -> list[int]:
    """The blocks of some pieces."""
    return [header.block for header in headers]


def test_a_replica_that_joins_disperses_from_its_own_epoch_on() -> None:
    """It has no share of earlier blocks, reads them for their roots, and goes on after a restart."""
    cluster, _ = cluster_of_two_epochs(n=7, b=2, k=5, replica_keys=SEVEN)
    cluster.disperse(0, 5)
    assert numbers(cluster.headers(0)) == [0, 1, 2, 3]
    assert numbers(cluster.headers(5)) == [2, 3]
    assert [header.root for header in cluster.headers(5)] == [header.root for header in cluster.headers(0)[2:]]
    cluster.disperse(5)
    assert numbers(cluster.headers(5)) == [2, 3]


def test_a_replica_with_a_new_key_signs_nothing_of_the_old_epoch() -> None:
    """Nobody would believe it: in that epoch its number has another key."""
    keys = (*SEVEN[:3], key_of("new replica 3").public_key)
    cluster, _ = cluster_of_two_epochs(replica_keys=keys)
    replica = cluster.replica_actor(3)
    replica.key = key_of("new replica 3")
    assert replica.run().halt is None
    assert numbers(cluster.headers(3)) == [2, 3]


def test_a_replica_with_a_new_key_does_not_go_on_behind_who_had_the_old_one() -> None:
    """Whoever has the old key signed false roots: the topic is the number's, and the place is not the replica's own."""
    cluster, before = cluster_of_two_epochs(replica_keys=(*SEVEN[:3], key_of("new replica 3").public_key))
    cluster.disperse(0)
    liar = ReplicaMachine(epochs=before, index=3, encoder=Corrupting(3, 4, 3))
    assert Actor(liar, cluster.log, key_of("replica 3")).run().halt is None
    replica = cluster.replica_actor(3)
    replica.key = key_of("new replica 3")
    assert replica.run().halt is None
    assert numbers(cluster.headers(3)) == [0, 1, 2, 3]
    assert [header.root for header in cluster.headers(3)[2:]] == [header.root for header in cluster.headers(0)[2:]]


@pytest.mark.parametrize("index", [0, 5])
def test_a_replica_recovers_across_epochs(index: int) -> None:
    """From the others, some of which joined with the second epoch: byte for byte what it would have published."""
    cluster, _ = cluster_of_two_epochs(n=7, b=2, k=5, replica_keys=SEVEN)
    cluster.disperse()
    had = [message.value for message in cluster.log.messages(pieces_topic(index))]
    cluster.log.lose_tail(pieces_topic(index), 0, 1 if index == 0 else 2)
    cluster.log.lose_tail(DECISIONS, 0, 16)
    recovery = Actor(RecoveryMachine(epochs=cluster.epochs, index=index), cluster.log, key_of(f"replica {index}"))
    for _ in range(200):
        if recovery.run().halt:
            break
    assert recovery.halt is not None
    assert recovery.halt.code == RECOVERED
    assert [message.value for message in cluster.log.messages(pieces_topic(index))] == had
