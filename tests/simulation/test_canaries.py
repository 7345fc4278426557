"""The simulation finds bugs: with any one protection of the parties switched off, some seed fails, and says how to see
it again.
"""

import json
import shlex

import pytest
from typer.testing import CliRunner

from deploy.output import EXIT_CHECK
from streams.simulation.planted import PLANTED
from streams.simulation.run import SimulationFailure, run_seed
from tests.command_line import app

SEEDS_PER_BUG = 100
QUICKLY_FOUND = "replay guard per worker"


def failure_of(name: str) -> SimulationFailure:
    """The first failure with a bug planted."""
    for seed in range(SEEDS_PER_BUG):
        try:
            run_seed(seed, planted=name)
        except SimulationFailure as failure:
            return failure
    pytest.fail(f"nobody noticed: {PLANTED[name].what}")


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str) -> None:
    """One missing protection shows within 100 seeds, none of which fails without it (`test_seeds.py`)."""
    failure = failure_of(name)
    assert f'--seed {failure.seed} --planted "{name}"' in str(failure)
    with pytest.raises(SimulationFailure) as again:
        run_seed(failure.seed, planted=name)
    assert str(again.value) == str(failure), "the same history"


def test_the_command_that_a_failure_names_shows_it_again() -> None:
    """As a shell takes it: exit code 5, the same words."""
    failure = failure_of(QUICKLY_FOUND)
    command = str(failure).partition("to see it again: countersign ")[2]
    done = CliRunner().invoke(app, [*shlex.split(command), "--json"])
    assert done.exit_code == EXIT_CHECK
    assert json.loads(done.stdout.splitlines()[-1]) == {"failed_seed": failure.seed, "what": failure.what}
