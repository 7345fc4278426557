"""A replica that decisions left in the dark learns from the others, and ends with the very pieces it had."""

from dataclasses import replace

import pytest

from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import frame_block
from learners.recovery import RECOVERED, RecoveryMachine
from learners.replica import BEHIND, ReplicaMachine
from schemas.topics import DECISIONS, pieces_topic
from storage.effects import Effect, Halt, Publish, ReadTail
from tests.parties import key_of
from tests.unit.learners.cluster import Actor, Cluster, Corrupting

LOST = 1


def values(cluster: Cluster, replica: int = LOST) -> list[bytes | None]:
    """What stands on a replica's topic."""
    return [message.value for message in cluster.log.messages(pieces_topic(replica))]


def wipe(cluster: Cluster, replica: int = LOST, keep: int = 0) -> list[bytes | None]:
    """Let a replica lose its topic but for the first messages; what it had."""
    had = values(cluster, replica)
    cluster.log.lose_tail(pieces_topic(replica), 0, len(had) - keep)
    return had


def shorten(cluster: Cluster, first: int) -> None:
    """Let the log of decisions begin with this one."""
    cluster.log.expire(DECISIONS, 0, first)


def recovery(cluster: Cluster, replica: int = LOST, cut_off: bool = False) -> Actor:
    machine = RecoveryMachine(epochs=cluster.epochs, index=replica, cut_off=cut_off)
    return Actor(machine, cluster.log, key_of(f"replica {replica}"))


def recover(cluster: Cluster, replica: int = LOST, cut_off: bool = False) -> Actor:
    """Let a replica recover to its end."""
    actor = recovery(cluster, replica, cut_off)
    for _ in range(200):
        if actor.run().halt:
            break
    return actor


def follow(cluster: Cluster, replica: int = LOST) -> Actor:
    """Let a replica that has recovered follow the decisions."""
    machine = ReplicaMachine(epochs=cluster.epochs, index=replica, hinted=False)
    return Actor(machine, cluster.log, key_of(f"replica {replica}")).run()


def dispersed(blocks: int, n: int = 4, b: int = 1, checksum: str = "tree") -> Cluster:
    cluster = Cluster(n, b, checksum=checksum)
    cluster.decide(blocks * n)
    cluster.disperse()
    return cluster


# --- It ends with what it had ---


@pytest.mark.parametrize("checksum", ["tree", "simple"])
@pytest.mark.parametrize("keep", [0, 1, 3])
@pytest.mark.parametrize("replica", [0, 1, 3])
def test_a_lost_topic_is_made_again_byte_for_byte(checksum: str, keep: int, replica: int) -> None:
    """All of it, or the tail that is lost: headers, signatures, slices, statements."""
    cluster = dispersed(5, checksum=checksum)
    had = wipe(cluster, replica, keep)
    shorten(cluster, 20)
    actor = recover(cluster, replica)
    assert actor.halt is not None
    assert actor.halt.code == RECOVERED
    assert actor.halt.text == f"{5 - keep} pieces were made anew; it has 5 blocks"
    assert values(cluster, replica) == had


@pytest.mark.parametrize("first", [1, 5, 13, 18])
def test_it_learns_as_far_as_decisions_do_not_reach_and_follows_from_there(first: int) -> None:
    """Both together leave no gap, repeat nothing and change nothing, wherever the log of decisions begins."""
    cluster = dispersed(5)
    had = wipe(cluster)
    shorten(cluster, first)
    assert recover(cluster).halt is not None
    recovered = len(values(cluster))
    assert recovered == -(-first // 4)
    cluster.decide(4)
    cluster.disperse(0, 2, 3)
    assert follow(cluster).halt is None
    assert values(cluster)[:5] == had
    assert len(values(cluster)) == 6
    cluster.learn()
    assert not cluster.evidence()


def test_a_replica_that_stood_still_while_decisions_were_shortened_catches_up() -> None:
    """In the dark: what it missed it has from the others, and then goes on."""
    cluster = Cluster()
    cluster.decide(8)
    cluster.disperse()
    cluster.decide(22)
    cluster.disperse(0, 2, 3)
    shorten(cluster, 24)
    assert recover(cluster).measures["recovered"] == 4
    assert follow(cluster).halt is None
    assert [header.block for header in cluster.headers(LOST)] == list(range(7))
    learned = cluster.learn()
    assert learned.views.position.sequence == 27


def test_who_is_not_behind_asks_nobody() -> None:
    """It looks at its own topic and at the beginning of decisions, and publishes nothing."""
    cluster = dispersed(3)
    effects: list[Effect] = []
    actor = recovery(cluster)
    actor.on_effect = effects.append
    assert actor.run().halt is not None
    assert not [effect for effect in effects if isinstance(effect, Publish)]
    assert all(pieces_topic(0) not in getattr(effect, "topics", ()) for effect in effects)
    assert len(values(cluster)) == 3


def test_a_new_ledger_does_not_keep_it_waiting() -> None:
    """Nothing is decided and nobody has anything: it listens, and the first decision ends that at once."""
    cluster = Cluster()
    actor = recovery(cluster).run()
    assert actor.halt is None
    waited_ms = actor.now_ms
    cluster.decide(1)
    halt = actor.run().halt
    assert halt == Halt(code=RECOVERED, text="no piece had to be made anew; it has 0 blocks")
    assert actor.now_ms - waited_ms < 1_000


def test_all_decisions_may_be_gone() -> None:
    """Then the others give what they have."""
    cluster = dispersed(4)
    had = wipe(cluster)
    shorten(cluster, 16)
    assert not cluster.log.messages(DECISIONS)
    recover(cluster)
    assert values(cluster) == had


def test_it_waits_for_others_that_are_behind_too() -> None:
    """As long as decisions cannot be followed it goes on, and takes up what comes."""
    cluster = Cluster()
    cluster.decide(8)
    cluster.disperse(0, 2)
    shorten(cluster, 6)
    actor = recovery(cluster).run()
    assert actor.halt is None
    assert not values(cluster)
    shortened = Cluster()
    shortened.decide(8)
    shortened.disperse(3)
    for message in shortened.log.messages(pieces_topic(3)):
        cluster.publish(message.value or b"", pieces_topic(3))
    actor.run()
    assert actor.halt is not None
    assert len(values(cluster)) == 2


def test_others_that_are_slow_are_listened_to_as_long_as_something_comes() -> None:
    """Each block in good time after the one before, all of them later than the longest pause."""
    cluster = dispersed(8)
    had = wipe(cluster)
    others = {replica: wipe(cluster, replica) for replica in (0, 2, 3)}
    shorten(cluster, 32)
    actor = recovery(cluster).run()
    for block in range(8):
        actor.now_ms += cluster.epochs.limits.resend_longest_ms // 2
        for replica, pieces in others.items():
            cluster.publish(pieces[block] or b"", pieces_topic(replica))
        assert actor.run().halt is None
    assert values(cluster) == had


def test_it_is_not_for_ever_that_it_waits() -> None:
    """Where all are in the dark the replica looks at decisions again: they may be sent again."""
    cluster = Cluster()
    cluster.decide(8)
    shorten(cluster, 6)
    actor = recover(cluster)
    assert actor.halt is not None
    assert actor.halt.code == RECOVERED
    assert actor.now_ms >= cluster.epochs.limits.resend_longest_ms


# --- It believes no single one of the others ---


@pytest.mark.parametrize("checksum", ["tree", "simple"])
def test_a_liar_among_the_others_changes_nothing(checksum: str) -> None:
    """Seven, of which one may lie and one be silent: beside a liar and the lost one there are enough."""
    cluster = Cluster(7, 1, checksum=checksum, c=1, k=5)
    cluster.decide(14)
    cluster.disperse(LOST)
    had = wipe(cluster)
    cluster.replica(0, Corrupting(5, 7, 0))
    cluster.disperse(2, 3, 4, 5, 6)
    shorten(cluster, 14)
    actor = recover(cluster)
    assert actor.halt is not None
    assert actor.halt.code == RECOVERED
    assert actor.measures["wrong_0"] == 2
    assert values(cluster) == had


def check_it_stops(cluster: Cluster, data: bytes) -> None:
    """Where the three others agree on a first block of these bytes, the replica publishes nothing."""
    about = replace(cluster.block(0).description, block_length=len(data))
    made = disperse(about, data, erasure_code(3, 4))
    for replica in (0, 2, 3):
        cluster.lie(replica, made.header(replica), made.slice(replica), cluster.last(0))
    shorten(cluster, 4)
    actor = recover(cluster)
    assert actor.halt is not None
    assert actor.halt.code == "replicas.assumption"
    assert not values(cluster)


def test_a_block_whose_content_both_parties_did_not_sign_stops_it() -> None:
    """Three agree on a block in which one byte of an output is another: it publishes nothing."""
    cluster = Cluster()
    cluster.decide(4)
    data = cluster.block_bytes(0)
    altered = data.replace(b'"key', b'"kex', 1)
    assert altered != data
    check_it_stops(cluster, altered)


@pytest.mark.parametrize("true", [0, 1, 3])
def test_a_journal_that_does_not_lead_to_the_signed_statement_stops_it(true: int) -> None:
    """Three agree on whole updates, the last ones perhaps the true ones, with no way there: it publishes nothing."""
    cluster, fork = Cluster(), Cluster()
    cluster.decide(4)
    fork.decide(4, requests=2)
    worlds = [fork.world] * (4 - true) + [cluster.world] * true
    check_it_stops(cluster, frame_block([world.updates[at].to_bytes() for at, world in enumerate(worlds)]))


def test_a_block_that_does_not_follow_the_own_last_piece_stops_it() -> None:
    """The others' history is not the one it has signed: it signs nothing more."""
    cluster = dispersed(2)
    other = Cluster(nonce=b"world")
    other.decide(4, requests=2)
    other.disperse(LOST)
    wipe(cluster)
    for message in other.log.messages(pieces_topic(LOST)):
        cluster.publish(message.value or b"", pieces_topic(LOST))
    shorten(cluster, 8)
    actor = recover(cluster)
    assert actor.halt is not None
    assert actor.halt.code == "replicas.assumption"
    assert len(values(cluster)) == 1


def test_a_crash_at_any_step_leaves_what_the_next_one_goes_on_with() -> None:
    """However often it dies, every piece stands there, each as it was."""
    cluster = dispersed(4)
    had = wipe(cluster)
    shorten(cluster, 16)
    for steps in range(1, 60):
        actor = recovery(cluster)
        for _ in range(steps):
            effect = actor.machine.step(actor.event)
            if isinstance(effect, Publish):
                actor.perform(effect)
                break
            if type(effect).__name__ == "Halt":
                break
            actor.event = actor.perform(effect)
    recover(cluster)
    assert list(dict.fromkeys(values(cluster))) == had


def test_a_decision_that_nobody_signed_does_not_end_it() -> None:
    """Whoever can write on decisions says that they begin early enough: it goes by what both parties signed."""
    cluster = dispersed(2)
    had = wipe(cluster)
    shorten(cluster, 8)
    first = cluster.world.decisions[0]
    forged = replace(first, signed=first.signed._replace(auditor_signature=bytes(64)))
    cluster.publish(forged.to_message())
    recover(cluster)
    assert values(cluster) == had


def test_two_histories_stop_it() -> None:
    """The others disperse two blocks for one place, each doubly signed: it signs neither."""
    cluster, fork = dispersed(1), Cluster()
    wipe(cluster)
    cluster.log.lose_tail(pieces_topic(3), 0, 1)
    fork.decide(4, requests=2)
    fork.disperse(3)
    cluster.publish(fork.log.messages(pieces_topic(3))[0].value or b"", pieces_topic(3))
    shorten(cluster, 4)
    actor = recover(cluster)
    assert actor.halt is not None
    assert actor.halt.code == "evidence.raised"
    assert not values(cluster)


# --- The replica says when it is in the dark ---


def test_a_replica_that_cannot_go_on_says_so() -> None:
    """Later decisions come and the next one does not: after the longest pause of sending again it ends."""
    cluster = Cluster()
    cluster.decide(8)
    shorten(cluster, 3)
    machine = ReplicaMachine(epochs=cluster.epochs, index=LOST)
    actor = Actor(machine, cluster.log, key_of(f"replica {LOST}")).run()
    assert actor.halt is None
    for _ in range(30):
        if actor.run().halt:
            break
    assert actor.halt is not None
    assert actor.halt.code == BEHIND
    assert actor.now_ms >= cluster.epochs.limits.resend_longest_ms


def test_a_quiet_replica_is_not_in_the_dark() -> None:
    """Nothing is decided for a long time: that is no reason to end."""
    cluster = dispersed(2)
    machine = ReplicaMachine(epochs=cluster.epochs, index=LOST)
    actor = Actor(machine, cluster.log, key_of(f"replica {LOST}"))
    looks: list[Effect] = []
    actor.on_effect = lambda effect: looks.append(effect) if isinstance(effect, ReadTail) else None
    while actor.now_ms < 5 * cluster.epochs.limits.resend_longest_ms:
        assert actor.run().halt is None
    assert 2 <= len(looks) <= 6, "it looks for its own last piece now and then"


def test_a_replica_that_catches_up_slowly_is_not_cut_off() -> None:
    """Much later decisions are known all the time, and what comes next comes: that is no reason to end either."""
    cluster = Cluster()
    cluster.decide(16)
    missing = [message.value or b"" for message in cluster.log.messages(DECISIONS)][:-1]
    shorten(cluster, 15)
    machine = ReplicaMachine(epochs=cluster.epochs, index=LOST)
    actor = Actor(machine, cluster.log, key_of(f"replica {LOST}")).run()
    longest_ms = cluster.epochs.limits.resend_longest_ms
    for message in missing:
        actor.now_ms += longest_ms // 4
        cluster.publish(message)
        assert actor.run().halt is None
    assert actor.now_ms > 2 * longest_ms
    assert len(values(cluster)) == 4


def test_cut_off_it_takes_what_the_others_have_whatever_decisions_begin_with() -> None:
    """A decision in the middle never comes: the log begins early enough, and does not help."""
    cluster = dispersed(3)
    had = wipe(cluster)
    assert not values(cluster)
    recover(cluster, cut_off=True)
    assert values(cluster) == had
