"""Any order of messages, any liars: checkpoints bring every honest replica to the one journal, within bounds."""

import math
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.checkpoints.cluster import Lie
from tests.unit.learners.checkpoints.ways import WAYS, Way, run

SIZES = st.sampled_from([(4, 1), (5, 1), (7, 2), (8, 2), (10, 3)])
LIES: st.SearchStrategy[Lie] = st.sampled_from(["none", "silent", "corrupt", "ask"])
SEEDS = st.integers(0, 2**32)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=12, deadline=None)
@given(size=SIZES, lie=LIES, seed=SEEDS)
def test_every_honest_replica_ends_with_the_one_journal(way: Way, size: tuple[int, int], lie: Lie, seed: int) -> None:
    """While deciding and checkpoints overlap in any order, over three blocks."""
    trial = run(way, *size, lie, seed=seed, blocks=3, after_deciding=False)
    assert all(trial.cluster.journal(index) == trial.updates for index in trial.honest)


@pytest.mark.parametrize("checksum", ["simple", "tree"])
@settings(max_examples=12, deadline=None)
@given(size=SIZES, lie=LIES, seed=SEEDS)
def test_dispersed_checkpoints_stay_within_the_proposition(
    checksum: Literal["simple", "tree"], size: tuple[int, int], lie: Lie, seed: int
) -> None:
    """Messages at most |J|, decodings at most C(k + b, k) or one, everybody sends alike, and only liars are blamed."""
    (n, b), blocks = size, 2
    trial = run(checksum, n, b, lie, seed=seed, blocks=blocks, after_deciding=False)
    k = trial.cluster.size.k
    slice_bytes = math.ceil(n * 256 / k)
    checksum_bytes = 32 * (1 + (math.ceil(math.log2(n)) if checksum == "tree" else 0))
    for index in trial.honest:
        traffic = trial.cluster.network.checkpoints[index]
        assert traffic.sent_messages == len(trial.updates)
        assert traffic.sent_bytes == blocks * n * (8 + checksum_bytes + slice_bytes)
    decodes_max = math.comb(k + b, k) if checksum == "simple" else 1
    for part in trial.dispersing():
        assert max(part.decodes.values(), default=0) <= decodes_max
        assert part.blamed <= set(trial.cluster.liars)
