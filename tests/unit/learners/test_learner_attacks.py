"""Attacks on a learner: at most b replicas lie, and the journal is learned all the same, or nobody guesses.

The numbers are those of the attack list on dispersal. Every attack is made with the liar's real key; replica 2 is
the liar throughout.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from learners.blame import BlockEncoder
from learners.codec import erasure_code
from learners.dispersal import Dispersal, disperse, frame_block
from protocol.evidence.kinds import REPLICA, TWO_STATEMENTS
from protocol.evidence.verdicts import Culprit, Finding, Verdict
from protocol.evidence.verify import verify_evidence
from protocol.hashing import ZERO_HASH, tagged
from protocol.signatures import statement_hash
from schemas.evidence import Evidence, Part
from schemas.piece import PieceHeader
from schemas.topics import pieces_topic
from tests.unit.learners.cluster import Actor, Cluster, Corrupting, MemoryViews

LIAR = 2


def decided(blocks: int = 2, n: int = 4, b: int = 1) -> Cluster:
    cluster = Cluster(n, b)
    cluster.decide(blocks * n)
    return cluster


def verdicts(cluster: Cluster) -> list[Verdict]:
    """What the offline verifier says of all that was published as evidence."""
    dispersal = BlockEncoder(cluster.epochs)
    return [verify_evidence(data, cluster.world.ledger_id, dispersal=dispersal) for data in cluster.evidence()]


def named(cluster: Cluster) -> list[Culprit | None]:
    found = verdicts(cluster)
    assert all(verdict.finding is Finding.GUILTY for verdict in found), found
    return [verdict.culprit for verdict in found]


def learned_all(cluster: Cluster, actor: Actor, blocks: int = 2) -> None:
    """Everything was learned, in order, once, and as it was decided."""
    assert actor.halt is None
    last = blocks * cluster.n - 1
    assert actor.views.position.sequence == last
    assert [row.block for row in actor.views.blocks] == list(range(blocks))
    assert [row[1] for row in actor.views.requests] == list(range(last + 1))
    assert [message.sequence for message in cluster.feed()] == list(range(last + 1))


# --- One lying replica, at every place of its piece ---


def honest(cluster: Cluster) -> Dispersal:
    return cluster.block(0)


Lie = Callable[[Cluster], tuple[PieceHeader, bytes]]


def changed_header(**changes: Any) -> Lie:
    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        made = honest(cluster)
        return replace(made.header(LIAR), **changes), made.slices[LIAR]

    return lie


def another_path(change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> Lie:
    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        made = honest(cluster)
        header = made.header(LIAR)
        return replace(header, path=change(header.path)), made.slices[LIAR]

    return lie


def slice_and_its_hash(change: Callable[[bytes], bytes]) -> Lie:
    """Another slice under its own hash, with the honest root and path."""

    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        made = honest(cluster)
        data = change(made.slices[LIAR])
        return replace(made.header(LIAR), slice_hash=tagged("slice", data)), data

    return lie


def consistent_corruption(cluster: Cluster) -> tuple[PieceHeader, bytes]:
    made = cluster.block(0, encoder=Corrupting(cluster.k, cluster.n, LIAR))
    return made.header(LIAR), made.slices[LIAR]


def another_block(cluster: Cluster) -> tuple[PieceHeader, bytes]:
    """A block of its own invention, in perfect form."""
    about = honest(cluster).description
    made = disperse(about, b"x" * about.block_length, erasure_code(cluster.k, cluster.n))
    return made.header(LIAR), made.slices[LIAR]


def bound_description(**changes: Any) -> Lie:
    """Another description of the block, bound into a root of its own."""

    def lie(cluster: Cluster) -> tuple[PieceHeader, bytes]:
        made = honest(cluster)
        about = replace(made.description, **changes)
        bound = disperse(about, cluster.block_bytes(0), erasure_code(cluster.k, cluster.n))
        return bound.header(LIAR), made.slices[LIAR]

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
        pieces = [another_block(cluster), (made.header(LIAR), made.slices[LIAR])]
        for header, data in pieces if wrong_first else reversed(pieces):
            cluster.lie(LIAR, header, data, cluster.last(0))
        cluster.disperse(0, 1)
        actor = cluster.learn()
        assert actor.views.position.sequence == (-1 if wrong_first else 3)
        cluster.disperse(3)
        actor.run()
        learned_all(cluster, actor, 1)
        assert named(cluster) == [Culprit("replica", LIAR)]


# --- Impersonation and replay ---


def test_a_piece_counts_only_from_its_own_topic_under_its_own_key() -> None:
    """A5: replica 2 sends the pieces of others, under their numbers and under its own; nobody is blamed."""
    cluster = decided(blocks=1)
    made, last = honest(cluster), cluster.last(0)
    for index in (0, 1, 3):
        header, data = made.header(index), made.slices[index]
        cluster.publish(cluster.sign_piece(index, header, data, last, signer=LIAR), pieces_topic(index))
        cluster.publish(cluster.sign_piece(index, header, data, last), pieces_topic(LIAR))
        cluster.lie(LIAR, header, data, last)
    actor = cluster.learn()
    assert actor.views.position.sequence == -1
    assert actor.halt is None
    assert cluster.evidence() == []


def test_a_copied_piece_under_the_own_number_is_a_lie() -> None:
    """A5: bytes and path of piece 1, signed as piece 2."""
    cluster = decided(blocks=1)
    made = honest(cluster)
    cluster.lie(LIAR, replace(made.header(1), piece_index=LIAR), made.slices[1], cluster.last(0))
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
        cluster.publish(
            cluster.sign_piece(index, header, made.slices[index], cluster.last(0)), pieces_topic(index)
        )
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
    cluster.lie(LIAR, header, made.slices[LIAR], cluster.last(1))
    cluster.disperse(0, 1, 3)
    learned_all(cluster, cluster.learn())
    assert named(cluster) == [Culprit("replica", LIAR)]


def last_hash(cluster: Cluster, block: int) -> bytes:
    return statement_hash(cluster.last(block).statement)


@pytest.mark.parametrize("block", [-(2**63), -1, 10**6, 2**63 - 1])
def test_numbers_out_of_all_reason_take_nothing_but_the_liar_s_share(block: int) -> None:
    """A10: far future and far past; the window is bounded for each replica by itself."""
    cluster = decided()
    made = honest(cluster)
    for step in range(50):
        number = max(-(2**63), min(2**63 - 1, block - step))
        cluster.lie(LIAR, replace(made.header(LIAR), block=number), made.slices[LIAR], cluster.last(0))
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
        cluster.publish(
            cluster.sign_piece(index, made.header(index), made.slices[index], beside), pieces_topic(index)
        )
    actor = cluster.learn()
    cluster.publish(cluster.sign_piece(LIAR, made.header(LIAR), made.slices[LIAR], bad), pieces_topic(LIAR))
    actor.run()
    assert actor.views.position.sequence == -1, "three good pieces, and no good statement"
    cluster.disperse(3)
    actor.run()
    learned_all(cluster, actor, 1)
    assert cluster.evidence() == []


def test_a_replica_that_is_configured_otherwise_is_reported_and_not_accused() -> None:
    """A24: another k, n, codec, checksum or format, in perfect order by itself."""
    cluster = decided(blocks=1)
    made = honest(cluster)
    block = cluster.block_bytes(0)
    for changes in ({"k": 2}, {"n": 5, "k": 3}, {"codec": "other"}, {"checksum": "simple"}):
        about = replace(made.description, **changes)
        other = disperse(about, block, erasure_code(about.k, about.n))
        cluster.lie(LIAR, other.header(LIAR), other.slices[LIAR], cluster.last(0))
    cluster.lie(LIAR, replace(made.header(LIAR), format=2), made.slices[LIAR], cluster.last(0))
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


def test_what_proves_nothing_accuses_nobody() -> None:
    """Another statement hash, or another root before it: counted as wrong, but no verifier would convict."""
    cluster = decided(blocks=1)
    made = honest(cluster)
    about = replace(made.description, previous_block_root=tagged("block", b"another"))
    other = disperse(about, cluster.block_bytes(0), erasure_code(cluster.k, cluster.n))
    cluster.lie(LIAR, other.header(LIAR), other.slices[LIAR], cluster.last(0))
    cluster.lie(
        LIAR, replace(made.header(LIAR), last_statement_hash=ZERO_HASH), made.slices[LIAR], cluster.last(0)
    )
    cluster.disperse(0, 1, 3)
    actor = cluster.learner().settle()
    learned_all(cluster, actor, 1)
    assert actor.measures["wrong_2"] == 2
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


def altered_outputs(cluster: Cluster) -> bytes:
    """The first block with an output that its outcome does not pin, in perfect form otherwise."""
    updates = [cluster.world.updates[sequence] for sequence in range(4)]
    updates[1] = replace(updates[1], outputs=(b'"altered"',))
    return frame_block([update.to_bytes() for update in updates])


def test_a_block_of_too_many_whose_journal_is_false_ends_the_learner() -> None:
    """k replicas agree on a codeword whose last statement is doubly signed, but an output in it is altered."""
    cluster = decided(blocks=1)
    block = altered_outputs(cluster)
    about = replace(honest(cluster).description, block_length=len(block))
    made = disperse(about, block, erasure_code(cluster.k, cluster.n))
    for liar in (0, 1, 2):
        cluster.lie(liar, made.header(liar), made.slices[liar], cluster.last(0))
    actor = cluster.learn()
    assert actor.halt is not None
    assert actor.halt.code == "replicas.assumption"
    assert actor.views.position.sequence == -1


def test_a_block_of_too_many_that_follows_no_known_root_ends_the_learner() -> None:
    """k replicas agree on everything but the root before the block: a chain spliced elsewhere is not followed."""
    cluster = decided(blocks=1)
    made = cluster.block(0, previous_root=tagged("block", b"another"))
    for liar in (0, 1, 2):
        cluster.lie(liar, made.header(liar), made.slices[liar], cluster.last(0))
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


# --- Evidence ---


def test_evidence_convicts_only_with_the_true_block() -> None:
    """A third party needs piece, block and genesis; an honest piece or another block proves nothing."""
    cluster = decided()
    cluster.disperse(0, 1, 3)
    cluster.replica(LIAR, Corrupting(cluster.k, cluster.n, LIAR))
    cluster.learn(MemoryViews())
    (data,) = cluster.evidence()
    evidence = Evidence.from_bytes(data)
    assert evidence.kind == REPLICA
    piece, block = evidence.parts
    honest_piece = replace(cluster.pieces(1)[0], slice=b"").to_bytes()
    later_piece = replace(cluster.pieces(LIAR)[1], slice=b"").to_bytes()
    forgeries = [
        (piece._replace(data=honest_piece), block),
        (piece._replace(data=later_piece), block),
        (piece, block._replace(data=block.data[:-1])),
        (piece, block._replace(data=block.data + b"\0")),
        (piece, block._replace(data=cluster.block_bytes(1))),
        (piece, block._replace(data=altered_outputs(cluster))),
        (piece, block._replace(data=b"")),
    ]
    dispersal = BlockEncoder(cluster.epochs)
    for parts in forgeries:
        forged = replace(evidence, parts=parts).to_bytes()
        verdict = verify_evidence(forged, cluster.world.ledger_id, dispersal=dispersal)
        assert verdict.finding is Finding.NOTHING, verdict
    assert verify_evidence(data, cluster.world.ledger_id, dispersal=dispersal).finding is Finding.GUILTY
    assert verify_evidence(data, cluster.world.ledger_id).finding is Finding.CANNOT_JUDGE
    assert verify_evidence(data, ZERO_HASH, dispersal=dispersal).finding is Finding.NOTHING


def test_part_of_a_block_convicts_nobody() -> None:
    """An accuser who cuts a block short, at its front, cannot make an honest piece look wrong."""
    cluster = decided(blocks=1)
    cluster.disperse()
    piece = replace(cluster.pieces(1)[0], slice=b"")
    for first in range(1, 4):
        part = frame_block([cluster.world.updates[sequence].to_bytes() for sequence in range(first, 4)])
        evidence = Evidence(
            format=1,
            ledger_id=cluster.world.ledger_id,
            kind=REPLICA,
            genesis=cluster.epochs.genesis_bytes,
            configurations=cluster.epochs.signed,
            parts=(),
        )
        parts = (Part("piece", piece.to_bytes()), Part("block", part))
        data = replace(evidence, parts=parts).to_bytes()
        verdict = verify_evidence(data, cluster.world.ledger_id, dispersal=BlockEncoder(cluster.epochs))
        assert verdict.finding is Finding.NOTHING
