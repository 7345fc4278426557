"""Blocks are a function of sequences and configurations: whole, without gap, and never across an epoch."""

from dataclasses import replace

import pytest

from learners.blocks import BlockRange, BlockRanges
from protocol.configuration import Epochs
from tests.parties import make_epochs


def epochs_with(*cuts_and_sizes: tuple[int, int]) -> Epochs:
    """Epochs whose cuts and block sizes are these; nothing else of them matters here."""
    epochs = make_epochs()
    first = epochs.configurations[0]
    configurations = tuple(
        replace(first, epoch=epoch, cut=first.cut._replace(sequence=cut), block_updates=size)
        for epoch, (cut, size) in enumerate(cuts_and_sizes)
    )
    return replace(epochs, configurations=configurations)


def test_blocks_of_one_epoch() -> None:
    """As in the paper: block j holds the updates j n to j n + n - 1."""
    ranges = BlockRanges(epochs_with((-1, 4)))
    assert ranges.of_sequence(0) == ranges.of_sequence(3) == BlockRange(0, 0, 0, 3)
    assert ranges.of_sequence(4) == ranges.of_block(1) == BlockRange(1, 0, 4, 7)
    assert ranges.of_block(10**6).first_sequence == 4 * 10**6
    assert ranges.of_block(0).updates == 4


def test_an_epoch_ends_its_last_block() -> None:
    """It may be short; the next epoch has blocks of its own size."""
    ranges = BlockRanges(epochs_with((-1, 4), (5, 3), (8, 7)))
    assert ranges.of_sequence(5) == BlockRange(1, 0, 4, 5)
    assert ranges.of_sequence(6) == BlockRange(2, 1, 6, 8)
    assert ranges.of_sequence(9) == BlockRange(3, 2, 9, 15)


def test_an_epoch_of_no_updates_has_no_blocks() -> None:
    """Two changes of epoch at one cut."""
    ranges = BlockRanges(epochs_with((-1, 4), (7, 2), (7, 4)))
    assert ranges.of_sequence(7) == BlockRange(1, 0, 4, 7)
    assert ranges.of_sequence(8) == ranges.of_block(2) == BlockRange(2, 2, 8, 11)


@pytest.mark.parametrize(
    "epochs",
    [
        ((-1, 1),),
        ((-1, 4),),
        ((-1, 4), (5, 3), (8, 7)),
        ((-1, 4), (-1, 3)),
        ((-1, 4), (7, 2), (7, 4), (20, 1)),
    ],
)
def test_blocks_follow_each_other_and_both_ways_agree(epochs: tuple[tuple[int, int], ...]) -> None:
    """Every sequence is in exactly one block, and every block is found by its number."""
    ranges = BlockRanges(epochs_with(*epochs))
    expected = BlockRange(-1, 0, -1, -1)
    for sequence in range(60):
        found = ranges.of_sequence(sequence)
        if sequence > expected.last_sequence:
            assert (found.block, found.first_sequence) == (expected.block + 1, expected.last_sequence + 1)
            expected = found
        assert found == expected == ranges.of_block(found.block)
        assert epochs[found.epoch][0] < found.first_sequence
