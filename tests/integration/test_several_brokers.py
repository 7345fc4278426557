"""A replica that keeps its pieces on a Kafka of its own: two real brokers, of which one goes away and comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.initialize import LEARNER, NewLedger, initialize, replica_role
from deploy.learning import learn_home
from deploy.local.kafka import NAME as KAFKA
from deploy.local.stack import LocalStack
from schemas.topics import pieces_topic
from streams.kafka_log import KafkaLogReader
from streams.learn_once import LearnedJournal
from tests.pipeline import Pipeline, await_that

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ELSEWHERE = 1
TOPIC = "pieces-of-one"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[LocalStack]:
    """A second Kafka, without stores."""
    made = LocalStack(tmp_path / "other", stores=())
    made.start()
    yield made
    made.stop()


@pytest.fixture
def pipeline(stack: LocalStack, other: LocalStack, tmp_path: Path, unique_name: str) -> Iterator[Pipeline]:
    """A ledger on the shared Kafka, whose replica 1 publishes on the other one."""
    made = Pipeline(tmp_path / "ledger", broker=stack.bootstrap_servers, prefix=unique_name)
    epochs = initialize(made.home, NewLedger(topic_prefix=unique_name))
    place = {
        "bootstrap_servers": other.bootstrap_servers,
        "topic": TOPIC,
        "public_key": epochs.latest.replica_keys[ELSEWHERE].key.hex(),
    }
    for role in (LEARNER, replica_role(ELSEWHERE)):
        made.configure(role, replicas={str(ELSEWHERE): place})
    made.up()
    yield made
    made.down()


def learned(pipeline: Pipeline) -> LearnedJournal:
    return learn_home(pipeline.home, lambda read, messages: None)


def is_complete(pipeline: Pipeline) -> bool:
    """Whether every replica has sent every block, as a learner of both brokers sees it."""
    found = learned(pipeline)
    return not found.away and found.report.blocks > 0 and not any(r.missing for r in found.report.replicas)


def test_a_broker_that_goes_away_only_makes_its_replica_lag(pipeline: Pipeline, other: LocalStack) -> None:
    """Pieces come from both; without the other one the learner goes on; when it is back its replica catches up."""
    for _ in range(4):
        pipeline.serve()
    await_that("pieces of all", lambda: is_complete(pipeline))
    assert not pipeline.read(pieces_topic(ELSEWHERE))  # on the ledger's own cluster there are none
    configuration = pipeline.home.load(LEARNER)
    reader = KafkaLogReader(configuration.places()[ELSEWHERE].connection(configuration.connection()))
    assert reader.read_tail(pieces_topic(ELSEWHERE), 1)
    reader.close()

    other.supervisor.stop(KAFKA)
    with pipeline.client() as client:
        receipt = client.execute("object.put", {"key": "alone", "value": 1})
    answer = pipeline.views().query("SELECT value FROM records WHERE key = 'alone'", wait_for=receipt.sequence)
    assert answer.rows
    found = learned(pipeline)
    assert (found.halt, found.away) == (None, (pieces_topic(ELSEWHERE),))
    assert found.sequence >= receipt.sequence
    assert found.report.lag_blocks(ELSEWHERE) == found.report.blocks
    assert pipeline.runs(LEARNER)
    assert pipeline.runs(replica_role(ELSEWHERE))

    other.restart(KAFKA)
    await_that("pieces of all again", lambda: is_complete(pipeline))
    assert learned(pipeline).sequence >= found.sequence
    assert not pipeline.evidence()
