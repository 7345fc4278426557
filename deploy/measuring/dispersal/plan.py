"""Which rows the benchmark of dispersal has, and how much of each is measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deploy.measuring.dispersal import machines, synthetic
from deploy.measuring.dispersal.decided import Sizes, decisions_of
from deploy.measuring.dispersal.figures import Attack, Row
from protocol.configuration import CHECKSUMS, NONE, TREE

CLUSTERS = ((4, 1), (7, 2), (16, 5), (32, 10))
"""n and b; where there is no checksum, those b replicas may be silent and nobody lies."""

BLOCK_FACTORS = (1, 8, 64)
"""Updates in a block, as multiples of n."""

UPDATE_BYTES = 256

DECISIONS = 32
REQUESTS = 100
"""In each decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured.

    Attributes:
        dispersed_bytes: of blocks that all replicas together disperse for one row.
        blocks_max: so many blocks, at most, for one row; two at least.
        searched_bytes_max: that all decodings of one block together take; so many liars are shown at once.
        deciding_replicas_max: with more of them real decisions are measured under the tree checksum only.
    """

    dispersed_bytes: int
    blocks_max: int
    searched_bytes_max: float
    deciding_replicas_max: int

    def blocks(self, sizes: Sizes) -> int:
        """How many blocks are dispersed for one row."""
        each = sizes.n * sizes.block_updates * UPDATE_BYTES
        return max(2, min(self.blocks_max, self.dispersed_bytes // each))

    def checksums_of_decisions(self, n: int) -> tuple[str, ...]:
        """Under which checksums real decisions are measured."""
        return CHECKSUMS if n <= self.deciding_replicas_max else (TREE,)


QUICK = Effort(dispersed_bytes=6_000_000, blocks_max=16, searched_bytes_max=5e7, deciding_replicas_max=7)
FULL = Effort(dispersed_bytes=200_000_000, blocks_max=256, searched_bytes_max=1.3e9, deciding_replicas_max=32)


def attacks_on(checksum: str) -> tuple[Attack, ...]:
    """Nobody, and the worst that the checksum is for."""
    return ("none", "late") if checksum == NONE else ("none", "corrupt")


def sizes_of(n: int, b: int, checksum: str, block_updates: int) -> Sizes:
    """The same k for every checksum: without one, the replicas that may lie are replicas that may be silent."""
    is_bare = checksum == NONE
    return Sizes(n=n, b=0 if is_bare else b, c=b if is_bare else 0, checksum=checksum, block_updates=block_updates)


def rows_count(effort: Effort) -> int:
    """How many rows there will be: two attacks each."""
    synthetic_ones = len(CLUSTERS) * len(CHECKSUMS) * len(BLOCK_FACTORS)
    return 2 * (synthetic_ones + sum(len(effort.checksums_of_decisions(n)) for n, _ in CLUSTERS))


def measure_rows(effort: Effort, progress: Callable[[Row], None]) -> list[Row]:
    """Measure everything, one row after the other."""
    rows: list[Row] = []
    for row in _rows(effort):
        rows.append(row)
        progress(row)
    return rows


def _rows(effort: Effort) -> Iterator[Row]:
    for n, b in CLUSTERS:
        for checksum in CHECKSUMS:
            for factor in BLOCK_FACTORS:
                sizes = sizes_of(n, b, checksum, factor * n)
                dispersed = synthetic.disperse_updates(sizes, effort.blocks(sizes), UPDATE_BYTES)
                for attack in attacks_on(checksum):
                    yield synthetic.measure(dispersed, attack, effort.searched_bytes_max)
    decisions = decisions_of(DECISIONS, REQUESTS)
    for n, b in CLUSTERS:
        for checksum in effort.checksums_of_decisions(n):
            sizes = sizes_of(n, b, checksum, n)
            published = machines.disperse_decisions(sizes, decisions, REQUESTS)
            for attack in attacks_on(checksum):
                yield machines.measure(published, attack, effort.searched_bytes_max)
