"""Batches that grow when they are opened, or cannot be opened, on every topic of a whole ledger: nobody stands still.

Whoever may write to a topic can send them without any key, and a role that died of one would meet it again.
"""

from collections.abc import Iterator

import psutil
import pytest

from deploy.initialize import CLIENT
from deploy.local.stack import LocalStack
from schemas.topics import EVIDENCE, MIB
from tests.agreement import check_agreement
from tests.background_load import BackgroundLoad
from tests.hostile_batches import ACCEPTED, TOO_LARGE, give, gzip_bomb, unending_lz4
from tests.pipeline import Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_BOMB_BYTES = 24 * MIB
_BOMBS = 8
"""For each topic: where readers opened them, they would hold all of them at once."""
_RUBBISH = 50
_GROWTH_BYTES_MAX = 96 * MIB


@pytest.fixture
def pipeline(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A ledger on the shared Kafka."""
    made = Pipeline(tmp_path_factory.mktemp("batches"), broker=stack.bootstrap_servers, prefix="batches")
    made.up()
    yield made
    made.down()


def memory(pipeline: Pipeline) -> dict[str, int]:
    """What each role's process holds, by its name."""
    pids = {role: pipeline.stack.supervisor.pid(role) for role in pipeline.deployment.roles()}
    return {role: psutil.Process(pid).memory_info().rss for role, pid in pids.items() if pid is not None}


def test_bombs_and_batches_that_cannot_be_opened_stop_nobody(pipeline: Pipeline) -> None:
    """Bombs are refused where strangers write; what brokers take and readers cannot open is stepped over by all."""
    load = BackgroundLoad(pipeline, seed=41)
    load.open_accounts()
    connection = pipeline.home.load(CLIENT).connection()
    with load.running():
        load.await_answers(50)
        before = memory(pipeline)
        for topic in pipeline.topics():
            name = connection.full_name(topic.name)
            for _ in range(0 if topic.is_compressed else _BOMBS):
                assert give(connection.bootstrap, name, 0, gzip_bomb(_BOMB_BYTES)) == TOO_LARGE, topic.name
            batch = unending_lz4(b"%d" % number for number in range(_RUBBISH))
            assert give(connection.bootstrap, name, 0, batch) == ACCEPTED, topic.name
            if topic.name == EVIDENCE:
                pipeline.rubbish_evidence += _RUBBISH
        load.await_answers(200)
        grown = {role: held - before[role] for role, held in memory(pipeline).items()}
    assert max(grown.values()) < _GROWTH_BYTES_MAX, grown
    check_agreement(pipeline, load)
