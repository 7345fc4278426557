"""A1 to A6, A11, A12: one replica signs something wrong about one block. It is named, and nothing is lost."""

from dataclasses import replace

import pytest

from learners.dispersal import slice_hash
from protocol import merkle
from protocol.evidence.verdicts import Culprit
from protocol.hashing import tagged
from schemas.piece import PieceHeader
from schemas.topics import pieces_topic
from tests.attacks.dispersal import (
    ALL,
    LYING,
    Lie,
    another_codeword,
    another_header,
    another_path,
    another_slice,
    check_lie,
    flipped,
    ledger,
)
from tests.unit.learners.cluster import Cluster
from tests.unit.learners.judgement import LIAR, another_block, honest, learned_all, named

ARRIVALS = ("first", "last", "late")
NODE = tagged("block", b"a node of its own")


def inner_node(cluster: Cluster) -> tuple[PieceHeader, bytes]:
    """The node above slices 2 and 3 in the place of slice 2's hash, with the rest of the path."""
    made = honest(cluster)
    leaves = [index.to_bytes(4, "big") + made.slice_hash(index) for index in range(4)]
    header = made.header(LIAR)
    return replace(header, slice_hash=merkle.root(leaves[2:]), path=header.path[1:]), made.slice(LIAR)


def anothers_piece(cluster: Cluster) -> tuple[PieceHeader, bytes]:
    """Bytes and path of piece 1, signed as piece 2."""
    made = honest(cluster)
    return replace(made.header(1), piece_index=LIAR), made.slice(1)


FLIPS: dict[str, Lie] = {
    "with all that is made of it": another_codeword,
    "first byte": another_slice(flipped),
    "last byte": another_slice(lambda data: flipped(data, len(data) - 1)),
}
CHECKSUMS: dict[str, Lie] = {
    "another root": another_header(root=NODE),
    "another slice hash": another_header(slice_hash=NODE),
    "another block": another_block,
}
PATHS: dict[str, Lie] = {
    "wrong": another_path(lambda path: (NODE, *path[1:])),
    "too short": another_path(lambda path: path[:-1]),
    "too long": another_path(lambda path: (*path, NODE)),
    "its nodes exchanged": another_path(lambda path: path[::-1]),
    "none": another_path(lambda path: ()),
}
LENGTHS: dict[str, Lie] = {
    "empty": another_slice(lambda data: b""),
    "short": another_slice(lambda data: data[:-1]),
    "long": another_slice(lambda data: data + b"x"),
    "huge": another_slice(lambda data: data * 1000),
}


@pytest.mark.parametrize("arrives", ARRIVALS)
@pytest.mark.parametrize("name", FLIPS)
@pytest.mark.parametrize("checksum", LYING)
def test_a01_a_flipped_bit(checksum: str, name: str, arrives: str) -> None:
    """In the slice, and signed."""
    check_lie(ledger(checksum), FLIPS[name], arrives)


@pytest.mark.parametrize("arrives", ARRIVALS)
@pytest.mark.parametrize("name", CHECKSUMS)
@pytest.mark.parametrize("checksum", LYING)
def test_a02_a_wrong_checksum(checksum: str, name: str, arrives: str) -> None:
    """The slice is right, or it is a perfect one of a block that was never decided."""
    check_lie(ledger(checksum), CHECKSUMS[name], arrives)


@pytest.mark.parametrize("arrives", ARRIVALS)
@pytest.mark.parametrize("name", PATHS)
def test_a03_a_wrong_path(name: str, arrives: str) -> None:
    """The root is right, and the path does not lead to it."""
    check_lie(ledger("tree"), PATHS[name], arrives)


@pytest.mark.parametrize("arrives", ARRIVALS)
def test_a03_a_path_where_there_is_no_tree(arrives: str) -> None:
    """The simple checksum knows none."""
    check_lie(ledger("simple"), another_path(lambda path: (NODE,)), arrives)


@pytest.mark.parametrize("arrives", ARRIVALS)
def test_a04_an_inner_node_as_a_leaf(arrives: str) -> None:
    """With the shorter path that leads from it to the root."""
    check_lie(ledger("tree"), inner_node, arrives)


@pytest.mark.parametrize("arrives", ARRIVALS)
@pytest.mark.parametrize("checksum", LYING)
def test_a05_the_piece_of_another_replica_under_the_own_number(checksum: str, arrives: str) -> None:
    """The number is bound, so its bytes do not fit it."""
    check_lie(ledger(checksum), anothers_piece, arrives)


@pytest.mark.parametrize("checksum", ALL)
def test_a05_who_sent_a_piece_is_its_topic_and_its_key(checksum: str) -> None:
    """The pieces of others under their numbers, under its own key or in its own topic: no vote, and nobody's fault."""
    cluster = ledger(checksum, blocks=1)
    made, last = honest(cluster), cluster.last(0)
    for index in (0, 1, 3):
        header, data = made.header(index), made.slice(index)
        cluster.publish(cluster.sign_piece(index, header, data, last, signer=LIAR), pieces_topic(index))
        cluster.publish(cluster.sign_piece(index, header, data, last), pieces_topic(LIAR))
        cluster.lie(LIAR, header, data, last)
    actor = cluster.learner().settle()
    assert (actor.halt, actor.views.position.sequence) == (None, -1)
    assert actor.measures["skipped"] == 9
    cluster.disperse(0, 1, 3)
    learned_all(cluster, actor.run(), 1)
    assert cluster.evidence() == []


@pytest.mark.parametrize("wrong_first", [True, False])
@pytest.mark.parametrize("checksum", LYING)
def test_a06_two_pieces_of_one_replica_are_one_vote(checksum: str, wrong_first: bool) -> None:
    """The first one counts, both are judged."""
    cluster = ledger(checksum, blocks=1)
    made = honest(cluster)
    pieces = [another_block(cluster), (made.header(LIAR), made.slice(LIAR))]
    for header, data in pieces if wrong_first else reversed(pieces):
        cluster.lie(LIAR, header, data, cluster.last(0))
    cluster.disperse(0, 1)
    actor = cluster.learn()
    assert actor.views.position.sequence == (-1 if wrong_first else 3)
    cluster.disperse(3)
    learned_all(cluster, actor.run(), 1)
    assert named(cluster) == [Culprit("replica", LIAR)]


@pytest.mark.parametrize("checksum", LYING)
def test_a06_copies_of_one_replica_are_one_vote(checksum: str) -> None:
    """The fault of an earlier attempt: k copies from one replica prove nothing."""
    cluster = ledger(checksum)
    header, data = another_block(cluster)
    for _ in range(5):
        cluster.lie(LIAR, header, data, cluster.last(0))
    actor = cluster.learn()
    assert (actor.halt, actor.views.position.sequence) == (None, -1)


@pytest.mark.parametrize("arrives", ARRIVALS)
@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("checksum", LYING)
def test_a11_a_slice_of_another_length(checksum: str, name: str, arrives: str) -> None:
    """Under the hash that it has, and the true root; under the simple checksum it costs no decoding either."""
    check_lie(ledger(checksum), LENGTHS[name], arrives)


def test_a11_slices_of_mixed_lengths_cost_no_decoding() -> None:
    """The length of each is known before anything is decoded."""
    cluster = ledger("simple", n=7, b=2)
    made = honest(cluster)
    for liar, data in ((0, b""), (1, made.slice(1) + b"x")):
        header = replace(made.header(liar), slice_hash=slice_hash(data))
        cluster.lie(liar, header, data, cluster.last(0))
    cluster.disperse(2, 3, 4, 5, 6)
    actor = cluster.learner().settle()
    learned_all(cluster, actor)
    assert actor.measures["decodes"] == 2
    assert set(named(cluster)) == {Culprit("replica", 0), Culprit("replica", 1)}


@pytest.mark.parametrize("checksum", ALL)
def test_a12_numbers_that_are_out_of_range_or_there_already(checksum: str) -> None:
    """A piece repeated is dropped; one whose number no replica of that topic has is skipped, and blames nobody."""
    cluster = ledger(checksum)
    made, last = honest(cluster), cluster.last(0)
    for number in (-1, 3, 4, 9, 255, 2**31, 2**63 - 1, -(2**63)):
        cluster.lie(LIAR, replace(made.header(LIAR), piece_index=number), made.slice(LIAR), last)
    for _ in range(3):
        cluster.disperse(0)
        for message in cluster.log.messages(pieces_topic(0))[:2]:
            cluster.publish(message.value or b"", pieces_topic(0))
    cluster.disperse(1)
    actor = cluster.learner().settle()
    assert actor.views.position.sequence == -1
    cluster.disperse(3)
    actor.settle()
    learned_all(cluster, actor)
    assert actor.measures["skipped"] == 8
    assert actor.measures["repeated"] == 6
    assert actor.measures["decodes"] == 2
    assert cluster.evidence() == []
