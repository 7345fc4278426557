"""A9, A10, A20, A21, A23, A24: what was signed for another place, in other numbers, or in another configuration."""

from dataclasses import replace

import pytest

from learners.blame import BlockEncoder
from learners.checksums import disperse
from learners.codec import erasure_code
from learners.dispersal import slice_hash
from protocol.evidence.verdicts import Culprit, Finding
from protocol.evidence.verify import verify_evidence
from schemas.evidence import Evidence
from schemas.topics import pieces_topic
from tests.attacks.dispersal import (
    ALL,
    LYING,
    Lie,
    another_description,
    another_header,
    check_lie,
    extra_decodes_max,
    flipped,
    ledger,
)
from tests.unit.learners.cluster import Cluster
from tests.unit.learners.judgement import LIAR, honest, last_hash, learned_all, named

NUMBERS: dict[str, Lie] = {
    "block length 0": another_description(block_length=0),
    "block length 2^62": another_description(block_length=2**62),
    "one byte more": another_header(block_length=10**6),
    "count 2^62": another_header(count=2**62),
    "another count, bound": another_description(count=3),
    "another first sequence, bound": another_description(first_sequence=1),
}


@pytest.mark.parametrize("checksum", ALL)
def test_a09_other_ledgers_epochs_and_old_messages(checksum: str) -> None:
    """Whatever was signed for another place does not count here, and blames nobody."""
    cluster = ledger(checksum)
    foreign = Cluster(cluster.n, cluster.b, b"other", checksum=checksum, c=cluster.configuration.c, k=cluster.k)
    foreign.decide(8)
    foreign.disperse()
    made = honest(cluster)
    for index in range(4):
        for message in foreign.log.messages(pieces_topic(index)):
            cluster.publish(message.value or b"", pieces_topic(index))
        header = replace(made.header(index), epoch=1)
        cluster.publish(cluster.sign_piece(index, header, made.slice(index), cluster.last(0)), pieces_topic(index))
    cluster.disperse()
    for index in range(4):
        for message in cluster.log.messages(pieces_topic(index)):
            cluster.publish(message.value or b"", pieces_topic(index))
            cluster.publish(message.value or b"", pieces_topic((index + 1) % 4))
    learned_all(cluster, cluster.learn())
    assert cluster.evidence() == []


@pytest.mark.parametrize("checksum", LYING)
def test_a09_an_old_block_under_a_new_number(checksum: str) -> None:
    """A piece of block 0 signed as one of block 1, with that one's last statement."""
    cluster = ledger(checksum)
    made = honest(cluster)
    header = replace(made.header(LIAR), block=1, first_sequence=4, last_statement_hash=last_hash(cluster, 1))
    cluster.lie(LIAR, header, made.slice(LIAR), cluster.last(1))
    cluster.disperse(0, 1, 3)
    learned_all(cluster, cluster.learn())
    assert named(cluster) == [Culprit("replica", LIAR)]


@pytest.mark.parametrize("arrives", ["first", "last", "late"])
@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("checksum", LYING)
def test_a10_numbers_that_do_not_fit(checksum: str, name: str, arrives: str) -> None:
    """Nothing overflows, allocates or loops: they are a lie like any other."""
    check_lie(ledger(checksum), NUMBERS[name], arrives)


@pytest.mark.parametrize("block", [-(2**63), -1, 10**6, 2**63 - 1])
@pytest.mark.parametrize("checksum", ALL)
def test_a10_blocks_of_the_far_future_and_past(checksum: str, block: int) -> None:
    """The window is bounded for each replica by itself: they take nothing but the liar's own share."""
    cluster = ledger(checksum)
    made = honest(cluster)
    for step in range(50):
        number = max(-(2**63), min(2**63 - 1, block - step))
        cluster.lie(LIAR, replace(made.header(LIAR), block=number), made.slice(LIAR), cluster.last(0))
    cluster.disperse(0, 1, 3)
    learned_all(cluster, cluster.learn())
    assert cluster.evidence() == []


@pytest.mark.parametrize("arrives", ["first", "last", "late"])
@pytest.mark.parametrize("checksum", LYING)
def test_a20_a_lie_in_the_padding(checksum: str, arrives: str) -> None:
    """Behind the end of the block, where the block itself comes out right: named all the same."""
    cluster, requests = ledger(checksum), 1
    while len(cluster.block_bytes(0)) % 3 == 0:  # no padding in slice 2
        requests += 1
        cluster = ledger(checksum, requests=requests)

    def padded(cluster: Cluster) -> tuple[object, bytes]:
        made = honest(cluster)
        data = made.slice(LIAR)
        data = flipped(data, len(data) - 1)
        assert erasure_code(3, 4).decode({0: made.slice(0), 1: made.slice(1), 2: data}, len(made.block)) == made.block
        return replace(made.header(LIAR), slice_hash=slice_hash(data)), data

    check_lie(cluster, padded, arrives)  # type: ignore[arg-type]


@pytest.mark.parametrize("checksum", ALL)
def test_a20_blocks_of_empty_batches(checksum: str) -> None:
    """What fills a half full block: the paper's nulls."""
    cluster = ledger(checksum, blocks=3, requests=0)
    cluster.disperse(0, 1, 3)
    actor = cluster.learner().settle()
    assert (actor.halt, actor.views.position.sequence) == (None, 11)
    assert actor.measures["decodes"] == 3


@pytest.mark.parametrize("checksum", ALL)
def test_a21_a_journal_that_ends_within_a_block(checksum: str) -> None:
    """The tail is not dispersed before its block is full; then nothing of it is missing."""
    cluster = ledger(checksum, blocks=1)
    cluster.decide(3)
    cluster.disperse()
    actor = cluster.learn()
    learned_all(cluster, actor, 1)
    assert [len(cluster.pieces(index)) for index in range(4)] == [1, 1, 1, 1]
    cluster.decide(1)
    cluster.disperse()
    learned_all(cluster, actor.run(), 2)


@pytest.mark.parametrize("checksum", LYING)
def test_a23_what_the_broker_alters_blames_nobody(checksum: str) -> None:
    """A slice, a statement, a header, a signature, the message itself: of every replica, before the true piece."""
    cluster = ledger(checksum)
    cluster.disperse()
    published = [cluster.pieces(index) for index in range(4)]
    for index, pieces in enumerate(published):
        cluster.log.lose_tail(pieces_topic(index), 0, 2)
        for piece in pieces:
            altered = [
                replace(piece, slice=flipped(piece.slice)),
                replace(piece, slice=b""),
                replace(piece, signature=bytes(64)),
                replace(piece, header=flipped(piece.header, len(piece.header) - 1)),
                replace(piece, last=piece.last._replace(salt=bytes(32))),
            ]
            good = piece.to_message()
            for message in [bad.to_message() for bad in altered] + [good[:-1], good + b"\0", b"", good[1:]]:
                cluster.publish(message, pieces_topic(index))
                cluster.publish(message, pieces_topic((index + 1) % 4))
            cluster.publish(good, pieces_topic(index))
    actor = cluster.learner().settle()
    learned_all(cluster, actor)
    assert actor.measures["decodes"] == 2
    assert not any(actor.measures[f"gauge_blamed_{replica}"] for replica in range(4))
    assert cluster.evidence() == []


@pytest.mark.parametrize("checksum", LYING)
def test_a23_who_was_blamed_stays_blamed_across_restarts(checksum: str) -> None:
    """It is in the stored position, so the same liar costs no decoding again, and is accused once."""
    cluster = ledger(checksum, blocks=1)
    wrong = lie_in_every_block(cluster, 0)
    cluster.publish(wrong, pieces_topic(LIAR))
    cluster.disperse(0, 1, 3)
    views = cluster.learner().settle().views
    total = 0.0
    for block in range(1, 5):
        cluster.decide(4)
        cluster.publish(lie_in_every_block(cluster, block), pieces_topic(LIAR))
        cluster.disperse(0, 1, 3)
        actor = cluster.learner(views).settle()
        total += actor.measures["decodes"]
        assert actor.measures["gauge_blamed_2"] == 1
    assert views.position.sequence == 19
    assert total == 4
    assert named(cluster) == [Culprit("replica", LIAR)]


def lie_in_every_block(cluster: Cluster, block: int) -> bytes:
    """A wrong slice under the true root, which is the lie that costs most."""
    before = cluster.block(0).root
    for number in range(1, block):
        before = cluster.block(number, before).root
    made = cluster.block(block, before) if block else cluster.block(0)
    data = flipped(made.slice(LIAR))
    header = replace(made.header(LIAR), slice_hash=slice_hash(data))
    return cluster.sign_piece(LIAR, header, data, cluster.last(block))


@pytest.mark.parametrize("checksum", ALL)
def test_a24_a_replica_that_is_configured_otherwise(checksum: str) -> None:
    """Another k, n, codec, checksum or format, in perfect order by itself: reported, not accused, and not a vote."""
    cluster = ledger(checksum, blocks=1)
    made, block = honest(cluster), cluster.block_bytes(0)
    other_checksum = "tree" if checksum != "tree" else "simple"
    changes = ({"k": 2}, {"n": 5, "k": 4}, {"codec": "other"}, {"checksum": other_checksum})
    messages = []
    for change in changes:
        about = replace(made.description, **change)
        other = disperse(about, block, erasure_code(about.k, about.n))
        messages.append(cluster.sign_piece(LIAR, other.header(LIAR), other.slice(LIAR), cluster.last(0)))
    newer = replace(made.header(LIAR), format=2)
    messages.append(cluster.sign_piece(LIAR, newer, made.slice(LIAR), cluster.last(0)))
    for message in messages:
        cluster.publish(message, pieces_topic(LIAR))
    cluster.disperse(0, 1)
    actor = cluster.learner().settle()
    assert (actor.halt, actor.views.position.sequence) == (None, -1)
    cluster.disperse(3)
    actor.settle()
    learned_all(cluster, actor, 1)
    assert actor.measures["misconfigured_2"] == 5
    assert actor.measures["gauge_missing_2"] == 1
    assert actor.measures["gauge_blamed_2"] == 0
    assert cluster.evidence() == []


@pytest.mark.parametrize("checksum", LYING)
def test_a24_no_accuser_can_make_a_lie_of_a_configuration(checksum: str) -> None:
    """The offline verifier, too, takes what a misconfigured replica signed for no proof."""
    cluster = ledger(checksum, blocks=1)
    cluster.publish(lie_in_every_block(cluster, 0), pieces_topic(LIAR))
    cluster.disperse(0, 1, 3)
    cluster.learn()
    (data,) = cluster.evidence()
    evidence = Evidence.from_bytes(data)
    about = replace(honest(cluster).description, k=2)
    other = disperse(about, cluster.block_bytes(0), erasure_code(2, 4))
    piece = cluster.sign_piece(1, other.header(1), b"", cluster.last(0))
    parts = tuple(
        part._replace(data=type(cluster.pieces(0)[0]).body_of(piece)) if part.name == "piece" else part
        for part in evidence.parts
    )
    forged = replace(evidence, parts=parts).to_bytes()
    verdict = verify_evidence(forged, cluster.world.ledger_id, dispersal=BlockEncoder(cluster.epochs))
    assert verdict.finding is Finding.NOTHING
    assert "configured" in verdict.explanation


def test_extra_decodings_are_bounded_by_the_theorem() -> None:
    """The bound that every attack here is held to."""
    assert [extra_decodes_max(ledger("simple", 0, n, b)) for n, b in ((4, 1), (7, 2))] == [3, 20]
    assert extra_decodes_max(ledger("tree", 0)) == 0
