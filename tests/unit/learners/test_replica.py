"""The replica machine: the same pieces at every honest replica, whatever the broker does and whenever it dies."""

from dataclasses import replace

import pytest

from learners.replica import ReplicaMachine
from protocol.hashing import ZERO_HASH
from schemas.statement import Decision
from schemas.topics import DECISIONS, pieces_topic
from storage.effects import FIRST_OFFSET, Effect, Event, Message, ReadTail, Received, Seek, Started
from tests.parties import key_of
from tests.unit.learners.cluster import Actor, Cluster, Corrupting


def piece_messages(cluster: Cluster, replica: int) -> list[bytes]:
    """What a replica published, each message once."""
    messages = cluster.log.messages(pieces_topic(replica))
    return list(dict.fromkeys(message.value or b"" for message in messages))


def expected_pieces(cluster: Cluster, replica: int, blocks: int) -> list[bytes]:
    """What it must publish, made by hand."""
    pieces, root = [], ZERO_HASH
    for number in range(blocks):
        made = cluster.block(number, root)
        last = cluster.last(number)
        pieces.append(cluster.sign_piece(replica, made.header(replica), made.slice(replica), last))
        root = made.root
    return pieces


# --- Dispersal ---


@pytest.mark.parametrize(("n", "b"), [(4, 1), (7, 2), (3, 0), (1, 0)])
def test_every_replica_publishes_its_own_piece_of_every_full_block(n: int, b: int) -> None:
    """Byte for byte what the definition says; the rest that fills no block waits (A21)."""
    cluster = Cluster(n, b)
    cluster.decide(2 * n + 1, requests=2)
    cluster.disperse()
    blocks = (2 * n + 1) // n
    for index in range(n):
        assert piece_messages(cluster, index) == expected_pieces(cluster, index, blocks)


def test_replicas_agree_on_everything_but_what_is_their_own() -> None:
    """Index, path and slice hash apart, all headers of a block are one."""
    cluster = Cluster()
    cluster.decide(8)
    cluster.disperse()
    for block in range(2):
        headers = [cluster.headers(index)[block] for index in range(4)]
        shared = {replace(header, piece_index=0, path=(), slice_hash=ZERO_HASH) for header in headers}
        assert len(shared) == 1
        assert [header.piece_index for header in headers] == [0, 1, 2, 3]


def test_blocks_chain_and_empty_batches_fill_them() -> None:
    """Every block names the root before it; the paper's nulls are decided like anything else."""
    cluster = Cluster()
    cluster.decide(4, requests=0)
    cluster.decide(4)
    cluster.disperse(0)
    first, second = cluster.headers(0)
    assert first.previous_block_root == ZERO_HASH
    assert second.previous_block_root == first.root
    assert (second.first_sequence, second.count) == (4, 4)


def test_an_epoch_s_last_block_is_short() -> None:
    """A block never crosses an epoch."""
    cluster = Cluster()
    cluster.decide(6)
    cluster.world.begin_epoch()
    cluster.decide(4)
    cluster.epochs = cluster.world.epochs
    cluster.disperse(0)
    found = [(header.epoch, header.first_sequence, header.count) for header in cluster.headers(0)]
    assert found == [(0, 0, 4), (0, 4, 2), (1, 6, 4)]


def test_a_replica_can_be_made_to_lie_from_outside() -> None:
    """The encoder is the one thing that is handed in; everything it signs then is consistently wrong."""
    cluster = Cluster()
    cluster.decide(4)
    cluster.replica(2, Corrupting(3, 4, 2))
    cluster.replica(1)
    assert cluster.headers(2)[0].root != cluster.headers(1)[0].root


# --- What it skips ---


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def broken_by_broker(decision: Decision) -> list[bytes]:
    """Every part of a decision altered, bytes added and cut; none of it needs a key."""
    signed = decision.signed
    variants = [
        replace(decision, signed=signed._replace(**{name: flip(getattr(signed, name), 5)}))
        for name in signed._fields
    ]
    variants += [
        replace(decision, entries=(flip(decision.entries[0], 9),)),
        replace(decision, outcomes=(flip(decision.outcomes[0], 9),)),
        replace(decision, outputs=(b'"altered"',)),
        replace(decision, values=(b'"altered"',)),
        replace(decision, values=()),
        replace(decision, entries=(), outcomes=(), outputs=(), values=()),
    ]
    good = decision.to_message()
    return [variant.to_message() for variant in variants] + [good[:-1], good + b"\0", b"", b"rubbish", good[10:]]


def test_whatever_the_broker_alters_is_skipped() -> None:
    """Outputs and values too, which no signature covers directly: else this honest replica would look a liar."""
    cluster = Cluster()
    for _ in range(4):
        decision = cluster.world.decide(cluster.world.put("key", 1))
        for message in broken_by_broker(decision):
            cluster.publish(message)
        cluster.publish(decision.to_message())
    actor = cluster.replica(0)
    assert actor.halt is None
    assert actor.measures["skipped"] == 4 * 17
    assert piece_messages(cluster, 0) == expected_pieces(cluster, 0, 1)


def test_the_other_form_of_a_signature_changes_nothing() -> None:
    """A broker that flips an ECDSA `s` has no valid decision; the pieces come out the same."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    cluster = Cluster()
    for _ in range(4):
        decision = cluster.world.decide(cluster.world.put("key", 1))
        old = decision.signed.ledger_signature
        other = old[:32] + (order - int.from_bytes(old[32:], "big")).to_bytes(32, "big")
        cluster.publish(
            replace(decision, signed=decision.signed._replace(ledger_signature=other)).to_message()
        )
        cluster.publish(decision.to_message())
    cluster.replica(0)
    assert piece_messages(cluster, 0) == expected_pieces(cluster, 0, 1)


def test_decisions_of_another_ledger_are_skipped() -> None:
    """The same names and keys, another genesis."""
    cluster, other = Cluster(), Cluster(nonce=b"other")
    for _ in range(4):
        cluster.publish(other.world.decide(other.world.put("key", 1)).to_message())
    cluster.decide(4)
    cluster.replica(0)
    assert piece_messages(cluster, 0) == expected_pieces(cluster, 0, 1)


def test_a_doubly_signed_decision_that_does_not_follow_ends_the_replica() -> None:
    """Both parties lied: it follows neither history, and guesses nothing."""
    cluster, fork = Cluster(), Cluster()
    cluster.decide(1)
    fork.world.decide(fork.world.put("key", "another"))
    cluster.publish(fork.world.decide(fork.world.put("key", 2)).to_message())
    actor = cluster.replica(0)
    assert actor.halt is not None
    assert actor.halt.code == "journal.predecessor"


# --- Order of arrival ---


def shuffled(cluster: Cluster, order: list[int]) -> None:
    decisions = [cluster.world.decide(cluster.world.put("key", number)) for number in range(8)]
    for number in order:
        cluster.publish(decisions[number].to_message())


@pytest.mark.parametrize(
    "order",
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 0, 3, 7],
        [7, 6, 5, 4, 3, 2, 1, 0],
        [0, 2, 3, 4, 5, 6, 7, 1],
        [0, 1, 5, 6, 7, 2, 3, 4],
        [3, 0, 3, 1, 7, 2, 6, 4, 5],
        [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7],
    ],
)
def test_duplicates_and_any_order_give_the_same_pieces(order: list[int]) -> None:
    """What is ahead of a gap is not kept in memory: it is read again when the gap has closed."""
    cluster = Cluster()
    shuffled(cluster, order)
    actor = cluster.replica(0)
    assert actor.halt is None
    assert piece_messages(cluster, 0) == expected_pieces(cluster, 0, 2)


def test_a_gap_is_waited_for_and_searched_for_once() -> None:
    """A missing decision may be sent again at any time; until then the log is not read over and over."""
    cluster = Cluster()
    shuffled(cluster, [0, 1, 3, 4, 5, 6, 7])
    seeks: list[Effect] = []
    machine = ReplicaMachine(epochs=cluster.epochs, index=0)
    actor = Actor(machine, cluster.log, key_of("replica 0"))
    actor.on_effect = lambda effect: seeks.append(effect) if isinstance(effect, Seek) else None
    actor.run().run()
    assert len(seeks) == 2
    assert piece_messages(cluster, 0) == []
    cluster.publish(cluster.world.decisions[2].to_message())
    actor.run()
    assert piece_messages(cluster, 0) == expected_pieces(cluster, 0, 2)


def test_behind_a_closed_gap_it_goes_back_to_what_it_left_out() -> None:
    """One step back to the first decision that came too early, and no search of the whole log."""
    cluster = Cluster()
    shuffled(cluster, [0, 2, 3, 4, 1, 5, 6, 7])
    seeks: list[Effect] = []
    actor = Actor(ReplicaMachine(epochs=cluster.epochs, index=0), cluster.log, key_of("replica 0"))
    actor.on_effect = lambda effect: seeks.append(effect) if isinstance(effect, Seek) else None
    actor.run()
    assert [seek.positions[0].offset for seek in seeks if isinstance(seek, Seek)] == [FIRST_OFFSET, 1]
    assert piece_messages(cluster, 0) == expected_pieces(cluster, 0, 2)


def test_forged_sequences_of_the_future_cause_no_search() -> None:
    """Only a signed decision can make a replica look for what it lacks."""
    cluster = Cluster()
    cluster.decide(1)
    ahead = [cluster.world.decide(cluster.world.put("key", 1)) for _ in range(3)][-1]
    signed = ahead.signed._replace(auditor_signature=flip(ahead.signed.auditor_signature, 0))
    cluster.publish(replace(ahead, signed=signed).to_message())
    seeks: list[Effect] = []
    actor = Actor(ReplicaMachine(epochs=cluster.epochs, index=0), cluster.log, key_of("replica 0"))
    actor.on_effect = lambda effect: seeks.append(effect) if isinstance(effect, Seek) else None
    actor.run()
    assert len(seeks) == 1


# --- Starting again ---


def test_a_replica_that_dies_at_any_point_ends_with_the_same_pieces() -> None:
    """Every effect is a place to die at; it has no store, and signs nothing twice in two ways."""
    cluster = Cluster()
    cluster.decide(9)
    for effects in range(100):
        cluster.log.lose_tail(pieces_topic(0), 0, 2)
        actor = Actor(ReplicaMachine(epochs=cluster.epochs, index=0), cluster.log, key_of("replica 0"))
        survived = survives(actor, effects)
        cluster.replica(0)
        assert piece_messages(cluster, 0) == expected_pieces(cluster, 0, 2)
        if survived:
            break
    assert 15 < effects < 100


class DeathError(Exception):
    pass


def survives(actor: Actor, effects: int) -> bool:
    """Run an actor that dies after so many effects; whether it came to rest before."""
    left = effects

    def count(effect: Effect) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise DeathError

    actor.on_effect = count
    try:
        actor.run()
    except DeathError:
        return False
    return True


def restarted(cluster: Cluster) -> tuple[Actor, list[Message]]:
    """A replica 0 that starts anew, and the decisions it read."""
    read: list[Message] = []
    actor = Actor(ReplicaMachine(epochs=cluster.epochs, index=0), cluster.log, key_of("replica 0"))
    perform = actor.perform

    def recorded(effect: Effect) -> Event:
        event = perform(effect)
        if isinstance(event, Received):
            read.extend(message for message in event.messages if message.topic == DECISIONS)
        return event

    actor.perform = recorded  # type: ignore[method-assign]
    return actor.run(), read


def test_a_restarted_replica_reads_only_what_it_lacks() -> None:
    """Its own last piece says how far it had come, and where that was."""
    cluster = Cluster()
    cluster.decide(10)
    cluster.replica(0)
    cluster.decide(2)
    _, read = restarted(cluster)
    assert [message.offset for message in read] == [8, 9, 10, 11]
    assert piece_messages(cluster, 0) == expected_pieces(cluster, 0, 3)


def test_how_far_it_is_is_said_at_the_start() -> None:
    """With nothing to do: whoever looks would take it to be at the beginning, and far behind."""
    cluster = Cluster()
    cluster.decide(8)
    cluster.replica(0)
    actor, read = restarted(cluster)
    assert read == []
    assert (actor.measures["gauge_sequence"], actor.measures["gauge_block"]) == (7, 2)


@pytest.mark.parametrize("hint", [None, b"", b"\xff" * 12, bytes(12), b"\0" * 7 + b"\x63" + b"\0" * 4, b"x" * 12])
def test_a_wrong_hint_costs_time_and_nothing_else(hint: bytes | None) -> None:
    """Nobody signs a message's key: a broker that alters it makes the replica search, no more."""
    cluster = Cluster()
    cluster.decide(8)
    cluster.replica(0)
    topic = pieces_topic(0)
    values = [message.value or b"" for message in cluster.log.messages(topic)]
    cluster.log.lose_tail(topic, 0, 2)
    for value in values:
        cluster.publish(value, topic, hint)
    cluster.decide(4)
    restarted(cluster)
    assert piece_messages(cluster, 0) == expected_pieces(cluster, 0, 3)


def test_rubbish_and_replays_in_the_own_topic_are_looked_past() -> None:
    """Whoever may write there: the newest good piece counts, and if none is found it begins anew."""
    cluster = Cluster()
    cluster.decide(8)
    cluster.disperse(0, 1)
    first = piece_messages(cluster, 0)[0]
    for rubbish in (b"", b"rubbish", first, piece_messages(cluster, 1)[1], first[:-1]):
        cluster.publish(rubbish, pieces_topic(0))
    cluster.decide(4)
    _, read = restarted(cluster)
    assert len(read) == 4
    for _ in range(70):
        cluster.publish(b"rubbish", pieces_topic(0))
    _, read = restarted(cluster)
    assert [message.offset for message in read] == list(range(12))
    good = [message for message in piece_messages(cluster, 0) if message in expected_pieces(cluster, 0, 3)]
    assert good == expected_pieces(cluster, 0, 3)


def test_a_lost_tail_of_its_own_topic_is_published_again() -> None:
    """A broker that forgets what it acknowledged: the same bytes come again, without a restart."""
    cluster = Cluster()
    cluster.decide(8)
    actor = Actor(ReplicaMachine(epochs=cluster.epochs, index=0), cluster.log, key_of("replica 0")).run()
    cluster.log.lose_tail(pieces_topic(0), 0, 1)
    actor.now_ms += 60_000
    actor.run()
    assert piece_messages(cluster, 0) == expected_pieces(cluster, 0, 2)


def test_a_lost_tail_of_the_decisions_is_healed_by_sequence() -> None:
    """The Auditor sends again; the replica that had read further takes nothing twice."""
    cluster = Cluster()
    cluster.decide(7)
    actor = Actor(ReplicaMachine(epochs=cluster.epochs, index=0), cluster.log, key_of("replica 0")).run()
    cluster.log.lose_tail(DECISIONS, 0, 4)
    cluster.publish(cluster.world.decide(cluster.world.put("key", 7)).to_message())
    actor.run()
    for number in range(3, 8):
        cluster.publish(cluster.world.decisions[number].to_message())
    actor.run()
    assert actor.measures["alarm_tail_lost"] == 1
    assert piece_messages(cluster, 0) == expected_pieces(cluster, 0, 2)


def test_a_replica_asks_for_nothing_but_the_log_and_its_key() -> None:
    """No store: a replica that lost its disk has lost nothing."""
    cluster = Cluster()
    cluster.decide(4)
    kinds: set[str] = set()
    actor = Actor(ReplicaMachine(epochs=cluster.epochs, index=0), cluster.log, key_of("replica 0"))
    actor.on_effect = lambda effect: kinds.add(type(effect).__name__)
    actor.run()
    assert kinds == {"ReadTail", "Seek", "Receive", "Verify", "Sign", "Publish", "Report"}


def test_the_first_thing_it_reads_is_its_own_topic() -> None:
    """Before anything is published again."""
    cluster = Cluster()
    effect = ReplicaMachine(epochs=cluster.epochs, index=3).step(Started(now_ms=0))
    assert isinstance(effect, ReadTail)
    assert effect.topic == pieces_topic(3)
