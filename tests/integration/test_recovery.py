"""A replica without its disk, and decisions that were shortened, on a real Kafka with real processes."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.initialize import AUDITOR, CLIENT, LEARNER, LEDGER, replica_role
from deploy.learning import learn_home, storage_values
from deploy.local.stack import LEDGER_STORE, LocalStack
from schemas.topics import DECISIONS, ORDERS, REQUESTS, RESULTS, pieces_topic
from storage.effects import Outgoing
from streams.kafka_admin import KafkaAdmin
from streams.kafka_log import KafkaLogWriter
from streams.log import publish
from tests.pipeline import Pipeline, await_that

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LOST = 2


@pytest.fixture(scope="module")
def pipeline(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """A ledger of this module's own, on the shared Kafka."""
    made = Pipeline(tmp_path_factory.mktemp("recovery"), broker=stack.bootstrap_servers, prefix="recovery")
    made.up()
    yield made
    made.down()


def values(pipeline: Pipeline, replica: int) -> list[bytes | None]:
    """What stands on a replica's topic."""
    return [message.value for message in pipeline.read(pieces_topic(replica))]


def shorten(pipeline: Pipeline, topic: str) -> None:
    """Delete all that a topic holds now."""
    admin = KafkaAdmin(pipeline.home.load(CLIENT).connection())
    admin.shorten(topic, 0, pipeline.extents()[topic, 0].end)


@contextmanager
def auditor_away(pipeline: Pipeline) -> Iterator[None]:
    """Meanwhile nobody sends decisions again that were deleted."""
    pipeline.stack.supervisor.stop(AUDITOR)
    yield
    pipeline.start(AUDITOR)


def await_blocks(pipeline: Pipeline) -> int:
    """Wait until everything that is decided fills blocks, and every replica has dispersed them; how many they are."""

    def blocks() -> int:
        decided = len({message.value for message in pipeline.read(DECISIONS)})
        dispersed = {len(values(pipeline, replica)) for replica in range(4)}
        return decided // 4 if decided % 4 == 0 and dispersed == {decided // 4} else 0

    await_that("every block at every replica", lambda: blocks() > 0)
    return blocks()


def test_a_replica_that_lost_everything_ends_bit_identical(pipeline: Pipeline) -> None:
    """Its topic is emptied and decisions no longer hold what it needs: the others give all of it back."""
    for _ in range(6):
        pipeline.serve()
    blocks = await_blocks(pipeline)
    had = values(pipeline, LOST)
    assert len(had) == blocks >= 3
    with auditor_away(pipeline):
        pipeline.stack.supervisor.stop(replica_role(LOST))
        shorten(pipeline, pieces_topic(LOST))
        shorten(pipeline, DECISIONS)
        pipeline.start(replica_role(LOST))
        await_that("the lost pieces", lambda: len(values(pipeline, LOST)) == blocks)
        assert values(pipeline, LOST) == had
        assert not pipeline.read(DECISIONS)
    pipeline.serve()
    await_that("a block more", lambda: all(len(values(pipeline, replica)) > blocks for replica in range(4)))
    assert pipeline.runs(replica_role(LOST))
    assert not pipeline.evidence()


def test_a_ledger_without_its_store_learns_what_decisions_no_longer_have(pipeline: Pipeline) -> None:
    """Decisions are deleted and its Valkey is wiped: rebuilt bit for bit from the replicas' pieces, and it goes on."""
    for _ in range(5):
        pipeline.serve()
    await_that("dispersed", lambda: len(values(pipeline, 0)) * 4 == pipeline.committed().sequence + 1)
    before, stood = pipeline.versions(LEDGER), pipeline.committed()
    with auditor_away(pipeline):
        pipeline.stack.supervisor.stop(LEDGER)
        shorten(pipeline, DECISIONS)
        pipeline.kill(LEDGER_STORE)
        shutil.rmtree(pipeline.home.stack / LEDGER_STORE)
        pipeline.start(LEDGER_STORE)
        pipeline.start(LEDGER)
        await_that("the rebuild", lambda: pipeline.has_store(LEDGER) and pipeline.versions(LEDGER) == before)
        assert pipeline.committed().head == stood.head
        assert not pipeline.read(DECISIONS)
    pipeline.serve()
    assert not pipeline.evidence()


def test_everything_is_learned_from_pieces_though_decisions_are_gone(pipeline: Pipeline) -> None:
    """A throw-away learner finds the whole journal, within the theorems' bounds; each replica stores a share."""
    for _ in range(4):
        pipeline.serve()
    found = learn_home(pipeline.home, lambda read, messages: None, check_clients=True)
    assert (found.halt, found.away, found.evidence) == (None, (), ())
    assert found.report.is_within_bounds()
    assert found.report.updates == found.sequence + 1 > 12
    assert all(replica.received.counted == replica.counted_max for replica in found.report.replicas)
    storage = storage_values(found.report, pipeline.home.load(LEARNER).epochs())
    for replica in storage["replicas"]:
        assert replica["stored_bytes"] < storage["journal_bytes"]
        assert replica["missing_blocks"] == 0


def test_a_replica_in_the_dark_catches_up(pipeline: Pipeline) -> None:
    """It is away while decisions are made, dispersed by the others, and deleted."""
    pipeline.stack.supervisor.stop(replica_role(LOST))
    before = len(values(pipeline, LOST))
    for _ in range(4):
        pipeline.serve()
    await_that("blocks of the others", lambda: len(values(pipeline, 0)) >= before + 2)
    with auditor_away(pipeline):
        shorten(pipeline, DECISIONS)
        pipeline.start(replica_role(LOST))
        await_that("what it missed", lambda: len(values(pipeline, LOST)) == len(values(pipeline, 0)))
        assert all(message.key is None for message in pipeline.read(pieces_topic(LOST))[before:])
    pipeline.serve()
    await_that("as many as the others", lambda: len(values(pipeline, LOST)) == len(values(pipeline, 0)))
    assert not pipeline.evidence()


def test_a_ledger_that_stood_still_for_longer_than_topics_are_kept_goes_on(pipeline: Pipeline) -> None:
    """What its parties had not read of these topics is gone: it is of no use any more, or it is sent again."""
    pipeline.serve()
    admin = KafkaAdmin(pipeline.home.load(CLIENT).connection())
    for party in (AUDITOR, LEDGER):
        pipeline.stack.supervisor.stop(party)
    for topic in pipeline.topics():
        for partition in range(topic.partitions if topic.name in (REQUESTS, ORDERS, RESULTS) else 0):
            _write_rubbish(pipeline, topic.name, partition)
            admin.shorten(topic.name, partition, pipeline.extents()[topic.name, partition].end)
    for party in (AUDITOR, LEDGER):
        pipeline.start(party)
    pipeline.serve()
    for party, lost in ((AUDITOR, (REQUESTS, RESULTS)), (LEDGER, (ORDERS,))):
        for name in lost:
            assert re.search(rf"log.start_lost.*{name}/0 begins at", pipeline.log(party))
    assert not pipeline.evidence()


def _write_rubbish(pipeline: Pipeline, topic: str, partition: int) -> None:
    writer = KafkaLogWriter(pipeline.home.load(CLIENT).connection())
    assert publish(writer, [Outgoing(topic, partition, None, b"rubbish")] * 3, lambda: False)
    writer.close()
