"""The simulation of transactions: 500 seeds of crashes, silences and late arrivals, and bugs planted to be found."""

import pytest

from streams.transaction_simulation.deeds import SEEDS_TOGETHER, check_deeds
from streams.transaction_simulation.planted import PLANTED
from streams.transaction_simulation.run import TransactionSimulationFailure, run_seed

SEEDS = 500
SEEDS_PER_BUG = 100


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_TOGETHER))
def test_every_level_keeps_its_promise(first: int) -> None:
    """Histories are what their isolation level promises, and nothing is lost: a failure says how to see it again.

    And they are histories in which enough was done, and everything met that the protocol has an answer to.
    """
    check_deeds([run_seed(seed) for seed in range(first, first + SEEDS_TOGETHER)])


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str) -> None:
    """One missing protection, in any phase, shows within 100 seeds."""
    for seed in range(SEEDS_PER_BUG):
        try:
            run_seed(seed, planted=name)
        except TransactionSimulationFailure as found:
            failure = found
            break
    else:
        pytest.fail(f"nobody noticed: {PLANTED[name].what}")
    assert f'--seed {failure.seed} --planted "{name}"' in str(failure)


def test_a_seed_is_one_history() -> None:
    """The same seed gives the same changes of rows, one by one; another seed others."""
    first, again, other = run_seed(1), run_seed(1), run_seed(2)
    assert first == again
    assert first.digest != other.digest
