"""Blocks that were learned: as many as fit, the newest always, and without their slices."""

from learners.known_blocks import KnownBlock, KnownBlocks
from tests.unit.learners.raw_blocks import RawBlocks, epochs


def known(count: int) -> list[KnownBlock]:
    blocks = RawBlocks(epochs(4, 1, "tree"))
    made = [blocks.make(number) for number in range(count)]
    return [KnownBlock(dispersal=dispersal, last=last) for dispersal, last in made]


def test_the_oldest_are_forgotten_as_soon_as_they_do_not_fit() -> None:
    """Exactly as many bytes as there is memory for, over any number of blocks."""
    blocks = known(6)
    held = KnownBlocks(2 * len(blocks[0].block))
    for number, block in enumerate(blocks):
        held.remember(block)
        assert list(held) == blocks[max(0, number - 1) : number + 1]
    assert held.get(3) is None
    assert held.get(4) is blocks[4]


def test_one_is_remembered_whatever_its_size() -> None:
    """Late pieces of the block learned last are always judged."""
    blocks = known(2)
    held = KnownBlocks(1)
    for block in blocks:
        held.remember(block)
        assert list(held) == [block]


def test_slices_are_not_kept() -> None:
    """A block is remembered once, and not n / k times beside itself."""
    (block,) = known(1)
    assert block.dispersal._slices
    KnownBlocks(1_000_000).remember(block)
    assert not block.dispersal._slices
    assert block.is_of(RawBlocks(epochs(4, 1, "tree")).piece(block.dispersal, block.last, 3))
