"""A14 to A19, A22: what is withheld, late, out of order, cut off by a crash, or arrives in the worst order there is."""

import gc
import itertools
import random
from dataclasses import replace
from math import comb

import pytest

from learners.reconstruction import Reconstruction
from schemas.topics import DECISIONS, pieces_topic
from storage.effects import Effect, Publish
from tests.attacks.dispersal import ALL, LYING, ledger
from tests.unit.learners.cluster import Actor, Cluster, Corrupting
from tests.unit.learners.judgement import LIAR, learned_all, named
from tests.unit.learners.raw_blocks import RawBlocks, epochs

# --- Withheld, and late ---


@pytest.mark.parametrize("checksum", ALL)
def test_a14_fewer_than_k_pieces(checksum: str) -> None:
    """The learner waits, never guesses, and goes on when one comes late; silence is measured and accuses nobody."""
    cluster = ledger(checksum)
    cluster.disperse(0, 1)
    actor = cluster.learn()
    assert (actor.halt, actor.views.position.sequence) == (None, -1)
    cluster.disperse(3)
    actor.settle()
    learned_all(cluster, actor)
    assert cluster.evidence() == []
    assert [actor.measures[f"gauge_lag_{replica}"] for replica in range(4)] == [0, 0, 2, 0]
    assert [actor.measures[f"gauge_missing_{replica}"] for replica in range(4)] == [0, 0, 2, 0]
    cluster.disperse(LIAR)
    actor.settle()
    assert [actor.measures[f"gauge_lag_{replica}"] for replica in range(4)] == [0, 0, 0, 0]
    assert [actor.measures[f"gauge_missing_{replica}"] for replica in range(4)] == [0, 0, 0, 0]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
@pytest.mark.parametrize("checksum", ALL)
def test_a15_every_order_of_four(checksum: str, order: tuple[int, ...]) -> None:
    """After k pieces, whichever, the block is there; before that nothing is; and always in one decoding."""
    blocks = RawBlocks(epochs(4, int(checksum != "none"), checksum, k=3, c=int(checksum == "none")))
    made, last = blocks.make(0)
    for count, index in enumerate(order, 1):
        assert blocks.give(blocks.piece(made, last, index)) is (count == 3)
    assert blocks.reader.decodes == 1
    assert blocks.reader.missing == [0] * 4
    assert blocks.blamed() == []


@pytest.mark.parametrize(("n", "b"), [(7, 2), (16, 5), (32, 10)])
@pytest.mark.parametrize("checksum", LYING)
def test_a15_random_orders_of_more(checksum: str, n: int, b: int) -> None:
    """Several blocks at once, each replica's pieces in any order: learned in order, in one decoding each."""
    rng = random.Random(n)
    for _ in range(5):
        blocks = RawBlocks(epochs(n, b, checksum))
        made = [blocks.make(number) for number in range(4)]
        pieces = [blocks.piece(*each, index) for each in made for index in range(n)]
        rng.shuffle(pieces)
        blocks.give(*pieces)
        assert (blocks.reader.block, blocks.reader.decodes) == (4, 4)
        assert blocks.reader.previous_root == blocks.previous_root
        assert blocks.reader.missing == [0] * n
        assert blocks.blamed() == []


@pytest.mark.parametrize("checksum", ALL)
def test_a16_thousand_blocks_ahead_of_the_others(checksum: str) -> None:
    """One replica finishes block after block while the others are at the first: all are learned when these come."""
    blocks = RawBlocks(epochs(4, int(checksum != "none"), checksum, k=3, c=int(checksum == "none")))
    blocks.reader = Reconstruction(epochs=blocks.epochs, window_bytes=1 << 24)
    made = [blocks.make(number) for number in range(1000)]
    assert not blocks.give(*(blocks.piece(*each, 3) for each in made))
    assert not blocks.give(*(blocks.piece(*each, 0) for each in made))
    assert blocks.reader.lag(2) == 0, "nobody is behind a reader that has learned nothing"
    blocks.give(*(blocks.piece(*each, 1) for each in made))
    assert (blocks.reader.block, blocks.reader.decodes) == (1000, 1000)
    assert blocks.reader.window.held_bytes() == 0
    assert blocks.reader.lag(2) == 1000


def test_a16_a_replica_a_thousand_blocks_behind() -> None:
    """One is at block 1,000 when another finishes block 0: bounded memory, every block in order, nobody blamed."""
    cluster = Cluster(3, 0, checksum="simple", c=1, k=2, block_updates=1)
    cluster.decide(1000, requests=0)
    cluster.disperse(0)
    actor = cluster.learner().settle()
    assert actor.views.position.sequence == -1
    assert 0 < actor.measures["gauge_held_bytes"] <= cluster.epochs.limits.learner_window_bytes
    cluster.disperse(1)
    actor.settle()
    assert actor.views.position.sequence == 999
    assert actor.measures["decodes"] == 1000
    assert actor.measures["gauge_lag_2"] == 1000
    cluster.disperse(2)
    actor.settle()
    assert [row.block for row in actor.views.blocks] == list(range(1000))
    assert [actor.measures[f"gauge_lag_{replica}"] for replica in range(3)] == [0, 0, 0]
    assert cluster.evidence() == []


@pytest.mark.parametrize("checksum", ALL)
def test_a16_a_learner_that_joins_years_later(checksum: str) -> None:
    """It reads everything from the pieces alone, when the decisions are gone; so do several, each by itself."""
    cluster = ledger(checksum, blocks=20)
    cluster.disperse(0, 1, 3)
    cluster.log.expire(DECISIONS, 0, 1000)
    first, second = cluster.learner().settle(), cluster.learner().settle()
    for actor in (first, second):
        assert (actor.halt, actor.views.position.sequence) == (None, 79)
        assert actor.measures["decodes"] == 20
    assert first.views.requests == second.views.requests
    assert first.views.position == second.views.position


# --- Crashes ---


class DeathError(Exception):
    pass


def dies_after(actor: Actor, effects: int) -> bool:
    """Let a machine run and die after so many effects; whether it did."""
    left = iter(range(effects))

    def die(effect: Effect) -> None:
        if next(left, None) is None:
            raise DeathError

    actor.on_effect = die
    try:
        actor.run()
    except DeathError:
        return True
    return False


@pytest.mark.parametrize("checksum", ALL)
def test_a17_a_crash_in_the_middle_of_a_broadcast(checksum: str) -> None:
    """Wherever a replica dies, the same pieces come out of it: none is lost, none differs, and nobody is blamed."""
    for effects in itertools.count(1):
        cluster = ledger(checksum, blocks=1)
        cluster.disperse(0, 1)
        replica = cluster.replica_actor(3)
        died = dies_after(replica, effects)
        reached = cluster.learn()
        cluster.disperse(3)
        learned_all(cluster, reached.run(), 1)
        later = cluster.learn()
        assert (later.halt, later.views.requests) == (None, reached.views.requests)
        assert len({piece.header for piece in cluster.pieces(3)}) == 1
        assert cluster.evidence() == []
        if not died:
            break
    assert effects > 5


@pytest.mark.parametrize("checksum", ALL)
def test_a22_a_restart_at_any_point(checksum: str) -> None:
    """A learner that dies at any effect goes on from its stored position: no gap, nothing twice in the views."""
    cluster = ledger(checksum, blocks=3)
    if checksum in LYING:
        cluster.replica(LIAR, Corrupting(cluster.k, cluster.n, LIAR))
    cluster.disperse(0, 1, 3)
    for effects in itertools.count():
        actor = cluster.learner()
        if not dies_after(actor, effects):
            break
        again = cluster.learn(actor.views)
        assert (again.halt, again.views.position.sequence) == (None, 11)
        assert [row.block for row in again.views.blocks] == [0, 1, 2]
        assert [row[1] for row in again.views.requests] == list(range(12))
    assert effects > 10
    assert {str(culprit) for culprit in named(cluster)} == ({"replica 2"} if checksum in LYING else set())


def test_a22_nothing_learned_is_read_again() -> None:
    """The stored position of a topic is behind what was used, and before what is held."""
    cluster = ledger("simple", blocks=3)
    cluster.disperse()
    views = cluster.learner().settle().views
    cluster.decide(4)
    cluster.disperse()
    actor = cluster.learner(views).settle()
    assert actor.measures["messages"] == 4
    assert actor.measures["decodes"] == 1


# --- The worst that can arrive ---


@pytest.mark.parametrize(("n", "b", "most"), [(4, 1, 4), (7, 2, 21), (16, 5, 4368)])
def test_a19_all_bad_pieces_first(n: int, b: int, most: int) -> None:
    """Exactly C(k + b, k) decodings, as Theorem 3.4 says, and not one more; afterwards one for each block."""
    blocks = RawBlocks(epochs(n, b, "simple"))
    assert most == comb(n, n - b)
    made, last = blocks.make(0)
    wrong = [blocks.wrong(made, last, index) for index in range(b)]
    assert not blocks.give(*wrong, *(blocks.piece(made, last, index) for index in range(b, n - 1)))
    assert blocks.give(blocks.piece(made, last, n - 1))
    assert blocks.reader.decodes == most
    assert sorted(blocks.blamed()) == list(range(b))
    made, last = blocks.make(1)
    blocks.give(*(blocks.wrong(made, last, index) for index in range(b)))
    assert blocks.give(*(blocks.piece(made, last, index) for index in range(b, n)))
    assert blocks.reader.decodes == most + 1


@pytest.mark.parametrize(("n", "b"), [(4, 1), (7, 2), (16, 5), (32, 10)])
def test_a19_all_bad_pieces_first_under_a_tree(n: int, b: int) -> None:
    """One decoding, whatever comes first (Theorem 3.8)."""
    blocks = RawBlocks(epochs(n, b, "tree"))
    made, last = blocks.make(0)
    blocks.give(*(blocks.wrong(made, last, index) for index in range(b)))
    assert blocks.give(*(blocks.piece(made, last, index) for index in range(b, n)))
    assert blocks.reader.decodes == 1
    assert sorted(blocks.blamed()) == list(range(b))


def test_a19_the_real_learner_takes_as_many() -> None:
    """The whole machine, on pieces that b replicas corrupted under the true root, before all others."""
    cluster = ledger("simple", n=7, b=2)
    for liar in (0, 1):
        cluster.replica(liar, Corrupting(cluster.k, cluster.n, liar))
    actor = cluster.learner().settle()
    for index in range(2, 7):
        cluster.disperse(index)
        actor.settle()
    learned_all(cluster, actor)
    assert actor.measures["decodes"] == 21 + 1
    assert {str(culprit) for culprit in named(cluster)} == {"replica 0", "replica 1"}


@pytest.mark.parametrize("checksum", LYING)
def test_a18_ten_thousand_blocks_of_corruption(checksum: str) -> None:
    """b replicas corrupt every block and are always first: about one decoding for each, and flat memory."""
    blocks = RawBlocks(epochs(4, 1, checksum), window_bytes=1 << 16)
    objects = []
    for number in range(10_000):
        made, last = blocks.make(number)
        blocks.give(blocks.wrong(made, last, 0), *(blocks.piece(made, last, index) for index in (3, 1, 2)))
        if number % 3000 == 2999:
            gc.collect()
            objects.append(len(gc.get_objects()))
    reader = blocks.reader
    assert reader.block == 10_000
    assert reader.decodes <= 10_000 + (comb(4, 3) - 1 if checksum == "simple" else 0)
    assert reader.wrong == [10_000, 0, 0, 0]
    assert blocks.blamed() == [0]
    assert reader.window.held_bytes() == 0
    assert max(objects) - min(objects) < 1000, objects


def test_a18_the_real_learner_under_sustained_corruption() -> None:
    """Forty blocks through the whole machine, with restarts in between."""
    cluster = ledger("simple", blocks=40)
    cluster.replica(LIAR, Corrupting(cluster.k, cluster.n, LIAR))
    cluster.disperse(0, 1, 3)
    actor = cluster.learner().settle()
    learned_all(cluster, actor, 40)
    assert 40 <= actor.measures["decodes"] <= 43
    assert actor.measures["wrong_2"] == 40
    assert [str(culprit) for culprit in named(cluster)] == ["replica 2"]


def test_a_replaced_key_clears_the_number_of_a_liar() -> None:
    """A new epoch gives replica 0 another key: whoever has it now never lied."""
    world = Cluster(4, 1, checksum="simple")
    first = world.epochs
    cut = first.latest.cut._replace(sequence=3)
    keys = (first.latest.auditor_key, *first.latest.replica_keys[1:])
    following = replace(first.latest, epoch=1, cut=cut, replica_keys=keys)
    found = replace(first, configurations=(first.latest, following))
    blocks = RawBlocks(found)
    blocks.configuration = first.latest
    made, last = blocks.make(0)
    for liar in (0, 1):
        assert Reconstruction(epochs=found, window_bytes=1, blamed=frozenset({liar})).blamed == {liar}
    blocks.reader = Reconstruction(epochs=found, window_bytes=1 << 20, blamed=frozenset({0, 1}))
    assert blocks.give(*(blocks.piece(made, last, index) for index in (2, 3, 0, 1)))
    assert blocks.reader.blamed == {1}


def test_only_publish_is_what_a_replica_shows() -> None:
    """The last effect before a crash may be the publishing itself: what was sent is sent again, byte for byte."""
    cluster = ledger("simple", blocks=1)
    sent: list[bytes] = []
    for _ in range(2):
        replica = cluster.replica_actor(0)
        replica.on_effect = lambda effect: (
            sent.extend(message.value for message in effect.messages) if isinstance(effect, Publish) else None
        )
        replica.run()
        cluster.log.lose_tail(pieces_topic(0), 0, 1)
    assert len(sent) == 2
    assert sent[0] == sent[1]
