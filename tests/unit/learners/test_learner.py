"""The learner machine without lies: in order, once, from any arrival, across restarts, within its memory."""

import itertools
import random
from dataclasses import replace

import pytest

from learners.learner import LearnerMachine
from learners.position import LearnerPosition
from learners.window import PieceWindow
from protocol.hashing import tagged
from protocol.journal import Head
from protocol.records import RecordKey
from schemas.topics import DECISIONS, pieces_topic
from storage.effects import Append, Effect, Publish, Receive
from storage.views import START
from tests.unit.learners.cluster import Actor, Cluster, MemoryViews


def decided(blocks: int = 2, n: int = 4, b: int = 1) -> Cluster:
    cluster = Cluster(n, b)
    cluster.decide(blocks * n, requests=2)
    return cluster


def rows_of_the_world(cluster: Cluster, views: MemoryViews) -> None:
    """The views hold every record version that the parties have, in every detail, and nothing else."""
    held = {(row[0].decode(), row[1].decode(), row[2]): row for row in views.versions}
    assert len(held) == len(views.versions)
    history = cluster.world.ledger.history
    expected = {
        (key.namespace, key.key, record.version): record
        for key, records in history.items()
        for record in records
        if record.writer_sequence <= views.position.sequence
    }
    assert held.keys() == expected.keys()
    for place, record in expected.items():
        row = held[place]
        assert (row[3], row[5:]) == (
            record.deleted,
            (record.record_hash, record.writer_sequence, record.writer_index, record.request_id),
        )
        assert row[4] == (None if record.deleted else record.value)


def test_what_is_learned_is_what_was_decided() -> None:
    """Records, requests, blocks and the change feed, from pieces alone."""
    cluster = decided()
    cluster.disperse()
    cluster.log.expire(DECISIONS, 0, 100)
    actor = cluster.learn()
    rows_of_the_world(cluster, actor.views)
    assert [(row[1], row[2]) for row in actor.views.requests] == [(s, i) for s in range(8) for i in range(2)]
    assert [row.count for row in actor.views.blocks] == [4, 4]
    assert [message.sequence for message in cluster.feed()] == list(range(8))
    assert cluster.feed()[3].requests[1].writes[0].key == "key 0/1"
    assert cluster.evidence() == []


def test_new_views_begin_with_the_records_of_the_genesis() -> None:
    """Before any block; they are in no update."""
    cluster = Cluster()
    actor = cluster.learn()
    keys = {RecordKey(row[0].decode(), row[1].decode()) for row in actor.views.versions}
    assert keys == set(cluster.world.ledger.history)
    assert actor.views.position.sequence == -1


@pytest.mark.parametrize("silent", [None, 0, 1, 2, 3])
def test_any_k_replicas_suffice(silent: int | None) -> None:
    """One silent replica is nothing special; without part 0 of the block it is decoded by arithmetic."""
    cluster = decided()
    cluster.disperse(*(index for index in range(4) if index != silent))
    actor = cluster.learner().settle()
    rows_of_the_world(cluster, actor.views)
    assert actor.views.position.sequence == 7
    assert actor.measures["decodes"] == 2


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_every_order_of_arrival_gives_the_same(order: tuple[int, ...]) -> None:
    """A15: after k pieces, whichever, the block is learned; before that nothing is."""
    cluster = decided(blocks=1)
    actor = cluster.learner()
    for count, index in enumerate(order, 1):
        cluster.disperse(index)
        actor.run()
        assert actor.views.position.sequence == (3 if count >= 3 else -1)
    rows_of_the_world(cluster, actor.views)
    assert cluster.evidence() == []


@pytest.mark.parametrize("seed", range(5))
def test_pieces_in_any_order_and_number_give_the_same(seed: int) -> None:
    """Repetitions and blocks out of order, in every topic by itself: handed on strictly in order."""
    rng = random.Random(seed)
    cluster = decided(blocks=5)
    cluster.disperse()
    for index in range(4):
        values = [message.value or b"" for message in cluster.log.messages(pieces_topic(index))]
        cluster.log.lose_tail(pieces_topic(index), 0, 5)
        values += rng.choices(values, k=4)
        rng.shuffle(values)
        for value in values:
            cluster.publish(value, pieces_topic(index))
    actor = cluster.learn()
    rows_of_the_world(cluster, actor.views)
    assert [row.block for row in actor.views.blocks] == list(range(5))
    assert cluster.evidence() == []


@pytest.mark.parametrize(("n", "b"), [(1, 0), (3, 0), (3, 1), (7, 2), (10, 3)])
def test_other_numbers_of_replicas(n: int, b: int) -> None:
    """k = n - b pieces, any of them."""
    cluster = decided(n=n, b=b)
    cluster.disperse(*range(b, n))
    rows_of_the_world(cluster, cluster.learn().views)


def test_an_epoch_s_short_block_is_learned() -> None:
    """Blocks end at an epoch's cut."""
    cluster = Cluster()
    cluster.decide(6)
    cluster.world.begin_epoch()
    cluster.decide(4)
    cluster.epochs = cluster.world.epochs
    cluster.disperse()
    actor = cluster.learn()
    rows_of_the_world(cluster, actor.views)
    assert [(row.first_sequence, row.count, row.epoch) for row in actor.views.blocks] == [
        (0, 4, 0),
        (4, 2, 0),
        (6, 4, 1),
    ]


# --- Restarts ---


class DeathError(Exception):
    pass


def test_a_learner_that_dies_at_any_point_leaves_no_gap_and_repeats_nothing() -> None:
    """A17, A22: every effect is a place to die at; only messages of the feed may come again."""
    cluster = decided(blocks=3)
    cluster.disperse()
    for effects in itertools.count():
        views = MemoryViews()
        actor = cluster.learner(views)
        left = iter(range(effects))

        def die(effect: Effect, left: object = left) -> None:
            if next(left, None) is None:  # type: ignore[call-overload]
                raise DeathError

        actor.on_effect = die
        try:
            actor.run()
        except DeathError:
            again = cluster.learn(views)
            assert again.halt is None
            rows_of_the_world(cluster, views)
            assert [row.block for row in views.blocks] == [0, 1, 2]
        else:
            break
    assert effects > 10
    assert {message.sequence for message in cluster.feed()} == set(range(12))


def test_a_restarted_learner_reads_on_where_it_was() -> None:
    """Its position is stored with its rows; nothing learned is read or decoded again."""
    cluster = decided(blocks=3)
    cluster.disperse()
    views = cluster.learn().views
    cluster.decide(4)
    cluster.disperse()
    actor = cluster.learner(views).settle()
    assert actor.measures["messages"] == 4
    assert actor.measures["decodes"] == 1
    rows_of_the_world(cluster, views)


def test_held_pieces_are_read_again_after_a_restart() -> None:
    """The stored position of a topic never passes a piece that is still needed."""
    cluster = decided(blocks=3)
    cluster.disperse(0, 1)
    actor = cluster.learner()
    cluster.disperse(2)
    cluster.log.lose_tail(pieces_topic(2), 0, 2)
    actor.run()
    assert actor.views.position.sequence == 3
    cluster.disperse(2)
    again = cluster.learn(actor.views)
    assert again.views.position.sequence == 11


def test_who_was_blamed_is_remembered() -> None:
    """Across a restart: the same evidence is not raised again."""
    position = LearnerPosition.start(4)
    position = replace(
        position,
        block=5,
        previous_root=tagged("block", b"x"),
        head=Head.start().advance(b"statement"),
        blamed=frozenset({2}),
    )
    assert LearnerPosition.from_bytes(position.to_bytes()) == position
    assert LearnerPosition.from_bytes(LearnerPosition.start(7).to_bytes()) == LearnerPosition.start(7)
    assert START.state == b""


def test_the_feed_is_published_before_the_rows_are_stored() -> None:
    """A crash between them repeats messages and loses none."""
    cluster = decided()
    cluster.disperse()
    seen: list[str] = []
    actor = cluster.learner()
    actor.on_effect = lambda effect: seen.append(type(effect).__name__) if isinstance(
        effect, Append | Publish
    ) else None
    actor.run()
    assert seen == ["Append", "Publish", "Append"]


def test_a_learner_without_a_feed_publishes_nothing() -> None:
    """The views alone."""
    cluster = decided()
    cluster.disperse()
    actor = Actor(LearnerMachine(epochs=cluster.epochs, feed=False), cluster.log).run()
    assert actor.views.position.sequence == 7
    assert cluster.feed() == []


def test_a_lost_tail_of_pieces_is_counted_and_healed() -> None:
    """The broker forgets pieces a learner has read; they come again and are dropped."""
    cluster = decided()
    cluster.disperse()
    actor = cluster.learn()
    cluster.log.lose_tail(pieces_topic(1), 0, 1)
    cluster.disperse(1)
    cluster.decide(4)
    cluster.disperse()
    actor.settle()
    assert actor.measures["alarm_tail_lost"] == 1
    rows_of_the_world(cluster, actor.views)
    assert actor.views.position.sequence == 11
    assert [message.sequence for message in cluster.feed()] == list(range(12))


# --- Bounds ---


def test_a_replica_far_ahead_is_not_read_further() -> None:
    """A16: its share of the window is all it gets; when the others come, everything is learned."""
    cluster = decided(blocks=40)
    piece_bytes = len(cluster.sign_piece(0, cluster.block(0).header(0), b"", cluster.last(0)))
    limits = replace(cluster.epochs.limits, learner_window_bytes=40 * piece_bytes)
    cluster.disperse(0, 1)
    actor = cluster.learner()
    machine = actor.machine
    assert isinstance(machine, LearnerMachine)
    machine._reconstruction.window = PieceWindow(4, limits.learner_window_bytes)
    topics: list[tuple[str, ...]] = []
    held: list[int] = []

    def watch(effect: Effect) -> None:
        if isinstance(effect, Receive):
            topics.append(effect.topics)
            held.append(machine._reconstruction.window.held_bytes())

    actor.on_effect = watch
    actor.run()
    assert topics[-1] == (pieces_topic(2), pieces_topic(3))
    assert actor.views.position.sequence == -1
    cluster.disperse(3)
    actor.run()
    assert actor.views.position.sequence == 159
    assert max(held) < 3 * 40 * piece_bytes
    rows_of_the_world(cluster, actor.views)


def test_memory_stays_flat_over_many_blocks() -> None:
    """Nothing of a block is kept once it is learned, but what late pieces are compared with."""
    cluster = Cluster()
    cluster.decide(400, requests=0)
    cluster.disperse()
    actor = cluster.learner().settle()
    machine = actor.machine
    assert isinstance(machine, LearnerMachine)
    assert actor.views.position.sequence == 399
    assert machine._reconstruction.window.held_bytes() == 0
    assert machine._reconstruction.signed == []
    assert actor.measures["decodes"] == 100


# --- Clients ---


def test_client_signatures_are_checked_if_asked_to() -> None:
    """Keys that were registered and revoked in the journal itself, across a restart."""
    cluster = Cluster()
    world = cluster.world
    cluster.publish(world.decide(world.enrol("carol")).to_message())
    cluster.publish(
        world.decide(world.request("object.get", {"key": "x"}, "carol"), world.put("y", 1)).to_message()
    )
    cluster.decide(2)
    cluster.disperse()
    actor = Actor(LearnerMachine(epochs=cluster.epochs, check_clients=True), cluster.log).run()
    assert actor.halt is None
    assert actor.views.position.sequence == 3
    for _ in range(4):
        request = world.request("object.get", {"key": "x"}, "carol")
        cluster.publish(world.decide(request).to_message())
    cluster.disperse()
    machine = LearnerMachine(epochs=cluster.epochs, check_clients=True)
    again = Actor(machine, cluster.log, views=actor.views).run()
    assert again.halt is None
    assert again.views.position.sequence == 7


@pytest.mark.parametrize("asked", [True, False])
def test_a_request_that_no_client_signed_shows_only_if_asked_for(asked: bool) -> None:
    """Both parties signed it together: the one lie that only a look at the clients' signatures finds."""
    cluster = Cluster()
    world = cluster.world
    forged = world.request("object.put", {"key": "x", "value": 1}, "admin", signer="mallory")
    cluster.publish(world.decide(forged).to_message())
    cluster.decide(3)
    cluster.disperse()
    actor = Actor(LearnerMachine(epochs=cluster.epochs, check_clients=asked), cluster.log).run()
    assert actor.views.position.sequence == (-1 if asked else 3)
    assert (actor.halt is not None and actor.halt.code == "replicas.assumption") is asked


def test_views_filled_without_checking_are_not_gone_on_with() -> None:
    """What was not checked would pass for checked."""
    cluster = decided()
    cluster.disperse()
    views = cluster.learn().views
    actor = Actor(LearnerMachine(epochs=cluster.epochs, check_clients=True), cluster.log, views=views).run()
    assert actor.halt is not None
    assert actor.halt.code == "config.invalid"
