"""What checkpoints cost: exact figures, beside Proposition 4.4 of the paper and beside the other ways."""

import math

import pytest

from learners.checkpoints.checkpoint import ClusterSize
from tests.unit.learners.checkpoints.ways import SIZES, UPDATE_BYTES, Way, run, sent_bytes

FIGURES = {
    (4, 1): (2208, 2464),
    (7, 2): (4466, 5138),
    (16, 5): (11568, 13616),
    (32, 10): (23136, 28256),
}
"""Bytes that each replica sends for a block of `n` updates of 256 bytes: simple checksum, tree checksum."""


@pytest.mark.parametrize("checksum", ["simple", "tree"])
@pytest.mark.parametrize(("n", "b"), SIZES)
def test_every_replica_sends_and_receives_the_exact_figure(n: int, b: int, checksum: Way) -> None:
    """Nobody, in the dark or not, sends or receives a byte more or less than Proposition 4.4 gives."""
    trial = run(checksum, n, b, "none")
    figure = FIGURES[n, b][checksum == "tree"]
    traffic = trial.cluster.network.checkpoints
    assert sent_bytes(trial, range(n)) == {figure}
    assert {replica.received_bytes for replica in traffic} == {figure}
    assert {replica.sent_messages for replica in traffic} == {n}, "as many messages as updates"
    assert {replica.received_messages for replica in traffic} == {n}


@pytest.mark.parametrize(("n", "b"), SIZES)
def test_the_slices_stay_below_three_copies_and_checksums_come_on_top(n: int, b: int) -> None:
    """`n / k < 3` bounds the slices; with updates this small, tree checksums exceed three copies from n = 16 on."""
    size = ClusterSize(n=n, b=b)
    journal = n * UPDATE_BYTES
    slices = n * math.ceil(journal / size.k)
    simple, tree = FIGURES[n, b]
    assert slices <= 3 * journal
    assert simple < 3 * journal
    assert (tree > 3 * journal) == (n >= 16)
    assert simple == slices + n * (8 + 32)
    assert tree == slices + n * (8 + 32 * (1 + math.ceil(math.log2(n))))


@pytest.mark.parametrize(("n", "b"), SIZES)
def test_a_broadcast_checkpoint_costs_n_copies(n: int, b: int) -> None:
    """Every replica sends the whole block to all, and receives it from all."""
    trial = run("broadcast", n, b, "none")
    assert sent_bytes(trial, range(n)) == {n * (8 + n * UPDATE_BYTES)}
    assert {replica.received_bytes for replica in trial.cluster.network.checkpoints} == {n * (8 + n * UPDATE_BYTES)}


@pytest.mark.parametrize(("n", "b"), SIZES)
def test_a_pulled_checkpoint_costs_whoever_is_in_the_dark_b_plus_one_copies(n: int, b: int) -> None:
    """A digest of everybody, and the block from each of the b + 1 that vouched first."""
    trial = run("pulled", n, b, "none")
    traffic = trial.cluster.network.checkpoints
    for index in trial.cluster.in_the_dark:
        asked = traffic[index].sent_messages - n - served(traffic[index].sent_bytes, n)
        assert asked == b + 1
        copies = (b + 1) * (8 + n * UPDATE_BYTES)
        assert copies <= traffic[index].received_bytes <= copies + n * (8 + 32) + 8 * b


@pytest.mark.parametrize(("n", "b"), SIZES[:3])
def test_a_pulled_checkpoint_is_the_cheapest_while_nobody_is_in_the_dark(n: int, b: int) -> None:
    """Then it is digests alone, and dispersal costs the same as ever: what it buys is that nobody can be flooded."""
    quiet = run("pulled", n, b, "none", left_out=0)
    assert sent_bytes(quiet, range(n)) == {n * (8 + 32)}
    assert sent_bytes(run("simple", n, b, "none", left_out=0), range(n)) == {FIGURES[n, b][0]}


def served(sent: int, n: int) -> int:
    """How many times a replica served a block, by the bytes it sent."""
    return sent // (8 + n * UPDATE_BYTES)


@pytest.mark.parametrize(("n", "b"), SIZES[:3])
def test_askers_load_replicas_where_blocks_are_served_and_nobody_where_they_are_dispersed(n: int, b: int) -> None:
    """Liars that ask everybody for every block cost each enlightened replica b copies; dispersal knows no asking."""
    pulled = run("pulled", n, b, "ask")
    for index in range(b, n - b):
        assert served(pulled.cluster.network.checkpoints[index].sent_bytes, n) >= b
    dispersed = run("tree", n, b, "ask")
    assert sent_bytes(dispersed, dispersed.honest) == {FIGURES[n, b][1]}


@pytest.mark.parametrize(("n", "b"), SIZES)
def test_dispersal_is_balanced_and_pulling_is_not(n: int, b: int) -> None:
    """Under the worst askers the busiest replica sends more by pulling than any does by dispersal."""
    pulled = max(sent_bytes(run("pulled", n, b, "ask"), range(b, n)))
    dispersed = sent_bytes(run("simple", n, b, "none"), range(b, n))
    assert len(dispersed) == 1
    assert pulled > dispersed.pop()
