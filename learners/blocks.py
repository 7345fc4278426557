"""Which updates make which block: a function of the sequence and the configurations alone.

A block is `block_updates` consecutive updates and never crosses an epoch, so the last one of an epoch may be
short. Nobody chooses where a block begins; so a third party can tell whether a block is whole.
"""

from typing import NamedTuple

from protocol.configuration import Epochs
from schemas.epoch import Configuration


class BlockRange(NamedTuple):
    """The place of a block.

    Attributes:
        block: its number in the ledger, from 0.
        epoch: of all its updates.
        first_sequence, last_sequence: of its updates, both included.
    """

    block: int
    epoch: int
    first_sequence: int
    last_sequence: int

    @property
    def updates(self) -> int:
        """How many updates it has."""
        return self.last_sequence - self.first_sequence + 1


class BlockRanges:
    """The blocks of a ledger, as far as its configurations are known."""

    def __init__(self, epochs: Epochs) -> None:
        self._configurations = epochs.configurations
        self._first_blocks = [0]
        for this, following in zip(self._configurations, self._configurations[1:], strict=False):
            updates = following.cut.sequence - this.cut.sequence
            blocks = -(-updates // this.block_updates)
            self._first_blocks.append(self._first_blocks[-1] + blocks)

    def of_sequence(self, sequence: int) -> BlockRange:
        """The block that an update is in. Requires `sequence >= 0`."""
        epoch = max(c.epoch for c in self._configurations if c.epoch == 0 or c.cut.sequence < sequence)
        this = self._configurations[epoch]
        return self._range(this, (sequence - this.cut.sequence - 1) // this.block_updates)

    def of_block(self, block: int) -> BlockRange:
        """The block of a number. Requires `block >= 0`."""
        epoch = max(number for number, first in enumerate(self._first_blocks) if first <= block)
        return self._range(self._configurations[epoch], block - self._first_blocks[epoch])

    def _range(self, this: Configuration, index: int) -> BlockRange:
        """The block `index` of an epoch; it ends where a following epoch begins."""
        first = this.cut.sequence + 1 + index * this.block_updates
        last = first + this.block_updates - 1
        if this.epoch + 1 < len(self._configurations):
            last = min(last, self._configurations[this.epoch + 1].cut.sequence)
        return BlockRange(self._first_blocks[this.epoch] + index, this.epoch, first, last)
