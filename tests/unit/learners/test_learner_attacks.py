"""Impersonation, replay, a broker that alters, more liars than assumed: a learner blames nobody wrongly, never guesses.

The numbers are those of the attack list on dispersal.
"""

from dataclasses import replace

import pytest

from learners.checksums import disperse
from learners.codec import erasure_code
from protocol.evidence.kinds import TWO_STATEMENTS
from protocol.evidence.verdicts import Culprit
from protocol.hashing import ZERO_HASH, tagged
from schemas.evidence import Evidence
from schemas.topics import pieces_topic
from tests.unit.learners.cluster import Cluster, Corrupting
from tests.unit.learners.judgement import (
    LIAR,
    altered_outputs,
    decided,
    honest,
    last_hash,
    learned_all,
    named,
)

# --- Impersonation and replay ---


def test_a_piece_counts_only_from_its_own_topic_under_its_own_key() -> None:
    """A5: replica 2 sends the pieces of others, under their numbers and under its own; nobody is blamed."""
    cluster = decided(blocks=1)
    made, last = honest(cluster), cluster.last(0)
    for index in (0, 1, 3):
        header, data = made.header(index), made.slice(index)
        cluster.publish(cluster.sign_piece(index, header, data, last, signer=LIAR), pieces_topic(index))
        cluster.publish(cluster.sign_piece(index, header, data, last), pieces_topic(LIAR))
        cluster.lie(LIAR, header, data, last)
    actor = cluster.learn()
    assert actor.views.position.sequence == -1
    assert actor.halt is None
    assert cluster.evidence() == []


def test_another_s_number_under_the_own_key_is_no_vote() -> None:
    """A5: the number in the body says nothing; a perfect piece 1 under key 2 helps nobody."""
    cluster = decided(blocks=1)
    made, last = honest(cluster), cluster.last(0)
    cluster.publish(cluster.sign_piece(LIAR, made.header(1), made.slice(1), last), pieces_topic(LIAR))
    cluster.disperse(0, 1)
    actor = cluster.learn()
    assert actor.halt is None
    assert actor.views.position.sequence == -1
    cluster.disperse(3)
    learned_all(cluster, actor.run(), 1)


def test_a_copied_piece_under_the_own_number_is_a_lie() -> None:
    """A5: bytes and path of piece 1, signed as piece 2."""
    cluster = decided(blocks=1)
    made = honest(cluster)
    cluster.lie(LIAR, replace(made.header(1), piece_index=LIAR), made.slice(1), cluster.last(0))
    cluster.disperse(0, 1, 3)
    learned_all(cluster, cluster.learn(), 1)
    assert named(cluster) == [Culprit("replica", LIAR)]


def test_replays_of_old_blocks_other_epochs_and_ledgers_change_nothing() -> None:
    """A9: whatever was signed for another place does not count here."""
    cluster, foreign = decided(), Cluster(nonce=b"other")
    foreign.decide(8)
    foreign.disperse()
    made = honest(cluster)
    for index in range(4):
        for message in foreign.log.messages(pieces_topic(index)):
            cluster.publish(message.value or b"", pieces_topic(index))
        header = replace(made.header(index), epoch=1)
        cluster.publish(cluster.sign_piece(index, header, made.slice(index), cluster.last(0)), pieces_topic(index))
    cluster.disperse()
    actor = cluster.learner()
    for index in range(4):
        cluster.publish(cluster.log.messages(pieces_topic(index))[-2].value or b"", pieces_topic(index))
    learned_all(cluster, actor.run())
    assert cluster.evidence() == []


def test_an_old_block_under_a_new_number_is_a_lie() -> None:
    """A9: the numbers are bound; a piece of block 0 signed as one of block 1."""
    cluster = decided()
    made = honest(cluster)
    header = replace(made.header(LIAR), block=1, first_sequence=4, last_statement_hash=last_hash(cluster, 1))
    cluster.lie(LIAR, header, made.slice(LIAR), cluster.last(1))
    cluster.disperse(0, 1, 3)
    learned_all(cluster, cluster.learn())
    assert named(cluster) == [Culprit("replica", LIAR)]


@pytest.mark.parametrize("block", [-(2**63), -1, 10**6, 2**63 - 1])
def test_numbers_out_of_all_reason_take_nothing_but_the_liar_s_share(block: int) -> None:
    """A10: far future and far past; the window is bounded for each replica by itself."""
    cluster = decided()
    made = honest(cluster)
    for step in range(50):
        number = max(-(2**63), min(2**63 - 1, block - step))
        cluster.lie(LIAR, replace(made.header(LIAR), block=number), made.slice(LIAR), cluster.last(0))
    cluster.disperse(0, 1, 3)
    actor = cluster.learn()
    learned_all(cluster, actor)
    assert cluster.evidence() == []


# --- Nobody to blame ---


def test_what_the_broker_alters_blames_nobody() -> None:
    """A23: a slice or a statement altered beside a signed header, cut or lengthened messages: skipped."""
    cluster = decided()
    cluster.disperse()
    published = [cluster.pieces(index) for index in range(4)]
    for index, pieces in enumerate(published):
        cluster.log.lose_tail(pieces_topic(index), 0, 2)
        for piece in pieces:
            altered = [
                replace(piece, slice=piece.slice[:-1] + bytes([piece.slice[-1] ^ 1])),
                replace(piece, slice=b""),
                replace(piece, signature=bytes(64)),
                replace(piece, header=piece.header[:-1] + bytes([piece.header[-1] ^ 1])),
            ]
            good = piece.to_message()
            for message in [bad.to_message() for bad in altered] + [good[:-1], good + b"\0", b"", good[1:]]:
                cluster.publish(message, pieces_topic(index))
                cluster.publish(message, pieces_topic((index + 1) % 4))
            cluster.publish(good, pieces_topic(index))
    actor = cluster.learner().settle()
    learned_all(cluster, actor)
    assert actor.measures["skipped"] + actor.measures["late"] == 4 * 2 * 8 * 2
    assert cluster.evidence() == []


def test_altered_statements_beside_good_pieces_only_cost_their_own() -> None:
    """The block's last statement is taken from whichever piece carries a good one."""
    cluster = decided(blocks=1)
    made, last = honest(cluster), cluster.last(0)
    bad = last._replace(auditor_signature=bytes(64))
    worse = last._replace(statement=cluster.world.updates[0].statement)
    for index, beside in ((0, bad), (1, worse)):
        cluster.publish(cluster.sign_piece(index, made.header(index), made.slice(index), beside), pieces_topic(index))
    actor = cluster.learn()
    cluster.publish(cluster.sign_piece(LIAR, made.header(LIAR), made.slice(LIAR), bad), pieces_topic(LIAR))
    actor.run()
    assert actor.views.position.sequence == -1, "three good pieces, and no good statement"
    cluster.disperse(3)
    actor.run()
    learned_all(cluster, actor, 1)
    assert cluster.evidence() == []


def test_an_altered_statement_before_every_piece_costs_nothing() -> None:
    """The broker shows every piece with an altered statement first, and last: that of the true one counts."""
    cluster = decided(blocks=2)
    cluster.disperse()
    published = [cluster.pieces(index) for index in range(4)]
    for index, pieces in enumerate(published):
        cluster.log.lose_tail(pieces_topic(index), 0, len(pieces))
        for piece in pieces:
            for bad in (
                piece.last._replace(auditor_signature=bytes(64)),
                piece.last._replace(salt=bytes(32)),
                piece.last._replace(statement=cluster.world.updates[0].statement),
            ):
                cluster.publish(replace(piece, last=bad).to_message(), pieces_topic(index))
            cluster.publish(piece.to_message(), pieces_topic(index))
            bad = piece.last._replace(auditor_signature=bytes(64))
            cluster.publish(replace(piece, last=bad).to_message(), pieces_topic(index))
    actor = cluster.learner().settle()
    learned_all(cluster, actor)
    assert cluster.evidence() == []


def test_a_replica_that_is_configured_otherwise_is_reported_and_not_accused() -> None:
    """A24: another k, n, codec, checksum or format, in perfect order by itself."""
    cluster = decided(blocks=1)
    made = honest(cluster)
    block = cluster.block_bytes(0)
    for changes in ({"k": 2}, {"n": 5, "k": 3}, {"codec": "other"}, {"checksum": "simple"}):
        about = replace(made.description, **changes)
        other = disperse(about, block, erasure_code(about.k, about.n))
        cluster.lie(LIAR, other.header(LIAR), other.slice(LIAR), cluster.last(0))
    cluster.lie(LIAR, replace(made.header(LIAR), format=2), made.slice(LIAR), cluster.last(0))
    cluster.disperse(0, 1, 3)
    actor = cluster.learner().settle()
    learned_all(cluster, actor, 1)
    assert actor.measures["misconfigured_2"] == 5
    assert cluster.evidence() == []


def test_silence_is_lag_and_no_proof() -> None:
    """A14: with fewer than k pieces it waits, never guesses, and goes on when one arrives late."""
    cluster = decided()
    cluster.disperse(0, 1)
    actor = cluster.learn()
    assert actor.views.position.sequence == -1
    assert actor.halt is None
    cluster.disperse(3)
    actor.settle()
    learned_all(cluster, actor)
    assert cluster.evidence() == []
    lags = [actor.measures[f"gauge_lag_{replica}"] for replica in range(4)]
    assert lags == [0, 0, 2, 0]


@pytest.mark.parametrize("late", [False, True])
def test_what_proves_nothing_accuses_nobody(late: bool) -> None:
    """Another statement hash, or another root before it: counted as wrong, but no verifier would convict."""
    cluster = decided(blocks=1)
    cluster.disperse(0, 1, 3)
    actor = cluster.learner()
    if late:
        actor.run()
    made = honest(cluster)
    about = replace(made.description, previous_block_root=tagged("block", b"another"))
    other = disperse(about, cluster.block_bytes(0), erasure_code(cluster.k, cluster.n))
    cluster.lie(LIAR, other.header(LIAR), other.slice(LIAR), cluster.last(0))
    cluster.lie(LIAR, replace(made.header(LIAR), last_statement_hash=ZERO_HASH), made.slice(LIAR), cluster.last(0))
    actor.settle()
    learned_all(cluster, actor, 1)
    assert actor.measures["wrong_2"] == 2
    assert cluster.evidence() == []


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("number", [2, 0])
def test_the_last_statement_of_another_block_is_no_second_history(late: bool, number: int) -> None:
    """A liar names, and shows, what both parties signed for another place: that is no contradiction of theirs."""
    cluster = decided(blocks=3)
    made, last = cluster.block(1, previous_root=honest(cluster).root), cluster.last(number)
    about = replace(made.description, last_statement_hash=last_hash(cluster, number))
    other = disperse(about, made.block, erasure_code(cluster.k, cluster.n))
    actor = cluster.learner()
    if late:
        cluster.disperse(0, 1, 3)
        actor.run()
    cluster.lie(LIAR, other.header(LIAR), other.slice(LIAR), last)
    cluster.disperse(0, 1, 3)
    actor.settle()
    learned_all(cluster, actor, 3)
    assert actor.measures["wrong_2"] == 1
    assert cluster.evidence() == []


# --- More liars than assumed, and lying parties ---


def test_a_false_root_of_too_many_ends_the_learner() -> None:
    """A7, A13: k replicas agree on a root over no codeword; it stops, and hands nothing on."""
    cluster = decided()
    wrong = Corrupting(cluster.k, cluster.n, 3)
    for liar in (0, 1, 2):
        cluster.replica(liar, wrong)
    actor = cluster.learn()
    assert actor.halt is not None
    assert actor.halt.code == "replicas.assumption"
    assert actor.views.position.sequence == -1
    assert cluster.feed() == []


def test_a_block_of_too_many_whose_journal_is_false_ends_the_learner() -> None:
    """k replicas agree on a codeword whose last statement is doubly signed, but an output in it is altered."""
    cluster = decided(blocks=1)
    block = altered_outputs(cluster)
    about = replace(honest(cluster).description, block_length=len(block))
    made = disperse(about, block, erasure_code(cluster.k, cluster.n))
    for liar in (0, 1, 2):
        cluster.lie(liar, made.header(liar), made.slice(liar), cluster.last(0))
    actor = cluster.learn()
    assert actor.halt is not None
    assert actor.halt.code == "replicas.assumption"
    assert actor.views.position.sequence == -1


def test_a_block_of_too_many_that_follows_no_known_root_ends_the_learner() -> None:
    """k replicas agree on everything but the root before the block: a chain spliced elsewhere is not followed."""
    cluster = decided(blocks=1)
    made = cluster.block(0, previous_root=tagged("block", b"another"))
    for liar in (0, 1, 2):
        cluster.lie(liar, made.header(liar), made.slice(liar), cluster.last(0))
    actor = cluster.learn()
    assert actor.halt is not None
    assert actor.halt.code == "replicas.assumption"


@pytest.mark.parametrize("late", [False, True])
def test_two_histories_convict_the_parties_and_no_replica(late: bool) -> None:
    """Replicas 1, 2 get one history, 3, 4 another, each doubly signed: no learner accepts both."""
    cluster, fork = decided(blocks=1), Cluster()
    for number in range(4):
        fork.publish(fork.world.decide(fork.world.put("fork", number)).to_message())
    actor = cluster.learner()
    if late:
        cluster.disperse(0, 1, 2)
        learned_all(cluster, actor.run(), 1)
    else:
        cluster.disperse(0, 1)
    fork.disperse(2, 3)
    for index in (3,) if late else (2, 3):
        cluster.publish(fork.log.messages(pieces_topic(index))[0].value or b"", pieces_topic(index))
    actor.run()
    assert actor.halt is not None
    assert actor.halt.code == "evidence.raised"
    assert named(cluster) == [Culprit("auditor"), Culprit("auditor")]
    kinds = [Evidence.from_bytes(data).kind for data in cluster.evidence()]
    assert kinds == [TWO_STATEMENTS, TWO_STATEMENTS]


def test_three_histories_at_once_convict_the_parties_as_two_do() -> None:
    """Three replicas get a history of their own each, all doubly signed, and all pieces come at once."""
    cluster = decided(blocks=1)
    cluster.disperse(0)
    for liar in (1, 2):
        fork = Cluster()
        for number in range(4):
            fork.publish(fork.world.decide(fork.world.put(f"fork {liar}", number)).to_message())
        fork.disperse(liar)
        cluster.publish(fork.log.messages(pieces_topic(liar))[0].value or b"", pieces_topic(liar))
    actor = cluster.learn()
    assert actor.halt is not None
    assert actor.halt.code == "evidence.raised"
    assert named(cluster) == [Culprit("auditor"), Culprit("auditor")]
