"""What learning cost, beside what the paper allows: counted from real pieces, by hand where it matters."""

from dataclasses import replace

import pytest

from learners.accounting import (
    Accounting,
    LearningReport,
    PieceBytes,
    decodes_max,
    message_bytes_max,
)
from learners.pieces import OpenedPiece, open_piece
from schemas.topics import pieces_topic
from tests.unit.learners.cluster import Cluster, epochs_of
from tests.worlds import World


def opened(cluster: Cluster, replica: int) -> list[OpenedPiece]:
    """Every piece on a replica's topic."""
    return [open_piece(message, replica, cluster.epochs) for message in cluster.log.messages(pieces_topic(replica))]


def learned(cluster: Cluster, accounting: Accounting, number: int, decodes: int = 1) -> None:
    accounting.learned(cluster.ranges.of_block(number), len(cluster.block_bytes(number)), decodes)


def dispersed(blocks: int, n: int = 4, b: int = 1) -> Cluster:
    cluster = Cluster(n, b)
    cluster.decide(blocks * n)
    cluster.disperse()
    return cluster


def account(cluster: Cluster, blocks: int, kept: int = 100) -> LearningReport:
    """The account of a learner that heard everything before it learned."""
    accounting = Accounting(cluster.epochs, kept)
    for replica in range(cluster.n):
        for piece in opened(cluster, replica):
            accounting.admitted(piece)
    for number in range(blocks):
        learned(cluster, accounting, number)
    return accounting.report()


@pytest.mark.parametrize(
    ("n", "b", "simple", "tree", "none", "decodes"),
    [
        (4, 1, 382, 446, 350, 4),
        (7, 2, 399, 495, 367, 21),
        (16, 5, 413, 541, 381, 4368),
        (32, 10, 413, 573, 381, 64_512_240),
    ],
)
def test_the_bounds_are_the_papers(n: int, b: int, simple: int, tree: int, none: int, decodes: int) -> None:
    """Theorems 3.2, 3.4 and 3.8 for blocks of n updates of 256 bytes, as derived on paper."""
    configuration = epochs_of(World(), n, b).latest
    for checksum, message_bytes, steps in (("none", none, 1), ("simple", simple, decodes), ("tree", tree, 1)):
        chosen = replace(configuration, checksum=checksum)
        assert message_bytes_max(chosen, n * 256) == message_bytes
        assert decodes_max(chosen) == steps


@pytest.mark.parametrize(("n", "b"), [(4, 1), (7, 2), (3, 0)])
def test_honest_replicas_cost_exactly_what_the_theorem_says(n: int, b: int) -> None:
    """Equality, not only a bound: per block, per replica, and in total; nothing is missing, nobody lags."""
    cluster = dispersed(3, n, b)
    report = account(cluster, 3)
    assert (report.blocks, report.updates, report.newest) == (3, 3 * n, 2)
    assert report.journal_bytes == sum(len(cluster.block_bytes(number)) for number in range(3))
    assert report.messages == report.messages_max == 3 * n
    assert report.received.counted == report.counted_max
    assert report.decodes == report.decodes_max == 3
    for replica in report.replicas:
        assert replica.received.counted == replica.counted_max
        assert (replica.messages, replica.missing, replica.wrong, replica.newest) == (3, 0, 0, 2)
    for cost in report.kept:
        assert cost.received.counted == cost.counted_max
        assert cost.counted_max == n * message_bytes_max(cluster.configuration, cost.block_length)
        assert cost.missing() == ()
    assert report.is_within_bounds()


def test_every_byte_of_a_message_is_accounted_for() -> None:
    """The three parts add up to what came; signatures are the replica's and the doubly signed statement."""
    cluster = dispersed(1)
    report = account(cluster, 1)
    messages = [message.value or b"" for replica in range(4) for message in cluster.log.messages(pieces_topic(replica))]
    assert report.received.total == sum(map(len, messages))
    piece = cluster.pieces(0)[0]
    size = PieceBytes.of(opened(cluster, 0)[0])
    assert size.counted == 8 + len(piece.slice) + 3 * 32
    assert size.signatures == 64 + sum(map(len, piece.last))
    assert 0 < size.framing < 500
    assert report.copies == pytest.approx(report.received.total / report.journal_bytes)


def test_what_is_not_learned_yet_is_in_no_total() -> None:
    """Pieces ahead of the journal are outside of the bound, so they are outside of the sum as well."""
    cluster = dispersed(3)
    accounting = Accounting(cluster.epochs)
    for piece in opened(cluster, 0):
        accounting.admitted(piece)
    learned(cluster, accounting, 0)
    report = accounting.report()
    assert (report.messages, report.replicas[0].messages, report.replicas[0].newest) == (1, 1, 2)
    assert report.replicas[1].missing == 1
    assert report.is_within_bounds()


def test_a_late_piece_is_credited_to_its_block() -> None:
    """It was missing, and is not any more."""
    cluster = dispersed(1)
    accounting = Accounting(cluster.epochs)
    for replica in range(3):
        accounting.admitted(opened(cluster, replica)[0])
    learned(cluster, accounting, 0)
    assert accounting.report().kept[0].missing() == (3,)
    assert accounting.report().replicas[3].missing == 1
    assert accounting.report().lag_blocks(3) == 1
    accounting.admitted(opened(cluster, 3)[0])
    report = accounting.report()
    assert (report.kept[0].missing(), report.replicas[3].missing, report.lag_blocks(3)) == ((), 0, 0)
    assert report.received.counted == report.counted_max


def test_what_is_sent_again_or_counts_for_nothing_stands_apart() -> None:
    """It is no part of what the theorem bounds, and it is not hidden."""
    cluster = dispersed(1)
    accounting = Accounting(cluster.epochs)
    piece = opened(cluster, 0)[0]
    for _ in range(3):
        accounting.admitted(piece)
    accounting.skipped(1, 100)
    learned(cluster, accounting, 0)
    accounting.admitted(piece)
    report = accounting.report()
    assert (report.messages, report.replicas[0].repeated, report.kept[0].repeated) == (1, 3, 3)
    assert report.extra_bytes == 3 * piece.message_bytes + 100
    assert (report.replicas[1].skipped, report.replicas[1].skipped_bytes) == (1, 100)
    assert report.is_within_bounds()


def test_a_cost_above_the_bound_is_seen() -> None:
    """Two decode steps where trees allow one; a slice longer than its block implies, of one who never lied."""
    cluster = dispersed(1)
    accounting = Accounting(cluster.epochs)
    learned(cluster, accounting, 0, decodes=2)
    assert not accounting.report().is_within_bounds()
    accounting = Accounting(cluster.epochs)
    accounting.admitted(opened(cluster, 2)[0])
    place = cluster.ranges.of_block(0)
    accounting.learned(place, len(cluster.block_bytes(0)) - 3, 1)
    assert not accounting.report().is_within_bounds()
    accounting.wrong(2, 0)  # there is no bound on what a liar sends
    report = accounting.report()
    assert report.is_within_bounds()
    assert (report.replicas[2].wrong, report.kept[0].wrong) == (1, {2})


def test_only_the_newest_blocks_are_kept_one_by_one() -> None:
    """Memory is bounded; totals and lags are over all, and an old block's piece is a repetition at most."""
    cluster = dispersed(5)
    report = account(cluster, 5, kept=2)
    assert [cost.block for cost in report.kept] == [3, 4]
    assert (report.blocks, report.messages) == (5, 20)
    accounting = Accounting(cluster.epochs, 2)
    for number in range(5):
        learned(cluster, accounting, number)
    accounting.admitted(opened(cluster, 0)[0])
    report = accounting.report()
    assert (report.messages, report.replicas[0].repeated, report.replicas[0].newest) == (0, 1, 0)
