"""Kill -9 of every process of a ledger during load, at random moments, alone and together.

A failing run prints its seed; `FAULT_SEED=... pytest ...` takes the same moments again, as near as a machine
that does other things allows.
"""

import os
import random
import secrets
import time
from collections.abc import Iterator

import pytest

from deploy.initialize import AUDITOR, LEARNER, LEDGER
from deploy.local.kafka import NAME as KAFKA
from deploy.local.stack import AUDITOR_STORE, LEDGER_STORE
from tests.agreement import check_agreement
from tests.background_load import BackgroundLoad
from tests.pipeline import Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEED = int(os.environ.get("FAULT_SEED") or secrets.randbelow(1_000_000))
REPLICAS = tuple(f"replica-{number}" for number in range(4))
EVERYTHING = (AUDITOR, LEDGER, *REPLICAS, LEARNER, AUDITOR_STORE, LEDGER_STORE, KAFKA)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A ledger with a Kafka of its own."""
    made = Pipeline(tmp_path_factory.mktemp("kills"))
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def load(pipeline: Pipeline) -> BackgroundLoad:
    """What is sent, and remembered over all tests of this module."""
    made = BackgroundLoad(pipeline, seed=SEED)
    made.open_accounts()
    return made


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """The moments of one test."""
    print(f"FAULT_SEED={SEED}")
    return random.Random(f"{SEED}/{request.node.name}")


@pytest.mark.parametrize("victim", EVERYTHING)
def test_one_is_killed(pipeline: Pipeline, load: BackgroundLoad, rng: random.Random, victim: str) -> None:
    """Killed twice and started again: nothing is lost, nothing is done twice, nobody is accused."""
    with load.running():
        for _ in range(2):
            time.sleep(rng.uniform(0.0, 0.5))
            pipeline.kill(victim)
            time.sleep(rng.uniform(0.0, 1.0))
            pipeline.start(victim)
            load.await_answers(50)
    check_agreement(pipeline, load)


def test_several_are_killed_together(pipeline: Pipeline, load: BackgroundLoad, rng: random.Random) -> None:
    """Any of them, in any order, some while others are still away: the same end."""
    with load.running():
        for _ in range(4):
            time.sleep(rng.uniform(0.0, 0.5))
            victims = rng.sample(EVERYTHING, rng.randint(2, 5))
            print("killed:", victims)
            for victim in victims:
                pipeline.kill(victim)
                time.sleep(rng.uniform(0.0, 0.2))
            for victim in rng.sample(victims, len(victims)):
                pipeline.start(victim)
                time.sleep(rng.uniform(0.0, 0.2))
            load.await_answers(50)
    check_agreement(pipeline, load)
