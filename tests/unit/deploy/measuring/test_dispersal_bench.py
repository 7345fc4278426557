"""The benchmark of dispersal: its figures are the paper's, its messages are real, and a wrong byte would show."""

import math
from dataclasses import replace

import pytest

from deploy.measuring.dispersal import machines, synthetic
from deploy.measuring.dispersal.decided import Sizes, decisions_of, epochs_of
from deploy.measuring.dispersal.figures import Attack, Row, bearable_liars, bound_bytes, make_row, message_bytes
from deploy.measuring.dispersal.plan import CLUSTERS, attacks_on, sizes_of
from learners.accounting import LearningReport
from schemas.statement import Decision, Statement

EXACT = {
    4: {"none": 350, "simple": 382, "tree": 446},
    7: {"none": 367, "simple": 399, "tree": 495},
    16: {"none": 381, "simple": 413, "tree": 541},
    32: {"none": 381, "simple": 413, "tree": 573},
}
"""Bytes of one message about a block of n updates of 256 bytes: position, slice and checksum."""

SEARCHED_BYTES = 2e7


def measured(n: int, b: int, checksum: str, attack: Attack, blocks: int = 2) -> Row:
    dispersed = synthetic.disperse_updates(sizes_of(n, b, checksum, n), blocks, 256)
    return synthetic.measure(dispersed, attack, SEARCHED_BYTES)


@pytest.mark.parametrize("checksum", ["none", "simple", "tree"])
@pytest.mark.parametrize(("n", "b"), CLUSTERS)
def test_sent_and_received_bytes_are_exact_under_every_attack(n: int, b: int, checksum: str) -> None:
    """Of real signed messages: the paper's bytes to the byte, within Theorem 3.2, and one decoding where one is due."""
    for attack in attacks_on(checksum):
        row = measured(n, b, checksum, attack)
        assert row.sent_per_replica_bytes == row.expected_sent_bytes == 2 * EXACT[n][checksum]
        assert row.received_bytes == row.expected_received_bytes == 2 * n * EXACT[n][checksum]
        assert row.sent_per_replica_bytes <= row.sent_bound_bytes
        assert row.framing_bytes > 0
        assert row.signature_bytes > 2 * 4 * 64
        if checksum != "simple":
            assert row.decodes == row.blocks
        assert row.is_exact


@pytest.mark.parametrize(("n", "b", "worst"), [(4, 1, 4), (7, 2, 21), (16, 5, 4368)])
def test_the_worst_order_takes_exactly_the_bound_and_no_more(n: int, b: int, worst: int) -> None:
    """All liars first: C(k + b, k) decodings for the block they lie in, and one for the next, which knows them."""
    row = measured(n, b, "simple", "corrupt")
    assert row.liars == b
    assert (row.decodes_most, row.decodes) == (worst, worst + 1)
    assert row.decodes_per_block_max == worst == math.comb(row.k + b, b)


def test_a_search_that_cannot_be_waited_for_has_fewer_liars() -> None:
    """Ten liars of 32 would take 64,512,240 decodings: so many at once are shown as can be."""
    sizes = sizes_of(32, 10, "simple", 32)
    assert bearable_liars(sizes, 8320, math.inf) == 10
    assert bearable_liars(sizes, 8320, 2e7) == 3
    assert bearable_liars(replace(sizes, checksum="tree"), 8320, 2e7) == 10


def test_larger_blocks_are_exact_too() -> None:
    """A block of 8 n updates: the checksum and the signatures are the same, the slice is eight times as long."""
    sizes = sizes_of(4, 1, "tree", 32)
    row = synthetic.measure(synthetic.disperse_updates(sizes, 2, 256), "none", SEARCHED_BYTES)
    assert row.sent_per_replica_bytes == row.expected_sent_bytes == 2 * (8 + 96 + math.ceil(32 * 256 / 3))


def test_a_byte_too_many_shows() -> None:
    """A replica that sends one byte more than the others, or all of them, is not exact."""
    dispersed = synthetic.disperse_updates(sizes_of(4, 1, "tree", 4), 2, 256)
    learned = synthetic.learn(dispersed, "none", 0)
    more = replace(dispersed.sent, costs=[replace(cost, paper=cost.paper + 1) for cost in dispersed.sent.costs])
    assert make_row(dispersed.sizes, "synthetic", "none", 0, dispersed.sent, learned).is_exact
    assert not make_row(dispersed.sizes, "synthetic", "none", 0, more, learned).is_exact


def test_the_bound_of_the_theorem_is_above_the_exact_figure_by_less_than_a_byte_a_block() -> None:
    """Theorem 3.2 rounds each slice up by at most one byte."""
    for n, b in CLUSTERS:
        for checksum in ("simple", "tree"):
            sizes = sizes_of(n, b, checksum, n)
            exact = 1000 * message_bytes(sizes, n * 256)
            assert exact <= bound_bytes(sizes, 1000, 1000 * n * 256) <= exact + 1000


@pytest.fixture(scope="module")
def report() -> LearningReport:
    """What a learner of four replicas accounts for, of eight real decisions of 100 requests each."""
    decisions = decisions_of(8, 100)
    for message in decisions:
        assert Statement.from_bytes(Decision.from_message(message.value or b"").signed.statement).count == 100
    published = machines.disperse_decisions(sizes_of(4, 1, "tree", 4), decisions, 100)
    _, accounting = machines.learn_decisions(published, "none", 0)
    return accounting.report()


def test_a_learner_receives_at_most_one_and_a_half_copies_of_real_decisions(report: LearningReport) -> None:
    """n = 4, decisions of 100 requests: with every signature and all framing, 4/3 copies and little more."""
    assert report.blocks == 2
    assert report.extra_bytes == 0
    assert 4 / 3 < report.copies <= 1.5
    assert report.is_within_bounds()


@pytest.mark.parametrize("checksum", ["none", "simple", "tree"])
def test_whole_machines_are_exact_on_real_decisions(checksum: str) -> None:
    """Replica and learner machines on real decisions of ten requests, under the worst attack."""
    sizes = sizes_of(4, 1, checksum, 4)
    published = machines.disperse_decisions(sizes, decisions_of(8, 10), 10)
    for attack in attacks_on(checksum):
        row = machines.measure(published, attack, SEARCHED_BYTES)
        assert row.is_exact
        assert row.blocks == 2
        assert row.decodes == (5 if (checksum, attack) == ("simple", "corrupt") else 2)


def test_the_ledger_is_the_same_for_any_replicas() -> None:
    """Other replicas and checksums change the configuration, and not what was decided."""
    some = [epochs_of(Sizes(n=n, b=0, c=0, checksum="tree", block_updates=n)) for n in (4, 7)]
    assert some[0].ledger_id == some[1].ledger_id
    assert [epochs.latest.n for epochs in some] == [4, 7]
